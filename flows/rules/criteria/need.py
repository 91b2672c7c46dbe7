"""One fact that somebody can supply, and the evidence that asks for it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from flows.rules.criteria.kinds.base import LeafEvidence


class Wanted(NamedTuple):
    """Evidence that is asked for; `stage` names whose criterion asks where that matters (activities since entry)."""

    leaf: "LeafEvidence"
    stage: str = ""


@dataclass(frozen=True)
class Need:
    """One fact, or `count` equal ones, that would help to open a gate.

    `kind`: property, contact, company, line_item, document, signature, activity, call_notes, objection, or the key of
    the evidence. `name`: which property, role, kind of document, type of activity or form; objections are `open` or
    `new`. `options`: for an activity (and call notes) all types that would do, for a property one value that would do,
    where the evidence gives one away.
    """

    kind: str
    name: str
    says: str
    serves: tuple["LeafEvidence", ...] = ()
    count: int = 1
    new: bool = False  # a contact that is not on the deal yet
    options: tuple[str, ...] = ()
    after_entry_of: tuple[str, ...] = ()  # stages that the deal must enter first
    criteria: tuple[str, ...] = ()
    supplied_by: tuple[str, ...] = ()
