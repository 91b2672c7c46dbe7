"""Builds the stand-in: bench, portal, routes, edge, wire."""

from starlette.types import ASGIApp

from connectors.sandbox.clock import Clock
from connectors.sandbox.control import control_router
from connectors.sandbox.deliveries import Deliveries
from connectors.sandbox.docs import docs_router
from connectors.sandbox.faults import Faults
from connectors.sandbox.hubspot_server.errors import status_body
from connectors.sandbox.hubspot_server.events import retry_delays
from connectors.sandbox.hubspot_server.pages import pages
from connectors.sandbox.hubspot_server.portal import OWNERS, Portal, open_portal, under_way
from connectors.sandbox.hubspot_server.records import search
from connectors.sandbox.hubspot_server.records.catalog import TYPES
from connectors.sandbox.hubspot_server.routes import account as routes_account
from connectors.sandbox.hubspot_server.routes import associations as routes_associations
from connectors.sandbox.hubspot_server.routes import batch as routes_batch
from connectors.sandbox.hubspot_server.routes import control as routes_control
from connectors.sandbox.hubspot_server.routes import files as routes_files
from connectors.sandbox.hubspot_server.routes import labels as routes_labels
from connectors.sandbox.hubspot_server.routes import oauth as routes_oauth
from connectors.sandbox.hubspot_server.routes import objects as routes_objects
from connectors.sandbox.hubspot_server.routes import pipelines as routes_pipelines
from connectors.sandbox.hubspot_server.routes import properties as routes_properties
from connectors.sandbox.hubspot_server.web import Edge, Site, is_page
from connectors.sandbox.requestlog import RequestLog
from connectors.sandbox.snapshots import Parts, Snapshots
from connectors.sandbox.wire import Wire
from connectors.sandbox.world import Bench

TIMEOUT_S = 5.0
IN_FLIGHT = 10


class HubSpotSandbox:
    """A HubSpot account over HTTP. `asgi` is served by uvicorn; set `public_url` once the port is known."""

    def __init__(self, clock: Clock, *, seed: int, webhook_url: str | None, client_secret: str) -> None:
        self._webhook_url = webhook_url
        self._client_secret = client_secret
        self._public_url = ""
        self.bench = _bench(clock)
        self.bench.reset(seed)
        self._site = Site(self._fresh())
        self.snapshots = Snapshots(
            self.bench,
            Parts(
                state=lambda: self.portal,
                put_back=self._take_back,
                under_way=lambda: under_way(self.portal),
                shared=(*TYPES, *OWNERS),
            ),
        )
        _mount(self._site, self)
        wire = Wire(
            Edge(self._site.app, self._site),
            clock=clock,
            log=self.bench.log,
            faults=self.bench.faults,
            aside=is_page,
        )
        wire.error_body = status_body
        self.asgi: ASGIApp = wire

    @property
    def portal(self) -> Portal:
        """The present account."""
        return self._site.portal

    @property
    def public_url(self) -> str:
        """Scheme, host and port of this server."""
        return self._public_url

    @public_url.setter
    def public_url(self, url: str) -> None:
        self._public_url = self.portal.public_url = url.rstrip("/")

    def operations(self) -> list[tuple[str, str]]:
        """Method and path template of every vendor route that is served."""
        return self._site.operations

    def reset(self, seed: int) -> None:
        """A fresh account on an unused bench; the webhook target stays as it was given to build()."""
        self.portal.events.target_url = None  # pending events of the old account are not sent
        self.bench.reset(seed)
        self._site.portal = self._fresh()

    def _take_back(self, portal: Portal) -> None:
        self.portal.events.target_url = None
        portal.public_url = self._public_url
        self._site.portal = portal

    def _fresh(self) -> Portal:
        self.bench.deliveries.retry_delays_s = retry_delays(self.bench.dice)
        portal = open_portal(self.bench, webhook_url=self._webhook_url, client_secret=self._client_secret)
        portal.public_url = self._public_url
        return portal


def build(clock: Clock, *, seed: int, webhook_url: str | None, client_secret: str) -> HubSpotSandbox:
    """The HubSpot stand-in on this clock. `webhook_url` None: nothing is subscribed."""
    return HubSpotSandbox(clock, seed=seed, webhook_url=webhook_url, client_secret=client_secret)


def _bench(clock: Clock) -> Bench:
    deliveries = Deliveries(
        clock,
        timeout_s=TIMEOUT_S,
        retry_delays_s=[],
        accepts=lambda status, _: 200 <= status < 300,
        in_flight=IN_FLIGHT,
    )
    return Bench("hubspot", clock, RequestLog(), Faults(), deliveries)


def _mount(site: Site, sandbox: HubSpotSandbox) -> None:
    # Fixed path words come before parameters that would match them.
    for part in (
        routes_batch,
        search,
        routes_objects,
        routes_associations,
        routes_labels,
        routes_properties,
        routes_pipelines,
        routes_files,
        routes_account,
        routes_oauth,
        pages,
    ):
        part.mount(site)
    site.app.include_router(control_router(sandbox.bench, sandbox.reset, sandbox.snapshots))
    site.app.include_router(routes_control.control(site))
    site.app.include_router(docs_router(site.app, "HubSpot"))
