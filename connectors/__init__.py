"""Connectors: clients for HubSpot, Dropbox Sign and a mail server, and loopback stand-ins for the first two.

A connector knows its vendor, but not our sales process. It takes a token and a base URL as arguments,
makes exactly one attempt per call, and returns frozen records or raises one of `connectors.http.errors`.
It never retries, never decides, never logs a body.

Reading order: `http/errors.py` (what can go wrong, and what the caller can do), `http/exchange.py` (one HTTP
exchange), `http/pacing.py` (staying under the vendors' limits), then `hubspot/`, `dropbox_sign/`, `mail/`.
"""
