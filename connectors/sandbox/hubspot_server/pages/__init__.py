"""Pages for people at the addresses of HubSpot's own app."""
