"""Signature requests as the vendor holds them: read back by id, in bulk when many, or found by our token."""

from collections.abc import Sequence
from datetime import datetime

from connectors.http.errors import GoneError, NotFoundError, TransientError
from flows.contracts.esign import SignatureRequest, SignerState
from flows.ledger.contracts import Contract
from flows.ledger.effects import Result
from flows.retries import reading
from flows.rules.signing import Mismatch, Promise, RequestFacts, SignatureState, read_signature
from flows.services import Services

_ONE_BY_ONE = 3
_PAGES = 20


async def list_requests(s: Services) -> tuple[list[SignatureRequest], bool]:
    """The requests on the list's first twenty pages of a hundred, each once, and whether there are no more."""
    found: dict[str, SignatureRequest] = {}
    for number in range(1, _PAGES + 1):
        page = await reading(lambda number=number: s.esign.page(number))  # type: ignore[misc]
        found |= {r.id: r for r in page.requests}
        if number >= page.pages:
            return list(found.values()), True
    return list(found.values()), False


async def read_requests(
    s: Services, ids: set[str], *, listed: Sequence[SignatureRequest] | None = None
) -> dict[str, SignatureRequest | None]:
    """Requests by id, None for cancelled ones: singly when few, else from list pages of a hundred (`listed`:
    from these, already read); those the list does not show (cancelled ones) singly.

    An id that the vendor does not know is left out: one made-up event must not fail a whole batch.
    """
    found: dict[str, SignatureRequest | None] = {r.id: r for r in listed or () if r.id in ids}
    if listed is None and len(ids) > _ONE_BY_ONE:
        for number in range(1, _PAGES + 1):
            page = await reading(lambda number=number: s.esign.page(number))  # type: ignore[misc]
            found |= {r.id: r for r in page.requests if r.id in ids}
            if number >= page.pages or len(found) == len(ids):
                break
    for request_id in sorted(ids - set(found)):
        try:
            found[request_id] = await reading(
                lambda request_id=request_id: s.esign.read(request_id)  # type: ignore[misc]
            )
        except GoneError:
            found[request_id] = None
        except NotFoundError:
            continue
    return found


async def find_request(s: Services, token: str, *, since: datetime) -> Result | None:
    """The signature request that carries this token, if the vendor shows it. Raises TransientError when the vendor
    holds more requests than can be looked through.
    """
    search = await s.esign.find(token, since=since, page=reading)
    if search.request_id is None and not search.complete:
        raise TransientError(
            s.esign.vendor, "list_requests", detail="more requests than can be looked through"
        )
    return {"request_id": search.request_id} if search.request_id else None


def facts_of(request_id: str, request: SignatureRequest | None) -> RequestFacts:
    """A request in our words; None is one that is gone."""
    if request is None:
        return RequestFacts(request_id, False, False, False, True, False, "", "", ())
    return RequestFacts(
        request_id=request.id,
        complete=request.is_complete,
        declined=request.is_declined,
        error=request.has_error,
        gone=False,
        test_mode=request.test_mode,
        token=request.metadata.get("dealflow_token", ""),
        deal_id=request.metadata.get("deal_id", ""),
        statuses=tuple(x.status_code or "" for x in request.signatures),
    )


def promise_of(contract: Contract) -> Promise:
    """What a request must keep to be this contract's."""
    return Promise(contract.request_id, contract.token, contract.deal_id, contract.test_mode)


def stands(
    contract: Contract, request_id: str, request: SignatureRequest | None
) -> SignatureState | Mismatch:
    """The contract's state according to the request that was read back under this id (None: gone)."""
    return read_signature(facts_of(request_id, request), promise_of(contract))


def in_turn(request: SignatureRequest) -> tuple[SignerState, ...]:
    """Those who are asked to sign now: of all who have not signed, the first in signing order; all without an order."""
    waiting = [x for x in request.signatures if x.status_code == "awaiting_signature"]
    first = min((x.order or 0 for x in waiting), default=0)
    return tuple(x for x in waiting if (x.order or 0) == first)


def tally(request: SignatureRequest | None) -> str:
    """How many signers stand where, e.g. `1 signed, 1 awaiting_signature`."""
    codes = [x.status_code or "unknown" for x in request.signatures] if request else []
    return ", ".join(f"{codes.count(code)} {code}" for code in dict.fromkeys(codes))
