"""Who signs a contract, and what a signature request that was read back means for the deal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from flows.rules.process.sales_process import CounterSigner


@dataclass(frozen=True)
class Signer:
    """One signer in signing order (0 first). `contact_id` is empty for our own counter-signer."""

    role: str
    name: str
    email: str
    order: int
    contact_id: str = ""
    title: str = ""


@dataclass(frozen=True)
class Candidate:
    """A contact on the deal with its role keys."""

    contact_id: str
    name: str
    email: str
    roles: frozenset[str]
    title: str = ""


@dataclass(frozen=True)
class Hold:
    """A business "no": why nothing is sent, in words a rep can act on (no personal data)."""

    reasons: tuple[str, ...]
    summary: str = "contract not sent"


def choose_signers(
    contacts: Sequence[Candidate], *, seller_email: str, counter_signer: CounterSigner | None
) -> tuple[Signer, ...] | Hold:
    """Exactly the contacts labelled as signer, by name, then the counter-signer. Nobody is guessed."""
    signers = sorted((c for c in contacts if "signer" in c.roles), key=lambda c: (c.name, c.contact_id))
    if not signers:
        return Hold(("no contact on the deal is labelled as signer: label one in HubSpot",))
    reasons: list[str] = []
    inside = {seller_email.lower()}
    if counter_signer is not None:
        inside.add(counter_signer.email.lower())
    seen: set[str] = set()
    for person in signers:
        email = person.email.strip().lower()
        if not email:
            reasons.append(f"the signer, contact {person.contact_id}, has no e-mail address")
        elif email in inside:
            reasons.append(
                f"the signer, contact {person.contact_id}, is one of our own: label the buyer's signer"
            )
        elif email in seen:
            reasons.append(f"contact {person.contact_id} has the same e-mail address as another signer")
        if not person.name.strip():
            reasons.append(f"the signer, contact {person.contact_id}, has no name")
        seen.add(email)
    if reasons:
        return Hold(tuple(reasons))
    chosen = [
        Signer("client", p.name.strip(), p.email.strip().lower(), order, p.contact_id, p.title.strip())
        for order, p in enumerate(signers)
    ]
    if counter_signer is not None:
        order = len(chosen)
        chosen.append(
            Signer(
                "seller", counter_signer.name, counter_signer.email.lower(), order, title=counter_signer.title
            )
        )
    return tuple(chosen)


@dataclass(frozen=True)
class RequestFacts:
    """A signature request as read back from the vendor, in our words."""

    request_id: str
    complete: bool
    declined: bool
    error: bool
    gone: bool  # the vendor answers 410: cancelled
    test_mode: bool
    token: str
    deal_id: str
    statuses: tuple[str, ...]  # one per signer, the vendor's open set


@dataclass(frozen=True)
class Promise:
    """What we wrote down when the contract was sent."""

    request_id: str | None
    token: str
    deal_id: str
    test_mode: bool


SignatureState = Literal["open", "completed", "declined", "expired", "canceled", "failed"]


@dataclass(frozen=True)
class Mismatch:
    """The request does not belong to the contract it claims: nothing is done, and a person must know."""

    reason: str


def read_signature(facts: RequestFacts, promise: Promise) -> SignatureState | Mismatch:
    """Where the request stands, if it is ours beyond doubt.

    A cancelled request shows neither token nor deal: it is ours only if we noted its id when we sent it.
    """
    if facts.gone:
        if promise.request_id is None or facts.request_id != promise.request_id:
            return Mismatch("it is cancelled, and not known to be the one this contract became")
        return "canceled"
    if facts.token != promise.token:
        return Mismatch("its token is not the one this contract was sent under")
    if facts.deal_id != promise.deal_id:
        return Mismatch("it names another deal")
    if promise.request_id is not None and facts.request_id != promise.request_id:
        return Mismatch("a different request carries this contract's token")
    if facts.test_mode != promise.test_mode:
        return Mismatch("its test mode differs from the one it was sent with")
    if facts.declined or "declined" in facts.statuses:
        return "declined"
    if facts.error:
        return "failed"
    if facts.complete:
        return "completed"
    if "expired" in facts.statuses:
        return "expired"
    return "open"
