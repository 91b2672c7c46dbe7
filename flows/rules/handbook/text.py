"""The process in sentences: what proves a criterion, what the worker does, what follow-up means."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from flows.rules.criteria.evidence import (
    ActivityEvidence,
    AllOf,
    AnyOf,
    CallNotesEvidence,
    CompanyEvidence,
    ContactEvidence,
    ContactsEvidence,
    DateEvidence,
    DocumentEvidence,
    LineItemEvidence,
    ObjectionsEvidence,
    PlanEvidence,
    PropertyEvidence,
    SignatureEvidence,
)
from flows.rules.process.sales_process import OutcomeRule, SalesProcess, Stage

ACTIONS = {
    "generate_proposal": "files a proposal made from the line items",
    "send_contract": "sends the contract for signature, once",
    "hand_over": "hands it over to account management, once: a debrief on the deal, and tasks",
}
MODES = {
    "observe": "it is counted",
    "warn": "its owner is told",
    "revert": "it is moved back, and its owner is told",
}
SUPPLIERS = {"rep": "sales rep", "buyer": "buyer", "worker": "dealflow, by itself", "manager": "manager"}
ENDS = {
    "completed": "is signed by all",
    "declined": "is declined",
    "expired": "expires",
    "canceled": "is cancelled",
    "failed": "fails",
}
HUBSPOT_LABELS = {
    "amount": "Amount",
    "closedate": "Close date",
    "createdate": "Create date",
    "dealname": "Deal name",
    "dealtype": "Deal type",
    "deal_currency_code": "Currency",
    "description": "Deal description",
    "closed_lost_reason": "Closed lost reason",
    "hubspot_owner_id": "Deal owner",
}
"""What HubSpot shows for its own deal properties (developers.hubspot.com, deal properties, 2026-11-22)."""
_ACTIVITIES = {
    "call": "call",
    "email": "e-mail",
    "meeting": "meeting",
    "note": "note",
    "task": "finished task",
}
ENDINGS = {
    "completed": "signed by all",
    "declined": "declined",
    "expired": "expired",
    "canceled": "cancelled",
    "failed": "failed",
}


def evidence_text(
    evidence: BaseModel, process: SalesProcess, labels: Mapping[str, str] = HUBSPOT_LABELS
) -> str:
    """What is looked up in the CRM. `labels`: what HubSpot shows instead of a deal property's name. A kind that is not
    known here is shown as the file writes it.
    """
    match evidence:
        case PropertyEvidence():
            return f"{_property(evidence.property, labels)} {_test(evidence)}"
        case DateEvidence():
            return f"{_property(evidence.date, labels)} {_day(evidence, labels)}"
        case ContactEvidence(contact="any"):
            return "a contact on the deal"
        case ContactEvidence(contact=role):
            return f"a contact on the deal with the label “{process.role_labels.get(role, role)}”"
        case ContactsEvidence(contacts=least):
            return "a contact on the deal" if least == 1 else f"at least {least} contacts on the deal"
        case CompanyEvidence():
            return "a company on the deal"
        case LineItemEvidence(line_items=1):
            return "a line item on the deal"
        case LineItemEvidence(line_items=least):
            return f"at least {least} line items on the deal"
        case DocumentEvidence(document=kind):
            return f"a {kind} filed on the deal"
        case SignatureEvidence():
            return "the signature request, read back from Dropbox Sign: signed by all"
        case ActivityEvidence():
            return _activities(evidence)
        case CallNotesEvidence(call_notes=name, since=since):
            when = " since the deal came into this stage" if since else ""
            return (
                f"a note or call{when} with the call notes {name.replace('_', ' ')}, every heading filled in"
            )
        case ObjectionsEvidence():
            return _objections(evidence, process.objection_prefix)
        case PlanEvidence(plan=name):
            return f"the {process.plans[name].label}, every field filled in"
        case AnyOf(any_of=parts):
            return "one of: " + "; ".join(_part(part, process, labels) for part in parts)
        case AllOf(all_of=parts):
            return "all of: " + "; ".join(_part(part, process, labels) for part in parts)
        case _:
            return ", ".join(_as_written(evidence.model_dump(by_alias=True, exclude_defaults=True)))


def _part(evidence: BaseModel, process: SalesProcess, labels: Mapping[str, str]) -> str:
    text = evidence_text(evidence, process, labels)
    return f"({text})" if isinstance(evidence, AnyOf | AllOf) else text


def _property(name: str, labels: Mapping[str, str]) -> str:
    return f"deal property “{labels[name]}”" if name in labels else f"deal property {name}"


def _test(evidence: PropertyEvidence) -> str:
    if evidence.is_:
        return "is set"
    if evidence.equals is not None:
        return f"is “{evidence.equals}”"
    if evidence.one_of:
        return "is one of " + ", ".join(f"“{v}”" for v in evidence.one_of)
    if evidence.at_least is not None:
        return f"is at least {evidence.at_least}"
    return f"is at most {evidence.at_most}"


def _day(evidence: DateEvidence, labels: Mapping[str, str]) -> str:
    if evidence.after is not None:
        return f"is a later day than {_property(evidence.after, labels)}"
    if evidence.within_days is not None:
        return (
            f"is today or within the next {days(evidence.within_days)}"
            if evidence.within_days
            else "is today"
        )
    return "is today or later"


def _activities(evidence: ActivityEvidence) -> str:
    one = evidence.at_least == 1
    names = [_ACTIVITIES[kind] + ("" if one else "s") for kind in evidence.types]
    what = "activity of any kind" if one else "activities of any kind"
    if evidence.activity != "any":
        what = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    count = "at least one" if one else f"at least {evidence.at_least}"
    when = ""
    if evidence.since is not None:
        when = " since the deal came into this stage"
    elif evidence.within_days is not None:
        when = f" in the last {days(evidence.within_days).removeprefix('1 ')}"
    return f"{count} {what}{when}"


def _objections(evidence: ObjectionsEvidence, prefix: str) -> str:
    least = evidence.at_least
    count = "" if not least else "; there is at least one" if least == 1 else f"; there are at least {least}"
    return f"every task whose subject begins with “{prefix}” is finished{count}"


def _as_written(values: dict[str, object]) -> Iterator[str]:
    for name, value in values.items():
        many = value if isinstance(value, list | tuple) else [value]
        inner = ("; ".join(_as_written(v)) if isinstance(v, dict) else str(v) for v in many)
        yield f"{name.replace('_', ' ')}: {' / '.join(inner)}"


def outcome_text(rule: OutcomeRule, process: SalesProcess) -> str:
    """Where a contract that ended so leaves the deal."""
    if rule.move_to is None:
        return "the deal stays and says so"
    return f"the deal moves to {process.stage(rule.move_to).label}"


def follow_up_text(stage: Stage) -> tuple[str, ...]:
    """What happens to a deal that does not get on: first when, then what; empty when the stage has no plan."""
    plan = stage.follow_up
    if plan is None:
        return ()
    every, quiet = (days(count).removeprefix("1 ") for count in (plan.after_days, plan.veto_days))
    unless = f", unless the deal had activity in the last {quiet}" if plan.veto_days else ""
    does = (
        f"the owner gets a task: {plan.task}" if plan.task else "",
        f"the owner is offered the e-mail template {plan.email}" if plan.email else "",
        "those who have not signed are reminded" if plan.remind_signers else "",
        f"after {plan.flag_after} times without progress it is listed for disqualification and left alone"
        if plan.flag_after
        else "",
    )
    return (f"after {days(plan.after_days)}, then every {every}{unless}", *(what for what in does if what))


def hand_over_text(process: SalesProcess) -> tuple[str, ...]:
    """What a won deal brings along, beside the debrief; empty where nothing hands it over."""
    plan = process.hand_over
    if process.stage_for("hand_over") is None:
        return ()
    manager = "the deal's owner" if plan.account_manager == "same_owner" else plan.account_manager
    whose = {"seller": "the seller", "account_manager": "the account manager"}
    lines = [
        f"from then on {manager} looks after the buyer",
        *(f"{whose[t.who]} has a task, due after {days(t.due_days)}: {t.task}" for t in plan.tasks),
    ]
    if (then := plan.follow_on) is not None:
        where = f"{then.stage} ({then.pipeline})" if then.stage else process.first.label
        lines.append(f"a follow-on deal is opened in {where}, to close after {days(then.close_days)}")
    return tuple(lines)


def days(count: int) -> str:
    """A number of days, in words."""
    return "1 day" if count == 1 else f"{count} days"
