"""Durable memory: what arrived, what was planned and done, and what HubSpot contained. Only this package
knows the database (SQLite in WAL mode, or PostgreSQL).

`database.py` opens it, `tables.py` defines the tables; then one module per subject: `inbox.py`, `effects.py`,
`contracts.py`, `documents.py`, `mirror.py`, `presence.py` and others.
"""
