"""What a vendor is: clients for HubSpot, Dropbox Sign and a mail server, and loopback stand-ins for the first two.

A connector knows its vendor and nothing of our sales process. It takes a token and a base URL as arguments,
makes exactly one attempt per call, and answers with frozen records or with one of `connectors.http.errors`.
It never retries, never decides, never logs a body.

Reading order: `errors.py` (what can go wrong, in terms of what the caller can do), `exchange.py` (one HTTP
exchange), `pace.py` (staying under the vendors' limits), then `hubspot/`, `dropbox_sign/`, `mail/`.
"""
