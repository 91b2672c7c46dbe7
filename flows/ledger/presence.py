"""Which workers are alive and how to wake them, and counters by day."""

import secrets
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.ledger.database import upsert
from flows.ledger.tables import counts, cursors, workers


@dataclass(frozen=True)
class Worker:
    """A worker's last heartbeat. `wake_port`: UDP on loopback, for a gateway on the same machine."""

    name: str
    started_at: datetime
    seen_at: datetime
    wake_port: int | None
    prefect_ok: bool
    note: str | None


async def report(tx: AsyncConnection, worker: Worker) -> None:
    """Store a heartbeat."""
    values = {
        "started_at": worker.started_at,
        "seen_at": worker.seen_at,
        "wake_port": worker.wake_port,
        "prefect_ok": worker.prefect_ok,
        "note": worker.note,
    }
    statement = upsert(tx, workers).values(name=worker.name, **values)
    await tx.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


async def leave(tx: AsyncConnection, name: str) -> None:
    """Remove a worker that stops normally."""
    await tx.execute(sa.delete(workers).where(workers.c.name == name))


async def alive(tx: AsyncConnection, *, since: datetime) -> list[Worker]:
    """Workers with a heartbeat since then."""
    rows = await tx.execute(sa.select(workers).where(workers.c.seen_at >= since))
    return [Worker(**{f: getattr(row, f) for f in Worker.__dataclass_fields__}) for row in rows]


async def ledger_id(tx: AsyncConnection, *, now: datetime) -> str:
    """A random name that this ledger keeps: it separates its runs in Prefect from those of an earlier ledger."""
    query = sa.select(cursors.c.value).where(cursors.c.name == "ledger_id")
    known = (await tx.execute(query)).scalar_one_or_none()
    if known is None:
        statement = upsert(tx, cursors).values(name="ledger_id", value=secrets.token_hex(6), moved_at=now)
        await tx.execute(statement.on_conflict_do_nothing(index_elements=["name"]))
        known = (await tx.execute(query)).scalar_one()
    return str(known)


async def count(tx: AsyncConnection, name: str, *, now: datetime) -> None:
    """Add one to a counter of the day."""
    statement = upsert(tx, counts).values(day=now.date().isoformat(), name=name, n=1)
    await tx.execute(
        statement.on_conflict_do_update(index_elements=["day", "name"], set_={"n": counts.c.n + 1})
    )


async def totals(tx: AsyncConnection) -> dict[str, int]:
    """All counters, summed over the days."""
    rows = await tx.execute(sa.select(counts.c.name, sa.func.sum(counts.c.n)).group_by(counts.c.name))
    return {name: int(n) for name, n in rows}
