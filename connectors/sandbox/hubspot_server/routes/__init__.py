"""HubSpot's API routes, one file for each family of paths."""
