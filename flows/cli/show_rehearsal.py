"""Prints the report of a rehearsal for people."""

from typing import Any

from rich.console import Console
from rich.table import Table

from flows.trials.rehearsal.report import Report


def show(found: Report, console: Console) -> None:
    """Print it."""
    plan = found.plan
    console.print(
        f"\n[bold]{plan['name']}[/bold]: {plan['deals']} buyers, {plan['from']} to {plan['to']}, seed {plan['seed']}"
    )
    _table(
        console,
        "Funnel",
        ("stage", "entered", "left", "there", "median days"),
        [
            (r.label, r.entered, r.left, r.still_there, "" if r.median_days is None else r.median_days)
            for r in found.funnel
        ],
    )
    worth = [(how, row["deals"], f"{row['amount']} {row['currency']}") for how, row in found.outcome.items()]
    _table(console, "Outcome", ("", "deals", "amount"), worth)
    worker = [
        (k, ", ".join(f"{n} {w}" for w, n in v.items()) if isinstance(v, dict) else v)
        for k, v in found.worker.items()
    ]
    _table(console, "What the worker did", ("", ""), [(k, v) for k, v in worker if v not in ("", [])])
    _table(
        console,
        "Held, and why",
        ("events", "kind", "reason"),
        [(h["events"], h["kind"], h["reason"]) for h in found.holds[:12]],
    )
    _table(console, "Vendor calls", ("call", "times"), list(found.calls.items())[:12])
    _table(
        console,
        "Where deals stand stuck",
        ("deals", "stage", "for want of", "median days", "for example"),
        [(r.deals, r.stage, r.says, r.median_days, ", ".join(r.examples)) for r in found.stuck[:12]],
    )
    for line in found.odd:
        console.print(f"[yellow]worth a look[/yellow]  {line}")
    console.print()
    for one in found.checks:
        mark = "[red]BROKEN[/red]" if one.broken else "[green]held[/green]  "
        console.print(f"{mark}  {one.promise} ({one.looked_at} looked at)")
        for broken in one.broken[:10]:
            console.print(f"        seed {plan['seed']}, deal {broken.deal_id}: {broken.what}")
    console.print(f"\nledger fingerprint {found.fingerprint}")
    console.print(f"[dim]{found.seconds:.1f} s[/dim]")


def _table(console: Console, title: str, heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        return
    table = Table(
        title=title,
        title_justify="left",
        box=None,
        pad_edge=False,
        title_style="bold",
        show_header=any(heads),
    )
    for at, head in enumerate(heads):
        numeric = isinstance(rows[0][at], (int, float))
        table.add_column(head, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print()
    console.print(table)
