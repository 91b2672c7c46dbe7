"""HTTP to the stand-ins over one connection, without features that a loopback address does not need.

A rehearsal makes some fifteen thousand calls one after another; httpx's own transport took half of its time.
Redirects, proxies, TLS, streaming and parallel calls are not supported: use httpx's client for them.
"""

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx

_SKIPPED = {b"connection", b"accept-encoding", b"transfer-encoding"}


def loopback_client(url: str) -> httpx.AsyncClient:
    """A client for one stand-in."""
    return PlainClient(url, Loopback(url))


class PlainClient(httpx.AsyncClient):
    """An `httpx.AsyncClient` that passes each request unchanged to its transport: no cookies, redirects or hooks."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport) -> None:
        super().__init__(base_url=url, transport=transport, trust_env=False)
        self._plainly = transport

    async def send(self, request: httpx.Request, **_how: Any) -> httpx.Response:
        """Send a request and read the whole answer. Raises the transport's errors."""
        response = await self._plainly.handle_async_request(request)
        await response.aread()
        return response


class Loopback(httpx.AsyncBaseTransport):
    """A transport for `httpx.AsyncClient`. One call at a time; an answer needs a length, which the stand-ins send."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._turn = asyncio.Lock()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send and read the whole answer. Raises httpx.ReadError when the connection ends too early."""
        body = await request.aread()
        lines = [request.method.encode() + b" " + request.url.raw_path + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in request.headers.raw if name.lower() not in _SKIPPED]
        if body and "content-length" not in request.headers:
            lines.append(b"content-length: %d" % len(body))
        async with self._turn:
            try:
                return await self._exchange(b"\r\n".join(lines) + b"\r\n\r\n" + body, request)
            except (asyncio.IncompleteReadError, ConnectionError) as problem:
                await self.aclose()
                raise httpx.ReadError(type(problem).__name__, request=request) from None

    async def _exchange(self, data: bytes, request: httpx.Request) -> httpx.Response:
        if self._reader is None or self._reader.at_eof():  # the other side has closed an idle connection
            await self.aclose()
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        assert self._writer is not None
        self._writer.write(data)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status_line, *rows = head[:-4].split(b"\r\n")
        headers = [(name, value) for name, _, value in (row.partition(b": ") for row in rows)]
        length = next((int(value) for name, value in headers if name.lower() == b"content-length"), 0)
        content = await self._reader.readexactly(length) if length else b""
        return httpx.Response(
            int(status_line.split(b" ", 2)[1]),
            headers=headers,
            content=content,
            request=request,
        )

    async def aclose(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()
            self._reader = self._writer = None
