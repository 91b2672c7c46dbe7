"""HubSpot's statuses and error bodies: the one table from status to error class.

Sources, read 2026-11-22: developers.hubspot.com/docs/api-reference/error-handling (423, 477, 502 to 526),
developers.hubspot.com/docs/api/usage-details (429), the CRM write-validation changelog (400 with property
names).
"""

import json
import re
from collections.abc import Iterable, Mapping
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
    UnreadableAnswerError,
)
from connectors.http.exchange import ErrorDetail, Vendor

STATUSES: Final[Mapping[int, type[ConnectorError]]] = {
    400: RejectedError,
    401: AuthError,
    402: AuthError,
    403: AuthError,
    404: NotFoundError,
    405: RejectedError,
    408: TransientError,
    409: ConflictError,
    410: GoneError,
    413: RejectedError,
    414: RejectedError,  # the URL grew too long: too many properties in a GET
    415: RejectedError,
    422: RejectedError,
    423: TransientError,  # locked by too many writes, for two seconds
    425: TransientError,
    429: RateLimitedError,
    477: TransientError,  # the account moves to another data centre; Retry-After in seconds, up to 24 h
    500: TransientError,
    502: TransientError,
    503: TransientError,
    504: TransientError,
    521: TransientError,
    522: UnreadableAnswerError,  # 522, 525, 526: the vendor says report, not retry
    523: TransientError,
    524: TransientError,  # over the server's 100 s
    525: UnreadableAnswerError,
    526: UnreadableAnswerError,
}

WAIT_S: Final[Mapping[int, float]] = {423: 2.0}


def read_detail(body: object) -> ErrorDetail:
    """The machine-readable content of an error body; accepts every shape and never raises."""
    if not isinstance(body, dict):
        return ErrorDetail()
    errors = [one for one in _list(body.get("errors")) if isinstance(one, dict)]
    contexts = [body.get("context"), *(one.get("context") for one in errors)]
    message = body.get("message")
    category = body.get("category") or body.get("errorType")
    codes = [one.get("code") for one in errors if isinstance(one.get("code"), str)]
    if category == "VALIDATION_ERROR" and codes:
        category = codes[0]
    return ErrorDetail(
        category=category if isinstance(category, str) else None,
        request_id=_text(body.get("correlationId") or body.get("requestId")),
        properties=(*_from_contexts(contexts, "propertyName"), *_named_in_message(message)),
        existing_id=next(iter(_from_contexts(contexts, "existingId")), None) or _existing_id(message),
        missing_scopes=_from_contexts(contexts, "requiredGranularScopes"),
    )


HUBSPOT: Final = Vendor("hubspot", STATUSES, read_detail, wait_s=WAIT_S)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _from_contexts(contexts: Iterable[object], key: str) -> tuple[str, ...]:
    found: list[str] = []
    for context in contexts:
        value = context.get(key) if isinstance(context, dict) else None
        values = value if isinstance(value, list) else [value]
        found.extend(str(one) for one in values if isinstance(one, (str, int)) and not isinstance(one, bool))
    return tuple(dict.fromkeys(found))


def _named_in_message(message: object) -> tuple[str, ...]:
    # An unknown property is given as a JSON list inside the message text.
    if not isinstance(message, str) or "[" not in message:
        return ()
    start, end = message.find("["), message.rfind("]")
    try:
        rows = json.loads(message[start : end + 1])
    except (ValueError, RecursionError):
        return ()
    names = [row.get("name") for row in _list(rows) if isinstance(row, dict)]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def _existing_id(message: object) -> str | None:
    found = re.search(r"Existing ID: (\d{1,20})", message) if isinstance(message, str) else None
    return found.group(1) if found else None
