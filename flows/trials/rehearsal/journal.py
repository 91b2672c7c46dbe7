"""What reps log on their deals: calls and meetings, call notes on the form, objections as tasks that they close."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from connectors.hubspot.records import Record
from flows.deals.activities import Happened, happened_on
from flows.rules.criteria.evidence import (
    ActivityEvidence,
    ActivityType,
    CallNotesEvidence,
    ObjectionsEvidence,
)
from flows.rules.criteria.judge import Activity, Objection
from flows.rules.process.call_notes import blank
from flows.rules.process.sales_process import SalesProcess
from flows.trials.rehearsal.world import World

_KINDS: Mapping[ActivityType, tuple[str, dict[str, str]]] = {
    "call": ("calls", {"hs_call_title": "Call", "hs_call_status": "COMPLETED"}),
    "email": ("emails", {"hs_email_subject": "As agreed", "hs_email_status": "SENT"}),
    "meeting": ("meetings", {"hs_meeting_title": "Meeting", "hs_meeting_outcome": "COMPLETED"}),
    "note": ("notes", {}),
    "task": ("tasks", {"hs_task_subject": "Done", "hs_task_status": "COMPLETED"}),
}
_DOUBTS = ("the price", "where the data stays", "how long it takes", "who is our contact")


@dataclass
class Diary:
    """What a rep has logged on one deal, and when they first saw it in each stage."""

    activities: list[Activity] = field(default_factory=list)
    objections: list[Objection] = field(default_factory=list)
    entered: dict[str, datetime] = field(default_factory=dict)
    _stage: str = ""

    def stands_in(self, stage: str, now: datetime) -> None:
        """Record that the deal is in this stage, once for each stay."""
        if stage != self._stage:
            self._stage = stage
            self.entered[stage] = now


@dataclass
class Journal:
    """Logs activities for the reps."""

    world: World
    process: SalesProcess

    async def log(
        self, deal_id: str, diary: Diary, wanted: ActivityEvidence | CallNotesEvidence | ObjectionsEvidence
    ) -> None:
        """Log it now, as often as required."""
        match wanted:
            case ActivityEvidence():
                for _ in range(wanted.at_least):
                    await self._write(deal_id, diary, wanted.types[0], {})
            case CallNotesEvidence(call_notes=name):
                body = "<br>".join(self._filled(name, len(diary.activities)))
                await self._write(deal_id, diary, "note", {"hs_note_body": body}, form=name)
            case ObjectionsEvidence():
                for number in range(len(diary.objections), max(1, wanted.at_least)):
                    subject = f"{self.process.objection_prefix} {_DOUBTS[number % len(_DOUBTS)]}"
                    ident = await self._write(deal_id, diary, "task", {"hs_task_subject": subject})
                    diary.objections.append(Objection(ident, self.world.now, self.world.now))

    def _filled(self, name: str, number: int) -> Iterable[str]:
        """The form with text under every heading; no two are equal."""
        for line in blank(name, self.process.call_notes[name]).splitlines():
            yield f"{line} as we said in talk {number + 1}" if line.endswith(":") else line

    async def _write(
        self, deal_id: str, diary: Diary, kind: ActivityType, values: dict[str, str], form: str = ""
    ) -> str:
        now = self.world.now
        object_type, usual = _KINDS[kind]
        values = {"hs_timestamp": now.isoformat(), **usual, **values}
        if kind == "note" and not form:
            values["hs_note_body"] = f"Spoke with the buyer, {len(diary.activities) + 1}"
        link = {"to_type": "deals", "to_id": deal_id}
        record = await self.world.rep(object_type, create=True, properties=values, associations=[link])
        ident: str = record["id"]
        diary.activities.append(Activity(kind, ident, now, form))
        return ident


def logged(
    records: Mapping[ActivityType, Iterable[Mapping[str, Any]]], process: SalesProcess
) -> dict[str, Happened]:
    """The activities of each deal, from the stand-in's own records."""
    rows: dict[str, list[tuple[ActivityType, Record]]] = {}
    for kind, found in records.items():
        for one in found:
            values = one["properties"]
            created = datetime.fromisoformat(values["hs_createdate"].replace("Z", "+00:00"))
            record = Record(one["id"], values, created_at=created)
            for link in one["associations"].get("deals", []):
                rows.setdefault(link["id"], []).append((kind, record))
    return {deal_id: happened_on(found, process) for deal_id, found in rows.items()}
