"""What has taken place on deals: calls, e-mails, meetings, notes and tasks from HubSpot, as far as it is asked for.

Needs: scope crm.objects.contacts.read, which gates activities (developers.hubspot.com, notes and meetings guides,
2026-11-22; e-mail texts would need sales-email-read as well, but only their time and status are read).
What they say stays here: notes, calls and tasks are read only to leave out our own, to see which headings of call notes
are filled in, and which tasks list an objection; our e-mails are known by their ids.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from connectors.hubspot.records import Link, Record
from flows.deals.associated import associated_records
from flows.ledger import follow_ups
from flows.rules.criteria.evidence import ActivityType
from flows.rules.criteria.judge import Activity, Objection, evidence_of
from flows.rules.criteria.kinds.call_notes import BODIES
from flows.rules.criteria.kinds.objections import SUBJECT
from flows.rules.process.call_notes import read_form
from flows.rules.process.sales_process import SalesProcess
from flows.services import Services

OBJECTS: Mapping[ActivityType, str] = {
    "call": "calls",
    "email": "emails",
    "meeting": "meetings",
    "note": "notes",
    "task": "tasks",
}
"""What HubSpot calls the records of each type."""
_PROPERTIES: Mapping[ActivityType, tuple[str, ...]] = {
    "call": ("hs_timestamp", "hs_call_status"),
    "email": ("hs_timestamp", "hs_email_status"),
    "meeting": ("hs_timestamp", "hs_meeting_outcome"),
    "note": ("hs_timestamp", "hs_note_body"),
    "task": ("hs_timestamp", "hs_task_status", "hs_task_completion_date", "hs_task_body"),
}
# States in which nothing took place between us and the buyer. One that is not given counts: most tools leave it out.
_NOTHING = {
    "hs_call_status": {"BUSY", "CANCELED", "FAILED", "NO_ANSWER", "QUEUED", "RINGING", "CONNECTING"},
    "hs_email_status": {"SCHEDULED", "SENDING", "FAILED", "BOUNCED"},
    "hs_meeting_outcome": {"SCHEDULED", "CANCELED", "NO_SHOW", "RESCHEDULED"},
}
_OURS = re.compile(r"\bdealflow [0-9a-f]{20}\b")


@dataclass(frozen=True)
class Happened:
    """What took place on a deal, oldest first, and the objections that are listed on it."""

    activities: tuple[Activity, ...] = ()
    objections: tuple[Objection, ...] = ()


def asked_types(*processes: SalesProcess) -> tuple[ActivityType, ...]:
    """The types of activity that some exit criterion asks for."""
    asked = {kind for process in processes for leaf in evidence_of(process) for kind in leaf.activities()}
    return tuple(kind for kind in OBJECTS if kind in asked)


async def read_activities(
    s: Services, deal_ids: Sequence[str], types: Sequence[ActivityType] | None = None
) -> dict[str, Happened]:
    """What took place on each deal; two calls per type for a hundred of them, else none. `types`: those that the
    process asks for, unless others are named.

    Raises ConnectorError.
    """
    return (await read_for(s, deal_ids, [s.process], types))[0]


async def read_for(
    s: Services,
    deal_ids: Sequence[str],
    processes: Sequence[SalesProcess],
    types: Sequence[ActivityType] | None = None,
) -> list[dict[str, Happened]]:
    """The same as each of these processes would see it, read once for all of them."""
    types = (asked_types(*processes) if types is None else tuple(types)) if deal_ids else ()
    reads = [_read(s, kind, deal_ids, _properties(kind, processes)) for kind in types]
    read = list(zip(types, await asyncio.gather(*reads), strict=True))
    seen: list[dict[str, Happened]] = []
    for process in processes:
        found: dict[str, list[tuple[ActivityType, Record]]] = {deal_id: [] for deal_id in deal_ids}
        for kind, (links, records) in read:
            for deal_id, ends in links.items():
                found[deal_id] += [(kind, records[link.to_id]) for link in ends if link.to_id in records]
        seen.append({deal_id: happened_on(rows, process) for deal_id, rows in found.items()})
    return seen


def _properties(kind: ActivityType, processes: Sequence[SalesProcess]) -> tuple[str, ...]:
    """Texts are read only where a criterion looks into them."""
    leaves = (leaf for process in processes for leaf in evidence_of(process))
    more = dict.fromkeys(name for leaf in leaves for name in leaf.activities().get(kind, ()))
    return (*_PROPERTIES[kind], *(name for name in more if name not in _PROPERTIES[kind]))


async def _read(
    s: Services, kind: ActivityType, deal_ids: Sequence[str], properties: Sequence[str]
) -> tuple[Mapping[str, tuple[Link, ...]], Mapping[str, Record]]:
    """The activities of a type by deal and id, without e-mails that we put there as drafts."""
    links, records = await associated_records(s, OBJECTS[kind], deal_ids, properties)
    if kind == "email" and records:
        async with s.ledger.read() as tx:
            ours = await follow_ups.own_emails(tx, sorted(records))
        records = {ident: record for ident, record in records.items() if ident not in ours}
    return links, records


def happened_on(rows: Sequence[tuple[ActivityType, Record]], process: SalesProcess) -> Happened:
    """What these records of one deal come to."""
    activities = filter(None, (_activity(kind, record, process) for kind, record in rows))
    tasks = (record for kind, record in rows if kind == "task")
    objections = filter(None, (_objection(task, process.objection_prefix) for task in tasks))
    return Happened(tuple(sorted(activities, key=lambda a: (a.at, a.id))), tuple(sorted(objections)))


def _activity(kind: ActivityType, record: Record, process: SalesProcess) -> Activity | None:
    """The activity, or None when nothing has taken place, or we wrote it ourselves."""
    values = record.properties
    if _is_ours(record):
        return None
    if any((values.get(name) or "").upper() in nothing for name, nothing in _NOTHING.items()):
        return None
    happened = values.get("hs_timestamp")
    if kind == "task":
        if values.get("hs_task_status") != "COMPLETED":
            return None
        # A task's hs_timestamp is when it was due.
        happened = values.get("hs_task_completion_date") or happened
    at = _moment(happened)
    if at is None:
        return None
    form = read_form(values.get(BODIES.get(kind, "")) or "", process.call_notes)
    return Activity(kind, record.id, at, *(form or ()))


def _objection(task: Record, prefix: str) -> Objection | None:
    """The objection that a task of a person lists."""
    subject = (task.properties.get(SUBJECT) or "").strip()
    if not subject.casefold().startswith(prefix.casefold()) or _is_ours(task):
        return None
    listed_at = task.created_at or _moment(task.properties.get("hs_timestamp"))
    if listed_at is None:
        return None
    closed_at = None
    if task.properties.get("hs_task_status") == "COMPLETED":
        completed = _moment(task.properties.get("hs_task_completion_date"))
        closed_at = completed or task.updated_at or listed_at
    return Objection(task.id, listed_at, closed_at)


def _is_ours(record: Record) -> bool:
    return any(_OURS.search(record.properties.get(name) or "") for name in ("hs_note_body", "hs_task_body"))


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None
