"""Explains why a deal may or may not be in a stage, from fresh facts in HubSpot and the ledger.

Reads: deals with associated records, filed documents, the newest contract. Writes nothing.
Needs: scopes as in flows/deals/{read,activities}.py. Results hold ids, never names or values of the CRM.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flows.deals.facts import facts_of
from flows.deals.read import DealFile, read_deals
from flows.errors import FlowError
from flows.ledger import stage_checks
from flows.ledger.stage_checks import Override
from flows.retries import reading
from flows.rules.criteria.judge import Proof, Verdict
from flows.rules.criteria.need import Need
from flows.rules.criteria.smallest import Explanation, Smallest, explain
from flows.rules.process.buyer import Material
from flows.services import Services

_RECORD_PAGES = {"contact": "0-1", "company": "0-2"}


class ExplainError(FlowError):
    """The deal or stage to explain does not exist. The text says which."""


@dataclass(frozen=True)
class Explained:
    """An explanation with links to its records. `links`: by record kind and id.

    `override`: lets the deal stand in the target stage without proof, granted by a named person. `materials`: what the
    buyer is given in the deal's present stage.
    """

    explanation: Explanation
    read_at: datetime
    url: str
    links: Mapping[tuple[str, str], str]
    override: Override | None = None
    materials: tuple[Material, ...] = ()

    @property
    def allowed(self) -> str:
        """The override as text, without the person's name; empty without one."""
        given = self.override
        return f"Override {given.id} allows it until {given.expires_at:%Y-%m-%d}." if given else ""

    def as_json(self) -> dict[str, Any]:
        """For machines: ids, keys of the process file, ISO times (UTC)."""
        found = self.explanation
        return {
            "deal": found.deal_id,
            "url": self.url,
            "stage": found.stage,
            "target": found.target,
            "open": found.open,
            "read_at": self.read_at.isoformat(),
            "criteria": [self._verdict(v) for v in found.verdicts],
            "smallest": _smallest(found.smallest),
            "override": {"id": self.override.id, "until": self.override.expires_at.isoformat()}
            if self.override
            else None,
            "materials": [one.model_dump() for one in self.materials],
        }

    def _verdict(self, verdict: Verdict) -> dict[str, Any]:
        alone = self.explanation.by_criterion.get(verdict.criterion)
        return {
            "criterion": verdict.criterion,
            "stage": verdict.stage,
            "says": verdict.says,
            "met": verdict.met,
            "supplied_by": verdict.supplied_by,
            "proof": verdict.proof or None,
            "records": [
                {"kind": r.kind, "id": r.id, "url": self.links.get((r.kind, r.id))} for r in verdict.records
            ],
            "proven_at": verdict.proven_at.isoformat() if verdict.proven_at else None,
            "missing": verdict.missing or None,
            "smallest": _smallest(alone) if alone is not None else None,
        }


async def explain_deal(s: Services, deal_id: str, stage: str | None = None) -> Explained:
    """Explain the gate of `stage` for a deal; by default of the next stage. Raises ExplainError, ConnectorError."""
    found, not_found = await explain_each(s, [deal_id], stage)
    if not_found:
        raise ExplainError(not_found[0])
    return found[0]


async def explain_each(
    s: Services, deal_ids: Sequence[str], stage: str | None = None
) -> tuple[list[Explained], list[str]]:
    """Explain several deals, read in bulk; and the reasons why some could not be explained.

    Raises ExplainError for an unknown stage, ConnectorError.
    """
    if stage is not None and stage not in s.process.keys:
        raise ExplainError(f"there is no stage {stage!r}: the process has {', '.join(s.process.keys)}")
    wanted = list(dict.fromkeys(deal_ids))
    files = await read_deals(s, [deal_id for deal_id in wanted if deal_id.isascii() and deal_id.isdigit()])
    asked: list[tuple[DealFile, str]] = []
    problems: list[str] = []
    for deal_id in wanted:
        try:
            if deal_id not in files:
                raise ExplainError(f"HubSpot has no deal {deal_id}")
            asked.append((files[deal_id], stage or _next_stage(s, files[deal_id])))
        except ExplainError as problem:
            problems.append(str(problem))
    return await _explain(s, asked), problems


async def unproven(s: Services) -> list[Explained]:
    """Deals in a stage whose gate they do not meet, read in bulk; lost deals need no proof.

    Raises ConnectorError, SetupError.
    """
    portal = await s.portal()
    gated = {portal.stage_ids[key] for key in s.process.keys if _is_gated(s, key)}
    found: list[Explained] = []
    after: str | None = None
    while True:
        page = await reading(
            lambda after=after: s.hubspot.list_page(  # type: ignore[misc]
                "deals", properties=["dealstage", "pipeline"], after=after
            )
        )
        ids = [
            r.id
            for r in page.records
            if r.properties.get("pipeline") == portal.pipeline_id and r.properties.get("dealstage") in gated
        ]
        # Moved meanwhile: judged in its present stage, or not at all.
        files = [f for f in (await read_deals(s, ids)).values() if f.stage and _is_gated(s, f.stage)]
        explained = await _explain(s, [(file, file.stage or "") for file in files])
        found += [one for one in explained if not one.explanation.open]
        after = page.after
        if after is None:
            return sorted(found, key=lambda one: int(one.explanation.deal_id))


def _is_gated(s: Services, stage: str) -> bool:
    return s.process.stage(stage).closed != "lost" and bool(s.process.gate_before(stage))


def _next_stage(s: Services, file: DealFile) -> str:
    """The stage that a deal would enter next; for a closed deal its present stage."""
    if file.stage is None:
        raise ExplainError(f"deal {file.id} is not in the pipeline {s.process.pipeline!r}: name the stage")
    stages = s.process.stages
    at = s.process.keys.index(file.stage)
    if stages[at].closed is not None:
        return file.stage
    return next((x.key for x in stages[at + 1 :] if x.closed != "lost"), file.stage)


async def _explain(s: Services, asked: Sequence[tuple[DealFile, str]]) -> list[Explained]:
    async with s.ledger.read() as tx:
        facts = await facts_of(tx, [file for file, _ in asked])
        allowed = await stage_checks.all_in_force(tx, now=s.clock())
    explained: list[Explained] = []
    for file, target in asked:
        found = explain(s.process, target, facts[file.id])
        links = {
            (r.kind, r.id): _url(s, file.id, r)
            for v in found.verdicts
            for r in v.records
            if r.kind != "signature" or r.id
        }
        override = allowed.get((file.id, target))
        given = s.process.stage(file.stage).materials if file.stage else ()
        explained.append(Explained(found, file.read_at, s.deal_url(file.id), links, override, given))
    return explained


def _url(s: Services, deal_id: str, record: Proof) -> str:
    """The URL of a record. Line items, activities and files are shown on the deal's own page."""
    if record.kind == "signature":
        return s.request_url(record.id)
    page = _RECORD_PAGES.get(record.kind)
    return s.record_url(page, record.id) if page else s.deal_url(deal_id)


def _smallest(found: Smallest) -> dict[str, Any]:
    return {
        "possible": found.needs is not None,
        "exact": found.exact,
        "count": found.count,
        "facts": [_need(need) for need in found.needs or ()],
    }


def _need(need: Need) -> dict[str, Any]:
    return {
        "kind": need.kind,
        "name": need.name,
        "count": need.count,
        "says": need.says,
        "options": list(need.options),
        "new": need.new,
        "after_entry_of": list(need.after_entry_of),
        "criteria": list(need.criteria),
        "supplied_by": list(need.supplied_by),
    }
