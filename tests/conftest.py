"""Databases for tests: SQLite in tmp_path and PostgreSQL, the latter wherever one can be had.

`ledger_url` gives each test a migrated database of its own on both; `empty_url` one without tables. PostgreSQL is
looked for at DEALFLOW_TEST_POSTGRES_URL, then on this machine's usual port, then started from installed binaries.
Where none can be had, tests marked `postgres` are skipped and the run's last lines say so.
"""

import asyncio
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa

from flows.ledger.database import Ledger, open_ledger

_USUAL = "postgresql://postgres@127.0.0.1:5432/test"
_SKIPPED = pytest.StashKey[str]()
BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@dataclass
class PostgresServer:
    """A server on which databases can be made; `why_not` says why there is none."""

    url: str = ""
    why_not: str = ""
    process: subprocess.Popen[bytes] | None = None
    folder: Path | None = None
    made: list[str] = field(default_factory=list)

    def database(self, *, template: str = "") -> str:
        """A new database; its async SQLAlchemy URL."""
        name = f"dealflow_t_{os.getpid()}_{secrets.token_hex(4)}"
        _wait_for(
            _execute(self.url, f"create database {name}" + (f" template {template}" if template else ""))
        )
        self.made.append(name)
        # Nobody pulls the plug on a test: without this each commit waits for the disk.
        _wait_for(_execute(self.url, f"alter database {name} set synchronous_commit = off"))
        return self.address_of(name)

    def address_of(self, name: str) -> str:
        """Where that database is."""
        url = sa.make_url(self.url).set(drivername="postgresql+asyncpg", database=name)
        return url.render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Take a database away, with whoever is still connected."""
        name = sa.make_url(url).database or ""
        _wait_for(_execute(self.url, f"drop database if exists {name} with (force)"))
        if name in self.made:
            self.made.remove(name)


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """The PostgreSQL server of this test run."""
    server = _find_server()
    try:
        yield server
    finally:
        if server.why_not:
            request.config.stash[_SKIPPED] = server.why_not
        for name in list(server.made):
            server.drop(server.address_of(name))
        if server.process is not None:
            server.process.terminate()
            server.process.wait(20)
        if server.folder is not None:
            shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """backend -> a migrated database that tests get copies of."""
    made: dict[str, str] = {}

    def template(backend: str) -> str:
        if backend not in made:
            if backend == "sqlite":
                url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('ledger') / 'template.db'}"
            else:
                url = _server(request).database()
            _wait_for(_migrate(url))
            made[backend] = url
        return made[backend]

    return template


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without tables."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'ledger.db'}"
        return
    server = _server(request)
    url = server.database()
    yield url
    server.drop(url)


@pytest.fixture(params=BACKENDS)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path, migrated_template: Any) -> Iterator[str]:
    """A migrated database of this test's own."""
    template = migrated_template(request.param)
    if request.param == "sqlite":
        shutil.copy(sa.make_url(template).database or "", tmp_path / "ledger.db")
        yield f"sqlite+aiosqlite:///{tmp_path / 'ledger.db'}"
        return
    server = _server(request)
    url = server.database(template=sa.make_url(template).database or "")
    yield url
    server.drop(url)


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    """The ledger on each database."""
    opened = await open_ledger(ledger_url, migrate=False)
    yield opened
    await opened.close()


@pytest.fixture
async def other_ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    """The same database through connections of its own, as another process has it."""
    opened = await open_ledger(ledger_url, migrate=False)
    yield opened
    await opened.close()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> Iterator[None]:
    """Say it last, where nobody can overlook it, when PostgreSQL was not tried."""
    yield
    why_not = config.stash.get(_SKIPPED, "")
    if why_not:
        terminalreporter.section("POSTGRESQL TESTS DID NOT RUN", sep="!", red=True, bold=True)
        terminalreporter.line(f"No PostgreSQL server could be had: {why_not}")
        terminalreporter.line("Set DEALFLOW_TEST_POSTGRES_URL, or install PostgreSQL's server binaries.")


def _server(request: pytest.FixtureRequest) -> PostgresServer:
    server: PostgresServer = request.getfixturevalue("postgres_server")
    if server.why_not:
        pytest.skip(f"no PostgreSQL server: {server.why_not}")
    return server


def _find_server() -> PostgresServer:
    wanted = os.environ.get("DEALFLOW_TEST_POSTGRES_URL", "")
    for url in [wanted] if wanted else [_USUAL]:
        problem = _wait_for(_problem_with(url))
        if not problem:
            return PostgresServer(url)
        if wanted:
            return PostgresServer(why_not=f"the one at DEALFLOW_TEST_POSTGRES_URL does not serve: {problem}")
    return _start_server()


def _start_server() -> PostgresServer:
    """A server of our own on a free port, run by somebody who is not root, gone with the test run."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(homes[-1]) if homes else shutil.which("initdb")
    if initdb is None:
        return PostgresServer(why_not="none answers on 127.0.0.1:5432, and no initdb is installed")
    folder = Path(tempfile.mkdtemp(prefix="dealflow-pg-"))
    user = _unprivileged() if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data, log = folder / "data", folder / "server.log"
    setup = [initdb, "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync", "--encoding=UTF8"]
    made = subprocess.run(setup, user=user, cwd=folder, capture_output=True, check=False)
    if made.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        return PostgresServer(why_not="initdb failed: " + made.stderr.decode(errors="replace").strip()[-200:])
    postgres = str(Path(initdb).with_name("postgres"))
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [postgres, "-D", str(data), "-p", str(port), *options],
            user=user,
            cwd=folder,
            stdout=out,
            stderr=out,
        )
    server = PostgresServer(
        f"postgresql://postgres@127.0.0.1:{port}/postgres", process=process, folder=folder
    )
    deadline = time.monotonic() + 30
    while problem := _wait_for(_problem_with(server.url)):
        if process.poll() is not None or time.monotonic() > deadline:
            server.why_not = f"the one that was started does not answer: {problem}"
            break
        time.sleep(0.1)
    return server


def _unprivileged() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


async def _problem_with(url: str) -> str:
    try:
        connection = await asyncpg.connect(_plain(url), timeout=5)
    except (OSError, asyncpg.PostgresError, TimeoutError) as problem:
        return type(problem).__name__
    try:
        may = await connection.fetchval(
            "select rolcreatedb or rolsuper from pg_roles where rolname = current_user"
        )
    finally:
        await connection.close()
    return "" if may else "its user may not create databases"


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(_plain(url), timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _migrate(url: str) -> None:
    await (await open_ledger(url)).close()


def _plain(url: str) -> str:
    return sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _wait_for(work: Coroutine[Any, Any, Any]) -> Any:
    """Run this in a thread of its own: fixtures may be set up where an event loop runs already."""
    result: list[Any] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            result.append(asyncio.run(work))
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
    return result[0]
