"""The errors of all connectors: each class says what the caller can do next.

No error text ever contains a body, a name, an e-mail address or a token: only our own words, the status, and
vendor identifiers that passed a strict character check.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Applied = Literal["no", "maybe"]

_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,80}")
_PATH = re.compile(r"[A-Za-z0-9_.\-\[\]]{1,120}")


def clean_code(value: object, *, path: bool = False) -> str | None:
    """The value if it is a machine identifier (path=True also allows brackets), else None."""
    pattern = _PATH if path else _CODE
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def clean_codes(values: Iterable[object]) -> tuple[str, ...]:
    """The identifiers among `values`, without repeats, in first-seen order."""
    seen = (clean_code(value) for value in values)
    return tuple(dict.fromkeys(value for value in seen if value))


class WouldWriteError(Exception):
    """A client that may only read was asked to write: nothing was sent.

    Fields: vendor, operation (our name of the call), about (which kind of object, in the vendor's words), rows (how
    many of them).
    """

    def __init__(self, vendor: str, operation: str, *, about: str, rows: int) -> None:
        self.vendor = vendor
        self.operation = operation
        self.about = about
        self.rows = rows
        super().__init__(vendor, operation)

    def __str__(self) -> str:
        return f"{self.vendor} {self.operation}: would write {self.rows} row(s) of {self.about}"


class ConnectorError(Exception):
    """A vendor call failed.

    Fields: vendor, operation (our name of the call), status (HTTP, None without an answer), retry_after_s
    (seconds, None if the vendor gave none), request_id (the vendor's), category (the vendor's machine word),
    and applied: "no" when the vendor surely did not act on this call, "maybe" when it may have.
    """

    advice = "the call failed"

    def __init__(
        self,
        vendor: str,
        operation: str,
        *,
        detail: str = "",
        status: int | None = None,
        retry_after_s: float | None = None,
        request_id: str | None = None,
        category: str | None = None,
        applied: Applied = "no",
    ) -> None:
        self.vendor = vendor
        self.operation = operation
        self.detail = detail
        self.status = status
        self.retry_after_s = retry_after_s
        self.request_id = clean_code(request_id)
        self.category = clean_code(category)
        self.applied: Applied = applied
        super().__init__(vendor, operation)

    def __str__(self) -> str:
        facts = [self.advice]
        if self.detail:
            facts.append(self.detail)
        if self.status is not None:
            facts.append(f"status {self.status}")
        if self.category:
            facts.append(self.category)
        facts.extend(self._more())
        if self.applied == "maybe":
            facts.append("it may have taken effect")
        if self.request_id:
            facts.append(f"request {self.request_id}")
        return f"{self.vendor} {self.operation}: " + ", ".join(facts)

    def _more(self) -> list[str]:
        return []

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments cannot be pickled by default, and Prefect pickles a run's error.
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(cls: type[ConnectorError], fields: Mapping[str, Any]) -> ConnectorError:
    error = cls.__new__(cls)
    Exception.__init__(error, fields["vendor"], fields["operation"])
    error.__dict__.update(fields)
    return error


class TransientError(ConnectorError):
    """Likely to pass: try later, and check the vendor first when `applied` is "maybe"."""

    advice = "try again later"


class RateLimitedError(TransientError):
    """Too many calls (429): wait `retry_after_s`, or the vendor's window if that is None."""

    advice = "too many calls"

    def _more(self) -> list[str]:
        return [] if self.retry_after_s is None else [f"wait {self.retry_after_s:.0f} s"]


class RejectedError(ConnectorError):
    """Our request is wrong: repeating it unchanged fails again.

    properties: names of the offending CRM properties; error_path: the offending request field.
    """

    advice = "the request was refused"

    def __init__(
        self,
        vendor: str,
        operation: str,
        *,
        properties: Iterable[str] = (),
        error_path: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(vendor, operation, **common)
        self.properties = clean_codes(properties)
        self.error_path = clean_code(error_path, path=True)

    def _more(self) -> list[str]:
        more = []
        if self.properties:
            more.append("properties " + " ".join(self.properties))
        if self.error_path:
            more.append(f"field {self.error_path}")
        return more


class NotFoundError(RejectedError):
    """The vendor does not have it (404)."""

    advice = "not found"


class ConflictError(RejectedError):
    """It conflicts with something that exists (409); existing_id: the record that has the key, if named."""

    advice = "it conflicts with something that exists"

    def __init__(self, vendor: str, operation: str, *, existing_id: str | None = None, **common: Any) -> None:
        super().__init__(vendor, operation, **common)
        self.existing_id = clean_code(existing_id)


class GoneError(RejectedError):
    """It existed and was removed (410), e.g. a cancelled signature request."""

    advice = "gone"


class AuthError(ConnectorError):
    """The key is wrong, lacks a permission, or the plan is not paid: stop and notify the operator.

    missing_scopes: the permissions the vendor says are missing.
    """

    advice = "not allowed: check the key, its scopes and the plan"

    def __init__(
        self, vendor: str, operation: str, *, missing_scopes: Iterable[str] = (), **common: Any
    ) -> None:
        super().__init__(vendor, operation, **common)
        self.missing_scopes = clean_codes(missing_scopes)

    def _more(self) -> list[str]:
        return ["missing scopes " + " ".join(self.missing_scopes)] if self.missing_scopes else []


class UnreadableAnswerError(ConnectorError):
    """The reply is not what the vendor documents: park it and notify a person."""

    advice = "the answer was not understood"


class ForgedEventError(ConnectorError):
    """A delivery without valid proof of its sender: refuse it. `reason` is one of our own short texts."""

    advice = "delivery refused"

    def __init__(self, vendor: str, reason: str) -> None:
        super().__init__(vendor, "webhook", detail=reason)
        self.reason = reason


class MalformedEventError(ConnectorError):
    """A delivery from the true sender that cannot be parsed: keep it, answer as usual, notify a person."""

    advice = "delivery not readable"

    def __init__(self, vendor: str, reason: str) -> None:
        super().__init__(vendor, "webhook", detail=reason)
        self.reason = reason
