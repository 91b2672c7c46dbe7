"""Every call that a contract needs, made with the official package over a real socket."""

import io

import pytest
from dropbox_sign import ApiException, EventCallbackHelper, apis, models
from dropbox_sign.exceptions import (
    BadRequestException,
    ForbiddenException,
    NotFoundException,
    UnauthorizedException,
)
from pypdf import PdfReader

JANE, OLA = "jane@buyer.example", "ola@supplier.example"


@pytest.fixture
def requests(sdk):
    return apis.SignatureRequestApi(sdk)


def _send(requests, path, **change):
    body = {
        "title": "Contract for Acme",
        "signers": [
            models.SubSignatureRequestSigner(name="Jane Buyer", email_address=JANE, order=0),
            models.SubSignatureRequestSigner(name="Ola Nordmann", email_address=OLA, order=1),
        ],
        "metadata": {"token": "4f00aa", "deal": "42"},
        "test_mode": True,
        "use_text_tags": True,
        "allow_decline": True,
        **change,
    }
    if "file_urls" not in body:
        body["files"] = [path.open("rb")]
    try:
        return requests.signature_request_send(models.SignatureRequestSendRequest(**body)).signature_request
    finally:
        for file in body.get("files") or []:
            file.close()


def _sent(standing, requests, path, **change):
    made = _send(requests, path, **change)
    standing.until(lambda: "signature_request_sent" in standing.types(made.signature_request_id))
    return made


def _signed(standing, requests, path):
    made = _sent(standing, requests, path)
    standing.act(made.signature_request_id, JANE, "sign", answers={"po": "PO-7", "news": "true"})
    standing.act(made.signature_request_id, OLA, "sign")
    standing.advance(1)
    return made.signature_request_id


def test_send_get_and_sign(standing, requests, contract_path):
    """From the upload to is_complete, all answers parsed by the SDK's own strict models."""
    made = _sent(standing, requests, contract_path, expires_at=standing.now_s() + 5 * 86_400)
    assert made.metadata == {"token": "4f00aa", "deal": "42"}
    assert made.expires_at % 3600 == 0
    request_id = made.signature_request_id
    standing.act(request_id, JANE, "sign", answers={"po": "PO-7", "news": "true"})
    standing.act(request_id, OLA, "sign")
    got = requests.signature_request_get(request_id).signature_request
    assert got.is_complete is True
    assert [s.status_code for s in got.signatures] == ["signed", "signed"]
    answers = {r.api_id: r.value for r in got.response_data}
    assert (answers["po"], answers["news"]) == ("PO-7", True)
    assert {r.type for r in got.response_data} == {"signature", "date_signed", "text", "checkbox", "initials"}


def test_send_with_fields_groups_and_attachments(standing, requests, contract_path):
    """Everything the model of a send offers arrives."""
    box = models.SubFormFieldsPerDocumentSignature(
        document_index=0, api_id="a", type="signature", required=True, signer="0", width=100, height=16, x=90, y=400
    )  # fmt: skip
    made = _sent(
        standing,
        requests,
        contract_path,
        use_text_tags=False,
        signers=[models.SubSignatureRequestSigner(name="Jane", email_address=JANE, pin="1234")],
        form_fields_per_document=[box],
        attachments=[models.SubAttachment(name="Passport", signer_index=0, required=True)],
        cc_email_addresses=["legal@buyer.example"],
        custom_fields=[models.SubCustomField(name="Price", value="12")],
        field_options=models.SubFieldOptions(date_format="DD - MM - YYYY"),
    )
    assert made.signatures[0].has_pin is True
    assert made.attachments[0].name == "Passport"
    assert made.cc_email_addresses == ["legal@buyer.example"]
    assert made.custom_fields[0].value == "12"


def test_send_as_json_with_file_urls(standing, requests, contract_path):
    """Without an upload the SDK sends JSON; the stand-in fetches from this machine."""
    first = _sent(standing, requests, contract_path)
    link = requests.signature_request_files_as_file_url(first.signature_request_id).file_url
    standing.events.clear()
    made = _sent(standing, requests, contract_path, file_urls=[link])
    assert requests.signature_request_get(made.signature_request_id).signature_request.has_error is False


def test_send_with_template(standing, sdk, requests):
    """Template found by list, checked by get, used by roles."""
    templates = apis.TemplateApi(sdk)
    listed = templates.template_list(page_size=10)
    wanted = next(t for t in listed.templates if t.title == "Service contract")
    shown = templates.template_get(wanted.template_id).template
    roles = [r.name for r in shown.signer_roles]
    body = models.SignatureRequestSendWithTemplateRequest(
        template_ids=[shown.template_id],
        signers=[
            models.SubSignatureRequestTemplateSigner(role=roles[0], name="Jane", email_address=JANE),
            models.SubSignatureRequestTemplateSigner(role=roles[1], name="Ola", email_address=OLA),
        ],
        custom_fields=[
            models.SubCustomField(name=f.name, value="x")
            for f in shown.documents[0].custom_fields
            if f.required
        ],
        test_mode=True,
    )
    made = requests.signature_request_send_with_template(body).signature_request
    assert [(s.signer_role, s.order) for s in made.signatures] == [(roles[0], 0), (roles[1], 1)]
    assert made.template_ids == [shown.template_id]


def test_list_and_search(standing, requests, contract_path):
    """Found by its token once the index has it; the metadata is there to compare."""
    made = _sent(standing, requests, contract_path)
    query = "metadata:4f00aa AND from:me"
    assert requests.signature_request_list(query=query).signature_requests == []
    standing.advance(3)
    found = requests.signature_request_list(page=1, page_size=100, query=query)
    assert [r.signature_request_id for r in found.signature_requests] == [made.signature_request_id]
    assert found.signature_requests[0].metadata["token"] == "4f00aa"
    assert found.list_info.num_results == 1


def test_files_in_all_three_forms(standing, requests, contract_path):
    """PDF, ZIP, link and data URI; the PDF is one."""
    request_id = _signed(standing, requests, contract_path)
    pdf = requests.signature_request_files(request_id, file_type="pdf").read()
    assert "Jane Buyer" in PdfReader(io.BytesIO(pdf)).pages[0].extract_text()
    assert requests.signature_request_files(request_id, file_type="zip").read()[:2] == b"PK"
    assert requests.signature_request_files_as_data_uri(request_id).data_uri.startswith(
        "data:application/pdf;"
    )
    link = requests.signature_request_files_as_file_url(request_id)
    assert standing.control.get(link.file_url, auth=None).content == pdf


def test_files_too_early_are_409(standing, requests, contract_path):
    """The SDK shows it as a plain ApiException with the vendor's body."""
    standing.limits(processing_s=60)
    made = _send(requests, contract_path)
    with pytest.raises(ApiException) as refused:
        requests.signature_request_files(made.signature_request_id)
    assert refused.value.status == 409
    assert b'"conflict"' in (refused.value.body if isinstance(refused.value.body, bytes)
                             else refused.value.body.encode())  # fmt: skip


def test_remind_update_cancel_remove(standing, requests, contract_path):
    """The follow-up calls, with their answers as the SDK reads them."""
    made = _sent(standing, requests, contract_path)
    request_id, signature_id = made.signature_request_id, made.signatures[0].signature_id
    reminded = requests.signature_request_remind(
        request_id, models.SignatureRequestRemindRequest(email_address=JANE)
    )
    assert reminded.signature_request.signatures[0].last_reminded_at is not None
    updated = requests.signature_request_update(
        request_id,
        models.SignatureRequestUpdateRequest(signature_id=signature_id, email_address="new@buyer.example"),
    )
    assert updated.signature_request.signatures[0].signature_id != signature_id
    assert requests.signature_request_cancel(request_id) is None
    standing.advance(1)
    with pytest.raises(ApiException) as gone:
        requests.signature_request_get(request_id)
    assert (gone.value.status, gone.value.data.error.error_name) == (410, "deleted")
    done = _signed(standing, requests, contract_path)
    assert requests.signature_request_remove(done) is None
    with pytest.raises(NotFoundException):
        requests.signature_request_get(done)


def test_account_and_app(standing, sdk):
    """The callback URLs are read, cleared by others' failures, and set back."""
    accounts, api_apps = apis.AccountApi(sdk), apis.ApiAppApi(sdk)
    account = accounts.account_get().account
    assert account.callback_url.endswith("/hook")
    assert account.quotas.api_signature_requests_left > 0
    changed = accounts.account_update(models.AccountUpdateRequest(callback_url=f"{standing.url}/other"))
    assert changed.account.callback_url == f"{standing.url}/other"
    client_id = standing.get("/_sandbox/state")["apps"][0]["client_id"]
    app = api_apps.api_app_get(client_id).api_app
    changed_app = api_apps.api_app_update(
        client_id, models.ApiAppUpdateRequest(callback_url=f"{standing.url}/app", domains=["a.example"])
    ).api_app
    assert (app.callback_url, changed_app.callback_url) == (None, f"{standing.url}/app")
    with pytest.raises(NotFoundException):
        api_apps.api_app_get("0" * 32)


def test_errors_map_to_the_sdks_exceptions(standing, sdk, requests, contract_path):
    """400 with its path, 401, 403 on an expired file, 404, 429."""
    with pytest.raises(BadRequestException) as bad:
        _send(requests, contract_path, signers=[
            models.SubSignatureRequestSigner(name="Jane", email_address="nonsense")
        ])  # fmt: skip
    assert bad.value.data.error.error_path == "signers[0][email_address]"
    with pytest.raises(NotFoundException):
        requests.signature_request_get("0" * 40)
    made = _sent(standing, requests, contract_path, expires_at=standing.now_s() + 40 * 86_400)
    standing.advance(90 * 86_400)
    with pytest.raises(ForbiddenException):
        requests.signature_request_files(made.signature_request_id)
    standing.limits(standard=0)
    with pytest.raises(ApiException) as spent:
        apis.AccountApi(sdk).account_get()
    assert (spent.value.status, spent.value.data.error.error_name) == (429, "exceeded_rate")
    sdk.configuration.username = "bad-key"
    with pytest.raises(UnauthorizedException):
        apis.AccountApi(sdk).account_get()


def test_the_sdks_helper_verifies_every_event(standing, requests, contract_path):
    """EventCallbackHelper accepts ours with our key, with no other, and tells account from app."""
    client_id = standing.get("/_sandbox/state")["apps"][0]["client_id"]
    hook = standing.get("/v3/account")["account"]["callback_url"]
    standing.control.put("/_sandbox/callback", json={"client_id": client_id, "url": hook})
    _signed_app = _sent(standing, requests, contract_path, client_id=client_id)
    standing.act(_signed_app.signature_request_id, JANE, "sign")
    standing.act(_signed_app.signature_request_id, OLA, "sign")
    standing.advance(1)
    for event_type in ("callback_test", "account_confirmed", "template_created"):
        standing.control.post("/_sandbox/events", json={"event_type": event_type})
    standing.until(lambda: "template_created" in standing.types())
    standing.until(lambda: standing.types().count("signature_request_downloadable") == 2)
    kinds = set()
    for payload in standing.events:
        parsed = models.EventCallbackRequest.init(payload)
        assert EventCallbackHelper.is_valid(standing.api_key, parsed)
        assert not EventCallbackHelper.is_valid("another-key", parsed)
        kinds.add(EventCallbackHelper.get_callback_type(parsed))
    assert kinds == {"account_callback", "app_callback"}
    assert len(set(standing.types())) == 8


def test_a_lost_answer_hides_a_made_request(standing, requests, contract_path):
    """The connection ends after the work: the SDK raises, and the request is there to be found."""
    standing.control.post("/_sandbox/faults", json={"kind": "reset_after", "path": "/send$"})
    with pytest.raises(Exception, match=r"(?i)connection|aborted|reset"):
        _send(requests, contract_path)
    rows = standing.get("/_sandbox/state")["requests"]
    assert [r["metadata"]["token"] for r in rows] == ["4f00aa"]
