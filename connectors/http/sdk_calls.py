"""Runs one call of a vendor's own SDK (urllib3 underneath) with the same results and errors as `exchange`.

Both official SDKs raise their own exception classes for statuses, urllib3's for the network, and sometimes
an AttributeError or UnicodeDecodeError from their error handling; for all of them the caller gets a
ConnectorError. Seen in hubspot-api-client 12.0.0 and dropbox-sign 2.0.0, 2026-11-22.
"""

from __future__ import annotations

import re
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from connectors.http.errors import Applied, ConnectorError, TransientError, UnreadableAnswerError
from connectors.http.exchange import MAX_BODY_BYTES, Answer, CallRecord, OnCall, Vendor

# Raised before a single byte of the request was sent, by class name, anywhere in the exception chain.
_NEVER_SENT = frozenset(
    {
        "NewConnectionError",
        "ConnectTimeoutError",
        "NameResolutionError",
        "EmptyPoolError",
        "FullPoolError",
        "ProxyError",
        "LocationParseError",
        "LocationValueError",
        "URLSchemeUnknown",
        "SSLCertVerificationError",
    }
)
_HANDSHAKE = re.compile(r"CERTIFICATE_|WRONG_VERSION|HANDSHAKE|UNSUPPORTED_PROTOCOL|TLSV1_ALERT|UNKNOWN_CA")


class SdkCall:
    """Runs SDK calls of one vendor. total_s limits the reading of an answer, in seconds."""

    def __init__(self, vendor: Vendor, *, total_s: float, on_call: OnCall | None) -> None:
        self._vendor = vendor
        self._total_s = total_s
        self._on_call = on_call

    def run(
        self, operation: str, send: Callable[[], Any], *, write: bool, expect: tuple[int, ...] = (200,)
    ) -> Answer:
        """Return the raw answer of `send`, which returns an unread urllib3 response. Raises ConnectorError."""
        started = time.monotonic()
        status: int | None = None
        outcome = "unexpected"
        try:
            answer = self._attempt(operation, send, write, started)
            status = answer.status
            if status not in expect:
                raise self._vendor.error(
                    operation, status, answer.headers, answer.body, write=write, now_s=time.time()
                )
            outcome = "ok"
            return answer
        except ConnectorError as error:
            outcome, status = type(error).__name__, error.status
            raise
        finally:
            if self._on_call is not None:
                spent = time.monotonic() - started
                self._on_call(CallRecord(self._vendor.name, operation, status, spent, outcome))

    def _attempt(self, operation: str, send: Callable[[], Any], write: bool, started: float) -> Answer:
        status: int | None = None
        outer = sys.exception()
        try:
            response = send()
            status = int(response.status)
            try:
                body = self._read(response, started)
            finally:
                response.close()
            headers = {str(key): str(value) for key, value in response.headers.items()}
        except (
            Exception
        ) as problem:  # whatever the SDK raises, the caller must know if the vendor may have acted
            chain = list(_chain(problem, outer))
            answered = _status_in(chain)
            if answered is not None:
                return Answer(self._vendor.name, operation, answered[0], answered[1], answered[2], write)
            raise self._no_answer(operation, chain, status, write) from None
        return Answer(self._vendor.name, operation, status, headers, body, write)

    def _read(self, response: Any, started: float) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while chunk := response.read1(65_536, decode_content=True):
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_BODY_BYTES or time.monotonic() - started > self._total_s:
                raise _Endless
        return b"".join(chunks)

    def _no_answer(
        self, operation: str, chain: list[BaseException], status: int | None, write: bool
    ) -> ConnectorError:
        never_sent = status is None and any(_never_sent(one) for one in chain)
        applied: Applied = "no" if never_sent or not write else "maybe"
        passing = any(_is_network(one) or isinstance(one, _Endless) for one in chain)
        kind = TransientError if passing else UnreadableAnswerError
        return kind(self._vendor.name, operation, status=status, detail=_words(chain[0]), applied=applied)


class _Endless(Exception):
    """The answer is too long or takes too long."""


def _chain(problem: BaseException, outer: BaseException | None) -> Iterator[BaseException]:
    """The exception, what it was raised from, and urllib3's `reason`s, each once.

    `outer` was being handled when the call began: Python adds it as context, but it belongs to another
    call.
    """
    seen: set[int] = {id(outer)}
    queue: list[object] = [problem]
    while queue:
        one = queue.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        queue += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]


def _never_sent(one: BaseException) -> bool:
    names = {kind.__name__ for kind in type(one).__mro__}
    if names & _NEVER_SENT:
        return True
    return isinstance(one, ssl.SSLError) and bool(_HANDSHAKE.search(str(one.reason or "")))


def _is_network(one: BaseException) -> bool:
    return isinstance(one, OSError) or type(one).__module__.startswith("urllib3")


def _status_in(chain: list[BaseException]) -> tuple[int, Mapping[str, str], bytes] | None:
    """Status, headers and body of an SDK exception in the chain that carries an answer."""
    for one in chain:
        status = getattr(one, "status", None)
        if isinstance(status, int) and 100 <= status <= 599 and hasattr(one, "body"):
            headers: Any = getattr(one, "headers", None) or {}
            body = getattr(one, "body", None) or b""
            raw = body if isinstance(body, bytes) else str(body).encode("utf-8", "replace")
            return status, {str(key): str(value) for key, value in headers.items()}, raw
    return None


def _words(problem: BaseException) -> str:
    name = type(problem).__name__.removeprefix("_")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
