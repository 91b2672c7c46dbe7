"""The state of the stand-in in memory, with look-ups that raise the vendor's errors."""

import hashlib
from dataclasses import dataclass, field

from connectors.sandbox.dropbox_sign_server.access import Budgets
from connectors.sandbox.dropbox_sign_server.errors import VendorError
from connectors.sandbox.dropbox_sign_server.knobs import Knobs
from connectors.sandbox.dropbox_sign_server.records import Account, ApiApp, Robot, SignatureRequest
from connectors.sandbox.dropbox_sign_server.templates import Template, seeded_templates
from connectors.sandbox.world import Bench

_KEPT = "knobs requests links robots in_flight failures budgets account apps templates".split()
ACCOUNT_EMAIL = "sales-ops@supplier.example"


def stable_id(name: str, digits: int = 40) -> str:
    """An id that is the same for every seed, so that configuration can name it."""
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:digits]


@dataclass
class State:
    """The account, its requests, templates, apps and robots. `generation` counts resets."""

    bench: Bench
    api_key: str
    first_callback_url: str | None
    public_url: str = ""
    generation: int = 0
    knobs: Knobs = field(default_factory=Knobs)
    requests: dict[str, SignatureRequest] = field(default_factory=dict)
    links: dict[str, tuple[str, float]] = field(default_factory=dict)
    robots: list[Robot] = field(default_factory=list)
    in_flight: set[str] = field(default_factory=set)
    failures: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start with the seeded account, app and templates."""
        self._furnish()

    def _furnish(self) -> None:
        now = int(self.bench.clock.now_s())
        self.budgets = Budgets(self.knobs)
        self.account = Account(stable_id("account"), ACCOUNT_EMAIL, self.first_callback_url)
        app = ApiApp(stable_id("app", 32), "Dealflow rehearsal", now, ["supplier.example"])
        self.apps = {app.client_id: app}
        self.templates: dict[str, Template] = {t.template_id: t for t in seeded_templates(now, stable_id)}

    def reset(self) -> None:
        """Clear everything but the callback URL, the key and the address given at the start."""
        self.generation += 1
        self.knobs = Knobs()
        for box in (self.requests, self.links, self.robots, self.in_flight, self.failures):
            box.clear()
        self._furnish()

    def kept(self) -> dict[str, object]:
        """Everything, for a snapshot, but for the key and the addresses given at the start."""
        return {name: getattr(self, name) for name in _KEPT}

    def take_back(self, kept: dict[str, object]) -> None:
        """What a snapshot kept. Timers of what was there before do nothing any more, as after a reset."""
        self.generation += 1
        vars(self).update(kept)

    def under_way(self) -> str:
        """What a snapshot could not keep, or nothing."""
        open_ones = [r for r in self.requests.values() if r.phase in ("processing", "open") or r.files_busy]
        if self.in_flight or open_ones:
            return f"{len(open_ones) or 'new'} signature requests are open or their files are being made"
        return ""

    def request(self, request_id: str) -> SignatureRequest:
        """The request, if this account may see it. Raises VendorError: 404 unknown, 410 cancelled."""
        found = self.requests.get(request_id)
        if found is None or found.removed:
            raise VendorError("not_found", "Not found")
        if found.phase == "canceled":
            raise VendorError("deleted", "This resource has been deleted")
        return found

    def app(self, client_id: str) -> ApiApp:
        """The API app. Raises VendorError (404)."""
        if client_id not in self.apps:
            raise VendorError("not_found", "Not found")
        return self.apps[client_id]

    def template(self, template_id: str) -> Template:
        """The template. Raises VendorError (404)."""
        if template_id not in self.templates:
            raise VendorError("not_found", "Template not found")
        return self.templates[template_id]
