"""Call notes as a form: planned before the call, filled in after it, found again in a note or call in HubSpot.

Only which headings are filled in is ever reported; what stands under them stays in HubSpot.
"""

import html
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, NamedTuple

from pydantic import Field, model_validator

from flows.rules.process.part import Part

Heading = Annotated[str, Field(pattern=r"^\w[^\n:<>]{1,59}$")]
_TITLE = "Call notes"
_SECTIONS = ("Before the call", "After the call")


class CallNotes(Part):
    """A form for the notes of one kind of call."""

    before: tuple[Heading, ...] = ()
    """What to think of before the call: the goal, the questions, the objections to expect."""
    after: Annotated[tuple[Heading, ...], Field(min_length=1)]
    """What to write down after it: the answers, the questions still open, the next step."""

    @model_validator(mode="after")
    def _differ(self) -> "CallNotes":
        names = [_plain(heading) for heading in self.headings]
        if len(set(names)) != len(names):
            raise ValueError("headings must differ")
        taken = {_plain(name) for name in (_TITLE, *_SECTIONS)} & set(names)
        if taken:
            raise ValueError(f"{taken.pop()!r} stands in every form already: choose another heading")
        return self

    @property
    def headings(self) -> tuple[str, ...]:
        """All of them, in order."""
        return (*self.before, *self.after)


class Filled(NamedTuple):
    """A form that was found, and the headings under which nothing stands yet."""

    form: str
    empty: tuple[str, ...]


def blank(name: str, notes: CallNotes) -> str:
    """The empty form, to paste into a note or call in HubSpot."""
    lines = [f"{_TITLE}: {name.replace('_', ' ')}"]
    for section, headings in zip(_SECTIONS, (notes.before, notes.after), strict=True):
        if headings:
            lines += ["", section, *(f"{heading}:" for heading in headings)]
    return "\n".join(lines) + "\n"


def read_form(body: str, forms: Mapping[str, CallNotes]) -> Filled | None:
    """The first form in the text of a note or call, HTML or not; None when there is none."""
    by_title = {_plain(f"{_TITLE} {name}"): name for name in forms}
    lines = list(_lines(body))
    for at, line in enumerate(lines):
        name = by_title.get(_plain(line))
        if name is not None:
            return Filled(name, _empty(lines[at + 1 :], forms[name].headings))
    return None


# What HubSpot's editor, a mail client or a paste makes of lines; `_MARK` is where something stood out.
_BREAK = re.compile(
    r"</?(?:br|p|div|li|ul|ol|h[1-6]|tr|td|th|table|section|blockquote|hr|pre)\b[^<>]*>", re.IGNORECASE
)
_EMPHASIS = re.compile(r"</(?:b|strong|u|em|i|span)\s*>", re.IGNORECASE)
_TAG = re.compile(r"<[a-z/!][^<>]*>", re.IGNORECASE)
_MARK = "\x1f"
_BULLET = re.compile(r"^[\s\x1f\-*•‣·–—#>_\d.)(\[\]☐☑✓]+")
_AFTER_HEADING = re.compile(r"^[\s*_]*(?:[:：=–—\-?\x1f]|$)")
_NOTHING = frozenset({"tbd", "tba", "tbc", "todo", "to do", "xxx", "x", "fixme"})


def _lines(body: str) -> Iterator[str]:
    """The text line by line, without tags and bullets."""
    text = _EMPHASIS.sub(_MARK, _BREAK.sub("\n", body))
    for line in html.unescape(_TAG.sub("", text)).splitlines():
        yield _BULLET.sub("", line.replace("\xa0", " ")).strip()


def _empty(lines: list[str], headings: tuple[str, ...]) -> tuple[str, ...]:
    """Headings under which nothing stands. Another form's title ends this one."""
    texts: dict[str, list[str]] = {heading: [] for heading in headings}
    here: list[str] = []
    for line in lines:
        if _plain(line).startswith(_plain(_TITLE) + " "):
            break
        if _plain(line) in {_plain(section) for section in _SECTIONS}:
            here = []
            continue
        heading, rest = _heading_of(line, headings)
        if heading is not None:
            here = texts[heading]
        here.append(rest)
    return tuple(heading for heading, found in texts.items() if not any(map(_says, found)))


def _heading_of(line: str, headings: tuple[str, ...]) -> tuple[str | None, str]:
    """The heading that begins this line, the longest that fits, and what stands behind it."""
    for heading in sorted(headings, key=len, reverse=True):
        begins = re.match(r"[\s*_\x1f]*" + r"\s+".join(map(re.escape, heading.split())), line, re.IGNORECASE)
        if begins and _AFTER_HEADING.match(line[begins.end() :]):
            return heading, line[begins.end() :]
    return None, line


def _says(text: str) -> bool:
    """Whether there is more than punctuation or a word that holds a place."""
    said = _plain(text)
    return said != "" and said not in _NOTHING


def _plain(text: str) -> str:
    """Letters and digits, as words in lower case."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())
