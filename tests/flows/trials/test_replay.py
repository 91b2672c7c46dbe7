"""Replays against the stand-ins: dry ones write nothing anywhere, live ones do nothing twice."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from flows.contracts import advance_on_signature, send_contract
from flows.deals import sync_deals
from flows.gateway.app import build_app
from flows.leads import intake_leads
from flows.ledger import inbox, tables
from flows.ledger.inbox import NewEvent
from flows.proposals import generate_proposal
from flows.trials.replay import ReplayError, Report, again, dry_run, find

ADA, CARLA = "ada@analytical-engines.example", "carla.conrad@example.com"
LEAD = {"email": "grace@navy.example", "first_name": "Grace", "company": "Navy Yard", "message": "Hello"}


class Replays:
    """Deliveries come in through the gateway's own routes; their events are replayed."""

    def __init__(self, world: Any, desk: Any, sales: Any, gateway: httpx.AsyncClient) -> None:
        self.world, self.desk, self.sales, self.gateway = world, desk, sales, gateway
        self.s = desk.s
        self.looked = False  # whether the last dry run asked HubSpot anything

    async def lead(self, **more: Any) -> int:
        headers = {"Authorization": "Bearer test-leads-token", **more.pop("headers", {})}
        answer = await self.gateway.post("/leads", headers=headers, **(more or {"json": LEAD}))
        assert answer.status_code == 202, answer.text
        return await self.newest()

    async def hint(self, deal_id: str) -> int:
        body = json.dumps([{"subscriptionType": "deal.propertyChange", "objectId": int(deal_id)}]).encode()
        proof = hashlib.sha256(b"sandbox-client-secret" + body).hexdigest()
        answer = await self.gateway.post(
            "/webhooks/hubspot", content=body, headers={"X-HubSpot-Signature": proof}
        )
        assert answer.status_code == 200, answer.text
        return await self.newest()

    async def callback(self, event_type: str, request: dict[str, Any]) -> int:
        event_hash = hmac.new(b"sandbox-api-key", f"1{event_type}".encode(), hashlib.sha256).hexdigest()
        event = {"event_time": "1", "event_type": event_type, "event_hash": event_hash}
        told = json.dumps({"event": event, "signature_request": request})
        answer = await self.gateway.post("/webhooks/dropbox-sign", files={"json": (None, told)})
        assert answer.status_code == 200, answer.text
        return await self.newest()

    async def newest(self) -> int:
        async with self.s.ledger.read() as tx:
            return (await inbox.listing(tx, limit=1))[0].id

    async def rows(self) -> dict[str, list[Any]]:
        """Everything in the real ledger."""
        async with self.s.ledger.read() as tx:
            return {
                table.name: [
                    tuple(r) for r in await tx.execute(sa.select(table).order_by(*table.primary_key))
                ]
                for table in tables.metadata.sorted_tables
            }

    def writes(self) -> list[str]:
        """Calls to either vendor that could change something."""
        calls = [*self.world.calls("hub", "/"), *self.world.calls("sign", "/")]
        reads = ("/batch/read", "/search")
        return [
            f"{c['method']} {c['path']}"
            for c in calls
            if c["method"] != "GET" and not (c["method"] == "POST" and c["path"].endswith(reads))
        ]

    async def dry(self, event_id: int) -> Report:
        """A dry run; it has written nothing: not at the vendors, not in the ledger."""
        before = await self.rows()
        self.world.forget_calls()
        (found,) = await find(self.s.ledger, [event_id], portal_id="")
        report = await dry_run(self.s, found)
        assert await self.rows() == before
        assert self.writes() == []
        self.looked = bool(self.world.calls("hub", "/"))
        json.dumps(report.as_json())  # plain values only
        return report

    async def live(self, event_id: int) -> int:
        found = await find(self.s.ledger, [event_id], portal_id="")
        return (await again(self.s.ledger, found, now=self.s.clock()))[event_id]

    def made(self) -> dict[str, int]:
        """How much there is at the vendors."""
        kinds = ("contacts", "companies", "deals", "notes", "tasks")
        counted = {kind: len(self.world.records(kind)) for kind in kinds}
        return {**counted, "files": len(self.world.files()), "requests": len(self.world.requests())}


@pytest.fixture
async def replays(world: Any, desk: Any, sales: Any) -> AsyncIterator[Replays]:
    await desk.s.portal()
    app = build_app(desk.s.settings, desk.s.ledger, desk.s.clock)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://gate.example") as gateway:
        yield Replays(world, desk, sales, gateway)


def keys(report: Report, how: str) -> list[str]:
    return [p.key for p in report.planned if p.how == how]


async def test_a_new_lead_names_its_first_write(replays: Replays) -> None:
    """Intake writes by unique keys, without effects: the dry run stops at the first write and names it."""
    event_id = await replays.lead()

    report = await replays.dry(event_id)

    assert report.state == "unknown" and report.sha256
    assert report.first_write == "hubspot batch_upsert_companies: would write 1 row(s) of companies"
    assert replays.looked
    assert "byte for byte" in report.origin and "hangs on the answer" in report.verdict


@pytest.mark.parametrize(
    "sent", [{"json": LEAD}, {"data": LEAD}, {"files": {k: (None, v) for k, v in LEAD.items()}}]
)
async def test_a_lead_is_read_again_however_it_was_sent(replays: Replays, sent: dict[str, Any]) -> None:
    """JSON, form, multipart: the stored bytes and headers give the very same event again."""
    event_id = await replays.lead(**sent, headers={"Idempotency-Key": "form-17"})

    (found,) = await find(replays.s.ledger, [event_id], portal_id="")

    assert found.origin.startswith("read again from delivery 1") and "something else" not in found.origin


async def test_a_lead_that_became_a_deal_comes_again(replays: Replays) -> None:
    """Dry: only links would be made again. Live: no second company, contact or deal; the row that was is untouched."""
    event_id = await replays.lead()
    assert (await replays.desk.run(intake_leads, event_id)).state == "done"
    made, before = replays.made(), (await replays.rows())["inbox"]
    replays.world.advance(60)  # HubSpot's search lags

    report = await replays.dry(event_id)
    new_id = await replays.live(event_id)
    end = await replays.desk.run(intake_leads, new_id)

    assert report.row.state == "done" and "contacts to companies" in str(report.first_write)
    assert end.state == "done" and replays.made() == made
    rows = (await replays.rows())["inbox"]
    assert [r for r in rows if r[0] == event_id] == [r for r in before if r[0] == event_id]
    old, new = [await replays.desk.event(i) for i in (event_id, new_id)]
    assert new.source == "replay" and new.key.startswith(f"{event_id}:")
    for name in ("kind", "lane", "content", "deal_id", "delivery_id", "received_at"):
        assert getattr(new, name) == getattr(old, name), name


async def test_the_same_bytes_under_other_headers(replays: Replays) -> None:
    """One body, two submissions: the second row has no bytes of its own key, and its stored content is taken."""
    await replays.lead(json=LEAD, headers={"Idempotency-Key": "one"})
    second = await replays.lead(json=LEAD, headers={"Idempotency-Key": "two"})

    report = await replays.dry(second)

    assert "no event under this key" in report.origin and "stored content" in report.origin


async def test_a_held_contract_would_go_out_now(replays: Replays) -> None:
    """The missing fact has arrived: the plan names the contract, the note and the deal, and nothing is sent."""
    deal_id = await replays.sales.deal("closing", proposal=False)
    event_id = await replays.desk.record("contract.due", deal_id)
    assert (await replays.desk.run(send_contract, event_id)).state == "held"
    assert (await replays.dry(event_id)).state == "held"
    await replays.sales.proposal_on_file(deal_id)

    report = await replays.dry(event_id)

    assert report.state == "done" and "stored content" in report.origin and report.row.state == "held"
    assert replays.looked
    assert keys(report, "would be done") == [
        f"contract:{deal_id}:1",
        f"note:{deal_id}:contract:1",
        f"deal:{deal_id}:contract:1",
    ]
    assert any(record == "request (new)" for _, record, _ in report.steps)
    assert replays.world.requests(deal_id) == [] and "3 outward" in report.verdict
    assert "would be done: send_contract" in "\n".join(report.lines())


async def test_a_sent_contract_is_not_sent_again(replays: Replays) -> None:
    """Done: dry reports it with what was written then; live adds nothing. Also once it has expired."""
    deal_id = await replays.sales.deal("closing")
    event_id = await replays.desk.record("contract.due", deal_id)
    assert (await replays.desk.run(send_contract, event_id)).state == "done"
    made = replays.made()

    report = await replays.dry(event_id)

    assert report.state == "ignored" and "exists already" in report.summary and report.writes == []
    assert [e.state for e in report.happened] == ["done"] * 3
    for state in ("open", "expired"):
        async with replays.s.ledger.write() as tx:
            await tx.execute(tables.contracts.update().values(state=state))
        replays.world.advance(60)
        assert (await replays.dry(event_id)).state == "ignored"
        end = await replays.desk.run(send_contract, await replays.live(event_id))
        assert end.state == "ignored" and replays.made() == made


async def test_a_half_recorded_contract_shows_what_is_left(replays: Replays) -> None:
    """Sent, but the note is missing: the send is done already, the note and the deal would be written."""
    deal_id = await replays.sales.deal("closing")
    replays.world.fault("hub", "status", "/objects/[^/]+/notes$", method="POST", status=400)
    event_id = await replays.desk.record("contract.due", deal_id)
    await replays.desk.run(send_contract, event_id)
    replays.world.clear_faults()

    report = await replays.dry(event_id)

    assert keys(report, "done already") == [f"contract:{deal_id}:1"]
    assert keys(report, "would be done") == [f"note:{deal_id}:contract:1", f"deal:{deal_id}:contract:1"]


async def test_a_signature_before_and_after(replays: Replays) -> None:
    """Dry before: it would win the deal and file the PDF. Handled, then again: nothing is left to do, also live."""
    deal_id = await replays.sales.deal("closing")
    await replays.desk.do(send_contract, "contract.due", deal_id)
    (request,) = replays.world.requests(deal_id)
    request_id = request["signature_request_id"]
    await replays.sales.opened(request_id)
    for email in (ADA, CARLA):
        replays.world.sign_act(request_id, email, "sign")
    replays.world.advance(1)
    told = {"signature_request_id": request_id, "metadata": request["metadata"]}
    event_id = await replays.callback("signature_request_all_signed", told)

    before = await replays.dry(event_id)
    assert before.state == "done" and before.origin.startswith("read again")
    assert keys(before, "would be done") == [
        f"deal:{deal_id}:completed:1:stage",
        f"file:signed:{deal_id}:1",
        f"note:{deal_id}:signed:1",
        f"deal:{deal_id}:signed:1",
    ]
    assert await replays.sales.stage_of(deal_id) == "closing"
    with pytest.raises(ReplayError, match="is due: it will be handled"):
        await replays.live(event_id)

    assert (await replays.desk.run(advance_on_signature, event_id)).state == "done"
    made = replays.made()
    after = await replays.dry(event_id)
    end = await replays.desk.run(advance_on_signature, await replays.live(event_id))

    assert after.state == end.state == "ignored" and "done with" in after.summary
    assert after.planned == [] and after.verdict == "would write nothing" and replays.made() == made
    assert len(after.happened) == 4 and await replays.sales.stage_of(deal_id) == "won"


async def test_a_check_for_a_file_does_not_upload_it(replays: Replays) -> None:
    """Looking for a file means uploading it again under its name: a dry run does not even do that."""
    deal_id = await replays.sales.deal("presentation", proposal=False)
    replays.world.fault("hub", "status_after", "/files", method="POST", status=502, times=4)
    event_id = await replays.desk.record("proposal.due", deal_id)
    await replays.desk.run(generate_proposal, event_id)
    replays.world.clear_faults()

    report = await replays.dry(event_id)

    assert keys(report, "would be done")[0] == f"file:proposal:{deal_id}:1" and report.state == "done"


async def test_a_proposal_comes_again(replays: Replays) -> None:
    """Same content: no second file or note, only the deal is pointed at the same proposal once more."""
    deal_id = await replays.sales.deal("presentation", proposal=False)
    event_id = await replays.desk.record("proposal.due", deal_id)
    assert (await replays.desk.run(generate_proposal, event_id)).state == "done"
    made = replays.made()

    report = await replays.dry(event_id)
    new_id = await replays.live(event_id)
    end = await replays.desk.run(generate_proposal, new_id)

    assert keys(report, "done already") == [f"file:proposal:{deal_id}:1", f"note:{deal_id}:proposal:1"]
    assert keys(report, "would be done") == [f"deal:{deal_id}:proposal:1:{new_id}"]
    assert end.state == "done" and replays.made() == made


async def test_a_proposal_that_an_operator_ordered(replays: Replays) -> None:
    """Ordered by hand it does not ask for the stage; neither does its replay."""
    deal_id = await replays.sales.deal("discussion", proposal=False)
    event_id = await replays.desk.record(
        "proposal.due", deal_id, source="operator", content={"by": "operator"}
    )
    assert (await replays.desk.run(generate_proposal, event_id)).state == "done"

    assert (await replays.dry(event_id)).state == "done"


async def test_a_hint_comes_again(replays: Replays) -> None:
    """Dry: says which events a read of the deal would put into the inbox, without putting it there. Live: it does."""
    deal_id = await replays.sales.deal("discussion")
    await sync_deals.sweep(replays.s)
    event_id = await replays.hint(deal_id)
    assert (await replays.desk.run(sync_deals, event_id)).state == "ignored"
    await replays.sales.move(deal_id, "closing")

    report = await replays.dry(event_id)

    assert report.state == "done" and report.summary == "now due: contract.due" and report.planned == []
    assert await replays.desk.open_events("contract.due") == []
    end = await replays.desk.run(sync_deals, await replays.live(event_id))
    assert end.state == "done" and len(await replays.desk.open_events("contract.due")) == 1
    assert (await replays.dry(event_id)).summary == "mirrored, nothing due"


async def test_a_failure_is_shown_as_one(replays: Replays) -> None:
    """If HubSpot is unavailable the dry run says that the event would be parked, and why."""
    deal_id = await replays.sales.deal("closing")
    event_id = await replays.desk.record("contract.due", deal_id)
    replays.world.fault("hub", "status", "/deals/batch/read", status=401, times=9)

    report = await replays.dry(event_id)

    assert report.state == "parked" and "401" in report.summary


async def test_what_cannot_be_replayed_says_why(replays: Replays) -> None:
    """Unknown, unreadable, not for us, its bytes removed or damaged: one clear line each."""
    ledger, now = replays.s.ledger, replays.s.clock()
    event_id = await replays.lead()
    odd = [
        NewEvent("hubspot", "u", "unreadable", "u", {}, ended=("dead", "the body is not JSON")),
        NewEvent("hubspot", "o", "hubspot.other", "o", {}, ended=("ignored", "nothing is done on it")),
    ]
    async with ledger.write() as tx:
        unreadable, other = (await inbox.record(tx, odd, now=now)).new
    for asked, why in (
        (4711, "there is no event 4711"),
        (unreadable, "is unreadable \\(the body is not JSON\\).*inbox show"),
        (other, "nothing is done on hubspot.other"),
    ):
        with pytest.raises(ReplayError, match=why):
            await find(ledger, [event_id, asked], portal_id="")
    for change, why in (
        (tables.deliveries.update().values(body=b"{}"), "do not fit their sha256"),
        (tables.deliveries.delete(), "its delivery was removed"),
    ):
        async with ledger.write() as tx:
            await tx.execute(change)
        with pytest.raises(ReplayError, match=why):
            await find(ledger, [event_id], portal_id="")


async def test_what_the_gateway_sets_aside_stays_aside(replays: Replays) -> None:
    """The vendor's test of its button: dry says so, live refuses."""
    event_id = await replays.callback("callback_test", {})
    (found,) = await find(replays.s.ledger, [event_id], portal_id="")

    report = await dry_run(replays.s, found)

    assert report.state == "ignored" and "test of the callback" in report.summary
    with pytest.raises(ReplayError, match="set aside again"):
        await replays.live(event_id)


async def test_the_command(replays: Replays, run_dealflow: Any) -> None:
    """Text and JSON, dry and live, several at once; nothing personal in any of it; refusals are one line."""
    event_id = await replays.lead()
    assert (await replays.desk.run(intake_leads, event_id)).state == "done"
    replays.world.advance(60)
    settings = replays.s.settings
    environment = {
        "DEALFLOW_HOME": str(settings.home),
        "DEALFLOW_HUBSPOT_TOKEN": "test-token",
        "DEALFLOW_HUBSPOT_BASE_URL": settings.hubspot_base_url,
        "DEALFLOW_DROPBOX_SIGN_API_KEY": "sandbox-api-key",
        "DEALFLOW_DROPBOX_SIGN_BASE_URL": settings.dropbox_sign_base_url,
    }

    text = run_dealflow("inbox", "replay", str(event_id), **environment)
    as_json = run_dealflow("inbox", "replay", str(event_id), str(event_id), "--json", **environment)
    live = run_dealflow("inbox", "replay", str(event_id), "--live", "--json", **environment)
    unknown = run_dealflow("inbox", "replay", "4711", **environment)
    none = run_dealflow("inbox", "replay", **environment)

    assert text.returncode == 0, text.stderr
    assert "dry run, nothing is written" in text.stdout and "happened: done" in text.stdout
    (report,) = json.loads(as_json.stdout)
    assert report["happened"]["state"] == "done" and "associate_default" in report["would"]["first_write"]
    assert json.loads(live.stdout) == [{"id": event_id, "replayed_as": event_id + 1}]
    assert (
        unknown.returncode == 1 and unknown.stderr.strip() == "dealflow: there is no event 4711 in the inbox"
    )
    assert none.returncode == 2 and "at least one event" in none.stderr
    said = text.stdout + as_json.stdout + text.stderr + as_json.stderr
    assert not any(secret in said for secret in ("grace@navy.example", "Grace", "Navy Yard", "Hello"))
    listed = json.loads(run_dealflow("inbox", "list", "--json", **environment).stdout)
    shown = json.loads(run_dealflow("inbox", "show", str(event_id), "--json", **environment).stdout)
    assert [r["failures"] for r in listed] == [0, 0] and shown["failures"] == 0
