"""The stand-ins of a rehearsal: a sandbox process with a frozen clock, driven over its control API.

Nothing is delivered automatically: every webhook is logged unsent and delivered by `desk.py`, in the order of the log,
so that the same seed gives the same run.
"""

import asyncio
import base64
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from connectors.hubspot.portal import NewStage, Portal
from flows.errors import FlowError
from flows.operations.launch import Parts
from flows.provision.plan import plan
from flows.rules.criteria.evidence import DateEvidence, PropertyEvidence
from flows.rules.criteria.judge import evidence_of, properties_of
from flows.rules.process.sales_process import SalesProcess
from flows.trials.rehearsal.loopback import loopback_client

GATEWAY = "http://127.0.0.1"
"""Our public address in a rehearsal; nobody connects to it."""
CLIENT_SECRET = "sandbox-client-secret"  # noqa: S105  # opens nothing but the sandbox
API_KEY = "sandbox-api-key"
_PEOPLE = "rehearsal-people"
_PLENTY = 1_000_000_000
_SUBSCRIBED = (
    ("deal.creation", None),
    ("deal.deletion", None),
    ("deal.merge", None),
    ("deal.propertyChange", "dealstage"),
)
"""The webhook subscriptions about deals from connectors/hubspot/README.md."""


class StandInRefused(FlowError):
    """A stand-in refused the action of a simulated person: a mistake of the rehearsal or of the process file."""


@dataclass(frozen=True)
class Delivery:
    """A webhook as the stand-in would send it."""

    vendor: str
    kind: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The content of a Dropbox Sign event (its body is a form with one field `json`)."""
        _, _, rest = self.body.partition(b"\r\n\r\n")
        found: dict[str, Any] = json.loads(rest.rpartition(b"\r\n--")[0])
        return found


@dataclass
class World:
    """Addresses, clients and the virtual time of both stand-ins."""

    hubspot_url: str
    sign_url: str
    hub: httpx.AsyncClient
    sign: httpx.AsyncClient
    now: datetime
    property_types: dict[str, str] = field(default_factory=dict)  # of deals
    _stirred: bool = False
    _read: dict[str, int] = field(default_factory=lambda: {"hubspot": 0, "dropbox_sign": 0})

    async def advance(self, to: datetime) -> None:
        """Move time forward to that moment; timers that become due fire. Never moves it back."""
        seconds = (to - self.now).total_seconds()
        if seconds > 0:
            moved = await self._done(self.hub.post("/_sandbox/clock/advance", json={"seconds": seconds}))
            self._stirred = self._stirred or moved["fired"] > 0
            self.now = to

    async def deliveries(self) -> list[Delivery]:
        """The deliveries logged since the last call, oldest first, HubSpot's before Dropbox Sign's."""
        found: list[Delivery] = []
        if not self._stirred:  # no timer has fired and no signer has acted: there is nothing new
            return found
        self._stirred = False
        for vendor, client in (("hubspot", self.hub), ("dropbox_sign", self.sign)):
            rows = (await self._done(client.get(f"/_sandbox/deliveries?since={self._read[vendor]}")))[
                "deliveries"
            ]
            for row in rows:
                self._read[vendor] = row["id"]
                path = row["url"].removeprefix(GATEWAY)
                found.append(Delivery(vendor, row["kind"], path, row["headers"], row["body"].encode()))
        return found

    async def rep(self, object_type: str, **what: Any) -> dict[str, Any]:
        """Act on a HubSpot record as a person (or only read it); returns the record."""
        answer: dict[str, Any] = await self._done(
            self.hub.post("/_sandbox/rep", json={"object_type": object_type, **what})
        )
        return answer

    async def board(
        self, ids: Sequence[str], properties: Sequence[str], *, id_property: str | None = None
    ) -> dict[str, dict[str, str | None]]:
        """These deals as a person sees them on the board, by HubSpot id (or by `id_property`)."""
        found: dict[str, dict[str, str | None]] = {}
        for at in range(0, len(ids), 100):
            body: dict[str, Any] = {
                "properties": list(properties),
                "inputs": [{"id": i} for i in ids[at : at + 100]],
            }
            if id_property:
                body["idProperty"] = id_property
            answer = await self._done(
                self.hub.post(
                    "/crm/objects/2026-03/deals/batch/read",
                    json=body,
                    headers={"Authorization": f"Bearer {_PEOPLE}"},
                )
            )
            for row in answer["results"]:
                key = row["properties"][id_property] if id_property else row["id"]
                found[key] = {**row["properties"], "id": row["id"]}
        return found

    async def act(self, request_id: str, email: str, does: str, **more: Any) -> bool:
        """Act as a signer; False when the signer cannot act now."""
        body = {"email": email, "does": does, **more}
        answer = await self.sign.post(f"/_sandbox/requests/{request_id}/act", json=body)
        if answer.status_code in (404, 409, 410):
            return False
        await self._done_with(answer)
        self._stirred = True
        return True

    async def cancel(self, request_id: str) -> bool:
        """Cancel a signature request as a person in Dropbox Sign; False when it has ended already."""
        mark = base64.b64encode(f"{_PEOPLE}:".encode()).decode()
        answer = await self.sign.post(
            f"/v3/signature_request/cancel/{request_id}", headers={"Authorization": f"Basic {mark}"}
        )
        return answer.status_code == 200

    async def records(self, object_type: str) -> list[dict[str, Any]]:
        """All HubSpot records of a type as the stand-in has them."""
        found = await self._done(self.hub.get("/_sandbox/state", params={"type": object_type}))
        rows: list[dict[str, Any]] = found["files" if object_type == "files" else "records"]
        return rows

    async def requests(self) -> list[dict[str, Any]]:
        """All signature requests as the stand-in has them."""
        rows: list[dict[str, Any]] = (await self._done(self.sign.get("/_sandbox/state")))["requests"]
        return rows

    async def _done(self, call: Any) -> Any:
        return await self._done_with(await call)

    async def _done_with(self, answer: httpx.Response) -> Any:
        if not answer.is_success:
            raise StandInRefused(
                f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:300]}"
            )
        return answer.json()


@asynccontextmanager
async def open_world(
    process: SalesProcess, *, seed: int, starts: datetime, meanwhile: Callable[[], None] = lambda: None
) -> AsyncIterator[World]:
    """Open an own sandbox with its HubSpot provisioned. `meanwhile` runs while its process starts.

    Raises LaunchError, ProvisionError.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DEALFLOW_")}
    with tempfile.TemporaryDirectory(prefix="dealflow-rehearsal-") as folder:
        parts = Parts(Path(folder), environment)
        try:
            starting = asyncio.create_task(asyncio.to_thread(_start, parts, seed, starts))
            await asyncio.sleep(0.05)  # the process is starting
            meanwhile()
            urls = await starting
            async with (
                loopback_client(urls["hubspot"]) as hub,
                loopback_client(urls["dropbox_sign"]) as sign,
            ):
                world = World(urls["hubspot"], urls["dropbox_sign"], hub, sign, starts.astimezone(UTC))
                await furnish(world, process)
                yield world
        finally:
            await asyncio.to_thread(parts.stop)


def _start(parts: Parts, seed: int, starts: datetime) -> dict[str, str]:
    return parts.sandbox(
        f"--seed={seed}",
        f"--frozen-at={starts.timestamp():.0f}",
        f"--shown-url={GATEWAY}",
        f"--dropbox-sign-callback-url={GATEWAY}/webhooks/dropbox-sign",
    )


async def furnish(world: World, process: SalesProcess) -> None:
    """Remove limits and automatic deliveries, and provision HubSpot as `dealflow provision --apply` does."""
    hub_limits = {"burst": _PLENTY, "search_per_s": _PLENTY, "associations": _PLENTY, "daily": _PLENTY}
    sign_limits = {"standard": _PLENTY, "high": _PLENTY, "test": _PLENTY, "quota": _PLENTY}
    sign_limits |= {"send_takes_s": 0, "list_takes_s": 0}
    await world._done(world.hub.put("/_sandbox/limits", json=hub_limits))
    await world._done(world.sign.put("/_sandbox/limits", json=sign_limits))
    for client in (world.hub, world.sign):
        await world._done(client.put("/_sandbox/deliveries/mischief", json={"drop": 1.0}))
    world.property_types = await asyncio.to_thread(_provision, Portal(_PEOPLE, world.hubspot_url), process)
    hooks: dict[str, Any] = {"target_url": f"{GATEWAY}/webhooks/hubspot", "signature_clock": "virtual"}
    hooks["subscriptions"] = [{"subscriptionType": t, "propertyName": p} for t, p in _SUBSCRIBED]
    await world._done(world.hub.put("/_sandbox/webhooks", json={**hooks, "client_secret": CLIENT_SECRET}))


def _provision_follow_on(portal: Portal, process: SalesProcess) -> None:
    """Create the pipeline of follow-on deals, which is the company's own: provision does not create it."""
    wanted = process.hand_over.follow_on
    known = {name for p in portal.list_pipelines() for name in (p.id, p.label)} if wanted else set()
    if wanted and wanted.pipeline and wanted.stage and wanted.pipeline not in known:
        portal.create_pipeline(wanted.pipeline, [NewStage(wanted.stage, "0.1", 0)])


def _provision(portal: Portal, process: SalesProcess) -> dict[str, str]:
    """Provision as the command does, and create the company's own deal properties. Returns the property types."""
    for change in plan(portal, process):
        change.apply()
    _provision_follow_on(portal, process)
    known = {p.name: p.type for p in portal.list_properties("deals")}
    days: set[str | None] = set()
    numbers: set[str] = set()
    for leaf in evidence_of(process):
        if isinstance(leaf, DateEvidence):
            days |= {leaf.date, leaf.after}
        elif isinstance(leaf, PropertyEvidence) and (leaf.at_least is not None or leaf.at_most is not None):
            numbers.add(leaf.property)
    for name in properties_of(process):
        if name in known:
            continue
        kind = "date" if name in days else "number" if name in numbers else "string"
        portal.create_property(
            "deals",
            name,
            label=name,
            group="dealflow",
            type=kind,
            field_type="text" if kind == "string" else kind,
        )
        known[name] = kind
    return known
