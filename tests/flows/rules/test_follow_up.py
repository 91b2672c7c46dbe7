"""When a deal is followed up: tables for each reason, and what never happens over many days of any history."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.rules.criteria.judge import Activity
from flows.rules.follow_up import Due, Lift, NotNow, Past, decide, due_day, failures_in_a_row
from flows.rules.process.follow_up_plan import FollowUp

PLAN = FollowUp(after_days=5, veto_days=2, task="Ask the buyer", flag_after=3)
ENTERED = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
BOTH = frozenset({"need", "budget"})


def at(days: float) -> datetime:
    """So many days after the deal came into the stage."""
    return ENTERED + timedelta(days=days)


def call(days: float) -> Activity:
    return Activity("call", "77", at(days))


def past(*days: float, unmet: frozenset[str] = BOTH) -> list[Past]:
    return [Past(n, at(day), unmet) for n, day in enumerate(days, 1)]


def decided(days: float, **more: object) -> object:
    given: dict[str, object] = {
        "now": at(days),
        "entered_at": ENTERED,
        "unmet": BOTH,
        "last_activity": None,
        "past": [],
        **more,
    }
    plan = given.pop("plan", PLAN)
    return decide(plan, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("days", "more", "why", "says"),
    [
        (4.2, {}, "early", "not due before 2026-03-07"),
        (9, {"unmet": frozenset()}, "met", "nothing is unmet"),
        (9, {"last_activity": call(8)}, "active", "vetoed by activity on 2026-03-10 (call 77)"),
        (9, {"last_activity": call(30)}, "active", "vetoed by activity on 2026-04-01"),
        (9, {"past": past(5)}, "early", "not due before 2026-03-12"),
        (5, {"past": past(5), "asked": True}, "early", "followed up today already"),
    ],
)
def test_nothing_is_done(days: float, more: dict[str, object], why: str, says: str) -> None:
    """Too early, nothing unmet, or something took place (or will): with the reason and its day."""
    found = decided(days, **more)
    assert isinstance(found, NotNow) and found.why == why and found.reason.startswith(says)


@pytest.mark.parametrize(
    ("days", "more", "number"),
    [
        (4.5, {}, 1),  # the fifth day after, though not yet its hour: days are calendar days
        (5, {}, 1),
        (9, {"last_activity": call(7)}, 1),
        (9, {"last_activity": call(8.9), "plan": PLAN.model_copy(update={"veto_days": 0})}, 1),
        (10, {"past": past(5)}, 2),
        (9.99, {"past": past(5)}, 2),  # a look some minutes earlier than the day before is not too early
        (1, {"asked": True}, 1),
        (6, {"asked": True, "past": past(5)}, 2),
    ],
)
def test_it_is_due(days: float, more: dict[str, object], number: int) -> None:
    """After so many days, again after as many; a person need not wait."""
    found = decided(days, **more)
    assert isinstance(found, Due) and found.number == number and not found.flag


def test_a_person_who_asks_is_vetoed_too() -> None:
    """Somebody is at the deal: that is no matter of waiting."""
    assert isinstance(decided(1, asked=True, last_activity=call(0.5)), NotNow)


def test_it_is_flagged_after_so_many_in_a_row() -> None:
    """The third in a row without one more criterion met; progress, also of one, begins the count anew."""
    assert not decided(10, past=past(5)).flag  # type: ignore[attr-defined]
    third = decided(15, past=past(5, 10))
    assert isinstance(third, Due) and (third.number, third.flag) == (3, True)
    progress = decided(15, past=past(5, 10), unmet=frozenset({"budget"}))
    assert isinstance(progress, Due) and not progress.flag
    worse = decided(15, past=past(5, 10, unmet=frozenset({"budget"})))
    assert isinstance(worse, Due) and worse.flag  # what was met is lost again: no progress
    never = decided(500, past=past(*range(5, 400, 5)), plan=PLAN.model_copy(update={"flag_after": None}))
    assert isinstance(never, Due) and not never.flag


def test_a_flagged_deal_is_left_alone_until_something_is_met() -> None:
    """No more tasks and mails; one more criterion met takes the flag back, losing one does not."""
    *before, last = past(5, 10, 15)
    flagged = [*before, replace(last, flagged=True)]
    still = decided(90, past=flagged)
    assert isinstance(still, NotNow) and still.why == "flagged" and "2026-03-17" in still.reason
    met = decided(16, past=flagged, unmet=frozenset({"budget"}), last_activity=call(16))
    assert isinstance(met, Lift) and met.reason.endswith("need")
    assert isinstance(decided(16, past=flagged, unmet=frozenset()), Lift)
    assert isinstance(decided(90, past=flagged, unmet=BOTH | {"more"}), NotNow)


def test_after_a_flag_was_taken_back_the_count_begins_anew() -> None:
    """A person cleared it: three more, not one, until it is listed again."""
    *before, last = past(5, 10, 15)
    cleared = [*before, replace(last, flagged=True, cleared=True)]
    found = decided(20, past=cleared)
    assert isinstance(found, Due) and (found.number, found.flag) == (4, False)
    assert failures_in_a_row(BOTH, cleared) == 1


_STEP = st.tuples(
    st.frozensets(st.sampled_from(["a", "b", "c"])),
    st.sampled_from(["", "", "", "call"]),
    st.floats(0.2, 1.9),
)


@given(
    st.lists(_STEP, max_size=80),
    st.integers(1, 6),
    st.integers(0, 4),
    st.one_of(st.none(), st.integers(1, 4)),
)
def test_over_any_history(
    steps: list[tuple[frozenset[str], str, float]], after: int, veto: int, flag_after: int | None
) -> None:
    """Looked at again and again: numbers never repeat, never closer than the plan says, never against the veto, never
    with nothing unmet, flagged after exactly so many without progress, and then silent until there is some.
    """
    plan = FollowUp(after_days=after, veto_days=veto, task="Ask", flag_after=flag_after)
    now, done, last = ENTERED, list[Past](), None
    for unmet, happens, pause in steps:
        now += timedelta(days=pause)
        last = Activity("call", "1", now) if happens else last
        for _ in range(2):  # a second look at once finds nothing new to do
            before = done[-1] if done else None
            found = decide(
                plan, now=now, entered_at=ENTERED, unmet=unmet, last_activity=last, past=tuple(done)
            )
            if isinstance(found, Lift):
                assert before is not None and before.flagged and not before.cleared
                assert before.unmet - unmet
                done[-1] = replace(before, cleared=True)
            if not isinstance(found, Due):
                continue
            assert unmet and found.number == len(done) + 1
            begins = before.at if before else ENTERED
            assert (now.date() - begins.date()).days >= after and now.date() >= due_day(plan, ENTERED, done)
            assert last is None or last.at <= now - timedelta(days=veto)
            assert before is None or not before.flagged or before.cleared
            run = 1
            for earlier, later in zip(
                reversed(done), [unmet, *(p.unmet for p in reversed(done))], strict=False
            ):
                if earlier.cleared or not earlier.unmet <= later:
                    break
                run += 1
            assert found.flag == (flag_after is not None and run >= flag_after)
            done.append(Past(found.number, now, unmet, found.flag))
