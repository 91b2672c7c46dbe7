"""Unique values and their records: contacts by e-mail, all types by unique properties."""

from connectors.sandbox.hubspot_server.errors import Refusal
from connectors.sandbox.hubspot_server.records.catalog import ObjectType
from connectors.sandbox.hubspot_server.records.record import Record
from connectors.sandbox.hubspot_server.records.schema import Schema

_EMAIL = ("contacts", "email")


class UniqueValues:
    """The unique values of all live records."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._held: dict[tuple[str, str], dict[str, str]] = {}

    def need(self, kind: ObjectType, name: str) -> None:
        """Refusal 400 unless the property identifies records of this type."""
        prop = self._schema.find(kind, name)
        if prop is None:
            raise Refusal(400, f"Property {name} does not exist for object type {kind.type_id}")
        if not prop.unique and (kind.key, name) != _EMAIL:
            raise Refusal(400, f"Cannot use non-unique {kind.type_id} property {name} to identify a record")

    def holder(self, kind: ObjectType, name: str, value: str) -> str | None:
        """Id of the live record that has this unique value."""
        if (kind.key, name) == _EMAIL:
            value = value.strip().lower()
        return self._held.get((kind.key, name), {}).get(value)

    def note(self, record: Record, name: str, old: str | None, new: str) -> None:
        """Record a change from `old` to `new` (empty: none). Additional e-mail addresses count as taken."""
        kind = record.kind
        if (kind.key, name) == ("contacts", "hs_additional_emails"):
            taken = self._held.setdefault(_EMAIL, {})
            for gone in (old or "").split(";"):
                if taken.get(gone) == record.id:
                    del taken[gone]
            taken.update({mail: record.id for mail in new.split(";") if mail})
            return
        prop = self._schema.find(kind, name)
        if prop is None or not (prop.unique or (kind.key, name) == _EMAIL):
            return
        taken = self._held.setdefault((kind.key, name), {})
        if old and taken.get(old) == record.id:
            del taken[old]
        if new:
            taken[new] = record.id
