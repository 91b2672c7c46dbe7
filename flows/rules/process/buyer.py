"""Who buys, and what they are given on the way: where a sales process begins."""

from typing import Annotated

from pydantic import Field

from flows.rules.process.part import Key, Part, Sentence


class Buyer(Part):
    """Who buys from us. The stages follow their way, not ours."""

    who: Sentence
    """The person and the kind of company they work for."""
    problem: Sentence
    """What it costs them to leave things as they are."""
    decides: Sentence
    """How they come to a decision, and who has a say in it."""


class Material(Part):
    """Something to give the buyer in a stage: as much as helps them on from there, not more."""

    name: Annotated[str, Field(min_length=3, max_length=100)]
    """What it is, as the buyer would call it."""
    link: Annotated[str, Field(pattern=r"^https://[^\s<>\"']+$", max_length=500)] | None = None
    """Where it lies."""
    email: Key | None = None
    """Name of the e-mail template by which it is sent."""
