"""HubSpot: data calls (`client`), portal set-up (`portal`), deliveries (`webhook`), records and statuses.

Importing this package loads nothing; import the module you need.
"""
