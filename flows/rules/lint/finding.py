"""What lint says about a process file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from flows.rules.process.error import Place
from flows.rules.process.sales_process import Criterion, SalesProcess, Stage

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing to fix. An error: the process cannot work as written; a warning: it will not serve its users.

    `place` is in keys and list positions, `example` a better wording or value, `story` what happens to a deal, step by
    step, where that shows what is wrong.
    """

    rule: str
    severity: Severity
    place: Place
    reason: str
    example: str
    story: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spot:
    """A criterion with where it stands."""

    stage: Stage
    stage_at: int
    criterion: Criterion
    place: Place


def spots(process: SalesProcess) -> Iterator[Spot]:
    """All criteria in gate order."""
    for i, stage in enumerate(process.stages):
        for n, criterion in enumerate(stage.exit_criteria):
            yield Spot(stage, i, criterion, ("stages", i, "exit_criteria", n))
