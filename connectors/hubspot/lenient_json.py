"""Lenient JSON parsing: every function takes any value and returns a typed one or None."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.http.errors import UnreadableAnswerError


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """The value if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def next_after(data: object) -> str | None:
    """The cursor of the next page in an answer's `paging`."""
    return identifier(mapping(mapping(mapping(data).get("paging")).get("next")).get("after"))


def text(value: object) -> str | None:
    """A JSON scalar as HubSpot writes it; arrays and objects as JSON text."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    return json.dumps(value)


def identifier(value: object) -> str | None:
    """An id as text: ids arrive as strings in objects and as numbers in associations and events."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None


def whole(value: object) -> int | None:
    """A whole number, also from text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20:
        return int(value)
    return None


def moment(value: object) -> datetime | None:
    """A time, aware UTC, from ISO 8601 text or epoch milliseconds; None when it is neither."""
    try:
        number = whole(value)
        if number is not None:
            return datetime.fromtimestamp(number / 1000, UTC)
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
            return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def required(row: Mapping[str, Any], key: str, what: str) -> str:
    """The id under `key`. Raises UnreadableAnswerError without one."""
    found = identifier(row.get(key))
    if found is None:
        raise UnreadableAnswerError("hubspot", "parse", detail=f"{what} without {key}")
    return found
