"""A TCP forwarder in front of a server, which can be stopped and started as in a restart."""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from typing import Any

_HOST = "127.0.0.1"


class Forwarder:
    """Listens on its own port and forwards bytes to `target` (host, port), in its own thread.

    `cut()`: every connection is reset and new ones are refused; `restore()`: it listens again on the same port.
    Both may be called from any thread.
    """

    def __init__(self, target: tuple[str, int], *, listening: bool = True) -> None:
        self._target = target
        self._listener: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._passing: set[asyncio.Task[None]] = set()
        # Bound but not listening: the port stays ours, and whoever connects is refused.
        self._place = socket.socket()
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._place.bind((_HOST, 0))
        self.port: int = self._place.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        if listening:
            self.restore()

    def restore(self) -> None:
        """Listen (again)."""
        self._wait_for(self._listen())

    def cut(self) -> None:
        """Reset open connections, refuse new ones."""
        self._wait_for(self._cut())

    def close(self) -> None:
        """Stop for good."""
        self._wait_for(self._cut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
        self._place.close()

    def _wait_for(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, _HOST, self.port, reuse_port=True)

    async def _cut(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*self._passing, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        self._open.add(writer)
        try:
            there, back = await asyncio.open_connection(*self._target)
            self._open.add(back)
            try:
                await asyncio.gather(_pass(reader, back), _pass(there, writer))
            finally:
                back.transport.abort()
                self._open.discard(back)
        except OSError:
            pass
        finally:
            writer.transport.abort()
            self._open.discard(writer)
            self._passing.discard(task)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        return
    finally:
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()
