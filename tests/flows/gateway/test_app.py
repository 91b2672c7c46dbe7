"""The gateway as a whole: start-up, a ledger that cannot be written, health, metrics, the ops page, its log."""

import asyncio
import hashlib
import hmac
import json
import logging
import re
import sqlite3
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from config.settings import SettingsError
from flows.gateway import ops_page
from flows.ledger import contracts, documents, follow_ups, inbox, mirror, presence
from flows.ledger.database import open_ledger
from flows.ledger.inbox import NewEvent
from flows.ledger.mirror import MirrorRow
from flows.services import utc_now

from_env = pytest.mark.gate
OPS = httpx.BasicAuth("ops", "test-ops-password")
LEAD = {"email": "ada@buyer.example", "first_name": "Ada", "message": "hello"}
BEARER = {"Authorization": "Bearer test-leads-token"}


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"DEALFLOW_DROPBOX_SIGN_API_KEY": ""}, "DEALFLOW_DROPBOX_SIGN_API_KEY"),
        ({"DEALFLOW_HUBSPOT_CLIENT_SECRET": ""}, "DEALFLOW_HUBSPOT_CLIENT_SECRET"),
        ({"DEALFLOW_LEADS_TOKEN": ""}, "DEALFLOW_LEADS_TOKEN"),
    ],
)
def test_a_missing_secret_stops_the_start(make_gate: Any, environment: dict[str, str], named: str) -> None:
    """An enabled route without its secret: the gateway does not start and names the setting."""
    with pytest.raises(SettingsError, match=named):
        make_gate(**environment)


@from_env(
    DEALFLOW_HUBSPOT_WEBHOOKS="off",
    DEALFLOW_HUBSPOT_CLIENT_SECRET="",
    DEALFLOW_LEADS="off",
    DEALFLOW_LEADS_TOKEN="",
    DEALFLOW_OPS_PASSWORD="",
)
async def test_what_has_no_secret_is_not_there(gate: Any) -> None:
    """Routes switched off, and the ops page without a password, do not exist: never an empty key."""
    for path in ("/webhooks/hubspot", "/leads"):
        assert (await gate.post(path, content=b"[]")).status_code == 404
    assert (await gate.get("/", auth=httpx.BasicAuth("ops", ""))).status_code == 404
    assert (await gate.post("/webhooks/dropbox-sign", content=b"")).status_code == 401


@from_env(DEALFLOW_LEADS_TOKEN="", DEALFLOW_LEADS_HMAC_SECRET="lead-secret")
async def test_an_unset_token_opens_nothing(gate: Any) -> None:
    """With only the HMAC set, no bearer, and above all no empty one, is accepted."""
    for bearer in ("Bearer", "Bearer None", "bearer x"):
        answer = await gate.post("/leads", json=LEAD, headers={"Authorization": bearer})
        assert answer.status_code == 401


async def test_no_documentation_routes(gate: Any) -> None:
    """The framework's own pages are off."""
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert (await gate.get(path)).status_code == 404


async def _all_three(gate: Any) -> list[httpx.Response]:
    """A genuine delivery at each route."""
    body = json.dumps([{"subscriptionType": "deal.creation", "objectId": 1}]).encode()
    event_hash = hmac.new(b"sandbox-api-key", b"1signature_request_sent", hashlib.sha256).hexdigest()
    callback = {
        "event": {"event_time": "1", "event_type": "signature_request_sent", "event_hash": event_hash},
        "signature_request": {"signature_request_id": "r"},
    }
    v1 = {"X-HubSpot-Signature": hashlib.sha256(b"sandbox-client-secret" + body).hexdigest()}
    return list(
        await asyncio.gather(
            gate.post("/webhooks/hubspot", content=body, headers=v1),
            gate.post("/webhooks/dropbox-sign", data={"json": json.dumps(callback)}),
            gate.post("/leads", json=LEAD, headers=BEARER),
        )
    )


@pytest.mark.gate(busy_s=0.2)
async def test_a_locked_ledger_acknowledges_nothing_and_recovers(gate: Any) -> None:
    """Another process holds the write lock: 503 at every route, nothing is stored; later all is taken."""
    locked, free = threading.Event(), threading.Event()

    def hold() -> None:
        with sqlite3.connect(gate.database, isolation_level=None) as db:
            db.execute("BEGIN IMMEDIATE")
            locked.set()
            free.wait(30)
            db.execute("ROLLBACK")

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        await asyncio.to_thread(locked.wait, 10)
        answers = await _all_three(gate)
        health = await gate.get("/healthz")
    finally:
        free.set()
        holder.join(30)

    assert [a.status_code for a in answers] == [503] * 3
    assert not any("Hello API Event Received" in a.text for a in answers)
    assert health.status_code == 503
    assert gate.rows("deliveries") == gate.rows("inbox") == []

    assert [a.status_code for a in await _all_three(gate)] == [200, 200, 202]
    assert len(gate.rows("inbox")) == 3


async def test_a_ledger_that_may_not_be_written_acknowledges_nothing(gate: Any) -> None:
    """A disk that has gone read-only: 503, and /healthz reports the ledger."""

    @sa.event.listens_for(gate.ledger.engine.sync_engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("PRAGMA query_only=ON")

    assert [a.status_code for a in await _all_three(gate)] == [503] * 3
    assert gate.rows("deliveries") == gate.rows("inbox") == []


async def test_a_ledger_that_is_gone_acknowledges_nothing(gate: Any) -> None:
    """The tables were dropped: 503 at the routes, at /metrics and at /healthz, never a bare crash."""
    with sqlite3.connect(gate.database) as db:
        for table in ("deliveries", "inbox", "counts", "workers"):
            db.execute(f"drop table {table}")

    assert [a.status_code for a in await _all_three(gate)] == [503] * 3
    for path in ("/healthz", "/metrics"):
        assert (await gate.get(path)).status_code == 503
    assert (await gate.post("/leads", json=LEAD)).status_code == 503  # cannot even count the refusal


async def _worker(gate: Any, **more: Any) -> None:
    now = utc_now()
    told = {"started_at": now, "seen_at": now, "wake_port": None, "prefect_ok": True, "note": None, **more}
    ledger = await _own(gate)
    async with ledger.write() as tx:
        await presence.report(tx, presence.Worker("host:1:a", **told))
    await ledger.close()


async def _own(gate: Any) -> Any:
    """A second handle on the gateway's ledger, for this test's own loop."""
    return await open_ledger(f"sqlite+aiosqlite:///{gate.database}", migrate=False)


async def test_health_follows_the_workers(gate: Any) -> None:
    """503 without a worker and while one cannot reach Prefect, each time with what to do; else 200."""
    answer = await gate.get("/healthz")
    assert answer.status_code == 503 and "start `dealflow worker`" in answer.json()["notes"][0]

    await _worker(gate)
    answer = await gate.get("/healthz")
    assert answer.status_code == 200 and answer.json()["workers"] == 1

    await _worker(gate, prefect_ok=False, note="Prefect server unavailable: ConnectError")
    answer = await gate.get("/healthz")
    assert answer.status_code == 503 and answer.json()["prefect"] == "away"


async def test_metrics_are_what_prometheus_reads(gate: Any) -> None:
    """The text parses, and counts refusals, inbox rows and workers as they are."""
    await _all_three(gate)
    await gate.post("/leads", json=LEAD)
    await gate.post("/webhooks/hubspot", content=b"[]")
    await gate.post("/webhooks/hubspot", content=b"[]")

    answer = await gate.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {f.name: f for f in text_string_to_metric_families(answer.text)}
    samples = {(s.name, *s.labels.values()): s.value for f in families.values() for s in f.samples}
    assert families["dealflow_count"].type == "counter"
    assert samples["dealflow_count_total", "refused.hubspot.401"] == 2
    assert samples["dealflow_count_total", "refused.lead.401"] == 1
    assert samples["dealflow_inbox_events", "due"] == 3
    assert samples["dealflow_workers_alive",] == 0


@pytest.mark.parametrize(
    "auth", [None, httpx.BasicAuth("ops", "wrong"), httpx.BasicAuth("root", "test-ops-password")]
)
async def test_the_ops_page_needs_a_login(gate: Any, auth: Any) -> None:
    """No login, a wrong password, a wrong user: 401 and a prompt, and nothing of the page."""
    answer = await gate.get("/", auth=auth)

    assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Basic")
    assert "Pipeline" not in answer.text


async def _furnish(gate: Any) -> None:
    now = utc_now()
    ledger = await _own(gate)
    async with ledger.write() as tx:
        await mirror.keep_portal_facts(tx, {"portal_id": "777", "stages": {"closing": "55"}}, now=now)
        named = {"dealname": "<script>alert(1)</script> & Sons", "dealstage": "55", "amount": "1<b>"}
        await mirror.keep(tx, [MirrorRow("deals", "4122", named, now)], now=now)
        told = [
            ("held", "no contact on the deal is labelled as signer <i>"),
            ("dead", "an entry that is no event"),
            ("parked", "dropbox_sign send: try again later"),
        ]
        for state, reason in told:
            new = NewEvent("test", state, "contract.due", f"lane {state}", {}, deal_id="4122")
            await inbox.record(tx, [new], now=now)
            (event,) = await inbox.claim(tx, owner="w", now=now, lease_s=60, limit=1)
            await inbox.settle(tx, event.id, owner="w", state=state, now=now, reason=reason)
            await tx.execute(
                sa.text("update inbox set due_at = '2099-01-01 00:00:00.000000' where state != 'dead'")
            )
        paper = await documents.freeze(
            tx,
            deal_id="4122",
            kind="contract",
            source_sha256="a",
            sha256="b",
            title="t",
            content=b"c",
            now=now,
        )
        signer = {"name": "<img src=x>", "email": "ada@buyer.example", "role": "client", "order": 0}
        await contracts.begin(
            tx, deal_id="4122", token="t" * 32, paper_id=paper.id, signers=[signer], test_mode=True, now=now
        )
    await ledger.close()


async def test_the_ops_page_shows_all_and_runs_nothing(gate: Any) -> None:
    """Deals, contracts, held and dead events with their reasons; names are text, never markup; no script may run."""
    await _furnish(gate)

    answer = await gate.get("/", auth=OPS)

    assert answer.status_code == 200
    page = answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Sons" in page and "<script" not in page
    assert "<img" not in page and "&lt;img src=x&gt;" in page and "<i>" not in page
    assert "labelled as signer" in page and "an entry that is no event" in page and "try again later" in page
    assert "/contacts/777/record/0-3/4122" in page
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert "ada@buyer.example" not in page and "t" * 32 not in page


@pytest.mark.parametrize("name", ["ops.html", "deals.html"])
def test_each_value_has_a_label(name: str) -> None:
    """On a phone, where rows become blocks: each cell carries a label, in every table of the page."""
    page = (Path(ops_page.__file__).parent / "pages" / name).read_text()
    assert re.findall(r"<td[^>]* data-l=", page) and not re.search(r"<td(?![^>]* data-l=)", page)


async def test_what_needs_a_person_stands_first(gate: Any) -> None:
    """Dead letters and rows that failed again and again, with reason, next try and the command; others below."""
    await _furnish(gate)
    now = utc_now()
    ledger = await _own(gate)
    async with ledger.write() as tx:
        news = [
            NewEvent("test", "long", "proposal.due", "lane long", {}, deal_id="4123"),
            NewEvent("test", "u", "unreadable", "u", {}, ended=("dead", "the body is not JSON")),
        ]
        long_id, unreadable_id = (await inbox.record(tx, news, now=now)).new
        for _ in range(5):
            await inbox.claim(tx, owner="w", now=now, lease_s=60, limit=1, only_ids=[long_id])
            soon = now + timedelta(minutes=30, seconds=30)
            await inbox.settle(
                tx, long_id, owner="w", state="parked", now=now, due_at=soon, reason="hubspot read: <away>"
            )
    await ledger.close()

    page = (await gate.get("/", auth=OPS)).text

    alarm, rest = page.split("<h2>Pipeline</h2>")
    assert "<h2>Needs a person</h2>" in alarm
    assert "an entry that is no event" in alarm and "an entry that is no event" not in rest
    assert "hubspot read: &lt;away&gt;" in alarm and "in 30 min" in alarm and "hubspot read" not in rest
    assert f"dealflow inbox retry {long_id}" in alarm and f"dealflow inbox replay {long_id}" not in alarm
    assert "dealflow inbox replay 2" in alarm and "dealflow inbox retry 2" in alarm
    assert f"inbox show {unreadable_id}" in alarm and f"inbox retry {unreadable_id}" not in alarm
    assert "try again later" in rest and "labelled as signer" in rest and "try again later" not in alarm


async def test_deals_to_disqualify_are_listed(gate: Any) -> None:
    """Each flagged deal with its stage, how often it was followed up, and what is unmet in the process file's words."""
    assert "disqualify" not in (await gate.get("/", auth=OPS)).text
    await _furnish(gate)
    now = utc_now()
    ledger = await _own(gate)
    async with ledger.write() as tx:
        for deal_id, stage, unmet in (("4122", "qualification", ["need_stated"]), ("9", "gone", ["no_more"])):
            await follow_ups.begin(
                tx,
                deal_id=deal_id,
                stage=stage,
                entered_at=now,
                number=3,
                unmet=unmet,
                flagged=True,
                now=now - timedelta(days=4),
            )
    await ledger.close()

    page = (await gate.get("/", auth=OPS)).text

    listed = page.split("Deals to disqualify?")[1].split("</section>")[0]
    assert (
        "Qualification" in listed and "The buyer has told us what they need" in listed and "4 d ago" in listed
    )
    assert (
        "/contacts/777/record/0-3/4122" in listed and "&lt;script&gt;" in listed and "<script" not in listed
    )
    assert "gone" in listed and "no_more" in listed and 'href="deals/9"' in listed


async def test_no_alarm_without_a_cause(gate: Any) -> None:
    """Without dead or long parked events the page begins with the pipeline."""
    assert "Needs a person" not in (await gate.get("/", auth=OPS)).text


async def test_neither_secrets_nor_people_reach_the_log(gate: Any, caplog: Any) -> None:
    """For accepted, refused and failing deliveries: no name, address, token, key or body in any log line."""
    caplog.set_level(logging.DEBUG)
    await _all_three(gate)
    await gate.post("/leads", json={**LEAD, "company": ["Secret Buyer"]}, headers=BEARER)
    await gate.post("/leads", json=LEAD, headers={"Authorization": "Bearer stolen-token"})
    await gate.post("/webhooks/hubspot", content=b'[{"propertyValue": "Ada Byron"}]')
    with sqlite3.connect(gate.database) as db:
        db.execute("drop table deliveries")
    assert [a.status_code for a in await _all_three(gate)] == [503] * 3

    # The command keeps the database driver and the HTTP client quiet at every level.
    foreign = ("httpcore", "httpx", "aiosqlite", "asyncio")
    ours = [r.getMessage() + (r.exc_text or "") for r in caplog.records if not r.name.startswith(foreign)]
    assert any("delivery stored" in line for line in ours) and any("not writable" in line for line in ours)
    told = "\n".join(ours)
    for secret in (
        "ada@buyer.example",
        "Ada",
        "Secret Buyer",
        "stolen-token",
        "test-leads-token",
        "sandbox-api-key",
        "sandbox-client-secret",
        "test-ops-password",
    ):
        assert secret not in told


async def test_a_burst_is_stored_whole(gate: Any) -> None:
    """Two hundred leads at once: each acknowledged one is a row."""
    answers = await asyncio.gather(
        *(
            gate.post("/leads", json={**LEAD, "email": f"buyer{n}@b{n}.example"}, headers=BEARER)
            for n in range(200)
        )
    )

    assert {a.status_code for a in answers} == {202}
    assert {a.json()["lead"] for a in answers} == {r["event_key"] for r in gate.rows("inbox")}


async def test_workers_are_woken(gate: Any) -> None:
    """A stored event sends a datagram to the UDP port of a worker of this machine at once."""
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()

    class WakeSocket(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            heard.set()

    transport, _ = await loop.create_datagram_endpoint(WakeSocket, local_addr=("127.0.0.1", 0))
    await _worker(gate, wake_port=transport.get_extra_info("sockname")[1])
    try:
        await gate.post("/leads", json=LEAD, headers=BEARER)
        async with asyncio.timeout(30):
            await heard.wait()
    finally:
        transport.close()
