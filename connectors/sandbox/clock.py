"""Virtual time for the stand-ins: real time plus an offset that tests move forward, and timers on it.

A frozen clock ignores real time: only `advance` moves it, so that the same steps give the same times.
"""

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

log = logging.getLogger(__name__)

Job = Callable[[], Awaitable[None]]
Mark = tuple[float, float | None]
"""Where a clock stands: its offset from real time, or the instant at which it is frozen."""


@dataclass(order=True)
class _Timer:
    due_s: float
    order: int
    job: Job = field(compare=False)
    name: str = field(compare=False, default="")


class Clock:
    """Seconds since the epoch that only move forward. Timers fire in due order, also when time jumps.

    `frozen_at_s`: time starts there and only `advance` moves it and fires timers.
    """

    def __init__(self, start_s: float | None = None, *, frozen_at_s: float | None = None) -> None:
        self._offset_s = 0.0 if start_s is None else start_s - time.time()
        self._still_s = frozen_at_s
        self._timers: list[_Timer] = []
        self._order = itertools.count()
        self._changed = asyncio.Event()
        self._busy = asyncio.Lock()

    def now_s(self) -> float:
        """Virtual time, in seconds since the epoch."""
        return time.time() + self._offset_s if self._still_s is None else self._still_s

    def now_ms(self) -> int:
        """Virtual time, in milliseconds since the epoch (HubSpot's unit)."""
        return int(self.now_s() * 1000)

    def now(self) -> datetime:
        """Virtual time as an aware UTC datetime."""
        return datetime.fromtimestamp(self.now_s(), UTC)

    def after(self, delay_s: float, job: Job, name: str = "") -> None:
        """Run `job` once `delay_s` virtual seconds have passed; its errors are logged, never raised."""
        heapq.heappush(self._timers, _Timer(self.now_s() + max(0.0, delay_s), next(self._order), job, name))
        self._changed.set()

    def pending(self) -> list[dict[str, object]]:
        """What is scheduled: name and seconds until due, soonest first."""
        return [{"name": t.name, "in_s": round(t.due_s - self.now_s(), 3)} for t in sorted(self._timers)]

    async def advance(self, seconds: float) -> int:
        """Move time forward, stopping at each timer on the way so that it sees its own due time.

        Returns how many timers fired. Raises ValueError for a negative step.
        """
        if seconds < 0:
            raise ValueError("time only moves forward: seconds must not be negative")
        target_s = self.now_s() + seconds
        fired = 0
        while self._timers and self._timers[0].due_s <= target_s:
            self._move_to(self._timers[0].due_s)
            fired += await self._fire_due()
        self._move_to(target_s)
        async with self._busy:  # timers that fired just before this call have ended, too
            return fired

    def mark(self) -> Mark:
        """Where time stands, for `go_back`."""
        return self._offset_s, self._still_s

    def go_back(self, mark: Mark) -> None:
        """The one way back in time, for a snapshot: as far from real time as then. Timers keep their due times."""
        self._offset_s, self._still_s = mark
        self._changed.set()

    def clear(self) -> None:
        """Remove all timers (used by reset)."""
        self._timers.clear()

    async def run(self) -> None:
        """Fire timers as real time passes, until cancelled."""
        if self._still_s is not None:
            await asyncio.Event().wait()  # frozen: only `advance` fires timers
        while True:
            self._changed.clear()
            await self._fire_due()
            wait_s = self._timers[0].due_s - self.now_s() if self._timers else 3600.0
            try:
                await asyncio.wait_for(self._changed.wait(), max(0.0, min(wait_s, 3600.0)))
            except TimeoutError:
                continue

    def _move_to(self, at_s: float) -> None:
        if self._still_s is not None:
            self._still_s = max(self._still_s, at_s)
        else:
            self._offset_s += max(0.0, at_s - self.now_s())

    async def _fire_due(self) -> int:
        fired = 0
        async with self._busy:
            while self._timers and self._timers[0].due_s <= self.now_s():
                timer = heapq.heappop(self._timers)
                fired += 1
                try:
                    await timer.job()
                except Exception:
                    log.exception("sandbox timer failed: %s", timer.name)
        return fired
