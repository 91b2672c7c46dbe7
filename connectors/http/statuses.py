"""Turns a vendor's answers, by its status table and the codes in its error bodies, into
`connectors.http.errors`.

The status decides, never the body: proxies answer HTML and one vendor's own sample error is not valid JSON.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.http.errors import (
    Applied,
    AuthError,
    ConflictError,
    ConnectorError,
    RejectedError,
    TransientError,
    UnreadableAnswerError,
)

MAX_WAIT_S = 24 * 3600.0


@dataclass(frozen=True)
class ErrorDetail:
    """The machine-readable content of a vendor's error body; every field may be missing."""

    category: str | None = None
    request_id: str | None = None
    properties: tuple[str, ...] = ()
    error_path: str | None = None
    existing_id: str | None = None
    missing_scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vendor:
    """How one vendor answers: its status table, its exceptions by operation, and how to read an error
    body."""

    name: str
    statuses: Mapping[int, type[ConnectorError]]
    read_detail: Callable[[object], ErrorDetail]
    by_operation: Mapping[tuple[str, int], type[ConnectorError]] = field(default_factory=dict)
    wait_s: Mapping[int, float] = field(default_factory=dict)
    doubtful: frozenset[tuple[str, int]] = frozenset()

    def error(
        self,
        operation: str,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        *,
        write: bool,
        now_s: float,
    ) -> ConnectorError:
        """The error for a status outside the expected ones. now_s: Unix time, to read reset headers."""
        kind = self.by_operation.get((operation, status)) or self.statuses.get(status) or _by_class(status)
        detail = self.read_detail(_lenient_json(body))
        common: dict[str, Any] = {
            "status": status,
            "category": detail.category,
            "request_id": detail.request_id or _header(headers, "x-hubspot-correlation-id"),
            "retry_after_s": _wait_s(headers, status, now_s, self.wait_s.get(status)),
            "applied": self._applied(operation, status, write),
        }
        if issubclass(kind, RejectedError):
            common |= {"properties": detail.properties, "error_path": detail.error_path}
        if issubclass(kind, ConflictError):
            common |= {"existing_id": detail.existing_id}
        if issubclass(kind, AuthError):
            common |= {"missing_scopes": detail.missing_scopes}
        return kind(self.name, operation, **common)

    def _applied(self, operation: str, status: int, write: bool) -> Applied:
        if not write:
            return "no"
        if (operation, status) in self.doubtful:
            return "maybe"
        return "no" if 400 <= status < 500 else "maybe"


def _by_class(status: int) -> type[ConnectorError]:
    if 400 <= status < 500:
        return RejectedError
    return TransientError if status >= 500 else UnreadableAnswerError


def _lenient_json(body: bytes) -> object:
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed


def _header(headers: Mapping[str, str], name: str) -> str | None:
    for key, value in headers.items():
        if key.lower() == name:
            return value
    return None


def _wait_s(headers: Mapping[str, str], status: int, now_s: float, usual: float | None) -> float | None:
    """Seconds to wait: Retry-After, else X-Ratelimit-Reset (Unix seconds, on 429 only), else the usual."""
    named = _number(_header(headers, "retry-after"))
    if named is None and status == 429:
        reset = _number(_header(headers, "x-ratelimit-reset"))
        named = None if reset is None else reset - now_s
    if named is None:
        return usual
    return min(max(named, 0.0), MAX_WAIT_S)


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\s*\d{1,12}(\.\d{1,6})?\s*", text):
        return None
    return float(text)
