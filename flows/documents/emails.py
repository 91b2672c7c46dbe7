"""E-mail templates: one YAML file each, with wording by language; turns checked values into subject and text.

A file names its variables with their sources as a document template does (`flows.rules.templates.declaration`). None
is optional: an e-mail with a gap is not written.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from flows.documents import fast_yaml
from flows.documents.render import DocumentError
from flows.documents.text import LocaleText, UnknownLocale, show_values
from flows.errors import FlowError
from flows.rules.pricing.terms import minor_units
from flows.rules.templates.check import PLACEHOLDER, check_template, placeholders
from flows.rules.templates.values import (
    TemplateDeclaration,
    TemplateError,
    TemplateValueRefused,
    TemplateVariableMissing,
    fill,
    parse_declaration,
    resolve,
)

_PARTS: Final = {"subject", "text"}
_LONGEST_SUBJECT: Final = 150


class EmailRefused(FlowError, ValueError):
    """The e-mail is not written; the text says what is missing and where to fix it, without personal data."""


@dataclass(frozen=True, slots=True)
class EmailText:
    """Subject and text in one language, as in the file."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class EmailTemplate:
    """One checked template."""

    declaration: TemplateDeclaration
    texts: Mapping[str, EmailText]


def load_emails(folder: Path) -> dict[str, EmailTemplate]:
    """All templates in a folder by name; empty without the folder. Raises DocumentError for the first faulty file."""
    return {path.stem: _load(path) for path in sorted(folder.glob("*.yaml"))}


def write_email(
    template: EmailTemplate, facts: Mapping[str, Mapping[str, str | None]], locale: str
) -> EmailText:
    """Subject and text in the locale's language. Raises EmailRefused."""
    name = template.declaration.name
    try:
        language = LocaleText.of(locale).locale.language
        if language not in template.texts:
            known = ", ".join(sorted(template.texts))
            raise EmailRefused(f"template {name}: has no wording in '{language}', only in {known}")
        values = resolve(template.declaration, facts)
        shown = show_values(values, LocaleText.of(locale), _currency(facts))
    except (TemplateVariableMissing, TemplateValueRefused) as problem:
        raise EmailRefused(str(problem)) from None
    except UnknownLocale as problem:
        raise EmailRefused(f"template {name}: {problem}") from None
    words = template.texts[language]
    filled = EmailText(" ".join(fill(words.subject, shown).split()), fill(words.text, shown).strip())
    if len(filled.subject) > _LONGEST_SUBJECT:
        raise EmailRefused(f"template {name}: the subject is longer than {_LONGEST_SUBJECT} characters")
    return filled


def _currency(facts: Mapping[str, Mapping[str, str | None]]) -> tuple[str, int] | None:
    code = facts.get("deal", {}).get("deal_currency_code")
    try:
        return (code, minor_units(code)) if code else None
    except ValueError as problem:
        raise UnknownLocale(str(problem)) from None


def _load(path: Path) -> EmailTemplate:
    try:
        content = _mapping(path)
        texts = _texts(path.stem, content.pop("texts", None))
        title = next(iter(texts.values())).subject
        raw = {"name": path.stem, "version": 1, "title": title, **content}
        declaration = parse_declaration(raw, name=path.stem)
        if problems := list(_problems(declaration, texts)):
            raise TemplateError(path.stem, problems)
    except TemplateError as problem:
        raise DocumentError(f"e-mail {problem}") from None
    return EmailTemplate(declaration, texts)


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content = fast_yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as problem:
        raise TemplateError(path.stem, [f"cannot be read ({type(problem).__name__})"]) from None
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = mark.line + 1 if mark else "?"
        raise TemplateError(path.stem, [f"YAML is unreadable at line {line}"]) from None
    if not isinstance(content, dict):
        raise TemplateError(path.stem, ["YAML must hold keys and values"])
    return content


def _texts(name: str, raw: object) -> dict[str, EmailText]:
    """The wording by language: subject and text, nothing else."""
    if not isinstance(raw, dict) or not raw:
        raise TemplateError(name, ["texts: give subject and text for at least one language"])
    found: dict[str, EmailText] = {}
    for language, parts in raw.items():
        whole = isinstance(parts, dict) and set(parts) == _PARTS
        if not whole or not all(isinstance(part, str) and part.strip() for part in parts.values()):
            raise TemplateError(name, [f"texts.{language}: give subject and text, and nothing else"])
        found[str(language)] = EmailText(parts["subject"], parts["text"])
    return found


def _problems(declaration: TemplateDeclaration, texts: Mapping[str, EmailText]) -> Iterator[str]:
    """Every mismatch between declaration and wording."""
    words = {language: [one.subject, one.text] for language, one in texts.items()}
    yield from check_template(declaration, {}, words)
    language = declaration.locale.partition("_")[0]
    if language not in texts:
        yield f"texts: lacks the template's own language {language}"
    for name, one in declaration.variables.items():
        if one.optional:
            yield f"variables.{name}: nothing is optional in an e-mail"
        if one.source.startswith("given."):
            yield f"variables.{name}: an e-mail has no given values; take it from a record"
    for name, both in words.items():
        if placeholders(both) != placeholders(words.get(language, both)):
            yield f"texts.{name}: uses other variables than {language}"
    for name, both in words.items():
        if any(re.search(r"[{}]", PLACEHOLDER.sub("", part)) for part in both):
            yield f"texts.{name}: a brace that is not a variable; write {{name}}, in small letters"
        if placeholders(both) & {"page", "pages"}:
            yield f"texts.{name}: an e-mail has no pages"
