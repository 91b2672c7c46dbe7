"""Dropbox Sign callbacks: the `json` form field in, a proven callback out. No I/O.

The event hash covers the event's time and type, not the rest: whoever once saw a valid callback can send it
again around another body. So a callback is a hint with a pointer; the caller reads the request back before
acting. Sources, read 2026-11-22: the vendor's events and callbacks walk-through, the event_callback_helper
of dropbox-sign 2.0.0 (hash recipe), reports of integrators on Content-Sha256 (raw or hex digest inside the
base64).
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from connectors.dropbox_sign.records import mapping, moment, parse_metadata, text
from connectors.http.errors import ForgedEventError, MalformedEventError

ANSWER: Final = "Hello API Event Received"  # the exact text the vendor wants back, with status 200
_VENDOR: Final = "dropbox_sign"


@dataclass(frozen=True)
class Callback:
    """A callback whose event hash fits one of our keys.

    event_time is Unix seconds as text (one-second resolution), occurred_at the same as aware UTC. test
    events and account events have no request_id. metadata is the sender's and unproven, like all of `raw`.
    body_proven: Content-Sha256 fitted the whole body (None when it was not sent); a mismatch is no reason
    to refuse.
    """

    event_type: str
    event_time: str
    event_hash: str
    occurred_at: datetime | None
    request_id: str | None
    related_signature_id: str | None
    metadata: Mapping[str, str]
    reported_for_app_id: str | None
    reported_for_account_id: str | None
    event_message: str | None = field(repr=False)
    body_proven: bool | None
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def key(self) -> str:
        """The same text for every repeat of one callback."""
        return event_key(self)

    @property
    def is_test(self) -> bool:
        """Whether it is the vendor's own test of the address."""
        return self.event_type == "callback_test"

    @property
    def is_about_request(self) -> bool:
        """Whether its type says that it is about a signature request."""
        return self.event_type.startswith("signature_request_")


class CallbackReader:
    """Verifies and reads the callbacks of one account. `api_keys`: all accepted keys; without one it only reads."""

    vendor = _VENDOR
    answer = ANSWER
    form_field = "json"

    def __init__(self, api_keys: Sequence[str] = ()) -> None:
        self._api_keys = tuple(api_keys)

    def verify(self, payload: str, headers: Mapping[str, str]) -> Callback:
        """Prove and read one callback (see `verify_and_parse`). `headers`: by lower-case name."""
        return verify_and_parse(payload, self._api_keys, headers.get("content-sha256"))

    def parse(self, payload: str) -> Callback:
        """Read a callback that was proven when it came in. Raises MalformedEventError."""
        return parse(payload)


def verify_and_parse(json_text: str, api_keys: Sequence[str], content_sha256: str | None) -> Callback:
    """Prove and read one callback. api_keys: all accepted keys (several during rotation).

    Raises ForgedEventError when no key fits; MalformedEventError when Content-Sha256 proves the sender
    although the event cannot be read; ValueError without a usable key.
    """
    keys = [key for key in api_keys if key]
    if not keys:
        raise ValueError("refusing to verify without an API key")
    proven = None if content_sha256 is None else _body_proven(json_text, keys, content_sha256)
    try:
        found = parse(json_text)
    except MalformedEventError as problem:
        if proven:
            raise
        raise ForgedEventError(_VENDOR, problem.reason) from None
    signed = (found.event_time + found.event_type).encode("utf-8", "surrogatepass")
    if not _fits_any(keys, signed, found.event_hash):
        raise ForgedEventError(_VENDOR, "the event hash does not fit")
    return replace(found, body_proven=proven)


def parse(json_text: str) -> Callback:
    """Read a callback without proving it: only for one that was proven when it came in. Raises MalformedEventError."""
    try:
        data = json.loads(json_text)
    except (ValueError, RecursionError):
        raise MalformedEventError(_VENDOR, "the json field is not JSON") from None
    event = mapping(mapping(data).get("event"))
    event_type, event_time = _word(event.get("event_type")), _word(event.get("event_time"))
    given = _word(event.get("event_hash"))
    if event_type is None or event_time is None or given is None:
        raise MalformedEventError(_VENDOR, "no event type, time or hash")
    return _callback(mapping(data), event_type, event_time, given)


def event_key(callback: Callback) -> str:
    """The same text for every repeat of one callback, also when both app and account report it."""
    parts = (callback.event_type, callback.event_time, callback.request_id, callback.related_signature_id)
    return "|".join((part or "-").encode("ascii", "backslashreplace").decode() for part in parts)


def _callback(data: Mapping[str, Any], event_type: str, event_time: str, given: str) -> Callback:
    about = mapping(mapping(data.get("event")).get("event_metadata"))
    request = mapping(data.get("signature_request"))
    return Callback(
        event_type=event_type,
        event_time=event_time,
        event_hash=given,
        occurred_at=moment(event_time),
        request_id=_word(request.get("signature_request_id")),
        related_signature_id=_word(about.get("related_signature_id")),
        metadata=parse_metadata(request.get("metadata")),
        reported_for_app_id=_word(about.get("reported_for_app_id")),
        reported_for_account_id=_word(about.get("reported_for_account_id")),
        event_message=text(about.get("event_message")),
        body_proven=None,
        raw=data,
    )


def _word(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return str(value) or None


def _fits_any(keys: Sequence[str], signed: bytes, given: str) -> bool:
    sent = given.encode("utf-8", "surrogatepass")
    digests = (hmac.new(key.encode(), signed, hashlib.sha256).hexdigest().encode() for key in keys)
    fits = [hmac.compare_digest(digest, sent) for digest in digests]  # all: the time taken says nothing
    return any(fits)


def _body_proven(json_text: str, keys: Sequence[str], content_sha256: str) -> bool:
    sent = content_sha256.strip().encode("utf-8", "surrogatepass")
    body = json_text.encode("utf-8", "surrogatepass")
    fits = []
    for key in keys:
        digest = hmac.new(key.encode(), body, hashlib.sha256)
        for form in (digest.digest(), digest.hexdigest().encode()):
            fits.append(hmac.compare_digest(base64.b64encode(form), sent))
    return any(fits)
