"""The debrief of a won deal, for the account manager. It contains names and values of the CRM: for HubSpot only."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from connectors.hubspot.records import Owner
from flows.deals.read import DealFile, price_deal
from flows.documents.text import LocaleText, UnknownLocale, show_pricing
from flows.ledger.contracts import Contract
from flows.ledger.stage_checks import Override
from flows.rules.criteria.judge import Verdict
from flows.rules.criteria.stage_moves import Move
from flows.rules.cross_sell import Suggestion
from flows.rules.pricing.pricing import PricingError
from flows.services import Services

TITLE = "Hand-over to account management"
_MOST_CHARS = 10_000  # a note of HubSpot holds 65,536; escaping makes up to six of one
_MOST_NEED = 3_000
_MOST_LINES = 40


@dataclass(frozen=True)
class Debrief:
    """Facts about a won deal beyond its record. `moves`: oldest first. `verdicts`: the gate to won as it is now;
    `proofs`: criterion -> record kinds and ids from the time when the deal passed. `documents`: title -> file id.
    """

    account_manager: Owner | None
    how: str
    moves: Sequence[Move]
    verdicts: Sequence[Verdict]
    proofs: Mapping[str, Sequence[str]]
    overrides: Sequence[Override]
    contracts: Sequence[Contract]
    documents: Mapping[str, str]
    suggestions: Sequence[Suggestion]
    next_url: str = ""

    def proof_of(self, verdict: Verdict) -> str:
        """The record that proved the criterion then, else the record that proves it now; empty without one."""
        found = self.proofs.get(verdict.criterion)
        if found is None:
            found = [f"{r.kind} {r.id}".strip() for r in verdict.records] if verdict.met else []
        return ", ".join(found).replace("line_item", "line item")


def debrief_text(s: Services, file: DealFile, known: Debrief) -> str:
    """The debrief as plain text, one line per fact; unknown facts are left out."""
    need = " ".join((file.deal.properties.get("dealflow_need") or "").split())
    parts: tuple[tuple[str, Iterable[str]], ...] = (
        (TITLE, [_manager(known)]),
        ("What they need", [_cut(need, _MOST_NEED)] if need else []),
        ("What they bought", _bought(s, file)),
        ("Who is who", _people(file)),
        ("How it was won", _way(s, known)),
        ("What proved it", _proofs(s, known)),
        ("Allowed without proof", _overrides(s, known)),
        ("Objections and failed contracts", _objections(known)),
        ("Attached documents", [f"{kind} (file {file_id})" for kind, file_id in known.documents.items()]),
        ("What else could help them", _suggestions(known)),
        ("The next deal with them", [known.next_url] if known.next_url else []),
    )
    lines: list[str] = []
    for heading, found in parts:
        some = list(found)
        left = len(some) - _MOST_LINES
        if some:
            lines += [heading, *(f"- {_cut(line, _MOST_NEED)}" for line in some[:_MOST_LINES])]
        if left > 0:
            lines.append(f"- and {left} more")
    return _cut("\n".join(lines), _MOST_CHARS)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _manager(known: Debrief) -> str:
    owner = known.account_manager
    if owner is None:
        return "Account manager: nobody yet, the deal has no active owner"
    name = f"{owner.first_name or ''} {owner.last_name or ''}".strip() or owner.email or f"owner {owner.id}"
    return f"Account manager: {name} ({known.how})"


def _bought(s: Services, file: DealFile) -> Iterator[str]:
    try:
        shown = show_pricing(price_deal(s, file), LocaleText.of(s.process.locale))
    except (PricingError, UnknownLocale):  # the deal is won anyway: list the items without figures
        yield from (item.properties.get("name") or f"line item {item.id}" for item in file.line_items)
        return
    for line in shown["lines"]:
        often = "" if line["billing"] == "one_time" else f" {line['billing'].replace('_', ' ')}"
        term = f", for {line['term']}" if line["term"] else ""
        yield f"{line['quantity']} × {line['name']}: {line['amount']}{often}{term}"
    if shown["contract_value"]:
        yield f"Total: {shown['contract_value']}"


def _people(file: DealFile) -> Iterator[str]:
    for contact in file.contacts:
        about = [
            contact.name or f"contact {contact.record.id}",
            contact.record.properties.get("jobtitle") or "",
        ]
        roles = ", ".join(sorted(role.replace("_", " ") for role in contact.roles))
        yield ", ".join(part for part in about if part) + (f": {roles}" if roles else "")


def _way(s: Services, known: Debrief) -> Iterator[str]:
    labels = {stage.key: stage.label for stage in s.process.stages}
    for move in known.moves:
        yield f"{move.at:%Y-%m-%d} {labels.get(move.stage or '', 'a stage outside the process')}"
    took = known.moves[-1].at - known.moves[0].at if known.moves else timedelta()
    if took.days:
        yield f"{took.days} days in total"


def _proofs(s: Services, known: Debrief) -> Iterator[str]:
    for verdict in known.verdicts:
        proof = known.proof_of(verdict) or "not proven"
        yield f"{s.process.stage(verdict.stage).label}: {verdict.says} ({proof})"


def _overrides(s: Services, known: Debrief) -> Iterator[str]:
    labels = {stage.key: stage.label for stage in s.process.stages}
    for one in known.overrides:
        label = labels.get(one.stage, one.stage)
        yield f"{one.granted_at:%Y-%m-%d} into {label} by {one.person}: {one.reason}"


def _objections(known: Debrief) -> Iterator[str]:
    for contract in known.contracts:
        if contract.state in ("declined", "expired", "canceled", "failed"):
            why = f": {contract.reason}" if contract.reason else ""
            yield f"Contract revision {contract.revision} was {contract.state}{why}"


def _suggestions(known: Debrief) -> Iterator[str]:
    for one in known.suggestions:
        yield f"{one.name}: {one.have} of {one.of} similar customers have it, this one does not"
