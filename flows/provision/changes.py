"""The findings of `dealflow provision`: changes to make in HubSpot, problems for a person, notes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Action = Literal["create", "restore", "update"]


@dataclass(frozen=True)
class Difference:
    """One field: its value in HubSpot (None: missing) and the wanted value."""

    field: str
    now: object
    wanted: object

    def __str__(self) -> str:
        return f"{self.field.replace('_', ' ')} {_shown(self.now)} -> {_shown(self.wanted)}"


@dataclass(frozen=True)
class Change:
    """One call that `apply` makes. It is idempotent: the next plan no longer has it."""

    action: Action
    about: str
    name: str
    differences: tuple[Difference, ...]
    apply: Callable[[], object] = field(compare=False, repr=False)
    what: str = ""
    """What is new, in words; an update has differences instead."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What changes, one line for each field of an update."""
        if self.action == "update":
            return tuple(f"{self.about} {self.name}: {one}" for one in self.differences)
        return (f"{self.about} {self.name}" + (f": {self.what}" if self.what else ""),)

    def rows(self) -> list[dict[str, Any]]:
        """As JSON rows, one for each field."""
        return [
            {
                "object": self.about,
                "name": self.name,
                "field": one.field,
                "from": one.now,
                "to": one.wanted,
                "action": self.action,
            }
            for one in self.differences
        ]


@dataclass(frozen=True)
class Problem:
    """A mismatch that dealflow must not change: what it is, and what a person can do about it."""

    about: str
    name: str
    text: str
    do: str

    @property
    def what(self) -> str:
        """What is wrong, as a sentence."""
        return f"{self.about} {self.name} {self.text}"

    def row(self) -> dict[str, str]:
        """As a JSON row."""
        return {"object": self.about, "name": self.name, "problem": self.text, "do": self.do}


@dataclass(frozen=True)
class Note:
    """Information; nothing has to be done."""

    text: str


Found = Change | Problem | Note


@dataclass(frozen=True)
class Comparison:
    """All findings; changes are in the order in which they must be made."""

    found: Sequence[Found]

    @property
    def changes(self) -> list[Change]:
        """What to write to HubSpot."""
        return [one for one in self.found if isinstance(one, Change)]

    @property
    def problems(self) -> list[Problem]:
        """What a person must solve first."""
        return [one for one in self.found if isinstance(one, Problem)]

    @property
    def notes(self) -> list[str]:
        """Information for the reader."""
        return [one.text for one in self.found if isinstance(one, Note)]


def _shown(value: object) -> str:
    """The value as text; strings are in quotes."""
    if value is None or value == "":
        return "(none)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
