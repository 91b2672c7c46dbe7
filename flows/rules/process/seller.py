"""Who sells: printed on documents, gets leads, signs for us."""

from typing import Annotated, Literal

from pydantic import Field

from flows.rules.process.part import Part

Email = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]


class Person(Part):
    """Someone with a name and an address."""

    name: Annotated[str, Field(min_length=1)]
    email: Email


class CounterSigner(Person):
    """Who signs for us, after the client."""

    title: str = ""


class Seller(Part):
    """Who sells: printed on documents. The counter-signer signs after the client."""

    name: Annotated[str, Field(min_length=1)]
    address: Annotated[str, Field(min_length=1)]
    email: Email
    governing_law: str = ""
    payment_days: Annotated[int, Field(ge=0, le=365)] = 30
    counter_signer: CounterSigner | None = None


class RoutingRule(Part):
    """Leads from these countries (ISO codes) go to this owner."""

    country: Annotated[tuple[str, ...], Field(min_length=1)]
    owner: Email


class Routing(Part):
    """Who gets a new deal."""

    rules: tuple[RoutingRule, ...] = ()
    otherwise: Literal["take_turns"] | Email = "take_turns"
