"""Creating requests: what is accepted in which format, what is refused with which path."""

import asyncio

import pytest

HOUR_S, DAY_S = 3600, 86_400


async def test_both_form_spellings_and_json_mean_the_same(world, make_contract):
    """Bracketed fields, JSON text in fields and a JSON body with file_urls give the same request."""
    pdf = make_contract("[sig|req|signer1]")
    brackets = {
        "title": "Same",
        "signers[0][name]": "Jane Buyer",
        "signers[0][email_address]": "jane@buyer.example",
        "signers[0][order]": "0",
        "metadata[token]": "abc",
        "metadata[10]": "ten",
        "test_mode": "1",
        "use_text_tags": "1",
        "cc_email_addresses[0]": "legal@buyer.example",
    }
    one = await world.api.post(
        "/v3/signature_request/send", data=brackets, files={"files[0]": ("contract.pdf", pdf)}
    )
    fields = {
        "title": "Same",
        "signers": [{"name": "Jane Buyer", "email_address": "jane@buyer.example", "order": 0}],
        "metadata": {"token": "abc", "10": "ten"},
        "test_mode": True,
        "use_text_tags": True,
        "cc_email_addresses": ["legal@buyer.example"],
    }
    two = await world.send(**fields, allow_decline=None, files=[("contract.pdf", pdf)])
    first_id = one.json()["signature_request"]["signature_request_id"]
    await world.until(lambda: "signature_request_sent" in world.receiver.types(first_id))
    link = (await world.api.get(f"/v3/signature_request/files_as_file_url/{first_id}")).json()["file_url"]
    three = await world.api.post("/v3/signature_request/send", json={**fields, "file_urls": [link]})
    shown = [a.json()["signature_request"] for a in (one, two, three)]
    for row in shown:
        for own in ("signature_request_id", "files_url", "details_url", "signing_url", "final_copy_uri"):
            row.pop(own)
        row.pop("created_at")
        row["signatures"][0].pop("signature_id")
    assert shown[0] == shown[1] == shown[2]
    assert shown[0]["metadata"] == {"token": "abc", "10": "ten"}
    assert shown[0]["cc_email_addresses"] == ["legal@buyer.example"]


def _signer(**change):
    return {"name": "Jane", "email_address": "jane@buyer.example", **change}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"signers": []}, "signers"),
        ({"signers": [_signer(name="")]}, "signers[0][name]"),
        ({"signers": [_signer(email_address="jane")]}, "signers[0][email_address]"),
        ({"signers": [_signer(email_address="jane@buyer")]}, "signers[0][email_address]"),
        ({"signers": [_signer(order="first")]}, "signers[0][order]"),
        ({"signers": [_signer(order=0), _signer()]}, "signers"),
        ({"signers": [_signer(pin="123")]}, "signers[0][pin]"),
        ({"title": "x" * 256}, "title"),
        ({"subject": "x" * 256}, "subject"),
        ({"message": "x" * 5001}, "message"),
        ({"metadata": {f"k{n}": "v" for n in range(11)}}, "metadata"),
        ({"metadata": {"k" * 41: "v"}}, "metadata"),
        ({"metadata": {"k": "v" * 1001}}, "metadata[k]"),
        ({"metadata": {"k": ["v"]}}, "metadata[k]"),
        ({"cc_email_addresses": ["nobody"]}, "cc_email_addresses[0]"),
        ({"test_mode": "perhaps"}, "test_mode"),
        ({"custom_fields": [{"name": "a", "required": True}]}, "custom_fields[0][editor]"),
        ({"client_id": "not-an-app"}, "client_id"),
        ({"attachments": [{"name": "Passport", "signer_index": 9}]}, "attachments[0][signer_index]"),
        ({"file_urls": ["http://127.0.0.1/x.pdf"]}, "file_urls"),
        ({"signers": "[{"}, "signers"),
    ],
)
async def test_what_the_vendor_refuses_is_refused_with_its_path(world, change, path):
    """400 bad_request names the parameter; nothing is created."""
    answer = await world.send(**change)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["error_name"] == "bad_request"
    assert answer.json()["error"]["error_path"] == path
    assert (await world.api.get("/_sandbox/state")).json()["requests"] == []


async def test_documents_are_needed_and_must_not_be_empty(world):
    """No file, and an empty file, are refused at once."""
    signers = [_signer()]
    none = await world.api.post("/v3/signature_request/send", json={"signers": signers})
    empty = await world.send(files=[("contract.pdf", b"")])
    assert [none.status_code, none.json()["error"]["error_path"]] == [400, "files"]
    assert [empty.status_code, empty.json()["error"]["error_path"]] == [400, "files[0]"]


async def test_the_stand_in_fetches_nothing_beyond_this_machine(world):
    """A file_url elsewhere is refused: no traffic leaves loopback."""
    body = {"signers": [_signer()], "file_urls": ["https://files.example.com/contract.pdf"]}
    answer = await world.api.post("/v3/signature_request/send", json=body)
    assert [answer.status_code, answer.json()["error"]["error_path"]] == [400, "file_urls[0]"]


async def test_metadata_comes_back_as_strings_everywhere(world):
    """Numbers are echoed as strings, in the answer, on reading and in events."""
    request_id = await world.sent(metadata={"deal": 42, "token": "abc"})
    assert (await world.get(request_id))["metadata"] == {"deal": "42", "token": "abc"}
    event = world.receiver.last("signature_request_sent")
    assert event["signature_request"]["metadata"] == {"deal": "42", "token": "abc"}


async def test_orders_are_answered_as_a_0_based_index(world, make_contract):
    """Orders 5, 7, 5 read 0, 1, 0; without orders they are null."""
    pdf = make_contract("[sig|req|signer1]", "[sig|req|signer2]", "[sig|req|signer3]")
    signers = [
        _signer(name=f"S{n}", email_address=f"s{n}@b.example", order=o) for n, o in enumerate([5, 7, 5])
    ]
    ordered = (await world.send(signers=signers, files=[("c.pdf", pdf)])).json()["signature_request"]
    plain = (await world.send(signers=[_signer()], title="x")).json()["signature_request"]
    assert [s["order"] for s in ordered["signatures"]] == [0, 1, 0]
    assert [s["order"] for s in plain["signatures"]] == [None]


@pytest.mark.parametrize(("ahead_s", "status"), [
    (HOUR_S, 400), (DAY_S - 60, 400), (DAY_S + 60, 200), (90 * DAY_S - 60, 200), (90 * DAY_S + 60, 400)
])  # fmt: skip
async def test_expiry_lies_1_to_90_days_ahead_and_on_the_hour(world, ahead_s, status):
    """Outside of that 400 with the path; inside it is rounded down to the hour."""
    at = int(world.clock.now_s()) + ahead_s
    answer = await world.send(expires_at=at)
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["signature_request"]["expires_at"] == at - at % HOUR_S
    else:
        assert answer.json()["error"]["error_path"] == "expires_at"


async def test_an_identical_request_in_flight_is_refused(world):
    """Of two equal sends at once, one is made and one gets 409; a different one passes; later it passes."""
    await world.limits(send_takes_s=1.5)
    both = await asyncio.gather(world.send(), world.send(), world.send(title="Another"))
    assert sorted(a.status_code for a in both[:2]) == [200, 409]
    assert both[2].status_code == 200
    refused = next(a for a in both if a.status_code == 409)
    assert refused.json()["error"]["error_name"] == "conflict"
    assert (await world.send()).status_code == 200


async def test_sends_are_not_idempotent(world):
    """The same send twice makes two requests: a worker must prevent this."""
    first, second = await world.sent(), await world.sent()
    assert first != second
    rows = (await world.api.get("/_sandbox/state")).json()["requests"]
    assert [r["metadata"]["token"] for r in rows] == ["tok0001", "tok0001"]


async def test_binding_sends_use_the_quota_and_end_in_402(world):
    """Test requests are free; without quota a binding one is refused."""
    await world.limits(quota=1)
    statuses = [(await world.send(test_mode=mode)).status_code for mode in (True, False, False, True)]
    left = (await world.api.get("/v3/account")).json()["account"]["quotas"]["api_signature_requests_left"]
    assert statuses == [200, 200, 402, 200]
    assert left == 0


async def test_an_unconfirmed_sender_puts_the_request_on_hold(world):
    """200 with the warning `unconfirmed`, and then nobody is asked to sign."""
    await world.limits(unconfirmed_sender=True)
    answer = (await world.send()).json()
    assert [w["warning_name"] for w in answer["warnings"]] == ["unconfirmed"]
    await world.advance(60)
    shown = await world.get(answer["signature_request"]["signature_request_id"])
    assert {s["status_code"] for s in shown["signatures"]} == {"on_hold"}
    assert world.receiver.got == []


async def test_fields_by_coordinates_keep_the_signature_page_away(world):
    """form_fields_per_document places fields; their signer must exist and their api_id be unique."""
    box = {"document_index": 0, "api_id": "a", "type": "signature", "required": True, "signer": "0",
           "width": 120, "height": 16, "x": 100, "y": 300}  # fmt: skip
    signers = [_signer()]
    good = await world.sent(signers=signers, use_text_tags=None, form_fields_per_document=[box])
    stranger = await world.send(
        signers=signers, use_text_tags=None, form_fields_per_document=[{**box, "signer": "3"}]
    )
    twice = await world.send(signers=signers, use_text_tags=None, form_fields_per_document=[box, box])
    assert (await world.state(good))["appended_page"] is False
    assert stranger.json()["error"]["error_path"] == "form_fields_per_document[0][signer]"
    assert twice.json()["error"]["error_path"] == "form_fields_per_document"


async def test_one_of_a_group_signs_for_the_group(world, make_contract):
    """grouped_signers: whoever of the group signs first completes it."""
    groups = [{"group": "Buyers", "signers": [_signer(), _signer(name="Jim", email_address="jim@b.example")]}]
    request_id = await world.sent(
        signers=None, grouped_signers=groups, files=[("c.pdf", make_contract("[sig|req|signer1]"))]
    )
    await world.act(request_id, "jim@b.example", "sign")
    shown = await world.get(request_id)
    assert shown["is_complete"] is True
    assert [s["signer_email_address"] for s in shown["signatures"]] == ["jim@b.example"]
