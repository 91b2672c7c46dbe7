"""Webhook deliveries of a stand-in: signed by its vendor, retried on the vendor's schedule, logged, and
dropped, doubled or delayed when a test asks for it."""

import asyncio
import base64
import itertools
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field

import httpx

from connectors.sandbox.clock import Clock

log = logging.getLogger(__name__)

Build = Callable[[int], tuple[bytes, Mapping[str, str]]]
"""Attempt number from 0 -> body and headers as they are sent (a signature may include a timestamp)."""
Accepts = Callable[[int, bytes], bool]
"""Status and answer body -> whether the vendor counts it as delivered."""
Settled = Callable[["Delivery"], Awaitable[None]]


@dataclass
class Attempt:
    """One try to deliver. `status` 0 means no answer: `error` says why."""

    at_ms: int
    status: int = 0
    ok: bool = False
    error: str = ""
    answer: str = ""


@dataclass
class Delivery:
    """One webhook delivery with all its attempts. `state`: pending, delivered, failed or dropped."""

    id: int
    kind: str
    url: str
    about: dict[str, object]
    body: str
    headers: dict[str, str] = field(
        default_factory=dict
    )  # of the first try: needed by a caller that delivers it itself
    state: str = "pending"
    next_at_ms: int | None = None
    attempts: list[Attempt] = field(default_factory=list)


@dataclass
class Mischief:
    """How deliveries are disturbed. Probabilities from 0 to 1, seeded."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0  # random extra delay: this is what reorders


class Deliveries:
    """The outgoing webhooks of one stand-in."""

    def __init__(
        self, clock: Clock, *, timeout_s: float, retry_delays_s: list[float], accepts: Accepts, in_flight: int
    ) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self.retry_delays_s = retry_delays_s
        self._accepts = accepts
        self._gate = asyncio.Semaphore(in_flight)
        self._rows: deque[Delivery] = deque(maxlen=20_000)
        self._builds: dict[int, Build] = {}
        self._ids = itertools.count(1)
        self._dice = random.Random(0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None
        self.mischief = Mischief()
        self.on_settled: Settled | None = None

    def seed(self, seed: int) -> None:
        """Make drops, doubles and delays repeatable."""
        self._dice = random.Random(seed)

    def send(self, kind: str, url: str, build: Build, about: Mapping[str, object]) -> Delivery:
        """Queue a delivery; it is sent at once unless mischief delays or drops it."""
        body, headers = build(0)
        row = Delivery(next(self._ids), kind, url, dict(about), _readable(body), dict(headers))
        self._rows.append(row)
        self._builds[row.id] = build
        if self._dice.random() < self.mischief.drop:
            row.state = "dropped"
            return row
        self._later(row, 0, self._delay_s())
        if self._dice.random() < self.mischief.duplicate:
            self._later(row, 0, self._delay_s())
        return row

    def redeliver(self, delivery_id: int) -> Delivery:
        """Send a logged delivery again, whatever its state. Raises KeyError for an unknown id."""
        row = next((r for r in self._rows if r.id == delivery_id), None)
        if row is None:
            raise KeyError(delivery_id)
        self._later(row, len(row.attempts), 0.0)
        return row

    def rows(self, *, since: int = 0) -> list[dict[str, object]]:
        """Deliveries with id > since, oldest first."""
        return [asdict(r) for r in self._rows if r.id > since]

    @property
    def open(self) -> int:
        """How many deliveries are still pending."""
        return sum(1 for r in self._rows if r.state == "pending")

    def clear(self) -> None:
        """Remove all deliveries (used by reset)."""
        self._rows.clear()
        self._builds.clear()
        self.mischief = Mischief()

    def kept(self) -> dict[str, object]:
        """What a snapshot keeps; `builds` come beside it. Ids count on, so that a late answer finds no other's row."""
        return {
            "_rows": self._rows,
            "_dice": self._dice,
            "mischief": self.mischief,
            "retry_delays_s": self.retry_delays_s,
        }

    def builds(self) -> dict[int, Build]:
        """How each delivery is built."""
        return dict(self._builds)

    def take_back(self, kept: dict[str, object], builds: Mapping[int, Build]) -> None:
        """What a snapshot kept."""
        vars(self).update(kept)
        self._builds = dict(builds)

    async def close(self) -> None:
        """Cancel running deliveries."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _delay_s(self) -> float:
        return self.mischief.delay_s + self._dice.random() * self.mischief.jitter_s

    def _later(self, row: Delivery, attempt: int, delay_s: float) -> None:
        if delay_s <= 0:
            self._spawn(row, attempt)
            return

        async def go() -> None:
            self._spawn(row, attempt)

        row.next_at_ms = self._clock.now_ms() + int(delay_s * 1000)
        self._clock.after(delay_s, go, f"deliver {row.kind} #{row.id}")

    def _spawn(self, row: Delivery, attempt: int) -> None:
        task = asyncio.get_running_loop().create_task(self._try(row, attempt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try(self, row: Delivery, attempt: int) -> None:
        build = self._builds.get(row.id)
        if build is None:
            return
        async with self._gate:
            if self._client is None:
                # trust_env=False: a proxy in the environment must not see loopback traffic.
                self._client = httpx.AsyncClient(timeout=self._timeout_s, trust_env=False)
            body, headers = build(attempt)
            tried = Attempt(at_ms=self._clock.now_ms())
            row.attempts.append(tried)
            try:
                answer = await self._client.post(row.url, content=body, headers=dict(headers))
            except httpx.HTTPError as problem:
                tried.error = type(problem).__name__
            else:
                tried.status = answer.status_code
                tried.answer = answer.text[:200]
                tried.ok = self._accepts(answer.status_code, answer.content)
        if row.id not in self._builds:
            return  # a reset removed it while it was being sent: its result must not affect later state
        row.next_at_ms = None
        if tried.ok:
            row.state = "delivered"
        elif row.state != "delivered":
            if attempt < len(self.retry_delays_s):
                self._later(row, attempt + 1, self.retry_delays_s[attempt])
            else:
                row.state = "failed"
        if self.on_settled is not None:
            await self.on_settled(row)


def _readable(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(body).decode()
