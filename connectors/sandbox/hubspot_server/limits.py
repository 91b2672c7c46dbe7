"""HubSpot's rate limits, in real time because they depend on the caller's clock.

Source: https://developers.hubspot.com/docs/api/usage-details (read 2025-01-03) and the usage guidelines of
2026: 190 requests per 10 s and app, 5 searches a second and account, associations 150 per 10 s in addition.
Whether a refused request counts is not documented; here it does not.
"""

import time
from collections import deque
from dataclasses import dataclass, field

WINDOW_S = 10.0


@dataclass
class Limits:
    """The windows of one portal. `daily` is per account and virtual day."""

    burst: int = 190
    search_per_s: int = 5
    daily: int = 625_000
    associations: int | None = None  # None: 150, or `burst` where that was set above the default
    _burst: dict[str, deque[float]] = field(default_factory=dict)
    _links: deque[float] = field(default_factory=deque)
    _search: deque[float] = field(default_factory=deque)
    _day: str = ""
    _today: int = 0

    def admit(self, app: str, *, search: bool, association: bool, day: str) -> str | None:
        """Count one request of `app`; or return the name of the policy that refuses it, without counting."""
        now = time.monotonic()
        if day != self._day:
            self._day, self._today = day, 0
        if self._today >= self.daily:
            return "DAILY"
        mine = _recent(self._burst.setdefault(app, deque()), now, WINDOW_S)
        if len(mine) >= self.burst:
            return "TEN_SECONDLY_ROLLING"
        if association and len(_recent(self._links, now, WINDOW_S)) >= self.association_limit:
            return "TEN_SECONDLY_ROLLING"
        if search and len(_recent(self._search, now, 1.0)) >= self.search_per_s:
            return "SECONDLY"
        mine.append(now)
        if association:
            self._links.append(now)
        if search:
            self._search.append(now)
        self._today += 1
        return None

    @property
    def association_limit(self) -> int:
        """Association requests per 10 s."""
        if self.associations is not None:
            return self.associations
        return 150 if self.burst <= 190 else self.burst

    @property
    def used_today(self) -> int:
        """Requests counted in this virtual day."""
        return self._today

    def headers(self, app: str) -> dict[str, str]:
        """HubSpot's limit headers; search answers have none."""
        mine = _recent(self._burst.setdefault(app, deque()), time.monotonic(), WINDOW_S)
        return {
            "X-HubSpot-RateLimit-Max": str(self.burst),
            "X-HubSpot-RateLimit-Remaining": str(max(0, self.burst - len(mine))),
            "X-HubSpot-RateLimit-Interval-Milliseconds": str(int(WINDOW_S * 1000)),
            "X-HubSpot-RateLimit-Daily": str(self.daily),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(0, self.daily - self._today)),
            # Still sent, no longer enforced (usage details page).
            "X-HubSpot-RateLimit-Secondly": str(max(1, self.burst // 10)),
            "X-HubSpot-RateLimit-Secondly-Remaining": str(max(1, self.burst // 10)),
        }


def _recent(window: deque[float], now: float, span_s: float) -> deque[float]:
    while window and window[0] <= now - span_s:
        window.popleft()
    return window
