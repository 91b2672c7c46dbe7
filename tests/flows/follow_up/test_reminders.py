"""Reminders of an unsigned contract: to signers in turn, not within the hour, once, read back when unknown."""

from typing import Any

import pytest

from connectors.http.errors import TransientError
from flows.contracts import send_contract
from flows.contracts.esign import nothing_to_check
from flows.follow_up import follow_up
from flows.ledger import effects
from flows.processes import FOLLOW_UP_DUE
from flows.rules.outcome import Outcome

HOUR_S = 3600.0
ADA, CARLA = "ada@analytical-engines.example", "carla.conrad@example.com"
REMIND = "/signature_request/remind/"
ASKED = {"source": "operator", "content": {"by": "operator"}}


@pytest.fixture
async def sent(world: Any, desk: Any, sales: Any) -> tuple[str, str]:
    """A deal in Closing whose contract has been out for three days; deal and request id."""
    deal_id = await sales.deal("closing")
    end = await desk.do(send_contract, "contract.due", deal_id)
    assert isinstance(end, Outcome) and end.state == "done", end
    (request,) = world.requests(deal_id)
    await sales.opened(request["signature_request_id"])
    world.advance(72 * HOUR_S)
    return deal_id, request["signature_request_id"]


def reminded(world: Any, deal_id: str) -> list[str]:
    """The signers reminded by Dropbox Sign, in order."""
    (request,) = world.requests(deal_id)
    return [row["text"].split()[-1] for row in request["history"] if row["text"].startswith("Reminder to")]


async def asked(desk: Any, deal_id: str) -> Any:
    return await desk.do(follow_up, FOLLOW_UP_DUE, deal_id, **ASKED)


def why(end: Any) -> str:
    """The reported step of the reminder."""
    return next(step.why for step in end.steps if "remind" in step.what)


async def test_only_those_whose_turn_it_is(world: Any, desk: Any, sent: tuple[str, str]) -> None:
    """First the client; after that signature our counter-signer; once per follow-up, with a task."""
    deal_id, request_id = sent
    end = await asked(desk, deal_id)
    assert end.state == "done" and reminded(world, deal_id) == [ADA]
    assert len(world.records("tasks")) == 1 and "@" not in str(end)

    world.sign_act(request_id, ADA, "sign")
    world.advance(72 * HOUR_S)
    await asked(desk, deal_id)
    assert reminded(world, deal_id) == [ADA, CARLA]


async def test_not_within_the_hour(world: Any, desk: Any, sent: tuple[str, str]) -> None:
    """Somebody has reminded them by hand half an hour ago: Dropbox Sign is not called."""
    deal_id, request_id = sent
    await desk.s.esign.client.remind(request_id, ADA)
    world.advance(0.5 * HOUR_S)
    world.forget_calls()

    end = await asked(desk, deal_id)

    assert end.state == "done" and why(end) == "reminded within the last hour"
    assert world.calls("sign", REMIND) == [] and reminded(world, deal_id) == [ADA]
    assert len(world.records("tasks")) == 1


async def test_refused_by_the_vendor_is_no_failure(world: Any, desk: Any, sent: tuple[str, str]) -> None:
    """A reminder that its own robot sent meanwhile: the vendor's refusal is reported, the task is made."""
    deal_id, _ = sent
    world.fault("sign", "status", REMIND, status=400)
    end = await asked(desk, deal_id)
    assert end.state == "done" and "the request was refused" in why(end)
    assert len(world.records("tasks")) == 1


@pytest.mark.parametrize("kind", ["status_after", "reset_after"])
async def test_in_doubt_it_is_read_back(world: Any, desk: Any, sent: tuple[str, str], kind: str) -> None:
    """The answer is lost after the mail went out: the next try sees the moment of the reminder, and sends no second."""
    deal_id, _ = sent
    world.fault("sign", kind, REMIND, **({"status": 502} if kind == "status_after" else {}))
    event_id = await desk.record(FOLLOW_UP_DUE, deal_id, **ASKED)
    assert isinstance(await desk.run(follow_up, event_id), TransientError)

    end = await desk.run(follow_up, event_id)

    assert end.state == "done" and reminded(world, deal_id) == [ADA]
    async with desk.s.ledger.read() as tx:
        (effect,) = (e for e in await effects.listing(tx) if e.kind == "remind_signer")
    assert (effect.state, effect.reason) == ("done", "found at the vendor")


async def test_stopped_after_the_reminder(world: Any, desk: Any, sent: tuple[str, str]) -> None:
    """The task failed: the event comes again within the hour, the reminder is ours and done, the task follows."""
    deal_id, _ = sent
    world.fault("hub", "status", r"/objects/[^/]+/tasks$", method="POST", status=401)
    event_id = await desk.record(FOLLOW_UP_DUE, deal_id, **ASKED)
    assert isinstance(await desk.run(follow_up, event_id), Exception)
    world.clear_faults()
    end = await desk.run(follow_up, event_id)
    assert end.state == "done" and why(end) == "it is their turn to sign"
    assert reminded(world, deal_id) == [ADA] and len(world.records("tasks")) == 1


@pytest.mark.parametrize("does", ["bounce", "decline", "cancel", "none"])
async def test_nobody_to_remind(world: Any, desk: Any, sales: Any, sent: tuple[str, str], does: str) -> None:
    """The address bounced, the contract was declined or cancelled, or missing: reported, and there is still a task."""
    deal_id, request_id = sent
    if does == "cancel":
        await desk.s.esign.cancel(request_id, before_send=nothing_to_check)
        world.advance(60)
    elif does == "none":
        deal_id = await sales.deal("closing", name="b", contact=None, company=None)
    else:
        world.sign_act(request_id, ADA, does)
    end = await asked(desk, deal_id)
    says = {
        "bounce": "cannot reach the address",
        "decline": "no longer open",
        "cancel": "it no longer exists",
        "none": "no contract is waiting for signatures",
    }
    assert end.state == "done" and says[does] in why(end)
    assert does == "none" or reminded(world, deal_id) == []
    assert len(world.records("tasks")) == 1
