"""Decisions about stage entries and overrides, on both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from flows.ledger import stage_checks
from flows.ledger.database import Ledger
from flows.ledger.stage_checks import StageCheck

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
CHECK = StageCheck(
    deal_id="4711",
    stage_id="9001",
    entered_at=NOW,
    stage="closing",
    came_from="discussion",
    mode="revert",
    found="unproven",
    action="move_back",
    mover="a person (CRM_UI userId:9)",
    checked_at=NOW + timedelta(minutes=1),
    missing=("signer_named",),
    skipped=("development",),
    proofs={"buyer_known": ["company 12"]},
    back_to="discussion",
)


async def test_a_decision_is_made_once(ledger: Ledger) -> None:
    """The first one stands: a second worker that judges the same entry later, and otherwise, changes nothing."""
    async with ledger.write() as tx:
        await stage_checks.decide(tx, [CHECK])
    async with ledger.write() as tx:
        await stage_checks.decide(tx, [replace(CHECK, found="passed", action="none", missing=())])
    async with ledger.read() as tx:
        known = await stage_checks.load(tx, "4711", "9001", NOW)
        other = await stage_checks.load(tx, "4711", "9001", NOW + timedelta(seconds=1))
    assert known is not None and other is None
    assert (known.found, list(known.missing), list(known.skipped)) == (
        "unproven",
        ["signer_named"],
        ["development"],
    )
    assert known.proofs == {"buyer_known": ["company 12"]} and known.settled_at is None


async def test_a_settled_decision_says_what_was_written(ledger: Ledger) -> None:
    """With the ids, and when."""
    async with ledger.write() as tx:
        await stage_checks.decide(tx, [CHECK, replace(CHECK, deal_id="4712", found="passed", action="none")])
        await stage_checks.settle(tx, CHECK, {"moved_back": True, "task": "88"}, now=NOW + timedelta(hours=1))
    async with ledger.read() as tx:
        known = await stage_checks.load(tx, "4711", "9001", NOW)
        assert known is not None
        assert known.result == {"moved_back": True, "task": "88"} and known.settled_at == NOW + timedelta(
            hours=1
        )
        assert [c.deal_id for c in await stage_checks.listing(tx, found=("unproven",))] == ["4711"]
        assert [c.deal_id for c in await stage_checks.listing(tx, action="move_back")] == ["4711"]
        assert await stage_checks.listing(tx, deal_id="4713") == []
        assert await stage_checks.tally(tx) == {("unproven", "move_back"): 1, ("passed", "none"): 1}


async def test_overrides_end(ledger: Ledger) -> None:
    """In force for its deal and stage only, until its last day or until somebody takes it back; the longest counts."""
    async with ledger.write() as tx:
        given = [
            await stage_checks.grant(
                tx,
                deal_id="4711",
                stage="closing",
                person="Carla Conrad",
                reason="Agreed on the phone",
                now=NOW,
                expires_at=NOW + timedelta(days=days),
            )
            for days in (3, 14)
        ]
    async with ledger.write() as tx:
        for deal_id, stage, now, wanted in (
            ("4711", "closing", NOW, given[1].id),
            ("4711", "won", NOW, None),
            ("4712", "closing", NOW, None),
            ("4711", "closing", NOW + timedelta(days=14), None),
        ):
            found = await stage_checks.in_force(tx, deal_id, stage, now=now)
            assert (found.id if found else None) == wanted
        assert await stage_checks.revoke(tx, given[1].id, person="Dora", now=NOW + timedelta(days=1))
        assert not await stage_checks.revoke(tx, given[1].id, person="Dora", now=NOW + timedelta(days=1))
        assert not await stage_checks.revoke(tx, given[0].id, person="Dora", now=NOW + timedelta(days=4))
        still = await stage_checks.in_force(tx, "4711", "closing", now=NOW + timedelta(days=1))
        assert still is not None and still.id == given[0].id
        await stage_checks.decide(tx, [replace(CHECK, found="overridden", override_id=given[0].id)])
        listed = await stage_checks.overrides_of(tx, deal_id="4711")
    assert [(o.id, used) for o, used in listed] == [(given[1].id, 0), (given[0].id, 1)]
    assert listed[0][0].revoked_by == "Dora" and not listed[0][0].in_force(NOW + timedelta(days=2))
    assert listed[1][0].in_force(NOW + timedelta(days=2))
