"""When things happen in a rehearsal: two looks at the desk on each working day, nothing at night, all in UTC."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

STARTS = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
"""A Monday. Fixed, because a rehearsal must not depend on the day on which it is played."""
HOURS = (9, 15)


def ticks(days: int, starts: datetime = STARTS) -> Iterator[datetime]:
    """The moments at which people act within `days` calendar days."""
    for day in range(days):
        date = (starts + timedelta(days=day)).replace(minute=0, second=0, microsecond=0)
        if date.weekday() >= 5:
            continue
        yield from (date.replace(hour=hour) for hour in HOURS)
