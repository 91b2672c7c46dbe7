"""The worker's connection to the Prefect server, with faster retries than Prefect's own client.

A SQLite-backed server answers 503 whenever two writers meet. Prefect's client then sleeps two seconds and more
(measured; the base cannot be set), during which the worker's lane is blocked. The other writer is done within
milliseconds, so this retries at once, a few times, before Prefect's client waits.
"""

import asyncio
from urllib.parse import urlsplit

import httpx
from prefect.context import AsyncClientContext
from prefect.settings import PREFECT_API_URL

WAITS_S = (0.02, 0.05, 0.1, 0.2, 0.4)
_CONNECT_S = 2.0


class QuickRetry(httpx.AsyncBaseTransport):
    """Sends a request again after a 503, at most len(WAITS_S) times; anything else passes through.

    Safe for every call: the server answers 503 only when its transaction was rolled back.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and send again while the server is busy."""
        for wait_s in WAITS_S:
            response = await self._inner.handle_async_request(request)
            if response.status_code != 503:
                return response
            await response.aclose()
            await asyncio.sleep(wait_s)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


async def is_listening() -> bool:
    """Whether anything takes connections where Prefect's server should be. Its own client tries every few seconds."""
    url = urlsplit(PREFECT_API_URL.value() or "")
    port = url.port or (80 if url.scheme == "http" else 443)
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(url.hostname, port)
    except OSError:  # a time-out is one
        return False
    writer.close()
    return True


def client_context() -> AsyncClientContext:
    """A context with one client for the whole process: otherwise each run would build its own."""
    transport = QuickRetry(httpx.AsyncHTTPTransport(retries=3))
    context = AsyncClientContext(httpx_settings={"transport": transport})
    # `get_client()` gives the shared client only to callers with the same settings; they ask with none.
    context._httpx_settings = None
    return context
