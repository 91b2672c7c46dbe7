"""HubSpot set up as the process file asks: planned first, then applied."""
