"""remind, update, cancel, remove: their rules and their refusals."""

import pytest

JANE, OLA = "jane@buyer.example", "ola@supplier.example"


async def _remind(world, request_id, email=JANE, **more):
    return await world.api.post(
        f"/v3/signature_request/remind/{request_id}", json={"email_address": email, **more}
    )


async def test_a_reminder_is_not_repeated_within_the_hour(world):
    """Once, then 400 invalid_reminder until an hour has passed; the event names the signer."""
    request_id = await world.sent()
    first = await _remind(world, request_id)
    shown = first.json()["signature_request"]["signatures"][0]
    assert first.status_code == 200
    assert shown["last_reminded_at"] is not None
    too_soon = await _remind(world, request_id)
    assert [too_soon.status_code, too_soon.json()["error"]["error_name"]] == [400, "invalid_reminder"]
    await world.advance(3601)
    assert (await _remind(world, request_id)).status_code == 200
    await world.until(lambda: world.receiver.types().count("signature_request_remind") == 2)
    event = world.receiver.last("signature_request_remind")["event"]
    assert event["event_metadata"]["related_signature_id"] == shown["signature_id"]


async def test_automatic_reminders_count_too(world):
    """With automatic reminders on, a manual one right after is refused."""
    await world.limits(auto_remind_days=[3])
    request_id = await world.sent()
    await world.advance(3 * 86_400 + 60)
    await world.until(lambda: "signature_request_remind" in world.receiver.types())
    assert (await _remind(world, request_id)).status_code == 400


async def test_only_whose_turn_it_is_can_be_reminded(world):
    """Not the counter-signer who waits, not one who has signed, not a stranger, not on closed requests."""
    request_id = await world.sent()
    waiting, stranger = await _remind(world, request_id, OLA), await _remind(world, request_id, "x@y.example")
    assert waiting.json()["error"]["error_name"] == "invalid_reminder"
    assert stranger.json()["error"]["error_path"] == "email_address"
    await world.act(request_id, JANE, "sign")
    assert (await _remind(world, request_id)).status_code == 400
    await world.act(request_id, OLA, "decline")
    closed = await _remind(world, request_id, OLA)
    assert [closed.status_code, closed.json()["error"]["error_name"]] == [400, "invalid_reminder"]


async def test_two_signers_with_one_address_are_told_apart_by_name(world):
    """Without the name 400, with it the right one is reminded."""
    signers = [{"name": "Ann", "email_address": JANE}, {"name": "Bob", "email_address": JANE}]
    request_id = await world.sent(signers=signers)
    unclear = await _remind(world, request_id)
    assert unclear.json()["error"]["error_path"] == "name"
    right = (await _remind(world, request_id, name="Bob")).json()["signature_request"]["signatures"]
    assert [s["last_reminded_at"] is not None for s in right] == [False, True]


@pytest.mark.parametrize(("change", "status", "where"), [
    ({"signature_id": "nope", "name": "X"}, 404, "signature_id"),
    ({}, 400, "signature_id"),
    ({"signature_id": "SIGNED", "name": "X"}, 400, "signature_id"),
    ({"signature_id": "OPEN"}, 400, "email_address"),
    ({"signature_id": "OPEN", "email_address": "nonsense"}, 400, "email_address"),
    ({"signature_id": "OPEN", "expires_at": 5}, 400, "expires_at"),
])  # fmt: skip
async def test_what_cannot_be_updated(world, change, status, where):
    """Unknown and finished signatures, nothing to change, bad values: refused with the path."""
    request_id = await world.sent()
    await world.act(request_id, JANE, "sign")
    signed, waiting = (await world.get(request_id))["signatures"]
    ids = {"SIGNED": signed["signature_id"], "OPEN": waiting["signature_id"]}
    change = {k: ids.get(v, v) for k, v in change.items()}
    answer = await world.api.post(f"/v3/signature_request/update/{request_id}", json=change)
    assert answer.status_code == status
    assert answer.json()["error"]["error_path"] == where


async def test_cancelling_is_queued_and_confirmed_by_an_event(world):
    """An empty 200 first; still readable; then the event, and 410 for everything."""
    await world.limits(cancel_s=600)
    request_id = await world.sent()
    answer = await world.api.post(f"/v3/signature_request/cancel/{request_id}")
    assert [answer.status_code, answer.content] == [200, b""]
    assert (await world.api.get(f"/v3/signature_request/{request_id}")).status_code == 200
    again = await world.api.post(f"/v3/signature_request/cancel/{request_id}")
    assert again.status_code == 409
    await world.advance(601)
    await world.until(lambda: "signature_request_canceled" in world.receiver.types())
    for path in ("", "files/", "files_as_file_url/", "files_as_data_uri/"):
        assert (await world.api.get(f"/v3/signature_request/{path}{request_id}")).status_code == 410
    assert (await world.api.post(f"/v3/signature_request/cancel/{request_id}")).status_code == 410


async def test_a_signature_can_overtake_a_queued_cancellation(world):
    """Signed by all before the queue was processed: it stays complete, and no event says cancelled."""
    await world.limits(cancel_s=600)
    request_id = await world.sent()
    await world.api.post(f"/v3/signature_request/cancel/{request_id}")
    await world.act(request_id, JANE, "sign")
    await world.act(request_id, OLA, "sign")
    await world.advance(700)
    assert (await world.get(request_id))["is_complete"] is True
    assert "signature_request_canceled" not in world.receiver.types()


async def test_what_is_closed_or_still_being_set_up_cannot_be_cancelled(world):
    """409 while processing, 400 signature_request_cancel_failed when complete."""
    await world.limits(processing_s=3600)
    answer = await world.send()
    young = answer.json()["signature_request"]["signature_request_id"]
    assert (await world.api.post(f"/v3/signature_request/cancel/{young}")).status_code == 409
    await world.limits(processing_s=0)
    request_id = await world.sent()
    await world.act(request_id, JANE, "sign")
    await world.act(request_id, OLA, "sign")
    done = await world.api.post(f"/v3/signature_request/cancel/{request_id}")
    assert [done.status_code, done.json()["error"]["error_name"]] == [400, "signature_request_cancel_failed"]


async def test_remove_works_on_finished_requests_only_and_at_once(world):
    """400 while open; afterwards the request is out of sight."""
    request_id = await world.sent()
    early = await world.api.post(f"/v3/signature_request/remove/{request_id}")
    assert early.json()["error"]["error_name"] == "signature_request_remove_failed"
    await world.act(request_id, JANE, "sign")
    await world.act(request_id, OLA, "sign")
    assert (await world.api.post(f"/v3/signature_request/remove/{request_id}")).status_code == 200
    assert (await world.api.get(f"/v3/signature_request/{request_id}")).status_code == 404
