"""A deal's stage history as entries and moves, and what a new entry calls for: a check of its gate and the stage's
own actions.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flows.deals.facts import facts_of
from flows.deals.read import DealFile
from flows.ledger import mirror, stage_checks
from flows.ledger.database import Transaction
from flows.ledger.inbox import NewEvent
from flows.ledger.mirror import WATCH_SINCE, StageEntry
from flows.ledger.stage_checks import StageCheck
from flows.processes import STAGE_CHECK, kind_for
from flows.rules.criteria.judge import Verdict
from flows.rules.criteria.stage_guard import Ruling, gate_of, rule
from flows.rules.criteria.stage_moves import Move, Passage, fight_of, passage_of
from flows.services import Portal, Services


@dataclass
class Called:
    """What new entries call for: events for the inbox, and decisions that are final already."""

    events: list[NewEvent] = field(default_factory=list)
    checks: list[StageCheck] = field(default_factory=list)


async def watch_from_now(s: Services) -> datetime:
    """Since when stage entries call for action: the first start. Deals already in a stage then get nothing for it."""
    async with s.ledger.read() as tx:
        known = await mirror.cursor(tx, WATCH_SINCE)
    if known is not None:
        return datetime.fromisoformat(known)
    async with s.ledger.write() as tx:
        known = await mirror.cursor(tx, WATCH_SINCE)
        if known is None:
            known = s.clock().isoformat()
            await mirror.move_cursor(tx, WATCH_SINCE, known, now=s.clock())
    return datetime.fromisoformat(known)


def entries_of(file: DealFile) -> list[StageEntry]:
    """Stage entries, oldest first; writing the same stage again is no entry. `file` must be read with stage history."""
    entries: list[StageEntry] = []
    for past in reversed(file.deal.history.get("dealstage", ())):
        if past.value and past.at and (not entries or entries[-1].stage_id != past.value):
            entries.append(StageEntry(file.id, past.value, past.at, past.source_type, past.source_id))
    return entries


def moves_of(portal: Portal, file: DealFile) -> list[Move]:
    """Stage entries in the words of the process, oldest first."""
    return [
        Move(portal.stage_key(e.stage_id), e.stage_id, e.entered_at, e.source_type or "", e.source_id or "")
        for e in entries_of(file)
    ]


def moment_ms(moment: datetime) -> int:
    """Epoch milliseconds, as in stored keys: never change it."""
    return int(moment.timestamp() * 1000)


async def our_move_back(tx: Transaction, deal_id: str, moves: Sequence[Move]) -> bool:
    """Whether the guard itself made the newest move, to undo the one before it. Such an entry calls for nothing."""
    if len(moves) < 2:
        return False
    check = await stage_checks.load(tx, deal_id, moves[-2].stage_id, moves[-2].at)
    return check is not None and check.action == "move_back" and check.back_to == moves[-1].stage


async def called_for(
    tx: Transaction,
    s: Services,
    portal: Portal,
    files: Iterable[DealFile],
    fresh: Collection[StageEntry],
    since: datetime,
) -> Called:
    """What the newest entries call for, if they are new, recent enough, and the deal is still in that stage."""
    entered: dict[str, tuple[DealFile, StageEntry]] = {}
    for file in files:
        entries = entries_of(file)
        if file.stage is not None and entries and entries[-1] in fresh and entries[-1].entered_at >= since:
            entered[file.id] = file, entries[-1]
    called = Called()
    if not entered:
        return called
    facts = await facts_of(tx, [file for file, _ in entered.values()])
    for file, entry in entered.values():
        moves = moves_of(portal, file)
        passage, fight = passage_of(s.process, moves), fight_of(moves)
        if passage is None or await our_move_back(tx, file.id, moves):
            continue
        verdicts = gate_of(s.process, passage, facts[file.id])
        ruling = rule(s.process, passage, fight, verdicts, facts[file.id])
        if ruling.found != "passed":  # activities are not read yet: it may still have passed
            called.events.append(_event(entry, STAGE_CHECK, file.stage or "", "check"))
        elif verdicts:
            called.checks.append(check_of(s, file, passage, ruling, verdicts, settled=True))
        if fight is None:  # while automations undo each other's moves, the stage's actions wait
            for action in s.process.stage(file.stage or "").on_enter:
                called.events.append(_event(entry, kind_for(action), file.stage or "", action))
    return called


def check_of(
    s: Services,
    file: DealFile,
    passage: Passage,
    ruling: Ruling,
    verdicts: Iterable[Verdict],
    *,
    override_id: int | None = None,
    settled: bool = False,
) -> StageCheck:
    """The decision as the ledger keeps it."""
    now, move = s.clock(), passage.move
    assert move.stage is not None
    proofs: Mapping[str, list[str]] = {
        v.criterion: [f"{r.kind} {r.id}".strip() for r in v.records] for v in verdicts if v.met
    }
    return StageCheck(
        deal_id=file.id,
        stage_id=move.stage_id,
        entered_at=move.at,
        stage=move.stage,
        came_from=passage.before.stage if passage.before else None,
        mode=s.process.stage(move.stage).mode,
        found=ruling.found,
        action=ruling.action,
        mover=move.mover,
        checked_at=now,
        missing=(*ruling.missing, *(("enter_from",) if ruling.jump else ())),
        skipped=ruling.skipped,
        proofs=proofs,
        back_to=ruling.back_to,
        override_id=override_id,
        settled_at=now if settled else None,
    )


def _event(entry: StageEntry, kind: str, stage: str, action: str) -> NewEvent:
    return NewEvent(
        source="stage",
        key=f"{entry.deal_id}:{entry.stage_id}:{moment_ms(entry.entered_at)}:{action}",
        kind=kind,
        lane=f"deal:{entry.deal_id}",
        content={
            "stage": stage,
            **(
                {"stage_id": entry.stage_id, "at": entry.entered_at.isoformat()}
                if kind == STAGE_CHECK
                else {}
            ),
        },
        deal_id=entry.deal_id,
        occurred_at=entry.entered_at,
    )
