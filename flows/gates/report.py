"""Reports deals without proof, and explains one deal, as rows to store and as Markdown. Ids and links only."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from flows.gates.explain import Explained
from flows.rules.criteria.counting import number_of
from flows.rules.criteria.judge import Verdict, unmet
from flows.rules.handbook.text import SUPPLIERS
from flows.rules.process.sales_process import SalesProcess

KEY = "deals-without-proof"
"""The list's name in the ledger, and the key of its artifact: stored data, never rename it."""
MOST_ROWS = 500
"""At most this many deals are listed: nobody reads a longer list to its end."""


@dataclass(frozen=True)
class Fact:
    """One missing fact, and who can provide it."""

    says: str
    supplied_by: tuple[str, ...]


@dataclass(frozen=True)
class Lacking:
    """A deal in a stage without proof. `facts`: the smallest set; empty when no facts would do, as `why`
    then says.
    """

    deal_id: str
    url: str
    stage: str
    criteria: tuple[str, ...]
    facts: tuple[Fact, ...]
    why: str = ""


@dataclass(frozen=True)
class Report:
    """All deals without proof, the first `MOST_ROWS` of them in detail."""

    total: int
    rows: tuple[Lacking, ...]

    def by_stage(self, process: SalesProcess) -> list[tuple[str, list[Lacking]]]:
        """Stage label and deals, in the order of the process; stages that it no longer has come last."""
        labels = {stage.key: stage.label for stage in process.stages}
        keys = [*labels, *(row.stage for row in self.rows if row.stage not in labels)]
        groups = {key: [row for row in self.rows if row.stage == key] for key in dict.fromkeys(keys)}
        return [(labels.get(key, key), rows) for key, rows in groups.items() if rows]

    def as_json(self) -> dict[str, Any]:
        """The report as JSON; `report_of` reads it."""
        return asdict(self)


def report(found: Sequence[Explained]) -> Report:
    """Summarize the explanations of deals without proof."""
    return Report(len(found), tuple(_lacking(one) for one in found[:MOST_ROWS]))


def report_of(kept: Mapping[str, Any]) -> Report:
    """The report that `as_json` wrote."""
    rows = [
        Lacking(
            **{
                **row,
                "criteria": tuple(row["criteria"]),
                "facts": tuple(Fact(f["says"], tuple(f["supplied_by"])) for f in row["facts"]),
            }
        )
        for row in kept["rows"]
    ]
    return Report(kept["total"], tuple(rows))


def sentence_of(process: SalesProcess) -> dict[str, str]:
    """Criterion key -> its sentence."""
    return {criterion.key: criterion.says for stage in process.stages for criterion in stage.exit_criteria}


def supplier(name: str) -> str:
    """Who provides something, in words."""
    return SUPPLIERS.get(name, name)


def list_markdown(done: Report, process: SalesProcess, read_at: datetime) -> str:
    """Stage by stage: deal, what is not proven, the smallest set of facts and who can provide it."""
    read = f"Read {read_at:%Y-%m-%d %H:%M} UTC."
    if not done.total:
        return f"Every deal has the proof for its stage. {read}"
    total = number_of(done.total, "deal")
    lines = [f"**{total}** without proof: they lack facts that their stage requires. {read}"]
    sentences = sentence_of(process)
    for label, rows in done.by_stage(process):
        lines += ["", f"## {_md(label)}: {len(rows)}", ""]
        lines += ["| Deal | Not proven | Smallest set of facts | Who can provide it |", "|---|---|---|---|"]
        for row in rows:
            says = "<br>".join(_md(sentences.get(key, key)) for key in row.criteria)
            facts = "<br>".join(_md(fact.says) for fact in row.facts) or _md(row.why)
            people = "<br>".join(_md(_people(fact)) for fact in row.facts)
            lines.append(f"| [{row.deal_id}]({row.url}) | {says} | {facts} | {people} |")
    if done.total > len(done.rows):
        more = done.total - len(done.rows)
        lines += ["", f"And {more} more: `dealflow explain --unproven` lists them all."]
    return "\n".join(lines)


def deal_markdown(found: Explained, process: SalesProcess) -> str:
    """One deal: its stage, what opens the gate, and each criterion with its proof."""
    return "\n".join(_deal(found, process))


def _deal(found: Explained, process: SalesProcess) -> Iterator[str]:
    why = found.explanation
    target = _md(process.stage(why.target).label)
    stands = (
        f"is in **{_md(process.stage(why.stage).label)}**" if why.stage else "is in no stage of the process"
    )
    read_at = f"{found.read_at:%Y-%m-%d %H:%M} UTC"
    yield f"Deal [{why.deal_id}]({found.url}) {stands}. The gate to **{target}** is {_state(found)}. Read {read_at}."
    if found.allowed:
        yield from ["", found.allowed]
    if why.smallest.needs:
        yield from ["", f"## It opens with {number_of(why.smallest.count, 'fact')}", ""]
        if not why.smallest.exact:
            yield from ["There were too many ways to compare them all; a smaller set may exist.", ""]
        yield from ["| Fact | Who can provide it | For |", "|---|---|---|"]
        for need in why.smallest.needs:
            people = _md(", ".join(supplier(name) for name in need.supplied_by))
            yield f"| {_md(need.says)} | {people} | {_md(', '.join(need.criteria))} |"
    elif why.smallest.needs is None:
        yield from ["", f"It opens with {_md(why.smallest.text)}."]
    if why.verdicts:
        yield from [
            "",
            "## Criteria",
            "",
            "| | Criterion | Proven by, or missing | Last seen (UTC) | Who provides it |",
        ]
        yield "|---|---|---|---|---|"
        yield from (_verdict(found, verdict) for verdict in why.verdicts)


def _state(found: Explained) -> str:
    return "**open**" if found.explanation.open else "**shut**"


def _verdict(found: Explained, verdict: Verdict) -> str:
    seen = f"{verdict.proven_at:%Y-%m-%d %H:%M}" if verdict.proven_at else ""
    says = f"{_md(verdict.says)}<br>`{verdict.criterion}`"
    met = "met" if verdict.met else "**not met**"
    return f"| {met} | {says} | {_proof(found, verdict)} | {seen} | {supplier(verdict.supplied_by)} |"


def _proof(found: Explained, verdict: Verdict) -> str:
    if not verdict.met:
        return _md(verdict.missing)
    record = verdict.records[0] if verdict.records else None
    url = found.links.get((record.kind, record.id)) if record else None
    return f"[{_md(verdict.proof)}]({url})" if url else _md(verdict.proof)


def _lacking(one: Explained) -> Lacking:
    why = one.explanation
    return Lacking(
        deal_id=why.deal_id,
        url=one.url,
        stage=why.target,
        criteria=tuple(verdict.criterion for verdict in unmet(why.verdicts)),
        facts=tuple(Fact(need.says, need.supplied_by) for need in why.smallest.needs or ()),
        why="" if why.smallest.needs else why.smallest.text,
    )


def _people(fact: Fact) -> str:
    return ", ".join(supplier(name) for name in fact.supplied_by)


def _md(text: str) -> str:
    """Text escaped for a Markdown table."""
    return re.sub(r"([\\`*_{}\[\]<>|])", r"\\\1", " ".join(text.split()))
