"""Opens the ledger: one engine, writes that take the lock at once, migrations to the newest schema."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import asyncpg
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from flows.errors import FlowError
from flows.ledger import direct

_BUSY_S = 15.0
_DRIVERS = ("sqlite+aiosqlite", "postgresql+asyncpg")
_migrations: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()


Transaction = AsyncConnection
"""An open transaction of the ledger, for code that must not depend on the database library."""


class LedgerError(FlowError):
    """The ledger cannot be opened or written. The text says which database and what to do."""


class StorageError(LedgerError):
    """The database is unavailable, locked, full or refused the statement: try again later. Whether a commit that
    was under way took effect is not known.

    `kind` is the database library's own class of error; the cause carries the rest.
    """

    def __init__(self, problem: BaseException) -> None:
        self.kind = type(problem).__name__
        super().__init__(
            f"the ledger database did not answer as it should ({self.kind}): check that it runs and its disk has room"
        )


_ERRORS = (
    sa.exc.DBAPIError,
    sa.exc.TimeoutError,
    sa.exc.PendingRollbackError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)


@contextmanager
def _storage_errors(*more: type[Exception]) -> Iterator[None]:
    """Turn the database's own errors into StorageError, so that no other package depends on the database.

    `more`: OSError while a connection is made, which SQLAlchemy 2.0 lets through. Elsewhere it may be somebody else's.
    """
    try:
        yield
    except (*_ERRORS, *more) as problem:
        raise StorageError(problem) from problem


class Ledger:
    """A handle on the database. `write()` and `read()` give a transaction each."""

    def __init__(self, engine: AsyncEngine, url: sa.URL | None = None) -> None:
        self.engine = engine
        self._url = url or engine.url
        self._turns: dict[str, tuple[asyncio.Lock, int]] = {}

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @property
    def url(self) -> sa.URL:
        """Where the database is, as the operator wrote it (prints without its password)."""
        return self._url

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write: committed when the block ends, rolled back when it raises."""
        async with self._connected() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads; it never waits for a writer. The database refuses a write in it."""
        async with self._connected() as plain:
            yield await plain.execution_options(dealflow_read_only=True, postgresql_readonly=True)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """A connection; the database's errors come out as StorageError."""
        with _storage_errors():
            async with AsyncExitStack() as stack:
                with _storage_errors(OSError):
                    connection = await stack.enter_async_context(self.engine.connect())
                yield connection

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """A lock by name inside this process: one holder at a time. (Leases separate processes.)"""
        lock, waiting = self._turns.get(name, (asyncio.Lock(), 0))
        self._turns[name] = (lock, waiting + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns.pop(name)
            if waiting > 1:
                self._turns[name] = (lock, waiting - 1)

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


async def open_ledger(
    url: str, *, migrate: bool = True, throw_away: bool = False, busy_s: float = _BUSY_S
) -> Ledger:
    """Open (and by default migrate) the ledger at an async SQLAlchemy URL.

    `busy_s`: how long a SQLite writer waits for another, in seconds. `throw_away`: fast instead of safe (SQLite
    only), for a temporary ledger of one process.

    Raises LedgerError when the address is invalid, the database cannot be reached, is not a readable ledger or is newer
    than this program, or its folder cannot be made.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite" and parsed.database:
        try:
            # It will hold names and addresses: only its owner may read it.
            Path(parsed.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as problem:
            folder = Path(parsed.database).parent
            raise LedgerError(f"cannot make the ledger's folder {folder}: {problem.strerror}") from None
    ledger = Ledger(_engine(parsed, throw_away, busy_s), parsed)
    try:
        if migrate:
            await upgrade(ledger)
        else:
            async with ledger.read() as tx:
                await tx.execute(sa.text("select 1"))
    except CommandError:
        await ledger.close()
        raise LedgerError(
            f"the ledger ({parsed.render_as_string()}) was written by a newer dealflow: install that version"
        ) from None
    except StorageError as problem:
        await ledger.close()
        raise LedgerError(
            f"the ledger database does not answer ({parsed.render_as_string()}): {_cause(problem)}; "
            "check DEALFLOW_DATABASE_URL and that the server runs"
        ) from problem
    return ledger


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        parsed = None
    if parsed is None or parsed.drivername not in _DRIVERS:
        raise LedgerError("DEALFLOW_DATABASE_URL must begin with postgresql:// or sqlite:///")
    return parsed


def _cause(problem: BaseException) -> str:
    """The driver's own class of error, e.g. InvalidCatalogNameError for a database that is not there."""
    cause = problem.__cause__ or problem
    cause = getattr(cause, "orig", None) or cause
    return type(cause.__cause__ or cause).__name__


async def upgrade(ledger: Ledger) -> None:
    """Migrate the tables to the newest schema; several processes may do so at once."""
    # Alembic keeps the running migration in module globals: two in one event loop would write to each other's ledger.
    lock = _migrations.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with lock, ledger.write() as tx:
        if ledger.dialect == "postgresql":
            await tx.execute(sa.text("select pg_advisory_xact_lock(726411)"))
        await tx.run_sync(_upgrade)


def upsert(tx: AsyncConnection, table: sa.Table) -> Any:
    """An INSERT of this database's own dialect, for its ON CONFLICT clause."""
    return (postgresql if tx.dialect.name == "postgresql" else sqlite).insert(table)


def _upgrade(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _engine(url: sa.URL, throw_away: bool, busy_s: float) -> AsyncEngine:
    if url.get_backend_name() != "sqlite":
        return create_async_engine(
            _for_asyncpg(url), pool_pre_ping=True, pool_size=5, max_overflow=10, hide_parameters=True
        )
    how: dict[str, Any] = {"timeout": busy_s}
    if throw_away:
        how["async_creator_fn"] = direct.connect
    # Error texts must not quote values: names and addresses.
    # A temporary ledger has one caller at a time, who commits or rolls back: no reset is needed.
    engine = create_async_engine(
        url,
        connect_args=how,
        hide_parameters=True,
        pool_reset_on_return="rollback" if not throw_away else None,
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def on_connect(raw: Any, _record: Any) -> None:
        raw.isolation_level = None  # we say BEGIN ourselves, below
        cursor = raw.cursor()
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={'OFF' if throw_away else 'FULL'}",  # an acknowledged delivery survives a power cut
            f"busy_timeout={int(busy_s * 1000)}",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        # IMMEDIATE: a writer that began as a reader would be refused if another writer came first.
        read_only = bool(connection.get_execution_options().get("dealflow_read_only"))
        if connection.info.get("query_only", False) != read_only:
            connection.exec_driver_sql(f"PRAGMA query_only={int(read_only)}")
            connection.info["query_only"] = read_only
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _for_asyncpg(url: sa.URL) -> sa.URL:
    """Hosted databases give addresses with `sslmode`; SQLAlchemy's driver for asyncpg calls that `ssl`."""
    if "sslmode" not in url.query:
        return url
    return url.difference_update_query(["sslmode"]).update_query_dict({"ssl": url.query["sslmode"]})
