"""Contract revisions: which frozen text goes to which signers under which token, and how it ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from flows.errors import FlowError
from flows.ledger.tables import contracts

LIVE = ("sending", "open", "completed")


class LiveContractError(FlowError):
    """The deal has a contract that is being sent, is open or is signed: a second one is not allowed."""


@dataclass(frozen=True)
class Contract:
    """One revision. `state`: sending, open, completed, declined, expired, canceled, failed or refused."""

    id: int
    deal_id: str
    revision: int
    token: str
    state: str
    paper_id: int
    signers: Sequence[Mapping[str, Any]]
    request_id: str | None
    test_mode: bool
    created_at: datetime
    sent_at: datetime | None
    ended_at: datetime | None
    reason: str | None

    @property
    def effect_key(self) -> str:
        """The natural key of sending this revision."""
        return f"contract:{self.deal_id}:{self.revision}"


async def begin(
    tx: AsyncConnection,
    *,
    deal_id: str,
    token: str,
    paper_id: int,
    signers: Sequence[Mapping[str, Any]],
    test_mode: bool,
    now: datetime,
) -> Contract:
    """Open the deal's next revision in state `sending`. Raises LiveContractError."""
    before = await latest(tx, deal_id)
    if before is not None and before.state in LIVE:
        raise LiveContractError(f"contract revision {before.revision} of deal {deal_id} is {before.state}")
    revision = before.revision + 1 if before is not None else 1
    await tx.execute(
        sa.insert(contracts).values(
            deal_id=deal_id,
            revision=revision,
            token=token,
            state="sending",
            paper_id=paper_id,
            signers=[dict(s) for s in signers],
            test_mode=test_mode,
            created_at=now,
        )
    )
    found = await by_token(tx, token)
    assert found is not None
    return found


async def latest(tx: AsyncConnection, deal_id: str) -> Contract | None:
    """The deal's newest revision."""
    query = (
        sa.select(contracts)
        .where(contracts.c.deal_id == deal_id)
        .order_by(contracts.c.revision.desc())
        .limit(1)
    )
    return _one((await tx.execute(query)).first())


async def of_deal(tx: AsyncConnection, deal_id: str) -> list[Contract]:
    """All revisions of a deal, oldest first."""
    query = sa.select(contracts).where(contracts.c.deal_id == deal_id).order_by(contracts.c.revision)
    return [_contract(row) for row in await tx.execute(query)]


async def latest_of(tx: AsyncConnection, deal_ids: Sequence[str]) -> dict[str, Contract]:
    """The newest revision of each of these deals that has one."""
    query = sa.select(contracts).where(contracts.c.deal_id.in_(list(deal_ids)))
    rows = await tx.execute(query.order_by(contracts.c.revision))
    return {row.deal_id: _contract(row) for row in rows}


async def by_token(tx: AsyncConnection, token: str) -> Contract | None:
    """The revision that was sent under this token."""
    return _one((await tx.execute(sa.select(contracts).where(contracts.c.token == token))).first())


async def by_request(tx: AsyncConnection, request_id: str) -> Contract | None:
    """The revision that became this signature request."""
    query = sa.select(contracts).where(contracts.c.request_id == request_id)
    return _one((await tx.execute(query)).first())


async def in_flight(tx: AsyncConnection, limit: int = 500) -> list[Contract]:
    """Revisions sent or being sent that have not ended, oldest first."""
    query = (
        sa.select(contracts)
        .where(contracts.c.state.in_(("sending", "open")))
        .order_by(contracts.c.id)
        .limit(limit)
    )
    return [_contract(row) for row in await tx.execute(query)]


async def under_review(tx: AsyncConnection, *, since: datetime) -> list[Contract]:
    """Revisions that have not ended, and those that ended after `since`; oldest first."""
    query = sa.select(contracts).where(
        sa.or_(contracts.c.state.in_(("sending", "open")), contracts.c.ended_at >= since)
    )
    return [_contract(row) for row in await tx.execute(query.order_by(contracts.c.id))]


async def by_tokens(tx: AsyncConnection, tokens: Sequence[str]) -> dict[str, Contract]:
    """The revisions that were sent under these tokens."""
    found: dict[str, Contract] = {}
    for at in range(0, len(tokens), 500):
        query = sa.select(contracts).where(contracts.c.token.in_(tokens[at : at + 500]))
        found |= {row.token: _contract(row) for row in await tx.execute(query)}
    return found


async def deals_with_any(tx: AsyncConnection, deal_ids: Sequence[str]) -> set[str]:
    """Those of these deals that ever had a contract."""
    found: set[str] = set()
    for at in range(0, len(deal_ids), 500):
        query = sa.select(contracts.c.deal_id).where(contracts.c.deal_id.in_(deal_ids[at : at + 500]))
        found |= set((await tx.execute(query.distinct())).scalars())
    return found


async def recent(tx: AsyncConnection, limit: int = 20) -> list[Contract]:
    """Revisions for display, newest first."""
    query = sa.select(contracts).order_by(contracts.c.id.desc()).limit(limit)
    return [_contract(row) for row in await tx.execute(query)]


async def sent(tx: AsyncConnection, contract_id: int, *, request_id: str, now: datetime) -> None:
    """The request exists at the vendor."""
    await tx.execute(
        sa.update(contracts)
        .where(contracts.c.id == contract_id, contracts.c.state == "sending")
        .values(state="open", request_id=request_id, sent_at=now)
    )


async def end(
    tx: AsyncConnection, contract_id: int, *, state: str, now: datetime, reason: str | None = None
) -> None:
    """Record how the revision ended: completed, declined, expired, canceled, failed or refused."""
    await tx.execute(
        sa.update(contracts)
        .where(contracts.c.id == contract_id, contracts.c.state.in_(("sending", "open")))
        .values(state=state, ended_at=now, reason=reason)
    )


def _one(row: sa.Row[Any] | None) -> Contract | None:
    return _contract(row) if row else None


def _contract(row: sa.Row[Any]) -> Contract:
    return Contract(**{field: getattr(row, field) for field in Contract.__dataclass_fields__})
