"""Decides which failures are retried, how often and how long; the only place that does.

Short outages are retried here (tenacity, a few tries within about twenty seconds). After longer ones the event goes
back to the inbox as parked, with the time of the next try from `park_delay_s`.
"""

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import tenacity

from connectors.http.errors import ConnectorError, TransientError

T = TypeVar("T")

_TRIES = 4
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0
ODD_TRIES = 8
"""How often in a row an event may fail with an unknown error before it is dead-lettered."""


async def reading(call: Callable[[], Awaitable[T]]) -> T:
    """Run a call that changes nothing, and retry it on transient errors. Raises its last error."""
    return await _retrying(lambda problem: isinstance(problem, TransientError), call)


async def writing(call: Callable[[], Awaitable[T]]) -> T:
    """Run a call that changes something, and retry it only when the vendor surely did not apply the last try."""
    return await _retrying(
        lambda problem: isinstance(problem, TransientError) and problem.applied == "no", call
    )


async def repeating(call: Callable[[], Awaitable[T]]) -> T:
    """Run a call that may happen twice without harm (an upsert by unique key, a default association)."""
    return await reading(call)


async def _retrying(again: Callable[[BaseException], bool], call: Callable[[], Awaitable[T]]) -> T:
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(again),
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=_wait_s,
        reraise=True,
    ):
        with attempt:
            return await call()
    raise AssertionError("unreachable: the last attempt either returns or raises")


def _wait_s(state: tenacity.RetryCallState) -> float:
    problem = state.outcome.exception() if state.outcome else None
    hint_s = problem.retry_after_s if isinstance(problem, ConnectorError) else None
    if hint_s is not None:
        return min(hint_s, _LONGEST_WAIT_S)
    ceiling_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (state.attempt_number - 1) * 2)
    return random.uniform(_FIRST_WAIT_S / 2, ceiling_s)


def park_delay_s(
    failures: int,
    *,
    first_s: float,
    max_s: float,
    hint_s: float | None = None,
    dice: random.Random | None = None,
) -> float:
    """Seconds until an event with this many failures in a row (at least 1) is tried again.

    Exponential with full jitter, never under the vendor's hint.
    """
    ceiling_s = min(max_s, first_s * 2.0 ** min(failures - 1, 20))
    wait_s = (dice or random).uniform(ceiling_s / 2, ceiling_s)
    return max(wait_s, hint_s or 0.0)
