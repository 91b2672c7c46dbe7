"""What a contract writes on its deal, by effect key: how sending, reporting and ending know what is done already.

Causes stand in effect keys, which are stored data: never change one.
"""

from flows.deals.writes import deal_key, note_key
from flows.ledger import effects
from flows.ledger.contracts import Contract
from flows.services import Services


def report_cause(contract: Contract) -> str:
    """Under which this revision is reported on the deal."""
    return f"contract:{contract.revision}"


def reported_key(contract: Contract) -> str:
    """The effect that is done once the deal names this revision."""
    return deal_key(contract.deal_id, report_cause(contract))


def signed_cause(contract: Contract) -> str:
    """Under which the signed PDF is filed."""
    return f"signed:{contract.revision}"


def end_cause(contract: Contract, ending: str) -> str:
    """Under which the end is reported."""
    return f"{ending}:{contract.revision}"


def move_cause(contract: Contract, ending: str) -> str:
    """Under which the deal's stage is moved."""
    return f"{end_cause(contract, ending)}:stage"


def steps_of_end(contract: Contract, deal_id: str) -> dict[str, tuple[str, ...]]:
    """What the end of a contract writes on this deal: each step in words, with the effect keys one of which is then
    done. Nothing for a contract that has not ended, or that never became a request.
    """
    ending = contract.state
    if contract.request_id is None or ending in ("sending", "open", "refused"):
        return {}
    causes = move_cause(contract, ending), end_cause(contract, ending)
    status = {"the deal's stage or status": tuple(deal_key(deal_id, cause) for cause in causes)}
    if ending != "completed":
        return {**status, "the note with the reason": (note_key(deal_id, end_cause(contract, ending)),)}
    signed = signed_cause(contract)
    return {
        **status,
        "the note with the signed PDF": (note_key(deal_id, signed),),
        "the signed PDF on the deal": (deal_key(deal_id, signed),),
    }


async def is_finished(contract: Contract, s: Services) -> bool:
    """Whether all is written that a completed contract calls for: later events about it have nothing to add."""
    if contract.state != "completed":
        return False
    steps = steps_of_end(contract, contract.deal_id).values()
    async with s.ledger.read() as tx:
        states = await effects.states(tx, [key for keys in steps for key in keys])
    return all(any(states.get(key) == "done" for key in keys) for keys in steps)
