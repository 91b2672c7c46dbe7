"""Whether evidence was there at a past moment, and how sure that is."""

from collections.abc import Sequence
from typing import NamedTuple


class Weight(NamedTuple):
    """Whether evidence was there; None: nobody can say, `why` not. `today`: judged by what is on the deal now."""

    met: bool | None
    today: bool = False
    why: str = ""


def first(weights: Sequence[Weight], order: Sequence[bool | None]) -> Weight:
    """The weight that decides. What all share is as unsure as its least sure part; what one decides, as its surest."""
    for met in order:
        some = [weight for weight in weights if weight.met is met]
        if some and met is not order[-1]:
            return next((weight for weight in some if not weight.today), some[0])
        if some:
            return some[0]._replace(today=any(weight.today for weight in some))
    raise AssertionError("unreachable: there is at least one part")
