"""Every shipped process file, rehearsed at length (`make test-full`)."""

from pathlib import Path

import pytest

from flows.trials.rehearsal.play import Plan, play
from flows.trials.rehearsal.report import report
from tests.places import ROOT

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]
FILES = [ROOT / "config/sales_process.yaml", *sorted((ROOT / "config/examples").glob("*.yaml"))]


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
async def test_every_promise_holds_in_every_shipped_process(file: Path) -> None:
    """A hundred and twenty buyers, ninety days, follow-ups too: deals are won, no promise is broken."""
    found = report(await play(Plan(file, deals=120, days=90, seed=11, follow_ups=True)))
    assert found.ok, [c.broken for c in found.checks if c.broken]
    assert found.outcome["won"]["deals"] > 0 and found.worker["signed PDFs filed"] > 0
