"""Templates: the available ones, and sends that use them."""

import io

import pytest
from pypdf import PdfReader

JANE = {"role": "Client", "name": "Jane Buyer", "email_address": "jane@buyer.example"}
OLA = {"role": "Counter-signer", "name": "Ola Nordmann", "email_address": "ola@supplier.example"}
VALUES = [{"name": "Company", "value": "Acme GmbH"}, {"name": "Price", "value": "EUR 9,900"}]


async def _template(world, title="Service contract"):
    return (await world.api.get("/_sandbox/state")).json()["templates"][title]


async def _send(world, **change):
    body = {
        "template_ids": [await _template(world)],
        "signers": [JANE, OLA],
        "custom_fields": VALUES,
        "metadata": {"token": "tpl1"},
        "test_mode": True,
        **change,
    }
    return await world.api.post("/v3/signature_request/send_with_template", json=body)


async def test_templates_have_roles_and_fields(world):
    """What a check before sending needs: roles in order, CC roles, merge fields with `required`."""
    listed = (await world.api.get("/v3/template/list")).json()
    assert listed["list_info"]["num_results"] == 2
    shown = (await world.api.get(f"/v3/template/{await _template(world)}")).json()["template"]
    assert shown in listed["templates"]
    assert shown["signer_roles"] == [{"name": "Client", "order": 0}, {"name": "Counter-signer", "order": 1}]
    fields = shown["documents"][0]["custom_fields"]
    assert {f["name"]: f["required"] for f in fields} == {"Company": True, "Price": True, "Start date": False}
    types = [f["type"] for f in shown["documents"][0]["form_fields"]]
    assert sorted(types) == ["date_signed", "date_signed", "signature", "signature"]
    assert (await world.api.get("/v3/template/0000")).status_code == 404


async def test_template_ids_do_not_depend_on_the_seed(world):
    """A configuration file can name them."""
    before = await _template(world)
    await world.api.post("/_sandbox/reset", json={"seed": 99})
    assert await _template(world) == before


async def test_a_template_request_is_signed_in_the_templates_order(world):
    """Roles and order are echoed, values are set into the page, both sign at the template's places."""
    answer = (await _send(world)).json()["signature_request"]
    request_id = answer["signature_request_id"]
    assert [(s["signer_role"], s["order"]) for s in answer["signatures"]] == [
        ("Client", 0),
        ("Counter-signer", 1),
    ]
    assert answer["template_ids"] == [await _template(world)]
    assert {c["name"]: c["value"] for c in answer["custom_fields"]} == {
        "Company": "Acme GmbH",
        "Price": "EUR 9,900",
    }
    await world.until(lambda: "signature_request_sent" in world.receiver.types())
    assert (await world.act(request_id, OLA["email_address"], "sign")).status_code == 409
    await world.act(request_id, JANE["email_address"], "sign")
    await world.act(request_id, OLA["email_address"], "sign")
    await world.advance(2)
    content = (await world.api.get(f"/v3/signature_request/files/{request_id}")).content
    first = PdfReader(io.BytesIO(content)).pages[0].extract_text()
    for wanted in ("Acme GmbH", "EUR 9,900", "Jane Buyer", "Ola Nordmann"):
        assert wanted in first
    assert (await world.state(request_id))["appended_page"] is False


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"template_ids": []}, "template_ids"),
        ({"signers": [JANE]}, "signers"),
        ({"signers": [{**JANE, "role": "client"}, OLA]}, "signers[0][role]"),
        ({"signers": [JANE, JANE, OLA]}, "signers[1][role]"),
        ({"signers": [JANE, {**OLA, "email_address": "x"}]}, "signers[1][email_address]"),
        ({"custom_fields": VALUES[:1]}, "custom_fields"),
        ({"ccs": [{"role": "Legal", "email_address": "l@b.example"}]}, "ccs[0][role]"),
    ],
)
async def test_what_does_not_fit_the_template_is_refused(world, change, path):
    """Role names are case-sensitive, every role and required field is needed, CC roles must exist."""
    answer = await _send(world, **change)
    assert answer.status_code == 400
    assert answer.json()["error"]["error_path"] == path


async def test_cc_roles_of_the_template_are_required(world):
    """Without them 400, with them the address is copied in."""
    change = {
        "template_ids": [await _template(world, "Mutual non-disclosure agreement")],
        "signers": [JANE],
        "custom_fields": VALUES[:1],
    }
    missing = await _send(world, **change)
    given = await _send(world, **change, ccs=[{"role": "Legal", "email_address": "legal@buyer.example"}])
    assert [missing.status_code, missing.json()["error"]["error_path"]] == [400, "ccs"]
    shown = given.json()["signature_request"]
    assert shown["cc_email_addresses"] == ["legal@buyer.example"]
    assert shown["signatures"][0]["order"] is None


async def test_a_misnamed_value_is_left_out_without_an_error(world):
    """As the vendor does: the field stays blank, there is no error."""
    answer = await _send(world, custom_fields=[*VALUES, {"name": "start date", "value": "tomorrow"}])
    assert answer.status_code == 200
    assert "start date" not in {c["name"] for c in answer.json()["signature_request"]["custom_fields"]}


async def test_expires_at_is_ignored_here_and_the_answer_says_so(world):
    """It is not in the documented body: the echo is null and a warning is given; /update sets it."""
    at = int(world.clock.now_s()) + 5 * 86_400
    answer = (await _send(world, expires_at=at)).json()
    shown = answer["signature_request"]
    assert shown["expires_at"] is None
    assert [w["warning_name"] for w in answer["warnings"]] == ["parameter_ignored"]
    await world.until(lambda: "signature_request_sent" in world.receiver.types())
    updated = await world.api.post(
        f"/v3/signature_request/update/{shown['signature_request_id']}",
        json={"signature_id": shown["signatures"][0]["signature_id"], "expires_at": at},
    )
    assert updated.json()["signature_request"]["expires_at"] == at - at % 3600


async def test_two_templates_are_joined_in_order(world):
    """Documents follow each other; a role that both have is one signer."""
    ids = [await _template(world), await _template(world, "Mutual non-disclosure agreement")]
    answer = await _send(
        world, template_ids=ids, ccs=[{"role": "Legal", "email_address": "legal@buyer.example"}]
    )
    request_id = answer.json()["signature_request"]["signature_request_id"]
    assert len(answer.json()["signature_request"]["signatures"]) == 2
    await world.until(lambda: "signature_request_sent" in world.receiver.types())
    row = await world.state(request_id)
    assert [f["name"] for f in row["files"]] == ["service_contract.pdf", "mutual_nda.pdf"]
    assert {f["signer"] for f in row["fields"]} == {0, 1}
