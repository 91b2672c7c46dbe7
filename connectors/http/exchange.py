"""One HTTP exchange with a vendor: sends once, and returns bytes or raises one of `connectors.http.errors`.

The status decides, never the body: proxies answer HTML and one vendor's own sample error is not valid JSON.
Nothing is retried, no redirect is followed, no proxy is taken from the environment, no body is logged.
"""

import asyncio
import json
import re
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

import httpx

from connectors.http.errors import (
    Applied,
    ConnectorError,
    RateLimitedError,
    TransientError,
    UnreadableAnswerError,
    WouldWriteError,
)
from connectors.http.pacing import Lane, Pace
from connectors.http.statuses import ErrorDetail, Vendor

__all__ = [
    "Answer",
    "BeforeSend",
    "CallRecord",
    "ErrorDetail",
    "Exchange",
    "OnCall",
    "Timeouts",
    "Vendor",
    "make_http",
]

MAX_BODY_BYTES = 100 * 1024 * 1024


@dataclass(frozen=True)
class Timeouts:
    """Seconds for each phase of one call; total_s limits the whole call, so that a slow answer cannot block us."""

    connect_s: float = 5.0
    read_s: float = 30.0
    write_s: float = 30.0
    pool_s: float = 10.0
    total_s: float = 120.0


@dataclass(frozen=True)
class CallRecord:
    """What metrics may record about one call. status is None without an answer; outcome is "ok" or a class
    name."""

    vendor: str
    operation: str
    status: int | None
    duration_s: float
    outcome: str


OnCall = Callable[[CallRecord], None]
Retrying = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Runs a call, again where its caller wants that: connectors themselves never retry."""
BeforeSend = Callable[[], Awaitable[None]]
"""Awaited after pacing and directly before a write leaves. What it raises goes to the caller, and nothing is sent."""


@dataclass(frozen=True)
class Answer:
    """An answer with an expected status and its complete body."""

    vendor: str
    operation: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    write: bool

    def json(self) -> Any:
        """The body as JSON. Raises UnreadableAnswerError (applied "maybe" for a write) when it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            self.not_understood("the body is not JSON")

    def not_understood(self, detail: str) -> NoReturn:
        """Raise UnreadableAnswerError for this answer."""
        applied: Applied = "maybe" if self.write else "no"
        raise UnreadableAnswerError(
            self.vendor, self.operation, status=self.status, detail=detail, applied=applied
        )


def make_http(timeouts: Timeouts | None = None, *, max_connections: int = 20) -> httpx.AsyncClient:
    """An HTTP client that may be shared: keep-alive, no redirects, no proxy or credentials from the environment."""
    times = timeouts or Timeouts()
    return httpx.AsyncClient(
        timeout=httpx.Timeout(
            connect=times.connect_s, read=times.read_s, write=times.write_s, pool=times.pool_s
        ),
        limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
        trust_env=False,
        follow_redirects=False,
        verify=_tls(),
    )


@cache
def _tls() -> ssl.SSLContext:
    """Reading all certificate authorities takes a moment; every client of this process may share them."""
    return httpx.create_ssl_context(trust_env=False)


class Exchange:
    """Sends calls of one vendor over a shared HTTP client, paced and counted."""

    def __init__(
        self,
        vendor: Vendor,
        *,
        base_url: str,
        authorization: str,
        http: httpx.AsyncClient | None = None,
        pace: Pace | None = None,
        on_call: OnCall | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.vendor = vendor
        self.base_url = base_url.rstrip("/")
        self.timeouts = timeouts or Timeouts()
        self.http = http or make_http(self.timeouts)
        self._owns_http = http is None
        self._authorization = authorization
        self._pace = pace
        self._on_call = on_call

    async def close(self) -> None:
        """Close the HTTP client if this exchange made it."""
        if self._owns_http:
            await self.http.aclose()

    async def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        write: bool,
        expect: Sequence[int] = (200,),
        buckets: Sequence[str] = (),
        lane: Lane = Lane.NORMAL,
        params: Mapping[str, str] | None = None,
        json_body: object = None,
        form: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        before_send: BeforeSend | None = None,
    ) -> Answer:
        """Send once. `path` is below the base URL and already escaped. `write` says whether it can change
        things. `before_send` is awaited when everything else is ready.

        Raises the ConnectorError that the vendor's table has for the status, TransientError when no answer came,
        UnreadableAnswerError when it cannot be parsed or is larger than MAX_BODY_BYTES.
        """
        if self._pace is not None and buckets:
            await self._pace.wait(buckets, lane)
        headers = {"Authorization": self._authorization, "Accept": "application/json, */*;q=0.1"}
        request = self.http.build_request(
            method,
            self.base_url + path,
            params=params,
            json=json_body,
            data=form,
            files=files,
            headers=headers,
        )
        if before_send is not None:
            await before_send()
        try:
            return await self._measured(operation, request, write=write, expect=expect)
        except RateLimitedError as error:
            self._slow_down(buckets, error)
            raise

    def read_only(self, about: Callable[[str], str]) -> "Exchange":
        """The same exchange (same connections, same pace) whose `call` raises WouldWriteError for every write.

        `about`: returns the object type of a path, for the error.
        """
        return _ReadOnly(self, about)

    async def fetch(self, operation: str, url: str) -> Answer:
        """GET an address that the vendor gave (a signed file URL), without our credentials."""
        if httpx.URL(url).scheme not in ("https", "http"):
            raise UnreadableAnswerError(
                self.vendor.name, operation, detail="the file address is not a web address"
            )
        request = self.http.build_request("GET", url)
        return await self._measured(operation, request, write=False, expect=(200,))

    async def _measured(
        self, operation: str, request: httpx.Request, *, write: bool, expect: Sequence[int]
    ) -> Answer:
        started = time.perf_counter()
        status: int | None = None
        outcome = "cancelled"
        try:
            answer = await self._once(operation, request, write=write)
            status = answer.status
            if status not in expect:
                raise self.vendor.error(
                    operation, status, answer.headers, answer.body, write=write, now_s=time.time()
                )
            outcome = "ok"
            return answer
        except ConnectorError as error:
            outcome, status = type(error).__name__, error.status
            raise
        finally:
            if self._on_call is not None:
                spent = time.perf_counter() - started
                self._on_call(CallRecord(self.vendor.name, operation, status, spent, outcome))

    async def _once(self, operation: str, request: httpx.Request, *, write: bool) -> Answer:
        status: int | None = None
        try:
            async with asyncio.timeout(self.timeouts.total_s):
                response = await self.http.send(request, stream=True)
                status = response.status_code
                try:
                    body = await self._read(operation, response, write)
                finally:
                    await response.aclose()
        except httpx.InvalidURL:
            raise UnreadableAnswerError(self.vendor.name, operation, detail="not a usable address") from None
        except (httpx.HTTPError, TimeoutError) as problem:
            raise self._no_answer(operation, problem, status, write) from None
        return Answer(self.vendor.name, operation, status, response.headers, body, write)

    async def _read(self, operation: str, response: httpx.Response, write: bool) -> bytes:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise UnreadableAnswerError(
                    self.vendor.name,
                    operation,
                    status=response.status_code,
                    detail="the answer is too large",
                    applied="maybe" if write else "no",
                )
            chunks.append(chunk)
        return b"".join(chunks)

    def _no_answer(
        self, operation: str, problem: Exception, status: int | None, write: bool
    ) -> ConnectorError:
        # Only these surely happened before the request was sent: after any other the vendor may have received it.
        before = isinstance(problem, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
        before = before or isinstance(problem, (httpx.UnsupportedProtocol, httpx.ProxyError))
        applied: Applied = "no" if before or not write else "maybe"
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(problem).__name__).lower()
        kind = UnreadableAnswerError if isinstance(problem, httpx.DecodingError) else TransientError
        return kind(self.vendor.name, operation, status=status, detail=words, applied=applied)

    def _slow_down(self, buckets: Sequence[str], error: RateLimitedError) -> None:
        if self._pace is None or not buckets:
            return
        wait_s = error.retry_after_s
        self._pace.penalise(buckets, self._pace.window_s(buckets) if wait_s is None else wait_s)


class _ReadOnly(Exchange):
    def __init__(self, inner: Exchange, about: Callable[[str], str]) -> None:
        super().__init__(
            inner.vendor,
            base_url=inner.base_url,
            authorization=inner._authorization,
            http=inner.http,
            pace=inner._pace,
            on_call=inner._on_call,
            timeouts=inner.timeouts,
        )
        self._about = about

    async def call(self, operation: str, method: str, path: str, *, write: bool, **more: Any) -> Answer:
        if write:
            body = more.get("json_body")
            inputs = body.get("inputs") if isinstance(body, dict) else None
            rows = len(inputs) if isinstance(inputs, list) else 1
            raise WouldWriteError(self.vendor.name, operation, about=self._about(path), rows=rows)
        return await super().call(operation, method, path, write=False, **more)
