"""What is wrong with a process file, and where in it."""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic_core import ErrorDetails

from flows.errors import FlowError

Place = tuple[str | int, ...]


class ProcessError(FlowError):
    """The process file says something that cannot be meant. The text names the key.

    `problems`: each mistake's place in the file, as keys and list positions for whoever knows its lines, and its text.
    """

    def __init__(self, problems: Sequence[tuple[Place, str]]) -> None:
        super().__init__("; ".join(text for _, text in problems))
        self.problems = tuple(problems)

    @property
    def places(self) -> tuple[Place, ...]:
        """Where in the file, a place for each mistake."""
        return tuple(place for place, _ in self.problems)


class WrongAt(FlowError, ValueError):
    """A mistake that shows only in several parts together. `place` leads on from the part that is checked."""

    def __init__(self, text: str, *place: str | int) -> None:
        super().__init__(text)
        self.place = place


def problem_of(content: Any, error: ErrorDetails, names: Collection[str] = ()) -> tuple[Place, str]:
    """Pydantic's error as place and text. `names`: all keys there are, to guess what a misspelt one was meant to be."""
    cause = error.get("ctx", {}).get("error")
    place: Place = (*error["loc"], *(cause.place if isinstance(cause, WrongAt) else ()))
    return place, f"{place_text(content, place)}: {_says(error, names)}"


def _says(error: ErrorDetails, names: Collection[str]) -> str:
    """What is wrong, in the words of somebody who edits the file."""
    kind, context, given = error["type"], error.get("ctx", {}), _shown(error["input"])
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        near = get_close_matches(str(error["loc"][-1]), names, n=1)
        return "there is no such key here" + (f"; did you mean {near[0]}?" if near else "")
    if kind == "string_pattern_mismatch" and context["pattern"] in _PATTERNS:
        return f"must be {_PATTERNS[context['pattern']]}, not {given}"
    if kind in _WORDS:
        return _WORDS[kind].format(given=given, **context)
    return error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")


_PATTERNS = {
    "^[a-z][a-z0-9_]{0,39}$": "a key: small letters, digits and _, a letter first, at most 40",
    r"^[^@\s]+@[^@\s]+\.[^@\s]+$": "an e-mail address",
    "^[A-Z]{3}$": "three capital letters, as in EUR",
}
_WORDS = {
    "literal_error": "must be {expected}, not {given}",
    "string_type": "must be text, not {given}; put it in quotes",
    "string_too_short": "is too short: at least {min_length} letter(s)",
    "string_too_long": "is too long: at most {max_length} letters",
    "too_short": "too few entries: at least {min_length}",
    "greater_than_equal": "must be at least {ge}, not {given}",
    "less_than_equal": "must be at most {le}, not {given}",
    "int_parsing": "must be a whole number, not {given}",
    "int_type": "must be a whole number, not {given}",
    "int_from_float": "must be a whole number, not {given}",
    "float_parsing": "must be a number, not {given}",
    "float_type": "must be a number, not {given}",
    "decimal_parsing": "must be a number, not {given}",
    "decimal_type": "must be a number, not {given}",
    "bool_parsing": "must be true or false, not {given}",
    "bool_type": "must be true or false, not {given}",
    "tuple_type": "must be a list, not {given}",
    "model_type": "must be keys with values below it, not {given}",
    "model_attributes_type": "must be keys with values below it, not {given}",
}
"""Pydantic's kinds of mistakes, in our words. What is not here keeps Pydantic's."""


def _shown(given: Any) -> str:
    """A value as it stands in the file, if it is short."""
    if given is None:
        return "nothing"
    if isinstance(given, Mapping):
        return "a block of keys"
    if isinstance(given, list | tuple):
        return "a list"
    text = str(given).lower() if isinstance(given, bool) else str(given)
    return repr(text if len(text) <= 40 else f"{text[:39]}…")


def repeated(names: Sequence[str]) -> int | None:
    """The first position whose name stood before."""
    return next((i for i, name in enumerate(names) if name in names[:i]), None)


def place_text(content: Any, place: Place) -> str:
    """Where it is, in keys: list items by their own key where they have one, else by number from 1."""
    parts: list[str] = []
    here = content
    for step in place:
        if isinstance(step, int):
            here = here[step] if isinstance(here, Sequence) and step < len(here) else None
            key = here.get("key") if isinstance(here, Mapping) else None
            parts.append(key if isinstance(key, str) and key else f"number {step + 1}")
        else:
            # A step that is not in the file is the kind of evidence, which pydantic names in between.
            here = here.get(step, here) if isinstance(here, Mapping) else here
            parts.append(step)
    return ".".join(parts) or "the file"
