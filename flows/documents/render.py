"""Documents: renders a template folder and checked values to the same PDF bytes every time and on every
machine.

A template folder contains `template.yaml` (its variables), `template.typ` (its layout), optionally
`words.yaml` (its wording, by language), `fonts/` and further assets. Everything is read once by
`load_template`; a render uses neither disk nor network. Values are passed as JSON, so that they can never act
as Typst code. PDFs are PDF/A-2u: made for archiving, and a character that no font can show is an error instead
of an empty box.

Rendering holds the calling thread for some tens of milliseconds; typesetting lets other threads run,
reading back a contract's tags (about 30 ms a page) does not. Call it through `asyncio.to_thread` from a
coroutine. Several threads may share one `Template`.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml
from pypdf import PdfReader

from flows.documents import fast_yaml
from flows.documents.text import LocaleText, UnknownLocale, show_pricing, show_values
from flows.documents.typst import TypesetError, Typesetter, canonical, texts_in
from flows.errors import FlowError
from flows.rules.pricing.pricing import PriceTable
from flows.rules.pricing.terms import minor_units
from flows.rules.templates.values import (
    TemplateDeclaration,
    TemplateError,
    TemplateValues,
    ValueFormat,
    check_template,
    fill,
    parse_declaration,
)

__all__ = ["Document", "DocumentError", "SigningPerson", "Template", "load_template", "render"]

_EXTRA: Final = frozenset({"locale", "currency", "dated"})
_NOT_RENDERED: Final = ("sample.json", "template.yaml", "words.yaml")
_TAG: Final = re.compile(r"\[[^\]\[|]*\|[^\]\[]*\]")


class DocumentError(FlowError, RuntimeError):
    """A document cannot be made; names the template and, for a layout fault, the file and line."""


@dataclass(frozen=True, slots=True)
class SigningPerson:
    """A signer in a declared role, for people who are known only when the document is made."""

    role: str
    name: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A finished PDF. `source_sha256` covers everything visible in it: bind approvals to it.

    That is all template files and all values, prices, signers and the locale; `sha256` is of the
    PDF's bytes and may change with a new Typst version while the source stays the same.
    """

    pdf: bytes = field(repr=False)
    sha256: str
    source_sha256: str
    page_count: int
    title: str


@dataclass(frozen=True, slots=True)
class Template:
    """A checked template folder in memory."""

    declaration: TemplateDeclaration
    files: Mapping[str, bytes] = field(repr=False)
    words: Mapping[str, Any] = field(repr=False)
    sha256: str
    _typesetter: Typesetter = field(repr=False, compare=False)

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of its wording; empty when the wording is in the layout itself."""
        return tuple(sorted(self.words))


def load_template(folder: Path) -> Template:
    """Read and check a template folder; raises `DocumentError` that names every fault."""
    if not (folder / "template.yaml").is_file() or not (folder / "template.typ").is_file():
        raise DocumentError(
            f"template {folder.name}: template.yaml and template.typ must both be in {folder}"
        )
    try:
        everything = {path.relative_to(folder).as_posix(): path.read_bytes() for path in _files(folder)}
        declaration = parse_declaration(_yaml(everything["template.yaml"], folder.name), name=folder.name)
        words = _yaml(everything.get("words.yaml", b"{}"), folder.name)
        sources = {name: data.decode() for name, data in everything.items() if name.endswith(".typ")}
        problems = [*check_template(declaration, sources, words), *_check_words(declaration, words)]
        if problems:
            raise TemplateError(folder.name, problems)
    except TemplateError as error:
        raise DocumentError(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(
            f"template {folder.name}: {type(error).__name__}: a file cannot be read"
        ) from error
    rendered = {name: data for name, data in everything.items() if _is_rendered(name)}
    rendered["main.typ"] = rendered.pop("template.typ")
    digests = {
        name: hashlib.sha256(data).hexdigest() for name, data in everything.items() if name != "sample.json"
    }
    return Template(
        declaration=declaration,
        files=MappingProxyType(rendered),
        words=MappingProxyType(words),
        sha256=_digest(digests),
        _typesetter=Typesetter(folder.name, [folder / "fonts"] if (folder / "fonts").is_dir() else []),
    )


def render(
    template: Template,
    values: TemplateValues,
    pricing: PriceTable | None = None,
    *,
    extra: Mapping[str, str] | None = None,
    signers: Sequence[SigningPerson] | None = None,
) -> Document:
    """Render the PDF.

    `extra` may contain `locale` (else the template's own), `currency` (ISO 4217, where money is shown without
    prices) and `dated` (YYYY-MM-DD for the PDF's own date; else the `issued_on` value, else 1970-01-01).
    `signers` replaces the declared signature blocks' people, in signing order; roles must be declared ones
    and may repeat.

    Raises `DocumentError` for a layout fault, a character without a glyph, an unknown locale or language, a
    refused text in the prices, or signature tags that do not read back from the finished PDF.
    """
    payload = _payload(template, values, pricing, dict(extra or {}), signers)
    try:
        pdf = template._typesetter.pdf(template.files, payload)
    except TypesetError as error:
        raise _error(template, str(error)) from None
    reader = PdfReader(BytesIO(pdf))
    if template.declaration.signers:
        _prove_tags(template, payload, reader)
    return Document(
        pdf=pdf,
        sha256=hashlib.sha256(pdf).hexdigest(),
        source_sha256=_digest({"template": template.sha256, "payload": payload}),
        page_count=len(reader.pages),
        title=payload["title"],
    )


def _payload(
    template: Template,
    values: TemplateValues,
    pricing: PriceTable | None,
    extra: dict[str, str],
    signers: Sequence[SigningPerson] | None,
) -> dict[str, Any]:
    """Everything that the layout may show, as text."""
    declaration = template.declaration
    if unknown := set(extra) - _EXTRA:
        raise _error(
            template, f"unknown extra: {', '.join(sorted(unknown))}; known: {', '.join(sorted(_EXTRA))}"
        )
    if values.template != declaration.name:
        raise _error(template, f"got the values of template {values.template}")
    if (pricing is not None) != ("pricing" in declaration.tables):
        raise _error(
            template, "needs a price table" if pricing is None else "has no price table but was given one"
        )
    try:
        text = LocaleText.of(extra.get("locale", declaration.locale))
        shown = show_values(values, text, _currency(pricing, extra))
        prices = show_pricing(pricing, text) if pricing else None
    except UnknownLocale as error:
        raise _error(template, str(error)) from None
    _refusetexts_in(template, texts_in(prices), "the prices")
    words = fill(_words(template, text.locale.language), shown)
    return {
        "template": f"{declaration.name} {declaration.version}",
        "title": words.pop("document_title", None) or fill(declaration.title, shown),
        "language": text.locale.language,
        "region": text.locale.territory or "",
        "dated": _dated(template, values, extra).isoformat(),
        "values": shown,
        "words": words,
        "pricing": prices,
        "signers": _signers(template, shown, signers),
    }


def _currency(pricing: PriceTable | None, extra: Mapping[str, str]) -> tuple[str, int] | None:
    if pricing is not None:
        return pricing.currency, pricing.minor_units
    try:
        return (extra["currency"], minor_units(extra["currency"])) if "currency" in extra else None
    except ValueError as error:
        raise UnknownLocale(str(error)) from None


def _dated(template: Template, values: TemplateValues, extra: Mapping[str, str]) -> date:
    issued = values.values.get("issued_on")
    if "dated" not in extra and issued is not None and issued.format is ValueFormat.DATE and issued.text:
        return issued.date
    try:
        return date.fromisoformat(extra.get("dated", "1970-01-01"))
    except ValueError:
        raise _error(template, "extra dated must be a day such as 2026-11-22") from None


def _words(template: Template, language: str) -> Any:
    if template.words and language not in template.words:
        raise _error(template, f"has no wording in '{language}', only in {', '.join(template.languages)}")
    return template.words.get(language, {})


def _signers(
    template: Template, shown: Mapping[str, str], people: Sequence[SigningPerson] | None
) -> list[dict[str, Any]]:
    declared = template.declaration.signing_sequence
    if people is None:
        people = [
            SigningPerson(one.role, shown.get(one.name or "", ""), shown.get(one.title or "", ""))
            for one in declared
        ]
    by_role = {one.role: one for one in declared}
    if missing := {one.role for one in people} ^ set(by_role):
        raise _error(template, f"signers do not match the declared roles: {', '.join(sorted(missing))}")
    _refusetexts_in(template, [text for one in people for text in (one.name, one.title)], "the signers")
    return [
        {
            "role": one.role,
            "label": by_role[one.role].label,
            "counter": by_role[one.role].counter,
            "name": one.name,
            "title": one.title,
            "sign_tag": f"[sig|req|signer{number}]",
            "date_tag": f"[date|req|signer{number}]",
        }
        for number, one in enumerate(people, start=1)
    ]


def _prove_tags(template: Template, payload: Mapping[str, Any], reader: PdfReader) -> None:
    """Check the finished PDF as the signing service reads it: each tag exactly once and complete, and nothing else
    that looks like a tag."""
    found = sorted(tag for page in reader.pages for tag in _TAG.findall(page.extract_text()))
    expected = sorted(one[kind] for one in payload["signers"] for kind in ("sign_tag", "date_tag"))
    if found != expected:
        raise _error(template, f"signature tags read back as {found or 'none'} instead of {expected}")


def _refusetexts_in(template: Template, texts: Sequence[str], where: str) -> None:
    for text in texts:
        if rule := template.declaration.refused_by(text):
            raise _error(template, f"a text in {where} breaks the rule {rule}; correct it in HubSpot")


def _check_words(declaration: TemplateDeclaration, words: Mapping[str, Any]) -> list[str]:
    """Problems when the template's own language is missing or languages have different keys."""
    language = declaration.locale.partition("_")[0]
    if words and language not in words:
        return [f"words.yaml lacks the template's own language {language}"]
    keys = {name: _paths(one) for name, one in words.items()}
    return [
        f"words.yaml: {name} and {language} differ in {', '.join(sorted(one ^ keys[language]))}"
        for name, one in keys.items()
        if one != keys[language]
    ]


def _paths(words: object, at: str = "") -> set[str]:
    if isinstance(words, Mapping):
        return {path for key, one in words.items() for path in _paths(one, f"{at}.{key}")}
    if isinstance(words, list):
        return {path for index, one in enumerate(words) for path in _paths(one, f"{at}.{index}")}
    return {at.lstrip(".")}


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _is_rendered(name: str) -> bool:
    return name not in _NOT_RENDERED and not name.startswith("fonts/")


def _yaml(data: bytes, name: str) -> dict[str, Any]:
    try:
        parsed = fast_yaml.safe_load(data)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise TemplateError(name, [f"YAML is unreadable at line {mark.line + 1 if mark else '?'}"]) from None
    if not isinstance(parsed, dict):
        raise TemplateError(name, ["YAML must hold keys and values"])
    return parsed


def _digest(data: object) -> str:
    return hashlib.sha256(canonical(data).encode()).hexdigest()


def _error(template: Template, problem: str) -> DocumentError:
    return DocumentError(f"template {template.declaration.name}: {problem}")
