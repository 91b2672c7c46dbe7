"""What the mirror remembers of the past: values of deal properties, and since when associations are known.

HubSpot keeps a history of properties and none of associations: the mirror notes what it sees come and go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.ledger.database import upsert
from flows.ledger.tables import association_history, property_history

_CHUNK = 500
Links = Mapping[str, Mapping[str, Sequence[str]]]
"""Associations of some records: from id -> to id -> labels."""


class Version(NamedTuple):
    """A deal property got this value; None when it was emptied."""

    deal_id: str
    property: str
    value: str | None
    at: datetime


@dataclass(frozen=True)
class Looks:
    """When some records were read: now, and (by id) before. `born`: when the records beside them were made, by id;
    before that they were surely not there.
    """

    now: datetime
    before: Mapping[str, datetime] = field(default_factory=dict)
    born: Mapping[str, datetime] = field(default_factory=dict)


async def keep_versions(tx: AsyncConnection, versions: Sequence[Version]) -> None:
    """Store past values; those that are known already stay as they are."""
    if versions:
        await tx.execute(
            upsert(tx, property_history).on_conflict_do_nothing(),
            [version._asdict() for version in sorted(versions, key=lambda v: (v.deal_id, v.property, v.at))],
        )


async def note_links(
    tx: AsyncConnection, kinds: tuple[str, str], before: Links, after: Links, looks: Looks
) -> None:
    """Note what came and went between two looks at some records. `kinds`: their object type, and that of the others."""
    known = await _open(tx, kinds, sorted(after))
    table = association_history.c
    came: list[dict[str, object]] = []
    for from_id in sorted(after):
        had = _marks(before.get(from_id, {}))
        has, noted = _marks(after[from_id]), known.get(from_id, set())
        last = looks.before.get(from_id)
        row = dict(zip(("from_type", "to_type", "from_id"), (*kinds, from_id), strict=True))
        for to_id, label in sorted(has - had - noted):
            absent = max((at for at in (last, looks.born.get(to_id)) if at is not None), default=None)
            came.append(
                {**row, "to_id": to_id, "label": label, "first_seen_at": looks.now, "absent_at": absent}
            )
        for to_id, label in sorted((had | noted) - has):
            if (to_id, label) not in noted:  # there since before we began to note
                since = {"first_seen_at": last or looks.now, "absent_at": None}
                await tx.execute(_insert(tx), [{**row, "to_id": to_id, "label": label, **since}])
            await tx.execute(
                sa.update(association_history)
                .where(
                    *(table[name] == value for name, value in row.items()),
                    table.to_id == to_id,
                    table.label == label,
                    table.gone_at.is_(None),
                )
                .values(gone_at=looks.now)
            )
    if came:
        await tx.execute(_insert(tx), came)


def _insert(tx: AsyncConnection) -> sa.Executable:
    """The same mark twice in one moment says nothing new."""
    statement: sa.Executable = upsert(tx, association_history).on_conflict_do_nothing()
    return statement


def _marks(links: Mapping[str, Sequence[str]]) -> set[tuple[str, str]]:
    """Each association by itself, and each label on it."""
    return {(to_id, label) for to_id, labels in links.items() for label in ("", *labels)}


async def _open(
    tx: AsyncConnection, kinds: tuple[str, str], ids: Sequence[str]
) -> dict[str, set[tuple[str, str]]]:
    """What is noted as still there."""
    found: dict[str, set[tuple[str, str]]] = {}
    table = association_history.c
    for at in range(0, len(ids), _CHUNK):
        query = sa.select(table.from_id, table.to_id, table.label).where(
            table.from_type == kinds[0],
            table.to_type == kinds[1],
            table.from_id.in_(ids[at : at + _CHUNK]),
            table.gone_at.is_(None),
        )
        for from_id, to_id, label in await tx.execute(query):
            found.setdefault(from_id, set()).add((to_id, label))
    return found
