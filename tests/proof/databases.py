"""Fresh ledgers for successive stories: copies of a migrated one."""

import shutil
from pathlib import Path

import asyncpg
import sqlalchemy as sa

from flows.ledger import tables
from flows.ledger.database import open_ledger


class SqliteLedgers:
    """One file for each story."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, 0

    async def fresh(self, home: Path) -> str:
        """The URL of an empty, migrated ledger."""
        template = self._folder / "template.db"
        if not template.exists():
            await (await open_ledger(f"sqlite+aiosqlite:///{template}")).close()
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(template, home / "ledger.db")
        return f"sqlite:///{home / 'ledger.db'}"


class PostgresLedgers:
    """One database, emptied before each story. `url`: an empty database of ours (async SQLAlchemy URL)."""

    def __init__(self, url: str) -> None:
        self._url, self._migrated = url, False

    async def fresh(self, _home: Path) -> str:
        """The URL of an empty, migrated ledger. Remaining connections (of a dead process) are terminated."""
        if not self._migrated:
            await (await open_ledger(self._url)).close()
            self._migrated = True
        plain = sa.make_url(self._url).set(drivername="postgresql").render_as_string(hide_password=False)
        connection = await asyncpg.connect(plain)
        try:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
            names = ", ".join(f'"{t.name}"' for t in tables.metadata.sorted_tables)
            await connection.execute(f"truncate {names} restart identity")
        finally:
            await connection.close()
        return plain
