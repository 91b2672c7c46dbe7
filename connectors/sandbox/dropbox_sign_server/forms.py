"""Request bodies as the vendor reads them: JSON, or a form in either official format.

Bracketed fields (`signers[0][name]=Ann`) come from the cURL samples, JSON text in one field
(`signers=[{...}]`) from the SDKs; both may carry `files[0]`. Source: hellosign-openapi
examples/SignatureRequestSendExample.sh and dropbox-sign 2.0.0 on the wire (read 2026-11-22).
"""

import hashlib
import json
import re
from dataclasses import dataclass, field

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from connectors.sandbox.dropbox_sign_server.errors import bad
from connectors.sandbox.dropbox_sign_server.records import StoredFile

_JSON_FIELDS = {
    "signers", "grouped_signers", "attachments", "cc_email_addresses", "ccs", "custom_fields", "metadata",
    "field_options", "form_field_groups", "form_field_rules", "form_fields_per_document", "signing_options",
    "file_urls", "template_ids", "domains", "oauth", "options", "white_labeling_options",
}  # fmt: skip
_MAPPINGS = {"metadata"}
_KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")


@dataclass
class Body:
    """A request body: nested fields, uploaded files, and a fingerprint that ignores the form's boundary."""

    fields: dict[str, object] = field(default_factory=dict)
    files: list[StoredFile] = field(default_factory=list)

    def fingerprint(self) -> str:
        """Equal for equal content: used by the guard against identical requests in flight."""
        mark = hashlib.sha256(json.dumps(self.fields, sort_keys=True, default=str).encode())
        for file in self.files:
            mark.update(file.name.encode() + hashlib.sha256(file.content).digest())
        return mark.hexdigest()


async def read_body(request: Request) -> Body:
    """Read the body of any type. Raises VendorError (400) when it cannot be read."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        return await _read_form(request)
    raw = await request.body()
    if not raw:
        return Body()
    try:
        parsed = json.loads(raw)
    except ValueError as problem:
        raise bad("The request body is not valid JSON.") from problem
    if not isinstance(parsed, dict):
        raise bad("The request body must be a JSON object.")
    return Body(fields={k: v for k, v in parsed.items() if v is not None})


async def _read_form(request: Request) -> Body:
    body = Body()
    uploads: list[tuple[str, StoredFile]] = []
    try:
        form = await request.form()
    except HTTPException as problem:
        raise bad("The form could not be read.") from problem
    for key, value in form.multi_items():
        if isinstance(value, UploadFile):
            uploads.append((key, StoredFile(value.filename or key, await value.read())))
        else:
            _place(body.fields, key, value)
    await form.close()
    uploads.sort(key=lambda pair: _natural(pair[0]))
    body.files = [file for key, file in uploads if key.startswith("file")]
    body.fields = {k: _lists(v, keep=k in _MAPPINGS) for k, v in body.fields.items()}
    return body


def _place(fields: dict[str, object], key: str, value: str) -> None:
    match = _KEY.match(key)
    if match is None:
        raise bad("A form field has a name that cannot be read.", key[:40])
    top, rest = match[1], re.findall(r"\[([^\[\]]*)\]", match[2])
    if not rest:
        fields[top] = _json(top, value)
        return
    branch = fields.setdefault(top, {})
    for at, step in enumerate(rest):
        if not isinstance(branch, dict):
            raise bad("A form field is given twice in different forms.", top)
        step = step or str(len(branch))
        if at == len(rest) - 1:
            branch[step] = value
        else:
            branch = branch.setdefault(step, {})


def _json(name: str, value: str) -> object:
    if name not in _JSON_FIELDS or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        parsed: object = json.loads(value)
    except ValueError as problem:
        raise bad(f"{name} is not valid JSON.", name) from problem
    return parsed


def _lists(value: object, *, keep: bool = False) -> object:
    if not isinstance(value, dict):
        return value
    inner = {k: _lists(v) for k, v in value.items()}
    if inner and not keep and all(isinstance(k, str) and k.isdigit() for k in inner):
        return [inner[k] for k in sorted(inner, key=int)]
    return inner


def _natural(text: str) -> list[object]:
    return [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"(\d+)", text)]
