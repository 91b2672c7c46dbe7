"""Dropbox Sign's statuses and error bodies: the one table from status to error class.

Sources, read 2026-11-22: the vendor's OpenAPI document of July 2026 (x-error-codes, x-error-events) and of
September 2025 (409 and 410 per operation).
"""

from collections.abc import Mapping
from typing import Final

from connectors.http.errors import (
    AuthError,
    ConflictError,
    ConnectorError,
    GoneError,
    NotFoundError,
    RateLimitedError,
    RejectedError,
    TransientError,
)
from connectors.http.exchange import ErrorDetail, Vendor

STATUSES: Final[Mapping[int, type[ConnectorError]]] = {
    400: RejectedError,
    401: AuthError,
    402: AuthError,  # the plan does not cover binding requests
    403: AuthError,
    404: NotFoundError,
    405: RejectedError,
    408: TransientError,
    409: ConflictError,
    410: GoneError,  # cancelled or deleted
    413: RejectedError,
    422: RejectedError,
    429: RateLimitedError,
    500: TransientError,
    502: TransientError,
    503: TransientError,
    504: TransientError,
}

BY_OPERATION: Final[Mapping[tuple[str, int], type[ConnectorError]]] = {
    ("download_pdf", 409): TransientError,  # the file is still being prepared
    ("download_pdf", 403): RejectedError,  # signature_request_expired: about this request, not about our key
    ("list_requests", 409): TransientError,  # two identical lists at once
    ("get_request", 409): TransientError,
    ("account", 409): TransientError,
    ("api_app", 409): TransientError,
    ("cancel", 409): TransientError,  # still being set up
    ("remind", 409): TransientError,
}

# A 409 on a send says that an identical request is being processed: our own first try, perhaps.
DOUBTFUL: Final = frozenset({("send", 409), ("send_with_template", 409)})


def read_detail(body: object) -> ErrorDetail:
    """The machine words of an error body; tolerant of every shape (never raises)."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return ErrorDetail()
    name, path = error.get("error_name"), error.get("error_path")
    return ErrorDetail(
        category=name if isinstance(name, str) else None,
        error_path=path if isinstance(path, str) else None,
    )


DROPBOX_SIGN: Final = Vendor(
    "dropbox_sign", STATUSES, read_detail, by_operation=BY_OPERATION, doubtful=DOUBTFUL
)
