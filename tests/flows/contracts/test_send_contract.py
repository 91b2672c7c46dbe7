"""The contract flow against the stand-ins: one request at Dropbox Sign, or held with every reason named."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from connectors.dropbox_sign.sender import ContractSender
from connectors.http.errors import AuthError, ConflictError, ConnectorError, RateLimitedError, TransientError
from flows.contracts import send_contract
from flows.ledger import contracts, documents, tables
from flows.ledger.effects import QuarantinedError, StillUnknownError
from flows.rules.outcome import Outcome

SEND = r"/v3/signature_request/send$"


async def _contract(s: Any, deal_id: str) -> Any:
    async with s.ledger.read() as tx:
        return await contracts.latest(tx, deal_id)


async def test_a_ready_deal_gets_one_contract(world: Any, desk: Any, sales: Any) -> None:
    """All criteria met: one request to client and counter-signer in this order, and the deal says so."""
    deal_id = await sales.deal("closing")

    end = await desk.do(send_contract, "contract.due", deal_id)

    assert isinstance(end, Outcome) and end.state == "done", end
    (request,) = world.requests(deal_id)
    assert [(x["email"], x["order"]) for x in request["signers"]] == [
        ("ada@analytical-engines.example", 0),
        ("carla.conrad@example.com", 1),
    ]
    assert request["test_mode"] is True
    contract = await _contract(desk.s, deal_id)
    assert request["metadata"]["dealflow_token"] == contract.token
    assert request["files"][0]["sha256"] == request["metadata"]["sha256"]
    deal = world.record("deals", deal_id)["properties"]
    assert deal["dealflow_contract_request_id"] == request["signature_request_id"]
    assert deal["dealflow_contract_status"] == "sent"
    assert deal["dealflow_contract_token"] == contract.token
    assert len(sales.notes_of(deal_id)) == 1
    met = [step for step in end.steps if step.what.startswith("exit criterion met")]
    assert len(met) == 7 and all(step.record for step in met)


async def test_the_frozen_text_is_ready_to_sign(world: Any, desk: Any, sales: Any) -> None:
    """Both signers' tags are in the PDF as sent: the vendor makes four fields of them and appends no page."""
    deal_id = await sales.deal("closing")
    await desk.do(send_contract, "contract.due", deal_id)
    request_id = world.requests(deal_id)[0]["signature_request_id"]

    await sales.opened(request_id)

    (request,) = world.requests(deal_id)
    assert request["phase"] == "open" and not request["appended_page"]
    assert sorted((f["type"], f["signer"]) for f in request["fields"]) == [
        ("date_signed", 0),
        ("date_signed", 1),
        ("signature", 0),
        ("signature", 1),
    ]


async def test_handled_twice_it_is_sent_once(world: Any, desk: Any, sales: Any) -> None:
    """The same event again, and another event for the same deal, send nothing more."""
    deal_id = await sales.deal("closing")
    first = await desk.record("contract.due", deal_id)
    assert (await desk.run(send_contract, first)).state == "done"

    again = await desk.do(send_contract, "contract.due", deal_id)

    assert again.state == "ignored" and "revision 1 exists already (open)" in again.summary
    assert len(world.calls("sign", "/send")) == len(world.requests(deal_id)) == 1


@pytest.mark.parametrize(
    ("missing", "names"),
    [
        ({"labels": ()}, ["The buyer has named the person who signs", "labelled as signer"]),
        ({"labels": ("Decision maker",)}, ["labelled as signer"]),
        ({"contact": {"firstname": "Ada", "lastname": "Byron"}}, ["has no e-mail address"]),
        ({"contact": {"email": "no.name@buyer.example"}}, ["has no name"]),
        ({"contact": {"email": "sales@example.com", "firstname": "Ada", "lastname": "B"}}, ["our own"]),
        ({"contact": {"email": "Carla.Conrad@example.com", "firstname": "C", "lastname": "C"}}, ["our own"]),
        ({"items": ()}, ["at least 1 line item, 0 found"]),
        ({"proposal": False}, ["a filed proposal"]),
        ({"amount": ""}, ["deal property amount of at least 1"]),
        ({"amount": "0"}, ["deal property amount of at least 1"]),
        ({"dealflow_need": ""}, ["deal property dealflow_need to be set"]),
        ({"company": None}, ["a company on the deal"]),
        ({"company": {"name": "Analytical Engines Ltd"}}, ["company.address", "company.city"]),
        ({"items": ({"name": "Seat", "quantity": "2"},)}, ["price"]),
    ],
)
async def test_what_is_missing_is_named_and_nothing_is_sent(
    world: Any, desk: Any, sales: Any, missing: Mapping[str, Any], names: list[str]
) -> None:
    """Each unmet criterion, signer fault or empty variable holds the contract, by name, before any send."""
    deal_id = await sales.deal("closing", **missing)
    before = world.record("deals", deal_id)

    end = await desk.do(send_contract, "contract.due", deal_id)

    assert isinstance(end, Outcome) and end.state == "held", end
    said = "\n".join(end.reasons)
    for name in names:
        assert name in said
    assert "@" not in said and "Ada" not in said
    assert world.calls("sign", "/send") == [] and world.record("deals", deal_id) == before
    assert await _contract(desk.s, deal_id) is None


async def test_all_unmet_criteria_are_named_at_once(desk: Any, sales: Any) -> None:
    """A rep reads everything that is missing in one go, not one thing a try."""
    deal_id = await sales.deal(
        "closing", labels=(), items=(), proposal=False, amount="", dealflow_need="", company=None
    )

    end = await desk.do(send_contract, "contract.due", deal_id)

    assert end.state == "held" and len(end.reasons) >= 6


async def test_it_goes_out_once_the_signer_is_labelled(world: Any, desk: Any, sales: Any) -> None:
    """The held event itself sends the contract after the rep has labelled the signer."""
    deal_id = await sales.deal("closing", labels=())
    event_id = await desk.record("contract.due", deal_id)
    assert (await desk.run(send_contract, event_id)).state == "held"

    link = {"to_type": "contacts", "to_id": sales.contact_of(deal_id), "label": "Signer"}
    world.rep("deals", id=deal_id, associations=[link])

    assert (await desk.run(send_contract, event_id)).state == "done"
    assert len(world.requests(deal_id)) == 1


async def test_a_deal_that_left_the_stage_gets_none(world: Any, desk: Any, sales: Any) -> None:
    """Moved back before the event was handled: superseded, nothing is sent."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    await sales.move(deal_id, "discussion")

    end = await desk.run(send_contract, event_id)

    assert end.state == "ignored" and "superseded" in end.summary and world.calls("sign", "/send") == []


LOST_ANSWERS = [
    ("status_after", {"status": 500}),
    ("timeout_after", {"delay_s": 4}),
    ("reset_after", {}),
    ("truncated", {}),
]


@pytest.mark.parametrize(("kind", "more"), LOST_ANSWERS)
async def test_a_lost_answer_is_looked_up_never_repeated(
    world: Any, desk: Any, sales: Any, kind: str, more: Mapping[str, Any]
) -> None:
    """The request was made but its answer lost: the next try finds it by its token and adopts it."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    world.fault("sign", kind, SEND, **more)

    first = await desk.run(send_contract, event_id)
    assert isinstance(first, ConnectorError) and first.applied == "maybe"
    end = await desk.run(send_contract, event_id)

    assert isinstance(end, Outcome) and end.state == "done", end
    assert len(world.calls("sign", "/send")) == len(world.requests(deal_id)) == 1
    request_id = world.requests(deal_id)[0]["signature_request_id"]
    deal = world.record("deals", deal_id)["properties"]
    assert deal["dealflow_contract_request_id"] == request_id and len(sales.notes_of(deal_id)) == 1


NOT_ACTED_ON = [
    ("status", {"status": 500}),
    ("reset_before", {}),
    ("timeout_before", {"delay_s": 4}),
    ("html", {"status": 502}),
]


@pytest.mark.parametrize(("kind", "more"), NOT_ACTED_ON)
async def test_in_doubt_it_waits_through_all_looks_then_sends_once_more(
    world: Any, desk: Any, sales: Any, kind: str, more: Mapping[str, Any]
) -> None:
    """A failure that may hide a request: nothing is repeated before every look came back empty."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    world.fault("sign", kind, SEND, **more)
    first = await desk.run(send_contract, event_id)
    assert isinstance(first, ConnectorError) and first.applied == "maybe"

    for wait_s in desk.s.settings.contract_looks_s:
        waiting = await desk.run(send_contract, event_id)
        assert isinstance(waiting, StillUnknownError)
        assert (waiting.look_at - world.now()).total_seconds() == pytest.approx(wait_s, abs=5)
        assert len(world.calls("sign", "/send")) == 1
        world.advance(wait_s)
    end = await desk.run(send_contract, event_id)

    assert end.state == "done" and len(world.requests(deal_id)) == 1
    assert len(world.calls("sign", "/send")) == 2


async def test_never_seen_and_not_to_be_repeated_is_for_a_person(world: Any, desk: Any, sales: Any) -> None:
    """With resending off (or used up) an unseen request is quarantined: no further send, ever."""
    desk.s.settings = desk.s.settings.model_copy(update={"contract_resend": "never"})
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    world.fault("sign", "reset_before", SEND)
    await desk.run(send_contract, event_id)
    for wait_s in desk.s.settings.contract_looks_s:
        assert isinstance(await desk.run(send_contract, event_id), StillUnknownError)
        world.advance(wait_s)

    for _ in range(2):
        assert isinstance(await desk.run(send_contract, event_id), QuarantinedError)
    assert len(world.calls("sign", "/send")) == 1 and world.requests(deal_id) == []


async def test_a_request_that_shows_up_late_is_adopted(world: Any, desk: Any, sales: Any) -> None:
    """Hidden from two looks, seen by the third: adopted, and one request in all."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    world.fault("sign", "reset_after", SEND)
    await desk.run(send_contract, event_id)
    empty = {"list_info": {"page": 1, "num_pages": 1, "num_results": 0}, "signature_requests": []}
    world.fault("sign", "status", "/signature_request/list", status=200, body=empty, times=4)

    for _ in range(2):
        waiting = await desk.run(send_contract, event_id)
        assert isinstance(waiting, StillUnknownError)
        world.advance((waiting.look_at - world.now()).total_seconds())
    end = await desk.run(send_contract, event_id)

    assert end.state == "done" and len(world.calls("sign", "/send")) == len(world.requests(deal_id)) == 1


async def test_it_is_found_without_the_lagging_index(world: Any, desk: Any, sales: Any) -> None:
    """The search index may lag for long: paging back without a query finds the request all the same."""
    world.sign.put("/_sandbox/limits", json={"search_lag_s": 3600}).raise_for_status()
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    world.fault("sign", "reset_after", SEND)
    await desk.run(send_contract, event_id)

    assert (await desk.run(send_contract, event_id)).state == "done"
    assert len(world.calls("sign", "/send")) == 1


async def test_refused_connections_are_safe_to_repeat(world: Any, desk: Any, sales: Any) -> None:
    """Nobody listened, so nothing was sent: the next try sends, without any look before it."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    good, key = desk.s.esign, desk.s.settings.dropbox_sign_api_key.get_secret_value()
    nobody = ContractSender(key, base_url="http://127.0.0.1:1/v3", timeout_s=(0.5, 0.5))
    desk.s.esign = replace(good, sender=nobody)

    first = await desk.run(send_contract, event_id)
    assert isinstance(first, TransientError) and first.applied == "no"
    desk.s.esign = good
    end = await desk.run(send_contract, event_id)

    assert end.state == "done" and len(world.requests(deal_id)) == 1
    assert world.calls("sign", "/signature_request/list") == []


async def test_too_many_calls_is_sat_out(world: Any, desk: Any, sales: Any) -> None:
    """A 429 was surely not acted on: it is repeated at once, within the same try, and sent once."""
    deal_id = await sales.deal("closing")
    world.fault("sign", "status", SEND, status=429, headers={"Retry-After": "0"}, times=2)

    end = await desk.do(send_contract, "contract.due", deal_id)

    assert end.state == "done" and len(world.requests(deal_id)) == 1
    assert [c["status"] for c in world.calls("sign", "/send")] == [429, 429, 200]


async def test_lasting_429_parks_and_sends_later(world: Any, desk: Any, sales: Any) -> None:
    """When the limit lasts, the event goes back with nothing sent, and a later try sends once."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    world.fault("sign", "status", SEND, status=429, headers={"Retry-After": "0"}, times=4)

    first = await desk.run(send_contract, event_id)
    assert isinstance(first, RateLimitedError) and world.requests(deal_id) == []
    end = await desk.run(send_contract, event_id)

    assert end.state == "done" and len(world.requests(deal_id)) == 1


async def test_a_409_may_be_our_own_first_try(world: Any, desk: Any, sales: Any) -> None:
    """`An identical request is being processed` is doubt, not refusal: looked up, found, adopted."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    world.fault("sign", "status_after", SEND, status=409)

    first = await desk.run(send_contract, event_id)
    assert isinstance(first, ConflictError) and first.applied == "maybe"
    end = await desk.run(send_contract, event_id)

    assert end.state == "done" and len(world.calls("sign", "/send")) == len(world.requests(deal_id)) == 1


async def test_a_worker_that_died_while_sending_is_taken_over(world: Any, desk: Any, sales: Any) -> None:
    """Death between the vendor's yes and our note of it: the next worker looks before it sends."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    await desk.run(send_contract, event_id)
    contract = await _contract(desk.s, deal_id)
    async with desk.s.ledger.write() as tx:  # the state at the moment of death
        await tx.execute(
            tables.effects.update()
            .where(tables.effects.c.key == contract.effect_key)
            .values(state="intended", result=None, settled_at=None)
        )
        await tx.execute(
            tables.contracts.update()
            .where(tables.contracts.c.id == contract.id)
            .values(state="sending", request_id=None, sent_at=None)
        )

    end = await desk.do(send_contract, "contract.due", deal_id)

    assert end.state == "done" and len(world.calls("sign", "/send")) == len(world.requests(deal_id)) == 1
    assert (await _contract(desk.s, deal_id)).state == "open"


async def test_refused_is_held_with_the_reason_and_corrected_goes_out_as_a_new_revision(
    world: Any, desk: Any, sales: Any
) -> None:
    """A 400 is final for that text: held with the reason; once corrected, the same event sends revision 2."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    body = {"error": {"error_name": "invalid_recipient", "error_msg": "no", "error_path": "signers[0]"}}
    world.fault("sign", "status", SEND, status=400, body=body)

    end = await desk.run(send_contract, event_id)
    assert end.state == "held" and "invalid_recipient" in end.reasons[0] and "signers[0]" in end.reasons[0]
    assert (await _contract(desk.s, deal_id)).state == "refused" and world.requests(deal_id) == []

    world.rep("contacts", id=sales.contact_of(deal_id), properties={"email": "ada.b@buyer.example"})
    end = await desk.run(send_contract, event_id)

    assert end.state == "done", end
    (request,) = world.requests(deal_id)
    assert request["metadata"]["revision"] == "2"
    assert request["signers"][0]["email"] == "ada.b@buyer.example"


async def test_refused_and_not_corrected_is_not_asked_again(world: Any, desk: Any, sales: Any) -> None:
    """Held events are looked at every quarter of an hour: an unchanged contract is not sent to be refused again."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    world.fault("sign", "status", SEND, status=400, times=None)
    first = await desk.run(send_contract, event_id)

    second = await desk.run(send_contract, event_id)

    assert first.state == second.state == "held" and "400" in second.reasons[0]
    assert len(world.calls("sign", "/send")) == 1
    assert (await _contract(desk.s, deal_id)).revision == 1


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_a_key_without_rights_sends_nothing_and_recovers(
    world: Any, desk: Any, sales: Any, status: int
) -> None:
    """A wrong key or an unpaid plan is the operator's matter: nothing is lost, the next try sends."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    world.fault("sign", "status", SEND, status=status)

    first = await desk.run(send_contract, event_id)
    assert isinstance(first, AuthError) and "sandbox-api-key" not in str(first)
    end = await desk.run(send_contract, event_id)

    assert end.state == "done" and len(world.requests(deal_id)) == 1


async def test_a_deal_pulled_back_while_the_send_waits_is_not_sent(world: Any, desk: Any, sales: Any) -> None:
    """The vendor was away, the rep moved the deal back meanwhile: the next try must not send after all."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    world.fault("sign", "status", SEND, status=429, headers={"Retry-After": "0"}, times=4)
    await desk.run(send_contract, event_id)
    await sales.move(deal_id, "discussion")

    end = await desk.run(send_contract, event_id)

    assert end.state == "ignored" and "left the stage" in end.summary
    assert world.requests(deal_id) == []
    await sales.move(deal_id, "closing")
    assert (await desk.do(send_contract, "contract.due", deal_id)).state == "done"
    assert world.requests(deal_id)[0]["metadata"]["revision"] == "2"


async def test_a_deal_pulled_back_while_its_send_waits_for_its_place_is_not_sent(
    world: Any, desk: Any, sales: Any
) -> None:
    """The vendor's limit made the first send wait for half a minute: the deal is read again before it leaves."""
    deal_id = await sales.deal("closing")

    class Queue:
        async def wait(self, _names: Any, _lane: Any) -> None:
            world.advance(31)
            await sales.move(deal_id, "discussion")

    desk.s.esign = replace(desk.s.esign, pace=Queue())
    end = await desk.do(send_contract, "contract.due", deal_id)

    assert end.state == "ignored" and "left the stage before the contract was sent" in end.summary
    assert world.calls("sign", "/send") == [] and world.requests(deal_id) == []
    assert (await _contract(desk.s, deal_id)).state == "canceled"


async def test_a_sender_on_hold_is_reported(world: Any, desk: Any, sales: Any) -> None:
    """The vendor took it but asks nobody to sign until the sender's address is confirmed: said loudly."""
    world.sign.put("/_sandbox/limits", json={"unconfirmed_sender": True}).raise_for_status()
    deal_id = await sales.deal("closing")

    end = await desk.do(send_contract, "contract.due", deal_id)

    assert "ON HOLD" in end.summary and "ON HOLD" in end.reasons[0] and len(world.requests(deal_id)) == 1


async def test_the_contract_is_reported_once_even_if_hubspot_fails_meanwhile(
    world: Any, desk: Any, sales: Any
) -> None:
    """Sent, then HubSpot loses the answer to the note: the next try completes it without a second send or note."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    world.fault("hub", "reset_after", r"/objects/[0-9-]+/notes$", method="POST")

    first = await desk.run(send_contract, event_id)
    assert isinstance(first, ConnectorError)
    end = await desk.run(send_contract, event_id)

    assert len(world.calls("sign", "/send")) == 1
    assert len(sales.notes_of(deal_id)) == 1, end
    assert world.record("deals", deal_id)["properties"]["dealflow_contract_status"] == "sent"


@pytest.mark.parametrize(("state", "sent"), [("open", 0), ("completed", 0), ("declined", 1)])
async def test_a_merged_deal_brings_its_contract_along(
    world: Any, desk: Any, sales: Any, state: str, sent: int
) -> None:
    """The survivor of a merge names a contract of the other deal: no second one beside it, but one after it ended."""
    deal_id = await sales.deal("closing")
    now = desk.s.clock()
    async with desk.s.ledger.write() as tx:
        document = await documents.freeze(
            tx,
            deal_id="4711",
            kind="contract",
            source_sha256="0" * 64,
            sha256="1" * 64,
            title="Contract",
            content=b"%PDF",
            now=now,
        )
        other = await contracts.begin(
            tx, deal_id="4711", token="f" * 32, paper_id=document.id, signers=[], test_mode=True, now=now
        )
        await contracts.sent(tx, other.id, request_id="e" * 40, now=now)
        if state != "open":
            await contracts.end(tx, other.id, state=state, now=now)
    world.rep("deals", id=deal_id, properties={"dealflow_contract_token": "f" * 32})

    end = await desk.do(send_contract, "contract.due", deal_id)

    assert len(world.requests(deal_id)) == sent
    assert end.state == ("done" if sent else "held")
    assert sent or "merged into this one, 4711" in end.reasons[0]
