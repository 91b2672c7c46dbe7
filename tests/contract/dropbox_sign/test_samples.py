"""The vendor's own sample payloads go through our client: what they say is what we read."""

import hashlib
import hmac
import json

import pytest

from connectors.dropbox_sign.callback import event_key, verify_and_parse
from connectors.dropbox_sign.records import parse_account, parse_api_app, parse_page, parse_request
from connectors.http.errors import ForgedEventError

KEY = "sample-test-key"
REQUESTS = [
    "SignatureRequestGetResponse",
    "SignatureRequestSendResponse",
    "SignatureRequestSendWithTemplateResponse",
    "SignatureRequestRemindResponse",
    "SignatureRequestUpdateResponse",
    "SignatureRequestEditResponse",
    "SignatureRequestEditWithTemplateResponse",
    "SignatureRequestCreateEmbeddedResponse",
    "SignatureRequestReleaseHoldResponse",
]
EVENTS = [
    "EventCallbackAccountSignatureRequestSent",
    "EventCallbackAppAccountConfirmed",
    "EventCallbackAppTemplateCreated",
    "EventCallbackCallbackTest",
    "EventCallbackSignatureRequestAllSigned",
    "EventCallbackSignatureRequestDeclined",
    "EventCallbackSignatureRequestExpired",
    "EventCallbackSignatureRequestInvalid",
    "EventCallbackUnknownError",
]


def read(samples, name):
    return json.loads((samples / f"{name}.json").read_text())


def same_request(parsed, raw):
    """Everything that we keep of a request, against the raw payload."""
    assert parsed.id == raw["signature_request_id"]
    assert parsed.title == raw["title"]
    flags = (parsed.is_complete, parsed.is_declined, parsed.has_error)
    assert flags == (raw["is_complete"], raw.get("is_declined", False), raw["has_error"])
    assert dict(parsed.metadata) == {k: str(v) for k, v in (raw.get("metadata") or {}).items()}
    assert [s.id for s in parsed.signatures] == [s["signature_id"] for s in raw["signatures"]]
    for ours, theirs in zip(parsed.signatures, raw["signatures"], strict=True):
        assert (ours.email, ours.name) == (theirs["signer_email_address"], theirs["signer_name"])
        assert (ours.status_code, ours.order) == (theirs["status_code"], theirs["order"])
        assert (int(ours.signed_at.timestamp()) if ours.signed_at else None) == theirs.get("signed_at")
        assert ours.decline_reason == theirs.get("decline_reason")


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(samples, name):
    """Each sample of an answer that holds a request is read whole."""
    raw = read(samples, name)
    same_request(parse_request(raw), raw["signature_request"])


def test_list_account_and_app(samples):
    """A list keeps its order and counts; account and app keep their callback URL."""
    raw = read(samples, "SignatureRequestListResponse")
    page = parse_page(raw)
    assert len(page.requests) == len(raw["signature_requests"])
    for parsed, one in zip(page.requests, raw["signature_requests"], strict=True):
        same_request(parsed, one)
    info = raw["list_info"]
    assert (page.page, page.pages, page.total) == (info["page"], info["num_pages"], info["num_results"])
    for name in ("AccountGetResponse", "AccountUpdateResponse"):
        account = read(samples, name)
        assert parse_account(account).id == account["account"]["account_id"]
        assert parse_account(account).callback_url == account["account"]["callback_url"]
    for name in ("ApiAppGetResponse", "ApiAppUpdateResponse"):
        app = read(samples, name)["api_app"]
        assert parse_api_app({"api_app": app}).client_id == app["client_id"]
        assert parse_api_app({"api_app": app}).domains == tuple(app["domains"])


@pytest.mark.parametrize("name", EVENTS)
def test_events(samples, name):
    """Each sample event, signed with a key of ours, is proven and read; with the placeholder's hash it is refused."""
    raw = read(samples, name)
    event = raw["event"]
    with pytest.raises(ForgedEventError):
        verify_and_parse(json.dumps(raw), [KEY], None)
    signed = hmac.new(KEY.encode(), (event["event_time"] + event["event_type"]).encode(), hashlib.sha256)
    event["event_hash"] = signed.hexdigest()
    got = verify_and_parse(json.dumps(raw), [KEY], None)
    about = event.get("event_metadata") or {}
    assert (got.event_type, got.event_time) == (event["event_type"], event["event_time"])
    assert got.request_id == raw.get("signature_request", {}).get("signature_request_id")
    assert got.related_signature_id == about.get("related_signature_id")
    assert got.event_message == about.get("event_message")
    assert event_key(got).startswith(event["event_type"] + "|" + event["event_time"])


def test_no_sample_is_forgotten(samples):
    """Every sample event, and every answer of a call that we make, is among those above."""
    events = {p.stem for p in samples.glob("EventCallback*.json")}
    assert events == set(EVENTS)
    bulky = ("Bulk", "Files", "List", "EmbeddedWithTemplate", "EditEmbedded")
    answers = {p.stem for p in samples.glob("SignatureRequest*Response.json")}
    assert {a for a in answers if not any(b in a for b in bulky)} == set(REQUESTS)
