"""Template declarations and their values: what a template needs, where it comes from, and what is not let
through.

A document with a hole in it must never reach a buyer: a missing, empty, unreadable or left-over value stops
the render, and the error lists every such variable at once with the record to repair. Error texts name
variables and sources, never the values, because values are people's data.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from flows.errors import FlowError
from flows.rules.templates.check import PLACEHOLDER, check_template
from flows.rules.templates.declaration import (
    SOURCES,
    Signer,
    TemplateDeclaration,
    TemplateError,
    ValueFormat,
    Variable,
    parse_declaration,
)

__all__ = [
    "Signer",
    "TemplateDeclaration",
    "TemplateError",
    "TemplateValueRefused",
    "TemplateValues",
    "TemplateVariableMissing",
    "Value",
    "ValueFormat",
    "Variable",
    "check_template",
    "fill",
    "format_decimal",
    "parse_declaration",
    "resolve",
]

_BLANK: Final = re.compile(r"[\s\u00ad\u200b-\u200d\u2060\ufeff]*")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,12})?")


class TemplateVariableMissing(FlowError, ValueError):
    """Values are missing, empty or blank; `missing` maps each variable to its source."""

    def __init__(self, template: str, missing: Mapping[str, str], advice: Iterable[str]) -> None:
        self.template, self.missing = template, MappingProxyType(dict(missing))
        super().__init__(f"template {template} lacks {len(missing)} value(s): " + "; ".join(advice))


class TemplateValueRefused(FlowError, ValueError):
    """Values are there but must not be printed; `refused` maps each variable to the rule it breaks."""

    def __init__(self, template: str, refused: Mapping[str, str]) -> None:
        self.template, self.refused = template, MappingProxyType(dict(refused))
        text = "; ".join(f"{where} breaks the rule {rule}" for where, rule in refused.items())
        super().__init__(f"template {template}: {text}; correct the source record")


@dataclass(frozen=True, slots=True)
class Value:
    """A checked value in one spelling: dates as YYYY-MM-DD, numbers as plain decimals; empty when optional
    and absent."""

    format: ValueFormat
    text: str

    @property
    def date(self) -> date:
        """The day of a date value."""
        return date.fromisoformat(self.text)

    @property
    def decimal(self) -> Decimal:
        """The number of a money, number or percent value (10 means 10 %)."""
        return Decimal(self.text)


@dataclass(frozen=True, slots=True)
class TemplateValues:
    """All values of one document by variable name, ready to be shown in any locale."""

    template: str
    values: Mapping[str, Value]

    def canonical(self) -> dict[str, list[str]]:
        """The same content as plain data, for hashing."""
        return {name: [value.format.value, value.text] for name, value in sorted(self.values.items())}


def resolve(template: TemplateDeclaration, facts: Mapping[str, Mapping[str, str | None]]) -> TemplateValues:
    """Read every variable from its source (`facts["deal"]["dealname"]` for `deal.dealname`).

    Raises `TemplateVariableMissing` naming all that are missing or blank, then `TemplateValueRefused` naming
    all that break a rule or cannot be read in their format.
    """
    found = {name: _look_up(one.source, facts) for name, one in template.variables.items()}
    missing = {
        name: one.source for name, one in template.variables.items() if not found[name] and not one.optional
    }
    if missing:
        raise TemplateVariableMissing(template.name, missing, [_advise(template, name) for name in missing])
    values, refused = {}, {}
    for name, variable in template.variables.items():
        text = _canonical(found[name], variable.format) if found[name] else ""
        rule = "format_" + variable.format if text is None else template.refused_by(found[name])
        if rule:
            refused[f"{name} (from {variable.source})"] = rule
        values[name] = Value(variable.format, text or "")
    if refused:
        raise TemplateValueRefused(template.name, refused)
    return TemplateValues(template.name, MappingProxyType(values))


def _look_up(source: str, facts: Mapping[str, Mapping[str, str | None]]) -> str:
    record, _, key = source.partition(".")
    value = facts.get(record, {}).get(key) or ""
    return "" if _BLANK.fullmatch(value) else value.strip()


def _advise(template: TemplateDeclaration, name: str) -> str:
    variable = template.variables[name]
    repair = SOURCES[variable.source.partition(".")[0]]
    return f"{name} ({variable.says.rstrip('.')}): {variable.source} is empty, {repair}"


def _canonical(text: str, format: ValueFormat) -> str | None:
    """The value in its one spelling, None when it cannot be read in this format."""
    match format:
        case ValueFormat.TEXT:
            return " ".join(text.split())
        case ValueFormat.MULTILINE:
            lines = [
                " ".join(line.split()) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            ]
            return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
        case ValueFormat.DATE:
            return _read_date(text)
        case _:
            return format_decimal(Decimal(text)) if _NUMBER.fullmatch(text) else None


def format_decimal(value: Decimal) -> str:
    """A decimal without exponent and without trailing zeros, so that 10, 10.0 and 1E1 are one value."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def _read_date(text: str) -> str | None:
    """HubSpot spells dates as YYYY-MM-DD, as a UTC time stamp, or as milliseconds since 1970."""
    try:
        if re.fullmatch(r"[0-9]{12,13}", text):
            return datetime.fromtimestamp(int(text) / 1000, UTC).date().isoformat()
        return datetime.fromisoformat(text).date().isoformat()
    except ValueError:
        return None


def fill(words: Any, shown: Mapping[str, str]) -> Any:
    """The same nested words with every `{NAME}` replaced; one pass, so a value that looks like `{NAME}`
    stays text."""
    if isinstance(words, str):
        return PLACEHOLDER.sub(lambda found: shown.get(found[1], found[0]), words)
    if isinstance(words, Mapping):
        return {key: fill(one, shown) for key, one in words.items()}
    if isinstance(words, list | tuple):
        return [fill(one, shown) for one in words]
    return words
