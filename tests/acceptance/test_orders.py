"""Deliveries reordered, repeated, dropped, late, forged, foreign or not stored at first: one end state per ending."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.amount import few
from tests.proof.desk_harness import DeskHarness, open_environment
from tests.proof.orders import ENDINGS, MISHAPS, Order, drawn, play, run_orders, sentences
from tests.proof.process_harness import Environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(few(1800, 600)), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Environment]:
    """A sandbox for successive stories."""
    async with open_environment(tmp_path_factory.mktemp("orders")) as opened:
        yield opened


@pytest.mark.sampled
async def test_any_order_of_deliveries_has_one_end(environment: Environment) -> None:
    """Promise 4: any order, any repeats, any delay. A failure prints its story and the order to play it again.

    The first four have an ending each.
    """
    played = await run_orders(environment, examples=few(40, 4))
    assert {p.order.ending for p in played} == set(ENDINGS)
    assert not sentences(played), sentences(played)


async def test_one_mishap_to_every_delivery(environment: Environment) -> None:
    """Each kind of mishap alone, applied to every delivery of one story."""
    played = {
        what: await play(environment, Order(ENDINGS[number % 4], ((what, 1),) * 40))
        for number, what in enumerate(MISHAPS)
    }
    assert not sentences(list(played.values())), sentences(list(played.values()))
    for what, one in played.items():
        assert {line.rpartition(": ")[2] for line in one.log if "redelivered" not in line} == {what}


async def test_a_seed_gives_the_same_orders() -> None:
    """A failure can be repeated."""
    assert drawn(5, 3) == drawn(5, 3) != drawn(5, 4)


async def test_a_loss_is_detected(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without reconcile, a story whose events are all dropped fails."""

    async def nothing(_harness: DeskHarness) -> bool:
        return True

    monkeypatch.setattr(DeskHarness, "_reconcile", nothing)
    played = await play(environment, Order("sign", (("dropped", 0),) * 40))
    assert any("contract status on the deal is sent" in lost for lost in played.verdict.lost), str(played)
