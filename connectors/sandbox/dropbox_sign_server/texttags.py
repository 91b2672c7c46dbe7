"""Finds the vendor's text tags and their positions in a PDF, and checks them against the list of signers.

A tag is `[type|req or noreq|signerN or sender|label|unique id]`, the last two optional; `signer1` is
the first signer as sent. Source: developers.hellosign.com/docs/text-tags/walkthrough (stored copy,
read 2026-11-22); wording of the failure after github hellosign/hellosign-nodejs-sdk#98.
"""

import re
from bisect import bisect_right

from pypdf import PageObject, PdfReader

from connectors.sandbox.dropbox_sign_server.records import Field

_TYPES = {
    "sig": "signature",
    "initial": "initials",
    "date": "date_signed",
    "text": "text",
    "check": "checkbox",
    "text-merge": "text-merge",
    "checkbox-merge": "checkbox-merge",
}
_TAG = re.compile(r"\[\s*([a-z-]+)\s*\|([^\[\]|]*)\|([^\[\]|]*)((?:\|[^\[\]|]*)*)\]")
_WIDE = 0.5  # an average letter is half as wide as the font is high


class TagError(Exception):
    """The tags cannot be used; the text is the event's message."""


def find_tags(reader: PdfReader, document: int) -> list[Field]:
    """All tags of one document in reading order. Raises TagError for an unknown type or assignee."""
    found: list[Field] = []
    for number, page in enumerate(reader.pages):
        text, starts, places = _pieces(page)
        for match in _TAG.finditer(text):
            at = bisect_right(starts, match.start()) - 1
            x, y, size = places[at]
            field = _field(match, serial=f"{document}_{number}_{len(found)}")
            field.document, field.page = document, number
            before = text[starts[at] : match.start()].lstrip(" ")  # pypdf adds spaces in front
            field.x = x + len(before) * size * _WIDE
            field.y, field.height = y, size
            field.width = max(len(match[0]) * size * _WIDE, 40.0)
            found.append(field)
    return found


def judge(fields: list[Field], signers: int, *, ignore_errors: bool = False) -> None:
    """Every signer needs a signature, every tag a signer. Raises TagError with the vendor's kind of text."""
    for field in fields:
        if field.signer is not None and not 0 <= field.signer < signers:
            raise TagError(
                "Text tags error: No reference found in signer list to components"
                f" labeled signer {field.signer + 1}"
            )
        if field.signer is None and not field.type.endswith("-merge"):
            raise TagError(f"Text tags error: a {field.type} field cannot be assigned to the sender")
    if len({f.api_id for f in fields}) != len(fields) and not ignore_errors:
        raise TagError("Text tags error: the unique ids of the tags are not unique")
    signing = {f.signer for f in fields if f.type == "signature"}
    missing = [n + 1 for n in range(signers) if n not in signing]
    if missing:
        raise TagError(f"Text tags error: Signer {missing[0]} has no signature field")


def _field(match: re.Match[str], serial: str) -> Field:
    kind, need, who = match[1], match[2].strip(), match[3].strip().lower()
    if kind not in _TYPES:
        raise TagError(f"Text tags error: {kind} is not a type of field")
    rest = [part.strip() for part in match[4].split("|")[1:]]
    signer: int | None
    if who == "sender":
        signer = None
    elif number := re.fullmatch(r"signer\s*(\d+)", who):
        signer = int(number[1]) - 1
    else:
        raise TagError(f"Text tags error: {who or 'nobody'} is not a signer")
    return Field(
        type=_TYPES[kind],
        signer=signer,
        required=need != "noreq",
        name=rest[0] if rest else "",
        api_id=rest[1] if len(rest) > 1 and rest[1] else f"tag_{serial}",
        from_tag=True,
    )


def _pieces(page: PageObject) -> tuple[str, list[int], list[tuple[float, float, float]]]:
    """The page's text in one string, and for each piece its start in the text and on the page (points)."""
    texts: list[str] = []
    starts: list[int] = []
    places: list[tuple[float, float, float]] = []
    length = 0

    def visit(text: str, cm: list[float], tm: list[float], _font: object, size: float) -> None:
        nonlocal length
        kept = text.replace("\n", "")
        if not kept:
            return
        x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
        y = tm[4] * cm[1] + tm[5] * cm[3] + cm[5]
        scale = abs(tm[3] * cm[3]) or abs(tm[1] * cm[2]) or 1.0
        texts.append(kept)
        starts.append(length)
        places.append((x, y, max(size * scale, 4.0)))
        length += len(kept)

    page.extract_text(visitor_text=visit)
    return "".join(texts), starts, places
