"""What signers do, by robot and by hand, and what the requester sees of it."""

import asyncio

import pytest

JANE, OLA = "jane@buyer.example", "ola@supplier.example"


def _statuses(shown):
    return [s["status_code"] for s in shown["signatures"]]


async def test_nobody_signs_by_default(world):
    """Without a robot a request stays open, a week later too."""
    request_id = await world.sent()
    await world.advance(7 * 86_400)
    assert _statuses(await world.get(request_id)) == ["awaiting_signature", "awaiting_signature"]


async def test_ordered_signers_act_in_turn_on_the_virtual_clock(world):
    """The second one's time starts when the first has signed; each robot waits its own span."""
    await world.api.put("/_sandbox/robots", json=[
        {"email": "@buyer", "does": "sign", "after_s": 3600},
        {"email": "@supplier", "does": "sign", "after_s": 7200},
    ])  # fmt: skip
    request_id = await world.sent()
    await world.advance(3500)
    assert _statuses(await world.get(request_id)) == ["awaiting_signature", "awaiting_signature"]
    await world.advance(200)
    assert _statuses(await world.get(request_id)) == ["signed", "awaiting_signature"]
    await world.advance(7000)
    assert (await world.get(request_id))["is_complete"] is False
    await world.advance(300)
    done = await world.get(request_id)
    assert done["is_complete"] is True
    assert done["signatures"][1]["signed_at"] - done["signatures"][0]["signed_at"] in (7200, 7201)
    await world.until(lambda: "signature_request_all_signed" in world.receiver.types(request_id))


async def test_out_of_turn_nobody_can_sign(world):
    """By hand too: the counter-signer has to wait, and nobody signs twice."""
    request_id = await world.sent()
    early = await world.act(request_id, OLA, "sign")
    first = await world.act(request_id, JANE, "sign")
    again = await world.act(request_id, JANE, "sign")
    assert [early.status_code, first.status_code, again.status_code] == [409, 200, 409]


async def test_without_an_order_all_may_sign_at_once(world):
    """Any signer may go first."""
    signers = [{"name": "Jane", "email_address": JANE}, {"name": "Ola", "email_address": OLA}]
    request_id = await world.sent(signers=signers)
    assert (await world.act(request_id, OLA, "sign")).status_code == 200
    assert (await world.act(request_id, JANE, "sign")).status_code == 200
    assert (await world.get(request_id))["is_complete"] is True


async def test_the_first_matching_robot_decides(world):
    """First match wins; a robot set later acts on open requests."""
    request_id = await world.sent()
    await world.api.put("/_sandbox/robots", json=[
        {"email": "^jane@", "does": "decline", "reason": "Too dear", "after_s": 0},
        {"email": ".*", "does": "sign"},
    ])  # fmt: skip
    await world.until(lambda: "signature_request_declined" in world.receiver.types(request_id))
    shown = await world.get(request_id)
    assert shown["is_declined"] is True
    assert shown["is_complete"] is False
    assert shown["signatures"][0]["decline_reason"] == "Too dear"
    event = world.receiver.last("signature_request_declined")
    assert event["event"]["event_metadata"]["event_message"] == "Too dear"
    assert event["event"]["event_metadata"]["related_signature_id"] == shown["signatures"][0]["signature_id"]


async def test_without_allow_decline_nobody_can_decline(world):
    """allow_decline is false by default: the robot only views, by hand it is refused."""
    await world.api.put("/_sandbox/robots", json=[{"email": "jane", "does": "decline"}])
    request_id = await world.sent(allow_decline=None)
    await world.until(lambda: "signature_request_viewed" in world.receiver.types(request_id))
    assert (await world.act(request_id, JANE, "decline")).status_code == 409
    assert (await world.get(request_id))["is_declined"] is False


async def test_a_bounce_leaves_the_request_open_until_the_address_is_corrected(world):
    """email_bounce, an error on the signer; /update brings a new signature_id and the new robot."""
    await world.api.put("/_sandbox/robots", json=[
        {"email": "^jane@buyer", "does": "bounce"}, {"email": "^right@", "does": "sign"},
    ])  # fmt: skip
    request_id = await world.sent()
    await world.until(lambda: "signature_request_email_bounce" in world.receiver.types(request_id))
    shown = await world.get(request_id)
    old = shown["signatures"][0]
    assert old["status_code"] == "awaiting_signature"
    assert old["error"]
    updated = await world.api.post(
        f"/v3/signature_request/update/{request_id}",
        json={"signature_id": old["signature_id"], "email_address": "right@buyer.example"},
    )
    new = updated.json()["signature_request"]["signatures"][0]
    assert new["signature_id"] != old["signature_id"]
    assert new["error"] is None
    await world.until(lambda: "signature_request_signed" in world.receiver.types(request_id))


async def test_viewing_is_seen_but_changes_nothing_else(world):
    """signature_request_viewed names the signer; the status stays."""
    request_id = await world.sent()
    await world.act(request_id, JANE, "view")
    await world.until(lambda: "signature_request_viewed" in world.receiver.types(request_id))
    shown = await world.get(request_id)
    assert shown["signatures"][0]["last_viewed_at"] is not None
    assert _statuses(shown) == ["awaiting_signature", "awaiting_signature"]


@pytest.mark.parametrize(("allowed", "status"), [(True, 200), (None, 409)])
async def test_reassigning_needs_leave_and_makes_a_new_signature(world, allowed, status):
    """With allow_reassign the signer hands on: new id, old id and address remembered, an event."""
    request_id = await world.sent(allow_reassign=allowed)
    before = (await world.get(request_id))["signatures"][0]
    answer = await world.act(
        request_id, JANE, "reassign", to_email="boss@buyer.example", to_name="Boss", reason="Not mine"
    )
    assert answer.status_code == status
    after = (await world.get(request_id))["signatures"][0]
    if status == 200:
        assert after["signer_email_address"] == "boss@buyer.example"
        assert after["reassigned_from"] == before["signature_id"] != after["signature_id"]
        assert after["reassigned_by"] == JANE
        await world.until(lambda: "signature_request_reassigned" in world.receiver.types(request_id))
    else:
        assert after == before


async def test_a_removed_signer_is_no_longer_waited_for(world):
    """signer_removed; when all others have signed the request completes."""
    request_id = await world.sent()
    await world.act(request_id, JANE, "sign")
    await world.act(request_id, OLA, "remove")
    await world.until(lambda: "signature_request_all_signed" in world.receiver.types(request_id))
    assert "signature_request_signer_removed" in world.receiver.types(request_id)
    assert (await world.get(request_id))["is_complete"] is True


async def test_answers_of_signers_come_back_as_response_data(world, make_contract):
    """Only of those who have signed; text as given, a checkbox as a boolean."""
    pdf = make_contract(
        "[sig|req|signer1]", "[text|req|signer1|Purchase order|po]", "[check|noreq|signer1|News|news]",
        "[sig|req|signer2]",
    )  # fmt: skip
    request_id = await world.sent(files=[("c.pdf", pdf)])
    assert (await world.get(request_id))["response_data"] == []
    await world.act(request_id, JANE, "sign", answers={"po": "PO-7", "news": "true"})
    data = {r["api_id"]: r for r in (await world.get(request_id))["response_data"]}
    assert data["po"]["value"] == "PO-7"
    assert data["news"]["value"] is True
    assert {r["type"] for r in data.values()} == {"signature", "text", "checkbox"}


async def test_expiry_closes_what_is_unsigned(world):
    """At expires_at: unsigned signatures are expired, an event is sent, files are 403, robots stop."""
    at = world.clock.now_s() + 2 * 86_400
    request_id = await world.sent(expires_at=int(at))
    await world.act(request_id, JANE, "sign")
    await world.advance(3 * 86_400)
    await world.until(lambda: "signature_request_expired" in world.receiver.types(request_id))
    assert _statuses(await world.get(request_id)) == ["signed", "expired"]
    files = await world.api.get(f"/v3/signature_request/files/{request_id}")
    assert [files.status_code, files.json()["error"]["error_name"]] == [403, "signature_request_expired"]
    assert (await world.act(request_id, OLA, "sign")).status_code == 409


async def test_a_later_expiry_replaces_the_first(world):
    """After /update with expires_at the old time does nothing; the name may be changed too."""
    now = world.clock.now_s()
    request_id = await world.sent(expires_at=int(now + 2 * 86_400))
    signature_id = (await world.get(request_id))["signatures"][0]["signature_id"]
    await world.api.post(
        f"/v3/signature_request/update/{request_id}",
        json={"signature_id": signature_id, "name": "Jane B.", "expires_at": int(now + 10 * 86_400)},
    )
    await world.advance(5 * 86_400)
    shown = await world.get(request_id)
    assert _statuses(shown) == ["awaiting_signature", "awaiting_signature"]
    assert shown["signatures"][0]["signer_name"] == "Jane B."
    await world.advance(6 * 86_400)
    assert _statuses(await world.get(request_id)) == ["expired", "expired"]


async def test_reset_forgets_requests_robots_dials_and_pending_timers(world):
    """After a reset nothing of the old state happens, and ids start over with the seed."""
    await world.api.put("/_sandbox/robots", json=[{"email": ".*", "does": "sign", "after_s": 60}])
    await world.limits(search_lag_s=9)
    first = await world.sent()
    await world.api.post("/_sandbox/reset", json={"seed": 7})
    world.receiver.got.clear()
    await world.advance(3600)
    shown = (await world.api.get("/_sandbox/state")).json()
    assert (shown["requests"], shown["robots"], shown["limits"]["search_lag_s"]) == ([], [], 2.0)
    assert world.receiver.got == []
    await world.api.post("/_sandbox/reset", json={"seed": 7})
    again = [await world.sent()]
    await world.api.post("/_sandbox/reset", json={"seed": 7})
    again.append(await world.sent())
    await asyncio.sleep(0)
    assert again[0] == again[1] == first


async def test_chance_in_faults_starts_over_with_the_seed(world):
    """The same seed gives the same run of hits and misses after a reset."""
    runs = []
    for _ in range(2):
        await world.api.post("/_sandbox/reset", json={"seed": 11})
        fault = {"kind": "status", "path": "/v3/account", "times": None, "probability": 0.5}
        await world.api.post("/_sandbox/faults", json=fault)
        runs.append([(await world.api.get("/v3/account")).status_code for _ in range(24)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 503}


async def test_a_replaced_robot_does_nothing_any_more(world):
    """Robots set anew take the place of those whose time has not come."""
    await world.api.put("/_sandbox/robots", json=[{"email": ".*", "does": "decline", "after_s": 600}])
    request_id = await world.sent()
    await world.api.put("/_sandbox/robots", json=[{"email": ".*", "does": "ignore"}])
    await world.advance(3600)
    assert (await world.get(request_id))["is_declined"] is False
    await world.api.put("/_sandbox/robots", json=[{"email": "jane", "does": "sign", "after_s": 60}])
    await world.advance(61)
    assert _statuses(await world.get(request_id)) == ["signed", "awaiting_signature"]
