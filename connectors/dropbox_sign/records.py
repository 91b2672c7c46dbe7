"""Frozen records in Dropbox Sign's words, and the functions that read them out of answers.

Every `parse_*` takes JSON of any shape, ignores unknown fields and raises nothing but UnreadableAnswerError (when
the id is absent). Status words are an open set: compare them with the ones you know, never enumerate them.
Source: the vendor's OpenAPI document of September 2025 and its samples, read 2026-11-22.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from connectors.http.errors import UnreadableAnswerError

UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True)
class Signature:
    """One signer's row. order counts from 0; status_code e.g. awaiting_signature, signed, declined,
    expired."""

    id: str
    email: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    role: str | None = None
    order: int | None = None
    status_code: str | None = None
    signed_at: datetime | None = None
    last_viewed_at: datetime | None = None
    last_reminded_at: datetime | None = None
    decline_reason: str | None = field(default=None, repr=False)
    error: str | None = None


@dataclass(frozen=True)
class RequestWarning:
    """Something the vendor accepted with reserve. "unconfirmed": put on hold, nobody got mail."""

    name: str
    message: str = field(default="", repr=False)


@dataclass(frozen=True)
class SignatureRequest:
    """A signature request as it stands. There is no single status: look at the flags. Times are aware UTC."""

    id: str
    title: str | None = None
    is_complete: bool = False
    is_declined: bool = False
    has_error: bool = False
    test_mode: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)
    created_at: datetime | None = None
    expires_at: datetime | None = None
    signatures: tuple[Signature, ...] = ()
    warnings: tuple[RequestWarning, ...] = ()
    requester_email: str | None = field(default=None, repr=False)
    template_ids: tuple[str, ...] = ()

    @property
    def on_hold(self) -> bool:
        """The sender's e-mail is not confirmed: nobody was asked to sign."""
        return any(one.name == UNCONFIRMED for one in self.warnings)


@dataclass(frozen=True)
class RequestPage:
    """One page of the list; lists received requests too. total and pages count the whole query."""

    requests: tuple[SignatureRequest, ...]
    page: int
    pages: int
    total: int


@dataclass(frozen=True)
class Account:
    """The account behind the key. requests_left: paid requests left this month, None if the vendor does not say."""

    id: str
    email: str | None = field(default=None, repr=False)
    callback_url: str | None = None
    requests_left: int | None = None
    is_paid: bool = False
    is_locked: bool = False


@dataclass(frozen=True)
class ApiApp:
    """An API app of the account."""

    client_id: str
    name: str | None
    callback_url: str | None
    is_approved: bool
    domains: tuple[str, ...] = ()


def parse_request(data: object) -> SignatureRequest:
    """The request of a `{"signature_request": ..., "warnings": ...}` answer, or of a bare request object."""
    outer = mapping(data)
    row = outer["signature_request"] if isinstance(outer.get("signature_request"), dict) else outer
    warnings = [*items(outer.get("warnings")), *(items(row.get("warnings")) if row is not outer else [])]
    return SignatureRequest(
        id=_required(row, "signature_request_id"),
        title=text(row.get("title")),
        is_complete=truth(row.get("is_complete")),
        is_declined=truth(row.get("is_declined")),
        has_error=truth(row.get("has_error")),
        test_mode=truth(row.get("test_mode")),
        metadata=parse_metadata(row.get("metadata")),
        created_at=moment(row.get("created_at")),
        expires_at=moment(row.get("expires_at")),
        signatures=tuple(parse_signature(one) for one in items(row.get("signatures")) if _has_id(one)),
        warnings=tuple(parse_warning(one) for one in warnings),
        requester_email=text(row.get("requester_email_address")),
        template_ids=tuple(one for one in map(text, items(row.get("template_ids"))) if one),
    )


def parse_signature(data: object) -> Signature:
    """One signer's row."""
    row = mapping(data)
    return Signature(
        id=_required(row, "signature_id"),
        email=text(row.get("signer_email_address")),
        name=text(row.get("signer_name")),
        role=text(row.get("signer_role")),
        order=whole(row.get("order")),
        status_code=text(row.get("status_code")),
        signed_at=moment(row.get("signed_at")),
        last_viewed_at=moment(row.get("last_viewed_at")),
        last_reminded_at=moment(row.get("last_reminded_at")),
        decline_reason=text(row.get("decline_reason")),
        error=text(row.get("error")),
    )


def _has_id(data: object) -> bool:
    return bool(text(mapping(data).get("signature_id")))


def parse_warning(data: object) -> RequestWarning:
    """One warning; a shape we do not know becomes a warning without a name."""
    row = mapping(data)
    return RequestWarning(text(row.get("warning_name")) or "", text(row.get("warning_msg")) or "")


def parse_metadata(data: object) -> Mapping[str, str]:
    """Metadata as text to text: an empty one arrives as [], numbers arrive as numbers or text."""
    return {key: value for key, raw in mapping(data).items() if (value := text(raw)) is not None}


def parse_page(data: object) -> RequestPage:
    """A list answer. Raises UnreadableAnswerError without the array of requests, or for a request without id."""
    outer = mapping(data)
    if not isinstance(outer.get("signature_requests"), list):
        raise UnreadableAnswerError("dropbox_sign", "parse", detail="a list without requests")
    info = mapping(outer.get("list_info"))
    requests = tuple(parse_request(one) for one in outer["signature_requests"])
    return RequestPage(
        requests=requests,
        page=whole(info.get("page")) or 1,
        pages=whole(info.get("num_pages")) or 0,
        total=whole(info.get("num_results")) or 0,
    )


def parse_account(data: object) -> Account:
    """An account answer."""
    row = mapping(mapping(data).get("account"))
    return Account(
        id=_required(row, "account_id"),
        email=text(row.get("email_address")),
        callback_url=text(row.get("callback_url")) or None,
        requests_left=whole(mapping(row.get("quotas")).get("api_signature_requests_left")),
        is_paid=truth(row.get("is_paid_hs")),
        is_locked=truth(row.get("is_locked")),
    )


def parse_api_app(data: object) -> ApiApp:
    """An API app answer (its OAuth secret is left behind)."""
    row = mapping(mapping(data).get("api_app"))
    return ApiApp(
        client_id=_required(row, "client_id"),
        name=text(row.get("name")),
        callback_url=text(row.get("callback_url")) or None,
        is_approved=truth(row.get("is_approved")),
        domains=tuple(one for one in map(text, items(row.get("domains"))) if one),
    )


# --- lenient JSON ----------------------------------------------------------------------------------------


def mapping(value: object) -> Mapping[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """The value if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str | None:
    """A JSON scalar as text; arrays and objects as JSON text; null as None."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def whole(value: object) -> int | None:
    """A whole number, also from text or a float without a fraction."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return None


def truth(value: object) -> bool:
    """true, 1, "1" and "true" count as true; all else as false."""
    return value is True or value in (1, "1", "true", "True")


def moment(value: object) -> datetime | None:
    """A time, aware UTC, from Unix seconds; None for anything else."""
    seconds = whole(value)
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _required(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise UnreadableAnswerError("dropbox_sign", "parse", detail=f"an answer without {key}")
    return value
