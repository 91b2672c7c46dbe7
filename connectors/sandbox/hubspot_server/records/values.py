"""Checks property values: every value becomes a string or is refused with a reason.

Source: properties guide (read 2026-04-13) and the write-validation change of 2026-09
(https://developers.hubspot.com/changelog/crm-api-write-validation-enforcement): since 2026-09 dates in odd
formats are normalised with a warning where earlier versions refuse them.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.sandbox.hubspot_server.errors import PropertyProblem
from connectors.sandbox.hubspot_server.records.catalog import ObjectType
from connectors.sandbox.hubspot_server.records.schema import Property
from connectors.sandbox.hubspot_server.times import day, instant, to_ms

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>.]{2,}")
_ODD_DATES = ("%Y/%m/%d", "%m/%d/%Y", "%d.%m.%Y", "%Y-%m-%d %H:%M:%S", "%B %d, %Y")
_DAY_MS = 86_400_000
MAX_NOTE = 65_536


@dataclass
class Checked:
    """The result for one record's properties: values to store, normalised values, refused values."""

    values: dict[str, str] = field(default_factory=dict)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    problems: list[PropertyProblem] = field(default_factory=list)


def text_of(raw: Any) -> str | None:
    """JSON value as HubSpot's text; None for an object or a list, which no property takes."""
    if raw is None:
        return ""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int | float | str):
        return str(raw)
    return None


def check(kind: ObjectType, prop: Property, raw: Any, *, lenient: bool, current: str, into: Checked) -> None:
    """Check one value and add the result to `into`. An empty text clears the property."""
    text = text_of(raw)
    if text is None:
        into.problems.append(PropertyProblem(prop.name, "INVALID_TYPE", f"{prop.name} takes a plain value"))
        return
    if text == "":
        into.values[prop.name] = ""
        return
    try:
        stored = _stored(kind, prop, text, lenient, current)
    except _No as no:
        into.problems.append(PropertyProblem(prop.name, no.code, no.message))
        return
    into.values[prop.name] = stored.text
    if stored.bent:
        into.warnings.append(
            {
                "category": "PROPERTY_VALUE_NORMALIZED",
                "message": f"The value of {prop.name} was normalized",
                "context": {
                    "propertyName": [prop.name],
                    "rawValue": [text],
                    "normalizedValue": [stored.text],
                },
            }
        )


class _No(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass
class _Stored:
    text: str
    bent: bool = False


def _stored(kind: ObjectType, prop: Property, text: str, lenient: bool, current: str) -> _Stored:
    match prop.type:
        case "number":
            if not _NUMBER.fullmatch(text.strip()):
                raise _No("INVALID_NUMBER", f"{text} was not a valid number.")
            return _Stored(text.strip())
        case "bool":
            if text.lower() not in ("true", "false"):
                raise _No("INVALID_OPTION", f"{text} was not one of the allowed options: [true, false]")
            return _Stored(text.lower())
        case "enumeration":
            return _Stored(_choice(prop, text, current))
        case "date" | "datetime":
            return _moment(prop, text, lenient)
    if kind.key == "contacts" and prop.name == "email":
        if not _EMAIL.fullmatch(text.strip()):
            raise _No("INVALID_EMAIL", f"Email address {text} is invalid")
        return _Stored(text.strip().lower())
    limit = MAX_NOTE
    if len(text) > limit:
        raise _No("VALUE_TOO_LONG", f"The value is longer than {limit} characters")
    return _Stored(text)


def _choice(prop: Property, text: str, current: str) -> str:
    if prop.free:
        return text
    allowed = [str(o["value"]) for o in prop.options]
    picked = [p for p in text.split(";") if p] if prop.multiple else [text]
    for value in picked:
        if value not in allowed:
            raise _No("INVALID_OPTION", f"{value} was not one of the allowed options: [{', '.join(allowed)}]")
    if prop.multiple and text.startswith(";"):  # a leading semicolon appends
        before = [p for p in current.split(";") if p]
        picked = before + [p for p in picked if p not in before]
    return ";".join(picked) if prop.multiple else text


def _moment(prop: Property, text: str, lenient: bool) -> _Stored:
    bent = False
    try:
        ms = to_ms(text)
    except ValueError:
        odd = _odd_date(text) if lenient else None
        if odd is None:
            raise _No("INVALID_DATE", f"{text} was not a valid date.") from None
        ms, bent = odd, True
    if prop.type == "datetime":
        return _Stored(instant(ms), bent)
    if ms % _DAY_MS:
        if not lenient:
            raise _No("INVALID_DATE", f"{text} is not at midnight UTC")
        bent = True
    elif "T" in text:
        bent = lenient
    return _Stored(day(ms).isoformat(), bent)


def _odd_date(text: str) -> int | None:
    for pattern in _ODD_DATES:
        try:
            return int(datetime.strptime(text.strip(), pattern).replace(tzinfo=UTC).timestamp() * 1000)
        except ValueError:
            continue
    return None
