"""The ledger's contracts against the vendor's requests: ends that were missed, sends and ends left half done, requests
that this ledger does not know.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from flows.contracts.effect_keys import reported_key, steps_of_end
from flows.contracts.esign import SignatureRequest
from flows.contracts.requests import facts_of, stands
from flows.ledger.contracts import Contract
from flows.ledger.inbox import NewEvent
from flows.processes import CONTRACT_DUE, SIGNATURE_CHECK, SIGNATURE_EVENT
from flows.reconcile.findings import LOOK_BACK, Books, Finding
from flows.rules.signing import Mismatch, Promise, SignatureState, read_signature

TOKEN: Final = "dealflow_token"  # noqa: S105  # the name of a metadata field
_SIGNATURE = (SIGNATURE_CHECK, SIGNATURE_EVENT)


def effect_keys(contract: Contract, survivor_id: str) -> list[str]:
    """The effects that say how far a contract has come; `survivor_id`: its deal's id now, after a merge another."""
    ends = (steps_of_end(contract, deal_id) for deal_id in {contract.deal_id, survivor_id})
    done_by = [key for steps in ends for keys in steps.values() for key in keys]
    return [contract.effect_key, reported_key(contract), *done_by]


def contract_findings(
    books: Books,
    requests: Mapping[str, SignatureRequest | None],
    by_token: Mapping[str, SignatureRequest],
    survivors: Mapping[str, str],
) -> list[Finding]:
    """What is to be done about each contract. Of a deal that HubSpot has no more (not in `survivors`) nothing here."""
    newest = {contract.deal_id: contract for contract in books.contracts}  # they come oldest first
    findings: list[Finding] = []
    for contract in books.contracts:
        if contract.deal_id not in survivors:
            continue
        if contract.state == "sending":
            findings += _sending(books, contract, by_token.get(contract.token))
        elif contract.state == "open":
            findings += _open(books, contract, requests)
        elif newest[contract.deal_id].id == contract.id:
            findings += _ended(books, contract, survivors[contract.deal_id])
        elif contract.state == "completed" and contract.deal_id not in books.moving:
            what = (
                f"revision {contract.revision} was signed although a newer one exists: decide which one holds"
            )
            findings.append(Finding(what, contract.deal_id, contract.request_id))
    return findings


def _sending(books: Books, contract: Contract, seen: SignatureRequest | None) -> list[Finding]:
    """No event is left that would bring the send to its end: ask for it again (the effect's own rules hold)."""
    if books.waits(contract.deal_id, CONTRACT_DUE):
        return []
    revision, findings = f"contract revision {contract.revision}", []
    if seen is not None and not books.waits(contract.deal_id, *_SIGNATURE):
        check = books.ask(
            contract,
            SIGNATURE_CHECK,
            "seen",
            request_id=seen.id,
            token=contract.token,
        )
        what = f"{revision} was in doubt, and {books.esign} has its request"
        findings.append(Finding(what, contract.deal_id, seen.id, check))
    elif seen is None and books.effects.get(contract.effect_key) == "quarantined":
        what = f"{revision} is quarantined: look at {books.esign}, then `dealflow effects release`"
        return [Finding(what, contract.deal_id)]
    findings.append(_resume(books, contract, f"{revision} was never sent to the end"))
    return findings


def _open(books: Books, contract: Contract, requests: Mapping[str, SignatureRequest | None]) -> list[Finding]:
    """Its request, as it was read back, must still be out for signature."""
    request_id = contract.request_id or ""
    if books.waits(contract.deal_id, *_SIGNATURE):
        return []
    if request_id not in requests:
        what = f"{books.esign} knows no such request: look there who removed it"
        return [Finding(what, contract.deal_id, request_id)]
    state = stands(contract, request_id, requests[request_id])
    if isinstance(state, Mismatch):
        return [
            Finding(f"the request is not the one that was sent: {state.reason}", contract.deal_id, request_id)
        ]
    if state != "open":
        what = (
            f"contract revision {contract.revision} is {state} at {books.esign}, and no callback has said so"
        )
        return [Finding(what, contract.deal_id, request_id, _check(books, contract, state))]
    if not books.is_done(reported_key(contract)) and not books.waits(contract.deal_id, CONTRACT_DUE):
        return [_resume(books, contract, f"the deal does not say that revision {contract.revision} was sent")]
    return []


def _ended(books: Books, contract: Contract, survivor_id: str) -> list[Finding]:
    """Everything that its end calls for must be on the deal (a crash may have come between)."""
    missing = missing_steps(books, contract, survivor_id)
    if not missing or books.waits(contract.deal_id, *_SIGNATURE):
        return []
    what = f"contract revision {contract.revision} is {contract.state}, but not done: {', '.join(missing)}"
    check = _check(books, contract, "unfinished")
    return [Finding(what, contract.deal_id, contract.request_id, check)]


def missing_steps(books: Books, contract: Contract, survivor_id: str) -> list[str]:
    """What the end of this contract should have written and has not."""
    ours = steps_of_end(contract, contract.deal_id)
    after_merge = steps_of_end(contract, survivor_id)
    return [step for step, keys in ours.items() if not books.is_done(*keys, *after_merge[step])]


def _check(books: Books, contract: Contract, why: str) -> NewEvent:
    return books.ask(
        contract,
        SIGNATURE_CHECK,
        why,
        request_id=contract.request_id,
        token=contract.token,
    )


def _resume(books: Books, contract: Contract, what: str) -> Finding:
    """`resume`: this event never opens a revision after the one it names."""
    event = books.ask(contract, CONTRACT_DUE, contract.state, resume=contract.revision)
    return Finding(what, contract.deal_id, contract.request_id, event)


def stranger_findings(
    books: Books, listed: Sequence[SignatureRequest], known: Mapping[str, Contract]
) -> list[Finding]:
    """Requests that carry our metadata although no contract of ours became them, and deals with two live ones."""
    findings: list[Finding] = []
    live: dict[str, list[str]] = {}
    for request in (r for r in listed if r.metadata.get(TOKEN)):
        state, deal_id = _state_of(request), _deal_of(request)
        if state == "open" and deal_id:
            live.setdefault(deal_id, []).append(request.id)
        contract = known.get(request.metadata[TOKEN])
        of_age = request.created_at is None or request.created_at >= books.now - LOOK_BACK
        if state != "open" and not (state == "completed" and of_age):
            continue
        if contract is None:
            what = f"a request that is {state} carries our metadata, but this ledger does not know it"
            findings.append(Finding(what, deal_id, request.id))
        elif contract.request_id not in (None, request.id):
            what = f"a second request for contract revision {contract.revision} is {state}: cancel one of the two"
            findings.append(Finding(what, contract.deal_id, request.id))
    for deal_id, request_ids in live.items():
        if len(request_ids) > 1:
            what = f"{len(request_ids)} requests are open for signature on one deal: {', '.join(request_ids)}"
            findings.append(Finding(what, deal_id))
    return findings


def _state_of(request: SignatureRequest) -> SignatureState | Mismatch:
    """Taken at its own word: whose it is is asked afterwards."""
    facts = facts_of(request.id, request)
    return read_signature(facts, Promise(None, facts.token, facts.deal_id, facts.test_mode))


def _deal_of(request: SignatureRequest) -> str | None:
    """The deal it names; metadata is anybody's text, so only an id is shown."""
    named = request.metadata.get("deal_id", "")
    return named if re.fullmatch(r"[0-9]{1,20}", named) else None


def tokens_of(listed: Iterable[SignatureRequest]) -> list[str]:
    """Our tokens among these requests."""
    return sorted({r.metadata[TOKEN] for r in listed if r.metadata.get(TOKEN)})
