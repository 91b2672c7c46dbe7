"""Records found and phrases that several kinds of evidence share."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from flows.rules.criteria.counting import number_of
from flows.rules.criteria.deal_facts import Found, Proof


def first_of(kind: str, ids: Sequence[str], missing: str) -> Found:
    """The first of these records as proof."""
    return Found(f"{kind} {ids[0]}", missing, (Proof(kind, ids[0]),)) if ids else Found("", missing)


def several(kind: str, ids: Iterable[str], least: int) -> Found:
    """At least so many of these records. They are listed only as far as they are needed."""
    known = sorted(ids)
    noun = kind.replace("_", " ")
    missing = f"at least {number_of(least, noun)}, {len(known)} found"
    if len(known) < least:
        return Found("", missing)
    return Found(number_of(len(known), noun), missing, tuple(Proof(kind, ident) for ident in known[:least]))


def no_such(key: str, what: str, name: str, known: Collection[str]) -> tuple[str, str] | None:
    """See `unknown_name`: nothing where the name is known."""
    if name in known:
        return None
    return key, f"there is no {what} {name!r}: there {'are ' + ', '.join(known) if known else 'is none'}"


def property_text(name: str, labels: Mapping[str, str]) -> str:
    """A deal property as HubSpot shows it, else by its name."""
    return f"deal property “{labels[name]}”" if name in labels else f"deal property {name}"


def as_written(values: Mapping[str, object]) -> Iterator[str]:
    """Keys and values as the process file writes them."""
    for name, value in values.items():
        many: Iterable[object] = value if isinstance(value, list | tuple) else [value]
        inner = ("; ".join(as_written(v)) if isinstance(v, dict) else str(v) for v in many)
        yield f"{name.replace('_', ' ')}: {' / '.join(inner)}"
