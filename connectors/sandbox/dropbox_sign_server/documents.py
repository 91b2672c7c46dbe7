"""Makes the PDFs: merges the sent documents, appends a signature page, stamps signatures, adds the audit trail.

Typst sets the new pages (its compiler comes in the wheel), pypdf merges them.
"""

import hashlib
import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typst
from pypdf import PdfReader, PdfWriter
from pypdf.errors import PyPdfError

from connectors.sandbox.dropbox_sign_server.records import Field, Signature, SignatureRequest, StoredFile
from connectors.sandbox.dropbox_sign_server.texttags import find_tags

_LAYOUTS = Path(__file__).parent / "layouts"
_FONTS = typst.Fonts(include_system_fonts=False)  # read once: a page takes half as long
_COLOURS = {"complete": "#15803d", "open": "#1d4ed8", "declined": "#b91c1c", "expired": "#a16207"}
_DATE = {"YYYY": "%Y", "MM": "%m", "DD": "%d"}
TEXT_SUFFIXES = {".txt", ".html", ".htm"}
OTHER_SUFFIXES = {".doc", ".docx", ".ppt", ".pptx", ".ppsx", ".xls", ".xlsx", ".jpg", ".jpeg", ".png", ".gif"}


class FileError(Exception):
    """A document that cannot be processed; the text is the event's message."""


def set_page(name: str, data: dict[str, Any]) -> bytes:
    """One of the Typst files in `layouts/`, filled with `data`, as a PDF."""
    made = typst.Compiler(root=_LAYOUTS, font_paths=_FONTS, ignore_system_fonts=True).compile(
        input=_LAYOUTS / f"{name}.typ", sys_inputs={"data": json.dumps(data)}
    )
    assert isinstance(made, bytes)  # one file is requested
    return made


def as_pdf(file: StoredFile) -> bytes:
    """The document as a PDF. Raises FileError when it is broken, locked or of an unknown kind."""
    if file.content[:1024].lstrip().startswith(b"%PDF"):
        open_pdf(file.content, file.name)
        return file.content
    suffix = Path(file.name).suffix.lower()
    if suffix not in TEXT_SUFFIXES | OTHER_SUFFIXES:
        raise FileError(f"The file {file.name} is not of a supported type")
    text = file.content.decode("utf-8", "replace") if suffix in TEXT_SUFFIXES else None
    return set_page("stand_in_document", {"name": file.name, "size": len(file.content), "text": text})


def open_pdf(content: bytes, name: str) -> PdfReader:
    """A reader with at least one page. Raises FileError."""
    try:
        reader = PdfReader(io.BytesIO(content))
        if reader.is_encrypted or not reader.pages:
            raise FileError(f"The file {name} is locked or has no pages")
    except (PyPdfError, ValueError, KeyError, TypeError, OSError) as problem:
        raise FileError(f"The file {name} could not be read") from problem
    return reader


def merged(parts: list[bytes]) -> bytes:
    """Several PDFs as one; a single one stays as it is."""
    if len(parts) == 1:
        return parts[0]
    writer = PdfWriter()
    for part in parts:
        writer.append(io.BytesIO(part))
    return _written(writer)


def signature_page(title: str, signatures: list[Signature], document: int) -> tuple[bytes, list[Field]]:
    """The signature page for a document without signature fields, and its fields."""
    signers = [{"name": s.name, "email": s.email} for s in signatures]
    page = set_page("signature_page", {"title": title, "signers": signers})
    fields = find_tags(PdfReader(io.BytesIO(page)), document)
    for field in fields:
        field.from_tag = False
    return page, fields


def current_pdf(request: SignatureRequest, requester: str) -> bytes:
    """The merged document in its present state: stamps of those who signed, then the audit trail."""
    parts = [_stamped(request, content, at) for at, (_, content) in enumerate(documents_of(request))]
    return merged([*parts, _audit_trail(request, requester)])


def current_zip(request: SignatureRequest, requester: str) -> bytes:
    """The same documents as single files in a ZIP archive."""
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as archive:
        for at, (name, content) in enumerate(documents_of(request)):
            archive.writestr(f"{at + 1:02d}_{Path(name).stem}.pdf", _stamped(request, content, at))
        archive.writestr("audit_trail.pdf", _audit_trail(request, requester))
    return box.getvalue()


def documents_of(request: SignatureRequest) -> list[tuple[str, bytes]]:
    """Name and PDF of each document, the appended signature page last."""
    return [(file.name, file.content) for file in request.draft.files]


def _stamped(request: SignatureRequest, content: bytes, document: int) -> bytes:
    writer = PdfWriter(clone_from=io.BytesIO(content))
    for page in writer.pages:
        if page.rotation:
            page.transfer_rotation_to_content()
    fields = [f for f in request.draft.fields if f.document == document]
    sheets = [
        {
            "width": float(page.mediabox.width),
            "height": float(page.mediabox.height),
            "marks": [m for f in fields if f.page == number for m in _marks(request, f)],
        }
        for number, page in enumerate(writer.pages)
    ]
    if not request.draft.test_mode and not any(s["marks"] for s in sheets):
        return content
    overlay = set_page("overlay", {"pages": sheets, "watermark": request.draft.test_mode})
    for page, over in zip(writer.pages, PdfReader(io.BytesIO(overlay)).pages, strict=True):
        page.merge_page(over)
    return _written(writer)


def _marks(request: SignatureRequest, field: Field) -> list[dict[str, object]]:
    place = {"x": field.x, "y": field.y, "width": field.width, "height": field.height}
    found: list[dict[str, object]] = []
    if field.from_tag and request.draft.hide_text_tags:
        found.append({**place, "kind": "cover", "text": "", "below": [], "y": field.y - 0.25 * field.height})
    text = field_value(request, field)
    if text:
        signature = next((s for s in request.signatures if s.index == field.signer and s.signed_at), None)
        below = [signature.email, utc_text(signature.signed_at or 0)] if signature else []
        found.append({**place, "kind": field.type, "text": text, "below": below})
    return found


def field_value(request: SignatureRequest, field: Field) -> str:
    """The present value of a field: empty until its signer has signed."""
    if field.type.endswith("-merge"):
        value = next((str(c["value"]) for c in request.draft.custom_fields if c["name"] == field.name), "")
        return value if field.type == "text-merge" else ("✕" if value.lower() in ("1", "true") else "")
    signature = next((s for s in request.signatures if s.index == field.signer and s.signed_at), None)
    if signature is None:
        return ""
    answer = signature.answers.get(field.api_id, signature.answers.get(field.name, ""))
    match field.type:
        case "signature":
            return signature.name
        case "initials":
            return "".join(part[0] for part in signature.name.split()[:3]).upper()
        case "date_signed":
            return _date(signature.signed_at or 0, request.draft.date_format)
        case "checkbox":
            return "✕" if (answer.lower() in ("1", "true") if answer else field.required) else ""
        case _:
            return answer or (
                f"{field.name or 'Text'}, as given by {signature.name}" if field.required else ""
            )


def _audit_trail(request: SignatureRequest, requester: str) -> bytes:
    return set_page(
        "audit_trail",
        {
            "id": request.id,
            "title": request.draft.title,
            "requester": requester,
            "test_mode": request.draft.test_mode,
            "status": {"open": "In progress", "complete": "Completed"}.get(
                request.phase, request.phase.capitalize()
            ),
            "colour": _COLOURS.get(request.phase, "#6b7280"),
            "files": [
                {"name": name, "sha256": hashlib.sha256(content).hexdigest()}
                for name, content in documents_of(request)
            ],
            "signers": [
                {
                    "name": s.name,
                    "email": s.email,
                    "status": s.status.replace("_", " "),
                    "signed": utc_text(s.signed_at) if s.signed_at else "–",
                }
                for s in request.signatures
            ],
            "history": [{"at": utc_text(at), "text": text} for at, text in request.history],
        },
    )


def _written(writer: PdfWriter) -> bytes:
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def utc_text(at: int) -> str:
    """Unix seconds as text for people, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _date(at: int, wanted: str) -> str:
    for word, code in _DATE.items():
        wanted = wanted.replace(word, code)
    return datetime.fromtimestamp(at, UTC).strftime(wanted)
