"""A HubSpot stand-in on a real loopback port, its clock running, and a client that talks to it."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from connectors.sandbox import hubspot_server
from connectors.sandbox.clock import Clock

SECRET = "sandbox-client-secret"


class Running:
    """The stand-in in a thread of its own: `url`, and a client `api` with a token."""

    def __init__(self, seed: int = 7) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._sock.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._sock.getsockname()[1]}"
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(seed)), daemon=True)
        self._thread.start()
        assert self._ready.wait(20), "the stand-in did not start"
        headers = {"Authorization": "Bearer test-token"}
        self.api = httpx.Client(base_url=self.url, headers=headers, timeout=20, trust_env=False)

    async def _main(self, seed: int) -> None:
        clock = Clock()
        sandbox = hubspot_server.build(clock, seed=seed, webhook_url=None, client_secret=SECRET)
        sandbox.public_url = self.url
        config = uvicorn.Config(sandbox.asgi, log_level="warning", lifespan="off", access_log=False)
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
        serving = asyncio.create_task(server.serve([self._sock]))
        ticking = asyncio.create_task(clock.run())
        while not server.started:
            await asyncio.sleep(0.01)
        self._ready.set()
        while not self._stop.is_set():
            await asyncio.sleep(0.02)
        ticking.cancel()
        await sandbox.bench.deliveries.close()
        server.should_exit = True
        await serving

    def control(self, method: str, path: str, /, **body: object) -> dict:
        """One call to `/_sandbox`; fails the test when it is refused."""
        answer = self.api.request(method, f"/_sandbox/{path}", json=body or None)
        assert answer.is_success, answer.text
        return answer.json()

    def advance(self, seconds: float) -> None:
        """Move virtual time forward."""
        self.control("POST", "clock/advance", seconds=seconds)

    def fresh(self) -> None:
        """A fresh account without rate limits."""
        self.control("POST", "reset", seed=7)
        self.control("PUT", "limits", burst=100_000, search_per_s=100_000, daily=10_000_000)

    def wait_for(self, found, timeout_s: float = 60.0):
        """Poll `found()` until it is truthy."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            result = found()
            if result:
                return result
            time.sleep(0.02)
        raise AssertionError("nothing came in time")

    def close(self) -> None:
        """Stop the server."""
        self.api.close()
        self._stop.set()
        self._thread.join(10)


@pytest.fixture(scope="session")
def _running() -> Iterator[Running]:
    running = Running()
    yield running
    running.close()


@pytest.fixture
def hub(_running: Running) -> Running:
    """A fresh account."""
    _running.fresh()
    return _running
