import asyncio
import heapq

import pytest

from connectors.http.pacing import Bucket, Lane, dropbox_sign_pace, hubspot_pace


class Time:
    """A clock that only moves when all callers sleep."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.now + seconds, self._count, future))
        await future

    async def run_until_done(self, *tasks: asyncio.Task[object]) -> None:
        while not all(task.done() for task in tasks):
            for _ in range(20):
                await asyncio.sleep(0)
            while self._sleepers and self._sleepers[0][2].done():
                heapq.heappop(self._sleepers)
            if self._sleepers:
                at, _, future = heapq.heappop(self._sleepers)
                self.now = max(self.now, at)
                future.set_result(None)


def _bucket(time: Time, tokens: int, per_s: float) -> Bucket:
    return Bucket(tokens, per_s, clock=time.clock, sleep=time.sleep)


async def _grants(time: Time, bucket: Bucket, lanes: list[Lane]) -> list[tuple[int, float]]:
    order: list[tuple[int, float]] = []

    async def one(number: int, lane: Lane) -> None:
        await bucket.take(lane)
        order.append((number, time.now))

    tasks = [asyncio.create_task(one(n, lane)) for n, lane in enumerate(lanes)]
    await time.run_until_done(*tasks)
    return order


@pytest.mark.parametrize(("tokens", "per_s", "calls"), [(5, 1.0, 23), (100, 10.0, 350), (1, 2.0, 4)])
async def test_no_rolling_window_sees_too_many(tokens: int, per_s: float, calls: int) -> None:
    """However calls come, no window of the vendor's length holds more than its limit, and no time is
    wasted."""
    time = Time()
    grants = await _grants(time, _bucket(time, tokens, per_s), [Lane.NORMAL] * calls)
    moments = [at for _, at in grants]
    for start in moments:
        assert sum(start <= at < start + per_s for at in moments) <= tokens
    assert moments[-1] == pytest.approx((calls - 1) // tokens * per_s)


async def test_urgent_goes_first_but_bulk_is_not_starved() -> None:
    """Urgent calls overtake waiting bulk calls, and yet the longest waiter gets every eighth grant."""
    time = Time()
    lanes = [Lane.BULK] * 5 + [Lane.URGENT] * 40
    order = [number for number, _ in await _grants(time, _bucket(time, 1, 1.0), lanes)]
    assert order[0] == 0  # it was alone when it came
    assert set(order[1:7]) == set(range(5, 11))
    assert order[7] == 1
    assert order.index(4) < order.index(44)


async def test_same_lane_is_first_come_first_served() -> None:
    """Within a lane nobody overtakes."""
    time = Time()
    order = await _grants(time, _bucket(time, 2, 1.0), [Lane.NORMAL] * 9)
    assert [number for number, _ in order] == list(range(9))


async def test_penalty_closes_the_bucket_until_it_ends() -> None:
    """After a 429 no call is sent before the given time, and a shorter penalty does not shorten a longer one."""
    time = Time()
    bucket = _bucket(time, 5, 1.0)
    bucket.penalise(30.0)
    bucket.penalise(10.0)
    grants = await _grants(time, bucket, [Lane.NORMAL] * 3)
    assert [at for _, at in grants] == [30.0, 30.0, 30.0]


async def test_a_cancelled_waiter_leaves_its_place() -> None:
    """Cancelling a waiter neither blocks the line nor uses up a token."""
    time = Time()
    bucket = _bucket(time, 1, 1.0)
    await bucket.take()
    first, second = (asyncio.create_task(bucket.take()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await time.run_until_done(first, second)
    assert second.result() == pytest.approx(1.0)
    assert bucket.waiting == 0


async def test_search_is_held_to_five_a_second_and_to_the_burst() -> None:
    """A HubSpot search takes a search token and a burst token."""
    time = Time()
    pace = hubspot_pace(burst=7, clock=time.clock, sleep=time.sleep)

    async def search() -> float:
        await pace.wait(("burst", "search"))
        return time.now

    tasks = [asyncio.create_task(search()) for _ in range(8)]
    await time.run_until_done(*tasks)
    assert sorted(task.result() for task in tasks) == [0, 0, 0, 0, 0, 1, 1, 10]


async def test_pace_penalty_counts_from_now() -> None:
    """A penalty of n seconds ends n seconds from now, for the named buckets only."""
    time = Time()
    time.now = 100.0
    pace = dropbox_sign_pace(clock=time.clock, sleep=time.sleep)
    pace.penalise(("high",), 12.0)

    async def take(name: str) -> float:
        await pace.wait((name,))
        return time.now

    free, closed = (asyncio.create_task(take(name)) for name in ("standard", "high"))
    await time.run_until_done(free, closed)
    assert (free.result(), closed.result()) == (100.0, 112.0)


async def test_test_mode_caps_both_tiers() -> None:
    """With the test-mode limit of 10 a minute the eleventh call waits a minute in either tier."""
    time = Time()
    pace = dropbox_sign_pace(test_mode=10, clock=time.clock, sleep=time.sleep)
    for name in ("standard", "high"):
        tasks = [asyncio.create_task(pace.wait((name,))) for _ in range(11)]
        before = time.now
        await time.run_until_done(*tasks)
        assert time.now == before + 60.0
        assert pace.waiting[name] == 0


@pytest.mark.parametrize(("tokens", "per_s"), [(0, 1.0), (1, 0.0), (-1, 1.0)])
def test_senseless_limits_are_refused(tokens: int, per_s: float) -> None:
    """A limit that would block all calls is a mistake in the settings, reported at once."""
    with pytest.raises(ValueError, match="at least one token"):
        Bucket(tokens, per_s)
