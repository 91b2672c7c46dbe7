import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.http.errors import ForgedEventError, MalformedEventError
from connectors.hubspot.webhook import decoded_uri, event_key, parse, verify

SECRET = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"
URL = "https://www.example.com/webhook_uri"
BODY = b"{'example_field':'example_value'}"
VECTORS = [
    ("1693657560000", "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="),
    ("1700000300000", "RnbPH7+UMKVkbV32P8bz450N4M56aPmcru1+D3kSDtw="),
]


def _at(timestamp: str) -> datetime:
    return datetime.fromtimestamp(int(timestamp) / 1000, UTC)


def _headers(timestamp: str, signature: str) -> dict[str, str]:
    return {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": timestamp}


def _sign_v3(url: str, body: bytes, timestamp: str) -> str:
    signed = b"POST" + url.encode() + body + timestamp.encode()
    return base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize(("timestamp", "signature"), VECTORS)
def test_known_answers_v3(timestamp: str, signature: str) -> None:
    """Signatures that HubSpot's own helper computes are accepted."""
    assert verify("POST", URL, BODY, _headers(timestamp, signature), SECRET, _at(timestamp)).scheme == "v3"


@pytest.mark.parametrize(("timestamp", "signature"), VECTORS)
@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"url": URL + "/"},
        {"url": "http://www.example.com/webhook_uri"},
        {"url": URL + "?a=1"},
        {"body": BODY + b" "},
        {"body": b""},
        {"secret": SECRET + "y"},
    ],
    ids=str,
)
def test_any_change_is_refused(timestamp: str, signature: str, change: dict[str, Any]) -> None:
    """Another method, address, body or secret breaks the signature."""
    given = {"method": "POST", "url": URL, "body": BODY, "secret": SECRET} | change
    with pytest.raises(ForgedEventError):
        verify(
            given["method"],
            given["url"],
            given["body"],
            _headers(timestamp, signature),
            given["secret"],
            _at(timestamp),
        )


@pytest.mark.parametrize(
    ("shift", "accepted"),
    [
        (timedelta(0), True),
        (timedelta(minutes=5), True),
        (timedelta(minutes=5, milliseconds=1), False),
        (timedelta(minutes=-5), True),
        (timedelta(minutes=-5, milliseconds=-1), False),
        (timedelta(days=300), False),
        (timedelta(days=-300), False),
    ],
)
def test_five_minutes_both_ways(shift: timedelta, accepted: bool) -> None:
    """A genuine signature is refused when it is older than five minutes, or dated more than five ahead."""
    timestamp, signature = VECTORS[0]
    now = _at(timestamp) + shift
    if accepted:
        verify("POST", URL, BODY, _headers(timestamp, signature), SECRET, now)
    else:
        with pytest.raises(ForgedEventError, match="five minutes"):
            verify("POST", URL, BODY, _headers(timestamp, signature), SECRET, now)


@pytest.mark.parametrize("timestamp", [None, "", "now", "2023-09-02T12:26:00Z", "1e12", "9" * 40, "١٦٩٣"])
def test_unusable_timestamps(timestamp: str | None) -> None:
    """A v3 signature without a plain number as its time is refused, not an exception of another kind."""
    headers = {"x-hubspot-signature-v3": VECTORS[0][1]}
    if timestamp is not None:
        headers["x-hubspot-request-timestamp"] = timestamp
    with pytest.raises(ForgedEventError, match="timestamp"):
        verify("POST", URL, BODY, headers, SECRET, _at(VECTORS[0][0]))


def _v1(body: bytes) -> str:
    return hashlib.sha256(SECRET.encode() + body).hexdigest()


def test_v1_when_there_is_no_v3() -> None:
    """Without a v3 header the older signature counts, and the answer says which one it was."""
    body = b'{"example_field":"example_value"}'
    headers = {"x-hubspot-signature": _v1(body), "X-HUBSPOT-SIGNATURE-VERSION": "v1"}
    assert verify("POST", URL, body, headers, SECRET, _at("0")).scheme == "v1"
    with pytest.raises(ForgedEventError):
        verify("POST", URL, body + b" ", headers, SECRET, _at("0"))


def test_a_bad_v3_is_not_excused_by_a_good_v1() -> None:
    """Sending both, the newer one decides."""
    headers = _headers(VECTORS[0][0], "AAAA") | {"X-HubSpot-Signature": _v1(BODY)}
    with pytest.raises(ForgedEventError):
        verify("POST", URL, BODY, headers, SECRET, _at(VECTORS[0][0]))


def test_v2_is_not_taken_for_v1() -> None:
    """A known v2 signature (workflow actions) is refused here, although it is genuine."""
    headers = {
        "X-HubSpot-Signature": "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900",
        "X-HubSpot-Signature-Version": "v2",
    }
    with pytest.raises(ForgedEventError):
        verify("POST", URL, b'{"example_field":"example_value"}', headers, SECRET, _at("0"))


def test_v1_can_be_switched_off() -> None:
    """An operator who knows that v3 is sent may refuse the older scheme, which does not cover the time."""
    with pytest.raises(ForgedEventError, match="no signature"):
        verify("POST", URL, BODY, {"X-HubSpot-Signature": _v1(BODY)}, SECRET, _at("0"), accept=("v3",))


@pytest.mark.parametrize("headers", [{}, {"X-HubSpot-Signature": ""}, {"X-HubSpot-Signature": "\ud800é"}])
def test_missing_or_odd_signatures(headers: dict[str, str]) -> None:
    """No signature, an empty one and one that is no ASCII are all refused the same way."""
    with pytest.raises(ForgedEventError):
        verify("POST", URL, BODY, headers, SECRET, _at("0"))


def test_an_empty_secret_verifies_nothing() -> None:
    """With no secret set, verification fails loudly instead of accepting what anyone can compute."""
    with pytest.raises(ValueError, match="empty secret"):
        verify("POST", URL, BODY, {"X-HubSpot-Signature": hashlib.sha256(BODY).hexdigest()}, "", _at("0"))


@pytest.mark.parametrize(
    ("called", "hashed"),
    [
        ("https://a.example/x%3Fy%3a1?b=%2F%40", "https://a.example/x?y:1?b=/@"),
        ("https://a.example/x%20y?z=%C3%A9", "https://a.example/x%20y?z=%C3%A9"),
        ("https://a.example/%21%24%27%28%29%2A%2C%3B", "https://a.example/!$'()*,;"),
        ("https://a.example/%253A", "https://a.example/%253A"),
        ("https://a.example/100%", "https://a.example/100%"),
        ("https://a.example/%2", "https://a.example/%2"),
    ],
)
def test_address_decoding(called: str, hashed: str) -> None:
    """Exactly the twelve listed escapes are decoded, once, before hashing."""
    assert decoded_uri(called) == hashed
    now = "1700000300000"
    verify("POST", called, BODY, _headers(now, _sign_v3(hashed, BODY, now)), SECRET, _at(now))


CHANGE = {
    "eventId": 100,
    "subscriptionId": 7,
    "portalId": 4242,
    "appId": 31,
    "occurredAt": 1763805600000,
    "subscriptionType": "deal.propertyChange",
    "attemptNumber": 0,
    "objectId": 9001,
    "propertyName": "dealstage",
    "propertyValue": "contractsent",
    "changeSource": "CRM_UI",
    "sourceId": "userId:55",
    "isSensitive": False,
}


def test_property_change() -> None:
    """A stage change is read with text ids and its time, and unknown fields stay available."""
    (event,) = parse(json.dumps([CHANGE]).encode())
    assert (event.subscription_type, event.object_id, event.portal_id) == (
        "deal.propertyChange",
        "9001",
        "4242",
    )
    assert (event.property_name, event.property_value) == ("dealstage", "contractsent")
    assert event.occurred_at == datetime(2025, 11, 22, 10, tzinfo=UTC)
    assert event.raw["isSensitive"] is False


def test_other_shapes() -> None:
    """One object without array, `eventType`, merges and association changes are all read."""
    merge = {"eventType": "deal.merge", "primaryObjectId": 1, "mergedObjectIds": [2, 3], "newObjectId": 4}
    link = {
        "subscriptionType": "deal.associationChange",
        "fromObjectId": 1,
        "toObjectId": 2,
        "associationType": "DEAL_TO_CONTACT",
        "associationRemoved": True,
        "isPrimaryAssociation": False,
    }
    (one,) = parse(json.dumps(merge).encode())
    assert (one.subscription_type, one.primary_object_id, one.merged_object_ids) == (
        "deal.merge",
        "1",
        ("2", "3"),
    )
    (two,) = parse(json.dumps([link]).encode())
    assert (two.from_object_id, two.to_object_id, two.association_removed) == ("1", "2", True)
    assert parse(b"[]") == ()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"1", b'"x"', b"null", b'[{"eventId":1}, 5]', b"[" * 9999]
)
def test_unreadable_deliveries(body: bytes) -> None:
    """A verified delivery without events is distinguished from a forged one."""
    with pytest.raises(MalformedEventError):
        parse(body)


def test_key_ignores_attempts_and_distinguishes_events() -> None:
    """A repeat has the same key; any other field that differs makes another event."""
    (first,) = parse(json.dumps([CHANGE]).encode())
    (again,) = parse(json.dumps(dict(reversed((CHANGE | {"attemptNumber": 3}).items()))).encode())
    assert event_key(first) == event_key(again)
    others = {
        event_key(parse(json.dumps(CHANGE | change).encode())[0])
        for change in (
            {"objectId": 9002},
            {"occurredAt": 1},
            {"propertyValue": "x"},
            {"eventId": 101},
            {"appId": 1},
        )
    }
    assert len(others | {event_key(first)}) == 6


def test_key_holds_no_values() -> None:
    """Keys end up in logs: a property value (a name, an address) does not show in one."""
    (event,) = parse(
        json.dumps(CHANGE | {"propertyName": "email", "propertyValue": "anna@example.com"}).encode()
    )
    assert "anna" not in event_key(event)
    assert event_key(event).isascii()


@given(st.binary() | st.text().map(lambda s: json.dumps([{"subscriptionType": s, "objectId": s}]).encode()))
def test_parse_raises_only_its_own_error(body: bytes) -> None:
    """No bytes make the reader raise anything but MalformedEventError, and every event has a key."""
    try:
        for event in parse(body):
            assert event_key(event).isascii()
    except MalformedEventError:
        pass


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "x-hubspot-signature-v3",
                "x-hubspot-signature",
                "X-HubSpot-Request-Timestamp",
                "X-HubSpot-Signature-Version",
            ]
        ),
        st.text(),
    ),
    st.binary(),
    st.text(),
)
def test_random_headers_never_pass(headers: dict[str, str], body: bytes, url: str) -> None:
    """Nothing unsigned is accepted, whatever the headers look like."""
    with pytest.raises(ForgedEventError):
        verify("POST", url, body, headers, SECRET, _at("1700000300000"))
