"""Provisioning: sets up HubSpot as the process file defines, planned first, then applied."""
