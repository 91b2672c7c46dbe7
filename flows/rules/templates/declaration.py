"""What a template declares: variables with their sources, tables, signers, and what it refuses to print."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from flows.errors import FlowError

NAME: Final = r"[a-z][a-z0-9_]*"
SOURCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "deal": "fill it in on the deal in HubSpot",
        "company": "fill it in on the deal's primary company in HubSpot",
        "contact": "fill it in on the deal's contact in HubSpot",
        "owner": "give the deal an owner with this detail in HubSpot",
        "seller": "set it among the seller's details in the settings",
        "given": "pass it along when asking for the document",
    }
)
"""Where a value may come from, and what a person does when it is missing there."""

BUILT_IN: Final = frozenset({"page", "pages"})
"""Placeholders that the layout fills itself; no variable may take these names."""

_PLACEHOLDER_RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "placeholder_words": r"(?i:\b(?:tbd|tbc|xxx+|lorem\s+ipsum|asdf)\b)|\b(?:TODO|FIXME)\b",
        # CRM rich-text properties hold HTML, which would be printed as it stands.
        "html_markup": (
            r"(?i)</?(?:p|br|div|span|ul|ol|li|b|i|u|strong|em|a|table|h[1-6])(?:\s[^<>]*=[^<>]*)?\s?/?>"
            r"|&(?:nbsp|amp|lt|gt|quot);"
        ),
        "unfilled_brackets": r"\{\{|\}\}|\[\[|\]\]|<<|>>|\$\{|<%",
    }
)
_SAFETY_RULES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # A text tag inside a value would plant a signature field (Dropbox Sign text tags, read 2026-11-22).
        "text_tags": r"\[[^\]\[|]{0,60}\||\|\s*signer\s*\d|\|\s*sender\b",
        # Control, direction-override and invisible characters make a text read differently from what it says.
        "hidden_characters": (
            r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
            r"\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb]"
        ),
    }
)


class TemplateError(FlowError, ValueError):
    """A template declaration that cannot be used; `problems` lists all of them, one sentence each."""

    def __init__(self, template: str, problems: Iterable[str]) -> None:
        self.template, self.problems = template, tuple(problems)
        super().__init__(f"template {template}: " + "; ".join(self.problems))


class ValueFormat(StrEnum):
    """How a value is read here and shown later."""

    TEXT = "text"
    MULTILINE = "multiline"
    DATE = "date"
    MONEY = "money"
    NUMBER = "number"
    PERCENT = "percent"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Variable(_Model):
    """One value of a template. `says` is the sentence a person reads when it is missing."""

    source: str = Field(alias="from", pattern=rf"^(?:{'|'.join(SOURCES)})\.[A-Za-z][A-Za-z0-9_]*$")
    says: str = Field(min_length=1)
    format: ValueFormat = ValueFormat.TEXT
    optional: bool = False


class Signer(_Model):
    """One signature block. `order` is the signing order; `name` and `title` are variables printed in the
    block."""

    role: str = Field(pattern=rf"^{NAME}$")
    label: str = Field(min_length=1)
    order: int = Field(ge=1)
    counter: bool = False
    name: str | None = None
    title: str | None = None


class RefuseRule(_Model):
    """An own rule: a value that matches `pattern` is not printed."""

    name: str = Field(pattern=rf"^{NAME}$")
    pattern: str


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class TemplateDeclaration(_Model):
    """The parsed `template.yaml`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    version: Annotated[str, BeforeValidator(_as_text)] = Field(min_length=1)
    title: str = Field(min_length=1)
    locale: str = Field(pattern=r"^[a-z]{2,3}(?:_[A-Z][a-z]{3})?(?:_[A-Z]{2})?$")
    variables: Mapping[Annotated[str, Field(pattern=rf"^{NAME}$")], Variable]
    tables: tuple[Literal["pricing"], ...] = ()
    signers: tuple[Signer, ...] = ()
    refuse: tuple[RefuseRule | Literal["placeholder_words", "html_markup", "unfilled_brackets"], ...] = (
        "placeholder_words",
        "html_markup",
        "unfilled_brackets",
    )

    @property
    def signing_sequence(self) -> tuple[Signer, ...]:
        """Signers by signing order; the first is `signer1` of the text tags, so send them in this
        sequence."""
        return tuple(sorted(self.signers, key=lambda signer: signer.order))

    def refused_by(self, text: str) -> str | None:
        """The name of the rule that keeps this text from being printed, or None; safety rules always
        apply."""
        for name, pattern in self._rules():
            if re.search(pattern, text):
                return name
        return None

    def _rules(self) -> Iterable[tuple[str, str]]:
        yield from _SAFETY_RULES.items()
        for rule in self.refuse:
            yield (rule, _PLACEHOLDER_RULES[rule]) if isinstance(rule, str) else (rule.name, rule.pattern)


def parse_declaration(raw: Mapping[str, Any], *, name: str = "template") -> TemplateDeclaration:
    """Turn the parsed YAML into a declaration; raises `TemplateError` with every problem and the key it is
    under."""
    try:
        return TemplateDeclaration.model_validate(raw)
    except ValidationError as error:
        problems = [_say(dict(one)) for one in error.errors(include_url=False, include_input=False)]
        raise TemplateError(name, dict.fromkeys(problems)) from None


def _say(error: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key"
    if key.endswith(".from") and error["type"] == "string_pattern_mismatch":
        return f"{key}: must be one of {', '.join(SOURCES)} followed by a dot and a property"
    return f"{key}: {error['msg']}"
