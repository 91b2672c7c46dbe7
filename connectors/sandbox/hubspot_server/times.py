"""Epoch milliseconds to and from HubSpot's ISO 8601 texts (UTC, milliseconds only if they are not zero)."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=100_000)
def instant(ms: int) -> str:
    """Epoch milliseconds as `2026-01-31T10:00:00Z` or `2026-01-31T10:00:00.250Z`."""
    when = _EPOCH + timedelta(milliseconds=ms)
    text = when.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ms % 1000:03d}Z" if ms % 1000 else f"{text}Z"


def to_ms(text: str) -> int:
    """Epoch milliseconds of an ISO text or of digits that already are milliseconds.

    A text without an offset is UTC. Raises ValueError for anything else.
    """
    bare = text.strip()
    if bare.lstrip("-").isdigit() and len(bare.lstrip("-")) > 4:
        return int(bare)
    when = datetime.fromisoformat(bare.replace("Z", "+00:00") if bare.endswith("Z") else bare)
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return round((when - _EPOCH) / timedelta(milliseconds=1))


def day(ms: int) -> date:
    """The UTC day of an instant."""
    return (_EPOCH + timedelta(milliseconds=ms)).date()
