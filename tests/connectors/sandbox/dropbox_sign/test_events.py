"""Events on the wire: form, hashes, retries, the rule that clears a URL, forgeries and mischief."""

import base64
import email
import hashlib
import hmac
import json

import pytest

KEY = "stand-in-test-key"
JANE, OLA = "jane@buyer.example", "ola@supplier.example"


async def test_an_event_is_a_form_with_one_json_field_and_checkable_hashes(world):
    """multipart/form-data, field `json`, event_hash over time+type, Content-Sha256 over the text."""
    await world.sent()
    headers, body, payload = world.receiver.got[0]
    part = email.message_from_bytes(b"Content-Type: " + headers["content-type"].encode() + b"\r\n\r\n" + body)
    parts = part.get_payload()
    assert [p.get_param("name", header="content-disposition") for p in parts] == ["json"]
    text = parts[0].get_payload(decode=True)
    assert json.loads(text) == payload
    event = payload["event"]
    message = (event["event_time"] + event["event_type"]).encode()
    assert event["event_hash"] == hmac.new(KEY.encode(), message, hashlib.sha256).hexdigest()
    mark = hmac.new(KEY.encode(), text, hashlib.sha256).digest()
    assert headers["content-sha256"] == base64.b64encode(mark).decode()
    assert headers["user-agent"] == "Dropbox Sign API"
    assert isinstance(event["event_time"], str)
    assert payload["account_guid"] == event["event_metadata"]["reported_for_account_id"]


async def test_content_sha256_comes_in_either_disputed_form(world):
    """Base64 of the digest's bytes by default, of its hex text (88 characters) if configured so."""
    await world.limits(content_sha256="hex")
    await world.sent()
    headers, body, _ = world.receiver.got[0]
    text = body.split(b'name="json"\r\n\r\n', 1)[1].rsplit(b"\r\n--", 1)[0]
    digest = hmac.new(KEY.encode(), text, hashlib.sha256).hexdigest()
    assert base64.b64decode(headers["content-sha256"]).decode() == digest
    assert len(headers["content-sha256"]) == 88


async def test_two_requests_in_one_second_share_a_hash(world):
    """The hash is over time and type only, so it does not identify an event."""
    for ident in ("a" * 40, "b" * 40):
        body = {
            "event_type": "signature_request_viewed",
            "signature_request_id": ident,
            "event_time": "1795337491",
        }
        await world.api.post("/_sandbox/events", json=body)
    await world.until(lambda: len(world.receiver.got) == 2)
    payloads = [payload for _, _, payload in world.receiver.got]
    assert len({p["signature_request"]["signature_request_id"] for p in payloads}) == 2
    assert len({p["event"]["event_hash"] for p in payloads}) == 1


async def test_a_whole_signing_sends_all_events(world):
    """sent, viewed and signed per signer, all_signed, downloadable: each once, with the right signer."""
    request_id = await world.sent()
    await world.act(request_id, JANE, "sign")
    await world.act(request_id, OLA, "sign")
    await world.until(lambda: "signature_request_downloadable" in world.receiver.types(request_id))
    assert sorted(world.receiver.types(request_id)) == sorted(
        f"signature_request_{t}"
        for t in ("sent", "viewed", "signed", "viewed", "signed", "all_signed", "downloadable")
    )
    shown = await world.get(request_id)
    signed = [p for _, _, p in world.receiver.got if p["event"]["event_type"] == "signature_request_signed"]
    related = {p["event"]["event_metadata"]["related_signature_id"] for p in signed}
    assert related == {s["signature_id"] for s in shown["signatures"]}
    assert world.receiver.last("signature_request_all_signed")["signature_request"]["is_complete"] is True


@pytest.mark.parametrize(("status", "answer"), [(500, "Hello API Event Received"), (200, "OK"), (204, "")])
async def test_only_200_with_the_exact_text_counts(world, status, answer):
    """Any other status or body is a failure and is tried again after 5 minutes with the same bytes."""
    world.receiver.status, world.receiver.answer = status, answer
    await world.send()
    await world.until(lambda: len(world.receiver.got) == 1)
    await world.advance(299)
    assert len(world.receiver.got) == 1
    await world.advance(2)
    await world.until(lambda: len(world.receiver.got) == 2)
    assert world.receiver.got[0][1] == world.receiver.got[1][1]


async def test_six_retries_on_the_vendors_schedule_and_then_never_again(world):
    """After 5, 15, 45 min, 2 h 15, 6 h 45 and 20 h 15; the seventh failure is the last."""
    world.receiver.status = 503
    await world.send()
    await world.until(lambda: len(world.receiver.got) == 1)
    for n, wait_s in enumerate([300, 900, 2700, 8100, 24_300, 72_900], start=2):
        await world.advance(wait_s - 5)
        assert len(world.receiver.got) == n - 1
        await world.advance(6)
        await world.until(lambda n=n: len(world.receiver.got) == n)
    await world.advance(30 * 86_400)
    assert len(world.receiver.got) == 7
    rows = (await world.api.get("/_sandbox/deliveries")).json()["deliveries"]
    assert [r["state"] for r in rows] == ["failed"]


async def test_ten_failures_in_a_row_clear_the_callback_url(world):
    """One success in between resets the count; the tenth failure clears the URL; PUT sets it back."""
    request_id = await world.sent()

    async def view(times):
        before = len(world.receiver.got)
        for _ in range(times):
            await world.act(request_id, JANE, "view")
        await world.until(lambda: len(world.receiver.got) == before + times)
        await world.advance(0)

    async def url():
        return (await world.api.get("/v3/account")).json()["account"]["callback_url"]

    original = await url()
    world.receiver.status = 500
    await view(9)
    assert await url() == original
    world.receiver.status = 200
    await view(1)
    world.receiver.status = 500
    await view(9)
    assert await url() == original
    await view(1)
    assert await url() is None
    world.receiver.status = 200
    seen = len(world.receiver.got)
    await world.act(request_id, JANE, "view")
    assert len(world.receiver.got) == seen
    put = await world.api.put("/v3/account", json={"callback_url": original})
    assert put.json()["account"]["callback_url"] == original
    await view(1)


async def test_apps_get_their_own_events_and_the_account_too(world):
    """With client_id: one delivery for the app, one for the account; or the app's alone when set so."""
    app = (await world.api.get("/_sandbox/state")).json()["apps"][0]
    await world.api.put(f"/v3/api_app/{app['client_id']}", json={"callback_url": f"{world.receiver.url}/app"})
    await world.sent(client_id=app["client_id"])
    await world.until(lambda: len(world.receiver.got) == 2)
    told = {p["event"]["event_metadata"]["reported_for_app_id"] for _, _, p in world.receiver.got}
    assert told == {app["client_id"], None}
    assert all(p["client_id"] == app["client_id"] for _, _, p in world.receiver.got)
    await world.limits(app_callback_only=True)
    world.receiver.got.clear()
    await world.sent(client_id=app["client_id"])
    await world.advance(1)
    assert len(world.receiver.got) == 1


@pytest.mark.parametrize("event_type", [
    "signature_request_prepared", "signature_request_destroyed", "unknown_error", "file_error",
    "sign_url_invalid", "signature_request_incomplete_qes", "fax_sent",
])  # fmt: skip
async def test_any_event_can_be_sent_by_hand_also_of_strangers(world, event_type):
    """A request that was never created here shows up on the account URL, correctly signed."""
    answer = await world.api.post(
        "/_sandbox/events",
        json={"event_type": event_type, "signature_request_id": "f" * 40, "event_message": "why"},
    )
    assert answer.status_code == 202
    await world.until(lambda: event_type in world.receiver.types())
    payload = world.receiver.last(event_type)
    assert payload["signature_request"]["signature_request_id"] == "f" * 40
    assert payload["event"]["event_metadata"]["event_message"] == "why"
    assert (await world.api.get(f"/v3/signature_request/{'f' * 40}")).status_code == 404


@pytest.mark.parametrize(("event_type", "content"), [
    ("callback_test", set()), ("account_confirmed", {"account"}), ("template_created", {"template"}),
])  # fmt: skip
async def test_events_about_other_things_carry_no_request(world, event_type, content):
    """callback_test carries nothing, the others their own object."""
    await world.api.post("/_sandbox/events", json={"event_type": event_type})
    await world.until(lambda: event_type in world.receiver.types())
    payload = world.receiver.last(event_type)
    assert set(payload) - {"event", "account_guid", "client_id"} == content


async def test_a_forgery_can_be_rehearsed(world):
    """Another key, an old time and a false body: the hash covers time and type only."""
    request_id = await world.sent()
    await world.api.post("/_sandbox/events", json={
        "event_type": "signature_request_all_signed", "signature_request_id": request_id,
        "overrides": {"is_complete": True}, "event_time": "1348177752", "api_key": "somebody-else",
    })  # fmt: skip
    await world.until(lambda: "signature_request_all_signed" in world.receiver.types())
    forged = world.receiver.last("signature_request_all_signed")
    message = b"1348177752signature_request_all_signed"
    assert forged["signature_request"]["is_complete"] is True
    assert forged["event"]["event_hash"] == hmac.new(b"somebody-else", message, hashlib.sha256).hexdigest()
    assert (await world.get(request_id))["is_complete"] is False


async def test_callbacks_go_to_this_machine_only(world):
    """A URL elsewhere is refused, wherever it is set."""
    away = "https://hooks.example.com/in"
    app = (await world.api.get("/_sandbox/state")).json()["apps"][0]["client_id"]
    answers = [
        await world.api.put("/v3/account", json={"callback_url": away}),
        await world.api.put(f"/v3/api_app/{app}", json={"callback_url": away}),
        await world.api.put("/_sandbox/callback", json={"url": away}),
        await world.api.post("/_sandbox/events", json={"event_type": "callback_test", "url": away}),
    ]
    assert [a.status_code for a in answers] == [400, 400, 422, 422]


async def test_without_a_url_nothing_is_sent_and_nothing_breaks(world):
    """An empty text clears the URL through the API; the request stays."""
    await world.api.put("/v3/account", json={"callback_url": ""})
    answer = (await world.send()).json()
    await world.advance(5)
    assert world.receiver.got == []
    shown = await world.get(answer["signature_request"]["signature_request_id"])
    assert shown["signatures"][0]["status_code"] == "awaiting_signature"


async def test_mischief_doubles_events_and_faults_hide_answers(world):
    """A doubled delivery arrives twice; a send whose answer is lost has happened anyway."""
    await world.api.put("/_sandbox/deliveries/mischief", json={"duplicate": 1.0})
    await world.api.post("/_sandbox/faults", json={"kind": "status_after", "path": "/send$", "status": 500})
    answer = await world.send()
    assert answer.status_code == 500
    assert answer.json()["error"]["error_name"] == "unknown"
    await world.until(lambda: world.receiver.types().count("signature_request_sent") == 2)
    rows = (await world.api.get("/_sandbox/state")).json()["requests"]
    assert [r["metadata"]["token"] for r in rows] == ["tok0001"]
