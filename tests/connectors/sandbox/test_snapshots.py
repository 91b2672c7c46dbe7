"""A stand-in is kept under a name and comes back as it was, as often as wanted."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from connectors.sandbox import dropbox_sign_server, hubspot_server
from connectors.sandbox.clock import Clock

HUB, SIGN = "http://hub.test", "http://sign.test"


@dataclass
class Pair:
    """Both stand-ins without sockets, on one clock that stands still."""

    clock: Clock
    hub: httpx.AsyncClient
    sign: httpx.AsyncClient
    hubspot: hubspot_server.HubSpotSandbox
    dropbox_sign: dropbox_sign_server.DropboxSignSandbox

    async def control(self, client: httpx.AsyncClient, path: str, /, **body: Any) -> Any:
        answer = await client.post(f"/_sandbox/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def look(self) -> dict[str, Any]:
        """All that a caller can see of both."""
        return {
            f"{client.base_url}{path}": (await client.get(f"/_sandbox/{path}")).json()
            for client, paths in (
                (self.hub, ("state", "state?type=deals", "state?type=files", "deliveries")),
                (self.sign, ("state", "limits", "robots", "deliveries")),
            )
            for path in (*paths, "requests", "faults", "clock")
        } | {
            path: (await self.hub.get(path)).json()["results"]
            for path in ("/crm/properties/2026-03/deals", "/crm/pipelines/2026-03/deals")
        }


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    clock = Clock(frozen_at_s=1_790_000_000.0)
    hubspot = hubspot_server.build(clock, seed=3, webhook_url=None, client_secret="secret")
    sign = dropbox_sign_server.build(clock, seed=3, callback_url=None, api_key="key")
    hubspot.public_url, sign.public_url = HUB, SIGN
    async with (
        httpx.AsyncClient(
            transport=httpx.ASGITransport(hubspot.asgi),
            base_url=HUB,
            headers={"Authorization": "Bearer token"},
        ) as hub_client,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(sign.asgi), base_url=SIGN, auth=("key", "")
        ) as sign_client,
    ):
        yield Pair(clock, hub_client, sign_client, hubspot, sign)


async def _work(pair: Pair) -> list[str]:
    """A bit of everything that a stand-in remembers; the ids that were given."""
    hub, sign = pair.hub, pair.sign
    seeded = await pair.control(
        hub,
        "seed",
        records=[{"object_type": "deals", "properties": {"dealname": "One", "dealstage": "qualifiedtobuy"}}],
    )
    group = {"name": "extra", "label": "Extra", "type": "string", "fieldType": "text"}
    made = await hub.post("/crm/properties/2026-03/deals", json={**group, "groupName": "dealinformation"})
    stages = [{"label": "Only", "displayOrder": 0, "metadata": {"probability": "0.5"}}]
    pipeline = await hub.post(
        "/crm/pipelines/2026-03/deals", json={"label": "More", "displayOrder": 1, "stages": stages}
    )
    upload = await hub.post(
        "/files/2026-03/files",
        data={"folderPath": "/here", "options": '{"access": "PRIVATE"}'},
        files={"file": ("a.pdf", b"%PDF-1.7 a")},
    )
    assert made.is_success and pipeline.is_success and upload.is_success, (made.text, pipeline.text)
    for client in (hub, sign):
        await pair.control(client, "faults", kind="status", path="/never", probability=0.5)
    await sign.put("/_sandbox/limits", json={"standard": 77, "quota": 5})
    await sign.put("/_sandbox/robots", json=[{"email": ".*", "does": "sign"}])
    await pair.control(sign, "clock/advance", seconds=3600)
    return [*seeded["ids"], made.json()["name"], pipeline.json()["id"], upload.json()["id"]]


async def test_everything_comes_back(pair: Pair) -> None:
    """Records, properties, pipelines, files, dials, robots, faults, request log and virtual time; and again."""
    await _work(pair)
    for client in (pair.hub, pair.sign):
        await pair.control(client, "snapshot", name="worked")
    kept = await pair.look()
    for _ in range(2):
        await _work_on(pair)
        assert await pair.look() != kept
        for client in (pair.hub, pair.sign):
            await pair.control(client, "restore", name="worked")
        assert await pair.look() == kept


async def _work_on(pair: Pair) -> None:
    """Changes to all of it, a reset of one of them too."""
    await pair.control(
        pair.hub,
        "rep",
        object_type="deals",
        id=(await pair.hub.get("/_sandbox/state?type=deals")).json()["records"][0]["id"],
        properties={"dealname": "Two"},
    )
    await pair.hub.delete("/crm/properties/2026-03/deals/extra")
    await pair.hub.delete("/_sandbox/requests")
    await pair.hub.delete("/_sandbox/faults")
    await pair.control(pair.sign, "clock/advance", seconds=86_400)
    await pair.control(pair.sign, "reset", seed=9)


async def test_the_same_calls_give_the_same_ids_after_it(pair: Pair) -> None:
    """Counters and dice come back, too."""
    await pair.control(pair.hub, "snapshot")
    await pair.control(pair.sign, "snapshot")
    first = await _work(pair)
    for client in (pair.hub, pair.sign):
        await pair.control(client, "restore")
    assert await _work(pair) == first


async def test_webhooks_are_as_they_were(pair: Pair) -> None:
    """Target and subscriptions come back; what the account before had still to tell stays untold."""
    where = {
        "target_url": "http://127.0.0.1:9/hook",
        "subscriptions": [{"subscriptionType": "deal.creation"}],
    }
    assert (await pair.hub.put("/_sandbox/webhooks", json=where)).is_success
    await pair.control(pair.hub, "snapshot")
    await pair.hub.put("/_sandbox/webhooks", json={"target_url": None, "subscriptions": []})
    await pair.control(pair.hub, "restore")
    events = pair.hubspot.portal.events
    assert events.target_url == where["target_url"]
    assert [s.type for s in events.subscriptions] == ["deal.creation"]
    properties = {"dealname": "One", "dealstage": "qualifiedtobuy"}
    made = await pair.hub.post("/crm/objects/2026-03/deals", json={"properties": properties})
    assert made.is_success, made.text
    assert (await pair.hub.post("/_sandbox/snapshot")).status_code == 409  # its event is being gathered
    await pair.control(pair.hub, "restore")
    await pair.control(pair.hub, "clock/advance", seconds=1)
    await asyncio.sleep(0)
    assert (await pair.hub.get("/_sandbox/deliveries")).json()["deliveries"] == []


async def test_nothing_is_kept_while_something_is_under_way(pair: Pair) -> None:
    """An open signature request has timers, which no snapshot can hold: 409, with the reason."""
    request = {
        "title": "Contract",
        "signers": [{"name": "Ada", "email_address": "ada@buyer.example"}],
        "file_urls": ["http://127.0.0.1:9/contract.pdf"],
        "test_mode": True,
    }
    sent = await pair.sign.post("/v3/signature_request/send", json=request)
    assert sent.is_success, sent.text
    refused = await pair.sign.post("/_sandbox/snapshot", json={"name": "open"})
    assert refused.status_code == 409 and "1 signature requests are open" in refused.json()["detail"]
    assert (await pair.sign.post("/_sandbox/restore", json={"name": "open"})).status_code == 404


async def test_the_last_twenty_are_kept(pair: Pair) -> None:
    """Older ones are forgotten; taking a name again replaces it."""
    for number in range(21):
        await pair.control(pair.hub, "snapshot", name=f"s{number}")
    await pair.control(pair.hub, "snapshot", name="s1")
    assert (await pair.hub.post("/_sandbox/restore", json={"name": "s0"})).status_code == 404
    for number in (1, 20):
        await pair.control(pair.hub, "restore", name=f"s{number}")
