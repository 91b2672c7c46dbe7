"""Prints a backtest for people."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.rules.backtest.backtest import Result
from flows.rules.backtest.report import Backtest, DealRow, Ending, Side

_SHUT: tuple[Result, ...] = ("stopped", "flagged", "counted")


def show(found: Backtest, console: Console, limit: int) -> None:
    """Tables first; the verdict stands last, where one looks."""
    _stages(found.new, found.old, console)
    _criteria(found.new, found.old, console)
    _deals(found.deals, console, limit)
    for note in (*found.notes, *_unsure(found.new)):
        console.print(Text(f"note: {note}", "yellow"), soft_wrap=True)
    console.print(Text(f"{found.new.name} {found.verdict}", "bold"), soft_wrap=True)


def _stages(new: Side, old: Side, console: Console) -> None:
    before = {row.stage: row for row in old.stages}
    heads = (
        "moves into",
        "moves",
        *_SHUT,
        "skipping",
        "shut: won",
        "lost",
        "open",
        "win rate shut",
        "passed",
    )
    table = _table("Stages", (*heads, f"in {old.name}"), numbers=(*range(1, 5), *range(6, 11)))
    for row in new.stages:
        table.add_row(
            row.label,
            str(row.moves),
            *(str(row.results[result]) for result in _SHUT),
            f"{row.skipping}: {', '.join(row.skipped)}" if row.skipping else "",
            *(str(row.shut[ending]) for ending in ("won", "lost", "open")),
            _rate(row.shut),
            _rate(row.passed),
            _in_short(before[row.stage].results) if row.stage in before else "not asked",
        )
    console.print(table)


def _criteria(new: Side, old: Side, console: Console) -> None:
    rows = [row for row in new.criteria if sum(row.part.values()) or row.by_today or row.unjudged]
    if not rows:
        return
    before = {row.criterion: row for row in old.criteria}
    heads = ("missing", "stage", "shut", "alone", "won deals", "of these alone", "judged by today")
    table = _table("Criteria", (*heads, "not judged", f"in {old.name}"), numbers=range(2, 7))
    for row in sorted(rows, key=lambda row: (-row.won_alone, -row.won, -sum(row.part.values()))):
        table.add_row(
            row.criterion,
            row.stage,
            str(sum(row.part.values())),
            str(sum(row.alone.values())),
            str(row.won),
            str(row.won_alone),
            str(row.by_today),
            "; ".join(f"{n}: {why}" for why, n in row.unjudged.items()),
            str(sum(before[row.criterion].part.values())) if row.criterion in before else "not asked",
        )
    console.print(table)


def _deals(rows: Sequence[DealRow], console: Console, limit: int) -> None:
    if not rows:
        return
    title = f"Deals ({limit} of {len(rows)}, see --limit)" if len(rows) > limit else "Deals"
    table = _table(title, ("deal", "is", "now", "before", "moving into", "on (UTC)", "missing", "skipping"))
    for row in rows[:limit]:
        table.add_row(
            row.deal_id,
            row.ending,
            row.result,
            row.before or "not judged",
            row.stage,
            row.at[:16].replace("T", " "),
            ", ".join(row.missing),
            ", ".join(row.skipped),
        )
    console.print(table)


def _unsure(new: Side) -> list[str]:
    """How far the verdict rests on what is not known."""
    notes: list[str] = []
    today = sum(row.by_today for row in new.criteria)
    if today:
        notes.append(
            f"{today} times a criterion was judged by what is on the deal today, since nobody knows how it was then"
        )
    if any(row.unjudged for row in new.criteria):
        notes.append(
            "what was not judged stopped nothing; --hubspot reads histories and activities from HubSpot"
        )
    return notes


def _rate(ends: Mapping[Ending, int]) -> str:
    """Won of those that are closed."""
    closed = ends["won"] + ends["lost"]
    return f"{ends['won'] / closed:.0%}" if closed else ""


def _in_short(results: Mapping[Result, int]) -> str:
    return ", ".join(f"{results[result]} {result}" for result in _SHUT if results[result]) or "all passed"


def _table(title: str, heads: Sequence[str], numbers: Sequence[int] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for at, head in enumerate(heads):
        table.add_column(head, overflow="fold", justify="right" if at in numbers else "left")
    return table
