"""How both stand-ins deliver: a limited number in flight, time-outs, resets that cancel open ones."""

import asyncio
import contextlib
import socket

import pytest
import uvicorn

from connectors.sandbox.clock import Clock
from connectors.sandbox.deliveries import Deliveries
from connectors.sandbox.dropbox_sign_server import events as dropbox_sign_events
from connectors.sandbox.hubspot_server import sandbox as hubspot


class Slow:
    """Answers after `takes_s` and counts how many it has open at once."""

    def __init__(self):
        self.takes_s, self.open, self.most, self.done = 0.05, 0, 0, 0

    async def __call__(self, scope, receive, send):
        await receive()
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.open -= 1
        self.done += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def receiver():
    """A slow receiver on a loopback port."""
    slow = Slow()
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    slow.url = f"http://127.0.0.1:{sock.getsockname()[1]}/hook"
    server = uvicorn.Server(
        uvicorn.Config(slow, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    )
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve([sock]))
    while not server.started:
        await asyncio.sleep(0.005)
    yield slow
    server.should_exit = True
    await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def deliveries(**change):
    clock = Clock()
    settings = {
        "timeout_s": 5.0,
        "retry_delays_s": [60.0],
        "accepts": lambda status, _: status == 200,
        "in_flight": 10,
    }
    made = Deliveries(clock, **{**settings, **change})
    yield made, clock
    await made.close()


async def until(holds):
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within 5 s")


async def test_at_most_ten_are_in_flight(receiver):
    """Thirty events at once reach the receiver ten at a time (HubSpot's default concurrency), and all arrive."""
    async with deliveries() as (out, _):
        for n in range(30):
            out.send("x", receiver.url, lambda _: (b"[]", {}), {"n": n})
        await until(lambda: receiver.done == 30)
    assert receiver.most == 10


async def test_no_answer_in_time_counts_as_failed_and_is_tried_again(receiver):
    """A receiver that answers too late gets the same event once more, although it may have taken it."""
    receiver.takes_s = 0.5
    async with deliveries(timeout_s=0.1) as (out, clock):
        row = out.send("x", receiver.url, lambda _: (b"[]", {}), {})
        await until(lambda: bool(row.attempts and row.attempts[0].error))
        assert row.attempts[0].error == "ReadTimeout"
        assert row.state == "pending"
        receiver.takes_s = 0.0
        await until(lambda: bool(clock.pending()))
        await clock.advance(60)
        await until(lambda: row.state == "delivered")
    assert len(row.attempts) == 2


def test_each_vendor_has_its_own_patience():
    """HubSpot waits 5 s for an answer, Dropbox Sign 30 s (facts sections 11 and 12)."""
    assert hubspot.TIMEOUT_S == 5.0
    assert hubspot.IN_FLIGHT == 10
    assert dropbox_sign_events.TIMEOUT_S == 30.0


async def test_what_a_reset_overtakes_says_nothing_any_more(receiver):
    """A delivery that fails after a reset is not retried and is not reported."""
    receiver.takes_s = 0.2
    settled = []

    async def heard(row):
        settled.append(row)

    async with deliveries(accepts=lambda *_: False) as (out, clock):
        out.on_settled = heard
        out.send("x", receiver.url, lambda _: (b"[]", {}), {})
        await until(lambda: receiver.open == 1)
        out.clear()
        await until(lambda: receiver.done == 1)
        await asyncio.sleep(0.05)
        assert (settled, clock.pending(), out.rows()) == ([], [], [])
