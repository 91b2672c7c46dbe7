"""The process in sentences: what proves a criterion, what the worker does, what follow-up means."""

from collections.abc import Iterator

from pydantic import BaseModel

from flows.rules.sales_process import (
    CompanyEvidence,
    ContactEvidence,
    DocumentEvidence,
    LineItemEvidence,
    OutcomeRule,
    PropertyEvidence,
    SalesProcess,
    SignatureEvidence,
    Stage,
)

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
SUPPLIERS = {"rep": "sales rep", "buyer": "buyer", "worker": "the worker, by itself", "manager": "manager"}
ENDINGS = {
    "completed": "signed by all",
    "declined": "declined",
    "expired": "expired",
    "canceled": "cancelled",
    "failed": "failed",
}


def evidence_text(evidence: BaseModel, process: SalesProcess) -> str:
    """What is looked up in the CRM. A kind that is not known here is shown as the file writes it."""
    match evidence:
        case PropertyEvidence():
            return f"deal property {evidence.property} {_test(evidence)}"
        case ContactEvidence(contact="any"):
            return "a contact on the deal"
        case ContactEvidence(contact=role):
            return f"a contact on the deal with the label “{getattr(process.roles, role, role)}”"
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
        case _:
            return ", ".join(_as_written(evidence.model_dump(by_alias=True, exclude_defaults=True)))


def _test(evidence: PropertyEvidence) -> str:
    if evidence.is_:
        return "is set"
    if evidence.equals is not None:
        return f"is “{evidence.equals}”"
    if evidence.one_of:
        return "is one of " + ", ".join(f"“{v}”" for v in evidence.one_of)
    if evidence.at_least is not None:
        return f"is at least {evidence.at_least}"
    return ", ".join(_as_written(evidence.model_dump(exclude={"property"}, exclude_defaults=True)))


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
        f"after {plan.flag_after} times without progress it is listed for disqualification"
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
