"""Validates `POST /signature_request/send`: returns a `Draft`, or raises the vendor's 400 with its path.

Source: openapi-2026-07.yaml `SignatureRequestSendRequest`, `SubSignatureRequestSigner`,
`SubFormFieldsPerDocumentBase` (read 2026-11-22).
"""

from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from connectors.sandbox.dropbox_sign_server import reading
from connectors.sandbox.dropbox_sign_server.errors import bad
from connectors.sandbox.dropbox_sign_server.forms import Body
from connectors.sandbox.dropbox_sign_server.records import Draft, Field, Signature, StoredFile

_FIELD_TYPES = {
    "text", "dropdown", "hyperlink", "checkbox", "radio", "signature", "date_signed", "initials",
    "text-merge", "checkbox-merge",
}  # fmt: skip
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_PAGE_HEIGHT_PT = 842.0
NewId = Callable[[int], str]


def read_send(body: Body, *, now_s: float, new_hex: NewId) -> Draft:
    """Read the draft of a request with its own documents. Raises VendorError (400)."""
    fields = body.fields
    files = read_files(body)
    signatures = _signers(fields, new_hex)
    draft = base_draft(fields, files=files, signatures=signatures, now_s=now_s)
    draft.expires_at = reading.expiry(fields, now_s)
    draft.allow_reassign = reading.flag(fields, "allow_reassign")
    draft.use_text_tags = reading.flag(fields, "use_text_tags")
    draft.hide_text_tags = reading.flag(fields, "hide_text_tags")
    draft.ignore_tag_errors = reading.flag(fields, "ignore_text_tags_extraction_errors")
    draft.cc = [
        reading.email({"e": address}, "e", f"cc_email_addresses[{at}]")
        for at, address in enumerate(reading.strings(fields, "cc_email_addresses"))
    ]
    draft.fields = _form_fields(fields, len(signatures), len(files))
    draft.attachments = _attachments(fields, len(signatures), new_hex)
    _only_once(fields)
    return draft


def base_draft(
    fields: reading.Fields, *, files: list[StoredFile], signatures: list[Signature], now_s: float
) -> Draft:
    """Read the part that both kinds of send have: texts with their lengths, metadata, custom fields, test mode."""
    title = reading.text(fields, "title", longest=255)
    subject = reading.text(fields, "subject", longest=255)
    name = files[0].name if files else ""
    draft = Draft(
        title=title or subject or name,
        subject=subject or title,
        message=reading.text(fields, "message", longest=5000),
        metadata=reading.metadata(fields),
        files=files,
        signatures=signatures,
        fields=[],
        custom_fields=_custom_fields(fields),
        cc=[],
        test_mode=reading.flag(fields, "test_mode"),
        allow_decline=reading.flag(fields, "allow_decline"),
        client_id=reading.text(fields, "client_id") or None,
        signing_redirect_url=reading.text(fields, "signing_redirect_url") or None,
    )
    options = fields.get("field_options")
    if isinstance(options, dict) and isinstance(options.get("date_format"), str):
        draft.date_format = cast(str, options["date_format"])
    if reading.flag(fields, "is_eid") and draft.test_mode:
        raise bad("is_eid cannot be used in test mode", "is_eid")
    return draft


def read_files(body: Body, *, required: bool = True) -> list[StoredFile]:
    """Read uploads or URLs, not both. URLs must be on this machine: the stand-in fetches nothing else."""
    urls = reading.strings(body.fields, "file_urls")
    if body.files and urls:
        raise bad("Use either files or file_urls, not both", "file_urls")
    if required and not body.files and not urls:
        raise bad("Please provide at least one file or file_url", "files")
    for at, file in enumerate(body.files):
        if not file.content:
            raise bad("The file is empty", f"files[{at}]")
    for at, url in enumerate(urls):
        if urlsplit(url).scheme not in ("http", "https") or urlsplit(url).hostname not in LOOPBACK:
            raise bad("The stand-in fetches file_urls from this machine only", f"file_urls[{at}]")
    fetched = [StoredFile(urlsplit(u).path.rsplit("/", 1)[-1] or "document", url=u) for u in urls]
    return body.files or fetched


def read_signature(row: reading.Fields, index: int, path: str, new_hex: NewId) -> Signature:
    """Read one signer of either kind of send."""
    pin = reading.text(row, "pin", path=f"{path}[pin]")
    if pin is not None and not 4 <= len(pin) <= 12:
        raise bad("The pin must have between 4 and 12 characters", f"{path}[pin]")
    sms_type = reading.text(row, "sms_phone_number_type")
    if sms_type not in (None, "authentication", "delivery"):
        raise bad("This value is not valid", f"{path}[sms_phone_number_type]")
    phone = reading.text(row, "sms_phone_number")
    return Signature(
        signature_id=new_hex(32),
        index=index,
        name=reading.needed(row, "name", f"{path}[name]"),
        email=reading.email(row, "email_address", f"{path}[email_address]"),
        has_pin=pin is not None,
        sms_phone_number=phone,
        sms_type=(sms_type or "authentication") if phone else None,
    )


def _signers(fields: reading.Fields, new_hex: NewId) -> list[Signature]:
    plain, groups = reading.rows(fields, "signers"), reading.rows(fields, "grouped_signers")
    if bool(plain) == bool(groups):
        raise bad("Use either signers or grouped_signers: at least one is needed, not both", "signers")
    if plain:
        found = [read_signature(row, at, f"signers[{at}]", new_hex) for at, row in enumerate(plain)]
        sent = [reading.whole(row, "order", f"signers[{at}][order]") for at, row in enumerate(plain)]
        for signature, rank in zip(found, reading.ranks(sent, "signers"), strict=True):
            signature.order = rank
        return found
    found = []
    orders = [reading.whole(g, "order", f"grouped_signers[{at}][order]") for at, g in enumerate(groups)]
    for at, (group, rank) in enumerate(zip(groups, reading.ranks(orders, "grouped_signers"), strict=True)):
        guid, path = new_hex(32), f"grouped_signers[{at}]"
        reading.needed(group, "group", f"{path}[group]")
        for n, row in enumerate(reading.rows(group, "signers")):
            signature = read_signature(row, at, f"{path}[signers][{n}]", new_hex)
            signature.order, signature.group = rank, guid
            found.append(signature)
    return found


def _custom_fields(fields: reading.Fields) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for at, row in enumerate(reading.rows(fields, "custom_fields")):
        path = f"custom_fields[{at}]"
        required, editor = reading.flag(row, "required"), reading.text(row, "editor") or None
        if required and editor is None:
            raise bad("editor is needed where required is true", f"{path}[editor]")
        value = row.get("value")
        if value is not None and not isinstance(value, str | bool | int | float):
            raise bad("value must be a string", f"{path}[value]")
        found.append(
            {
                "name": reading.needed(row, "name", f"{path}[name]"),
                "value": value if isinstance(value, str) else "" if value is None else str(value).lower(),
                "required": required,
                "editor": editor,
            }
        )
    return found


def _form_fields(fields: reading.Fields, signers: int, documents: int) -> list[Field]:
    found = []
    for at, row in enumerate(reading.rows(fields, "form_fields_per_document")):
        path = f"form_fields_per_document[{at}]"
        kind, who = reading.needed(row, "type", f"{path}[type]"), str(row.get("signer", ""))
        if kind not in _FIELD_TYPES:
            raise bad("This type of field is not known", f"{path}[type]")
        if who not in ("sender", "me_now") and not (who.isdigit() and int(who) < signers):
            raise bad("signer must be the index of a signer", f"{path}[signer]")
        document = reading.whole(row, "document_index", f"{path}[document_index]")
        if document is None or not 0 <= document < documents:
            raise bad("document_index must be the index of a file", f"{path}[document_index]")
        x, y, width, height = (
            reading.whole(row, k, f"{path}[{k}]") or 0 for k in ("x", "y", "width", "height")
        )
        found.append(
            Field(
                type=kind,
                signer=int(who) if who.isdigit() else None,
                api_id=reading.needed(row, "api_id", f"{path}[api_id]"),
                name=reading.text(row, "name") or "",
                required=reading.flag(row, "required"),
                document=document,
                page=max(0, (reading.whole(row, "page") or 1) - 1),
                x=float(x),
                y=_PAGE_HEIGHT_PT - y - height,
                width=float(width),
                height=float(height),
            )
        )
    if len({f.api_id for f in found}) != len(found):
        raise bad("api_id must be unique", "form_fields_per_document")
    return found


def _attachments(fields: reading.Fields, signers: int, new_hex: NewId) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for at, row in enumerate(reading.rows(fields, "attachments")):
        index = reading.whole(row, "signer_index", f"attachments[{at}][signer_index]")
        if index is None or not 0 <= index < signers:
            raise bad("signer_index must be the index of a signer", f"attachments[{at}][signer_index]")
        found.append(
            {
                "id": new_hex(32),
                "signer": str(index + 1),
                "name": reading.needed(row, "name", f"attachments[{at}][name]"),
                "required": reading.flag(row, "required"),
                "instructions": reading.text(row, "instructions"),
                "uploaded_at": None,
            }
        )
    return found


def _only_once(fields: reading.Fields) -> None:
    if reading.flag(fields, "use_text_tags") and reading.rows(fields, "form_fields_per_document"):
        raise bad("Use either text tags or form_fields_per_document", "use_text_tags")
