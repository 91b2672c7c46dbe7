"""Databases for tests: SQLite in tmp_path and PostgreSQL, the latter wherever one can be had.

`ledger_url` gives each test a migrated database of its own on both; `empty_url` one without tables. PostgreSQL is
looked for at DEALFLOW_TEST_POSTGRES_URL, then on this machine's usual port, then started from installed binaries.
Where none can be had, tests marked `postgres` are skipped and the run's last lines say so.
"""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flows.ledger.database import Ledger, open_ledger
from flows.operations.prefect_environment import PREFECT_QUIET
from tests.postgres import PostgresServer, find_server, wait_for

pytest_plugins = ["tests.amount", "tests.scheduling", "tests.stack"]
os.environ.update(
    PREFECT_QUIET
)  # before anything imports Prefect: without an address it would start a server
_SKIPPED = pytest.StashKey[str]()
BACKENDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """The PostgreSQL server of this test run."""
    server = find_server()
    try:
        yield server
    finally:
        if server.why_not:
            request.config.stash[_SKIPPED] = server.why_not
            if hasattr(
                request.config, "workeroutput"
            ):  # pytest-xdist: this process only tells the one that reports
                request.config.workeroutput["no_postgres"] = server.why_not
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
            wait_for(_migrate(url))
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


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """What a process of pytest-xdist has told."""
    why_not = getattr(node, "workeroutput", {}).get("no_postgres")
    if why_not:
        node.config.stash[_SKIPPED] = why_not


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


async def _migrate(url: str) -> None:
    await (await open_ledger(url)).close()
