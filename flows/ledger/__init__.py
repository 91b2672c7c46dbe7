"""The durable memory: what arrived, what was promised and done, what HubSpot looked like. Only this folder
knows the database (SQLite in WAL mode, or PostgreSQL).

`database.py` opens it, `tables.py` says what is in it, then one module a shelf: `inbox.py`, `effects.py`,
`contracts.py`, `papers.py`, `mirror.py`, `presence.py`.
"""
