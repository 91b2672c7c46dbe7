"""The timeline of a record's page: notes with their files, tasks, e-mails, calls, and stage changes."""

from dataclasses import dataclass, field

from connectors.sandbox.hubspot_server.pages import record_page, wording
from connectors.sandbox.hubspot_server.portal import Portal
from connectors.sandbox.hubspot_server.records.catalog import TYPES
from connectors.sandbox.hubspot_server.records.record import Record, Source, Version
from connectors.sandbox.hubspot_server.times import to_ms

_BODIES = {
    "notes": "hs_note_body",
    "tasks": "hs_task_body",
    "emails": "hs_email_html",
    "calls": "hs_call_body",
    "meetings": "hs_meeting_body",
}
_SOURCES = {"IMPORT": "Import", "FORM": "Form", "CALCULATED": "HubSpot", "MERGE_OBJECTS": "Merge"}


@dataclass(frozen=True)
class FileLink:
    """A file attached to an activity. `href` empty: it no longer exists."""

    name: str
    size: str
    href: str


@dataclass(frozen=True)
class Entry:
    """One entry of the timeline. `kind`: stage, created, note, task, email, call or meeting."""

    at_ms: int
    kind: str
    title: str
    who: str
    body: str = ""
    state: str = ""
    files: list[FileLink] = field(default_factory=list)

    @property
    def at(self) -> str:
        """The time as text for people."""
        return wording.moment(str(self.at_ms), seconds=True)


def timeline(portal: Portal, record: Record) -> list[Entry]:
    """All entries of a record, newest first."""
    found = [
        Entry(
            record.created_ms,
            "created",
            f"{record.kind.singular.capitalize()} created",
            _origin(portal, record),
        )
    ]
    if record.kind.key == "deals":
        found += _stages(portal, record)
    for kind in TYPES:
        if kind.activity:
            for ident in portal.crm.links.ids(record.kind, record.id, kind):
                activity = portal.crm.find(kind, ident)
                if activity is not None and not activity.archived:
                    found.append(_activity(portal, activity))
    order = {"created": 0, "stage": 1}
    return sorted(found, key=lambda e: (e.at_ms, order.get(e.kind, 2)), reverse=True)


def _stages(portal: Portal, record: Record) -> list[Entry]:
    pipeline = record_page.place(portal, record)[0]
    known = pipeline.stages if pipeline else {}
    versions = [v for v in record.history.get("dealstage", []) if v.value]
    before = ["", *(v.value for v in versions)]
    found = []
    for version, old in zip(versions, before, strict=False):
        stage, left = known.get(version.value), known.get(old)
        found.append(
            Entry(
                version.at_ms,
                "stage",
                f"Moved to {stage.label if stage else version.value}",
                _who(portal, version.source),
                f"from {left.label if left else old}" if old else "",
                record_page.stage_pill(stage),
            )
        )
    return found


def _activity(portal: Portal, activity: Record) -> Entry:
    values = activity.values
    key = activity.kind.key
    body = wording.plain_text(values.get(_BODIES[key]) or values.get("hs_email_text") or "")
    first = next(iter(activity.history.get("hs_object_id", [])), None)
    return Entry(
        _when(activity),
        activity.kind.singular,
        "Note" if key == "notes" else record_page.name(activity),
        _author(portal, activity, first),
        body,
        _task_state(activity),
        [_file(portal, ident) for ident in values.get("hs_attachment_ids", "").split(";") if ident],
    )


def _when(activity: Record) -> int:
    try:
        return to_ms(activity.values["hs_timestamp"])
    except (KeyError, ValueError):
        return activity.created_ms


def _task_state(activity: Record) -> str:
    status = activity.values.get("hs_task_status", "")
    return status.replace("_", " ").lower() if activity.kind.key == "tasks" else ""


def _file(portal: Portal, ident: str) -> FileLink:
    file = next((f for f in portal.files.live() if f.id == ident), None)
    if file is None:
        return FileLink(f"file {ident} (deleted)", "", "")
    name = f"{file.name}.{file.extension}" if file.extension else file.name
    return FileLink(name, wording.size(len(file.content)), f"/contacts/{portal.portal_id}/files/{ident}")


def _author(portal: Portal, activity: Record, first: Version | None) -> str:
    owner = record_page.owner(portal, activity.values.get("hubspot_owner_id"))
    made = _who(portal, first.source) if first else ""
    return f"{owner} · {made}" if owner and made and owner != made else owner or made


def _origin(portal: Portal, record: Record) -> str:
    first = next(iter(record.history.get("hs_object_id", [])), None)
    return _who(portal, first.source) if first else ""


def _who(portal: Portal, source: Source) -> str:
    if source.user_id is not None:
        person = next((o for o in portal.owners if o.user_id == source.user_id), None)
        return f"{person.first_name} {person.last_name}" if person else f"user {source.user_id}"
    if source.change == "INTEGRATION":
        return f"app {source.id}"
    return _SOURCES.get(source.change, source.change.replace("_", " ").capitalize())
