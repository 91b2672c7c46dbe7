"""The signature flow against the stand-ins: only what is read back moves a deal, once, in any order."""

from typing import Any

import pytest

from connectors.http.errors import TransientError
from flows.contracts import advance_on_signature, send_contract
from flows.ledger import contracts, tables
from flows.rules.outcome import Outcome

ADA, CARLA = "ada@analytical-engines.example", "carla.conrad@example.com"


class Signing:
    """A deal in Closing whose contract is out."""

    def __init__(self, world: Any, desk: Any, sales: Any) -> None:
        self.world, self.desk, self.sales = world, desk, sales
        self.deal_id = self.request_id = self.token = ""

    async def begin(self, **deal: Any) -> "Signing":
        self.deal_id = await self.sales.deal("closing", **deal)
        end = await self.desk.do(send_contract, "contract.due", self.deal_id)
        assert end.state == "done", end
        (request,) = self.world.requests(self.deal_id)
        self.request_id, self.token = request["signature_request_id"], request["metadata"]["dealflow_token"]
        await self.sales.opened(self.request_id)
        return self

    def everybody_signs(self) -> None:
        for email in (ADA, CARLA):
            self.world.sign_act(self.request_id, email, "sign")

    async def arrives(self, event_type: str, **content: Any) -> Any:
        """An event comes in, with the content that the gateway makes of a callback, and is handled."""
        return await self.desk.run(advance_on_signature, await self.recorded(event_type, **content))

    async def recorded(self, event_type: str, **content: Any) -> int:
        told = {"type": event_type, "request_id": self.request_id, "token": self.token, **content}
        event_id: int = await self.desk.record(
            "signature.event", self.deal_id, source="dropbox_sign", content=told
        )
        return event_id

    async def contract(self) -> Any:
        async with self.desk.s.ledger.read() as tx:
            return await contracts.latest(tx, self.deal_id)

    def deal(self) -> dict[str, str]:
        found: dict[str, str] = self.world.record("deals", self.deal_id)["properties"]
        return found

    def signed_files(self) -> list[dict[str, Any]]:
        return [f for f in self.world.files() if f["name"].startswith(f"signed-{self.deal_id}-")]

    def stage_moves(self) -> int:
        return len(self.world.record("deals", self.deal_id)["history"]["dealstage"])


@pytest.fixture
async def signing(world: Any, desk: Any, sales: Any) -> Signing:
    return await Signing(world, desk, sales).begin()


@pytest.mark.parametrize("does", ["view", "sign"])
async def test_one_signer_is_not_all(signing: Signing, does: str) -> None:
    """Viewed, or signed by the first of two: read back as open, nothing changes."""
    signing.world.sign_act(signing.request_id, ADA, does)
    before = signing.deal()

    end = await signing.arrives("signature_request_signed" if does == "sign" else "signature_request_viewed")

    assert isinstance(end, Outcome) and end.state == "done" and "still open" in end.summary
    assert signing.deal() == before and signing.world.files() == []


async def test_completed_wins_the_deal(signing: Signing) -> None:
    """All signed: the deal is won with a close date, the signed PDF is filed once with one note, status told."""
    signing.everybody_signs()
    signing.world.advance(1)

    end = await signing.arrives("signature_request_all_signed")

    assert end.state == "done", end
    assert await signing.sales.stage_of(signing.deal_id) == "won"
    deal, (file,) = signing.deal(), signing.signed_files()
    assert deal["hs_is_closed_won"] == "true" and deal["closedate"].startswith(
        signing.world.now().date().isoformat()
    )
    assert deal["dealflow_contract_status"] == "completed" and deal["dealflow_signed_file_id"] == file["id"]
    (request,) = signing.world.requests(signing.deal_id)
    assert file["sha256"] == request["signed_sha256"]
    notes = signing.sales.notes_of(signing.deal_id)
    assert [n["properties"].get("hs_attachment_ids") for n in notes].count(file["id"]) == 1
    assert (await signing.contract()).state == "completed"


async def test_every_event_of_the_end_in_any_order_and_twice(signing: Signing) -> None:
    """signed, all_signed, downloadable, late views, each twice and backwards: the same single end state."""
    signing.everybody_signs()
    signing.world.advance(1)
    kinds = ["downloadable", "all_signed", "signed", "viewed", "sent"]

    for kind in [*kinds, *reversed(kinds)]:
        assert (await signing.arrives(f"signature_request_{kind}")).state in ("done", "ignored")

    assert await signing.sales.stage_of(signing.deal_id) == "won"
    assert len(signing.signed_files()) == 1 and len(signing.sales.notes_of(signing.deal_id)) == 2
    assert signing.stage_moves() == 2  # seeded in Closing, won


async def test_the_pdf_is_not_ready_yet(signing: Signing) -> None:
    """A 409 for the file: the deal is won already, the event comes back, and then files it once."""
    signing.world.sign.put("/_sandbox/limits", json={"downloadable_s": 600}).raise_for_status()
    signing.everybody_signs()
    event_id = await signing.recorded("signature_request_all_signed")

    first = await signing.desk.run(advance_on_signature, event_id)
    assert isinstance(first, TransientError) and first.status == 409
    assert await signing.sales.stage_of(signing.deal_id) == "won" and signing.signed_files() == []

    signing.world.advance(600)
    end = await signing.desk.run(advance_on_signature, event_id)
    assert end.state == "done" and len(signing.signed_files()) == 1
    assert signing.stage_moves() == 2 and len(signing.sales.notes_of(signing.deal_id)) == 2


async def test_declined_goes_back_with_the_reason(signing: Signing) -> None:
    """A signer declines: the deal goes to Discussion, a note says why, the contract has ended."""
    signing.world.sign_act(signing.request_id, ADA, "decline", reason="The price is <b>too</b> high")

    for _ in range(2):
        end = await signing.arrives("signature_request_declined")
        assert end.state == "done", end

    assert await signing.sales.stage_of(signing.deal_id) == "discussion"
    told = [n["properties"]["hs_note_body"] for n in signing.sales.notes_of(signing.deal_id)]
    assert sum("The price is &lt;b&gt;too&lt;/b&gt; high" in body for body in told) == 1
    contract = await signing.contract()
    assert contract.state == "declined" and signing.deal()["dealflow_contract_status"] == "declined"
    assert "price" not in str(end.as_json())  # what a person wrote stays out of what Prefect shows


async def test_after_a_decline_a_new_revision_can_go_out(signing: Signing) -> None:
    """Back in Closing, a newer event sends revision 2; late events of the first change nothing."""
    signing.world.sign_act(signing.request_id, ADA, "decline", reason="no")
    await signing.arrives("signature_request_declined")
    await signing.sales.move(signing.deal_id, "closing")

    assert (await signing.desk.do(send_contract, "contract.due", signing.deal_id)).state == "done"
    await signing.arrives("signature_request_declined")

    assert [r["metadata"]["revision"] for r in signing.world.requests(signing.deal_id)] == ["1", "2"]
    assert await signing.sales.stage_of(signing.deal_id) == "closing"
    assert signing.deal()["dealflow_contract_status"] == "sent"
    assert (await signing.contract()).state == "open"


async def test_expired_is_told_and_stays(signing: Signing) -> None:
    """Nobody signed in time: the deal stays for a person, the status and a note say expired."""
    signing.world.advance(31 * 86_400 + 3600)

    for _ in range(2):
        assert (await signing.arrives("signature_request_expired")).state == "done"

    assert await signing.sales.stage_of(signing.deal_id) == "closing"
    assert signing.deal()["dealflow_contract_status"] == "expired"
    assert len(signing.sales.notes_of(signing.deal_id)) == 2 and (await signing.contract()).state == "expired"


async def test_canceled_is_read_from_410(signing: Signing) -> None:
    """There is no cancelled flag: a request of ours that is gone was cancelled."""
    signing.world.sign.post(
        f"/v3/signature_request/cancel/{signing.request_id}", auth=("sandbox-api-key", "")
    ).raise_for_status()
    signing.world.advance(1)

    for _ in range(2):
        assert (await signing.arrives("signature_request_canceled")).state == "done"

    assert await signing.sales.stage_of(signing.deal_id) == "closing"
    assert signing.deal()["dealflow_contract_status"] == "canceled"
    assert (
        len(signing.sales.notes_of(signing.deal_id)) == 2 and (await signing.contract()).state == "canceled"
    )


async def test_invalid_documents_fail_by_event(world: Any, desk: Any, sales: Any) -> None:
    """The vendor took the send and found the document unusable later: told on the deal as failed."""
    signing = Signing(world, desk, sales)
    world.sign.put("/_sandbox/limits", json={"processing_s": 3600}).raise_for_status()
    signing.deal_id = await sales.deal("closing")
    await desk.do(send_contract, "contract.due", signing.deal_id)
    (request,) = world.requests(signing.deal_id)
    signing.request_id, signing.token = request["signature_request_id"], request["metadata"]["dealflow_token"]
    body = {
        "signature_request": {
            "signature_request_id": signing.request_id,
            "has_error": True,
            "test_mode": True,
            "metadata": request["metadata"],
            "signatures": [{"signature_id": "a", "status_code": "error_text_tag"}],
        }
    }
    world.fault("sign", "status", f"/v3/signature_request/{signing.request_id}", status=200, body=body)

    end = await signing.arrives("signature_request_invalid")

    assert end.state == "done" and (await signing.contract()).state == "failed"
    assert signing.deal()["dealflow_contract_status"] == "failed"
    assert await sales.stage_of(signing.deal_id) == "closing"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ({"test_mode": False}, "test mode"),
        ({"metadata": {"dealflow_token": "f" * 32}}, "token"),
        ({"metadata": {}}, "token"),
        ({"metadata_deal": "1"}, "another deal"),
        ({"signature_request_id": "f" * 40}, "different request"),
    ],
)
async def test_a_request_that_does_not_fit_moves_nothing(
    signing: Signing, override: dict[str, Any], says: str
) -> None:
    """Whatever is read back must carry our token, deal, id and test mode: else a person looks, and nothing moves."""
    signing.everybody_signs()
    true = signing.world.sign.get(
        f"/v3/signature_request/{signing.request_id}", auth=("sandbox-api-key", "")
    ).json()["signature_request"]
    if "metadata_deal" in override:
        override = {"metadata": {**true["metadata"], "deal_id": override["metadata_deal"]}}
    shown = {"signature_request": {**true, **override}}
    signing.world.fault("sign", "status", f"/{signing.request_id}$", method="GET", status=200, body=shown)
    before = signing.deal()

    end = await signing.arrives("signature_request_all_signed")

    assert end.state == "dead" and says in end.reasons[0]
    assert signing.deal() == before and signing.signed_files() == []
    assert (await signing.contract()).state == "open"


async def test_a_lying_body_moves_nothing(signing: Signing) -> None:
    """The event says completed, declined, cancelled; the API says open: the API is believed."""
    before = signing.deal()

    for lie in ("all_signed", "declined", "canceled", "expired", "invalid"):
        end = await signing.arrives(f"signature_request_{lie}")
        assert end.state == "done" and "still open" in end.summary

    assert signing.deal() == before and (await signing.contract()).state == "open"


async def test_a_strangers_request_under_our_token_moves_nothing(signing: Signing) -> None:
    """A replayed event may name any request: one that we did not send cannot end or complete our contract."""
    other = await Signing(signing.world, signing.desk, signing.sales).begin(contact=ADA_2, company=BUYER_2)
    signing.world.sign.post(
        f"/v3/signature_request/cancel/{other.request_id}", auth=("sandbox-api-key", "")
    ).raise_for_status()
    signing.world.advance(1)
    async with signing.desk.s.ledger.write() as tx:  # the other request is nobody's of ours
        await tx.execute(tables.contracts.delete().where(tables.contracts.c.request_id == other.request_id))
    before = signing.deal()

    end = await signing.arrives("signature_request_canceled", request_id=other.request_id)

    assert end.state == "ignored" and "different request" in end.summary, end
    assert signing.deal() == before and (await signing.contract()).state == "open"


async def test_an_unknown_request_under_our_token_harms_nobody(signing: Signing) -> None:
    """An event that names a request the vendor does not know is put aside; others in its batch go on."""
    signing.everybody_signs()
    signing.world.advance(1)
    made_up = await signing.desk.record(
        "signature.event",
        signing.deal_id,
        lane="request:made-up",
        content={"type": "signature_request_all_signed", "request_id": "e" * 40, "token": signing.token},
    )
    true = await signing.recorded("signature_request_all_signed")

    events = await signing.desk.claim([made_up, true])
    ended = await signing.desk.work(advance_on_signature, events)

    assert ended[true].state == "done", ended
    assert ended[made_up].state in ("dead", "ignored")
    assert await signing.sales.stage_of(signing.deal_id) == "won"


async def test_foreign_requests_are_ignored(signing: Signing) -> None:
    """The account URL hears of requests that others sent: not ours, nothing is read, nothing is done."""
    signing.world.forget_calls()

    end = await signing.arrives("signature_request_all_signed", request_id="d" * 40, token=None)

    assert end.state == "ignored" and "not a request of ours" in end.summary
    assert signing.world.calls("sign", "/signature_request") == []


async def test_a_closed_deal_is_left_where_a_person_put_it(signing: Signing) -> None:
    """Lost by hand, then signed: the stage stays, the signed PDF is filed, the status tells."""
    await signing.sales.move(signing.deal_id, "lost")
    signing.everybody_signs()
    signing.world.advance(1)

    end = await signing.arrives("signature_request_all_signed")

    assert await signing.sales.stage_of(signing.deal_id) == "lost"
    assert any("left the deal in Lost" in step.what for step in end.steps)
    assert len(signing.signed_files()) == 1
    assert signing.deal()["dealflow_contract_status"] == "completed"


async def test_won_by_hand_stays_won(signing: Signing) -> None:
    """The rep was faster: nothing to move, all else is done."""
    await signing.sales.move(signing.deal_id, "won")
    closed = signing.deal()["closedate"]
    signing.everybody_signs()
    signing.world.advance(1)

    await signing.arrives("signature_request_all_signed")

    assert await signing.sales.stage_of(signing.deal_id) == "won" and signing.deal()["closedate"] == closed
    assert signing.stage_moves() == 2 and len(signing.signed_files()) == 1
    assert signing.deal()["dealflow_contract_status"] == "completed"


async def test_a_decline_does_not_drag_a_moved_deal_along(signing: Signing) -> None:
    """A person took the deal back to Qualification meanwhile: a decline does not push it forward again."""
    await signing.sales.move(signing.deal_id, "qualification")
    signing.world.sign_act(signing.request_id, ADA, "decline", reason="no")

    await signing.arrives("signature_request_declined")

    assert await signing.sales.stage_of(signing.deal_id) == "qualification"
    assert signing.deal()["dealflow_contract_status"] == "declined"


async def test_a_move_between_reading_and_writing_is_noticed(signing: Signing) -> None:
    """The deal was read with the batch, a person closed it since: it is looked at again before the move."""
    signing.everybody_signs()
    signing.world.advance(1)
    event_id = await signing.recorded("signature_request_all_signed")
    (event,) = await signing.desk.claim([event_id])
    readings = await advance_on_signature.prepare([event], signing.desk.s)
    await signing.sales.move(signing.deal_id, "lost")
    signing.world.advance(10)

    await advance_on_signature.handle(event, readings, signing.desk.s)

    assert await signing.sales.stage_of(signing.deal_id) == "lost"


async def test_a_callback_settles_a_send_in_doubt(world: Any, desk: Any, sales: Any) -> None:
    """The send's answer was lost; the vendor's own event brings the id: adopted, nothing is sent again."""
    deal_id = await sales.deal("closing")
    due = await desk.record("contract.due", deal_id)
    world.fault("sign", "reset_after", r"/send$")
    await desk.run(send_contract, due)
    (request,) = world.requests(deal_id)
    signing = Signing(world, desk, sales)
    signing.deal_id, signing.request_id = deal_id, request["signature_request_id"]
    signing.token = request["metadata"]["dealflow_token"]
    await sales.opened(signing.request_id)
    signing.everybody_signs()
    world.advance(1)
    event_id = await desk.record(
        "signature.event",
        deal_id,
        lane="other",
        content={"request_id": signing.request_id, "token": signing.token},
    )

    assert (await desk.run(advance_on_signature, event_id)).state == "done"
    assert (await desk.run(send_contract, due)).state in ("done", "ignored")

    assert len(world.calls("sign", "/send")) == 1 and await sales.stage_of(deal_id) == "won"
    assert signing.deal()["dealflow_contract_status"] == "completed"


async def test_a_check_reads_the_newest_contract(signing: Signing) -> None:
    """An operator's or the reconciler's check needs no event from the vendor."""
    signing.everybody_signs()
    signing.world.advance(1)

    end = await signing.desk.do(advance_on_signature, "signature.check", signing.deal_id, source="operator")

    assert end.state == "done" and await signing.sales.stage_of(signing.deal_id) == "won"


async def test_a_lost_answer_to_the_move_moves_once(signing: Signing) -> None:
    """HubSpot moved the deal but its answer was lost, more often than we repeat: once moved, once filed."""
    signing.everybody_signs()
    signing.world.advance(1)
    signing.world.fault("hub", "status_after", r"/deals/\d+$", method="PATCH", status=502, times=4)
    event_id = await signing.recorded("signature_request_all_signed")

    assert isinstance(await signing.desk.run(advance_on_signature, event_id), TransientError)
    end = await signing.desk.run(advance_on_signature, event_id)

    assert end.state == "done" and await signing.sales.stage_of(signing.deal_id) == "won"
    assert signing.stage_moves() == 2 and len(signing.signed_files()) == 1
    assert not any("meanwhile" in step.why for step in end.steps), end.steps


async def test_ten_at_once_are_read_in_bulk(world: Any, desk: Any, sales: Any) -> None:
    """Ten events at once: list pages and batch reads, not a call an event; each deal is won once."""
    flows = [
        await Signing(world, desk, sales).begin(
            name=f"Deal {n}",
            contact={"email": f"buyer{n}@b{n}.example", "firstname": "B", "lastname": str(n)},
            company={**BUYER_2, "domain": f"b{n}.example"},
        )
        for n in range(10)
    ]
    for n, one in enumerate(flows):
        world.sign_act(one.request_id, f"buyer{n}@b{n}.example", "sign")
        world.sign_act(one.request_id, CARLA, "sign")
    world.advance(1)
    ids = [await one.recorded("signature_request_all_signed") for one in flows]
    world.forget_calls()
    events = await desk.claim(ids)
    readings = await advance_on_signature.prepare(events, desk.s)

    assert len(world.calls("sign", "/signature_request/list")) == 1
    assert len(world.calls("sign", "/")) == 1 and len(world.calls("hub", "/")) <= 7

    for event in events:
        assert (await advance_on_signature.handle(event, readings, desk.s)).state == "done"
    assert {await sales.stage_of(one.deal_id) for one in flows} == {"won"}
    assert [len(one.signed_files()) for one in flows] == [1] * 10


ADA_2 = {"email": "grace@second.example", "firstname": "Grace", "lastname": "H"}
BUYER_2 = {
    "name": "Second Buyer",
    "domain": "second.example",
    "address": "1 Way",
    "city": "Paris",
    "country": "France",
}


async def test_a_signed_contract_is_filed_although_the_deal_may_not_move_yet(
    world: Any, desk: Any, sales: Any
) -> None:
    """A process that also asks for a first payment: the PDF is filed at once, the move waits, and comes once."""
    desk.s.process = _with_first_payment(desk.s.process)
    signing = await Signing(world, desk, sales).begin()
    signing.everybody_signs()
    world.advance(60)

    first = await signing.arrives("signature_request_all_signed")

    assert (first.state, first.summary) == ("held", "signed, but not moved")
    assert first.reasons == ("deal property dealflow_source to be paid",)
    (filed,) = signing.signed_files()
    assert signing.deal()["dealflow_signed_file_id"] == filed["id"]
    moves, notes = signing.stage_moves(), len(sales.notes_of(signing.deal_id))

    again = await signing.arrives("signature_request_downloadable")
    assert again.state == "held" and len(signing.signed_files()) == 1

    world.rep("deals", id=signing.deal_id, properties={"dealflow_source": "paid"})
    last = await signing.arrives("signature_request_viewed")
    late = await signing.arrives("signature_request_signed")

    assert (last.state, late.state) == ("done", "ignored")
    assert signing.stage_moves() == moves + 1
    assert signing.deal()["dealflow_contract_status"] == "completed"
    assert len(sales.notes_of(signing.deal_id)) == notes and len(signing.signed_files()) == 1


def _with_first_payment(process: Any) -> Any:
    given = process.model_dump(by_alias=True, exclude_none=True)
    stage = next(x for x in given["stages"] if "send_contract" in x.get("on_enter", ()))
    paid = {"property": "dealflow_source", "equals": "paid"}
    stage["exit_criteria"] = [
        *stage["exit_criteria"],
        {
            "key": "first_payment",
            "kind": "commitment",
            "says": "The buyer has made the first payment",
            "supplied_by": "buyer",
            "evidence": paid,
        },
    ]
    return type(process).model_validate(given)
