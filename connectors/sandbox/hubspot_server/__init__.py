"""HubSpot's API over HTTP, stateful, with its quirks: what a client of ours meets in production.

Reading order: `sandbox.py` (how it is put together), `portal.py` (what an account is), `crm.py` (what a
write does), then the `routes_*.py`. `README.md` lists the quirks and the tests that hold them.
"""

from connectors.sandbox.hubspot_server.sandbox import HubSpotSandbox, build

__all__ = ["HubSpotSandbox", "build"]
