"""Contract revisions: one live one a deal, tokens and requests unique, ends that stay."""

import asyncio
from typing import Any

import pytest

from flows.ledger import contracts
from flows.ledger.contracts import LIVE, Contract, LiveContractError
from flows.ledger.database import Ledger, StorageError

SIGNERS = [{"role": "client", "name": "Ada", "email": "ada@buyer.example", "order": 0}]
ENDS = ("declined", "expired", "canceled", "failed", "refused")


async def _begin(ledger: Ledger, clock: Any, token: str, deal: str = "1") -> Contract:
    async with ledger.write() as tx:
        return await contracts.begin(
            tx, deal_id=deal, token=token, paper_id=7, signers=SIGNERS, test_mode=True, now=clock()
        )


async def _end(
    ledger: Ledger, clock: Any, contract: Contract, state: str, reason: str | None = None
) -> Contract:
    async with ledger.write() as tx:
        await contracts.end(tx, contract.id, state=state, now=clock(), reason=reason)
        found = await contracts.by_token(tx, contract.token)
    assert found is not None
    return found


async def test_the_newest_revisions_of_several_deals(ledger: Ledger, clock: Any) -> None:
    """The highest revision of each; deals without one are left out."""
    first = await _begin(ledger, clock, "t1")
    await _end(ledger, clock, first, "declined")
    second = await _begin(ledger, clock, "t2")
    other = await _begin(ledger, clock, "t3", deal="2")
    await _begin(ledger, clock, "t4", deal="3")
    async with ledger.read() as tx:
        assert await contracts.latest_of(tx, ["1", "2", "9"]) == {"1": second, "2": other}
        assert await contracts.latest_of(tx, []) == {}
        assert [c.revision for c in await contracts.of_deal(tx, "1")] == [1, 2]
        assert await contracts.of_deal(tx, "9") == []


async def test_the_first_revision(ledger: Ledger, clock: Any) -> None:
    """A contract begins as `sending`, with all that is needed to send it and to find it again."""
    made = await _begin(ledger, clock, "t1")
    assert (made.revision, made.state, made.request_id, made.sent_at) == (1, "sending", None, None)
    assert (made.signers, made.paper_id, made.test_mode) == (SIGNERS, 7, True)
    assert made.effect_key == "contract:1:1"
    async with ledger.read() as tx:
        assert await contracts.latest(tx, "1") == made
        assert await contracts.by_token(tx, "t1") == made
        assert await contracts.by_request(tx, "r1") is None
        assert await contracts.latest(tx, "2") is None


@pytest.mark.parametrize("state", LIVE)
async def test_no_second_one_while_one_is_live(ledger: Ledger, clock: Any, state: str) -> None:
    """While a contract is being sent, open, or signed, the ledger itself refuses another for that deal."""
    made = await _begin(ledger, clock, "t1")
    async with ledger.write() as tx:
        if state != "sending":
            await contracts.sent(tx, made.id, request_id="r1", now=clock())
        if state == "completed":
            await contracts.end(tx, made.id, state="completed", now=clock())
    with pytest.raises(LiveContractError, match=state):
        await _begin(ledger, clock, "t2")
    assert (await _begin(ledger, clock, "t3", deal="2")).revision == 1


@pytest.mark.parametrize("state", ENDS)
async def test_after_an_end_without_signature_comes_the_next_revision(
    ledger: Ledger, clock: Any, state: str
) -> None:
    """Only then: with the next number and so a key of its own."""
    made = await _begin(ledger, clock, "t1")
    ended = await _end(ledger, clock, made, state, "said so")
    assert (ended.state, ended.reason, ended.ended_at) == (state, "said so", clock())
    second = await _begin(ledger, clock, "t2")
    assert (second.revision, second.effect_key) == (2, "contract:1:2")
    async with ledger.read() as tx:
        assert await contracts.latest(tx, "1") == second
        assert [c.token for c in await contracts.in_flight(tx)] == ["t2"]
        assert [c.token for c in await contracts.recent(tx)] == ["t2", "t1"]
        assert [c.token for c in await contracts.recent(tx, limit=1)] == ["t2"]


async def test_tokens_and_requests_are_unique(ledger: Ledger, clock: Any) -> None:
    """Two contracts never share a token or a signature request."""
    first, second = await _begin(ledger, clock, "t1"), await _begin(ledger, clock, "t2", deal="2")
    with pytest.raises(StorageError) as refused:
        await _begin(ledger, clock, "t1", deal="3")
    assert refused.value.kind == "IntegrityError"
    async with ledger.write() as tx:
        await contracts.sent(tx, first.id, request_id="r1", now=clock())
    with pytest.raises(StorageError) as refused:
        async with ledger.write() as tx:
            await contracts.sent(tx, second.id, request_id="r1", now=clock())
    assert refused.value.kind == "IntegrityError"
    async with ledger.read() as tx:
        found = await contracts.by_request(tx, "r1")
    assert found is not None
    assert found.token == "t1"


async def test_sent_is_noted_once(ledger: Ledger, clock: Any) -> None:
    """The request that was noted first stays; a repeat or a later end is not undone."""
    made = await _begin(ledger, clock, "t1")
    for request_id in ("r1", "r2"):
        async with ledger.write() as tx:
            await contracts.sent(tx, made.id, request_id=request_id, now=clock())
        clock.forward(5)
    async with ledger.read() as tx:
        found = await contracts.by_token(tx, "t1")
    assert found is not None
    assert (found.state, found.request_id) == ("open", "r1")
    assert found.sent_at is not None
    assert found.sent_at < clock()


@pytest.mark.parametrize("first", ["completed", *ENDS])
@pytest.mark.parametrize("second", ["completed", "declined"])
async def test_an_end_stays(ledger: Ledger, clock: Any, first: str, second: str) -> None:
    """The end of a contract does not change, in whatever order late events arrive."""
    made = await _begin(ledger, clock, "t1")
    before = await _end(ledger, clock, made, first)
    clock.forward(60)
    assert await _end(ledger, clock, made, second) == before
    async with ledger.write() as tx:
        await contracts.sent(tx, made.id, request_id="r1", now=clock())
        assert await contracts.by_token(tx, "t1") == before
        assert await contracts.in_flight(tx) == []


async def test_beginning_at_the_same_time(ledger: Ledger, other_ledger: Ledger, clock: Any) -> None:
    """Two processes begin a contract for one deal at once: there is one."""
    results = await asyncio.gather(
        *(_begin(handle, clock, f"t{n}") for n, handle in enumerate([ledger, other_ledger] * 2)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Contract) for result in results) == 1
    assert all(isinstance(r, (Contract, LiveContractError, StorageError)) for r in results)
    assert {r.kind for r in results if isinstance(r, StorageError)} <= {"IntegrityError"}
