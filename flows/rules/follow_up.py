"""Whether a deal is followed up now: its stage's plan, since when it stands there, and what was done about it before.

Days are calendar days in UTC, so that a daily look does not slip by the minutes it takes; the veto counts hours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from flows.rules.criteria.judge import Activity
from flows.rules.process.follow_up_plan import FollowUp


@dataclass(frozen=True)
class Past:
    """One follow-up of this stay in the stage. `unmet`: criterion keys then; `cleared`: its flag was taken back."""

    number: int
    at: datetime
    unmet: frozenset[str]
    flagged: bool = False
    cleared: bool = False


@dataclass(frozen=True)
class Due:
    """It is followed up now, for the `number`th time in this stay. `flag`: and listed for disqualification."""

    number: int
    flag: bool
    reason: str


@dataclass(frozen=True)
class Lift:
    """Its flag is taken back."""

    reason: str


@dataclass(frozen=True)
class NotNow:
    """Nothing is done, and why. `on`: the day before which it is too early."""

    why: Literal["met", "early", "active", "flagged"]
    reason: str
    on: date | None = None


Decision = Due | Lift | NotNow


def decide(
    plan: FollowUp,
    *,
    now: datetime,
    entered_at: datetime,
    unmet: frozenset[str],
    last_activity: Activity | None,
    past: Sequence[Past],
    asked: bool = False,
) -> Decision:
    """What to do about a deal that came into the stage at `entered_at`. `past`: this stay's follow-ups, oldest first.

    `asked`: a person asked for it, so the plan's days need not have gone by (but not twice on one day).
    """
    last = past[-1] if past else None
    if last is not None and is_flagged(last):
        progress = sorted(last.unmet - unmet)
        if progress:
            return Lift(f"met since it was flagged: {', '.join(progress)}")
        since = f"{last.at.astimezone(UTC):%Y-%m-%d}"
        return NotNow("flagged", f"flagged since {since}: nothing more is done until a criterion more is met")
    if not unmet:
        return NotNow("met", "nothing is unmet: it can go on")
    today, due_on = _day(now), due_day(plan, entered_at, past)
    if asked and last is not None and today == _day(last.at):
        return NotNow("early", "followed up today already", today + timedelta(days=1))
    if not asked and today < due_on:
        return NotNow("early", f"not due before {due_on}", due_on)
    if last_activity is not None and last_activity.at > now - timedelta(days=plan.veto_days):
        return NotNow("active", f"vetoed by activity on {_day(last_activity.at)} ({_name(last_activity)})")
    run = failures_in_a_row(unmet, past)
    since_when = (
        f"unmet since {_day(entered_at)}" if last is None else f"unmet after {len(past)} follow-up(s)"
    )
    number = last.number + 1 if last is not None else 1
    return Due(number, plan.flag_after is not None and run >= plan.flag_after, since_when)


def due_day(plan: FollowUp, entered_at: datetime, past: Sequence[Past]) -> date:
    """The day of the next follow-up: so many after the last one, or after the deal came into the stage."""
    begins = past[-1].at if past else entered_at
    return _day(begins) + timedelta(days=plan.after_days)


def is_flagged(one: Past) -> bool:
    """Whether the deal is listed for disqualification since this follow-up."""
    return one.flagged and not one.cleared


def failures_in_a_row(unmet: frozenset[str], past: Sequence[Past]) -> int:
    """How many follow-ups in a row, one now included, found not one criterion more met than the one before.

    A flag that was taken back ends the count.
    """
    run, later = 1, unmet
    for one in reversed(past):
        if one.cleared or one.unmet - later:
            break
        run, later = run + 1, one.unmet
    return run


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()


def _name(activity: Activity) -> str:
    return f"{activity.type} {activity.id}"
