"""The crash matrix in a bounded form (`make crash` has it whole), and the proof that it can fail."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.amount import few, spread
from tests.postgres import PostgresServer
from tests.proof.crashes import Case, Ledgers, Played, learn, play
from tests.proof.databases import PostgresLedgers, SqliteLedgers
from tests.proof.director import Theatre, open_theatre

pytestmark = [pytest.mark.slow, pytest.mark.timeout(few(1800, 600)), pytest.mark.asyncio(loop_scope="module")]
_FOLLOWED_UP = {"create_emails", "update_deals", "remind"}
_LEARNED: dict[Case, Played] = {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theatre(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Theatre]:
    """A sandbox and a nursery of victims, for one story after another."""
    async with open_theatre(tmp_path_factory.mktemp("theatre")) as opened:
        yield opened


async def learned(theatre: Theatre, ledgers: Ledgers, case: Case) -> Played:
    """A calm playing, once for all tests."""
    if case not in _LEARNED:
        _LEARNED[case] = await learn(theatre, ledgers, case)
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
async def test_killed_anywhere_all_ends_well(theatre: Theatre, ledgers: Ledgers) -> None:
    """From the lead to the won deal, killed once: one contract, one move, one file, one note each, nothing lost."""
    points = (await learned(theatre, ledgers, Case("sign"))).points
    assert len(points) > 250 and any("dropbox_sign send" in name for name in points)
    assert {name.split()[0] for name in points} == {"before", "after"}
    some = few(40, 4)
    for at in range(len(points) // some, len(points), len(points) // some):
        played = await play(theatre, ledgers, Case("sign", die_at=at))
        assert played.deaths == 1, (at, points[at - 1])
        assert played.ok, (played.at, played.verdict)


async def test_killed_as_hubspot_took_an_update(theatre: Theatre, tmp_path: Path) -> None:
    """The stage is moved, the ledger does not know: on the next look the deal stands there, and no doubt is left."""
    ledgers = SqliteLedgers(tmp_path)
    points = (await learned(theatre, ledgers, Case("sign"))).points
    for at in [n for n, name in enumerate(points, 1) if name == "after call hubspot update_deals"]:
        played = await play(theatre, ledgers, Case("sign", die_at=at))
        assert played.deaths == 1 and played.ok, (played.at, played.verdict)


async def test_killed_as_a_won_deal_is_handed_over(theatre: Theatre, tmp_path: Path) -> None:
    """HubSpot has the next deal, a task, the debrief, the ledger does not know: each is found, none is made twice."""
    ledgers = SqliteLedgers(tmp_path)
    points = (await learned(theatre, ledgers, Case("sign"))).points
    begun = points.index("after call hubspot create_deals")
    made = [
        at
        for at, name in enumerate(points, 1)
        if at > begun and name.startswith("after call hubspot create_")
    ]
    assert len(made) == 5
    for at in made:
        played = await play(theatre, ledgers, Case("sign", die_at=at))
        assert played.deaths == 1 and played.ok, (played.at, played.verdict)


async def test_killed_as_a_slow_buyer_is_followed_up(theatre: Theatre, tmp_path: Path) -> None:
    """Draft, flag and reminder are made, the ledger does not know: each is found, none is made twice."""
    ledgers = SqliteLedgers(tmp_path)
    calm = await learned(theatre, ledgers, Case("slow"))
    own = [(at, calm.points[at - 1]) for at in calm.own]
    made = {name: at for at, name in own if name.startswith("after call") and name.split()[3] in _FOLLOWED_UP}
    assert {name.split()[3] for name in made} == _FOLLOWED_UP
    for at in made.values():
        played = await play(theatre, ledgers, Case("slow", die_at=at))
        assert played.deaths == 1 and played.ok, (played.at, played.verdict)


@pytest.mark.sampled
@pytest.mark.parametrize("ending", ["decline", "expire", "cancel"])
async def test_other_endings(theatre: Theatre, tmp_path: Path, ending: str) -> None:
    """Declined, expired, cancelled: killed while the ending is written to the deal."""
    ledgers = SqliteLedgers(tmp_path)
    points = (await learned(theatre, ledgers, Case(ending))).points
    ends = [at for at, name in enumerate(points, 1) if "advance_on_signature._end" in name]
    assert ends
    for at in spread(ends, 2):
        played = await play(theatre, ledgers, Case(ending, die_at=at))
        assert played.deaths == 1 and played.ok, (played.at, played.verdict)


@pytest.mark.parametrize("ending", ["sign", "decline", "expire", "cancel"])
async def test_every_callback_dropped(theatre: Theatre, tmp_path: Path, ending: str) -> None:
    """Not one event of Dropbox Sign arrives: the same end by `reconcile` alone."""
    played = await play(theatre, SqliteLedgers(tmp_path), Case(ending, deaf=True))
    assert played.ok, played.verdict
    assert any("call dropbox_sign list" in name for name in played.points)


@pytest.mark.parametrize("mutant", ["no-intent-first", "no-look-before-repeat"])
async def test_the_matrix_sees_a_missing_safeguard(theatre: Theatre, tmp_path: Path, mutant: str) -> None:
    """Without the intent written first, or without the look before a repeat, the contract goes out twice."""
    ledgers = SqliteLedgers(tmp_path)
    points = (await learned(theatre, ledgers, Case("sign", mutant=mutant))).points
    at = points.index("after call dropbox_sign send") + 1
    played = await play(theatre, ledgers, Case("sign", die_at=at, mutant=mutant))
    assert played.at == "after call dropbox_sign send"
    assert any(text.startswith("contract: 2") for text in played.verdict.duplicates), played.verdict


async def test_an_untouched_product_passes_there(theatre: Theatre, tmp_path: Path) -> None:
    """The same point, and the one before the contract leaves, with all safeguards in place."""
    ledgers = SqliteLedgers(tmp_path)
    points = (await learned(theatre, ledgers, Case("sign"))).points
    for where in ("before call dropbox_sign send", "after call dropbox_sign send"):
        played = await play(theatre, ledgers, Case("sign", die_at=points.index(where) + 1))
        assert played.at == where and played.ok, played.verdict
