"""Frozen documents: the same sources are the same version, the first bytes win."""

import asyncio
import hashlib
from typing import Any

import pytest
import sqlalchemy as sa

from flows.ledger import documents as papers
from flows.ledger.database import Ledger
from flows.ledger.documents import StoredDocument


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_the_newest_filed_of_each_kind(ledger: Ledger, clock: Any) -> None:
    """Per deal and kind the latest filed version, with its file and when it was made."""
    old = await _freeze(ledger, clock, "v1")
    new = await _freeze(ledger, clock, "v2")
    await _freeze(ledger, clock, "v3")
    contract = await _freeze(ledger, clock, "c1", kind="contract")
    other = await _freeze(ledger, clock, "v1", deal="2")
    async with ledger.write() as tx:
        for paper, file_id in ((new, "f2"), (old, "f1"), (contract, "f3"), (other, "f4")):
            await papers.note_file(tx, paper.id, file_id)
        found = await papers.filed(tx, ["1", "3"])
    assert found == {
        "1": {
            "proposal": papers.Filed("f2", new.created_at),
            "contract": papers.Filed("f3", contract.created_at),
        }
    }


async def _freeze(
    ledger: Ledger,
    clock: Any,
    source: str,
    *,
    deal: str = "1",
    kind: str = "proposal",
    pdf: bytes = b"%PDF\x00\xff",
) -> StoredDocument:
    async with ledger.write() as tx:
        return await papers.freeze(
            tx,
            deal_id=deal,
            kind=kind,
            source_sha256=_sha(source),
            sha256=hashlib.sha256(pdf).hexdigest(),
            title="Angebot für Müller",
            content=pdf,
            now=clock(),
        )


async def test_the_same_sources_are_the_same_version(ledger: Ledger, clock: Any) -> None:
    """Rendered again from the same sources: the stored document with its exact bytes, even if rendering differs."""
    first = await _freeze(ledger, clock, "a")
    clock.forward(60)
    again = await _freeze(ledger, clock, "a", pdf=b"%PDF another")
    assert again == first
    assert (first.version, bytes(again.content), again.title) == (1, b"%PDF\x00\xff", "Angebot für Müller")


async def test_other_sources_are_the_next_version(ledger: Ledger, clock: Any) -> None:
    """Versions count per deal and kind; the newest is the one that counts."""
    made = [await _freeze(ledger, clock, source) for source in "abc"]
    assert [paper.version for paper in made] == [1, 2, 3]
    assert (await _freeze(ledger, clock, "b")).version == 2
    assert (await _freeze(ledger, clock, "a", kind="contract")).version == 1
    assert (await _freeze(ledger, clock, "a", deal="2")).version == 1
    async with ledger.read() as tx:
        assert await papers.newest(tx, "1", "proposal") == made[2]
        assert await papers.newest(tx, "1", "signed") is None
        assert await papers.by_id(tx, made[0].id) == made[0]
        with pytest.raises(sa.exc.NoResultFound):
            await papers.by_id(tx, 4711)


async def test_only_filed_documents_prove_anything(ledger: Ledger, clock: Any) -> None:
    """A kind of document counts as on file once HubSpot holds it."""
    paper = await _freeze(ledger, clock, "a")
    await _freeze(ledger, clock, "a", deal="2", kind="contract")
    async with ledger.write() as tx:
        assert await papers.kinds_on_file(tx, ["1", "2"]) == {}
        await papers.note_file(tx, paper.id, "file 9")
        assert await papers.kinds_on_file(tx, ["1", "2", "3"]) == {"1": {"proposal"}}
        assert (await papers.by_id(tx, paper.id)).file_id == "file 9"


async def test_freezing_at_the_same_time(ledger: Ledger, other_ledger: Ledger, clock: Any) -> None:
    """Two processes freeze the same and other sources at once: one document per source, versions without gaps."""
    jobs = [
        _freeze(handle, clock, source, pdf=source.encode() * n)
        for n, handle in enumerate((ledger, other_ledger), 1)
        for source in "abcab"
    ]
    made = await asyncio.gather(*jobs)
    by_source = {paper.source_sha256: paper for paper in made}
    assert all(paper == by_source[paper.source_sha256] for paper in made)
    assert sorted(paper.version for paper in by_source.values()) == [1, 2, 3]
