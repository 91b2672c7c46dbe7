"""Chapters of the handbook about the buyer: who they are, what they are given, plans made with them, notes of calls."""

import re
from collections.abc import Iterator

from flows.rules.process.call_notes import blank
from flows.rules.process.plans import BuyerPlan
from flows.rules.process.sales_process import SalesProcess, Stage

PLAN_TYPES = {"text": "text", "long_text": "several lines", "number": "a number", "date": "a day"}


def persona(process: SalesProcess) -> Iterator[str]:
    """Who buys, and how."""
    if process.buyer is None:
        return
    yield f"**Who buys:** {md(process.buyer.who)}.  "
    yield f"**Their problem:** {md(process.buyer.problem)}.  "
    yield f"**How they decide:** {md(process.buyer.decides)}."
    yield ""


def materials(stage: Stage) -> Iterator[str]:
    """What the buyer is given in a stage."""
    if not stage.materials:
        return
    yield from ["", "**To give the buyer:**", ""]
    for one in stage.materials:
        name = f"[{md(one.name)}](<{one.link}>)" if one.link else md(one.name)
        yield f"- {name}" + (f" (e-mail template {md(one.email)})" if one.email else "")


def plans(process: SalesProcess) -> Iterator[str]:
    """Each plan with its fields."""
    for plan in process.plans.values():
        yield from ["", f"## {md(plan.label)}", ""]
        if plan.says:
            yield f"{md(plan.says)}."
        yield f"{_for_whom(plan)} Its fields are properties of the deal:"
        yield ""
        for field in plan.fields:
            asks = f": {md(field.description)}" if field.description else ""
            when = ", today or later" if field.not_past else ""
            yield f"- **{md(field.label)}** ({PLAN_TYPES[field.type]}{when}){asks}"


def _for_whom(plan: BuyerPlan) -> str:
    if not plan.used_by:
        return "Everybody makes it."
    return f"It is made by {md(' and '.join(plan.used_by))}; of the deals of others it is not asked."


def call_notes(process: SalesProcess) -> Iterator[str]:
    """The empty forms, to paste."""
    if not process.call_notes:
        return
    yield from ["", "## Call notes", ""]
    yield "Paste the form into a note or call on the deal before you call, and fill it in afterwards."
    yield "It counts once something stands under every heading."
    for name, notes in process.call_notes.items():
        yield from ["", *(f"    {line}".rstrip() for line in blank(name, notes).splitlines())]


def md(text: str) -> str:
    """Text that means itself in Markdown, without a full stop at its end."""
    plain = " ".join(text.split()).removesuffix(".")
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", plain)
