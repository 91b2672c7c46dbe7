"""How fast a process is tried on the past: 10,000 mirrored deals in a SQLite ledger, two processes. One JSON line.

`python tests/bench/backtest.py [deals]`; exit code 1 when it takes longer than the twenty seconds we allow ourselves.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

import config.settings
from config.files import read_yaml
from flows.ledger import mirror, tables
from flows.ledger.database import Ledger, open_ledger
from flows.ledger.past_deals import past_deals
from flows.rules.process.sales_process import SalesProcess, parse_process
from flows.trials.backtest import Named, Plan, backtest

_NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
_LIMIT_S = 20.0


def _rows(process: SalesProcess, count: int) -> dict[sa.Table, list[dict[str, Any]]]:
    """Deals that went part of the way, a stage a week; a third of them have evidence that came late or never."""
    dice = random.Random(7)
    rows: dict[sa.Table, list[dict[str, Any]]] = {
        table: []
        for table in (
            tables.records,
            tables.stage_history,
            tables.property_history,
            tables.associations,
            tables.association_history,
            tables.papers,
        )
    }
    for number in range(count):
        deal, begun = str(number), _NOW - timedelta(days=dice.uniform(90, 400))
        went = process.keys[: dice.randint(1, len(process.keys) - 1)]
        for at, key in enumerate(went):
            entry = {"deal_id": deal, "stage_id": f"id_{key}", "entered_at": begun + timedelta(weeks=at)}
            rows[tables.stage_history].append({**entry, "source_type": "CRM_UI", "source_id": None})
        late = dice.choice(("amount", "signer", "item", "paper")) if number % 3 == 0 else ""
        known = {"dealstage": f"id_{went[-1]}", "amount": "5000", "dealflow_need": "Every contract in a day"}
        record = {
            "object_type": "deals",
            "object_id": deal,
            "properties": known,
            "digest": "",
            "archived": False,
        }
        histories = ["amount", "dealflow_need"]
        rows[tables.records].append({**record, "updated_at": _NOW, "synced_at": _NOW, "histories": histories})
        for name in histories:
            at = begun + timedelta(weeks=5 if name == late else 0)
            for value in ("1", known[name]):
                at += timedelta(minutes=1)
                version = {"deal_id": deal, "property": name, "at": at, "value": value}
                rows[tables.property_history].append(version)
        for kind, what, label in (
            ("contacts", "c", ""),
            ("contacts", "c", "signer"),
            ("companies", "f", ""),
            ("line_items", "i", ""),
        ):
            link = {"from_type": "deals", "from_id": deal, "to_type": kind, "to_id": f"{what}{deal}"}
            seen = begun + timedelta(weeks=6 if late in (label or "-", "item" if what == "i" else "-") else 0)
            times = {"first_seen_at": seen, "absent_at": seen - timedelta(days=1), "gone_at": None}
            rows[tables.association_history].append({**link, "label": label, **times})
            if (what, label) != ("c", ""):
                rows[tables.associations].append({**link, "labels": [label] if label else []})
        if late != "paper":
            paper = {"deal_id": deal, "kind": "proposal", "version": 1, "title": "t", "content": b"x"}
            made = {"source_sha256": "0", "sha256": "0", "created_at": begun, "file_id": "1"}
            rows[tables.papers].append({**paper, **made})
    return rows


async def _fill(ledger: Ledger, process: SalesProcess, count: int) -> None:
    async with ledger.write() as tx:
        for table, rows in _rows(process, count).items():
            await tx.execute(sa.insert(table), rows)
        stages = {key: f"id_{key}" for key in process.keys}
        await mirror.keep_portal_facts(
            tx, {"stages": stages, "roles": ["signer", "decision_maker"]}, now=_NOW
        )


async def measure(count: int) -> dict[str, Any]:
    """Fill a ledger, read it, judge it."""
    shipped = read_yaml(Path(config.settings.__file__).with_name("sales_process.yaml"))
    process = parse_process(shipped)
    stricter = parse_process(
        {**shipped, "stages": [{**stage, "mode": "revert"} for stage in shipped["stages"]]}
    )
    with tempfile.TemporaryDirectory() as folder:
        ledger = await open_ledger(f"sqlite+aiosqlite:///{folder}/ledger.db", throw_away=True)
        try:
            await _fill(ledger, process, count)
            began = time.process_time()
            async with ledger.read() as tx:
                await past_deals(tx)
            read_s = time.process_time() - began
            began = time.process_time()
            found = await backtest(Plan(Named("new", stricter), Named("old", process), process), ledger)
            whole_s = time.process_time() - began
        finally:
            await ledger.close()
    return {
        "bench": "backtest",
        "deals": count,
        "moves": found.new.moves,
        "seconds": round(whole_s, 2),
        "of_these_reading": round(read_s, 2),
        "moves_per_second": round(2 * found.new.moves / (whole_s - read_s)),
        "stopped": len(found.new.deals_with("stopped")),
    }


def main() -> int:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    found = asyncio.run(measure(count))
    print(json.dumps(found))
    return int(found["seconds"] > _LIMIT_S * max(1.0, count / 10_000))


if __name__ == "__main__":
    raise SystemExit(main())
