"""`make crash`: every crash point on both databases, every fault, many orders. Prints one JSON line last.

Exit code 1 when anything was doubled, lost or stuck, and when a part could not run. Progress goes to stderr.
"""

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from tests.postgres import PostgresServer, find_server
from tests.proof.crashes import Case, Ledgers, Played, learn, run_cases
from tests.proof.databases import PostgresLedgers, SqliteLedgers
from tests.proof.desk_harness import open_environment
from tests.proof.faults import Tried, run_faults
from tests.proof.orders import Played as Order
from tests.proof.orders import run_orders
from tests.proof.prefect_workers import run_workers
from tests.proof.process_harness import CrashEnvironment, open_crash_environment
from tests.proof.verdict import Verdict

PARTS = ("crashes", "workers", "faults", "orders")
LANES = 3  # parallel: each is three processes that wait for each other
STORIES = (
    Case("sign"),
    Case("decline"),
    Case("expire"),
    Case("cancel"),
    Case("slow"),
    Case("sign", no_callbacks=True),
)

_READS = re.compile(r" call \w+ (?:account|assoc|download|files|get|list|owners|pipelines|read|search)")


def main() -> int:
    """Run all parts and print the line."""
    wanted = argparse.ArgumentParser(prog="make crash", description=__doc__)
    wanted.add_argument("--orders", type=int, default=60, help="how many orders of deliveries are tried")
    wanted.add_argument("--every", type=int, default=1, help="only every n-th crash point, for a quick check")
    wanted.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="only these; the line then counts no others"
    )
    wanted.add_argument(
        "--story", choices=sorted({s.ending for s in STORIES}), help="only the crash points of this story"
    )
    wanted.add_argument("--keep", type=Path, help="where to keep the ledgers and logs of what broke")
    given = wanted.parse_args()
    folder = given.keep or Path(tempfile.mkdtemp(prefix="dealflow-crash-"))
    found, counts = asyncio.run(_all(folder, given))
    line = {
        **counts,
        "duplicates": len(found.duplicates),
        "lost": len(found.lost),
        "stuck": len(found.stuck),
    }
    for sort in ("duplicates", "lost", "stuck"):
        for text in getattr(found, sort):
            _say(f"{sort}: {text}")
    if not found.ok:
        _say(f"ledgers and logs of what broke: {folder}")
    sys.stdout.write(json.dumps(line) + "\n")
    return 0 if found.ok else 1


async def _all(folder: Path, given: argparse.Namespace) -> tuple[Verdict, dict[str, int]]:
    found, counts = Verdict(), Counter[str]()
    if "crashes" in given.parts:
        await _on_both_databases(folder, given, found, counts)
    # Real workers mostly wait, the other parts mostly compute.
    await asyncio.gather(
        _workers(folder, given, found, counts), _without_crashes(folder, given, found, counts)
    )
    return found, dict(counts)


async def _on_both_databases(
    folder: Path, given: argparse.Namespace, found: Verdict, counts: Counter[str]
) -> None:
    server = find_server()
    if server.why_not:
        raise SystemExit(f"make crash needs a PostgreSQL server: {server.why_not}")
    try:
        for turn, (name, ledgers) in enumerate(_databases(folder, server)):
            tried, verdict = await _crashes(
                folder / name, name, ledgers, turn=turn, every=given.every, only=given.story
            )
            counts.update(crash_points=tried, databases=1)
            found.add(verdict)
    finally:
        for name in list(server.made):
            server.drop(server.address_of(name))


async def _workers(folder: Path, given: argparse.Namespace, found: Verdict, counts: Counter[str]) -> None:
    if "workers" in given.parts:
        killed, verdict = await asyncio.to_thread(run_workers, folder / "workers", say=_say)
        counts.update(crash_points=killed)
        found.add(verdict)


async def _without_crashes(
    folder: Path, given: argparse.Namespace, found: Verdict, counts: Counter[str]
) -> None:
    if "faults" in given.parts:
        async with open_environment(_made(folder / "faults")) as environment:
            faults = await run_faults(environment, report=_report_fault)
        _say(f"{len(faults)} faults tried")
        counts.update(fault_cases=len(faults))
        for case in faults:
            found.add(case.verdict)
    if "orders" in given.parts:
        async with open_environment(_made(folder / "orders")) as environment:
            played = await run_orders(environment, examples=given.orders, report=_report_order)
        _say(f"{len(played)} orders tried")
        counts.update(orders=len(played))
        for order in played:
            found.add(order.verdict)


def _databases(folder: Path, server: PostgresServer) -> list[tuple[str, list[Ledgers]]]:
    """For each database a source of fresh ledgers per lane."""
    for lane in range(LANES):
        (folder / "sqlite" / str(lane)).mkdir(parents=True, exist_ok=True)
    return [
        ("sqlite", [SqliteLedgers(folder / "sqlite" / str(lane)) for lane in range(LANES)]),
        ("postgresql", [PostgresLedgers(server.database()) for _ in range(LANES)]),
    ]


async def _crashes(
    folder: Path, name: str, ledgers: list[Ledgers], *, turn: int, every: int, only: str | None = None
) -> tuple[int, Verdict]:
    """Every point of the signed story; for the others the points of their own parts, divided between the databases.
    The slow story repeats its checks: reads that are points of the signed story are left out of it.
    """
    began, found = time.monotonic(), Verdict()
    async with AsyncExitStack() as stack:
        lanes: list[tuple[CrashEnvironment, Ledgers]] = []
        for lane, source in enumerate(ledgers):
            home = folder / f"lane{lane}"
            home.mkdir(parents=True, exist_ok=True)
            lanes.append((await stack.enter_async_context(open_crash_environment(home)), source))
        cases: list[Case] = []
        known: set[str] = set()
        for story in STORIES:
            if only not in (None, story.ending) and story != STORIES[0]:
                continue
            calm = await learn(*lanes[0], story)
            here: Sequence[int] = range(1, len(calm.points) + 1)
            if story == STORIES[0]:
                known = set(calm.points)
            else:  # every second point on this database, the others on the other one
                own = [at for at in calm.own if story.ending != "slow" or _is_new(calm.points[at - 1], known)]
                here = own[turn::2]
            here = here[turn % every :: every] if only in (None, story.ending) else ()
            cases += [replace(story, die_at=at) for at in here]
            _say(f"{name}: {story}: {len(calm.points)} points, {len(here)} of them to die at")
        done: list[Played] = []

        def report(played: Played) -> None:
            done.append(played)
            if not played.ok:
                _say(f"{name}: {played.case} at {played.at}: BROKEN {played.verdict}")
            elif len(done) % 50 == 0:
                _say(f"{name}: {len(done)} of {len(cases)} cases passed, {time.monotonic() - began:.0f} s")

        await run_cases(lanes, cases, report)
    alive = [p for p in done if p.deaths == 0]
    if alive:  # points may shift by one or two between runs, because calls run in parallel; but most must die
        _say(f"{name}: {len(alive)} cases ended before their point: {Counter(p.case for p in alive)}")
    for played in done:
        found.add(played.verdict)
    return len(done) - len(alive), found


def _is_new(point: str, known: set[str]) -> bool:
    return point not in known or not _READS.search(point)


def _report_fault(tried: Tried) -> None:
    if not tried.verdict.ok:
        _say(f"{tried.case}: BROKEN {tried.verdict}")


def _report_order(played: Order) -> None:
    if not played.verdict.ok:
        _say(f"BROKEN {played}")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(main())
