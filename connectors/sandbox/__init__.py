"""HubSpot and Dropbox Sign stand-ins over real HTTP on loopback: stateful, with the vendors' quirks.

They ship with the product so that a demo or a rehearsal needs no keys. They share no code with the
clients that they test (an import contract checks it), so the same misreading cannot be on both sides.

Reading order: `world.py` (what both stand-ins share), `serve.py` (the process), `control.py`
(`/_sandbox/*`), then `hubspot_server/` and `dropbox_sign_server/`.
"""
