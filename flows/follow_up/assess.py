"""Assesses a deal against the follow-up plan of its stage: fresh facts, judged criteria, past follow-ups.

Reads: deals with all their activities (HubSpot's own "last activity" would count our notes), documents, contracts,
earlier follow-ups. Writes nothing.
Needs: scopes as in flows/deals/read.py and flows/deals/activities.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flows.deals.facts import facts_of
from flows.deals.read import DealFile, read_deals
from flows.ledger import contracts, follow_ups
from flows.ledger.contracts import Contract
from flows.ledger.follow_ups import FollowUpRow
from flows.rules.criteria.evidence import ACTIVITY_TYPES
from flows.rules.criteria.judge import DealFacts, Verdict, judge, unmet
from flows.rules.follow_up import Decision, Due, Lift, Past, decide
from flows.rules.process.follow_up_plan import FollowUp
from flows.rules.process.sales_process import Stage
from flows.services import Services

FLAG = "dealflow_flag"


@dataclass(frozen=True)
class Assessment:
    """How one deal stands now. `unfinished`: a follow-up of this stay that was begun and not finished.

    `flags`: the follow-ups that flagged the deal and are not cleared, from this stay or an earlier one.
    """

    file: DealFile
    stage: Stage
    plan: FollowUp
    entered_at: datetime
    missing: tuple[Verdict, ...]
    past: tuple[FollowUpRow, ...]
    unfinished: FollowUpRow | None
    flags: tuple[FollowUpRow, ...]
    contract: Contract | None
    decision: Decision

    @property
    def shows_flag(self) -> str | None:
        """The deal's id when its record in HubSpot still carries the flag."""
        return self.file.id if self.file.deal.properties.get(FLAG) else None

    @property
    def unmet(self) -> frozenset[str]:
        """The keys of the stage's criteria that are not met."""
        return frozenset(v.criterion for v in self.missing)


@dataclass(frozen=True)
class Outside:
    """A deal that needs no follow-up, and why. `flags`: the flags that are still to be removed."""

    reason: str
    flags: tuple[FollowUpRow, ...]
    shows_flag: str | None = None
    """The id of the deal in HubSpot that still carries the flag."""


async def read_files(s: Services, deal_ids: Sequence[str]) -> dict[str, DealFile]:
    """The deals with their stage history and all their activities, by the requested id."""
    return await read_deals(s, deal_ids, history=True, types=ACTIVITY_TYPES)


async def assess(
    s: Services, files: Mapping[str, DealFile | None], *, asked: bool = False
) -> dict[str, Assessment | Outside]:
    """An assessment of each of these deals, by the requested id; None means that HubSpot does not have the deal.

    `asked`: a person asked for the follow-up.
    """
    ids = sorted({*files, *(file.id for file in files.values() if file)})
    async with s.ledger.read() as tx:
        rows = await follow_ups.of_deals(tx, ids)
        newest = await contracts.latest_of(tx, ids)
        facts = await facts_of(tx, [file for file in files.values() if file])
    found: dict[str, Assessment | Outside] = {}
    for asked_id, file in files.items():
        flags = _flags(rows.get(asked_id, ()))
        if file is None:
            found[asked_id] = Outside("HubSpot no longer has this deal", flags)
        elif file.id != asked_id:
            own = _flags(rows.get(file.id, ()))
            shows = file.id if file.deal.properties.get(FLAG) and not own else None
            found[asked_id] = Outside(f"it was merged into deal {file.id}", flags, shows)
        else:
            of_deal = rows.get(file.id, ())
            found[asked_id] = _assess(s, file, facts[file.id], of_deal, newest.get(file.id), asked)
    return found


def _flags(rows: Sequence[FollowUpRow]) -> tuple[FollowUpRow, ...]:
    return tuple(row for row in rows if row.flagged and row.cleared_at is None)


def _assess(
    s: Services,
    file: DealFile,
    facts: DealFacts,
    rows: Sequence[FollowUpRow],
    contract: Contract | None,
    asked: bool,
) -> Assessment | Outside:
    flags, stage = _flags(rows), s.process.stage(file.stage) if file.stage else None
    entered_at = file.entered.get(stage.key) if stage else None
    if stage is None or stage.closed is not None or stage.follow_up is None or entered_at is None:
        where = f"{stage.label}, which has no follow-up plan" if stage else "no stage of the process"
        if entered_at is None and stage is not None:
            where = f"{stage.label}, but HubSpot does not say since when"
        shows = file.id if file.deal.properties.get(FLAG) else None
        return Outside(f"the deal is in {where}", flags, shows)
    missing = unmet(judge(stage.exit_criteria, facts, stage.key))
    past = tuple(r for r in rows if (r.stage, r.entered_at) == (stage.key, entered_at))
    here = [row for row in flags if row in past]
    decision: Decision
    if len(here) < len(flags):
        decision = Lift("it has left the stage that it was flagged in")
    elif any(row.ended_at for row in here) and _taken_back_by_hand(file):
        decision = Lift("somebody removed the flag in HubSpot")
    else:
        decision = decide(
            stage.follow_up,
            now=s.clock(),
            entered_at=entered_at,
            unmet=frozenset(v.criterion for v in missing),
            last_activity=max(file.activities, key=lambda a: a.at, default=None),
            past=[past_of(row) for row in past if row.ended_at is not None],
            asked=asked,
        )
    unfinished = next((row for row in past if row.ended_at is None), None)
    return Assessment(
        file, stage, stage.follow_up, entered_at, missing, past, unfinished, flags, contract, decision
    )


def past_of(row: FollowUpRow) -> Past:
    """A follow-up in the form that the rule takes."""
    cleared = row.cleared_at is not None
    return Past(row.number, row.begun_at, frozenset(row.unmet), row.flagged, cleared)


def _taken_back_by_hand(file: DealFile) -> bool:
    """Whether the flag property exists and is empty. If HubSpot does not have the property, the answer is no."""
    return FLAG in file.deal.properties and not file.deal.properties[FLAG]


def calls_for_action(found: Assessment | Outside) -> bool:
    """Whether there is something to do now: a follow-up to start, one to finish, or a flag to remove."""
    if isinstance(found, Outside):
        return bool(found.flags)
    return found.unfinished is not None or isinstance(found.decision, (Due, Lift))
