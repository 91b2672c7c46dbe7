"""The process in sentences: what proves a criterion, what the worker does, what follow-up means."""

from collections.abc import Mapping

from flows.rules.criteria.evidence import Evidence
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
ENDINGS = {
    "completed": "signed by all",
    "declined": "declined",
    "expired": "expired",
    "canceled": "cancelled",
    "failed": "failed",
}


def evidence_text(
    evidence: Evidence, process: SalesProcess, labels: Mapping[str, str] = HUBSPOT_LABELS
) -> str:
    """What is looked up in the CRM. `labels`: what HubSpot shows instead of a deal property's name."""
    return evidence.text(process, labels)


def outcome_text(rule: OutcomeRule, process: SalesProcess) -> str:
    """Where a contract that ended so leaves the deal."""
    if rule.move_to is None:
        return "the deal stays and says so"
    return f"the deal moves to {process.stage(rule.move_to).label}"


def follow_up_text(stage: Stage) -> tuple[str, ...]:
    """What happens to a stalled deal: first when, then what; empty when the stage has no plan."""
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
