"""How fast deals are judged: 10,000 of them against the shipped process, on one core. Prints one JSON line.

`python tests/bench/evaluate.py [deals]`; exit code 1 when judging takes longer than the two seconds we allow ourselves.
"""

import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import config.settings
from config.files import read_yaml
from flows.rules.criteria.judge import DealFacts, gate, unmet
from flows.rules.criteria.smallest import explain
from flows.rules.process.sales_process import SalesProcess, parse_process

_NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
_LIMIT_S = 2.0


def deals(process: SalesProcess, count: int) -> list[DealFacts]:
    """Typical deals: spread over the open stages, half of them with something missing."""
    dice = random.Random(7)
    open_stages = [stage.key for stage in process.stages if stage.closed is None]
    made: list[DealFacts] = []
    for number in range(count):
        lacks = (
            {dice.choice(("need", "amount", "contact", "label", "items", "paper"))} if number % 2 else set()
        )
        roles = frozenset() if "label" in lacks else frozenset({"signer", "decision_maker"})
        made.append(
            DealFacts(
                deal_id=str(number),
                stage=dice.choice(open_stages),
                properties={
                    "amount": None if "amount" in lacks else str(dice.randint(1, 90_000)),
                    "dealflow_need": "" if "need" in lacks else "Every contract filed within a day",
                },
                contacts={} if "contact" in lacks else {str(number + 1): roles, str(number + 2): frozenset()},
                companies=frozenset({str(number)}),
                line_items=frozenset() if "items" in lacks else frozenset({"1", "2", "3"}),
                documents=frozenset() if "paper" in lacks else frozenset({"proposal"}),
                signature=None if lacks else "completed",
                entered=dict.fromkeys(open_stages, _NOW - timedelta(days=4)),
                read_at=_NOW,
            )
        )
    return made


def main() -> int:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    process = parse_process(read_yaml(Path(config.settings.__file__).with_name("sales_process.yaml")))
    facts = deals(process, count)
    target = process.won.key
    began = time.process_time()
    shut = sum(bool(unmet(gate(process, target, one))) for one in facts)
    judged_s = time.process_time() - began
    began = time.process_time()
    wanted = sum(explain(process, target, one).smallest.count for one in facts)
    explained_s = time.process_time() - began
    print(
        json.dumps(
            {
                "bench": "evaluate",
                "deals": count,
                "criteria": len(process.gate_before(target)),
                "seconds": round(judged_s, 3),
                "deals_per_second": round(count / judged_s),
                "explain_seconds": round(explained_s, 3),
                "explain_ratio": round(explained_s / judged_s, 2),
                "shut": shut,
                "facts_wanted": wanted,
            }
        )
    )
    return int(judged_s > _LIMIT_S * max(1.0, count / 10_000))


if __name__ == "__main__":
    raise SystemExit(main())
