"""Deals as HubSpot has them: read in bulk with all around them, mirrored, and written to."""
