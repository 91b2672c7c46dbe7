"""HubSpot's error bodies, one builder for each kind.

Source: https://developers.hubspot.com/docs/api-reference/error-handling (read 2026-04-13); bodies as seen
in recorded answers of 2026. Every field but `status` and `message` is optional at HubSpot.
"""

import json
import random
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

_CATEGORY_OF_STATUS = {
    400: "VALIDATION_ERROR",
    401: "INVALID_AUTHENTICATION",
    403: "MISSING_SCOPES",
    404: "OBJECT_NOT_FOUND",
    409: "CONFLICT",
    423: "LOCKED",
    429: "RATE_LIMITS",
}


_dice: random.Random = random.SystemRandom()


def correlation_id() -> str:
    """A new id as on every answer of HubSpot."""
    return str(uuid.UUID(int=_dice.getrandbits(128), version=4))


def repeatable_ids(seed: int) -> None:
    """Derive the ids of this process from the seed from now on: callers store them with errors."""
    global _dice
    _dice = random.Random(seed)


class Refusal(Exception):
    """HubSpot's normal error answer: status code and JSON body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        category: str | None = None,
        sub_category: str | None = None,
        errors: Sequence[Mapping[str, Any]] | None = None,
        context: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.category = _CATEGORY_OF_STATUS.get(status, "VALIDATION_ERROR") if category is None else category
        self.sub_category = sub_category
        self.errors = [dict(e) for e in errors] if errors else None
        self.context = {k: list(v) for k, v in context.items()} if context else None

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        found: dict[str, Any] = {
            "status": "error",
            "message": self.message,
            "correlationId": correlation_id(),
        }
        if self.context:
            found["context"] = self.context
        if self.errors:
            found["errors"] = self.errors
        if self.category:
            found["category"] = self.category
        if self.sub_category:
            found["subCategory"] = self.sub_category
        return found

    def row(self, trace_id: str | None = None) -> dict[str, Any]:
        """The same refusal as one entry of a 207's `errors`."""
        context = dict(self.context or {})
        if trace_id is not None:
            context["objectWriteTraceId"] = [trace_id]
        found: dict[str, Any] = {
            "status": "error",
            "category": self.category,
            "message": self.message,
            "context": context,
        }
        if self.errors:
            found["errors"] = self.errors
        if self.sub_category:
            found["subCategory"] = self.sub_category
        return found


def bad_json(reason: str) -> Refusal:
    """The request body is not valid JSON for the operation."""
    return Refusal(400, f"Invalid input JSON on line 1, column 1: {reason}")


def missing_fields(names: Sequence[str]) -> Refusal:
    """Required members of the body are absent."""
    return Refusal(
        400,
        f"Invalid input JSON on line 1, column 2: Some required fields were not set: [{', '.join(names)}]",
    )


def not_found(what: str, ident: object) -> Refusal:
    """No such record or definition."""
    return Refusal(404, f"{what} with id {ident} was not found", category="OBJECT_NOT_FOUND")


def property_problems(portal_id: int, problems: Sequence["PropertyProblem"]) -> Refusal:
    """Property values were refused; the message embeds the list as JSON text, as HubSpot's does."""
    listed = [
        {
            "isValid": False,
            "message": p.message,
            "error": p.code,
            "name": p.name,
            "localizedErrorMessage": p.message,
            "portalId": portal_id,
        }
        for p in problems
    ]
    return Refusal(
        400,
        f"Property values were not valid: {json.dumps(listed, ensure_ascii=False)}",
        errors=[
            {"message": p.message, "code": p.code, "context": {"propertyName": [p.name]}} for p in problems
        ],
    )


class PropertyProblem:
    """Why one property value was refused."""

    __slots__ = ("code", "message", "name")

    def __init__(self, name: str, code: str, message: str) -> None:
        self.name = name
        self.code = code
        self.message = message


def status_body(status: int) -> dict[str, Any]:
    """A generic vendor body for a fault with this status."""
    if status == 429:
        return rate_limit_body("TEN_SECONDLY_ROLLING")
    text = {
        401: "Authentication credentials were not accepted",
        403: "This app does not have all the scopes that this call needs",
        423: "Too many writes in a short time: this resource is locked for a moment",
        477: "The account is being moved to another data centre",
        502: "The request hit a processing limit",
        503: "The service is not available at the moment",
        504: "The request hit a processing limit",
    }.get(status, "internal error" if status >= 500 else "The request was refused")
    found: dict[str, Any] = {"status": "error", "message": text, "correlationId": correlation_id()}
    if status in _CATEGORY_OF_STATUS:
        found["category"] = _CATEGORY_OF_STATUS[status]
    return found


def rate_limit_body(policy: str) -> dict[str, Any]:
    """The 429 body: not the normal error shape. `policy`: DAILY, TEN_SECONDLY_ROLLING or SECONDLY."""
    return {
        "status": "error",
        "message": f"You have reached your {policy.lower()} limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": correlation_id(),
        "policyName": policy,
        "groupName": "publicapi:private-apps:sandbox",
        "requestId": correlation_id(),
    }


def html_page(status: int, title: str) -> bytes:
    """The answer for an unknown address or method."""
    return (
        f'<html>\n<head>\n<meta http-equiv="Content-Type" content="text/html;charset=utf-8"/>\n'
        f"<title>Error {status} {title}</title>\n</head>\n<body><h2>HTTP ERROR {status}</h2>\n"
        f"<p>Reason: {title}</p>\n</body>\n</html>\n"
    ).encode()
