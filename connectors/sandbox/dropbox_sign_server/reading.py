"""Reads single parameters of a body, strictly, with the vendor's error path for each refusal."""

import re
from collections.abc import Mapping

from connectors.sandbox.dropbox_sign_server.errors import VendorError, bad

_EMAIL = re.compile(r"^[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>.]+$")
_HOUR_S = 3600
_DAY_S = 86_400

Fields = Mapping[str, object]


def text(fields: Fields, name: str, *, longest: int = 5000, path: str | None = None) -> str | None:
    """An optional string of at most `longest` characters."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise bad(f"{name} must be a string", path or name)
    if len(value) > longest:
        raise bad(f"This value is too long. It should have {longest} characters or less.", path or name)
    return value


def needed(fields: Fields, name: str, path: str) -> str:
    """A required string that must not be blank."""
    value = text(fields, name, path=path)
    if value is None or not value.strip():
        raise bad("This value should not be blank", path)
    return value


def flag(fields: Fields, name: str) -> bool:
    """A boolean: true/false or 1/0, as JSON or as form text."""
    value = fields.get(name)
    if value is None or value == "":
        return False
    if value in (True, 1) or (isinstance(value, str) and value.lower() in ("1", "true")):
        return True
    if value in (False, 0) or (isinstance(value, str) and value.lower() in ("0", "false")):
        return False
    raise bad(f"{name} must be a boolean", name)


def whole(fields: Fields, name: str, path: str | None = None) -> int | None:
    """An optional whole number."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
        return int(value)
    raise bad(f"{name} must be an integer", path or name)


def rows(fields: Fields, name: str) -> list[Fields]:
    """A list of objects; absent is empty."""
    value = fields.get(name)
    if value is None or value == "":
        return []
    if not isinstance(value, list) or any(not isinstance(row, dict) for row in value):
        raise bad(f"{name} must be an array of objects", name)
    return value


def strings(fields: Fields, name: str) -> list[str]:
    """A list of strings; absent is empty."""
    value = fields.get(name)
    if value is None or value == "":
        return []
    if not isinstance(value, list) or any(not isinstance(row, str) for row in value):
        raise bad(f"{name} must be an array of strings", name)
    return list(value)


def email(fields: Fields, name: str, path: str) -> str:
    """An e-mail address in a valid form. Raises VendorError (400)."""
    value = needed(fields, name, path).strip()
    if not _EMAIL.match(value):
        raise bad("This value is not a valid email address.", path)
    return value


def metadata(fields: Fields) -> dict[str, object]:
    """At most 10 keys of 40 characters, values of 1000; numbers become strings (openapi-2026-07.yaml)."""
    value = fields.get("metadata")
    if value is None or value in ("", []):
        return {}
    if not isinstance(value, dict):
        raise bad("metadata must be an object", "metadata")
    if len(value) > 10:
        raise bad("metadata may have at most 10 keys", "metadata")
    return {key: _metadata_value(str(key), inner, depth=0) for key, inner in value.items()}


def _metadata_value(key: str, value: object, depth: int) -> object:
    if len(key) > 40:
        raise bad("A metadata key may have at most 40 characters", "metadata")
    if isinstance(value, dict) and depth < 2:
        if len(value) > 50:
            raise bad("metadata may have at most 50 nested keys", "metadata")
        return {k: _metadata_value(str(k), v, depth + 1) for k, v in value.items()}
    if isinstance(value, bool):
        value = "1" if value else "0"
    if isinstance(value, int | float):
        value = str(value)
    if not isinstance(value, str):
        raise bad("A metadata value must be a string", f"metadata[{key}]")
    if len(value) > 1000:
        raise bad("A metadata value may have at most 1000 characters", f"metadata[{key}]")
    return value


def expiry(fields: Fields, now_s: float) -> int | None:
    """Epoch seconds, 1 to 90 days ahead, rounded down to the hour.

    Source: developers.hellosign.com/docs/signature-request/expiration (facts of 2026-11-22).
    """
    at = whole(fields, "expires_at")
    if at is None:
        return None
    if not now_s + _DAY_S <= at <= now_s + 90 * _DAY_S:
        raise bad("expires_at must be between 1 and 90 days from now", "expires_at")
    return at - at % _HOUR_S


def ranks(orders: list[int | None], path: str) -> list[int | None]:
    """The 0-based index that the vendor returns for the given orders: all signers have one, or none."""
    given = [o for o in orders if o is not None]
    if not given:
        return [None] * len(orders)
    if len(given) != len(orders):
        raise VendorError("bad_request", "Either all signers have an order or none has", path)
    places = sorted(set(given))
    return [places.index(o) for o in given]
