"""Past values of deal properties out of HubSpot's answer: which there were, and whether these are all."""

from collections.abc import Iterator, Sequence

from connectors.hubspot.records import Record
from flows.ledger.history import Version

_MANY = 20
"""How many past values HubSpot gives at most is not documented: where there are so many, some may be left out."""


def whole_histories(deal: Record, names: Sequence[str]) -> list[str]:
    """The properties of which every past value was read, as far as one can tell."""
    return [name for name in names if name in deal.history and len(deal.history[name]) < _MANY]


def versions(deal: Record, names: Sequence[str]) -> Iterator[Version]:
    """Past values of these properties, oldest first; writing the same again is none, of one moment the last counts."""
    for name in names:
        found = {past.at: past.value or None for past in reversed(deal.history.get(name, ())) if past.at}
        before: str | None = None
        for at, value in sorted(found.items()):
            if value != before:
                yield Version(deal.id, name, value, at)
            before = value
