"""Records as the vendor shows them: complete JSON objects of openapi-2026-07.yaml (read 2026-11-22)."""

from collections.abc import Sequence

from connectors.sandbox.dropbox_sign_server.documents import field_value
from connectors.sandbox.dropbox_sign_server.records import Account, ApiApp, Field, Signature, SignatureRequest
from connectors.sandbox.dropbox_sign_server.templates import Template

Json = dict[str, object]


def signature_request(request: SignatureRequest, account: Account, public_url: str) -> Json:
    """`SignatureRequestResponse`. There is no status field: flags and signers tell."""
    draft = request.draft
    closed = request.phase in ("complete", "declined", "expired", "error")
    return {
        "signature_request_id": request.id,
        "test_mode": draft.test_mode,
        "title": draft.title,
        "original_title": draft.title,
        "subject": draft.subject,
        "message": draft.message,
        "metadata": draft.metadata,
        "created_at": request.created_at,
        "expires_at": request.expires_at,
        "is_complete": request.phase == "complete",
        "is_declined": request.phase == "declined",
        "has_error": request.phase == "error",
        "custom_fields": [
            {**c, "type": "text", "api_id": f"{request.id[:6]}_{at}"}
            for at, c in enumerate(draft.custom_fields)
        ],
        "attachments": list(draft.attachments),
        "response_data": [row for f in draft.fields for row in _answers(request, f)],
        "signing_url": None if closed else f"{public_url}/sign/{request.id}",
        "signing_redirect_url": draft.signing_redirect_url,
        "files_url": f"{public_url}/v3/signature_request/files/{request.id}",
        "details_url": f"{public_url}/home/manage?guid={request.id}",
        "final_copy_uri": f"/v3/signature_request/final_copy/{request.id}",
        "requester_email_address": account.email,
        "signatures": [_signature(s) for s in request.signatures],
        "cc_email_addresses": list(draft.cc),
        "template_ids": draft.template_ids,
        "client_id": draft.client_id,
        "bulk_send_job_id": None,
    }


def _signature(signature: Signature) -> Json:
    return {
        "signature_id": signature.signature_id,
        "signer_group_guid": signature.group,
        "signer_email_address": signature.email,
        "signer_name": signature.name,
        "signer_role": signature.role,
        "order": signature.order,
        "status_code": signature.status,
        "signed_at": signature.signed_at,
        "last_viewed_at": signature.last_viewed_at,
        "last_reminded_at": signature.last_reminded_at,
        "has_pin": signature.has_pin,
        "has_sms_auth": signature.sms_type == "authentication",
        "has_sms_delivery": signature.sms_type == "delivery",
        "sms_phone_number": signature.sms_phone_number,
        "decline_reason": signature.decline_reason,
        "reassigned_by": signature.reassigned_by,
        "reassigned_from": signature.reassigned_from,
        "reassignment_reason": signature.reassignment_reason,
        "error": signature.error,
    }


def _answers(request: SignatureRequest, field: Field) -> list[Json]:
    signature = next((s for s in request.signatures if s.index == field.signer and s.signed_at), None)
    if signature is None:
        return []
    shown = field_value(request, field)
    return [
        {
            "api_id": field.api_id,
            "signature_id": signature.signature_id,
            "name": field.name,
            "value": bool(shown) if field.type == "checkbox" else shown,
            "required": field.required,
            "type": field.type,
        }
    ]


def account(of: Account) -> Json:
    """`AccountResponse`."""
    return {
        "account_id": of.account_id,
        "email_address": of.email,
        "is_locked": False,
        "is_paid_hs": True,
        "is_paid_hf": False,
        "quotas": {
            "api_signature_requests_left": of.quota,
            "documents_left": None,
            "templates_total": None,
            "templates_left": None,
            "sms_verifications_left": 0,
            "num_fax_pages_left": 0,
        },
        "callback_url": of.callback_url,
        "role_code": None,
        "team_id": None,
        "locale": of.locale,
    }


def api_app(app: ApiApp, owner: Account) -> Json:
    """`ApiAppResponse`."""
    return {
        "client_id": app.client_id,
        "name": app.name,
        "callback_url": app.callback_url,
        "created_at": app.created_at,
        "domains": list(app.domains),
        "is_approved": False,
        "oauth": None,
        "options": {"can_insert_everywhere": False},
        "owner_account": {"account_id": owner.account_id, "email_address": owner.email},
    }


def template(of: Template, owner: Account) -> Json:
    """`TemplateResponse`."""
    ordered = len(of.roles) > 1
    return {
        "template_id": of.template_id,
        "title": of.title,
        "message": of.message,
        "updated_at": of.updated_at,
        "is_embedded": False,
        "is_creator": True,
        "can_edit": True,
        "is_locked": False,
        "metadata": {},
        "signer_roles": [
            {"name": role, **({"order": at} if ordered else {})} for at, role in enumerate(of.roles)
        ],
        "cc_roles": [{"name": role} for role in of.cc_roles],
        "documents": [
            {
                "index": 0,
                "name": f"{of.paper}.pdf",
                "field_groups": [],
                "form_fields": [_template_field(f) for f in of.fields()],
                "custom_fields": [_merge_field(of, at, name) for at, name in enumerate(of.merge_fields)],
                "static_fields": [],
            }
        ],
        "accounts": [
            {
                "account_id": owner.account_id,
                "email_address": owner.email,
                "is_locked": False,
                "is_paid_hs": True,
                "is_paid_hf": False,
                "quotas": {
                    "templates_left": 5,
                    "documents_left": 100,
                    "api_signature_requests_left": owner.quota,
                    "sms_verifications_left": 0,
                },
            }
        ],
    }


def _template_field(of: Field) -> Json:
    return {
        "api_id": of.api_id,
        "name": of.name,
        "type": of.type,
        "signer": str((of.signer or 0) + 1),
        "x": round(of.x),
        "y": round(842 - of.y),
        "width": round(of.width),
        "height": round(of.height),
        "required": of.required,
    }


def _merge_field(of: Template, at: int, name: str) -> Json:
    return {
        "api_id": f"{of.template_id[:8]}_{at}",
        "name": name,
        "type": "text",
        "signer": None,
        "x": 72,
        "y": 120 + 20 * at,
        "width": 160,
        "height": 14,
        "required": of.merge_fields[name],
        "group": None,
        "avg_text_length": {"num_lines": 1, "num_chars_per_line": 40},
        "isMultiline": False,
        "originalFontSize": 11,
        "fontFamily": "arial",
    }


def page_of(rows: Sequence[Json], page: int, page_size: int, key: str) -> Json:
    """One page of a list with its `list_info`; pages count from 1."""
    start = (page - 1) * page_size
    return {
        "list_info": {
            "page": page,
            "num_pages": max(1, -(-len(rows) // page_size)),
            "num_results": len(rows),
            "page_size": page_size,
        },
        key: list(rows[start : start + page_size]),
    }


def foreign_request(request_id: str, now: int, public_url: str) -> Json:
    """A request that somebody else sent, as events on an account URL show it."""
    return {
        "signature_request_id": request_id,
        "test_mode": False,
        "title": "Somebody else's agreement",
        "original_title": "Somebody else's agreement",
        "subject": "Somebody else's agreement",
        "message": None,
        "metadata": {},
        "created_at": now,
        "expires_at": None,
        "is_complete": False,
        "is_declined": False,
        "has_error": False,
        "custom_fields": [],
        "attachments": [],
        "response_data": [],
        "signing_url": f"{public_url}/sign/{request_id}",
        "signing_redirect_url": None,
        "files_url": f"{public_url}/v3/signature_request/files/{request_id}",
        "details_url": f"{public_url}/home/manage?guid={request_id}",
        "final_copy_uri": None,
        "requester_email_address": "somebody@elsewhere.example",
        "signatures": [],
        "cc_email_addresses": [],
        "template_ids": None,
        "client_id": None,
        "bulk_send_job_id": None,
    }
