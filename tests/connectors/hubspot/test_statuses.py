import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.http.errors import (
    AuthError,
    ConflictError,
    ConnectorError,
    GoneError,
    NotFoundError,
    RateLimitedError,
    RejectedError,
    TransientError,
    UnreadableAnswerError,
)
from connectors.hubspot.statuses import HUBSPOT, STATUSES, read_detail

# status, class, applied after a write. Written from the vendor's pages, not from the table under test.
ROWS = [
    (301, UnreadableAnswerError, "maybe"),
    (307, UnreadableAnswerError, "maybe"),
    (400, RejectedError, "no"),
    (401, AuthError, "no"),
    (402, AuthError, "no"),
    (403, AuthError, "no"),
    (404, NotFoundError, "no"),
    (405, RejectedError, "no"),
    (408, TransientError, "no"),
    (409, ConflictError, "no"),
    (410, GoneError, "no"),
    (413, RejectedError, "no"),
    (414, RejectedError, "no"),
    (415, RejectedError, "no"),
    (418, RejectedError, "no"),
    (422, RejectedError, "no"),
    (423, TransientError, "no"),
    (425, TransientError, "no"),
    (429, RateLimitedError, "no"),
    (477, TransientError, "no"),
    (500, TransientError, "maybe"),
    (502, TransientError, "maybe"),
    (503, TransientError, "maybe"),
    (504, TransientError, "maybe"),
    (520, TransientError, "maybe"),
    (521, TransientError, "maybe"),
    (522, UnreadableAnswerError, "maybe"),
    (523, TransientError, "maybe"),
    (524, TransientError, "maybe"),
    (525, UnreadableAnswerError, "maybe"),
    (526, UnreadableAnswerError, "maybe"),
]


def _error(status: int, body: object = None, *, write: bool = True, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HUBSPOT.error("op", status, headers, raw, write=write, now_s=0.0)


@pytest.mark.parametrize(("status", "kind", "applied"), ROWS)
def test_status_decides_class_and_doubt(status: int, kind: type, applied: str) -> None:
    """Each status has one class, whatever the body; 4xx never took effect, 5xx and 3xx may have."""
    for body in ({"category": "OBJECT_NOT_FOUND"}, None, b"<html>", b'{"status":'):
        error = _error(status, body)
        assert type(error) is kind
        assert error.applied == applied
        assert _error(status, body, write=False).applied == "no"


def test_no_row_of_the_table_is_untested() -> None:
    """A status added to the table needs a row here."""
    assert set(STATUSES) <= {status for status, _, _ in ROWS}


def test_locked_waits_two_seconds() -> None:
    """423 lasts two seconds, and the vendor's own number wins when there is one."""
    assert _error(423).retry_after_s == 2.0
    assert _error(423, None, **{"Retry-After": "9"}).retry_after_s == 9.0


def test_data_centre_move_names_its_wait() -> None:
    """477 says in seconds when the account answers again."""
    assert _error(477, None, **{"Retry-After": "3600"}).retry_after_s == 3600.0


def test_missing_scopes_are_named() -> None:
    """A 403 tells the operator which scopes to add."""
    body = {
        "status": "error",
        "message": "This app hasn't been granted all required scopes",
        "correlationId": "aeb5f871-7f07-4993-9211-075dc63e7cbf",
        "category": "MISSING_SCOPES",
        "errors": [
            {"message": "One or more", "context": {"requiredGranularScopes": ["crm.objects.owners.read"]}}
        ],
    }
    error = _error(403, body)
    assert error.missing_scopes == ("crm.objects.owners.read",)
    assert error.category == "MISSING_SCOPES"
    assert "aeb5f871-7f07-4993-9211-075dc63e7cbf" in str(error)
    assert "crm.objects.owners.read" in str(error)


def test_unknown_property_is_named_from_the_message() -> None:
    """The property list, which is JSON inside the message text, is read."""
    inner = [{"isValid": False, "message": "Property x does not exist", "name": "no_such", "error": "P"}]
    body = {
        "status": "error",
        "message": "Property values were not valid: " + json.dumps(inner),
        "category": "VALIDATION_ERROR",
    }
    assert _error(400, body).properties == ("no_such",)


def test_conditional_rule_is_named_by_its_code() -> None:
    """A stage rule of 2026-09 comes back with its code and the missing property."""
    body = {
        "status": "error",
        "message": "closedate is required when ...",
        "category": "VALIDATION_ERROR",
        "errors": [
            {
                "message": "m",
                "code": "MISSING_CONDITIONAL_REQUIRED_PROPERTY",
                "context": {"propertyName": ["closedate"]},
            }
        ],
    }
    error = _error(400, body)
    assert (error.category, error.properties) == ("MISSING_CONDITIONAL_REQUIRED_PROPERTY", ("closedate",))


@pytest.mark.parametrize(
    "body",
    [
        {"category": "CONFLICT", "message": "Contact already exists. Existing ID: 4711"},
        {"category": "CONFLICT", "message": "m", "context": {"existingId": ["4711"]}},
        {"category": "CONFLICT", "message": "m", "errors": [{"context": {"existingId": 4711}}]},
    ],
)
def test_conflict_names_the_record_in_the_way(body: object) -> None:
    """A 409 gives the id that holds the key, from the context or from the text."""
    assert _error(409, body).existing_id == "4711"


def test_rate_limit_body_of_its_own_shape() -> None:
    """A 429 has errorType instead of category."""
    body = {
        "status": "error",
        "message": "m",
        "errorType": "RATE_LIMIT",
        "policyName": "DAILY",
        "requestId": "r-1",
    }
    error = _error(429, body)
    assert (type(error), error.category, error.request_id) == (RateLimitedError, "RATE_LIMIT", "r-1")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(
        ["errors", "context", "message", "category", "correlationId", "propertyName", "code", "name"]),
        inner),
    max_leaves=30,
)  # fmt: skip


@given(_JSON, st.sampled_from([400, 403, 404, 409, 429, 500]))
def test_no_body_breaks_the_reading(body: object, status: int) -> None:
    """Whatever an error body holds, an error of our family with plain text comes out."""
    read_detail(body)
    error = HUBSPOT.error("op", status, {}, json.dumps(body).encode(), write=True, now_s=0.0)
    assert isinstance(error, ConnectorError)
    assert str(error).isprintable()
