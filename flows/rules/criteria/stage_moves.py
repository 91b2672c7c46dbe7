"""How a deal came to where it stands: its moves between stages, which stages they skip, whether automations fight."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from flows.rules.process.sales_process import SalesProcess

FIGHT_WITHIN = timedelta(days=7)
"""Back and forth over more than this is a slow sale, not two automations that undo each other."""
_PEOPLE = ("CRM_UI", "MOBILE")
_PERSON_ID = "userid:"


@dataclass(frozen=True)
class Move:
    """A deal came into a stage. `stage`: our key, None outside the process; `stage_id`: HubSpot's.

    `source_type` and `source_id` are what HubSpot's property history reports about who did it: CRM_UI and `userId:123`
    for a person in the app; INTEGRATION, AUTOMATION_PLATFORM, ... for everything that acts by itself.
    """

    stage: str | None
    stage_id: str
    at: datetime
    source_type: str = ""
    source_id: str = ""

    @property
    def by_person(self) -> bool:
        """Whether a person did it in HubSpot. What is not known to be a person counts as an automation."""
        return self.source_type.upper().startswith(_PEOPLE) or self.source_id.lower().startswith(_PERSON_ID)

    @property
    def mover(self) -> str:
        """Who or what did it, by id."""
        who = " ".join(part for part in (self.source_type, self.source_id) if part)
        return f"{'a person' if self.by_person else 'an automation'} ({who or 'HubSpot does not say which'})"


@dataclass(frozen=True)
class Passage:
    """The newest move of a deal, and what it passed over.

    `before`: the move that came before it, None for a deal created in its stage. `skipped`: keys of open stages
    between the two in which the deal never stood; a deal that is created in a stage skips none. `forward`: whether a
    gate lies in its way: not for moves back, to lost, or out of the process.
    """

    move: Move
    before: Move | None
    forward: bool
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fight:
    """Automations move a deal back and forth between two stages. `since`: the first move of it, which names it."""

    stages: tuple[str, str]
    since: Move
    movers: tuple[str, ...]


def passage_of(process: SalesProcess, moves: Sequence[Move]) -> Passage | None:
    """The newest move, with what it passed over. `moves`: oldest first. None when there is none."""
    if not moves:
        return None
    newest, before = moves[-1], moves[-2] if len(moves) > 1 else None
    if newest.stage is None or process.stage(newest.stage).closed == "lost":
        return Passage(newest, before, forward=False)
    at = process.keys.index(newest.stage)
    came_from = _place(process, before)
    if came_from >= at:
        return Passage(newest, before, forward=False)
    stood = {move.stage for move in moves}
    between = process.stages[came_from + 1 : at] if before is not None else ()
    skipped = tuple(s.key for s in between if s.closed is None and s.key not in stood)
    return Passage(newest, before, forward=True, skipped=skipped)


def fight_of(moves: Sequence[Move]) -> Fight | None:
    """Whether the newest moves are automations undoing each other: A, B and A again, none of both moves by a person.

    `moves`: oldest first. A person's move ends a fight.
    """
    if len(moves) < 3:
        return None
    newest = moves[-1]
    first = len(moves) - 1
    while (
        first >= 2
        and moves[first].stage_id == moves[first - 2].stage_id
        and not moves[first].by_person
        and not moves[first - 1].by_person
        and newest.at - moves[first - 1].at <= FIGHT_WITHIN
    ):
        first -= 1
    if first == len(moves) - 1:
        return None
    movers = dict.fromkeys(move.mover for move in moves[first:])
    return Fight((moves[-2].stage_id, newest.stage_id), moves[first], tuple(movers))


def _place(process: SalesProcess, before: Move | None) -> int:
    """Where a deal came from, as a place in the process; before the first stage when it came from outside or lost."""
    if before is None or before.stage is None or process.stage(before.stage).closed == "lost":
        return -1
    return process.keys.index(before.stage)
