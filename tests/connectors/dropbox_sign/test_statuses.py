import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.dropbox_sign.statuses import BY_OPERATION, DROPBOX_SIGN, STATUSES, read_detail
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

# operation ("" is any), status, class, applied after a write. Written from the vendor's error catalogue.
ROWS = [
    ("", 302, UnreadableAnswerError, "maybe"),
    ("", 400, RejectedError, "no"),
    ("", 401, AuthError, "no"),
    ("", 402, AuthError, "no"),
    ("", 403, AuthError, "no"),
    ("", 404, NotFoundError, "no"),
    ("", 405, RejectedError, "no"),
    ("", 408, TransientError, "no"),
    ("", 409, ConflictError, "no"),
    ("", 410, GoneError, "no"),
    ("", 413, RejectedError, "no"),
    ("", 422, RejectedError, "no"),
    ("", 429, RateLimitedError, "no"),
    ("", 451, RejectedError, "no"),
    ("", 500, TransientError, "maybe"),
    ("", 502, TransientError, "maybe"),
    ("", 503, TransientError, "maybe"),
    ("", 504, TransientError, "maybe"),
    ("", 599, TransientError, "maybe"),
    ("download_pdf", 409, TransientError, "no"),
    ("download_pdf", 403, RejectedError, "no"),
    ("list_requests", 409, TransientError, "no"),
    ("get_request", 409, TransientError, "no"),
    ("account", 409, TransientError, "no"),
    ("api_app", 409, TransientError, "no"),
    ("cancel", 409, TransientError, "no"),
    ("remind", 409, TransientError, "no"),
    ("send", 409, ConflictError, "maybe"),
    ("send_with_template", 409, ConflictError, "maybe"),
]


@pytest.mark.parametrize(("operation", "status", "kind", "applied"), ROWS)
def test_status_decides(operation: str, status: int, kind: type, applied: str) -> None:
    """Each status has one class per call, whatever the body; a 409 on a send may be our own first try."""
    for body in (b'{"error": {"error_name": "deleted"}}', b"<html>", b'{"error": ', b"null"):
        error = DROPBOX_SIGN.error(operation or "op", status, {}, body, write=True, now_s=0.0)
        assert (type(error), error.applied) == (kind, applied)
        assert DROPBOX_SIGN.error(operation or "op", status, {}, body, write=False, now_s=0.0).applied == "no"


def test_no_row_of_the_tables_is_untested() -> None:
    """A row added to the tables needs one here."""
    assert set(STATUSES) <= {status for operation, status, _, _ in ROWS if not operation}
    assert set(BY_OPERATION) <= {(operation, status) for operation, status, _, _ in ROWS}


def test_rate_limit_waits_for_the_reset() -> None:
    """There is no Retry-After: the wait runs to the reset the vendor names, in Unix seconds, oddly
    capitalised."""
    headers = {"X-Ratelimit-Reset": "1090", "X-RateLimit-Remaining": "0"}
    error = DROPBOX_SIGN.error("op", 429, headers, b"", write=False, now_s=1000.0)
    assert error.retry_after_s == 90.0


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["error", "error_name", "error_path", "error_msg", "x"]), inner),
    max_leaves=20,
)  # fmt: skip


@given(_JSON)
def test_no_body_breaks_the_reading(body: object) -> None:
    """Whatever an error body holds, an error of our family with plain text comes out."""
    read_detail(body)
    error = DROPBOX_SIGN.error("op", 400, {}, json.dumps(body).encode(), write=True, now_s=0.0)
    assert isinstance(error, ConnectorError)
    assert str(error).isprintable()
