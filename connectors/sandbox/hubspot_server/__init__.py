"""The HubSpot stand-in: its API over HTTP, stateful, with the quirks that a client meets in production.

Reading order: `sandbox.py` (how it is built), `portal.py` (what an account is), `records/crm.py` (what a
write does), then `routes/`. `README.md` lists the quirks and the tests that check them.
"""

from connectors.sandbox.hubspot_server.sandbox import HubSpotSandbox, build

__all__ = ["HubSpotSandbox", "build"]
