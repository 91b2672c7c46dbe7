import json
import re
import time
from typing import Any

import pytest

from connectors.dropbox_sign.sender import ContractSender
from connectors.dropbox_sign.sending import RoleSigner, SendRequest, Signer, TemplateRequest
from connectors.http.errors import (
    AuthError,
    ConflictError,
    ConnectorError,
    GoneError,
    NotFoundError,
    RateLimitedError,
    RejectedError,
    TransientError,
    UnreadableAnswerError,
)
from connectors.http.exchange import CallRecord

KEY = "ab12cd34ef56"
PDF = b"%PDF-1.7\n\x00\xff binary"
CONTRACT = SendRequest(
    title="Contract Nord",
    subject="Please sign",
    message="Dear all",
    signers=(Signer("Anna Ahlers", "anna@example.com", 0), Signer("Bo Berg", "bo@example.com", 1)),
    pdf=PDF,
    filename="contract-nord.pdf",
    metadata={"df_token": "0f" * 16, "df_deal": "9001"},
    test_mode=True,
    cc=("legal@example.com",),
    expires_at=1_800_000_000,
)
TEMPLATE = TemplateRequest(
    template_id="tpl-1",
    title="T",
    subject="S",
    message="M",
    signers=(RoleSigner("Client", "Anna Ahlers", "anna@example.com"),),
    fields={"Total": "120.000,50 €"},
    ccs={"Legal": "legal@example.com"},
    metadata={"df_token": "t"},
    test_mode=True,
)
TAKEN = {"signature_request": {"signature_request_id": "req-1", "expires_at": 1_799_999_999, "metadata": []}}


@pytest.fixture
def sender(vendor: Any) -> ContractSender:
    return ContractSender(KEY, vendor.url + "/v3", timeout_s=(0.5, 0.4), total_s=1.0)


def _parts(body: bytes) -> dict[str, tuple[str, bytes]]:
    """Name to (headers, content) of a multipart body."""
    boundary = body.split(b"\r\n", 1)[0]
    parts = {}
    for piece in body.split(boundary)[1:-1]:
        head, _, content = piece.strip(b"\r\n").partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        assert name is not None
        parts[name.group(1).decode()] = (head.decode(), content)
    return parts


def test_the_whole_contract_goes_out_once(vendor: Any, sender: ContractSender) -> None:
    """PDF, signers in order, copies, metadata, test mode and expiry are in the one request that is made."""
    vendor.reply(200, TAKEN)
    sent = sender.send(CONTRACT)
    assert (sent.signature_request_id, sent.raw_status, sent.on_hold) == ("req-1", 200, False)
    assert sent.expires_at is not None
    assert int(sent.expires_at.timestamp()) == 1_799_999_999
    (heard,) = vendor.heard
    assert (heard.method, heard.path) == ("POST", "/v3/signature_request/send")
    parts = _parts(heard.body)
    head, content = parts["files[0]"]
    assert content == PDF
    assert 'filename="contract-nord.pdf"' in head
    assert "application/pdf" in head
    signers = json.loads(parts["signers"][1])
    assert [(s["name"], s["email_address"], s["order"]) for s in signers] == [
        ("Anna Ahlers", "anna@example.com", 0),
        ("Bo Berg", "bo@example.com", 1),
    ]
    assert json.loads(parts["metadata"][1]) == dict(CONTRACT.metadata)
    assert json.loads(parts["cc_email_addresses"][1]) == ["legal@example.com"]
    assert parts["expires_at"][1] == b"1800000000"
    for name in ("test_mode", "use_text_tags", "allow_decline"):
        assert parts[name][1].lower() in (b"true", b"1")


def test_the_key_is_the_basic_user_name(vendor: Any, sender: ContractSender) -> None:
    """The key travels as Basic user name with an empty password."""
    import base64

    vendor.reply(200, TAKEN)
    sender.send(CONTRACT)
    scheme, _, coded = vendor.heard[0].headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(coded)) == ("Basic", f"{KEY}:".encode())


def test_template_goes_out_once(vendor: Any, sender: ContractSender) -> None:
    """Roles, fields and copies of a template send arrive under the vendor's names."""
    vendor.reply(200, TAKEN)
    assert sender.send_with_template(TEMPLATE).signature_request_id == "req-1"
    (heard,) = vendor.heard
    assert heard.path == "/v3/signature_request/send_with_template"
    body = heard.json()
    assert body["template_ids"] == ["tpl-1"]
    assert body["signers"] == [{"role": "Client", "name": "Anna Ahlers", "email_address": "anna@example.com"}]
    assert body["ccs"] == [{"role": "Legal", "email_address": "legal@example.com"}]
    assert [(one["name"], one["value"]) for one in body["custom_fields"]] == [("Total", "120.000,50 €")]
    assert body["metadata"] == {"df_token": "t"}


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": []},
        {"metadata": {"n": 5}},
        {"test_mode": 1},
        {"created_at": "1570471067"},
        {"custom_fields": [{"type": "hologram"}]},
        {"response_data": [{"type": "hologram"}]},
        {"signatures": [{"signature_id": "s", "status_code": "beamed_up", "order": "0"}]},
        {"signatures": None, "x_new": [1]},
        {"is_complete": "no"},
    ],
    ids=lambda odd: next(iter(odd)),
)
def test_an_unusual_answer_is_still_sent(vendor: Any, sender: ContractSender, odd: dict[str, Any]) -> None:
    """Answers that make the package's own models raise (after the contract went out) give the id here."""
    vendor.reply(200, {"signature_request": {"signature_request_id": "req-1", **odd}})
    assert sender.send(CONTRACT).signature_request_id == "req-1"


def test_an_unconfirmed_sender_surfaces(vendor: Any, sender: ContractSender) -> None:
    """A request put on hold is not taken for a sent one; other warnings are handed on."""
    warnings = [
        {"warning_name": "unconfirmed", "warning_msg": "m"},
        {"warning_name": "parameter_ignored", "warning_msg": "n"},
    ]
    vendor.reply(200, TAKEN | {"warnings": warnings})
    sent = sender.send(CONTRACT)
    assert sent.on_hold
    assert [one.name for one in sent.warnings] == ["unconfirmed", "parameter_ignored"]
    vendor.reply(200, TAKEN | {"warnings": warnings[1:]})
    assert not sender.send(CONTRACT).on_hold


STATUSES = [
    (301, UnreadableAnswerError, "maybe"),
    (302, UnreadableAnswerError, "maybe"),
    (307, UnreadableAnswerError, "maybe"),
    (308, UnreadableAnswerError, "maybe"),
    (400, RejectedError, "no"),
    (401, AuthError, "no"),
    (402, AuthError, "no"),
    (403, AuthError, "no"),
    (404, NotFoundError, "no"),
    (405, RejectedError, "no"),
    (409, ConflictError, "maybe"),
    (410, GoneError, "no"),
    (422, RejectedError, "no"),
    (429, RateLimitedError, "no"),
    (500, TransientError, "maybe"),
    (502, TransientError, "maybe"),
    (503, TransientError, "maybe"),
    (504, TransientError, "maybe"),
]
BODIES = [
    b'{"error": {"error_msg": "anna@example.com", "error_name": "some_name", "error_path": "signers[0]"}}',
    b'{"error": {"error_msg": "x", }}',
    b"<html>\xff\xfe</html>",
    b"",
]


@pytest.mark.parametrize("body", BODIES, ids=["json", "broken", "html", "empty"])
@pytest.mark.parametrize(("status", "kind", "applied"), STATUSES)
@pytest.mark.parametrize("contract", [CONTRACT, TEMPLATE], ids=["file", "template"])
def test_outcome_of_a_send(
    vendor: Any, sender: ContractSender, contract: Any, status: int, kind: type, applied: str, body: bytes
) -> None:
    """Each status has one outcome, whatever its body, after exactly one request; nothing personal in the
    text."""
    headers = {"Retry-After": "0", "Location": vendor.url + "/v3/elsewhere", "Content-Type": "text/html"}
    vendor.play(type(vendor.acts[0])("reply", status, body, headers))
    with pytest.raises(ConnectorError) as caught:
        sender.send(contract) if contract is CONTRACT else sender.send_with_template(contract)
    error = caught.value
    assert (type(error), error.applied, error.status) == (kind, applied, status)
    assert len(vendor.heard) == 1
    assert "example.com" not in f"{error}{error!r}"
    if body is BODIES[0]:
        assert error.category == "some_name"
    if body is BODIES[0] and isinstance(error, RejectedError):
        assert error.error_path == "signers[0]"


@pytest.mark.parametrize("how", ["drop", "hang", "truncate", "drip"])
def test_a_lost_answer_is_doubtful_and_not_repeated(vendor: Any, sender: ContractSender, how: str) -> None:
    """A connection that breaks, stalls or drips after the contract left: it may be out, and was posted
    once."""
    vendor.reply(200, TAKEN)
    vendor.acts[0].how = how
    started = time.monotonic()
    with pytest.raises(TransientError) as caught:
        sender.send(CONTRACT)
    assert time.monotonic() - started < 5
    assert caught.value.applied == "maybe"
    assert len(vendor.heard) == 1


def test_nobody_listening_means_not_sent(closed_port: str) -> None:
    """A refused connection: surely not sent."""
    with pytest.raises(TransientError) as caught:
        ContractSender(KEY, closed_port + "/v3").send(CONTRACT)
    assert (caught.value.applied, caught.value.status) == ("no", None)


def test_an_unknown_host_means_not_sent() -> None:
    """A name that does not resolve: surely not sent."""
    with pytest.raises(TransientError) as caught:
        ContractSender(KEY, "http://nobody.invalid/v3").send(CONTRACT)
    assert caught.value.applied == "no"


def test_an_earlier_failure_does_not_colour_this_one(
    vendor: Any, sender: ContractSender, closed_port: str
) -> None:
    """A send made while an earlier "never sent" error is being handled is judged by its own fate."""
    vendor.acts[0].how = "drop"
    try:
        ContractSender(KEY, closed_port + "/v3")._requests.signature_request_list()
    except Exception:
        with pytest.raises(TransientError) as caught:
            sender.send(CONTRACT)
        assert caught.value.applied == "maybe"
    else:
        pytest.fail("the closed port answered")


@pytest.mark.parametrize(
    "body", [b"<html>", b"{}", b'{"signature_request": {}}', b"[]", b'{"signature_request": 5}']
)
def test_accepted_without_an_id_is_doubtful(vendor: Any, sender: ContractSender, body: bytes) -> None:
    """A 200 without a readable id: out, most likely, and never reported as not sent."""
    vendor.reply(200, body)
    with pytest.raises(UnreadableAnswerError) as caught:
        sender.send(CONTRACT)
    assert (caught.value.applied, caught.value.operation) == ("maybe", "send")


def test_environment_proxy_is_ignored(vendor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment does not get our contracts and key."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    vendor.reply(200, TAKEN)
    assert ContractSender(KEY, vendor.url + "/v3").send(CONTRACT).signature_request_id == "req-1"


def test_callback_url(vendor: Any, sender: ContractSender) -> None:
    """The callback URL is set; the answer is the account as it stands then."""
    account = {
        "account_id": "a",
        "callback_url": "https://x.example/h",
        "quotas": {"api_signature_requests_left": 3},
    }
    vendor.reply(200, {"account": account})
    shown = sender.set_account_callback("https://x.example/h")
    assert (shown.callback_url, shown.requests_left) == ("https://x.example/h", 3)
    assert [(one.method, one.path) for one in vendor.heard] == [("PUT", "/v3/account")]
    assert vendor.heard[0].json()["callback_url"] == "https://x.example/h"


def test_nothing_is_repeated_by_the_package(vendor: Any, sender: ContractSender) -> None:
    """The package's three silent retries of a dropped GET or PUT are off."""
    vendor.acts[0].how = "drop"
    with pytest.raises(Exception):  # noqa: B017  # whatever the package raises: only that it asks once counts
        sender._accounts.account_get(_request_timeout=0.5)
    assert len(vendor.heard) == 1

    with pytest.raises(TransientError) as caught:
        sender.set_account_callback("https://x.example/h")
    assert (caught.value.applied, len(vendor.heard)) == ("maybe", 2)


def test_sends_are_counted(vendor: Any) -> None:
    """Sends show in the same metrics as other calls."""
    records: list[CallRecord] = []
    vendor.reply(200, TAKEN)
    ContractSender(KEY, vendor.url + "/v3", on_call=records.append).send(CONTRACT)
    assert [(one.vendor, one.operation, one.outcome) for one in records] == [("dropbox_sign", "send", "ok")]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"signers": ()}, "needs a signer"),
        ({"pdf": b"<html>"}, "is no PDF"),
        ({"filename": "contract"}, "file name"),
        ({"filename": "../contract.pdf"}, "file name"),
        ({"title": "x" * 256}, "255"),
        ({"message": "x" * 5001}, "5,000"),
        ({"metadata": {str(n): "x" for n in range(11)}}, "ten metadata"),
        ({"metadata": {"x" * 41: "x"}}, "metadata keys"),
        ({"metadata": {"x": "x" * 1001}}, "metadata keys"),
    ],
)
def test_what_the_vendor_would_refuse_or_cut_is_not_sent(change: dict[str, Any], why: str) -> None:
    """Limits are checked before the call, because the package checks few of them."""
    with pytest.raises(ValueError, match=why):
        SendRequest(**{**CONTRACT.__dict__, **change})


def test_a_refused_field_does_not_quote_its_value(sender: ContractSender) -> None:
    """The package's validation errors quote names and addresses; ours do not."""
    no_address: Any = ["anna@example.com"]
    odd = SendRequest(**{**CONTRACT.__dict__, "signers": (Signer("Anna", no_address, 0),)})
    with pytest.raises(RejectedError, match="send") as caught:
        sender.send(odd)
    assert caught.value.applied == "no"  # it never left: nothing to look for at the vendor
    assert "anna" not in f"{caught.value}{caught.value.__cause__}".lower()


def test_nothing_personal_in_repr() -> None:
    """A request shown in a log line shows no signer and no document."""
    shown = f"{CONTRACT!r}{TEMPLATE!r}"
    assert "example.com" not in shown
    assert "Ahlers" not in shown
    assert "%PDF" not in shown
