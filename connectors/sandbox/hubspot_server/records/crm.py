"""The records of one portal: create, change, archive, merge, with history, index, webhooks, consequences."""

from collections.abc import Mapping
from typing import Any

from connectors.sandbox.clock import Clock
from connectors.sandbox.hubspot_server.errors import Refusal
from connectors.sandbox.hubspot_server.events import Events
from connectors.sandbox.hubspot_server.records import calculated
from connectors.sandbox.hubspot_server.records.catalog import TYPES, ObjectType, object_type
from connectors.sandbox.hubspot_server.records.links import Links, LinkType
from connectors.sandbox.hubspot_server.records.pipelines import Pipelines, Stage
from connectors.sandbox.hubspot_server.records.record import Record, Source
from connectors.sandbox.hubspot_server.records.schema import Schema
from connectors.sandbox.hubspot_server.records.unique import UniqueValues
from connectors.sandbox.hubspot_server.settings import Settings
from connectors.sandbox.hubspot_server.times import instant, to_ms
from connectors.sandbox.ids import Ids

FIRST_ID = 41_220_075_301
"""Ids of every type start here: ids are unique only within an object type."""
CALCULATED = Source("CALCULATED", "CalculatedPropertyComputer")


class Crm:
    """Records by type and id, and their unique values."""

    def __init__(
        self, clock: Clock, schema: Schema, pipelines: Pipelines, events: Events, settings: Settings
    ) -> None:
        self.clock = clock
        self.schema = schema
        self.pipelines = pipelines
        self.events = events
        self.settings = settings
        self.links = Links(self._link_changed)
        self.unique = UniqueValues(schema)
        self._link_source = CALCULATED
        self._records: dict[str, dict[str, Record]] = {t.key: {} for t in TYPES}
        self._ids = {t.key: Ids(FIRST_ID) for t in TYPES}
        self._merged: dict[tuple[str, str], str] = {}

    # Reading

    def all(self, kind: ObjectType, *, archived: bool = False) -> list[Record]:
        """Every record of a type in that state, oldest first."""
        return [r for r in self._records[kind.key].values() if r.archived == archived]

    def find(self, kind: ObjectType, ident: str, *, follow: bool = True) -> Record | None:
        """The record with that id, archived or not; `follow`: a merged id leads to its survivor."""
        seen = ident
        while follow and (kind.key, seen) in self._merged:
            seen = self._merged[(kind.key, seen)]
        return self._records[kind.key].get(seen)

    def read(
        self,
        kind: ObjectType,
        ident: str,
        *,
        id_property: str | None = None,
        archived: bool = False,
        follow: bool = True,
    ) -> Record:
        """The record, by id or unique property, in that state. Refusal 404 where there is none."""
        found = self.locate(kind, ident, id_property, follow=follow)
        if found is None or found.archived != archived:
            raise Refusal(404, "resource not found", category="OBJECT_NOT_FOUND")
        return found

    def locate(
        self, kind: ObjectType, ident: str, id_property: str | None, *, follow: bool = True
    ) -> Record | None:
        """The record by id or unique property, archived or not, or None."""
        if not id_property or id_property == "hs_object_id":
            return self.find(kind, ident, follow=follow)
        if kind.key == "companies" and id_property == "domain":
            return None  # pages list it as an identifier; live it answers 404 (facts section 5)
        self.unique.need(kind, id_property)
        owner = self.unique.holder(kind, id_property, ident)
        return None if owner is None else self._records[kind.key].get(owner)

    def value(self, record: Record, name: str) -> str | None:
        """The current value; values that depend on time or associations are calculated now."""
        stage = record.values.get("dealstage")
        if record.kind.key == "deals" and stage:
            entered = record.values.get("hs_v2_date_entered_current_stage")
            spent = self.clock.now_ms() - to_ms(entered) if entered else 0
            before = int(record.values.get(f"hs_v2_cumulative_time_in_{stage}", "0"))
            if name in ("hs_v2_time_in_current_stage", f"hs_v2_latest_time_in_{stage}"):
                return str(spent)
            if name in (f"hs_v2_cumulative_time_in_{stage}", f"hs_time_in_{stage}"):
                return str(before + spent)
        if name == "num_associated_contacts" and record.kind.key == "deals":
            return str(len(self.links.ids(record.kind, record.id, object_type("contacts"))))
        if name == "associatedcompanyid" and record.kind.key == "contacts":
            companies = object_type("companies")
            for ident in self.links.ids(record.kind, record.id, companies):
                if 1 in self.links.between((record.kind, record.id), (companies, ident)):
                    return ident
            return None
        return record.values.get(name)

    # Writing

    def create(
        self, kind: ObjectType, values: Mapping[str, str], source: Source, *, at_ms: int | None = None
    ) -> Record:
        """Store a new record with checked values."""
        now_ms = self.clock.now_ms() if at_ms is None else at_ms
        ident = str(next(self._ids[kind.key]))
        record = Record(ident, kind, now_ms, now_ms)
        self._records[kind.key][ident] = record
        first = {
            kind.created: instant(now_ms),
            "hs_createdate": instant(now_ms),
            "hs_object_id": ident,
            "hs_object_source": source.change,
            "hs_object_source_id": source.id,
            "hs_object_source_label": source.change,
        }
        if source.user_id is not None:
            first["hs_created_by_user_id"] = str(source.user_id)
        for name, value in first.items():
            if name not in values:
                record.set(name, value, now_ms, source)
        self._tell(record, "creation", now_ms, source, {"changeFlag": "NEW"})
        self.update(record, values, source, at_ms=now_ms, fresh=True)
        return record

    def update(
        self,
        record: Record,
        values: Mapping[str, str],
        source: Source,
        *,
        at_ms: int | None = None,
        fresh: bool = False,
    ) -> None:
        """Store checked values with their consequences; without a change nothing is touched."""
        now_ms = self.clock.now_ms() if at_ms is None else at_ms
        old_stage = record.values.get("dealstage", "")
        changed = []
        for name, value in values.items():
            before = record.values.get(name)
            if record.set(name, value, now_ms, source):
                changed.append(name)
                self.unique.note(record, name, before, value)
        if not changed and not fresh:
            return
        if "hubspot_owner_id" in changed and self.schema.find(record.kind, "hubspot_owner_assigneddate"):
            record.set("hubspot_owner_assigneddate", instant(now_ms), now_ms, CALCULATED)
        if source.user_id is not None:
            record.set("hs_updated_by_user_id", str(source.user_id), now_ms, source)
        for name, value in self._consequences(record, old_stage, changed, now_ms).items():
            record.set(name, value, now_ms, CALCULATED)
        self.touch(record, now_ms)
        for name in changed:
            self._tell(
                record,
                "propertyChange",
                now_ms,
                source,
                {"propertyName": name, "propertyValue": record.values.get(name, "")},
                prop=name,
            )

    def touch(self, record: Record, at_ms: int) -> None:
        """Update last-modified and the search index."""
        record.updated_ms = max(at_ms, record.updated_ms)
        record.set(record.kind.last_modified, instant(record.updated_ms), record.updated_ms, CALCULATED)
        record.index(self.clock.now_s(), self.settings.search_lag_s)

    def archive(self, record: Record, source: Source) -> None:
        """Move a record to the recycle bin: its unique values are free again, its associations are removed."""
        now_ms = self.clock.now_ms()
        for name, value in record.values.items():
            self.unique.note(record, name, value, "")
        self.links.drop(record.kind, record.id)
        record.archived_ms = record.updated_ms = now_ms
        record.index(self.clock.now_s(), self.settings.search_lag_s)
        self._tell(record, "deletion", now_ms, source, {"changeFlag": "DELETED"})

    def forget(self, record: Record) -> None:
        """Delete permanently (privacy deletion)."""
        if not record.archived:
            self.archive(record, CALCULATED)
        del self._records[record.kind.key][record.id]

    def replaced_by(self, old: Record, new: Record) -> None:
        """Record that `old` was merged into `new`: its associations move, its id leads to `new`."""
        self.links.move(old.kind, old.id, new.id)
        self._merged[(old.kind.key, old.id)] = new.id
        del self._records[old.kind.key][old.id]

    def connect_by(
        self,
        source: Source,
        one: tuple[ObjectType, str],
        other: tuple[ObjectType, str],
        types: list[LinkType],
        *,
        replace_labels: bool = False,
    ) -> None:
        """Associate two records on behalf of a source."""
        self._link_source = source
        self.links.connect(one, other, types, replace_labels=replace_labels)

    def disconnect_by(
        self,
        source: Source,
        one: tuple[ObjectType, str],
        other: tuple[ObjectType, str],
        types: set[int] | None = None,
    ) -> None:
        """Remove associations on behalf of a source."""
        self._link_source = source
        self.links.disconnect(one, other, types)

    # Consequences

    def stage_of(self, record: Record) -> Stage | None:
        """The stage of a deal, if its pipeline still has it."""
        pipeline = self.pipelines.of(record.kind).get(record.values.get("pipeline", ""))
        return pipeline.stages.get(record.values.get("dealstage", "")) if pipeline else None

    def _consequences(self, record: Record, old_stage: str, changed: list[str], at_ms: int) -> dict[str, str]:
        kind = record.kind.key
        if kind == "deals":
            found = {}
            stage = record.values.get("dealstage", "")
            if stage != old_stage:
                found.update(calculated.stage_moved(record, old_stage, stage, at_ms))
            return {**found, **calculated.deal_values(record, self.stage_of(record))}
        if kind == "line_items":
            return calculated.line_item_values(record)
        if kind == "tasks" and "hs_task_status" in changed:
            return calculated.task_values(record, at_ms)
        if kind == "contacts" and "email" in changed:
            return {"hs_email_domain": record.values.get("email", "@").split("@")[1]}
        return {}

    def _link_changed(self, kind: LinkType, from_id: str, to_id: str, removed: bool) -> None:
        source = object_type(kind.source)
        now_ms = self.clock.now_ms()
        if source.activity and not removed and kind.label is None:
            self._activity_logged(source, from_id, object_type(kind.target), to_id)
        if not source.event:
            return
        singular = f"{source.singular}_TO_{object_type(kind.target).singular}".upper()
        self.events.emit(
            f"{source.event}.associationChange",
            {
                "changeSource": self._link_source.change,
                "sourceId": self._link_source.id,
                "associationType": singular,
                "fromObjectId": int(from_id),
                "toObjectId": int(to_id),
                "associationRemoved": removed,
                "isPrimaryAssociation": kind.label == "Primary",
            },
            at_ms=now_ms,
        )

    def _activity_logged(self, kind: ObjectType, ident: str, target: ObjectType, to_id: str) -> None:
        """A logged activity updates the record that it is logged on (facts section 4, [ADR])."""
        activity, record = self.find(kind, ident), self.find(target, to_id)
        if activity is None or record is None or self.schema.find(target, "num_notes") is None:
            return
        if kind.key == "tasks":
            return  # a task is planned work, not yet an activity
        now_ms = self.clock.now_ms()
        when = activity.values.get("hs_timestamp", instant(now_ms))
        values = {
            "notes_last_updated": max(when, record.values.get("notes_last_updated", "")),
            "num_notes": str(int(record.values.get("num_notes", "0")) + 1),
        }
        if kind.key in ("calls", "emails", "meetings"):
            values["notes_last_contacted"] = max(when, record.values.get("notes_last_contacted", ""))
            count = int(record.values.get("num_contacted_notes", "0")) + 1
            values["num_contacted_notes"] = str(count)
        for name, value in values.items():
            record.set(name, value, now_ms, CALCULATED)
        self.touch(record, now_ms)

    def _tell(
        self,
        record: Record,
        what: str,
        at_ms: int,
        source: Source,
        more: Mapping[str, Any],
        *,
        prop: str | None = None,
    ) -> None:
        if not record.kind.event:
            return
        self.events.emit(
            f"{record.kind.event}.{what}",
            {
                "objectId": int(record.id),
                "objectTypeId": record.kind.type_id,
                "changeSource": source.change,
                "sourceId": source.id,
                **more,
            },
            at_ms=at_ms,
            prop=prop,
        )
