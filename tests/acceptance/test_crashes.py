"""A part of the crash matrix (`make crash` runs all of it), and the proof that it can fail."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.amount import few, spread
from tests.postgres import PostgresServer
from tests.proof.crashes import Case, Ledgers, Played, learn, play
from tests.proof.databases import PostgresLedgers, SqliteLedgers
from tests.proof.process_harness import CrashEnvironment, open_crash_environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(few(1800, 600)), pytest.mark.asyncio(loop_scope="module")]
_FOLLOWED_UP = {"create_emails", "update_deals", "remind"}
_LEARNED: dict[Case, Played] = {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[CrashEnvironment]:
    """A sandbox and a spawner of worker processes, for successive stories."""
    async with open_crash_environment(tmp_path_factory.mktemp("environment")) as opened:
        yield opened


async def learned(environment: CrashEnvironment, ledgers: Ledgers, case: Case) -> Played:
    """A run without a kill, once for all tests."""
    if case not in _LEARNED:
        _LEARNED[case] = await learn(environment, ledgers, case)
    return _LEARNED[case]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def ledgers(request: pytest.FixtureRequest, tmp_path: Path) -> Ledgers:
    """Fresh ledgers on each database."""
    if request.param == "sqlite":
        return SqliteLedgers(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    if server.why_not:
        pytest.skip(f"no PostgreSQL server: {server.why_not}")
    return PostgresLedgers(server.database())


@pytest.mark.sampled
async def test_killed_anywhere_all_ends_well(environment: CrashEnvironment, ledgers: Ledgers) -> None:
    """From the lead to the won deal, killed once: one contract, one move, one file, one note each, nothing lost."""
    points = (await learned(environment, ledgers, Case("sign"))).points
    assert len(points) > 250 and any("dropbox_sign send" in name for name in points)
    assert {name.split()[0] for name in points} == {"before", "after"}
    some = few(40, 3)
    for at in range(len(points) // some, len(points), len(points) // some):
        played = await play(environment, ledgers, Case("sign", die_at=at))
        assert played.deaths == 1, (at, points[at - 1])
        assert played.ok, (played.at, played.verdict)


@pytest.mark.sampled
async def test_killed_as_hubspot_took_an_update(environment: CrashEnvironment, tmp_path: Path) -> None:
    """The stage is moved, but not recorded: the next check finds the deal in that stage, and the outcome is known."""
    ledgers = SqliteLedgers(tmp_path)
    points = (await learned(environment, ledgers, Case("sign"))).points
    updates = [n for n, name in enumerate(points, 1) if name == "after call hubspot update_deals"]
    for at in spread(updates, 2):
        played = await play(environment, ledgers, Case("sign", die_at=at))
        assert played.deaths == 1 and played.ok, (played.at, played.verdict)


@pytest.mark.sampled
async def test_killed_as_a_won_deal_is_handed_over(environment: CrashEnvironment, tmp_path: Path) -> None:
    """HubSpot has the next deal, a task, the debrief, but they are not recorded: each is found, none is made twice."""
    ledgers = SqliteLedgers(tmp_path)
    points = (await learned(environment, ledgers, Case("sign"))).points
    begun = points.index("after call hubspot create_deals")
    made = [
        at
        for at, name in enumerate(points, 1)
        if at > begun and name.startswith("after call hubspot create_")
    ]
    assert len(made) == 5
    for at in spread(made, 2):
        played = await play(environment, ledgers, Case("sign", die_at=at))
        assert played.deaths == 1 and played.ok, (played.at, played.verdict)


@pytest.mark.sampled
async def test_killed_as_a_slow_buyer_is_followed_up(environment: CrashEnvironment, tmp_path: Path) -> None:
    """Draft, flag or reminder is made, but not recorded: it is found, and not made twice."""
    ledgers = SqliteLedgers(tmp_path)
    calm = await learned(environment, ledgers, Case("slow"))
    own = [(at, calm.points[at - 1]) for at in calm.own]
    made = {name: at for at, name in own if name.startswith("after call") and name.split()[3] in _FOLLOWED_UP}
    assert {name.split()[3] for name in made} == _FOLLOWED_UP
    for at in spread(sorted(made.values()), 1):  # the reminder is the last
        played = await play(environment, ledgers, Case("slow", die_at=at))
        assert played.deaths == 1 and played.ok, (played.at, played.verdict)


@pytest.mark.sampled
@pytest.mark.parametrize("ending", ["decline", "expire", "cancel"])
async def test_other_endings(environment: CrashEnvironment, tmp_path: Path, ending: str) -> None:
    """Declined, expired, cancelled: killed while the result is written to the deal."""
    ledgers = SqliteLedgers(tmp_path)
    points = (await learned(environment, ledgers, Case(ending))).points
    ends = [at for at, name in enumerate(points, 1) if "advance_on_signature._end" in name]
    assert ends
    for at in spread(ends, 1):
        played = await play(environment, ledgers, Case(ending, die_at=at))
        assert played.deaths == 1 and played.ok, (played.at, played.verdict)


@pytest.mark.parametrize(
    "ending",
    ["sign", *(pytest.param(name, marks=pytest.mark.full) for name in ("decline", "expire", "cancel"))],
)
async def test_every_callback_dropped(environment: CrashEnvironment, tmp_path: Path, ending: str) -> None:
    """Not one event of Dropbox Sign arrives: `reconcile` alone reaches the same end."""
    played = await play(environment, SqliteLedgers(tmp_path), Case(ending, no_callbacks=True))
    assert played.ok, played.verdict
    assert any("call dropbox_sign list" in name for name in played.points)


@pytest.mark.parametrize("mutant", ["no-intent-first", "no-check-before-repeat"])
async def test_the_matrix_sees_a_missing_safeguard(
    environment: CrashEnvironment, tmp_path: Path, mutant: str
) -> None:
    """Without the intent first, or without the check before a repeat, the contract goes out twice."""
    ledgers = SqliteLedgers(tmp_path)
    points = (await learned(environment, ledgers, Case("sign", mutant=mutant))).points
    at = points.index("after call dropbox_sign send") + 1
    played = await play(environment, ledgers, Case("sign", die_at=at, mutant=mutant))
    assert played.at == "after call dropbox_sign send"
    assert any(text.startswith("contract: 2") for text in played.verdict.duplicates), played.verdict


async def test_an_untouched_product_passes_there(environment: CrashEnvironment, tmp_path: Path) -> None:
    """The same point, and the one before the contract leaves, with all safeguards in place."""
    ledgers = SqliteLedgers(tmp_path)
    points = (await learned(environment, ledgers, Case("sign"))).points
    for where in ("before call dropbox_sign send", "after call dropbox_sign send"):
        played = await play(environment, ledgers, Case("sign", die_at=points.index(where) + 1))
        assert played.at == where and played.ok, played.verdict
