"""A stuck deal: from the dead-lettered event to one task for the deal's owner."""

import asyncio
from typing import Any

import pytest

from connectors.http.errors import RejectedError, TransientError
from flows.contracts import send_contract
from flows.follow_up import follow_up
from flows.ledger import inbox, tables
from flows.ledger.effects import QuarantinedError
from flows.processes import DEAL_STUCK
from flows.rules.outcome import Outcome
from flows.trials.replay import dry_run, find
from flows.worker.settle import fail, finish, prepare_all

REFUSED = RejectedError("hubspot", "update_deals", status=400)
TASKS = r"/objects/[^/]+/tasks$"


async def _dead_letter(desk: Any, deal_id: str, problem: Exception = REFUSED) -> int:
    """Dead-letter an event of this deal; returns its id."""
    event_id: int = await desk.record("contract.due", deal_id)
    (event,) = await desk.claim([event_id])
    assert (await fail(event, problem, desk.s)).state == "dead"
    return event_id


async def _stuck(desk: Any) -> Any:
    (event,) = await desk.open_events(DEAL_STUCK)
    return event


def tasks_of(world: Any, deal_id: str) -> list[dict[str, Any]]:
    linked = world.record("deals", deal_id)["associations"].get("tasks", [])
    ids = {link["id"] for link in linked}
    return [t for t in world.records("tasks") if t["id"] in ids]


@pytest.mark.parametrize("problem", [REFUSED, QuarantinedError("contract:1:1")])
async def test_the_owner_gets_one_task(world: Any, desk: Any, sales: Any, problem: Exception) -> None:
    """Refused or quarantined: one open task on the deal, with the owner, saying what, why and what to do."""
    deal_id = await sales.deal("closing")
    event_id = await _dead_letter(desk, deal_id, problem)
    stuck = await _stuck(desk)
    assert (stuck.source, stuck.key, stuck.lane) == ("dealflow", f"stuck:{event_id}", f"deal:{deal_id}")

    end = await desk.run(follow_up, stuck.id)

    assert isinstance(end, Outcome) and end.state == "done", end
    (task,) = tasks_of(world, deal_id)
    told = task["properties"]
    assert told["hs_task_status"] == "NOT_STARTED" and told["hubspot_owner_id"] == "71530011"
    assert told["hs_task_subject"] == "dealflow is stuck: the contract was not sent"
    assert str(problem).split(":")[0] in told["hs_task_body"]
    assert f"Event number: {event_id}." in told["hs_task_body"]
    assert "dealflow inbox" not in told["hs_task_body"]  # the owner has no command line
    for personal in ("Ada", "Byron", "analytical-engines", "24000"):
        assert personal not in told["hs_task_body"] + told["hs_task_subject"]


async def test_without_an_owner_it_is_nobodys(world: Any, desk: Any, sales: Any) -> None:
    """No owner on the deal: there is still a task."""
    deal_id = await sales.deal("closing", hubspot_owner_id="")
    await _dead_letter(desk, deal_id)
    stuck = await _stuck(desk)

    assert (await desk.run(follow_up, stuck.id)).state == "done"

    (task,) = tasks_of(world, deal_id)
    assert not task["properties"].get("hubspot_owner_id")


@pytest.mark.parametrize("kind", ["status_after", "reset_after"])
async def test_a_task_in_doubt_is_one_task(world: Any, desk: Any, sales: Any, kind: str) -> None:
    """The answer is lost after HubSpot made it: the next try finds it by its marker."""
    deal_id = await sales.deal("closing")
    await _dead_letter(desk, deal_id)
    stuck = await _stuck(desk)
    more = {"status": 502} if kind == "status_after" else {}
    world.fault("hub", kind, TASKS, method="POST", **more)

    assert isinstance(await desk.run(follow_up, stuck.id), TransientError)
    assert (await desk.run(follow_up, stuck.id)).state == "done"

    assert len(tasks_of(world, deal_id)) == 1


async def test_hubspot_away_parks_it_like_any_other(world: Any, desk: Any, sales: Any) -> None:
    """Not dead: parked, and done once HubSpot is back. It never creates a task about itself."""
    deal_id = await sales.deal("closing")
    await _dead_letter(desk, deal_id)
    (event,) = await desk.claim([(await _stuck(desk)).id])
    world.fault("hub", "status", "/deals/batch/read", status=401, times=9)

    _, (ended,) = await prepare_all([event], follow_up.prepare, desk.s)
    assert ended.state == "parked"
    world.clear_faults()
    assert (await desk.run(follow_up, event.id)).state == "done"

    (task,) = tasks_of(world, deal_id)
    assert task and len([r for r in await _all(desk) if r.kind == DEAL_STUCK]) == 1


async def _all(desk: Any) -> list[Any]:
    async with desk.s.ledger.read() as tx:
        return await inbox.listing(tx, limit=1000)


async def test_a_dead_follow_up_asks_for_nothing_more(desk: Any, sales: Any) -> None:
    """HubSpot refuses the task itself: dead, and no event about that."""
    deal_id = await sales.deal("closing")
    await _dead_letter(desk, deal_id)
    (event,) = await desk.claim([(await _stuck(desk)).id])

    assert (await fail(event, REFUSED, desk.s)).state == "dead"

    assert await desk.open_events() == []


async def test_the_dead_row_does_not_block_it(desk: Any, sales: Any) -> None:
    """It stands in the deal's lane behind the dead row, and can be claimed at once."""
    deal_id = await sales.deal("closing")
    event_id = await _dead_letter(desk, deal_id)

    (taken,) = await desk.claim()

    assert taken.kind == DEAL_STUCK and taken.content["event_id"] == event_id


async def test_without_a_deal_there_is_no_task(desk: Any) -> None:
    """A lead that never became a deal has nobody to notify in HubSpot."""
    event_id = await desk.record("lead.received", None, lane="lead:x")
    (event,) = await desk.claim([event_id])

    assert (await fail(event, REFUSED, desk.s)).state == "dead"

    assert await desk.open_events() == []


async def test_an_outcome_for_a_person_notifies_the_owner_too(desk: Any, sales: Any) -> None:
    """Not a failure, but a person is needed: dead too."""
    deal_id = await sales.deal("closing")
    (event,) = await desk.claim([await desk.record("signature.event", deal_id, lane="request:r")])

    async def handle(*_: Any) -> Outcome:
        return Outcome("dead", "not acted on", deal_id=deal_id, reasons=("request r: of another account",))

    assert (await finish(event, handle, None, desk.s)).state == "dead"
    stuck = await _stuck(desk)
    assert stuck.content["reason"] == "request r: of another account" and stuck.lane == f"deal:{deal_id}"


async def test_put_right_meanwhile_or_gone(world: Any, desk: Any, sales: Any) -> None:
    """Retried by a person before the owner was notified, or a deleted deal: nothing is written."""
    deal_id = await sales.deal("closing")
    event_id = await _dead_letter(desk, deal_id)
    stuck = await _stuck(desk)
    async with desk.s.ledger.write() as tx:
        assert await inbox.retry(tx, event_id, now=desk.s.clock())
    assert (await desk.run(send_contract, event_id)).state == "done"
    assert (await desk.run(follow_up, stuck.id)).state == "ignored"

    gone = await sales.deal("closing", name="gone", contact=None, company=None)
    await _dead_letter(desk, gone)
    world.rep("deals", id=gone, archive=True)
    assert (await desk.run(follow_up, (await _stuck(desk)).id)).state == "ignored"

    assert world.records("tasks") == []


async def test_its_replay_makes_no_second_task(world: Any, desk: Any, sales: Any) -> None:
    """The task is keyed by the dead event."""
    deal_id = await sales.deal("closing")
    await _dead_letter(desk, deal_id)
    stuck = await _stuck(desk)
    await desk.run(follow_up, stuck.id)

    (found,) = await find(desk.s.ledger, [stuck.id], portal_id="")
    report = await dry_run(desk.s, found)

    assert [p.how for p in report.planned] == ["done already"] and len(world.records("tasks")) == 1


async def test_failures_are_counted_in_a_row(desk: Any, sales: Any) -> None:
    """Tries that are lost to crashes do not count; eight odd failures in a row do; a retry starts anew."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    states = []
    for n in range(10):
        (event,) = await desk.claim([event_id])
        if n < 2:  # the worker died: the lease expires, nobody settles
            async with desk.s.ledger.write() as tx:
                await tx.execute(tables.inbox.update().values(lease_until=desk.s.clock()))
            continue
        states.append((await fail(event, KeyError("odd"), desk.s)).state)
    row = await desk.event(event_id)
    assert states == ["parked"] * 7 + ["dead"] and (row.attempts, row.failures) == (10, 7)

    async with desk.s.ledger.write() as tx:
        await inbox.retry(tx, event_id, now=desk.s.clock())
    assert (await desk.event(event_id)).failures == 0
    (event,) = await desk.claim([event_id])
    assert (await fail(event, KeyError("odd"), desk.s)).state == "parked"
    assert (await desk.event(event_id)).failures == 1


async def test_the_wait_grows_with_failures_not_with_tries(desk: Any, sales: Any) -> None:
    """Held for weeks and checked a hundred times, a first failure waits as a first one."""
    deal_id = await sales.deal("closing")
    event_id = await desk.record("contract.due", deal_id)
    async with desk.s.ledger.write() as tx:
        await tx.execute(tables.inbox.update().values(attempts=100))
    (event,) = await desk.claim([event_id])

    await fail(event, TransientError("hubspot", "read"), desk.s)

    row = await desk.event(event_id)
    assert (row.due_at - desk.s.clock()).total_seconds() <= desk.s.settings.worker_park_first_s
    (event,) = await desk.claim([event_id])
    async with desk.s.ledger.write() as tx:
        await inbox.settle(
            tx, event_id, owner=desk.s.owner, state="held", now=desk.s.clock(), due_at=desk.s.clock()
        )
    await asyncio.sleep(0)
    assert (await desk.event(event_id)).failures == 0
