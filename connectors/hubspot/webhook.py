"""HubSpot deliveries: verifies signatures and parses events. No I/O.

Sources, read 2026-11-22: developers.hubspot.com/docs/api/webhooks/validating-requests (signature v1 and v3,
the list of characters to decode, five minutes) and developers.hubspot.com/docs/api/webhooks (fields of an
event).
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from connectors.http.errors import ForgedEventError, MalformedEventError
from connectors.hubspot.lenient_json import identifier, items, mapping, moment, text, whole

MAX_AGE: Final = timedelta(minutes=5)
Scheme = Literal["v1", "v3"]

# The only escapes that are decoded before hashing; every other one (%20...) stays as it was sent.
_DECODED: Final[Mapping[str, str]] = {
    "%3A": ":", "%2F": "/", "%3F": "?", "%40": "@", "%21": "!", "%24": "$", "%27": "'", "%28": "(", "%29":
    ")", "%2A": "*", "%2C": ",", "%3B": ";",
}  # fmt: skip


@dataclass(frozen=True)
class Verified:
    """Proof that HubSpot (or somebody with our client secret) sent these bytes; v1 proves no time and no
    address."""

    scheme: Scheme


@dataclass(frozen=True)
class HubSpotEvent:
    """One change. It says that something changed, not what is true now: read the record.

    Ids are text, occurred_at is aware UTC, attempt_number starts at 0. raw: the event as received.
    """

    subscription_type: str
    object_id: str | None
    portal_id: str | None
    app_id: str | None
    event_id: str | None
    subscription_id: str | None
    occurred_at: datetime | None
    attempt_number: int
    change_source: str | None = None
    source_id: str | None = None
    change_flag: str | None = None
    property_name: str | None = None
    property_value: str | None = None
    object_type_id: str | None = None
    primary_object_id: str | None = None
    merged_object_ids: tuple[str, ...] = ()
    new_object_id: str | None = None
    association_type: str | None = None
    from_object_id: str | None = None
    to_object_id: str | None = None
    association_removed: bool = False
    is_primary_association: bool = False
    raw: Mapping[str, Any] = field(default_factory=dict)


def verify(
    method: str,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    secret: str,
    now: datetime,
    *,
    accept: Collection[Scheme] = ("v3", "v1"),
) -> Verified:
    """Verify a delivery. `url` is the public address known to HubSpot, `body` the bytes as received, now
    aware.

    A v3 signature, when sent, must be valid: a valid v1 does not replace it. Raises ForgedEventError, and
    ValueError for an empty secret.
    """
    if not secret:
        raise ValueError("refusing to verify with an empty secret")
    sent = {name.lower(): value for name, value in headers.items()}
    v3, v1 = sent.get("x-hubspot-signature-v3"), sent.get("x-hubspot-signature")
    if v3 is not None and "v3" in accept:
        _check_v3(method, url, body, v3, sent.get("x-hubspot-request-timestamp"), secret, now)
        return Verified("v3")
    if v1 is not None and "v1" in accept:
        if sent.get("x-hubspot-signature-version", "v1").strip().lower() != "v1":
            raise _forged("a signature version that is not accepted here")
        expected = hashlib.sha256(secret.encode() + body).hexdigest()
        _compare(expected, v1)
        return Verified("v1")
    raise _forged("no signature")


def parse(body: bytes) -> tuple[HubSpotEvent, ...]:
    """The events of a verified delivery: an array, or a single one. Unknown fields stay in `raw`.

    Raises MalformedEventError when it is not JSON, or contains something that is not an event.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedEventError("hubspot", "the body is not JSON") from None
    rows = data if isinstance(data, list) else [data]
    if not all(isinstance(row, dict) for row in rows):
        raise MalformedEventError("hubspot", "an entry that is not an event")
    return tuple(_event(row) for row in rows)


def event_key(event: HubSpotEvent) -> str:
    """A text that is equal for every repeat of one event and contains no personal data.

    HubSpot's eventId alone is not unique, so everything that distinguishes two events goes into a digest.
    """
    stable = {name: value for name, value in event.raw.items() if name != "attemptNumber"}
    canonical = json.dumps(stable, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:32]
    subject = event.object_id or event.from_object_id or event.primary_object_id or "-"
    named = (event.portal_id or "-", event.subscription_type or "-", subject)
    return ":".join(part.encode("ascii", "backslashreplace").decode() for part in (*named, digest))


def _event(row: Mapping[str, Any]) -> HubSpotEvent:
    merged = (identifier(one) for one in items(row.get("mergedObjectIds")))
    return HubSpotEvent(
        subscription_type=text(row.get("subscriptionType") or row.get("eventType")) or "",
        object_id=identifier(row.get("objectId")),
        portal_id=identifier(row.get("portalId")),
        app_id=identifier(row.get("appId")),
        event_id=identifier(row.get("eventId")),
        subscription_id=identifier(row.get("subscriptionId")),
        occurred_at=moment(row.get("occurredAt")),
        attempt_number=whole(row.get("attemptNumber")) or 0,
        change_source=text(row.get("changeSource")),
        source_id=text(row.get("sourceId")),
        change_flag=text(row.get("changeFlag")),
        property_name=text(row.get("propertyName")),
        property_value=text(row.get("propertyValue")),
        object_type_id=text(row.get("objectTypeId")),
        primary_object_id=identifier(row.get("primaryObjectId")),
        merged_object_ids=tuple(one for one in merged if one),
        new_object_id=identifier(row.get("newObjectId")),
        association_type=text(row.get("associationType")),
        from_object_id=identifier(row.get("fromObjectId")),
        to_object_id=identifier(row.get("toObjectId")),
        association_removed=row.get("associationRemoved") is True,
        is_primary_association=row.get("isPrimaryAssociation") is True,
        raw=mapping(row),
    )


def _check_v3(
    method: str, url: str, body: bytes, signature: str, timestamp: str | None, secret: str, now: datetime
) -> None:
    sent_at = moment(timestamp) if timestamp is not None and whole(timestamp) is not None else None
    if timestamp is None or sent_at is None:
        raise _forged("no usable timestamp")
    signed = method.upper().encode() + decoded_uri(url).encode() + body + timestamp.encode()
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    _compare(base64.b64encode(digest).decode(), signature)
    if abs(now - sent_at) > MAX_AGE:
        raise _forged("older or newer than five minutes")


def decoded_uri(url: str) -> str:
    """The address as HubSpot hashes it: twelve escapes decoded, all others kept."""
    parts = url.split("%")
    pieces = [parts[0]]
    for part in parts[1:]:
        escape = "%" + part[:2].upper()
        pieces.append(_DECODED[escape] + part[2:] if escape in _DECODED else "%" + part)
    return "".join(pieces)


def _compare(expected: str, given: str) -> None:
    if not hmac.compare_digest(expected.encode(), given.strip().encode("utf-8", "surrogatepass")):
        raise _forged("the signature does not match")


def _forged(reason: str) -> ForgedEventError:
    return ForgedEventError("hubspot", reason)
