"""Intake of inbound leads: company, contact and deal."""
