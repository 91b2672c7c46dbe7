"""Outward writes, each once: leases, late answers, and two workers at the same key."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from connectors.http.errors import ConnectorError, TransientError
from flows.ledger import effects
from flows.ledger.database import Ledger, open_ledger
from flows.ledger.effects import Plan, StillUnknownError, Writer, perform
from flows.ledger.inbox import LeaseLostError


def trouble(kind: type[ConnectorError] = TransientError, *, applied: Any = "maybe") -> ConnectorError:
    return kind("dropbox_sign", "send", status=500, applied=applied)


class Death(BaseException):
    """The process dies here."""


async def test_without_the_lease_nothing_is_written_or_tried(vendor: Any, desk: Any) -> None:
    """Whoever lost the event (taken over, or the lease ran out) neither stores an intent nor sends."""
    event_id = await desk.put()
    writer = Writer(desk.ledger, "a", event_id, desk.clock)
    with pytest.raises(LeaseLostError):
        await vendor.do(writer)
    await desk.take("a", lease_s=10)
    desk.clock.forward(10)
    with pytest.raises(LeaseLostError):
        await vendor.do(writer)
    await desk.take("b")
    with pytest.raises(LeaseLostError):
        await vendor.do(writer)
    async with desk.ledger.read() as tx:
        assert await effects.by_key(tx, vendor.key) is None
    assert (vendor.tries, vendor.looks) == (0, 0)


async def test_the_lease_is_asked_for_before_every_try(vendor: Any, desk: Any) -> None:
    """The event changes hands while the vendor is being checked: the old worker does not send."""
    event_id = await desk.put()
    await desk.take("a", lease_s=10)
    writer = Writer(desk.ledger, "a", event_id, desk.clock)
    vendor.commits = False
    vendor.script = [trouble()]
    with pytest.raises(TransientError):
        await vendor.do(writer)

    async def slow_find(_token: str) -> None:
        desk.clock.forward(11)
        await desk.take("b")

    with pytest.raises(LeaseLostError):
        await perform(writer, key=vendor.key, kind="x", attempt=vendor.attempt, find=slow_find)
    assert vendor.tries == 1


async def test_what_happened_is_written_down_even_without_the_lease(vendor: Any, desk: Any) -> None:
    """The answer comes after the lease ran out: it is still stored, and the successor need not ask."""
    event_id = await desk.put()
    await desk.take("a", lease_s=10)

    async def slow(token: str) -> dict[str, Any]:
        desk.clock.forward(11)
        await desk.take("b")
        return await vendor.attempt(token)

    await perform(
        Writer(desk.ledger, "a", event_id, desk.clock),
        key=vendor.key,
        kind="x",
        attempt=slow,
        find=vendor.find,
    )
    successor = Writer(desk.ledger, "b", event_id, desk.clock)
    assert await vendor.do(successor) == {"request_id": "r1"}
    assert (vendor.tries, vendor.looks) == (1, 0)


async def test_a_late_surely_not_does_not_undo_done(vendor: Any, desk: Any) -> None:
    """A slow worker hears "not done" of its try after its successor's try was done: done it stays."""
    event_id = await desk.put()
    await desk.take("a", lease_s=10)

    async def slow(token: str) -> dict[str, Any]:
        desk.clock.forward(11)
        await desk.take("b")
        await vendor.do(Writer(other, "b", event_id, desk.clock), Plan())
        raise trouble(applied="no")

    other = await open_ledger(desk.ledger.url.render_as_string(hide_password=False), migrate=False)
    with pytest.raises(TransientError):
        await perform(
            Writer(desk.ledger, "a", event_id, desk.clock),
            key=vendor.key,
            kind="x",
            attempt=slow,
            find=vendor.find,
        )
    assert (await vendor.stored()).state == "done"
    assert await vendor.do(Writer(desk.ledger, "b", event_id, desk.clock)) == {"request_id": "r1"}
    assert len(vendor.has) == 1
    await other.close()


async def test_two_runs_of_one_process_take_turns(vendor: Any, writer: Writer, desk: Any) -> None:
    """The same key twice at once in one worker (a run started again from the UI): one try, one result."""

    async def slow(token: str) -> dict[str, Any]:
        result = await vendor.attempt(token)
        await asyncio.sleep(0.05)
        return result

    def one() -> Any:
        return perform(writer, key=vendor.key, kind="x", attempt=slow, find=vendor.find, plan=vendor.plan)

    assert await asyncio.gather(one(), one(), one()) == [{"request_id": "r1"}] * 3
    assert (vendor.tries, vendor.looks) == (1, 0)


@pytest.mark.parametrize("before", ["nothing", "not_done", "unknown"])
async def test_two_workers_at_one_key_make_one_try(
    vendor: Any, writer: Writer, desk: Any, other_ledger: Ledger, before: str
) -> None:
    """Two events, two processes, one key, at once: one tries, the other gets StillUnknownError, then the result."""
    other_id = await desk.put("deal:2")
    await desk.take("b", lease_s=366 * 86_400)
    other = Writer(other_ledger, "b", other_id, desk.clock)
    vendor.commits = False
    if before != "nothing":
        vendor.script = [trouble(applied="no" if before == "not_done" else "maybe")]
        with pytest.raises(TransientError):
            await vendor.do(writer)
    vendor.commits, tried = True, vendor.tries
    both_there = asyncio.Barrier(2)

    async def slow(token: str) -> dict[str, Any]:
        result = await vendor.attempt(token)
        await asyncio.sleep(0.2)
        return result

    async def one(who: Writer) -> Any:
        await both_there.wait()
        return await perform(who, key=vendor.key, kind="x", attempt=slow, find=vendor.find)

    results = await asyncio.gather(one(writer), one(other), return_exceptions=True)
    assert vendor.tries == tried + 1, results
    assert len(vendor.has) == 1
    assert {"request_id": "r1"} in results
    for result in results:
        if isinstance(result, StillUnknownError):
            assert desk.clock() < result.look_at <= desk.clock() + timedelta(seconds=10)
        else:
            assert result in ({"request_id": "r1"}, {"request_id": "seen"})
    for who in (writer, other):
        assert await vendor.do(who) in ({"request_id": "r1"}, {"request_id": "seen"})
    assert vendor.tries == tried + 1


async def test_the_intent_of_a_dead_worker_is_taken_over(vendor: Any, writer: Writer, desk: Any) -> None:
    """An intent of another event holds us off only while that event's worker holds its lease."""
    other_id = await desk.put("deal:2")
    await desk.take("b", lease_s=30)
    vendor.script = [Death()]
    with pytest.raises(Death):
        await vendor.do(Writer(desk.ledger, "b", other_id, desk.clock))
    with pytest.raises(StillUnknownError) as still:
        await vendor.do(writer)
    assert still.value.look_at == desk.clock() + timedelta(seconds=10)
    desk.clock.forward(25)
    with pytest.raises(StillUnknownError) as still:
        await vendor.do(writer)
    assert still.value.look_at == desk.clock() + timedelta(seconds=5)
    assert vendor.looks == 0
    desk.clock.forward(5)
    assert await vendor.do(writer) == {"request_id": "seen"}
