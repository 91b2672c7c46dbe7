"""One small rehearsal, played once and looked at by many tests."""

import asyncio
from pathlib import Path

import pytest

from flows.rehearsal.play import Plan, Played, play

PROCESS = Path(__file__).resolve().parents[2] / "config/sales_process.yaml"


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Forty buyers, sixty days: enough for every kind of ending."""
    ledger = tmp_path_factory.mktemp("rehearsal") / "ledger.db"
    return asyncio.run(play(Plan(PROCESS, deals=40, days=60, seed=7, ledger=ledger)))
