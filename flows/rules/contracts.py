"""Whether a contract may be sent (`may_send`), and whether a signature moves its deal (`may_advance`).

Facts in, a typed answer out: no clock, no network, no ledger. Facts that cost a call are read only when they decide:
the answer `Need` names the one to read next, and the same function is asked again with it. Every decision not to send,
or not to move a deal, is made in this file. Who may sign is judged in `signing.py`, whether the text can be made in
`templates` and `pricing`: their reasons arrive here as facts. Facts and answers are in `contract_facts.py`.
"""

from dataclasses import asdict

from flows.rules.contract_facts import (
    AdvanceCase,
    AskPerson,
    Complete,
    DealNow,
    End,
    Ignore,
    Need,
    NoDraft,
    OnFile,
    Resume,
    Revision,
    Send,
    SendCase,
    StillOpen,
    Unread,
)
from flows.rules.criteria.evidence import ways
from flows.rules.criteria.judge import unmet
from flows.rules.criteria.smallest import smallest
from flows.rules.process.sales_process import Stage
from flows.rules.signing import Hold, Mismatch, RequestFacts, SignatureState, read_signature

_NO_DEAL = "HubSpot no longer has this deal"
_LEFT = "superseded: the deal has left the stage"
_LEFT_MEANWHILE = "superseded: the deal has left the stage before the contract was sent"
_CHANGED = "never sent: the deal, a signer or the day has changed since"


def may_send(case: SendCase) -> Send | Resume | Hold | Ignore | Need:
    """Whether a contract goes out for this event."""
    revision, deal = case.revision, case.deal
    unsent = revision is not None and revision.surely_unsent
    if revision is not None and not unsent:
        if revision.state == "sending" or (revision.state == "open" and not revision.reported):
            return Resume(recheck=True)
        if not _allows_new_revision(revision, case):
            return Ignore(f"contract revision {revision.number} exists already ({revision.state})")
    if isinstance(deal, Unread):
        return Need("deal")
    if deal is None:
        return Ignore(_NO_DEAL)
    if not still_wanted(deal.stage, case.sends_from):
        return Ignore(_LEFT, ends="canceled" if unsent else None)
    reasons = tuple(_reasons(case, deal))
    if reasons or isinstance(deal.signers, Hold):
        return Hold(reasons)
    if isinstance(case.draft, Unread):
        return Need("draft")
    if isinstance(case.draft, NoDraft):
        return Hold((case.draft.reason,))
    if revision is not None and case.draft.unchanged and _same_signers(revision, deal):
        if revision.state == "refused":  # nothing was changed: it would only be refused again
            return refused(case.esign, revision.reason or "no reason given")
        if unsent:
            return Resume(deal.verdicts)
    return Send(deal.verdicts, cancels=_CHANGED if unsent else None)


def still_wanted(stage: str | None, sends_from: str | None) -> bool:
    """Whether a deal that stands in this stage is to get a contract."""
    return sends_from is not None and stage == sends_from


def withdrawn() -> Ignore:
    """What is left of a contract whose deal left the stage while it waited to be sent."""
    return Ignore(_LEFT_MEANWHILE, ends="canceled")


def refused(esign: str, reason: str) -> Hold:
    """The vendor's final no to this text."""
    why = f"{esign} refused the contract: {reason}; it goes out once the deal or a signer is corrected"
    return Hold((why,), summary="contract refused")


def _allows_new_revision(revision: Revision, case: SendCase) -> bool:
    """Whether this event may start a new revision after the newest one.

    A refused text may be corrected for the event that asked for it; any other end needs a newer event, and one that
    was not only to resume what is under way.
    """
    if revision.state in ("open", "completed") or case.resumes:
        return False
    return revision.state == "refused" or revision.created_at < case.asked_at


def _reasons(case: SendCase, deal: DealNow) -> list[str]:
    """Everything that speaks against it, in one list: a rep reads it in one go."""
    reasons = [f"{v.says}: {v.missing}" for v in unmet(deal.verdicts)]
    reasons += _smallest(deal)
    reasons += deal.signers.reasons if isinstance(deal.signers, Hold) else ()
    reasons += _claimed(case, deal)
    if deal.starts_on and deal.starts_on < case.today.isoformat():
        reasons.append(
            "deal property dealflow_starts_on lies in the past: set the day on which the services start"
        )
    return reasons


def _smallest(deal: DealNow) -> list[str]:
    """The smallest set of facts that would open the gate, where the reasons do not say it already."""
    open_ = {v.criterion for v in unmet(deal.verdicts)}
    choices = any(len(ways(c.evidence)) > 1 for _, c in deal.asked if c.key in open_)
    if deal.facts is None or (not choices and len(open_) < 2):
        return []
    return [f"The smallest set of facts that opens it: {smallest(deal.asked, deal.facts).text}"]


def _claimed(case: SendCase, deal: DealNow) -> list[str]:
    """Another contract that may be out for this deal."""
    claim = deal.claim
    if claim is None:
        return []
    if claim.deal_id is None:
        return [
            "HubSpot names a contract that this ledger does not know (a restored backup? a merged deal?): look "
            f"at {case.esign}, and clear the deal property dealflow_contract_token if a new one is to go out"
        ]
    if claim.deal_id != deal.deal_id and claim.live:
        return [
            f"a deal that was merged into this one, {claim.deal_id}, brought its contract along ({claim.state}): "
            f"cancel that one at {case.esign}, or clear the deal property dealflow_contract_token if a new one is "
            "to go out besides"
        ]
    return []


def _same_signers(revision: Revision, deal: DealNow) -> bool:
    signers = () if isinstance(deal.signers, Hold) else deal.signers
    return list(revision.signers) == [asdict(signer) for signer in signers]


def may_advance(case: AdvanceCase) -> Complete | End | StillOpen | AskPerson | Ignore | Need:
    """What the request that was read back means for the deal."""
    contract, request = case.contract, case.request
    if contract is None:
        return Ignore("not a request of ours (it carries no token that we know)")
    if contract.finished:
        return Ignore(f"contract revision {contract.number} is signed, filed and done with")
    if not case.request_id:
        return Ignore("the contract has not been sent yet")
    if isinstance(request, Unread):
        return Need("request")
    if _is_another(contract, request, case.request_id):
        return Ignore(
            "a different request, gone or unknown: it says nothing about the contract that was sent"
        )
    if request is None:
        return AskPerson(f"{case.esign} knows no such request: look there who removed it")
    state = read_signature(request, contract.promise)
    if isinstance(state, Mismatch):
        return AskPerson(state.reason)
    if state == "open":
        return StillOpen()
    if contract.superseded:
        return _superseded(contract, state)
    if isinstance(case.missing, Unread):
        return Need("deal")
    if case.missing is None:
        return Ignore(_NO_DEAL)
    return Complete(case.missing) if state == "completed" else End(state)


def settles_send(case: AdvanceCase) -> bool:
    """Whether the contract's sending was in doubt, and this request proves that it was sent."""
    contract, request = case.contract, case.request
    if contract is None or contract.state != "sending" or not isinstance(request, RequestFacts):
        return False
    return not request.gone and not isinstance(read_signature(request, contract.promise), Mismatch)


def may_move(here: Stage | None, target: str, ending: SignatureState, sends_from: str | None) -> bool:
    """Whether the deal moves to `target`; `here`: where it stands now, None outside the process.

    A signed contract wins an open deal wherever it stands; any other end moves it only from where it was sent.
    """
    if here is None or here.key == target or here.closed is not None:
        return False
    return ending == "completed" or sends_from is None or here.key == sends_from


def _is_another(contract: OnFile, request: RequestFacts | None, request_id: str) -> bool:
    """The request cannot be read, and the contract was sent as another request."""
    unreadable = request is None or request.gone
    return unreadable and contract.promise.request_id not in (None, request_id)


def _superseded(contract: OnFile, state: SignatureState) -> AskPerson | Ignore:
    """Late news of an older revision moves nothing: the deal follows the newest one."""
    if state == "completed":
        why = f"revision {contract.number} was signed although a newer one exists: decide which one holds"
        return AskPerson(why, ends=state)
    return Ignore(f"contract revision {contract.number} is {state}; a newer one exists", ends=state)
