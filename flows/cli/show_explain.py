"""Prints explanations for people."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.gates.explain import Explained
from flows.gates.report import supplier
from flows.rules.criteria.counting import number_of
from flows.rules.criteria.judge import Verdict, unmet
from flows.rules.process.sales_process import SalesProcess


def show(found: Explained, process: SalesProcess, console: Console) -> None:
    """One deal: each criterion with its proof, then the smallest set of facts that opens the gate."""
    why = found.explanation
    label = process.stage(why.target).label
    stands = f"stands in {process.stage(why.stage).label}" if why.stage else "stands outside the process"
    console.print(
        Text.assemble(
            "Deal ", Text(why.deal_id, style=f"link {found.url}"), f" {stands}. To stand in {label}:"
        )
    )
    table = Table(box=None, pad_edge=False)
    for name in ("", "criterion", "proven by, or missing", "last seen (UTC)", "who supplies it"):
        table.add_column(name, overflow="fold")
    for verdict in why.verdicts:
        table.add_row(
            Text("yes", "green") if verdict.met else Text("NO", "bold red"),
            Text(verdict.says),
            _proof(found, verdict),
            f"{verdict.proven_at:%Y-%m-%d %H:%M}" if verdict.proven_at else "",
            supplier(verdict.supplied_by),
        )
    if why.verdicts:
        console.print(table)
    else:
        console.print("nothing is asked")
    console.print(Text(found.url, "dim"), soft_wrap=True)
    if found.allowed:
        console.print(found.allowed)
    if found.materials:
        console.print("To give the buyer in this stage:")
    for one in found.materials:
        how = f" (e-mail template {one.email})" if one.email else ""
        console.print(Text(f"  - {one.name}{how}{f': {one.link}' if one.link else ''}"), soft_wrap=True)
    if why.smallest.needs is None:
        console.print(Text(f"It opens with: {why.smallest.text}"))
        return
    if why.smallest.needs:
        known = "smallest set" if why.smallest.exact else "smallest set found"
        console.print(Text(f"It opens with {number_of(why.smallest.count, 'fact')}, the {known}:"))
    for need in why.smallest.needs:
        people = ", ".join(supplier(name) for name in need.supplied_by)
        console.print(Text(f"  - {need.says} ({people}; for {', '.join(need.criteria)})"))


def show_unproven(found: Sequence[Explained], process: SalesProcess, console: Console) -> None:
    """Deals that stand where their proof does not reach, one a row."""
    if not found:
        console.print("every deal has the proof for the stage it stands in")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("deal", "stands in", "not proven", "smallest set of facts", "who can supply it"):
        table.add_column(name, overflow="fold")
    for one in found:
        why = one.explanation
        lacking = "; ".join(v.says for v in unmet(why.verdicts))
        people = dict.fromkeys(
            supplier(name) for need in why.smallest.needs or () for name in need.supplied_by
        )
        deal = Text(why.deal_id, style=f"link {one.url}")
        facts = Text(why.smallest.text)
        table.add_row(deal, process.stage(why.target).label, Text(lacking), facts, ", ".join(people))
    console.print(table)


def _proof(found: Explained, verdict: Verdict) -> Text:
    if not verdict.met:
        return Text(verdict.missing)
    record = verdict.records[0] if verdict.records else None
    url = found.links.get((record.kind, record.id)) if record else None
    return Text(verdict.proof, style=f"link {url}" if url else "")
