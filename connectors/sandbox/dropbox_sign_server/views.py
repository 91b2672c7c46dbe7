"""Records as the vendor shows them: complete JSON objects of openapi-2026-07.yaml (read 2026-11-22)."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from connectors.sandbox.dropbox_sign_server.documents import field_value
from connectors.sandbox.dropbox_sign_server.records import Account, Field, Signature, SignatureRequest

Json = dict[str, object]
Row = TypeVar("Row")


def signature_request(request: SignatureRequest, account: Account, public_url: str) -> Json:
    """`SignatureRequestResponse`. There is no status field, only flags and signers."""
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


def page_of(rows: Sequence[Row], page: int, page_size: int, key: str, view: Callable[[Row], Json]) -> Json:
    """One page of a list with its `list_info`; pages count from 1."""
    start = (page - 1) * page_size
    return {
        "list_info": {
            "page": page,
            "num_pages": max(1, -(-len(rows) // page_size)),
            "num_results": len(rows),
            "page_size": page_size,
        },
        key: [view(row) for row in rows[start : start + page_size]],
    }


def foreign_request(request_id: str, now: int, public_url: str) -> Json:
    """A request that somebody else sent, as it appears in events on an account URL."""
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
