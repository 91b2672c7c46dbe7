"""Errors in the vendor's form: one exception, one body, one table from error name to HTTP status.

Source: openapi-2026-07.yaml, `x-error-codes` and `ErrorResponseError` (read 2026-11-22).
"""

from collections.abc import Mapping

STATUS = {
    "bad_request": 400,
    "invalid_recipient": 400,
    "invalid_reminder": 400,
    "signature_request_cancel_failed": 400,
    "signature_request_remove_failed": 400,
    "signature_request_expired": 400,
    "unauthorized": 401,
    "payment_required": 402,
    "forbidden": 403,
    "not_found": 404,
    "method_not_supported": 405,
    "conflict": 409,
    "deleted": 410,
    "unprocessable_entity": 422,
    "exceeded_rate": 429,
    "unknown": 500,
    "unavailable": 503,
}
"""Error name to HTTP status; `signature_request_expired` is 403 on downloads."""

_NAME = {status: name for name, status in reversed(STATUS.items())}


class VendorError(Exception):
    """A request that the vendor refuses. `path` names the wrong parameter."""

    def __init__(
        self,
        name: str,
        msg: str,
        path: str | None = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(msg)
        self.name = name
        self.msg = msg
        self.path = path
        self.status = status if status is not None else STATUS[name]
        self.headers = dict(headers or {})

    def body(self) -> dict[str, object]:
        """The JSON body; `error_path` is left out if no single parameter is wrong."""
        return _body(self.msg, self.name, self.path)


def error_body(status: int) -> dict[str, object]:
    """The body for a bare status: faults, unknown routes, wrong methods."""
    name = _NAME.get(status, "unavailable" if status >= 502 else "unknown")
    return _body(f"The request failed with status {status}.", name, None)


def bad(msg: str, path: str | None = None) -> VendorError:
    """A 400 about one parameter."""
    return VendorError("bad_request", msg, path)


def _body(msg: str, name: str, path: str | None) -> dict[str, object]:
    error = {"error_msg": msg, "error_name": name}
    if path is not None:
        error["error_path"] = path
    return {"error": error}
