"""HubSpot's API, one file a family of paths."""
