"""Typesetting: turns template files and one JSON payload into PDF bytes, with the compiler of the `typst`
wheel.

A layout can reach only the given files, the wheel's own fonts and the given font folders: no
system font, no other file, and packages are refused when the template is checked. Behaviour of the wheel
that this relies on, tried with typst 0.15.2: a compiler may be used again but not by two threads at once
("Already borrowed"); the root folder must exist when a compiler is made, not later; PDF/A refuses characters
without a glyph and demands a date.
"""

import json
import logging
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, Final

import typst

from flows.errors import FlowError

_log = logging.getLogger(__name__)
_KEPT: Final = 4
_UNSHOWN: Final = re.compile(r"the text `\"(.+?)\"` could not be displayed")
_PLACE: Final = re.compile(r"┌─ (?:\S*/)?([^\s/]+\.typ):(\d+):\d+")


class TypesetError(FlowError, RuntimeError):
    """The layout or a character in it cannot be set; the text has file and line, but no values."""


@cache
def _built_in_fonts() -> typst.Fonts:
    """Typst's own fonts: reading them takes a moment, and they are the same for every template."""
    return typst.Fonts(include_system_fonts=False)


class Typesetter:
    """The compilers of one template, kept warm; safe to share between threads."""

    def __init__(self, name: str, font_folders: Sequence[Path]) -> None:
        self._name = name
        own = typst.Fonts(include_system_fonts=False, font_paths=list(font_folders)) if font_folders else None
        self._fonts = own or _built_in_fonts()
        self._idle: list[typst.Compiler] = []
        self._lock = Lock()

    def pdf(self, files: Mapping[str, bytes], payload: Mapping[str, Any]) -> bytes:
        """Set `main.typ` with the payload as JSON in `sys.inputs.dealflow`; raises `TypesetError`.

        `payload["dated"]` (YYYY-MM-DD) becomes the PDF's creation date; equal input gives equal bytes.
        """
        stamp = datetime.fromisoformat(payload["dated"]).replace(tzinfo=UTC)
        with self._borrow() as compiler:
            try:
                pdf, warnings = compiler.compile_with_warnings(
                    input=dict(files),  # type: ignore[type-var]  # its stub forgets dicts, its README has them
                    format="pdf",
                    sys_inputs={"dealflow": canonical(payload)},
                    pdf_standards=["a-2u"],
                    timestamp=stamp,
                )
            except typst.TypstError as error:
                raise TypesetError(_explain(error, payload)) from None
        for warning in warnings:
            if "unknown font" in warning.message or "did not converge" in warning.message:
                raise TypesetError(f"{warning.message} ({_place(warning.diagnostic)})")
            _log.warning("template_warning", extra={"template": self._name, "said": warning.message})
        if not isinstance(pdf, bytes):
            raise TypesetError("the compiler gave no PDF")
        return pdf

    @contextmanager
    def _borrow(self) -> Iterator[typst.Compiler]:
        """A compiler for this thread alone; at most `_KEPT` idle ones are kept."""
        with self._lock:
            compiler = self._idle.pop() if self._idle else None
        if compiler is None:
            with (
                tempfile.TemporaryDirectory() as nowhere
            ):  # deleted before typesetting: no file is within reach
                compiler = typst.Compiler(root=nowhere, font_paths=self._fonts, ignore_system_fonts=True)
        try:
            yield compiler
        finally:
            with self._lock:
                if len(self._idle) < _KEPT:
                    self._idle.append(compiler)


def canonical(data: object) -> str:
    """Canonical JSON: equal data gives equal text."""
    return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def texts_in(nested: object) -> list[str]:
    """Every text inside nested mappings and lists."""
    if isinstance(nested, str):
        return [nested]
    if isinstance(nested, Mapping):
        return [text for one in nested.values() for text in texts_in(one)]
    return [text for one in nested for text in texts_in(one)] if isinstance(nested, list | tuple) else []


def _explain(error: typst.TypstError, payload: Mapping[str, Any]) -> str:
    unshown = sorted({char for text in _UNSHOWN.findall(error.diagnostic) for char in text})
    if unshown:
        where = [name for name, text in payload["values"].items() if set(text) & set(unshown)]
        codes = ", ".join(f"U+{ord(char):04X}" for char in unshown)
        source = f" (in {', '.join(where)})" if where else ""
        return f"no font of the template can show {codes}{source}; put a font that can into its fonts folder"
    message = error.message
    values = texts_in([payload["values"], payload["pricing"], payload["signers"]])
    for text in sorted({one for one in values if len(one) > 3}, key=len, reverse=True):
        message = message.replace(text, "…")
    return f"{message} ({_place(error.diagnostic)})"


def _place(diagnostic: str) -> str:
    found = _PLACE.search(diagnostic)
    return f"{found[1].replace('main.typ', 'template.typ')} line {found[2]}" if found else "place unknown"
