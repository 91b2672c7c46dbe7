"""Recording: exact bytes, unique keys, what people see."""

import asyncio
import hashlib
from typing import Any

import asyncpg
import pytest

from flows.ledger import inbox
from flows.ledger.database import Ledger
from flows.ledger.inbox import NewEvent

HEADERS = {"content-type": "application/json; charset=utf-8", "x-hubspot-signature-v3": "sïg=="}


async def _store(ledger: Ledger, clock: Any, source: str, body: bytes) -> int:
    async with ledger.write() as tx:
        return await inbox.store_delivery(tx, source=source, headers=HEADERS, body=body, now=clock())


@pytest.mark.parametrize(
    "body", [b"", b"\x00\xff\xfe\r\n", '{"ä": "€"}'.encode(), bytes(range(256)) * 4096], ids=len
)
async def test_exact_bytes_are_kept(ledger: Ledger, clock: Any, body: bytes) -> None:
    """A delivery is kept byte for byte with its headers and the moment it came."""
    delivery_id = await _store(ledger, clock, "hubspot", body)
    async with ledger.read() as tx:
        kept = await inbox.delivery(tx, delivery_id)
    assert kept is not None
    assert (bytes(kept.body), kept.headers, kept.received_at) == (body, HEADERS, clock())
    assert (kept.source, kept.sha256, kept.repeats) == ("hubspot", hashlib.sha256(body).hexdigest(), 0)


async def test_the_same_bytes_are_counted(ledger: Ledger, clock: Any) -> None:
    """A repeat only raises the count; the same bytes from another source are another delivery."""
    first = await _store(ledger, clock, "hubspot", b"{}")
    clock.forward(60)
    assert [await _store(ledger, clock, "hubspot", b"{}") for _ in range(3)] == [first] * 3
    other = await _store(ledger, clock, "lead", b"{}")
    async with ledger.read() as tx:
        kept = await inbox.delivery(tx, first)
        assert await inbox.delivery(tx, other + 1) is None
    assert other != first
    assert kept is not None
    assert kept.repeats == 3
    assert kept.received_at < clock()


async def test_a_key_is_taken_once_per_source(ledger: Ledger, clock: Any) -> None:
    """The same event again adds nothing and changes nothing; another source may use the same key."""

    def event(source: str, key: str, kind: str = "deal.changed") -> NewEvent:
        return NewEvent(source, key, kind, "deal:1", {"n": 1})

    async with ledger.write() as tx:
        first = await inbox.record(tx, [event("hubspot", "k"), event("hubspot", "k")], now=clock())
        second = await inbox.record(
            tx, [event("hubspot", "k", "signature.event"), event("stage", "k")], now=clock.forward(5)
        )
        rows = await inbox.load(tx, [*first.new, *second.new])
    assert (len(first.new), first.known, len(second.new), second.known) == (1, 1, 1, 1)
    assert [(r.source, r.kind) for r in rows] == [("hubspot", "deal.changed"), ("stage", "deal.changed")]
    assert rows[0].received_at < rows[1].received_at


async def test_long_keys_stay_different(ledger: Ledger, clock: Any) -> None:
    """Keys that differ only after what the column holds are still different events; so are lanes."""
    keys = ["k" * 300 + tail for tail in "ab"]
    events = [NewEvent("operator", key, "deal.changed", key, {}) for key in keys]
    async with ledger.write() as tx:
        done = await inbox.record(tx, events * 2, now=clock())
        rows = await inbox.load(tx, done.new)
    assert (len(done.new), done.known) == (2, 2)
    assert len({row.lane for row in rows}) == 2
    assert {len(row.key) for row in rows} == {255}
    assert {len(row.lane) for row in rows} == {128}


async def test_content_comes_back_as_it_was(ledger: Ledger, clock: Any) -> None:
    """Whatever a sender puts into JSON is kept, also what databases dislike."""
    content = {"lead": {"message": "zero \x00, half \ud800, 🎉", "n": [1, 2.5, None, True], "": {}}}
    async with ledger.write() as tx:
        done = await inbox.record(tx, [NewEvent("lead", "k", "lead.received", "l", content)], now=clock())
    async with ledger.read() as tx:
        assert (await inbox.load(tx, done.new))[0].content == content


async def test_events_that_are_not_to_be_handled_are_kept(ledger: Ledger, desk: Any) -> None:
    """Dead and ignored on arrival: stored with the reason, never claimed, never in the way."""
    dead = await desk.put(ended=("dead", "not readable"))
    ignored = await desk.put(ended=("ignored", "about another account"))
    live = await desk.put()
    assert [e.id for e in await desk.take()] == [live]
    for event_id, state, reason in (
        (dead, "dead", "not readable"),
        (ignored, "ignored", "about another account"),
    ):
        row = await desk.row(event_id)
        assert (row.state, row.reason, row.finished_at) == (state, reason, desk.clock())


async def test_listing_and_tally_show_people_what_there_is(ledger: Ledger, desk: Any) -> None:
    """Newest first, by state and by deal; the tally counts every state."""
    ids = [await desk.put(f"deal:{n}", deal_id=str(n % 2)) for n in range(5)]
    await desk.take(limit=2)
    await desk.settle(ids[0], "done", outcome={"summary": "sent"})
    async with ledger.read() as tx:
        assert [e.id for e in await inbox.listing(tx)] == ids[::-1]
        assert [e.id for e in await inbox.listing(tx, limit=2)] == ids[:2:-1]
        assert [e.id for e in await inbox.listing(tx, states=("due", "done"), deal_id="0")] == [
            ids[4],
            ids[2],
            ids[0],
        ]
        assert await inbox.tally(tx) == {"done": 1, "claimed": 1, "due": 3}
        assert await inbox.load(tx, []) == []
        assert (await inbox.load(tx, ids[:1]))[0].outcome == {"summary": "sent"}


async def test_a_run_is_remembered(desk: Any) -> None:
    """Which Prefect run handles an event stands in its row."""
    event_id = await desk.put()
    async with desk.ledger.write() as tx:
        await inbox.note_run(tx, [event_id], "5f1c-run")
    assert (await desk.row(event_id)).flow_run_id == "5f1c-run"


@pytest.mark.parametrize(
    "ledger_url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
async def test_postgres_listeners_hear_of_new_events(ledger: Ledger, clock: Any) -> None:
    """On PostgreSQL a worker on another machine is woken on commit, by new events only."""
    heard: list[str] = []
    address = ledger.url.set(drivername="postgresql").render_as_string(hide_password=False)
    listener = await asyncpg.connect(address)
    await listener.add_listener(inbox.WAKE_CHANNEL, lambda *got: heard.append(str(got[2])))
    event = NewEvent("test", "k", "deal.changed", "deal:1", {})
    async with ledger.write() as tx:
        await inbox.record(tx, [event], now=clock())
        await asyncio.sleep(0.1)
        assert heard == []
    async with asyncio.timeout(30):
        while not heard:
            await asyncio.sleep(0.01)
    async with ledger.write() as tx:
        await inbox.record(tx, [event], now=clock())
    await asyncio.sleep(0.2)
    assert heard == [inbox.WAKE_CHANNEL]
    await listener.close()
