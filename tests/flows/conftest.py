"""Both stand-ins, provisioned; services that talk to them; a desk that drives flows; gateways.

Flow logic is driven without a Prefect server: events are recorded and claimed in a real ledger, then handed to
a flow module's own `prepare` and `handle` (tests/desk.py). What came of it is read from the stand-ins' records.
"""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from config.settings import Settings, load_settings
from connectors.dropbox_sign.sender import ContractSender
from connectors.hubspot.portal import Portal
from flows import services
from flows.documents.render import Template
from flows.provision.plan import plan
from flows.services import Services, load_process, open_services
from tests.desk import Desk, no_waiting, without_pace
from tests.gate import Gate, running_gateway
from tests.sales import Sales
from tests.stand_ins import SECRETS, StandIns, dealflow, ok, running_stand_ins


def pytest_configure(config: pytest.Config) -> None:
    """Our one own marker."""
    config.addinivalue_line("markers", "gate(busy_s=15, **environment): settings for this test's gateway")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A hang of a stand-in shall not hold everybody up."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(120))


@pytest.fixture
def run_dealflow() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a dealflow command with just these settings in its environment."""
    return dealflow


@pytest.fixture(scope="session")
def stand_ins() -> Iterator[StandIns]:
    """The sandbox in a process of its own, with two snapshots: `bare` and `world`."""
    with running_stand_ins() as running:
        ok(running.hub.put("/_sandbox/limits", json={"burst": 100_000, "search_per_s": 1000}))
        running.snapshot("bare")
        for change in plan(Portal("test-token", running.hubspot_url), load_process(Settings())):
            change.apply()
        running.forget_calls()
        running.snapshot("world")
        yield running


@pytest.fixture(scope="session")
def portal_client(stand_ins: StandIns) -> Portal:
    """Set-up calls through the official package; loading it takes a second, so once."""
    return Portal("test-token", stand_ins.hubspot_url)


@pytest.fixture
def bare(stand_ins: StandIns) -> StandIns:
    """Empty stand-ins: HubSpot with its default pipeline only."""
    stand_ins.restore("bare")
    return stand_ins


@pytest.fixture
def world(stand_ins: StandIns) -> StandIns:
    """Stand-ins whose HubSpot fits the process file."""
    stand_ins.restore("world")
    return stand_ins


@pytest.fixture(scope="session")
def sqlite_ledger(migrated_template: Callable[[str], str]) -> Path:
    """A migrated ledger to copy: 8 ms instead of 100 for the migrations."""
    return Path(migrated_template("sqlite").partition("///")[2])


@pytest.fixture
def settings(stand_ins: StandIns, tmp_path: Path) -> Settings:
    """Settings that point at the stand-ins; the ledger is a SQLite file of this test."""
    return load_settings(
        {
            **SECRETS,
            "DEALFLOW_HOME": str(tmp_path / "home"),
            "DEALFLOW_HUBSPOT_BASE_URL": stand_ins.hubspot_url,
            "DEALFLOW_HUBSPOT_BURST_PER_10S": "1000",
            "DEALFLOW_DROPBOX_SIGN_BASE_URL": stand_ins.sign_url + "/v3",
            "DEALFLOW_DROPBOX_SIGN_CALLS_PER_MINUTE": "1000",
        }
    )


@pytest.fixture(scope="session")
def shipped_templates() -> dict[str, Template]:
    """Read once, and their compilers stay warm, as they do in a worker."""
    return services.load_templates(Settings())


@pytest.fixture
async def s(
    world: StandIns,
    settings: Settings,
    sqlite_ledger: Path,
    shipped_templates: dict[str, Template],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Services]:
    """The services a worker has, on the stand-ins' time. A send waits two seconds for its answer; nothing waits for
    HubSpot's pace, or between tries.
    """
    if not (home := Path(settings.home)).exists():
        home.mkdir(mode=0o700)
        shutil.copy(sqlite_ledger, home / "ledger.db")
    with monkeypatch.context() as while_opening:
        if settings.config_dir == Settings().config_dir:
            while_opening.setattr(services, "load_templates", lambda _settings: dict(shipped_templates))
        opened = await open_services(settings)
    opened.hubspot = without_pace(opened)
    opened.clock = world.now
    key = settings.dropbox_sign_api_key
    assert key is not None
    sender = ContractSender(
        key.get_secret_value(), base_url=settings.dropbox_sign_base_url, timeout_s=(2.0, 2.0)
    )
    opened.esign = replace(opened.esign, sender=sender)
    with services.override(opened), no_waiting():
        yield opened
    await opened.close()


@pytest.fixture
def desk(s: Services) -> Desk:
    """The worker's desk on this test's ledger."""
    return Desk(s)


@pytest.fixture
def sales(world: StandIns, s: Services) -> Sales:
    """The sales team's hand in HubSpot."""
    return Sales(world, s)


@pytest.fixture
def make_gate(tmp_path: Path, sqlite_ledger: Path) -> Iterator[Callable[..., Gate]]:
    """Starts gateways in threads of their own, each with its own loop and ledger, as `dealflow gateway` does."""
    with contextlib.ExitStack() as running:
        yield lambda busy_s=15, **environment: running.enter_context(
            running_gateway(tmp_path, sqlite_ledger, environment, busy_s)
        )


@pytest.fixture
async def gate(make_gate: Callable[..., Gate], request: pytest.FixtureRequest) -> AsyncIterator[Gate]:
    """One gateway; `@pytest.mark.gate(DEALFLOW_...=..., busy_s=...)` changes its settings and its patience."""
    marker = request.node.get_closest_marker("gate")
    opened = await asyncio.to_thread(make_gate, **(marker.kwargs if marker else {}))
    yield opened
    await opened.client.aclose()
