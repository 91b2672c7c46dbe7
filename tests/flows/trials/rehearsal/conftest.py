"""One small rehearsal, run once and examined by many tests."""

import asyncio

import pytest

from flows.trials.rehearsal.play import Plan, Played, play
from tests.places import ROOT

PROCESS = ROOT / "config/sales_process.yaml"


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Twenty buyers, sixty days: enough for won, lost, declined and held."""
    ledger = tmp_path_factory.mktemp("rehearsal") / "ledger.db"
    return asyncio.run(play(Plan(PROCESS, deals=20, days=60, seed=7, ledger=ledger)))
