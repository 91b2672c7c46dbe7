"""The crash matrix: a story is played once to learn its points, then once for each point, killed there."""

import asyncio
import shutil
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flows.ledger.database import open_ledger
from tests.proof.director import Scene, Theatre
from tests.proof.story import Story, rest
from tests.proof.verdict import Verdict, judge


class Ledgers(Protocol):
    """Where fresh ledgers come from."""

    async def fresh(self, home: Path) -> str:
        """The URL of an empty, migrated ledger."""


@dataclass(frozen=True)
class Case:
    """One playing of a story. `die_at` 0: nobody is killed."""

    ending: str = "sign"
    die_at: int = 0
    mutant: str = ""
    deaf: bool = False


@dataclass
class Played:
    """What came of a case. `at`: the point at which the victim died; `own`: the points (from 1) that only a story with
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


async def play(theatre: Theatre, ledgers: Ledgers, case: Case) -> Played:
    """Play the story once, judge it by the sandbox's records, throw the ledger away when all is well."""
    number = await theatre.next_story()
    home = theatre.folder / f"{number:04d}"
    url = await ledgers.fresh(home)
    story = Story(number, case.ending)
    slow = case.ending == "slow"
    scene = Scene(theatre, home, url, die_at=case.die_at, mutant=case.mutant, deaf=case.deaf, follow_ups=slow)
    verdict, marks = Verdict(), [0]
    story.own_part = lambda _begins: marks.append(len(scene.points))
    async with scene:
        try:
            await story.play(scene)
            await scene.sweep()
            await rest(scene, minutes=20)
        except AssertionError as problem:
            verdict.lost.append(str(problem))
        except Exception:
            verdict.lost.append(traceback.format_exc(limit=4))
        ledger = await open_ledger(_async(url), migrate=False)
        try:
            verdict.add(
                await judge(story, theatre.world, theatre.stage_ids, theatre.process, scene.taken, ledger)
            )
        finally:
            await ledger.close()
    points = scene.points
    at = points[case.die_at - 1] if 0 < case.die_at <= len(points) else ""
    if verdict.ok:
        shutil.rmtree(home, ignore_errors=True)
    ends = [*marks[1:], len(points)]
    own = [
        at for begins, end in zip(ends[::2], ends[1::2], strict=False) for at in range(begins + 1, end + 1)
    ]
    return Played(case, verdict, points, scene.deaths, at, tuple(own))


async def learn(theatre: Theatre, ledgers: Ledgers, story: Case) -> Played:
    """A calm playing, for its points. Raises AssertionError when the story does not end well by itself."""
    calm = await play(theatre, ledgers, story)
    if not calm.ok:
        raise AssertionError(f"{story} goes wrong although nobody is killed: {calm.verdict}")
    return calm


async def run_cases(
    lanes: Sequence[tuple[Theatre, Ledgers]],
    cases: Sequence[Case],
    tell: Callable[[Played], None] = lambda _played: None,
) -> list[Played]:
    """All cases, a lane each side by side."""
    waiting = list(reversed(cases))
    done: list[Played] = []

    async def work(theatre: Theatre, ledgers: Ledgers) -> None:
        while waiting:
            played = await play(theatre, ledgers, waiting.pop())
            done.append(played)
            tell(played)

    jobs: list[Awaitable[None]] = [work(theatre, ledgers) for theatre, ledgers in lanes]
    await asyncio.gather(*jobs)
    return done


def _async(url: str) -> str:
    return url.replace("sqlite:///", "sqlite+aiosqlite:///").replace("postgresql://", "postgresql+asyncpg://")
