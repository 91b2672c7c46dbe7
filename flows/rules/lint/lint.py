"""Lint of a sales process by the four standards: required, factual, inspectable, buyer-centric; and that it works."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from flows.rules.lint.contract import check_contract
from flows.rules.lint.evidence import check_evidence
from flows.rules.lint.finding import Finding as Finding
from flows.rules.lint.finding import spots
from flows.rules.lint.paths import check_paths
from flows.rules.lint.wording import check_wording
from flows.rules.process.error import Place
from flows.rules.process.sales_process import SalesProcess

# Fewer closed deals than this say nothing.
FEWEST_DEALS = 20
REQUIRED_SHARE = 0.9
SAME_SHARE = 0.98


@dataclass(frozen=True)
class History:
    """Closed deals: how many were won and lost, and for how many of each a criterion (by key) was met in the end."""

    won: int
    lost: int
    met_won: Mapping[str, int] = field(default_factory=dict)
    met_lost: Mapping[str, int] = field(default_factory=dict)


def lint(
    process: SalesProcess, history: History | None = None, emails: Collection[str] | None = None
) -> tuple[Finding, ...]:
    """All findings, by place in the file. With `history` also what closed deals say about each criterion; with the
    names of the e-mail templates that there are, also which are missing.
    """
    found = [
        *check_paths(process),
        *check_contract(process),
        *check_evidence(process),
        *check_wording(process),
        *(_history(process, history) if history else ()),
        *(_emails(process, emails) if emails is not None else ()),
    ]
    return tuple(sorted(found, key=lambda f: _in_file_order(f.place)))


def _emails(process: SalesProcess, emails: Collection[str]) -> list[Finding]:
    """Follow-ups and materials that name an e-mail template which nobody wrote."""
    known = ", ".join(sorted(emails)) or "none"
    asked: list[tuple[Place, str | None]] = []
    for i, stage in enumerate(process.stages):
        asked += [
            (("stages", i, "materials", n, "email"), one.email) for n, one in enumerate(stage.materials)
        ]
        asked += [(("stages", i, "follow_up", "email"), stage.follow_up.email)] if stage.follow_up else []
    return [
        Finding(
            "email-missing",
            "error",
            place,
            f"there is no e-mail template {name!r}",
            f"write templates/email/{name}.yaml, or name one of these: {known}",
        )
        for place, name in asked
        if name not in {None, *emails}
    ]


def _in_file_order(place: Place) -> list[tuple[bool, str]]:
    """Parts of the file as the models list them; numbers order list items, words keys, never one with the other."""
    top = str(list(SalesProcess.model_fields).index(str(place[0]))).zfill(4)
    return [(False, top), *((isinstance(step, str), str(step).zfill(4)) for step in place[1:])]


def _history(process: SalesProcess, history: History) -> list[Finding]:
    found: list[Finding] = []
    for spot in spots(process):
        key = spot.criterion.key
        # A key that the history does not know was not measured, which is not "never met".
        if history.won < FEWEST_DEALS or key not in history.met_won:
            continue
        won = history.met_won[key] / history.won
        if won < REQUIRED_SHARE:
            reason = f"present in {won:.0%} of {history.won} won deals: not Required"
            example = "take it out of the gate, or find out why deals are won without it"
            found.append(Finding("history-not-required", "warning", spot.place, reason, example))
        lost = history.met_lost.get(key, 0) / history.lost if history.lost >= FEWEST_DEALS else 0.0
        if min(won, lost) >= SAME_SHARE:
            reason = f"present in {won:.0%} of won and {lost:.0%} of lost deals: it does not tell them apart"
            found.append(
                Finding("history-never-decides", "warning", spot.place, reason, "ask for what won deals have")
            )
    return found
