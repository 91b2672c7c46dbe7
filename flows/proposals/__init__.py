"""Proposals: from line items to a PDF on the deal."""
