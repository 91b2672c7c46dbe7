"""Opening, migrating, transactions."""

import asyncio
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from flows.ledger import mirror
from flows.ledger.database import Ledger, LedgerError, StorageError, open_ledger, upgrade
from flows.ledger.tables import UtcTime, cursors, metadata

_OPEN = "import asyncio, sys; from flows.ledger.database import open_ledger; asyncio.run(open_ledger(sys.argv[1]))"


async def _differences(ledger: Ledger) -> Any:
    def compare(connection: sa.Connection) -> Any:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return compare_metadata(context, metadata)

    async with ledger.read() as tx:
        return await tx.run_sync(compare)


async def test_migrations_give_the_tables_in_code(empty_url: str) -> None:
    """From an empty database the migrations lead to exactly the tables that the code uses."""
    ledger = await open_ledger(empty_url)
    try:
        assert await _differences(ledger) == []
    finally:
        await ledger.close()


async def test_migrating_again_changes_nothing(empty_url: str) -> None:
    """Opening a ledger that is up to date keeps what is in it."""
    first = await open_ledger(empty_url)
    async with first.write() as tx:
        await mirror.move_cursor(tx, "deals", "here", now=datetime(2026, 3, 2, tzinfo=UTC))
    await first.close()
    second = await open_ledger(empty_url)
    await upgrade(second)
    async with second.read() as tx:
        assert await mirror.cursor(tx, "deals") == "here"
    assert await _differences(second) == []
    await second.close()


async def test_processes_may_migrate_at_once(empty_url: str) -> None:
    """A gateway and workers that start together on an empty database all come up."""
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", _OPEN, empty_url, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    ended = await asyncio.gather(*(p.communicate() for p in processes))
    assert [p.returncode for p in processes] == [0] * 4, [err.decode()[-500:] for _, err in ended]
    ledger = await open_ledger(empty_url, migrate=False)
    assert await _differences(ledger) == []
    await ledger.close()


async def test_a_ledger_of_the_first_shape_is_brought_up(empty_url: str) -> None:
    """Rows written before the newest migration stay, and get its defaults."""
    ledger = await open_ledger(empty_url)

    def back(connection: sa.Connection) -> None:
        from alembic import command
        from alembic.config import Config

        import flows.ledger.database as database

        config = Config()
        config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")

    async with ledger.write() as tx:
        await tx.run_sync(back)
    async with ledger.write() as tx:
        await tx.execute(
            sa.text(
                "insert into effects (key, kind, token, state, attempts, looks, created_at)"
                " values ('old', 'send_contract', 't', 'unknown', 1, 0, '2026-03-02 09:00:00')"
            )
        )
    await upgrade(ledger)
    assert await _differences(ledger) == []
    async with ledger.read() as tx:
        row = (await tx.execute(sa.text("select key, resends, look_at from effects"))).one()
    assert tuple(row) == ("old", 0, None)
    await ledger.close()


async def test_a_newer_ledger_is_not_touched(ledger_url: str) -> None:
    """A program older than the database reports it instead of working on tables it does not know."""
    ledger = await open_ledger(ledger_url)
    async with ledger.write() as tx:
        await tx.execute(sa.text("update alembic_version set version_num = '9999'"))
    await ledger.close()
    with pytest.raises(LedgerError, match="newer dealflow"):
        await open_ledger(ledger_url)


async def test_sqlite_pragmas(tmp_path: Path) -> None:
    """What is acknowledged survives a power cut, readers do not wait for writers, writers wait for each other."""
    ledger = await open_ledger(f"sqlite+aiosqlite:///{tmp_path / 'a' / 'b' / 'ledger.db'}")
    for transaction in (ledger.read, ledger.write):
        async with transaction() as tx:
            values = [
                (await tx.exec_driver_sql(f"pragma {name}")).scalar_one()
                for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
            ]
            assert values == ["wal", 2, 15_000, 1]
    await ledger.close()


async def test_a_write_is_all_or_nothing(ledger: Ledger) -> None:
    """What raises inside a write leaves no trace."""
    now = datetime(2026, 3, 2, tzinfo=UTC)
    with pytest.raises(RuntimeError):
        async with ledger.write() as tx:
            await mirror.move_cursor(tx, "deals", "half", now=now)
            raise RuntimeError
    async with ledger.read() as tx:
        assert await mirror.cursor(tx, "deals") is None


async def test_reading_cannot_write(ledger: Ledger) -> None:
    """A write in a reading transaction is refused, not silently lost; the connection then writes again."""
    now = datetime(2026, 3, 2, tzinfo=UTC)
    for _ in range(2):
        with pytest.raises(StorageError) as refused:
            async with ledger.read() as tx:
                await mirror.move_cursor(tx, "deals", "x", now=now)
        assert isinstance(refused.value.__cause__, sa.exc.DBAPIError)
    async with ledger.write() as tx:
        await mirror.move_cursor(tx, "deals", "y", now=now)
    async with ledger.read() as tx:
        assert await mirror.cursor(tx, "deals") == "y"


async def test_reading_goes_on_while_somebody_writes(ledger: Ledger, other_ledger: Ledger) -> None:
    """A reader sees the last committed state at once, even in the middle of a write."""
    now = datetime(2026, 3, 2, tzinfo=UTC)
    async with ledger.write() as tx:
        await mirror.move_cursor(tx, "deals", "not yet", now=now)
        async with asyncio.timeout(10), other_ledger.read() as reader:
            assert await mirror.cursor(reader, "deals") is None


async def test_writers_do_not_lose_updates(ledger: Ledger, other_ledger: Ledger) -> None:
    """Read, then write, from two processes at once: nobody is refused and nothing is lost."""
    now = datetime(2026, 3, 2, tzinfo=UTC)

    async def raise_it(handle: Ledger) -> None:
        for _ in range(10):
            async with handle.write() as tx:
                if handle.dialect == "postgresql":
                    await tx.execute(sa.select(sa.func.pg_advisory_xact_lock(1)))
                known = int(await mirror.cursor(tx, "n") or 0)
                await mirror.move_cursor(tx, "n", str(known + 1), now=now)

    await asyncio.gather(*(raise_it(handle) for handle in (ledger, other_ledger) for _ in range(2)))
    async with ledger.read() as tx:
        assert await mirror.cursor(tx, "n") == "40"


async def test_times_are_aware_utc(ledger: Ledger) -> None:
    """A time comes back as the same moment in UTC; one without a zone is refused."""
    there = timezone(timedelta(hours=5, minutes=30))
    moment = datetime(2026, 3, 2, 4, 15, 0, 123456, tzinfo=there)
    async with ledger.write() as tx:
        await mirror.move_cursor(tx, "deals", "x", now=moment)
        back = (await tx.execute(sa.select(cursors.c.moved_at))).scalar_one()
        assert back == moment
        assert back.utcoffset() == timedelta(0)
    with pytest.raises((ValueError, sa.exc.StatementError), match="aware"):
        async with ledger.write() as tx:
            await mirror.move_cursor(tx, "deals", "x", now=datetime(2026, 3, 2))  # noqa: DTZ001
    assert UtcTime().process_bind_param(None, sa.create_engine("sqlite://").dialect) is None


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql+asyncpg://someone:hunter2@127.0.0.1:1/ledger", "does not answer"),
        ("mysql://someone:hunter2@127.0.0.1/ledger", "must begin with"),
        ("hunter2", "must begin with"),
        ("sqlite+aiosqlite:///{tmp}/junk.db", "does not answer"),
        ("sqlite+aiosqlite:///{tmp}/junk.db/ledger.db", "folder"),
        ("sqlite+aiosqlite:///{tmp}", "does not answer"),
    ],
)
async def test_a_useless_address_is_one_clear_line(url: str, says: str, tmp_path: Path) -> None:
    """Whatever is wrong with the database: LedgerError, what to do, and never the password."""
    (tmp_path / "junk.db").write_bytes(b"this is no database, however long it goes on" * 99)
    for migrate in (True, False):
        with pytest.raises(LedgerError, match=says) as caught:
            await open_ledger(url.format(tmp=tmp_path), migrate=migrate)
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.postgres
async def test_a_missing_database_is_named(postgres_server: Any) -> None:
    """PostgreSQL's own refusals (no such database, no such user) are LedgerErrors too."""
    if postgres_server.why_not:
        pytest.skip(postgres_server.why_not)
    with pytest.raises(LedgerError, match="InvalidCatalogNameError"):
        await open_ledger(postgres_server.address_of("dealflow_nobody_made_this"))


@pytest.mark.postgres
async def test_addresses_with_sslmode_work(postgres_server: Any) -> None:
    """Hosted databases give `?sslmode=...`; it is understood, and the address is kept as it was written."""
    if postgres_server.why_not:
        pytest.skip(postgres_server.why_not)
    url = postgres_server.database()
    ledger = await open_ledger(url + "?sslmode=prefer")
    assert ledger.url.query == {"sslmode": "prefer"}
    await ledger.close()
    postgres_server.drop(url)


async def test_turns_are_taken_one_at_a_time(ledger: Ledger) -> None:
    """Under one name there is one at a time, under two names two; nothing is kept afterwards."""
    inside: list[str] = []
    most = 0

    async def work(name: str) -> None:
        nonlocal most
        async with ledger.turn(name):
            assert name not in inside
            inside.append(name)
            most = max(most, len(inside))
            try:
                await asyncio.sleep(0.002)
            finally:
                inside.remove(name)

    cancelled = asyncio.create_task(work("x"))
    jobs = [asyncio.create_task(work(name)) for name in ["x", "y"] * 5]
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, *jobs, return_exceptions=True)
    assert all(job.exception() is None for job in jobs)
    assert most == 2
    assert ledger._turns == {}


async def test_two_ledgers_are_migrated_side_by_side(tmp_path: Path) -> None:
    """Alembic can run one migration at a time: the other waits instead of writing into the wrong ledger."""
    urls = [f"sqlite+aiosqlite:///{tmp_path / name}.db" for name in "abc"]
    opened = await asyncio.gather(*(open_ledger(url) for url in urls))
    for one in opened:
        async with one.read() as tx:
            assert (await tx.execute(sa.select(sa.func.count()).select_from(cursors))).scalar_one() == 0
        await one.close()
