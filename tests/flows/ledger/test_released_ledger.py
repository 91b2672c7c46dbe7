"""A ledger that a released dealflow left behind opens, loses nothing, and its work goes on."""

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.ledger import contracts, documents, effects, inbox
from flows.ledger.database import Ledger, open_ledger
from flows.processes import EVENTS
from tests.places import DATA

NOW = datetime(2026, 11, 28, tzinfo=UTC)


@pytest.fixture
async def released(tmp_path: Path) -> AsyncIterator[Ledger]:
    file = tmp_path / "ledger.sqlite"
    with sqlite3.connect(file) as raw:
        raw.executescript((DATA / "released_ledger.sql").read_text("utf-8"))
    raw.close()
    ledger = await open_ledger(f"sqlite+aiosqlite:///{file}")
    yield ledger
    await ledger.close()


async def test_what_was_open_is_claimed(released: Ledger) -> None:
    """Parked, waiting and fresh events are all handled by the flows of today, under the kinds they were stored with."""
    async with released.write() as tx:
        events = await inbox.claim(tx, owner="me", now=NOW, lease_s=60, limit=10)
    assert {e.id: e.kind for e in events} == {1: "contract.due", 2: "proposal.due", 3: "signature.event"}
    assert {EVENTS[e.kind].flow for e in events} == {
        "send_contract",
        "generate_proposal",
        "advance_on_signature",
    }
    assert events[0].content == {"stage": "closing"}


async def test_contracts_under_way_are_known(released: Ledger) -> None:
    """Revisions, their texts, tokens, requests and what is in doubt about them are read as they were written."""
    async with released.read() as tx:
        sending, sent = await contracts.latest(tx, "4711"), await contracts.latest(tx, "4712")
        assert sending is not None and sent is not None
        effect = await effects.by_key(tx, sending.effect_key)
        text = await documents.by_id(tx, sending.paper_id)
    assert (sending.state, sending.token, sending.request_id) == (
        "sending",
        "ae93de095ddc8e1699285331abb1ce2c",
        None,
    )
    assert (sent.state, sent.request_id) == ("open", "0ed904759531985d5d9dc9f81818e811892f902b")
    assert effect is not None and (effect.state, effect.attempts, effect.token) == (
        "unknown",
        1,
        sending.token,
    )
    assert text.content == b"%PDF" and text.title == "Services agreement C-4711-1"
