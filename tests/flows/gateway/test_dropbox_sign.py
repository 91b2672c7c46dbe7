"""Dropbox Sign's callbacks over real HTTP: verification, the exact answer, and the event in the inbox."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from tests.places import SHARED

KEY = "sandbox-api-key"
PATH = "/webhooks/dropbox-sign"
ANSWER = "Hello API Event Received"
TOKEN = "ab" * 16


def payload(
    event_type: str = "signature_request_signed",
    *,
    event_time: Any = "1763800000",
    key: str = KEY,
    request: Any = "ours",
    **event: Any,
) -> dict[str, Any]:
    """A callback as the vendor makes it, signed with `key`."""
    digest = hmac.new(key.encode(), f"{event_time}{event_type}".encode(), hashlib.sha256).hexdigest()
    about = {
        "event_time": event_time,
        "event_type": event_type,
        "event_hash": digest,
        "event_metadata": {"related_signature_id": "s1", "reported_for_app_id": None},
        **event,
    }
    if request == "ours":
        request = {
            "signature_request_id": "r" * 40,
            "metadata": {"dealflow_token": TOKEN, "deal_id": "4122"},
            "signatures": [{"signer_name": "Ada Byron", "signer_email_address": "ada@buyer.example"}],
        }
    return {"event": about, **({} if request is None else {"signature_request": request})}


def multipart(text: str) -> dict[str, Any]:
    """As the vendor sends it: one text part."""
    mark = "----vendor"
    body = f'--{mark}\r\nContent-Disposition: form-data; name="json"\r\n\r\n{text}\r\n--{mark}--\r\n'
    return {
        "content": body.encode("utf-8", "surrogatepass"),
        "headers": {"Content-Type": f"multipart/form-data; boundary={mark}"},
    }


def as_json(text: str) -> dict[str, Any]:
    """As the vendor's newer description types it."""
    return {"content": text.encode(), "headers": {"Content-Type": "application/json; charset=utf-8"}}


def urlencoded(text: str) -> dict[str, Any]:
    """As a plain form."""
    return {"data": {"json": text}}


@pytest.mark.parametrize("send_as", [multipart, as_json, urlencoded])
async def test_every_form_is_taken_with_the_exact_answer(gate: Any, send_as: Any) -> None:
    """Multipart, JSON or a plain form: 200, text/plain, and exactly the text that the vendor requires."""
    answer = await gate.post(PATH, **send_as(json.dumps(payload())))

    assert answer.status_code == 200 and answer.content == ANSWER.encode()
    assert answer.headers["content-type"].startswith("text/plain")
    (row,) = gate.rows("inbox")
    assert (row["kind"], row["deal_id"], row["lane"]) == ("signature.event", "4122", "deal:4122")
    assert row["state"] == "due" and row["content"]["request_id"] == "r" * 40
    assert row["content"]["token"] == TOKEN and row["occurred_at"].startswith("2025-11-22")


async def test_the_row_holds_pointers_only(gate: Any) -> None:
    """Names and addresses stay in the delivery; flows get ids and read the rest back from the API."""
    await gate.post(PATH, **multipart(json.dumps(payload())))

    assert "Ada" not in json.dumps(gate.rows("inbox")[0]["content"])
    assert b"Ada" in gate.rows("deliveries")[0]["body"]


REFUSED = {
    "wrong key": lambda: multipart(json.dumps(payload(key="another"))),
    "wrong hash": lambda: multipart(json.dumps(payload(event_hash="0" * 64))),
    "no hash": lambda: multipart(json.dumps(payload(event_hash=None))),
    "hash as number": lambda: multipart(json.dumps(payload(event_hash=5))),
    "hash of another type": lambda: multipart(json.dumps(payload(event_type="signature_request_viewed"))),
    "no event": lambda: multipart("{}"),
    "event is a list": lambda: multipart('{"event": []}'),
    "not json": lambda: multipart("{nope"),
    "no json field": lambda: {"data": {"other": "x"}},
    "empty": lambda: {"content": b""},
    "broken multipart": lambda: {
        "content": b"--x\r\nnonsense",
        "headers": {"Content-Type": "multipart/form-data; boundary=x"},
    },
    "no boundary": lambda: {"content": b"json=1", "headers": {"Content-Type": "multipart/form-data"}},
    "json as a file": lambda: {"files": {"json": ("e.json", json.dumps(payload()), "application/json")}},
    "plain text": lambda: {"content": json.dumps(payload()), "headers": {"Content-Type": "text/plain"}},
    "bad bytes": lambda: {"content": b"\xff\xfe\x00", "headers": {"Content-Type": "application/json"}},
    "deep": lambda: {"content": b"[" * 200_000, "headers": {"Content-Type": "application/json"}},
}


@pytest.mark.parametrize("how", REFUSED)
async def test_nobody_unproven_gets_in(gate: Any, how: str) -> None:
    """No matching key, or no hash: 401 without the required answer, and only a count is stored."""
    sent = REFUSED[how]()
    if how == "hash of another type":
        told = json.loads(json.dumps(payload("signature_request_signed")))
        told["event"]["event_type"] = "signature_request_all_signed"
        sent = multipart(json.dumps(told))

    answer = await gate.post(PATH, **sent)

    assert answer.status_code == 401, answer.text
    assert ANSWER not in answer.text
    assert gate.rows("deliveries") == gate.rows("inbox") == []
    assert gate.rows("counts")[0]["name"] == "refused.dropbox_sign.401"


@pytest.mark.parametrize("chunked", [False, True])
async def test_too_large(gate: Any, chunked: bool) -> None:
    """Over 1 MiB: 413, with and without a length."""
    body = multipart("x" * 1024 * 1024)

    async def pieces() -> Any:
        for at in range(0, len(body["content"]), 65_536):
            yield body["content"][at : at + 65_536]

    answer = await gate.post(PATH, content=pieces() if chunked else body["content"], headers=body["headers"])

    assert answer.status_code == 413 and gate.rows("deliveries") == []


@pytest.mark.gate(DEALFLOW_DROPBOX_SIGN_CALLBACK_KEYS="old-key, older-key")
@pytest.mark.parametrize(
    ("key", "status"), [(KEY, 200), ("old-key", 200), ("older-key", 200), ("oldest-key", 401)]
)
async def test_keys_may_be_rotated(gate: Any, key: str, status: int) -> None:
    """While keys change, callbacks signed with any accepted one are accepted."""
    assert (await gate.post(PATH, **multipart(json.dumps(payload(key=key))))).status_code == status


async def test_the_vendors_own_test_button(gate: Any) -> None:
    """callback_test has no request: acknowledged with the exact text, kept as ignored."""
    answer = await gate.post(PATH, **multipart(json.dumps(payload("callback_test", request=None))))

    assert answer.text == ANSWER
    assert [(r["state"], r["content"]["type"]) for r in gate.rows("inbox")] == [("ignored", "callback_test")]


@pytest.mark.parametrize("event_time", ["1763800000", 1763800000])
async def test_the_time_may_be_a_number(gate: Any, event_time: Any) -> None:
    """Text or number: the hash is over its digits."""
    answer = await gate.post(PATH, **multipart(json.dumps(payload(event_time=event_time))))

    assert answer.status_code == 200 and gate.rows("inbox")[0]["state"] == "due"


async def test_old_events_are_taken(gate: Any) -> None:
    """Genuine retries come thirty hours later with the old time: age is no reason to refuse."""
    assert (await gate.post(PATH, **multipart(json.dumps(payload(event_time="1000000000"))))).text == ANSWER


ODD = [
    ("signature_request_brand_new_thing", "ours", "due"),
    ("template_created", None, "ignored"),
    ("account_confirmed", None, "ignored"),
    ("fax_delivered", None, "ignored"),
    ("unknown_error", None, "ignored"),
    ("signature_request_signed", None, "dead"),
    ("signature_request_signed", "text", "dead"),
    ("signature_request_signed", {"signature_request_id": ""}, "dead"),
    ("signature_request_signed", {"signature_request_id": "half a character \ud800"}, "dead"),
    ("signature_request_signed", {"signature_request_id": "x" * 500}, "dead"),
    ("signature_request_signed", {"signature_request_id": "x", "metadata": []}, "due"),
    ("signature_request_signed", {"signature_request_id": "x", "metadata": None}, "due"),
    ("signature_request_signed", {"signature_request_id": "x"}, "due"),
]


@pytest.mark.parametrize(("event_type", "request_part", "state"), ODD)
async def test_odd_events_are_kept_and_acknowledged(
    gate: Any, event_type: str, request_part: Any, state: str
) -> None:
    """Unknown types, missing requests, missing metadata: never refused, always a row with the reason."""
    answer = await gate.post(PATH, **multipart(json.dumps(payload(event_type, request=request_part))))

    assert answer.text == ANSWER
    (row,) = gate.rows("inbox")
    assert row["state"] == state
    assert row["reason"] if state != "due" else row["reason"] is None


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"deal_id": "4122"},
        {"dealflow_token": TOKEN},
        {"dealflow_token": TOKEN, "deal_id": "4122; drop"},
        {"dealflow_token": TOKEN, "deal_id": "²"},
        {"dealflow_token": TOKEN, "deal_id": "9" * 500},
        {"dealflow_token": TOKEN, "deal_id": None},
        {"invoice": 5},
    ],
)
async def test_foreign_requests_join_no_deals_lane(gate: Any, metadata: dict[str, Any]) -> None:
    """Requests that others sent, or without our metadata, have their own lane."""
    about = {"signature_request_id": "f" * 40, "metadata": metadata}
    answer = await gate.post(PATH, **multipart(json.dumps(payload(request=about))))

    assert answer.text == ANSWER
    (row,) = gate.rows("inbox")
    assert row["deal_id"] is None and row["content"]["token"] is None and row["lane"] == "request:" + "f" * 40


async def test_repeats_and_both_reporters_are_one_event(gate: Any) -> None:
    """The same event again, and the same event reported for account and for app: one row."""
    told = payload()
    for reported_for in (None, "app-1"):
        told["event"]["event_metadata"]["reported_for_app_id"] = reported_for
        for _ in range(2):
            assert (await gate.post(PATH, **multipart(json.dumps(told)))).text == ANSWER

    assert len(gate.rows("inbox")) == 1 and [d["repeats"] for d in gate.rows("deliveries")] == [1, 1]


async def test_one_second_one_type_two_signers_are_two_events(gate: Any) -> None:
    """The hash is the same for both; they are distinguished by signer and request."""
    for signer, request_id in (("s1", "r1"), ("s2", "r1"), ("s1", "r2")):
        told = payload(request={"signature_request_id": request_id})
        told["event"]["event_metadata"]["related_signature_id"] = signer
        await gate.post(PATH, **multipart(json.dumps(told)))

    assert len(gate.rows("inbox")) == 3


@pytest.mark.parametrize("hexed", [False, True])
async def test_a_proven_body_that_cannot_be_read_is_a_dead_letter(gate: Any, hexed: bool) -> None:
    """Content-Sha256 proves the sender in either of its two forms: stored byte for byte, acknowledged, reported."""
    text = '{"event": {"event_type": "signature_request_sig'
    digest = hmac.new(KEY.encode(), text.encode(), hashlib.sha256)
    mark = base64.b64encode(digest.hexdigest().encode() if hexed else digest.digest()).decode()
    sent = multipart(text)
    sent["headers"]["Content-Sha256"] = mark

    answer = await gate.post(PATH, **sent)

    assert answer.text == ANSWER and gate.rows("inbox")[0]["state"] == "dead"
    assert gate.rows("deliveries")[0]["body"] == sent["content"]


async def test_a_wrong_content_sha256_alone_refuses_nobody(gate: Any) -> None:
    """Integrators disagree on that header: the event's own hash decides."""
    sent = multipart(json.dumps(payload()))
    sent["headers"]["Content-Sha256"] = "bm8="

    assert (await gate.post(PATH, **sent)).status_code == 200


def _samples() -> list[Path]:
    return sorted((SHARED / "specs/dropbox_sign/examples/json").glob("EventCallback*.json"))


async def test_the_vendors_own_samples_are_accepted(gate: Any) -> None:
    """Every official callback sample, signed anew with our key, is proven, stored and acknowledged."""
    samples = _samples()
    if not samples:
        pytest.skip(
            "NOT CHECKED: the vendor's samples are absent (set DEALFLOW_SHARED to a folder with specs/)"
        )
    for number, path in enumerate(samples, start=1):
        told = json.loads(path.read_text())
        event = told["event"]
        signed = f"{event['event_time']}{event['event_type']}".encode()
        event["event_hash"] = hmac.new(KEY.encode(), signed, hashlib.sha256).hexdigest()

        answer = await gate.post(PATH, **multipart(json.dumps(told)))

        assert answer.text == ANSWER, path.name
        assert len(gate.rows("deliveries")) == number, path.name


@pytest.mark.gate(DEALFLOW_PUBLIC_URL="")
async def test_the_stand_ins_own_callbacks_are_accepted(gate: Any, world: Any) -> None:
    """What the Dropbox Sign stand-in signs and sends arrives, end to end."""
    world.sign.put("/_sandbox/callback", json={"url": gate.url + PATH}).raise_for_status()
    sent = world.sign.post("/_sandbox/events", json={"event_type": "signature_request_signed"})
    assert sent.status_code == 202

    (row,) = await gate.until(lambda: gate.rows("inbox"))

    assert row["kind"] == "signature.event" and row["deal_id"] is None

    def delivery() -> dict[str, Any]:
        return world.sign.get("/_sandbox/deliveries").json()["deliveries"][0]

    await gate.until(lambda: delivery()["state"] != "pending")  # the answer comes after the row
    assert delivery()["state"] == "delivered"
