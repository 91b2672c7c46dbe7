"""The crash matrix: a story runs once to learn its points, then once for each point, where the worker is killed."""

import asyncio
import shutil
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flows.ledger.database import open_ledger
from tests.proof.process_harness import CrashEnvironment, ProcessHarness
from tests.proof.story import Story, rest
from tests.proof.verdict import Verdict, judge


class Ledgers(Protocol):
    """A source of fresh ledgers."""

    async def fresh(self, home: Path) -> str:
        """The URL of an empty, migrated ledger."""


@dataclass(frozen=True)
class Case:
    """One run of a story. `die_at` 0: the worker is not killed."""

    ending: str = "sign"
    die_at: int = 0
    mutant: str = ""
    no_callbacks: bool = False


@dataclass
class Played:
    """The result of a case. `at`: the point of death; `own`: the points (from 1) that only a story with
    this ending has.
    """

    case: Case
    verdict: Verdict
    points: list[str]
    deaths: int
    at: str = ""
    own: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing was doubled or lost, and nothing is stuck."""
        return self.verdict.ok


async def play(environment: CrashEnvironment, ledgers: Ledgers, case: Case) -> Played:
    """Run the story once, judge it by the sandbox's records, and delete the ledger if it passes."""
    number = await environment.next_story()
    home = environment.folder / f"{number:04d}"
    url = await ledgers.fresh(home)
    story = Story(number, case.ending)
    slow = case.ending == "slow"
    harness = ProcessHarness(
        environment,
        home,
        url,
        die_at=case.die_at,
        mutant=case.mutant,
        no_callbacks=case.no_callbacks,
        follow_ups=slow,
    )
    verdict, marks = Verdict(), [0]
    story.own_part = lambda _begins: marks.append(len(harness.points))
    async with harness:
        try:
            await story.play(harness)
            await harness.sweep()
            await rest(harness, minutes=20)
        except AssertionError as problem:
            verdict.lost.append(str(problem))
        except Exception:
            verdict.lost.append(traceback.format_exc(limit=4))
        ledger = await open_ledger(_async(url), migrate=False)
        try:
            verdict.add(
                await judge(
                    story,
                    environment.world,
                    environment.stage_ids,
                    environment.process,
                    harness.taken,
                    ledger,
                )
            )
        finally:
            await ledger.close()
    points = harness.points
    at = points[case.die_at - 1] if 0 < case.die_at <= len(points) else ""
    if verdict.ok:
        shutil.rmtree(home, ignore_errors=True)
    ends = [*marks[1:], len(points)]
    own = [
        at for begins, end in zip(ends[::2], ends[1::2], strict=False) for at in range(begins + 1, end + 1)
    ]
    return Played(case, verdict, points, harness.deaths, at, tuple(own))


async def learn(environment: CrashEnvironment, ledgers: Ledgers, story: Case) -> Played:
    """A run without a kill, for its points. Raises AssertionError when it fails."""
    calm = await play(environment, ledgers, story)
    if not calm.ok:
        raise AssertionError(f"{story} fails although the worker is not killed: {calm.verdict}")
    return calm


async def run_cases(
    lanes: Sequence[tuple[CrashEnvironment, Ledgers]],
    cases: Sequence[Case],
    report: Callable[[Played], None] = lambda _played: None,
) -> list[Played]:
    """Run all cases, in parallel lanes."""
    waiting = list(reversed(cases))
    done: list[Played] = []

    async def work(environment: CrashEnvironment, ledgers: Ledgers) -> None:
        while waiting:
            played = await play(environment, ledgers, waiting.pop())
            done.append(played)
            report(played)

    jobs: list[Awaitable[None]] = [work(environment, ledgers) for environment, ledgers in lanes]
    await asyncio.gather(*jobs)
    return done


def _async(url: str) -> str:
    return url.replace("sqlite:///", "sqlite+aiosqlite:///").replace("postgresql://", "postgresql+asyncpg://")
