"""From line items to a proposal on the deal."""
