"""The few shapes of our SVG pictures, as text."""

import textwrap
import unicodedata
from collections.abc import Sequence
from html import escape

INK, SOFT, RULE, PAPER = "#1f2933", "#52606d", "#cbd2d9", "#ffffff"
TIP = (
    '<defs><marker id="tip" markerWidth="9" markerHeight="9" refX="7" refY="4.5" orient="auto">'
    f'<path d="M0,0 L9,4.5 L0,9 z" fill="{SOFT}"/></marker></defs>'
)
"""The arrow head that `arrow` ends in."""


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: float = 12,
    fill: str = INK,
    weight: int = 400,
    style: str = "normal",
    anchor: str = "start",
) -> str:
    """A line of text; whatever the words are, they stay words."""
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{fill}" font-weight="{weight}" font-style="{style}" '
        f'text-anchor="{anchor}">{escape(words)}</text>'
    )


def arrow(points: Sequence[tuple[float, float]]) -> str:
    """A line through these points with a head at its end."""
    way = " L".join(f"{x:g},{y:g}" for x, y in points)
    return f'<path d="M{way}" fill="none" stroke="{SOFT}" stroke-width="1.5" marker-end="url(#tip)"/>'


def wrapped(words: str, width: int) -> list[str]:
    """Lines of about so many letters; wide letters count twice. Never empty."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in words)
    fits = width // 2 if wide * 2 > len(words) else width
    # Control characters must not stand in XML at all.
    shown = "".join(c if c.isprintable() else " " for c in words)
    return textwrap.wrap(shown, fits) or [""]
