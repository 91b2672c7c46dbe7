"""Wakes a worker at once: by a UDP datagram on the same machine, by PostgreSQL's LISTEN across machines.

Either may be lost: the worker's slow poll is the safety net.
"""

import asyncio
import contextlib
import logging
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from flows.ledger import presence
from flows.ledger.database import Ledger
from flows.ledger.inbox import WAKE_CHANNEL

log = logging.getLogger(__name__)

_HOST = "127.0.0.1"
_ALIVE_S = 30
_LISTEN_EVERY_S = 10
_ASK_EVERY_S = 5.0  # how long the list of live workers is reused
_ASK_AGAIN_S = 0.5  # while there is none: a worker that starts reads the inbox by itself


class WakeListener(asyncio.DatagramProtocol):
    """The worker's wake-up socket. `port`: where a gateway on this machine sends its datagrams."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._awake = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None
        self._listener: asyncpg.Connection | None = None
        self._listened_at = float("-inf")
        self.port: int | None = None

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A datagram arrived; its content does not matter."""
        self._awake.set()

    def wake(self) -> None:
        """End the current wait."""
        self._awake.set()

    async def open(self) -> None:
        """Start to listen."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(_HOST, 0))
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]
        await self._listen()

    async def close(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.close()
        if self._listener is not None:
            with contextlib.suppress(Exception):
                await self._listener.close(timeout=2)

    async def wait(self, seconds: float) -> None:
        """Wait until woken, at most this many seconds."""
        if self._listener is None or self._listener.is_closed():
            await self._listen()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._awake.wait(), seconds)
        self._awake.clear()

    async def _listen(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._ledger.dialect != "postgresql" or now - self._listened_at < _LISTEN_EVERY_S:
            return
        self._listened_at = now
        address = self._ledger.url.set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            self._listener = await asyncpg.connect(address, timeout=5)
            await self._listener.add_listener(WAKE_CHANNEL, lambda *_: self._awake.set())
        except (OSError, asyncpg.PostgresError, TimeoutError):
            log.warning("cannot listen to PostgreSQL; polling continues")


class WakeSender:
    """Wakes the workers of this machine for the gateway. On PostgreSQL the database does this."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._ports: list[int] = []
        self._asked_at = float("-inf")

    async def wake(self) -> None:
        """Send a datagram to each worker; never fails, never waits for them."""
        if self._ledger.dialect == "postgresql":
            return
        now = asyncio.get_running_loop().time()
        if now - self._asked_at > (_ASK_EVERY_S if self._ports else _ASK_AGAIN_S):
            self._asked_at = now
            async with self._ledger.read() as tx:
                alive = await presence.alive(tx, since=datetime.now(UTC) - timedelta(seconds=_ALIVE_S))
            self._ports = [worker.wake_port for worker in alive if worker.wake_port]
        for port in self._ports:
            with contextlib.suppress(OSError):
                self._socket.sendto(b"1", (_HOST, port))

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
