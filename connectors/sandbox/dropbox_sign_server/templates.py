"""The seeded templates, and `POST /signature_request/send_with_template` validated against them.

Source: openapi-2026-07.yaml `SignatureRequestSendWithTemplateRequest`, `TemplateResponse`: role names
are case-sensitive, order comes from the template, CC roles and custom fields are required where the
template has them (read 2026-11-22). `expires_at` is not in that body: it is ignored, with a warning.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field

from pypdf import PdfReader

from connectors.sandbox.dropbox_sign_server import documents, reading
from connectors.sandbox.dropbox_sign_server.drafts import NewId, base_draft, read_files, read_signature
from connectors.sandbox.dropbox_sign_server.errors import VendorError, bad
from connectors.sandbox.dropbox_sign_server.forms import Body
from connectors.sandbox.dropbox_sign_server.records import Draft, Field, Signature, StoredFile
from connectors.sandbox.dropbox_sign_server.texttags import find_tags


@dataclass
class Template:
    """A template: `layout` is the Typst file of its document."""

    template_id: str
    title: str
    message: str
    layout: str
    roles: list[str]
    cc_roles: list[str]
    merge_fields: dict[str, bool]  # name -> required
    updated_at: int
    _fields: list[Field] = field(default_factory=list)

    def document(self, values: dict[str, str]) -> StoredFile:
        """The document with the merge fields filled in."""
        return StoredFile(f"{self.layout}.pdf", documents.set_page(self.layout, {"values": values}))

    def fields(self) -> list[Field]:
        """The fields of its signers, read once from the tags of the empty document."""
        if not self._fields:
            self._fields = find_tags(PdfReader(io.BytesIO(self.document({}).content)), 0)
        return self._fields


def seeded_templates(now: int, stable_id: Callable[[str], str]) -> list[Template]:
    """The templates of a fresh stand-in. Ids do not depend on the seed."""
    return [
        Template(
            stable_id("template service contract"),
            "Service contract",
            "Please sign the service contract.",
            "service_contract",
            ["Client", "Counter-signer"],
            [],
            {"Company": True, "Price": True, "Start date": False},
            now,
        ),
        Template(
            stable_id("template mutual nda"),
            "Mutual non-disclosure agreement",
            "Please sign before we exchange details.",
            "mutual_nda",
            ["Client"],
            ["Legal"],
            {"Company": True},
            now,
        ),
    ]


def read_send_with_template(
    body: Body, *, find: Callable[[str], Template], now_s: float, new_hex: NewId
) -> Draft:
    """The draft of a request made from templates. Raises VendorError (400, 404)."""
    fields = body.fields
    ids = reading.strings(fields, "template_ids") or (
        [one] if (one := reading.text(fields, "template_id")) else []
    )
    if not ids:
        raise bad("Please provide at least one template_id", "template_ids")
    used = [find(template_id) for template_id in ids]
    roles = list(dict.fromkeys(role for template in used for role in template.roles))
    draft = base_draft(fields, files=[], signatures=_signers(fields, roles, new_hex), now_s=now_s)
    draft.template_ids = ids
    draft.title = reading.text(fields, "title") or used[0].title
    draft.subject = draft.subject or draft.title
    draft.message = draft.message if draft.message is not None else used[0].message
    draft.cc = _ccs(fields, [role for template in used for role in template.cc_roles])
    if "expires_at" in fields:
        draft.warnings.append(
            {"warning_name": "parameter_ignored", "warning_msg": "expires_at is ignored for templates"}
        )
    _fill(draft, used, roles)
    for extra in read_files(body, required=False):
        draft.files.append(extra)
    return draft


def _fill(draft: Draft, used: list[Template], roles: list[str]) -> None:
    values = {str(c["name"]): str(c["value"]) for c in draft.custom_fields}
    for template in used:
        for name, required in template.merge_fields.items():
            if required and not values.get(name):
                raise bad(f"The custom field {name} is required by the template", "custom_fields")
    for at, template in enumerate(used):
        draft.files.append(template.document({k: v for k, v in values.items() if k in template.merge_fields}))
        for place in template.fields():
            role = template.roles[place.signer or 0]
            draft.fields.append(
                Field(**{**vars(place), "document": at, "signer": roles.index(role), "from_tag": False})
            )
    known = {name for template in used for name in template.merge_fields}
    # A name without a merge field is ignored, without an error.
    draft.custom_fields = [c for c in draft.custom_fields if c["name"] in known]
    for custom in draft.custom_fields:
        if custom["editor"] is not None and custom["editor"] not in roles:
            raise bad("editor must be a role of the template", "custom_fields")


def _signers(fields: reading.Fields, roles: list[str], new_hex: NewId) -> list[Signature]:
    rows = reading.rows(fields, "signers")
    if not rows and isinstance(fields.get("signers"), dict):
        raise bad("signers must be an array", "signers")
    found: dict[str, Signature] = {}
    for at, row in enumerate(rows):
        role = reading.needed(row, "role", f"signers[{at}][role]")
        if role not in roles:
            raise bad(f"The role {role} is not one of the template's roles", f"signers[{at}][role]")
        if role in found:
            raise bad(f"The role {role} is given twice", f"signers[{at}][role]")
        found[role] = read_signature(row, roles.index(role), f"signers[{at}]", new_hex)
        found[role].role = role
        found[role].order = roles.index(role) if len(roles) > 1 else None
    missing = [role for role in roles if role not in found]
    if missing:
        raise bad(f"Please provide a signer for the role {missing[0]}", "signers")
    return [found[role] for role in roles]


def _ccs(fields: reading.Fields, roles: list[str]) -> list[str]:
    found: dict[str, str] = {}
    for at, row in enumerate(reading.rows(fields, "ccs")):
        role = reading.needed(row, "role", f"ccs[{at}][role]")
        if role not in roles or role in found:
            raise VendorError("bad_request", "The CC role is unknown or given twice", f"ccs[{at}][role]")
        found[role] = reading.email(row, "email_address", f"ccs[{at}][email_address]")
    missing = [role for role in roles if role not in found]
    if missing:
        raise bad(f"Please provide a CC recipient for the role {missing[0]}", "ccs")
    return list(found.values())
