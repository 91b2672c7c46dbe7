"""The request log of a stand-in: one row per request, without secrets, oldest first, with a maximum size."""

import hashlib
from collections import Counter, deque
from dataclasses import asdict, dataclass, field


@dataclass
class RequestRow:
    """One request to the stand-in. `operation` is the route's template, for counting."""

    n: int
    at_ms: int
    method: str
    path: str
    query: str
    operation: str = ""
    status: int = 0
    duration_ms: float = 0.0
    fault: str = ""
    request_bytes: int = 0
    body_sha256: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: object = None  # parsed JSON, form fields, or None; file contents are left out


# The credential itself is never kept: only whether one was sent, and a short digest to distinguish two.
_SECRET_HEADERS = {"authorization", "cookie", "x-api-key"}


class RequestLog:
    """The last `limit` requests and an exact count per operation."""

    def __init__(self, limit: int = 20_000) -> None:
        self._rows: deque[RequestRow] = deque(maxlen=limit)
        self._n = 0
        self.counts: Counter[str] = Counter()

    def open(self, *, at_ms: int, method: str, path: str, query: str, headers: dict[str, str]) -> RequestRow:
        """Start a row; the caller fills in status, duration and body."""
        self._n += 1
        kept = {
            k: (f"sha256:{hashlib.sha256(v.encode()).hexdigest()[:12]}" if k in _SECRET_HEADERS else v)
            for k, v in headers.items()
        }
        row = RequestRow(n=self._n, at_ms=at_ms, method=method, path=path, query=query, headers=kept)
        self._rows.append(row)
        return row

    def close(self, row: RequestRow) -> None:
        """Count the finished request."""
        self.counts[f"{row.method} {row.operation or row.path}"] += 1

    def rows(self, *, since: int = 0, path: str = "", method: str = "") -> list[dict[str, object]]:
        """Rows with n > since whose path contains `path`."""
        return [
            asdict(r)
            for r in self._rows
            if r.n > since and path in r.path and (not method or r.method == method.upper())
        ]

    @property
    def total(self) -> int:
        """The number of all requests."""
        return self._n

    def kept(self) -> dict[str, object]:
        """Everything, for a snapshot."""
        return {"_rows": self._rows, "_n": self._n, "counts": self.counts}

    def take_back(self, kept: dict[str, object]) -> None:
        """What a snapshot kept."""
        vars(self).update(kept)

    def clear(self) -> None:
        """Clear the log (used by reset)."""
        self._rows.clear()
        self._n = 0
        self.counts.clear()
