"""Exit criteria against CRM evidence: facts in, verdicts out; each met criterion names the record that proves it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from flows.rules.sales_process import (
    CompanyEvidence,
    ContactEvidence,
    Criterion,
    DocumentEvidence,
    LineItemEvidence,
    PropertyEvidence,
    SalesProcess,
    SignatureEvidence,
)


@dataclass(frozen=True)
class DealFacts:
    """What the CRM and our frozen papers say about a deal at one moment. Ids are HubSpot's."""

    deal_id: str
    stage: str | None  # key in the process, None when the deal stands outside it
    properties: Mapping[str, str | None] = field(default_factory=dict)
    contacts: Mapping[str, frozenset[str]] = field(default_factory=dict)  # contact id -> role keys
    companies: frozenset[str] = frozenset()
    line_items: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    signature: str | None = None  # completed, declined, ... of the newest contract, read back


@dataclass(frozen=True)
class Verdict:
    """Whether one criterion is met. `proof` names the record, `missing` what would meet it."""

    criterion: str
    says: str
    met: bool
    supplied_by: str
    proof: str = ""
    missing: str = ""


def judge(criteria: Iterable[Criterion], facts: DealFacts) -> tuple[Verdict, ...]:
    """A verdict for each criterion, in order."""
    return tuple(_judge(criterion, facts) for criterion in criteria)


def gate(process: SalesProcess, target: str, facts: DealFacts) -> tuple[Verdict, ...]:
    """Verdicts on everything a deal must have met to stand in the stage `target`."""
    return judge(process.gate_before(target), facts)


def unmet(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Those that keep the gate shut."""
    return tuple(v for v in verdicts if not v.met)


def _judge(criterion: Criterion, facts: DealFacts) -> Verdict:
    proof, missing = _evidence(criterion, facts)
    return Verdict(
        criterion=criterion.key,
        says=criterion.says,
        met=bool(proof),
        supplied_by=criterion.supplied_by,
        proof=proof,
        missing="" if proof else missing,
    )


def _evidence(criterion: Criterion, facts: DealFacts) -> tuple[str, str]:
    """What proves it (empty when nothing does) and what would."""
    match criterion.evidence:
        case PropertyEvidence() as wanted:
            return _property(wanted, facts)
        case ContactEvidence(contact=role):
            found = sorted(c for c, roles in facts.contacts.items() if role == "any" or role in roles)
            wanted_role = "a contact" if role == "any" else f"a contact labelled as {role.replace('_', ' ')}"
            return (f"contact {found[0]}" if found else ""), f"{wanted_role} on the deal"
        case CompanyEvidence():
            companies = sorted(facts.companies)
            return (f"company {companies[0]}" if companies else ""), "a company on the deal"
        case LineItemEvidence(line_items=least):
            count = len(facts.line_items)
            proof = f"{count} line item(s)" if count >= least else ""
            return proof, f"at least {least} line item(s), {count} found"
        case DocumentEvidence(document=kind):
            return (f"{kind} on file" if kind in facts.documents else ""), f"a filed {kind}"
        case SignatureEvidence(signature=state):
            met = facts.signature == state
            return (f"signature {state}" if met else ""), f"the signature request to be {state}"


def _property(wanted: PropertyEvidence, facts: DealFacts) -> tuple[str, str]:
    value = (facts.properties.get(wanted.property) or "").strip()
    name = wanted.property
    if wanted.at_least is not None:
        try:
            number = Decimal(value or "0")
            met = value != "" and number.is_finite() and number >= wanted.at_least
        except InvalidOperation:
            met = False
        missing = f"deal property {name} of at least {wanted.at_least}"
    elif wanted.equals is not None:
        met, missing = value == wanted.equals, f"deal property {name} to be {wanted.equals}"
    elif wanted.one_of:
        met, missing = value in wanted.one_of, f"deal property {name} to be one of {', '.join(wanted.one_of)}"
    else:
        met, missing = value != "", f"deal property {name} to be set"
    return (f"deal property {name}" if met else ""), missing
