"""Inbound leads become company, contact and deal."""
