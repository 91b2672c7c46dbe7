"""All mirrored deals with their past, in one reading."""

import hashlib
from datetime import timedelta
from typing import Any

from flows.ledger import contracts, documents, mirror
from flows.ledger.database import Ledger
from flows.ledger.history import ReadTimes, Version, keep_versions
from flows.ledger.mirror import MirrorRow, StageEntry
from flows.ledger.past_deals import past_deals
from flows.rules.backtest.past_deal import PastContract, PastDeal, Span


async def test_a_deal_with_everything(ledger: Ledger, clock: Any) -> None:
    """Each part of its past, oldest first; a bare deal has none; archived ones are left out."""
    now = clock()
    later = now + timedelta(days=1)
    properties = {"dealstage": "5", "amount": "7"}
    async with ledger.write() as tx:
        rows = [
            MirrorRow("deals", "1", properties, now, histories=["amount"]),
            MirrorRow("deals", "2", {"amount": None}, now),
            MirrorRow("deals", "3", {}, now, archived=True),
            MirrorRow("contacts", "1", {}, now),
        ]
        await mirror.keep(tx, rows, now=now)
        await mirror.keep_links(
            tx, "deals", "contacts", {"1": {"71": ["signer"]}}, reads=ReadTimes(now, {"1": now})
        )
        await mirror.keep_links(tx, "deals", "line_items", {"1": {"91": []}}, reads=ReadTimes(later))
        await mirror.keep_stage_entries(tx, [StageEntry("1", "5", later), StageEntry("1", "4", now)])
        await keep_versions(tx, [Version("1", "amount", v, at) for v, at in (("7", later), (None, now))])
        for version, file_id in enumerate((None, "f1", "f2")):
            clock.forward(60)
            sha = hashlib.sha256(bytes([version])).hexdigest()
            paper = await documents.freeze(
                tx,
                deal_id="1",
                kind="proposal",
                source_sha256=sha,
                sha256=sha,
                title="t",
                content=b"x",
                now=clock(),
            )
            if file_id:
                await documents.note_file(tx, paper.id, file_id)
        one = await contracts.begin(
            tx, deal_id="1", token="t1", paper_id=1, signers=[], test_mode=True, now=now
        )
        await contracts.end(tx, one.id, state="declined", now=later)
        await contracts.begin(tx, deal_id="1", token="t2", paper_id=1, signers=[], test_mode=True, now=later)
    async with ledger.read() as tx:
        full, bare = await past_deals(tx)
    assert full == PastDeal(
        "1",
        "5",
        entries=[("4", now), ("5", later)],
        properties=properties,
        versions={"amount": [(now, None), (later, "7")]},
        whole=frozenset({"amount"}),
        spans=[
            Span("contacts", "71", "", now, now),
            Span("contacts", "71", "signer", now, now),
            Span("line_items", "91", "", later),
        ],
        documents={"proposal": now + timedelta(seconds=120)},
        contracts=[PastContract(now, later, "declined"), PastContract(later, None, "sending")],
    )
    assert bare == PastDeal("2", "", properties={"amount": None})
