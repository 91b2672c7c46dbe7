"""Frozen documents: the same sources are the same version, the first bytes win."""

import asyncio
import hashlib
from typing import Any

import pytest
import sqlalchemy as sa

from flows.ledger import documents
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
        for document, file_id in ((new, "f2"), (old, "f1"), (contract, "f3"), (other, "f4")):
            await documents.note_file(tx, document.id, file_id)
        found = await documents.filed(tx, ["1", "3"])
    assert found == {
        "1": {
            "proposal": documents.Filed("f2", new.created_at),
            "contract": documents.Filed("f3", contract.created_at),
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
        return await documents.freeze(
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
    assert [document.version for document in made] == [1, 2, 3]
    assert (await _freeze(ledger, clock, "b")).version == 2
    assert (await _freeze(ledger, clock, "a", kind="contract")).version == 1
    assert (await _freeze(ledger, clock, "a", deal="2")).version == 1
    async with ledger.read() as tx:
        assert await documents.newest(tx, "1", "proposal") == made[2]
        assert await documents.newest(tx, "1", "signed") is None
        assert await documents.by_id(tx, made[0].id) == made[0]
        with pytest.raises(sa.exc.NoResultFound):
            await documents.by_id(tx, 4711)


async def test_only_filed_documents_prove_anything(ledger: Ledger, clock: Any) -> None:
    """A kind of document counts as on file once HubSpot holds it."""
    document = await _freeze(ledger, clock, "a")
    await _freeze(ledger, clock, "a", deal="2", kind="contract")
    async with ledger.write() as tx:
        assert await documents.kinds_on_file(tx, ["1", "2"]) == {}
        await documents.note_file(tx, document.id, "file 9")
        assert await documents.kinds_on_file(tx, ["1", "2", "3"]) == {"1": {"proposal"}}
        assert (await documents.by_id(tx, document.id)).file_id == "file 9"


async def test_freezing_at_the_same_time(ledger: Ledger, other_ledger: Ledger, clock: Any) -> None:
    """Two processes freeze the same and other sources at once: one document per source, versions without gaps."""
    jobs = [
        _freeze(handle, clock, source, pdf=source.encode() * n)
        for n, handle in enumerate((ledger, other_ledger), 1)
        for source in "abcab"
    ]
    made = await asyncio.gather(*jobs)
    by_source = {document.source_sha256: document for document in made}
    assert all(document == by_source[document.source_sha256] for document in made)
    assert sorted(document.version for document in by_source.values()) == [1, 2, 3]
