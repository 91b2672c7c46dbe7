"""The calendar of a rehearsal: people act twice on each working day, never at night, all in UTC."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

STARTS = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
"""A Monday. Fixed, because a rehearsal must not depend on the present day."""
HOURS = (9, 15)


def ticks(days: int, starts: datetime = STARTS) -> Iterator[datetime]:
    """The moments at which people act within `days` calendar days."""
    for day in range(days):
        date = (starts + timedelta(days=day)).replace(minute=0, second=0, microsecond=0)
        if date.weekday() >= 5:
            continue
        yield from (date.replace(hour=hour) for hour in HOURS)
