"""The parts that make a rehearsal repeatable: a frozen clock, a closed ledger, a plain connection."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from connectors.sandbox.clock import Clock
from flows.ledger.database import StorageError, open_ledger
from flows.ledger.snapshot import compact_copy, fingerprint
from flows.ledger.tables import cursors
from flows.trials.rehearsal.loopback import loopback_client


async def test_a_frozen_clock_moves_only_by_advance() -> None:
    """Real time changes nothing; timers fire at their own moments, in order, and not by themselves."""
    clock = Clock(frozen_at_s=1000.0)
    seen: list[tuple[str, float]] = []

    def job(name: str) -> None:
        async def go() -> None:
            seen.append((name, clock.now_s()))

        clock.after({"soon": 0.05, "at once": 0.0, "later": 30.0}[name], go, name)

    for name in ("later", "soon", "at once"):
        job(name)
    ticking = asyncio.create_task(clock.run())
    await asyncio.sleep(0.2)
    assert seen == [] and clock.now_s() == 1000.0
    assert await clock.advance(10) == 2
    assert seen == [("at once", 1000.0), ("soon", 1000.05)] and clock.now_s() == 1010.0
    assert await clock.advance(20) == 1 and seen[-1] == ("later", 1030.0)
    ticking.cancel()


async def _filled(url: str, value: str, *, throw_away: bool = False) -> None:
    ledger = await open_ledger(url, throw_away=throw_away)
    async with ledger.write() as tx:
        moved_at = datetime(2026, 1, 5, tzinfo=UTC)
        await tx.execute(sa.insert(cursors).values(name="a", value=value, moved_at=moved_at))
    async with ledger.read() as tx:
        assert (await tx.execute(sa.select(cursors.c.value))).scalar_one() == value
    await ledger.close()


async def test_a_throw_away_ledger_holds_the_same(tmp_path: Path) -> None:
    """Without threads and fsync the content is the same, and so are the compact bytes."""
    for name, throw_away in (("safe", False), ("fast", True)):
        await _filled(f"sqlite+aiosqlite:///{tmp_path / name}.db", "one", throw_away=throw_away)
        compact_copy(tmp_path / f"{name}.db", tmp_path / f"{name}.copy")
    assert fingerprint(tmp_path / "safe.db") == fingerprint(tmp_path / "fast.db")
    assert (tmp_path / "safe.copy").read_bytes() == (tmp_path / "fast.copy").read_bytes()


async def test_a_throw_away_ledger_keeps_the_rules(tmp_path: Path) -> None:
    """What fails is rolled back and raised; a reading transaction cannot write."""
    ledger = await open_ledger(f"sqlite+aiosqlite:///{tmp_path / 'l.db'}", throw_away=True)
    row = {"name": "a", "value": "1", "moved_at": datetime(2026, 1, 5, tzinfo=UTC)}
    with pytest.raises(StorageError) as refused:
        async with ledger.write() as tx:
            await tx.execute(sa.insert(cursors), row)
            await tx.execute(sa.insert(cursors), row)
    assert refused.value.kind == "IntegrityError"
    with pytest.raises(StorageError) as refused:
        async with ledger.read() as tx:
            await tx.execute(sa.insert(cursors), row)
    assert refused.value.kind == "OperationalError"
    async with ledger.read() as tx:
        assert (await tx.execute(sa.select(sa.func.count()).select_from(cursors))).scalar_one() == 0
    await ledger.close()


async def test_the_fingerprint_sees_every_value(tmp_path: Path) -> None:
    """One changed value changes it; the order of writing and gaps in the file do not."""
    file, other = tmp_path / "l.db", tmp_path / "o.db"
    await _filled(f"sqlite+aiosqlite:///{file}", "one")
    shutil.copyfile(file, other)
    with sqlite3.connect(other) as db:
        db.execute("create table big (n integer primary key, t text)")
        db.executemany("insert into big values (?, ?)", [(n, "x" * 500) for n in range(200)])
        db.execute("drop table big")
    db.close()
    assert fingerprint(other) == fingerprint(file)
    with sqlite3.connect(other) as db:
        db.execute("update cursors set value = 'two'")
    db.close()
    assert fingerprint(other) != fingerprint(file)


@pytest.fixture
async def echo() -> AsyncIterator[str]:
    """A server that answers what it was sent, and on request drops the connection, before or after its answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            body = await reader.readexactly(length)
            if b"GET /drop" in head:
                break
            status = b"404 Not Found" if b"GET /missing" in head else b"200 OK"
            writer.write(b"HTTP/1.1 %s\r\nx-seen: %s\r\n" % (status, head.split(b"\r\n")[0]))
            writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))
            if b"GET /last" in head:
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_the_plain_connection_is_kept_and_heals(echo: str) -> None:
    """Bodies go both ways, statuses and headers arrive; after a drop the next call opens a new connection."""
    async with loopback_client(echo) as client:
        answer = await client.post("/a?b=1", json={"n": 1})
        assert answer.json() == {"n": 1} and answer.headers["x-seen"] == "POST /a?b=1 HTTP/1.1"
        assert (await client.get("/missing")).status_code == 404
        with pytest.raises(httpx.ReadError):
            await client.get("/drop")
        assert (await client.post("/again", content=b"x" * 100_000)).content == b"x" * 100_000


async def test_an_idle_connection_that_was_closed_is_opened_again(echo: str) -> None:
    """The stand-ins close what is idle for 75 s, as the second vendor's is on a machine that is very busy."""
    async with loopback_client(echo) as client:
        assert (await client.get("/last")).status_code == 200
        async with asyncio.timeout(30):
            while not client._plainly._reader.at_eof():
                await asyncio.sleep(0.01)
        assert (await client.get("/next")).headers["x-seen"] == "GET /next HTTP/1.1"
