"""The excerpt for a dry run: what one deal needs, from either database, and never a trace in the real ledger."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flows.ledger import contracts, documents, follow_ups, inbox, mirror, tables
from flows.ledger.database import Ledger
from flows.ledger.effects import Writer, perform
from flows.ledger.excerpt import excerpt
from flows.ledger.history import ReadTimes, Version, keep_versions
from flows.ledger.inbox import Event, NewEvent
from flows.ledger.mirror import MirrorRow, StageEntry


async def _everything(ledger: Ledger) -> dict[str, list[Any]]:
    async with ledger.read() as tx:
        return {
            t.name: [tuple(r) for r in await tx.execute(sa.select(t).order_by(*t.primary_key))]
            for t in tables.metadata.sorted_tables
        }


async def _furnish(ledger: Ledger, desk: Any, vendor: Any, deal_id: str) -> Event:
    """A deal with a row in every table: one event claimed and done, one that waits."""
    now = desk.clock()
    event_id = await desk.put(f"deal:{deal_id}", deal_id=deal_id, content={"stage": "closing"})
    await desk.take("a", only_ids=[event_id])
    vendor.key = f"contract:{deal_id}:1"
    await vendor.do(Writer(ledger, "a", event_id, desk.clock), deal_id=deal_id)
    await desk.settle(event_id, "done", outcome={"summary": "sent"})
    await desk.put(f"deal:{deal_id}", deal_id=deal_id)
    async with ledger.write() as tx:
        paper = await documents.freeze(
            tx,
            deal_id=deal_id,
            kind="contract",
            source_sha256="a",
            sha256="b",
            title="t",
            content=b"\x00%PDF",
            now=now,
        )
        await contracts.begin(
            tx, deal_id=deal_id, token=f"t{deal_id}", paper_id=paper.id, signers=[], test_mode=True, now=now
        )
        await follow_ups.begin(
            tx,
            deal_id=deal_id,
            stage="closing",
            entered_at=now,
            number=1,
            unmet=["signed"],
            flagged=False,
            now=now,
        )
        await mirror.keep(
            tx,
            [
                MirrorRow("deals", deal_id, {"dealstage": "5"}, now),
                MirrorRow("contacts", f"c{deal_id}", {}, now),
            ],
            now=now,
        )
        await mirror.keep_links(
            tx, "deals", "contacts", {deal_id: {f"c{deal_id}": ["signer"]}}, reads=ReadTimes(now)
        )
        await keep_versions(tx, [Version(deal_id, "amount", "1", now)])
        await mirror.keep_stage_entries(tx, [StageEntry(deal_id, "5", now)])
        await mirror.move_cursor(tx, "watch_since", now.isoformat(), now=now)
    return await desk.row(event_id)  # type: ignore[no-any-return]


def _copy_of(row: Event) -> NewEvent:
    return NewEvent(
        "replay", str(row.id), row.kind, row.lane, row.content, row.deal_id, came_at=row.received_at
    )


async def test_one_deals_rows_and_no_others(ledger: Ledger, desk: Any, vendor: Any) -> None:
    """All of this deal, nothing of another, as they stand: times, bytes and JSON included."""
    row = await _furnish(ledger, desk, vendor, "1")
    await _furnish(ledger, desk, vendor, "2")
    whole = await _everything(ledger)
    now = desk.clock.forward(60)

    async with excerpt(ledger, _copy_of(row), like=row, deal_ids=["1"], owner="dry", now=now) as (
        copy,
        event,
    ):
        part = await _everything(copy)

    assert copy.dialect == "sqlite"
    assert (
        event.id == 5 and event.source == "replay" and (event.state, event.lease_owner) == ("claimed", "dry")
    )
    assert event.received_at == row.received_at and event.content == row.content
    own = {
        "inbox": [r for r in whole["inbox"] if r[5] == "1"],
        "effects": [r for r in whole["effects"] if r[3] == "1"],
        "papers": [r for r in whole["papers"] if r[1] == "1"],
        "contracts": [r for r in whole["contracts"] if r[1] == "1"],
        "follow_ups": [r for r in whole["follow_ups"] if r[1] == "1"],
        "records": [r for r in whole["records"] if r[1] in ("1", "c1")],
        "associations": [r for r in whole["associations"] if r[1] == "1"],
        "stage_history": [r for r in whole["stage_history"] if r[0] == "1"],
        "cursors": whole["cursors"],
    }
    part["inbox"] = [r for r in part["inbox"] if r[0] != event.id]
    for name, rows in own.items():
        assert rows and part[name] == rows, name
    assert part["deliveries"] == [] and part["workers"] == []


async def test_what_is_written_there_stays_there(ledger: Ledger, desk: Any, vendor: Any) -> None:
    """The handler may claim, settle and plan writes as usual: the real ledger keeps every byte, the file goes away."""
    row = await _furnish(ledger, desk, vendor, "1")
    before, tries = await _everything(ledger), vendor.tries
    planned: list[Any] = []

    async with excerpt(ledger, _copy_of(row), like=row, deal_ids=["1"], owner="dry", now=desk.clock()) as (
        copy,
        event,
    ):
        file = Path(str(copy.url.database))
        assert file.exists() and file.parent.stat().st_mode & 0o077 == 0
        writer = Writer(copy, "dry", event.id, desk.clock, planned=planned)
        for key in ("contract:1:1", "contract:1:2", "contract:1:2"):
            result = await perform(
                writer, key=key, kind="send_contract", attempt=vendor.attempt, find=vendor.find, deal_id="1"
            )
        assert result["request_id"] == "(new)" and result.get("on_hold") is None
        async with copy.write() as tx:
            await inbox.settle(tx, event.id, owner="dry", state="done", now=desk.clock())

    assert [(p.key, p.how) for p in planned] == [
        ("contract:1:1", "done already"),
        ("contract:1:2", "would be done"),
    ]
    assert vendor.tries == tries and await _everything(ledger) == before and not file.parent.exists()


async def test_the_real_ledger_is_not_locked(
    ledger: Ledger, other_ledger: Ledger, desk: Any, vendor: Any
) -> None:
    """While the excerpt is worked in, others write to the real ledger without waiting, also to this very row."""
    row = await _furnish(ledger, desk, vendor, "1")

    async with excerpt(ledger, _copy_of(row), like=row, deal_ids=["1"], owner="dry", now=desk.clock()) as (
        copy,
        event,
    ):
        async with copy.write() as mine, other_ledger.write() as theirs:
            await inbox.renew(mine, [event.id], owner="dry", until=desk.clock() + timedelta(days=2))
            await theirs.execute(tables.inbox.update().values(reason="changed meanwhile"))
        async with copy.read() as tx:
            assert (await inbox.load(tx, [row.id]))[0].reason is None

    assert (await desk.row(row.id)).reason == "changed meanwhile"


async def test_an_unknown_outcome_is_checked(ledger: Ledger, desk: Any, vendor: Any) -> None:
    """An unknown write that the vendor shows is found; one that it does not show waits, as in a real try."""
    event_id = await desk.put("deal:1", deal_id="1")
    await desk.take("a", only_ids=[event_id])
    vendor.script = [KeyboardInterrupt()]  # died after the vendor had acted
    with pytest.raises(KeyboardInterrupt):
        await vendor.do(Writer(ledger, "a", event_id, desk.clock), deal_id="1")
    await desk.settle(event_id, "parked", due_at=desk.clock())
    row = await desk.row(event_id)
    assert row.failures == 1

    async with excerpt(ledger, _copy_of(row), like=row, deal_ids=["1"], owner="dry", now=desk.clock()) as (
        copy,
        event,
    ):
        planned: list[Any] = []
        writer = Writer(copy, "dry", event.id, desk.clock, planned=planned)
        assert (await vendor.do(writer, deal_id="1"))["request_id"] == "seen"

    assert [p.how for p in planned] == ["found at the vendor"]
    assert (await vendor.stored()).state == "intended"
