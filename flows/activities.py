"""What has taken place on deals: calls, e-mails, meetings, notes and tasks from HubSpot, as far as it is asked for.

Needs: scope crm.objects.contacts.read, which gates activities (developers.hubspot.com, notes and meetings guides,
2026-11-22; e-mail texts would need sales-email-read as well, but only their time and status are read).
What they say stays here: notes and tasks are read only to leave out our own; our e-mails are known by their ids.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from connectors.hubspot.records import Link, Record
from flows.ledger import follow_ups
from flows.linked import linked
from flows.rules.evidence import ActivityEvidence, ActivityType
from flows.rules.exit_criteria import Activity, evidence_of
from flows.rules.sales_process import SalesProcess
from flows.services import Services

_OBJECTS: Mapping[ActivityType, str] = {
    "call": "calls",
    "email": "emails",
    "meeting": "meetings",
    "note": "notes",
    "task": "tasks",
}
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


def asked_types(process: SalesProcess) -> tuple[ActivityType, ...]:
    """The types of activity that some exit criterion asks for."""
    asked = {t for leaf in evidence_of(process) if isinstance(leaf, ActivityEvidence) for t in leaf.types}
    return tuple(kind for kind in _OBJECTS if kind in asked)


async def read_activities(
    s: Services, deal_ids: Sequence[str], types: Sequence[ActivityType] | None = None
) -> dict[str, tuple[Activity, ...]]:
    """What took place on each deal, oldest first; two calls per type for a hundred of them, else none. `types`: those
    that the process asks for, unless others are named.

    Raises ConnectorError.
    """
    found: dict[str, list[Activity]] = {deal_id: [] for deal_id in deal_ids}
    types = (asked_types(s.process) if types is None else tuple(types)) if deal_ids else ()
    reads = (_read(s, kind, deal_ids) for kind in types)
    for kind, (links, records) in zip(types, await asyncio.gather(*reads), strict=True):
        for deal_id, ends in links.items():
            activities = (_activity(kind, records[link.to_id]) for link in ends if link.to_id in records)
            found[deal_id] += [activity for activity in activities if activity is not None]
    return {deal_id: tuple(sorted(rows, key=lambda a: (a.at, a.id))) for deal_id, rows in found.items()}


async def _read(
    s: Services, kind: ActivityType, deal_ids: Sequence[str]
) -> tuple[Mapping[str, tuple[Link, ...]], Mapping[str, Record]]:
    """The activities of a type by deal and id, without e-mails that we put there as drafts."""
    links, records = await linked(s, _OBJECTS[kind], deal_ids, _PROPERTIES[kind])
    if kind == "email" and records:
        async with s.ledger.read() as tx:
            ours = await follow_ups.own_emails(tx, sorted(records))
        records = {ident: record for ident, record in records.items() if ident not in ours}
    return links, records


def _activity(kind: ActivityType, record: Record) -> Activity | None:
    """The activity, or None when nothing has taken place, or we wrote it ourselves."""
    values = record.properties
    if any(_OURS.search(values.get(name) or "") for name in ("hs_note_body", "hs_task_body")):
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
    return Activity(kind, record.id, at) if at is not None else None


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None
