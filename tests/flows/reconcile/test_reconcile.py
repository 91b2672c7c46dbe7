"""Reconciling: without any callback the end is the same, only later; what people did is reported and left alone.

No callback URL is set at the stand-in: nothing that happens at Dropbox Sign ever reaches us.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flows.contracts import advance_on_signature, send_contract
from flows.contracts.callback_url import may_restore
from flows.deals import sync_deals
from flows.deals.stage_entries import watch_from_now
from flows.ledger import contracts, effects, inbox, tables
from flows.ledger.inbox import NewEvent
from flows.processes import flow_for
from flows.reconcile.compare import reconcile_all
from flows.reconcile.findings import Reconciled

ADA, CARLA = "ada@analytical-engines.example", "carla.conrad@example.com"
KEY = ("sandbox-api-key", "")


class Office:
    """Deals with contracts that are out, the reconciler, and a worker that empties the inbox."""

    def __init__(self, world: Any, desk: Any, sales: Any) -> None:
        self.world, self.desk, self.sales = world, desk, sales
        self.deal_id = self.request_id = ""
        self.buyer = ADA

    async def contract_out(self, **deal: Any) -> "Office":
        self.deal_id = await self.sales.deal("closing", **deal)
        end = await self.desk.do(send_contract, "contract.due", self.deal_id)
        assert end.state == "done", end
        (request,) = self.world.requests(self.deal_id)
        self.request_id = request["signature_request_id"]
        await self.sales.opened(self.request_id)
        return self

    def everybody_signs(self) -> None:
        for email in (self.buyer, CARLA):
            self.world.sign_act(self.request_id, email, "sign")
        self.world.advance(1)

    def cancel(self, request_id: str = "") -> None:
        route = f"/v3/signature_request/cancel/{request_id or self.request_id}"
        self.world.sign.post(route, auth=KEY).raise_for_status()
        self.world.advance(1)

    async def compare(self, **settings: Any) -> Reconciled:
        """Reconcile, without a word about the callback URL unless asked for."""
        url = f"{self.desk.s.settings.base_url}/webhooks/dropbox-sign"
        if not settings:
            self.world.sign.put("/_sandbox/callback", json={"url": url}).raise_for_status()
        s = replace(
            self.desk.s,
            settings=self.desk.s.settings.model_copy(update=settings),
            esign=replace(self.desk.s.esign, client_id=settings.get("dropbox_sign_client_id")),
        )
        done = await reconcile_all(s)
        if not settings:
            self.world.sign.put("/_sandbox/callback", json={"url": None}).raise_for_status()
        return done

    async def empty_inbox(self) -> list[Any]:
        """Handle what is due until nothing is, each kind by its flow; the ends."""
        ended: list[Any] = []
        while events := await self.desk.claim():
            for event in events:
                flow = flow_for(event.kind).load()
                ended += (await self.desk.work(flow, [event])).values()
        return ended

    async def contract(self) -> Any:
        async with self.desk.s.ledger.read() as tx:
            return await contracts.latest(tx, self.deal_id)

    async def end_state(self) -> dict[str, Any]:
        """What it all came to, without ids and times."""
        deal = self.world.record("deals", self.deal_id)
        contract = await self.contract()
        notes = [n["properties"]["hs_note_body"] for n in self.sales.notes_of(self.deal_id)]
        async with self.desk.s.ledger.read() as tx:
            keys = [e.key for e in await effects.listing(tx, states=["done"], deal_id=self.deal_id)]
        return {
            "stage": await self.sales.stage_of(self.deal_id),
            "moves": len(deal["history"]["dealstage"]),
            "status": deal["properties"]["dealflow_contract_status"],
            "filed": bool(deal["properties"].get("dealflow_signed_file_id")),
            "files": [f["name"].split("-")[0] for f in self.world.files() if self.deal_id in f["name"]],
            "notes": sorted(re.sub(r"[0-9a-f]{20,}", "…", body) for body in notes),
            "contract": (contract.state, contract.revision, contract.reason),
            "effects": sorted(key.replace(self.deal_id, "…") for key in keys),
        }


@pytest.fixture
def office(world: Any, desk: Any, sales: Any) -> Office:
    return Office(world, desk, sales)


def whats(done: Reconciled, then: str) -> list[str]:
    return [f["what"] for f in done.as_json()["findings"] if f["then"] == then]


def _buyer(name: str) -> dict[str, Any]:
    """Somebody else than the others, with all that a contract needs."""
    site = f"{name}.example"
    place = {"address": "1 Way", "city": "Paris", "country": "France"}
    contact = {"email": f"ada@{site}", "firstname": "Ada", "lastname": "Byron"}
    return {"contact": contact, "company": {"name": "Engines", "domain": site, **place}}


def _declines(office: Office) -> None:
    office.world.sign_act(office.request_id, office.buyer, "decline", reason="Too dear")


def _expires(office: Office) -> None:
    office.world.advance(31 * 86_400 + 3600)


ENDINGS: dict[str, Callable[[Office], None]] = {
    "completed": Office.everybody_signs,
    "declined": _declines,
    "expired": _expires,
    "canceled": Office.cancel,
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_every_callback_dropped_the_same_end(office: Office, ending: str) -> None:
    """What callbacks bring about, the reconciler does as well, once; and then it has nothing more to find."""
    told = {}
    for way in ("callback", "reconcile"):
        office.buyer = f"ada@{way}.example"
        await office.contract_out(**_buyer(way))
        ENDINGS[ending](office)
        if way == "callback":
            content = {"request_id": office.request_id, "token": (await office.contract()).token}
            await office.desk.do(advance_on_signature, "signature.event", office.deal_id, content=content)
        else:
            found = await office.compare()
            assert [f.event.kind for f in found.findings if f.event] == ["signature.check"], found
            assert found.count("look") == 0
            again = await office.compare()
            assert again.findings == []  # the inbox has it already
            assert [e.state for e in await office.empty_inbox()] == ["done"]
        told[way] = await office.end_state()

    assert told["reconcile"] == told["callback"]
    assert told["reconcile"]["contract"][0] == ending
    assert (await office.compare()).findings == []


async def test_killed_before_the_pdf_was_filed(office: Office) -> None:
    """Won, marked as completed, dead before the PDF: found and finished, with one move, one note, one file."""
    await office.contract_out()
    office.everybody_signs()
    office.world.fault("sign", "status", "/signature_request/files/", status=500, times=4)
    event_id = await office.desk.record("signature.check", office.deal_id, source="test")
    assert isinstance(await office.desk.run(advance_on_signature, event_id), Exception)
    async with office.desk.s.ledger.write() as tx:  # and its event is lost as well
        await tx.execute(tables.inbox.delete().where(tables.inbox.c.id == event_id))
    assert (await office.contract()).state == "completed" and office.world.files() == []

    (found,) = (await office.compare()).findings
    assert found.event and "the signed PDF on the deal" in found.what
    await office.empty_inbox()

    state = await office.end_state()
    assert state["filed"] and state["files"] == ["signed"] and state["moves"] == 2
    assert len(state["notes"]) == 2 and (await office.compare()).findings == []


async def test_a_check_that_did_not_help_is_reported(office: Office) -> None:
    """The same finding is put into the inbox once a day; when it is still there, a person has to look."""
    await office.contract_out()
    _declines(office)
    assert (await office.compare()).count("asked") == 1
    async with office.desk.s.ledger.write() as tx:
        await tx.execute(tables.inbox.update().values(state="ignored"))

    again = await office.compare()
    assert again.count("asked") == 0 and "of today did not fix it" in whats(again, "look")[0]
    office.world.advance(86_400)
    assert (await office.compare()).count("asked") == 1


async def test_a_send_that_was_cut_off_is_brought_to_its_end(office: Office) -> None:
    """Sent, the answer lost, the event gone: adopted and reported on the deal; Dropbox Sign got one contract."""
    office.deal_id = await office.sales.deal("closing")
    due = await office.desk.record("contract.due", office.deal_id)
    office.world.fault("sign", "reset_after", r"/send$")
    await office.desk.run(send_contract, due)
    assert (await office.contract()).state == "sending"
    assert (await office.compare()).findings == []  # its event is parked, and will look by itself
    async with office.desk.s.ledger.write() as tx:
        await tx.execute(tables.inbox.delete().where(tables.inbox.c.id == due))

    found = await office.compare()
    assert [f.event.kind for f in found.findings if f.event] == ["signature.check", "contract.due"]
    await office.empty_inbox()

    assert len(office.world.calls("sign", "/send")) == 1 and len(office.world.requests()) == 1
    assert (await office.contract()).state == "open"
    assert (await office.end_state())["status"] == "sent" and (await office.compare()).findings == []


async def test_resuming_never_sends_a_new_revision(office: Office) -> None:
    """The contract that was to be resumed has ended meanwhile: nothing is sent in its place."""
    await office.contract_out()
    office.cancel()
    await office.desk.do(advance_on_signature, "signature.check", office.deal_id, source="test")
    assert (await office.contract()).state == "canceled" and await office.sales.stage_of(
        office.deal_id
    ) == "closing"

    resumed = await office.desk.do(send_contract, "contract.due", office.deal_id, content={"resume": 1})

    assert resumed.state == "ignored" and len(office.world.calls("sign", "/send")) == 1


async def test_a_quarantined_send_is_left_to_a_person(office: Office) -> None:
    """Nobody can tell whether it went out: reported, not tried."""
    office.deal_id = await office.sales.deal("closing")
    due = await office.desk.record("contract.due", office.deal_id)
    office.world.fault("sign", "reset_before", r"/send$", times=4)
    await office.desk.run(send_contract, due)
    async with office.desk.s.ledger.write() as tx:
        await tx.execute(tables.inbox.delete().where(tables.inbox.c.id == due))
        await tx.execute(tables.effects.update().values(state="quarantined"))

    done = await office.compare()

    assert done.count("asked") == 0 and "quarantined" in whats(done, "look")[0]


async def test_unknown_requests_are_reported(office: Office) -> None:
    """A request with our metadata that the ledger does not know, and two that are open on one deal."""
    await office.contract_out()
    async with office.desk.s.ledger.read() as tx:
        known = await contracts.latest(tx, office.deal_id)
    for token in ("f" * 32, known.token):
        fields = {
            "title": "By hand",
            "test_mode": "1",
            "signers[0][name]": "Ada",
            "signers[0][email_address]": ADA,
            "metadata[dealflow_token]": token,
            "metadata[deal_id]": office.deal_id,
        }
        files = {"files[0]": ("c.pdf", known_pdf(office), "application/pdf")}
        office.world.sign.post(
            "/v3/signature_request/send", data=fields, files=files, auth=KEY
        ).raise_for_status()
    office.world.advance(5)

    done = await office.compare()

    told = " / ".join(whats(done, "look"))
    assert done.count("asked") == 0
    assert "this ledger does not know it" in told and "a second request for contract revision 1" in told
    assert "3 requests are open for signature on one deal" in told


def known_pdf(office: Office) -> bytes:
    found = office.world.sign.get(f"/v3/signature_request/files/{office.request_id}", auth=KEY)
    found.raise_for_status()
    return bytes(found.content)


Change = Callable[[Office], Awaitable[None]]


async def _lost(office: Office) -> None:
    await office.sales.move(office.deal_id, "lost")


async def _moved_back(office: Office) -> None:
    office.everybody_signs()
    await office.compare()
    await office.empty_inbox()
    await office.sales.move(office.deal_id, "qualification")


async def _retold(office: Office) -> None:
    office.world.rep(
        "deals",
        id=office.deal_id,
        properties={"dealflow_contract_token": "", "dealflow_contract_status": "mine"},
    )


async def _deleted(office: Office) -> None:
    office.world.hub.delete(
        f"/crm/objects/2026-03/deals/{office.deal_id}", headers={"Authorization": "Bearer test-token"}
    ).raise_for_status()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_lost, ["stands in Lost while its contract is not signed"]),
        (_moved_back, ["is signed, but somebody moved the deal back to Qualification"]),
        (_retold, ["names no contract any more", "status is not what was written there (sent)"]),
        (_deleted, ["HubSpot has no such deal any more; its contract is open"]),
    ],
)
async def test_what_a_person_did_is_reported_and_not_undone(
    office: Office, change: Change, says: list[str]
) -> None:
    """Reported each time, with the deal's link; nothing is put into the inbox, nothing is written."""
    await office.contract_out()
    await change(office)
    before = {r["id"]: r["properties"] for r in office.world.records("deals")}
    office.world.forget_calls()

    done = await office.compare()

    assert done.count("asked") == 0 and len(whats(done, "look")) == len(says)
    for text, found in zip(says, whats(done, "look"), strict=True):
        assert text in found
    assert office.deal_id in done.report(office.desk.s)
    assert {r["id"]: r["properties"] for r in office.world.records("deals")} == before
    writes = [c for c in office.world.calls("hub", "/") if c["method"] in ("PATCH", "PUT", "DELETE")]
    assert writes == [] and await office.desk.open_events() == []


@pytest.mark.parametrize("new_record", [False, True])
async def test_a_merged_deals_contract_comes_to_its_end(office: Office, new_record: bool) -> None:
    """The deal was merged into another: the signed contract ends on the survivor, and nothing is left to find."""
    office.world.hub.put("/_sandbox/portal-rules", json={"merge_makes_new_record": new_record})
    await watch_from_now(office.desk.s)
    await office.contract_out()
    other = await office.sales.deal("discussion", **_buyer("other"))
    office.world.hub.post(
        "/crm/objects/2026-03/deals/merge",
        json={"primaryObjectId": other, "objectIdToMerge": office.deal_id},
        headers={"Authorization": "Bearer test-token"},
    ).raise_for_status()
    office.everybody_signs()

    assert (await office.compare()).count("asked") == 1
    await office.empty_inbox()

    assert [f.what for f in (await office.compare()).findings if f.event] == []
    assert len(office.world.files()) == 1 and len(office.world.requests()) == 1


async def test_a_deal_that_came_into_closing_unnoticed(office: Office) -> None:
    """No webhook, no sync: the reconciler has the deal read, and the contract goes out."""
    await watch_from_now(office.desk.s)
    office.world.advance(1)
    office.deal_id = await office.sales.deal("discussion")
    await office.sales.move(office.deal_id, "closing")
    office.world.advance(30)  # HubSpot's search lags behind

    found = await office.compare()
    assert [f.event.kind for f in found.findings if f.event] == ["deal.changed"]
    await office.empty_inbox()

    assert len(office.world.requests(office.deal_id)) == 1 and (await office.compare()).findings == []


async def test_deals_of_before_the_first_start_get_nothing(office: Office) -> None:
    """They stand in Closing since before: noticed once, never sent to, never reported."""
    office.deal_id = await office.sales.deal("closing")
    office.world.advance(30)
    await watch_from_now(office.desk.s)

    await office.compare()
    await office.empty_inbox()

    assert (await office.compare()).findings == [] and office.world.requests() == []


async def test_an_event_that_ended_without_a_contract_is_reported(office: Office) -> None:
    """It came into Closing after the first start, and nothing will send: a person looks."""
    await watch_from_now(office.desk.s)
    office.world.advance(1)
    office.deal_id = await office.sales.deal("discussion")
    await office.sales.move(office.deal_id, "closing")
    await office.desk.do(sync_deals, "deal.changed", office.deal_id)
    async with office.desk.s.ledger.write() as tx:
        await tx.execute(tables.inbox.update().values(state="dead"))
    office.world.advance(30)

    done = await office.compare()

    assert done.count("asked") == 0 and "stands in Closing without a contract" in whats(done, "look")[0]


async def test_a_cleared_callback_url_is_set_again(office: Office) -> None:
    """Dropbox Sign cleared it: it is ours again, which is reported; the second time there is nothing to do."""
    wanted = f"{office.desk.s.settings.base_url}/webhooks/dropbox-sign"

    done = await office.compare(dropbox_sign_callback="restore")

    assert whats(done, "mended") == [
        f"the account's callback URL had been cleared; it is {wanted} again (set without an effect)"
    ]
    assert (await office.desk.s.esign.client.account()).callback_url == wanted
    assert (await office.compare(dropbox_sign_callback="restore")).findings == []


@pytest.mark.parametrize(
    ("given", "url", "says"),
    [
        (
            {"dropbox_sign_callback": "restore"},
            "http://127.0.0.1:9/secret-path",
            "leads to 127.0.0.1, not to",
        ),
        ({"dropbox_sign_callback": "report"}, None, "callback URL is empty: set it to"),
    ],
)
async def test_a_callback_url_that_is_not_ours_to_set_is_reported(
    office: Office, given: dict[str, Any], url: str | None, says: str
) -> None:
    """Somebody else's address is never taken away; with `report` an empty one is left empty as well."""
    office.world.sign.put("/_sandbox/callback", json={"url": url}).raise_for_status()

    done = await office.compare(**given)

    assert says in whats(done, "look")[0] and "secret-path" not in done.report(office.desk.s)
    assert (await office.desk.s.esign.client.account()).callback_url == url


async def test_an_api_apps_foreign_callback_url_is_reported(office: Office) -> None:
    """The app's address may outrank the account's: somebody else's there is reported, none at all is well."""
    (app,) = office.world.sign.get("/_sandbox/state").json()["apps"]
    url = f"{office.desk.s.settings.base_url}/webhooks/dropbox-sign"
    office.world.sign.put("/_sandbox/callback", json={"url": url}).raise_for_status()
    mine = {"dropbox_sign_client_id": app["client_id"]}
    assert (await office.compare(**mine)).findings == []

    elsewhere = {"client_id": app["client_id"], "url": "http://127.0.0.1:9/other"}
    office.world.sign.put("/_sandbox/callback", json=elsewhere).raise_for_status()
    (told,) = whats(await office.compare(**mine), "look")
    assert "the API app's callback URL leads to 127.0.0.1" in told

    unknown = await office.compare(dropbox_sign_client_id="nobody")
    assert "could not be looked after" in whats(unknown, "look")[0]  # and the rest was compared


async def test_a_plain_http_address_is_not_set_at_the_real_service(office: Office) -> None:
    """Dropbox Sign calls https only: without a public address there is nothing to restore."""
    real = {"dropbox_sign_base_url": "https://api.hellosign.com/v3"}
    for public_url, may in (("", False), ("http://a.example", False), ("https://a.example", True)):
        settings = office.desk.s.settings.model_copy(update={**real, "public_url": public_url})
        assert may_restore(replace(office.desk.s, settings=settings)) is may


async def test_nothing_personal_is_shown(office: Office) -> None:
    """Names, addresses, amounts and what signers wrote stay out of artifact, JSON and state message."""
    await office.contract_out()
    _declines(office)
    await office.sales.move(office.deal_id, "lost")

    done = await office.compare()

    shown = f"{done.report(office.desk.s)} {done.as_json()} {done.summary}"
    assert office.deal_id in shown and office.request_id in shown
    assert not re.search(r"ada|byron|engines|carla|24000|too dear|test-token|sandbox-api-key", shown, re.I)
    assert (await office.contract()).token not in shown


async def test_the_reads_are_in_bulk(office: Office) -> None:
    """Ten open contracts: one list page, one batch of deals, one search, one account; no call a contract."""
    for n in range(10):
        await office.contract_out(**_buyer(f"b{n}"))
    office.world.forget_calls()

    done = await office.compare()

    assert done.compared == {"contracts": 10, "requests": 10, "deals": 10} and done.findings == []
    assert (
        len(office.world.calls("sign", "/v3/")) == 2 and len(office.world.calls("hub", "/crm/objects")) == 2
    )


async def test_old_events_are_removed(office: Office) -> None:
    """Handled long ago and their deliveries: gone with the reconciliation, unless the setting says 0."""
    s = office.desk.s
    old = s.clock() - timedelta(days=401)
    async with s.ledger.write() as tx:
        delivery_id = await inbox.store_delivery(tx, source="lead", headers={}, body=b"{}", now=old)
        event = NewEvent("lead", "k", "lead.received", "l", {}, ended=("ignored", "test"))
        await inbox.record(tx, [event], now=old, delivery_id=delivery_id)

    assert (await office.compare(retention_days=0)).removed == {}
    assert (await office.compare()).removed == {"events": 1, "deliveries": 1}
    async with s.ledger.read() as tx:
        assert await inbox.delivery(tx, delivery_id) is None


async def test_the_command_does_it_without_prefect(office: Office, run_dealflow: Any) -> None:
    """`dealflow reconcile` prints what was found, as text and as JSON."""
    settings = office.desk.s.settings
    await office.contract_out()
    await office.sales.move(office.deal_id, "lost")
    names = {
        "DEALFLOW_HOME": str(settings.home),
        "DEALFLOW_HUBSPOT_BASE_URL": settings.hubspot_base_url,
        "DEALFLOW_DROPBOX_SIGN_BASE_URL": settings.dropbox_sign_base_url,
        "DEALFLOW_HUBSPOT_TOKEN": "test-token",
        "DEALFLOW_DROPBOX_SIGN_API_KEY": "sandbox-api-key",
    }

    text = run_dealflow("reconcile", **names)
    as_json = run_dealflow("reconcile", "--json", **names)

    assert text.returncode == 0 and "to look at" in text.stdout and office.deal_id in text.stdout, text.stderr
    assert as_json.returncode == 0 and '"then": "look"' in as_json.stdout
