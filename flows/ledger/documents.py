"""Rendered documents, frozen: the exact bytes that were filed or sent, one version for each set of sources."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.ledger.database import upsert
from flows.ledger.tables import papers


@dataclass(frozen=True)
class StoredDocument:
    """A frozen document. `sha256` is of the PDF bytes, `source_sha256` of template and values."""

    id: int
    deal_id: str
    kind: str
    version: int
    source_sha256: str
    sha256: str
    title: str
    content: bytes
    created_at: datetime
    file_id: str | None


async def freeze(
    tx: AsyncConnection,
    *,
    deal_id: str,
    kind: str,
    source_sha256: str,
    sha256: str,
    title: str,
    content: bytes,
    now: datetime,
) -> StoredDocument:
    """Store a document and return it; the same sources again return the stored version, never a new one."""
    same = sa.select(papers).where(
        papers.c.deal_id == deal_id, papers.c.kind == kind, papers.c.source_sha256 == source_sha256
    )
    while (row := (await tx.execute(same)).first()) is None:
        newest = sa.select(sa.func.coalesce(sa.func.max(papers.c.version), 0)).where(
            papers.c.deal_id == deal_id, papers.c.kind == kind
        )
        version = int((await tx.execute(newest)).scalar_one()) + 1
        statement = upsert(tx, papers).values(
            deal_id=deal_id,
            kind=kind,
            version=version,
            source_sha256=source_sha256,
            sha256=sha256,
            title=title,
            content=content,
            created_at=now,
        )
        # Nothing is stored if another transaction took this version or stored these sources: read again.
        await tx.execute(statement.on_conflict_do_nothing())
    return _document(row)


async def by_id(tx: AsyncConnection, document_id: int) -> StoredDocument:
    """The document with this id. Raises sqlalchemy.exc.NoResultFound for an unknown one."""
    return _document((await tx.execute(sa.select(papers).where(papers.c.id == document_id))).one())


async def newest(tx: AsyncConnection, deal_id: str, kind: str) -> StoredDocument | None:
    """The deal's latest version of a kind of document."""
    query = (
        sa.select(papers)
        .where(papers.c.deal_id == deal_id, papers.c.kind == kind)
        .order_by(papers.c.version.desc())
        .limit(1)
    )
    row = (await tx.execute(query)).first()
    return _document(row) if row else None


async def kinds_on_file(tx: AsyncConnection, deal_ids: list[str]) -> dict[str, set[str]]:
    """Which kinds of document are filed in HubSpot, per deal."""
    rows = await tx.execute(
        sa.select(papers.c.deal_id, papers.c.kind)
        .where(papers.c.deal_id.in_(deal_ids), papers.c.file_id.is_not(None))
        .distinct()
    )
    found: dict[str, set[str]] = {}
    for deal_id, kind in rows:
        found.setdefault(deal_id, set()).add(kind)
    return found


@dataclass(frozen=True)
class Filed:
    """A document's file in HubSpot, and when it was made."""

    file_id: str
    created_at: datetime


async def filed(tx: AsyncConnection, deal_ids: Sequence[str]) -> dict[str, dict[str, Filed]]:
    """The newest filed document of each kind, per deal; without the bytes."""
    columns = (papers.c.deal_id, papers.c.kind, papers.c.file_id, papers.c.created_at)
    rows = await tx.execute(
        sa.select(*columns)
        .where(papers.c.deal_id.in_(list(deal_ids)), papers.c.file_id.is_not(None))
        .order_by(papers.c.version)
    )
    found: dict[str, dict[str, Filed]] = {}
    for deal_id, kind, file_id, created_at in rows:
        found.setdefault(deal_id, {})[kind] = Filed(file_id, created_at)
    return found


async def note_file(tx: AsyncConnection, document_id: int, file_id: str) -> None:
    """Remember the HubSpot file that holds this document."""
    await tx.execute(sa.update(papers).where(papers.c.id == document_id).values(file_id=file_id))


def _document(row: sa.Row[Any]) -> StoredDocument:
    return StoredDocument(**{field: getattr(row, field) for field in StoredDocument.__dataclass_fields__})
