"""What is wrong with a process file, and where in it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

Place = tuple[str | int, ...]


class ProcessError(Exception):
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


class WrongAt(ValueError):
    """A mistake that shows only in several parts together. `place` leads on from the part that is checked."""

    def __init__(self, text: str, *place: str | int) -> None:
        super().__init__(text)
        self.place = place


def problem_of(content: Any, error: ErrorDetails) -> tuple[Place, str]:
    """Pydantic's error as place and text."""
    place: Place = error["loc"]
    text = f"{place_text(content, place)}: {error['msg'].removeprefix('Value error, ')}"
    cause = error.get("ctx", {}).get("error")
    return (*place, *(cause.place if isinstance(cause, WrongAt) else ())), text


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
