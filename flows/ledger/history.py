"""The history that the mirror keeps: values of deal properties, and since when associations are known.

HubSpot keeps a history of properties but not of associations, so the mirror records when they appear and disappear.
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
    """A deal property got this value; None means that it was emptied."""

    deal_id: str
    property: str
    value: str | None
    at: datetime


@dataclass(frozen=True)
class ReadTimes:
    """When some records were read: now, and (by id) before. `born`: when the associated records were created, by id;
    an association cannot be older.
    """

    now: datetime
    before: Mapping[str, datetime] = field(default_factory=dict)
    born: Mapping[str, datetime] = field(default_factory=dict)


async def keep_versions(tx: AsyncConnection, versions: Sequence[Version]) -> None:
    """Store past values; known ones stay as they are."""
    if versions:
        await tx.execute(
            upsert(tx, property_history).on_conflict_do_nothing(),
            [version._asdict() for version in sorted(versions, key=lambda v: (v.deal_id, v.property, v.at))],
        )


async def note_links(
    tx: AsyncConnection, kinds: tuple[str, str], before: Links, after: Links, reads: ReadTimes
) -> None:
    """Record associations that appeared or disappeared between two reads. `kinds`: object types of both ends."""
    known = await _open(tx, kinds, sorted(after))
    table = association_history.c
    came: list[dict[str, object]] = []
    for from_id in sorted(after):
        had = _marks(before.get(from_id, {}))
        has, noted = _marks(after[from_id]), known.get(from_id, set())
        last = reads.before.get(from_id)
        row = dict(zip(("from_type", "to_type", "from_id"), (*kinds, from_id), strict=True))
        for to_id, label in sorted(has - had - noted):
            absent = max((at for at in (last, reads.born.get(to_id)) if at is not None), default=None)
            came.append(
                {**row, "to_id": to_id, "label": label, "first_seen_at": reads.now, "absent_at": absent}
            )
        for to_id, label in sorted((had | noted) - has):
            if (to_id, label) not in noted:  # it existed before we began to record
                since = {"first_seen_at": last or reads.now, "absent_at": None}
                await tx.execute(_insert(tx), [{**row, "to_id": to_id, "label": label, **since}])
            await tx.execute(
                sa.update(association_history)
                .where(
                    *(table[name] == value for name, value in row.items()),
                    table.to_id == to_id,
                    table.label == label,
                    table.gone_at.is_(None),
                )
                .values(gone_at=reads.now)
            )
    if came:
        await tx.execute(_insert(tx), came)


def _insert(tx: AsyncConnection) -> sa.Executable:
    """An insert that ignores a row with the same key."""
    statement: sa.Executable = upsert(tx, association_history).on_conflict_do_nothing()
    return statement


def _marks(links: Mapping[str, Sequence[str]]) -> set[tuple[str, str]]:
    """Each association by itself, and each label on it."""
    return {(to_id, label) for to_id, labels in links.items() for label in ("", *labels)}


async def _open(
    tx: AsyncConnection, kinds: tuple[str, str], ids: Sequence[str]
) -> dict[str, set[tuple[str, str]]]:
    """The recorded associations that still exist."""
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
