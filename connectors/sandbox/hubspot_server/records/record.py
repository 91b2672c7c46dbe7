"""One CRM record with its history and the source of each change."""

from dataclasses import dataclass, field
from typing import Any

from connectors.sandbox.hubspot_server.records.catalog import ObjectType
from connectors.sandbox.hubspot_server.times import instant


@dataclass(frozen=True)
class Source:
    """Who makes a change: `change` is HubSpot's changeSource and the history's sourceType."""

    change: str
    id: str
    user_id: int | None = None


@dataclass
class Version:
    """One value that a property had."""

    value: str
    at_ms: int
    source: Source

    def shown(self) -> dict[str, Any]:
        """As propertiesWithHistory returns it."""
        found: dict[str, Any] = {
            "value": self.value,
            "timestamp": instant(self.at_ms),
            "sourceType": self.source.change,
            "sourceId": self.source.id,
        }
        if self.source.user_id is not None:
            found["updatedByUserId"] = self.source.user_id
        return found


@dataclass
class Snapshot:
    """The state of a record in the search index, and its time (virtual seconds)."""

    at_s: float
    values: dict[str, str]
    archived: bool


@dataclass
class Record:
    """One record. `values` holds only what is set; a cleared property is absent."""

    id: str
    kind: ObjectType
    created_ms: int
    updated_ms: int
    values: dict[str, str] = field(default_factory=dict)
    history: dict[str, list[Version]] = field(default_factory=dict)
    archived_ms: int | None = None
    snapshots: list[Snapshot] = field(default_factory=list)

    @property
    def archived(self) -> bool:
        """Whether it is in the recycle bin."""
        return self.archived_ms is not None

    def set(self, name: str, value: str, at_ms: int, source: Source) -> bool:
        """Store a value (empty clears) with its history. Returns whether anything changed."""
        if self.values.get(name, "") == value:
            return False
        if value == "":
            del self.values[name]
        else:
            self.values[name] = value
        self.history.setdefault(name, []).append(Version(value, at_ms, source))
        return True

    def index(self, at_s: float, lag_s: float) -> None:
        """Update the search index; snapshots that no search can see are removed."""
        self.snapshots.append(Snapshot(at_s, dict(self.values), self.archived))
        while len(self.snapshots) > 1 and self.snapshots[1].at_s <= at_s - max(lag_s, 60.0):
            self.snapshots.pop(0)

    def indexed(self, until_s: float) -> Snapshot | None:
        """The indexed state at `until_s`, or None when the record was not indexed yet."""
        for snapshot in reversed(self.snapshots):
            if snapshot.at_s <= until_s:
                return snapshot
        return None
