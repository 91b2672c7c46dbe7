"""`dealflow follow-ups list`: what the ledger says, for people and for machines."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.cli.app import run
from flows.ledger import follow_ups
from flows.ledger.database import open_ledger

WHEN = datetime(2026, 3, 9, 6, 23, tzinfo=UTC)
ENTERED = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)


async def _furnish(url: str) -> None:
    ledger = await open_ledger(url)
    async with ledger.write() as tx:
        for deal_id, number, flagged in (("1", 1, False), ("2", 3, True), ("3", 3, True), ("1", 2, False)):
            row = await follow_ups.begin(
                tx,
                deal_id=deal_id,
                stage="qualification",
                entered_at=ENTERED,
                number=number,
                unmet=["need", "budget"],
                flagged=flagged,
                now=WHEN,
            )
            if number != 2:
                await follow_ups.end(tx, row.id, done=[["made a task", "task 9", "for 7"]], now=WHEN)
            if deal_id == "3":
                await follow_ups.clear(tx, row.id, why="met since", now=WHEN)
    await ledger.close()


@pytest.fixture(autouse=True)
def _ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/ledger.db"
    asyncio.run(_furnish(url))
    monkeypatch.setenv("DEALFLOW_DATABASE_URL", url)


def listed(capsys: pytest.CaptureFixture[str], *more: str) -> list[dict[str, object]]:
    assert run(["follow-ups", "list", "--json", *more]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_newest_first_with_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    """Every follow-up with its stay, its number, what was unmet, and its flag."""
    found = listed(capsys)
    assert [(row["deal"], row["number"]) for row in found] == [("1", 2), ("3", 3), ("2", 3), ("1", 1)]
    assert [row["flag"] for row in found] == [None, "taken back: met since", "disqualify?", None]
    assert found[2] == {
        "deal": "2",
        "stage": "qualification",
        "since": "2026-03-02",
        "number": 3,
        "when": "2026-03-09 06:23",
        "unmet": ["budget", "need"],
        "flag": "disqualify?",
        "done": [["made a task", "task 9", "for 7"]],
    }


def test_what_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Only the flagged, only one deal's, only so many."""
    assert [row["deal"] for row in listed(capsys, "--flagged")] == ["2"]
    assert listed(capsys, "--flagged", "--deal", "1") == []
    assert [row["number"] for row in listed(capsys, "--deal", "1")] == [2, 1]
    assert len(listed(capsys, "--limit", "1")) == 1


def test_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """A row a line; one that is under way says so."""
    assert run(["follow-ups", "list"]) == 0
    text = capsys.readouterr().out
    assert "not finished yet" in text and "made a task: task 9" in text and "budget, need" in text
