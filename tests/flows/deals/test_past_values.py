"""Past values of deal properties, from HubSpot's answers."""

from datetime import UTC, datetime, timedelta

from connectors.hubspot.records import HistoryEntry, Record
from flows.deals.past_values import versions, whole_histories
from flows.ledger.history import Version

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def record(**history: list[tuple[int, str | None]]) -> Record:
    """A deal whose properties got these values at these minutes, newest first."""
    entries = {
        name: tuple(HistoryEntry(v, NOW + timedelta(minutes=m), None, None) for m, v in reversed(past))
        for name, past in history.items()
    }
    return Record("1", history=entries)


def parsed(**history: list[tuple[int, str | None]]) -> list[tuple[str, str | None, int]]:
    found = list(versions(record(**history), sorted(history)))
    assert all(isinstance(one, Version) and one.deal_id == "1" for one in found)
    return [(v.property, v.value, round((v.at - NOW).total_seconds() / 60)) for v in found]


def test_each_change_is_a_version() -> None:
    """Oldest first; written again it is none; emptied it is None, and empty from the start is none either."""
    assert parsed(amount=[(1, ""), (2, "5"), (3, "5"), (4, ""), (5, None), (6, "7")], need=[(9, "x")]) == [
        ("amount", "5", 2),
        ("amount", None, 4),
        ("amount", "7", 6),
        ("need", "x", 9),
    ]


def test_of_one_moment_the_last_counts() -> None:
    """Two writes in the same millisecond: HubSpot's present value is the later one."""
    assert parsed(amount=[(1, "5"), (1, "6")]) == [("amount", "6", 1)]


def test_many_versions_may_not_be_all() -> None:
    """How many HubSpot gives is not documented: a long history is not taken as complete; a missing one is none."""
    found = record(few=[(1, "a")], none=[], many=[(n, str(n)) for n in range(20)])
    assert whole_histories(found, ["few", "none", "many", "other"]) == ["few", "none"]
    assert len(list(versions(found, ["many", "other"]))) == 20
