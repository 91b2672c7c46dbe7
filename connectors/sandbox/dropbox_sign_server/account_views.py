"""The account, its apps and templates as the vendor shows them: openapi-2026-07.yaml (read 2026-11-22)."""

from connectors.sandbox.dropbox_sign_server.records import Account, ApiApp, Field
from connectors.sandbox.dropbox_sign_server.templates import Template
from connectors.sandbox.dropbox_sign_server.views import Json


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
                "name": f"{of.layout}.pdf",
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
