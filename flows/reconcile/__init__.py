"""HubSpot, the e-signature service and the ledger compared: what was missed is made up for."""
