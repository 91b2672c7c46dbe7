"""Associations: the types between two object types, and the associated records by type.

Every type has a twin in the other direction with an id of its own. Type ids:
https://developers.hubspot.com/docs/api-reference/crm/associations/associate-records/guide (read 2026-04-13)
and `association_type.py` of hubspot-api-client 12.0.0; the opposite direction from contact, company and deal to lead
is undocumented and chosen here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from connectors.sandbox.hubspot_server.errors import Refusal
from connectors.sandbox.hubspot_server.records.catalog import ObjectType, object_type
from connectors.sandbox.ids import Ids

HUBSPOT = "HUBSPOT_DEFINED"
USER = "USER_DEFINED"

# from, to, type id, type id in the opposite direction; unlabelled
_PLAIN = (
    ("deals", "contacts", 3, 4),
    ("deals", "companies", 341, 342),
    ("contacts", "companies", 279, 280),
    ("deals", "line_items", 19, 20),
    ("deals", "quotes", 63, 64),
    ("quotes", "line_items", 67, 68),
    ("quotes", "contacts", 69, 70),
    ("quotes", "companies", 71, 72),
    ("calls", "contacts", 194, 193),
    ("calls", "companies", 182, 181),
    ("calls", "deals", 206, 205),
    ("emails", "contacts", 198, 197),
    ("emails", "companies", 186, 185),
    ("emails", "deals", 210, 209),
    ("meetings", "contacts", 200, 199),
    ("meetings", "companies", 188, 187),
    ("meetings", "deals", 212, 211),
    ("notes", "contacts", 202, 201),
    ("notes", "companies", 190, 189),
    ("notes", "deals", 214, 213),
    ("notes", "leads", 855, 854),
    ("tasks", "contacts", 204, 203),
    ("tasks", "companies", 192, 191),
    ("tasks", "deals", 216, 215),
    ("tasks", "quotes", 218, 217),
    ("leads", "contacts", 608, 607),
    ("leads", "companies", 610, 609),
    ("leads", "deals", 1037, 1036),
)
_PRIMARY = (
    ("deals", "companies", 5, 6),
    ("contacts", "companies", 1, 2),
    ("leads", "contacts", 578, 577),
    ("leads", "companies", 580, 579),
    ("leads", "deals", 582, 581),
)


@dataclass
class LinkType:
    """One direction of an association type. `primary`: at most one such link on the `source` side."""

    source: str
    target: str
    type_id: int
    twin_id: int
    category: str
    label: str | None
    name: str  # as inline associations call it
    primary: bool = False

    def shown(self) -> dict[str, Any]:
        """As the labels API and association reads return it."""
        return {"category": self.category, "typeId": self.type_id, "label": self.label}


Heard = Callable[[LinkType, str, str, bool], None]
"""Link type, from id, to id, removed."""


class Links:
    """The association types and the links of one portal. `heard` is called for every change, per direction."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._types: dict[tuple[str, str], dict[int, LinkType]] = {}
        self._ids = Ids(27, 3)
        self._links: dict[tuple[str, str], dict[str, dict[str, set[int]]]] = {}
        for rows, primary in ((_PLAIN, False), (_PRIMARY, True)):
            for source, target, there, back in rows:
                split = primary or any((source, target) == p[:2] for p in _PRIMARY)
                self._define(source, target, there, back, primary=primary, split=split)

    def types(self, source: ObjectType, target: ObjectType) -> dict[int, LinkType]:
        """Type id -> type for one direction. Refusal 400 where the two cannot be associated."""
        found = self._types.get((source.key, target.key))
        if not found:
            raise Refusal(400, f"No association type exists from {source.key} to {target.key}")
        return found

    def default(self, source: ObjectType, target: ObjectType) -> LinkType:
        """The unlabelled type of a direction."""
        return next(t for t in self.types(source, target).values() if t.label is None)

    def typed(self, source: ObjectType, target: ObjectType, category: str, type_id: int) -> LinkType:
        """The type asked for; Refusal 400 where category or id do not exist for this direction."""
        found = self.types(source, target).get(type_id)
        if found is None or found.category != category:
            raise Refusal(
                400,
                f"Association type {category} {type_id} does not exist from {source.type_id} "
                f"to {target.type_id}",
                sub_category="crm.associations.INVALID_ASSOCIATION_TYPE",
                context={"type": [str(type_id)], "associationCategory": [category]},
            )
        return found

    def target(self, source: ObjectType, type_id: int) -> str | None:
        """Key of the object type that a type id leads to from `source`, or None."""
        for (from_key, to_key), types in self._types.items():
            if from_key == source.key and type_id in types:
                return to_key
        return None

    def connect(
        self,
        source: tuple[ObjectType, str],
        target: tuple[ObjectType, str],
        types: Iterable[LinkType],
        *,
        replace_labels: bool = False,
    ) -> None:
        """Associate two records by these types, and by the unlabelled one; repeating changes nothing.

        `replace_labels`: labels of the pair that are not among `types` are removed.
        """
        (from_kind, from_id), (to_kind, to_id) = source, target
        wanted = list(types)
        plain = self.default(from_kind, to_kind)
        if replace_labels:
            keep = {t.type_id for t in wanted} | {plain.type_id}
            for type_id in self.between(source, target) - keep:
                self._take(self.types(from_kind, to_kind)[type_id], from_id, to_id)
        for kind in dict.fromkeys(t.type_id for t in [plain, *wanted]):
            found = self.types(from_kind, to_kind)[kind]
            if found.type_id in self.between(source, target):
                continue
            self._unseat(found, source, target)
            self._put(found, from_id, to_id)

    def disconnect(
        self, source: tuple[ObjectType, str], target: tuple[ObjectType, str], types: set[int] | None = None
    ) -> None:
        """Remove the associations of a pair: all of them, or these type ids (seen from `source`)."""
        (from_kind, from_id), (to_kind, to_id) = source, target
        for type_id in sorted(self.between(source, target)):
            if types is None or type_id in types:
                self._take(self.types(from_kind, to_kind)[type_id], from_id, to_id)

    def drop(self, kind: ObjectType, ident: str) -> None:
        """Remove all associations of a record, without events (archived and merged records)."""
        for target, rows in self._links.pop((kind.key, ident), {}).items():
            for other in rows:
                self._links.get((target, other), {}).get(kind.key, {}).pop(ident, None)

    def move(self, kind: ObjectType, old: str, new: str) -> None:
        """Move the associations of `old` to `new` (merge). The primary one of `new` stays."""
        for target, rows in list(self._links.get((kind.key, old), {}).items()):
            target_kind = object_type(target)
            has_primary = any(
                self.types(kind, target_kind)[t].primary
                for r in self._links.get((kind.key, new), {}).get(target, {}).values()
                for t in r
            )
            for other, type_ids in list(rows.items()):
                known = self.types(kind, target_kind)
                take = [known[t] for t in sorted(type_ids) if not (known[t].primary and has_primary)]
                self.connect((kind, new), (target_kind, other), take)
        self.drop(kind, old)

    def ids(self, kind: ObjectType, ident: str, target: ObjectType) -> list[str]:
        """Ids of the associated records of one type, oldest first."""
        return list(self._links.get((kind.key, ident), {}).get(target.key, {}))

    def between(self, source: tuple[ObjectType, str], target: tuple[ObjectType, str]) -> set[int]:
        """Type ids between the two, seen from `source`."""
        rows = self._links.get((source[0].key, source[1]), {}).get(target[0].key, {})
        return set(rows.get(target[1], ()))

    def targets(self, kind: ObjectType, ident: str) -> list[ObjectType]:
        """Object types that a record is associated with."""
        return [object_type(k) for k, rows in self._links.get((kind.key, ident), {}).items() if rows]

    def label(self, source: ObjectType, target: ObjectType, label: str) -> LinkType | None:
        """The type of that label, or None."""
        return next((t for t in self.types(source, target).values() if t.label == label), None)

    def create_label(
        self, source: ObjectType, target: ObjectType, name: str, label: str, inverse: str | None
    ) -> list[LinkType]:
        """A user-defined label: one type id per direction. Refusal 400 when the label is taken."""
        self.types(source, target)
        if self.label(source, target, label) is not None:
            raise Refusal(400, f"A label {label} already exists from {source.key} to {target.key}")
        there, back = next(self._ids), next(self._ids)
        a = LinkType(source.key, target.key, there, back, USER, label, name)
        b = LinkType(target.key, source.key, back, there, USER, inverse or label, name)
        self._types[(a.source, a.target)][there] = a
        self._types[(b.source, b.target)][back] = b
        return [a, b]

    def relabel(
        self, source: ObjectType, target: ObjectType, type_id: int, label: str, inverse: str | None
    ) -> None:
        """Rename a user-defined label in both directions."""
        found = self._custom(source, target, type_id)
        found.label = label
        self._types[(target.key, source.key)][found.twin_id].label = inverse or label

    def delete_label(self, source: ObjectType, target: ObjectType, type_id: int) -> None:
        """Delete a user-defined label in both directions; associations with it stay, unlabelled."""
        found = self._custom(source, target, type_id)
        for (kind, _), targets in self._links.items():
            for to_key, rows in targets.items():
                for types in rows.values():
                    if (kind, to_key) == (found.source, found.target):
                        types.discard(found.type_id)
                    if (kind, to_key) == (found.target, found.source):
                        types.discard(found.twin_id)
        del self._types[(found.source, found.target)][found.type_id]
        self._types[(found.target, found.source)].pop(found.twin_id, None)

    def _custom(self, source: ObjectType, target: ObjectType, type_id: int) -> LinkType:
        found = self.types(source, target).get(type_id)
        if found is None:
            raise Refusal(404, f"Association type {type_id} was not found")
        if found.category == HUBSPOT:
            raise Refusal(400, f"Association type {type_id} is defined by HubSpot")
        return found

    def _define(self, source: str, target: str, there: int, back: int, *, primary: bool, split: bool) -> None:
        a, b = object_type(source).singular, object_type(target).singular
        tail = "_unlabeled" if split and not primary else ""
        label = "Primary" if primary else None
        for row in (
            LinkType(source, target, there, back, HUBSPOT, label, f"{a}_to_{b}{tail}", primary),
            LinkType(target, source, back, there, HUBSPOT, label, f"{b}_to_{a}{tail}"),
        ):
            self._types.setdefault((row.source, row.target), {})[row.type_id] = row

    def _unseat(self, kind: LinkType, source: tuple[ObjectType, str], target: tuple[ObjectType, str]) -> None:
        """A record has one primary link of a type: an earlier one becomes normal."""
        if kind.primary:
            for other in self.ids(source[0], source[1], target[0]):
                if kind.type_id in self.between(source, (target[0], other)):
                    self._take(kind, source[1], other)
        twin = self._types[(kind.target, kind.source)].get(kind.twin_id)
        if twin is not None and twin.primary:
            for other in self.ids(target[0], target[1], source[0]):
                if twin.type_id in self.between(target, (source[0], other)):
                    self._take(kind, other, target[1])

    def _put(self, kind: LinkType, from_id: str, to_id: str) -> None:
        self._row(kind.source, from_id, kind.target, to_id).add(kind.type_id)
        self._row(kind.target, to_id, kind.source, from_id).add(kind.twin_id)
        self._tell(kind, from_id, to_id, removed=False)

    def _take(self, kind: LinkType, from_id: str, to_id: str) -> None:
        for source, source_id, target, target_id, type_id in (
            (kind.source, from_id, kind.target, to_id, kind.type_id),
            (kind.target, to_id, kind.source, from_id, kind.twin_id),
        ):
            rows = self._links[(source, source_id)][target]
            rows[target_id].discard(type_id)
            if not rows[target_id]:
                del rows[target_id]
        self._tell(kind, from_id, to_id, removed=True)

    def _tell(self, kind: LinkType, from_id: str, to_id: str, *, removed: bool) -> None:
        twin = self._types[(kind.target, kind.source)].get(kind.twin_id)
        self._heard(kind, from_id, to_id, removed)
        if twin is not None:
            self._heard(twin, to_id, from_id, removed)

    def _row(self, source: str, source_id: str, target: str, target_id: str) -> set[int]:
        targets = self._links.setdefault((source, source_id), {})
        return targets.setdefault(target, {}).setdefault(target_id, set())
