"""The behaviour of the simulated people: all rates in one table, which a file can change (`--people FILE.yaml`).

Probabilities are from 0 to 1; days are calendar days, drawn around the given number.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.errors import FlowError

Chance = Annotated[float, Field(ge=0, le=1)]
Days = Annotated[float, Field(gt=0, le=365)]


class RatesError(FlowError):
    """The people file has an invalid value. The text names the key."""


class Rates(BaseModel):
    """The table of rates. A file only needs the keys that it changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Buyers
    lead_without_budget: Chance = 0.25  # the form's budget field stays empty
    lead_without_need: Chance = 0.10  # the need stays empty too
    lead_by_phone_only: Chance = 0.03  # a phone number and no e-mail address
    asks_twice: Chance = 0.10  # the same buyer, or a colleague, sends the form again
    asks_again_after_days: Days = 12
    gives_up: Chance = 0.07  # in each stage: declines, and the rep moves the deal to lost
    goes_silent: Chance = 0.04  # in each stage: never answers again, and the deal stays where it is
    median_budget: Annotated[float, Field(gt=0)] = 18_000

    # Reps, without errors
    first_touch_days: Days = 0.5
    days_between_steps: Days = 3.5
    discount: Chance = 0.2  # a line item with a discount
    second_contact: Chance = 0.35  # a second person on the deal; one of the two signs
    two_signers: Chance = 0.08  # both of them sign

    # Reps, human errors
    forgets_role: Chance = 0.15  # to label the contact that a criterion needs
    leaves_property_empty: Chance = 0.08  # that a criterion needs
    forgets_line_items: Chance = 0.04
    forgets_paper_details: Chance = 0.08  # what the templates print and no criterion needs: the address
    skips_stage: Chance = 0.06  # in each move
    moves_early: Chance = 0.04  # in each stage: straight on to where the contract is sent
    mistypes_signer: Chance = 0.05  # the signer's e-mail address is wrong
    labels_ourselves: Chance = 0.02  # a colleague of ours as the signer
    notices: Chance = 0.75  # that the deal is stalled, and fixes it
    notices_after_days: Days = 4
    tries_again: Chance = 0.6  # after a contract that ended unsigned
    tries_again_after_days: Days = 5

    # Signers
    signs_after_days: Days = 2.5
    counter_signs_after_days: Days = 0.7
    declines: Chance = 0.08
    lets_it_expire: Chance = 0.07
    only_looks_first: Chance = 0.3  # opens the contract once before signing


def parse_rates(content: Mapping[str, Any]) -> Rates:
    """The table from a parsed YAML mapping; missing keys keep their defaults. Raises RatesError."""
    try:
        return Rates.model_validate(content)
    except ValidationError as problem:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in problem.errors()[:5]]
        raise RatesError("people file: " + "; ".join(lines)) from None
