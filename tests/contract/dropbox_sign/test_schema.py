"""Answers and events measured against the vendor's own OpenAPI description."""

import pytest

JANE, OLA = "jane@buyer.example", "ola@supplier.example"


def _send(standing, contract_path, **change):
    data = {
        "title": "Contract",
        "signers[0][name]": "Jane Buyer",
        "signers[0][email_address]": JANE,
        "signers[0][order]": "0",
        "signers[1][name]": "Ola Nordmann",
        "signers[1][email_address]": OLA,
        "signers[1][order]": "1",
        "metadata[token]": "4f00aa",
        "custom_fields[0][name]": "Price",
        "custom_fields[0][value]": "12",
        "attachments[0][name]": "Passport",
        "attachments[0][signer_index]": "0",
        "use_text_tags": "1",
        "allow_decline": "1",
        "test_mode": "1",
        **change,
    }
    files = {"files[0]": ("contract.pdf", contract_path.read_bytes())}
    answer = standing.control.post("/v3/signature_request/send", data=data, files=files)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _known(spec, name):
    return set(spec["components"]["schemas"][name]["properties"])


# The live service sends these, the 2026-07 description does not list them.
EXTRA = {"client_id"}
# Real events carry these beside the objects (facts section 13, help.dropbox.com's example of a callback).
EXTRA_IN_EVENTS = {"client_id", "account_guid", "signature_request.client_id"}


def test_a_requests_answers_through_its_life(standing, contract_path, check, spec):
    """Fresh, half signed and complete: each fits, with every property of the description present."""
    made = _send(standing, contract_path)
    check("SignatureRequestGetResponse", made)
    request_id = made["signature_request"]["signature_request_id"]
    standing.until(lambda: "signature_request_sent" in standing.types())
    for who in (JANE, OLA):
        standing.act(request_id, who, "sign")
        shown = standing.get(f"/v3/signature_request/{request_id}")
        check("SignatureRequestGetResponse", shown)
        assert set(shown["signature_request"]) == _known(spec, "SignatureRequestResponse") | EXTRA
        for signature in shown["signature_request"]["signatures"]:
            assert set(signature) == _known(spec, "SignatureRequestResponseSignatures")
        for row in shown["signature_request"]["response_data"]:
            kinds = spec["components"]["schemas"]["SignatureRequestResponseDataBase"]["discriminator"][
                "mapping"
            ]
            check(kinds[row["type"]].rsplit("/", 1)[1], row)
    assert shown["signature_request"]["is_complete"] is True
    check("SignatureRequestListResponse", standing.get("/v3/signature_request/list"))
    standing.advance(1)
    check("FileResponse", standing.get(f"/v3/signature_request/files_as_file_url/{request_id}"))
    check("FileResponseDataUri", standing.get(f"/v3/signature_request/files_as_data_uri/{request_id}"))


def test_account_app_and_templates(standing, check, strange, spec):
    """The other objects fit as well."""
    state = standing.get("/_sandbox/state")
    app = f"/v3/api_app/{state['apps'][0]['client_id']}"
    for name, path in (
        ("AccountGetResponse", "/v3/account"),
        ("ApiAppGetResponse", app),
        ("TemplateListResponse", "/v3/template/list"),
    ):
        check(name, standing.get(path))
        assert strange(name, standing.get(path)) == set()
    for template_id in state["templates"].values():
        shown = standing.get(f"/v3/template/{template_id}")
        check("TemplateGetResponse", shown)
        for field in shown["template"]["documents"][0]["custom_fields"]:
            check("TemplateResponseDocumentCustomFieldText", field)


@pytest.mark.parametrize(("method", "path", "body"), [
    ("GET", "/v3/signature_request/0", None),
    ("POST", "/v3/signature_request/send", {"title": "x"}),
    ("GET", "/v3/signature_request/list?page_size=0", None),
    ("POST", "/v3/signature_request/send_with_template", {"template_ids": []}),
    ("DELETE", "/v3/account", None),
])  # fmt: skip
def test_errors(standing, check, spec, method, path, body):
    """Every refusal has the description's body and a name from its catalogue with that status."""
    answer = standing.control.request(method, path, json=body)
    check("ErrorResponse", answer.json())
    entry = spec["x-error-codes"][answer.json()["error"]["error_name"]]
    assert entry["http_status"] == answer.status_code


def test_every_error_name_has_the_catalogues_status(spec):
    """Our table agrees with the vendor's catalogue, name by name."""
    from connectors.sandbox.dropbox_sign_server.errors import STATUS

    for name, status in STATUS.items():
        listed = spec["x-error-codes"][name]["http_status"]
        assert status in (listed if isinstance(listed, list) else [listed]), name


def _schema_of(event_type, spec):
    wanted = "EventCallback" + "".join(part.capitalize() for part in event_type.split("_"))
    assert wanted in spec["components"]["schemas"], wanted
    return wanted


def test_all_events_of_all_endings(standing, contract_path, check, strange, spec):
    """Signed, declined, bounced, reassigned, removed, reminded, cancelled, expired, invalid, broken: each
    event fits the description's general schema and the one of its own type."""
    ids = []
    for _ in range(6):
        standing.events.clear()
        ids.append(
            _send(standing, contract_path, allow_reassign="1")["signature_request"]["signature_request_id"]
        )
        standing.until(lambda: "signature_request_sent" in standing.types())
    standing.events.clear()
    signed, declined, bounced, cancelled, moved, shorter = ids
    for who in (JANE, OLA):
        standing.act(signed, who, "sign")
    standing.act(declined, JANE, "decline", reason="No")
    standing.act(bounced, JANE, "bounce")
    standing.control.post(f"/v3/signature_request/remind/{bounced}", json={"email_address": JANE})
    standing.control.post(f"/v3/signature_request/cancel/{cancelled}")
    standing.act(moved, JANE, "reassign", to_email="boss@buyer.example")
    standing.act(shorter, JANE, "remove")
    _send(standing, contract_path, **{"signers[2][name]": "X", "signers[2][email_address]": "x@y.example",
                                      "signers[2][order]": "2"})  # fmt: skip
    soon = standing.now_s() + 3 * 86_400
    _send(standing, contract_path, expires_at=str(soon))
    standing.until(lambda: "signature_request_invalid" in standing.types())
    standing.advance(4 * 86_400)
    by_hand = ["callback_test", "account_confirmed", "template_created", "template_error", "file_error",
               "unknown_error", "sign_url_invalid", "signature_request_prepared", "signature_request_destroyed",
               "signature_request_incomplete_qes"]  # fmt: skip
    for event_type in by_hand:
        standing.control.post("/_sandbox/events", json={"event_type": event_type})
    listed = set(
        spec["components"]["schemas"]["EventCallbackRequestEvent"]["properties"]["event_type"]["enum"]
    )
    standing.until(lambda: listed <= set(standing.types()))
    for payload in standing.events:
        check("EventCallbackRequest", payload)
        assert strange("EventCallbackRequest", payload) <= EXTRA_IN_EVENTS, payload["event"]["event_type"]
        check(_schema_of(payload["event"]["event_type"], spec), payload)
