"""Client-side pacing: token buckets keep us under the vendors' limits, so that they need not answer 429.

A taken token returns one window later, so no rolling window has more than `tokens` calls (a plain
refill bucket would let twice as many through in the first window). Waiters are served by lane, and every
eighth grant goes to the longest waiter, so that bulk work is slowed but never starved.

Sources, read 2026-11-22: HubSpot usage guidelines and CRM search guide (100 to 250 calls per 10 s per app,
search 5 a second per account); Dropbox Sign help "API requests that count against limit" (per account and
minute: 100 standard, 25 high tier, 10 in test mode).
"""

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import IntEnum

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]

_FAIR_EVERY = 8


class Lane(IntEnum):
    """The priority of waiting calls: a smaller number goes first."""

    URGENT = 0
    NORMAL = 1
    BULK = 2


class Bucket:
    """`tokens` calls per `per_s` seconds on a rolling window, waiters by lane."""

    def __init__(
        self, tokens: int, per_s: float, *, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        if tokens < 1 or per_s <= 0:
            raise ValueError("a bucket needs at least one token and a positive window")
        self.tokens = tokens
        self.per_s = per_s
        self._clock = clock
        self._sleep = sleep
        self._taken: deque[float] = deque(maxlen=tokens)
        self._not_before = float("-inf")
        self._grants = 0
        self._sequence = itertools.count()
        self._queue: list[tuple[int, int]] = []
        self._wake: dict[tuple[int, int], asyncio.Event] = {}

    @property
    def waiting(self) -> int:
        """How many callers are waiting."""
        return len(self._wake)

    def penalise(self, until: float) -> None:
        """Let nobody pass before `until` (on this bucket's clock); a later call with an earlier time does not
        shorten it."""
        self._not_before = max(self._not_before, until)

    def delay_s(self) -> float:
        """Seconds until the next token, 0 when one is free."""
        now = self._clock()
        free_at = self._not_before
        if len(self._taken) == self.tokens:
            free_at = max(free_at, self._taken[0] + self.per_s)
        return max(0.0, free_at - now)

    async def take(self, lane: Lane = Lane.NORMAL) -> float:
        """Wait for a token and take it; returns the seconds waited. Safe to cancel while waiting."""
        started = self._clock()
        ticket = (int(lane), next(self._sequence))
        heapq.heappush(self._queue, ticket)
        wake = self._wake[ticket] = asyncio.Event()
        try:
            while True:
                wake.clear()
                if self._next() != ticket:
                    await wake.wait()
                    continue
                delay = self.delay_s()
                if delay <= 0:
                    break
                await self._sleep(delay)
            self._taken.append(self._clock())
            self._grants += 1
        finally:
            self._leave(ticket)
        return self._clock() - started

    def _next(self) -> tuple[int, int]:
        if self._grants % _FAIR_EVERY == _FAIR_EVERY - 1:
            return min(self._queue, key=lambda ticket: ticket[1])
        return self._queue[0]

    def _leave(self, ticket: tuple[int, int]) -> None:
        del self._wake[ticket]
        self._queue.remove(ticket)
        heapq.heapify(self._queue)
        if self._queue:
            self._wake[self._next()].set()


class Pace:
    """Named buckets of one vendor; a call may need tokens from several."""

    def __init__(self, buckets: Mapping[str, Bucket], *, clock: Clock = time.monotonic) -> None:
        self._buckets = dict(buckets)
        self._clock = clock

    async def wait(self, names: Sequence[str], lane: Lane = Lane.NORMAL) -> None:
        """Take one token from each named bucket, scarcest first. Raises KeyError for an unknown name."""
        buckets = [self._buckets[name] for name in names]
        for bucket in sorted(buckets, key=lambda one: one.tokens / one.per_s):
            await bucket.take(lane)

    def penalise(self, names: Sequence[str], for_s: float) -> None:
        """After a 429: block the named buckets for `for_s` seconds from now."""
        until = self._clock() + max(0.0, for_s)
        for name in names:
            self._buckets[name].penalise(until)

    def window_s(self, names: Sequence[str]) -> float:
        """The longest window of the named buckets, in seconds: how long to wait when the vendor gave no time."""
        return max((self._buckets[name].per_s for name in names), default=1.0)

    @property
    def waiting(self) -> Mapping[str, int]:
        """Waiting callers, by bucket (for metrics)."""
        return {name: bucket.waiting for name, bucket in self._buckets.items()}


def hubspot_pace(
    *,
    burst: int = 100,
    burst_per_s: float = 10.0,
    search_per_s: int = 5,
    associations: int = 100,
    clock: Clock = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> Pace:
    """HubSpot's limits. Every call takes a `burst` token; search and association calls take their own too."""
    return Pace(
        {
            "burst": Bucket(burst, burst_per_s, clock=clock, sleep=sleep),
            "search": Bucket(search_per_s, 1.0, clock=clock, sleep=sleep),
            "associations": Bucket(min(associations, burst), burst_per_s, clock=clock, sleep=sleep),
        },
        clock=clock,
    )


def dropbox_sign_pace(
    *,
    standard: int = 100,
    high: int = 25,
    test_mode: int | None = None,
    per_s: float = 60.0,
    clock: Clock = time.monotonic,
    sleep: Sleep = asyncio.sleep,
) -> Pace:
    """Dropbox Sign's limits per minute. test_mode=10 caps both tiers, for an account used in test mode.

    Which endpoints are high tier is not published in the pages above; sends and files count as such here.
    """
    cap = test_mode if test_mode is not None else max(standard, high)
    return Pace(
        {
            "standard": Bucket(min(standard, cap), per_s, clock=clock, sleep=sleep),
            "high": Bucket(min(high, cap), per_s, clock=clock, sleep=sleep),
        },
        clock=clock,
    )
