"""Values as text for people: dates, money, durations, choices, notes without HTML tags."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

from connectors.sandbox.hubspot_server.records.calculated import number
from connectors.sandbox.hubspot_server.records.schema import Property
from connectors.sandbox.hubspot_server.times import to_ms

_BREAKS = {"br", "p", "div", "li", "tr", "h1", "h2", "h3", "ul", "ol"}
_HIDDEN = {"script", "style"}
_SPAN_PROPERTY = re.compile(r"(^|_)time_in_")


def moment(text: str, *, seconds: bool = False) -> str:
    """An ISO instant as `22 Nov 2026, 14:03 UTC`, optionally with seconds; other text as it is."""
    try:
        when = datetime.fromtimestamp(to_ms(text) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return text
    clock = f"{when:%H:%M:%S}" if seconds else f"{when:%H:%M}"
    return f"{when.day} {when:%b %Y}, {clock} UTC"


def date(text: str) -> str:
    """An ISO date as `22 Nov 2026`; other text as it is."""
    try:
        when = datetime.fromtimestamp(to_ms(text) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return text
    return f"{when.day} {when:%b %Y}"


def money(amount: str | None, currency: str) -> str:
    """`24,000.00 EUR`; empty without an amount."""
    value = number(amount)
    return "" if value is None else f"{value:,.2f} {currency}".rstrip()


def span(ms: int) -> str:
    """A duration in milliseconds in its largest fitting unit: `12 s`, `3 h`, `4.5 d`."""
    seconds = ms / 1000
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.1f} d"


def size(count: int) -> str:
    """Bytes as `812 B`, `48 kB` or `1.2 MB`."""
    if count < 1000:
        return f"{count} B"
    return f"{count / 1000:.0f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def shown(prop: Property | None, value: str) -> str:
    """One property's value in words: labels for choices, formatted dates and durations."""
    if prop is None:
        return value
    if prop.type in ("enumeration", "bool") and prop.options:
        labels = {str(o["value"]): str(o["label"]) for o in prop.options}
        return ", ".join(labels.get(part, part) for part in value.split(";"))
    if prop.type == "datetime":
        return moment(value)
    if prop.type == "date":
        return date(value)
    if prop.type == "number" and _SPAN_PROPERTY.search(prop.name) and value.isdigit():
        return span(int(value))
    return value


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        if tag in _BREAKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        if tag in _BREAKS - {"br"}:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def plain_text(markup: str) -> str:
    """The text of an HTML note, line by line. The page escapes it again, so that no tag has an effect."""
    reader = _Text()
    reader.feed(markup)
    reader.close()
    lines = [re.sub(r"[ \t]+", " ", line).strip() for line in "".join(reader.parts).split("\n")]
    return "\n".join(line for line in lines if line)
