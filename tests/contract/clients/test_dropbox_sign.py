import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import typst

from connectors.dropbox_sign.callback import event_key, verify_and_parse
from connectors.dropbox_sign.client import DropboxSignClient
from connectors.dropbox_sign.sender import ContractSender
from connectors.dropbox_sign.sending import RoleSigner, SendRequest, Sent, Signer, TemplateRequest
from connectors.http.errors import (
    AuthError,
    ForgedEventError,
    GoneError,
    NotFoundError,
    RateLimitedError,
    RejectedError,
    TransientError,
)
from connectors.http.exchange import Timeouts

KEY = "test-key"


@pytest.fixture(scope="module")
def pdf() -> bytes:
    """A contract of one page without text tags."""
    return bytes(typst.compile(b"= Contract\nBetween us and them.", format="pdf"))


@pytest.fixture
async def client(sign: Any) -> AsyncIterator[DropboxSignClient]:
    sign.post("reset")
    times = Timeouts(connect_s=2, read_s=2, total_s=5)
    async with DropboxSignClient(KEY, base_url=sign.url + "/v3", timeouts=times) as one:
        yield one


@pytest.fixture
def sender(sign: Any) -> ContractSender:
    return ContractSender(KEY, sign.url + "/v3", timeout_s=(2.0, 2.0), total_s=5.0)


def _contract(pdf: bytes, token: str, **change: Any) -> SendRequest:
    fields: dict[str, Any] = {
        "title": "Contract Nord",
        "subject": "Please sign",
        "message": "Dear all",
        "signers": (Signer("Anna", "anna@example.com", 0), Signer("Bo", "bo@example.com", 1)),
        "pdf": pdf,
        "filename": "contract.pdf",
        "metadata": {"df_token": token, "df_deal": "9001"},
        "test_mode": True,
        "use_text_tags": False,
    }
    return SendRequest(**(fields | change))


async def _send(sender: ContractSender, request: SendRequest) -> Sent:
    return await asyncio.to_thread(sender.send, request)


async def test_a_contracts_life(
    sign: Any, client: DropboxSignClient, sender: ContractSender, pdf: bytes
) -> None:
    """Send, read back, both sign in order, all complete, the signed PDF comes down."""
    sent = await _send(sender, _contract(pdf, "a1" * 16))
    assert (sent.raw_status, sent.on_hold) == (200, False)
    sign.post("clock/advance", seconds=5)
    request = await client.get_request(sent.signature_request_id)
    assert (request.metadata["df_token"], request.metadata["df_deal"]) == ("a1" * 16, "9001")
    assert (request.is_complete, request.test_mode) == (False, True)
    assert [one.order for one in request.signatures] == [0, 1]
    for email in ("anna@example.com", "bo@example.com"):
        sign.post(f"requests/{request.id}/act", email=email, does="sign")
    done = await client.get_request(request.id)
    assert done.is_complete
    assert [one.status_code for one in done.signatures] == ["signed", "signed"]
    assert all(one.signed_at for one in done.signatures)
    for _ in range(50):
        try:
            assert (await client.download_pdf(request.id)).startswith(b"%PDF")
            break
        except TransientError:
            sign.post("clock/advance", seconds=30)
    else:
        pytest.fail("the signed file never became ready")


async def test_declined_and_cancelled(
    sign: Any, client: DropboxSignClient, sender: ContractSender, pdf: bytes
) -> None:
    """A refusal carries its reason; a cancelled request is gone afterwards."""
    first = await _send(sender, _contract(pdf, "b1" * 16, allow_decline=True))
    sign.post("clock/advance", seconds=5)
    sign.post(
        f"requests/{first.signature_request_id}/act",
        email="anna@example.com",
        does="decline",
        reason="Too dear",
    )
    declined = await client.get_request(first.signature_request_id)
    assert declined.is_declined
    assert declined.signatures[0].decline_reason == "Too dear"
    second = await _send(sender, _contract(pdf, "b2" * 16))
    with pytest.raises(TransientError):  # still being prepared
        await client.cancel(second.signature_request_id)
    sign.post("clock/advance", seconds=5)
    await client.cancel(second.signature_request_id)
    sign.post("clock/advance", seconds=3700)
    with pytest.raises(GoneError):
        await client.get_request(second.signature_request_id)
    with pytest.raises(NotFoundError):
        await client.get_request("0" * 40)


async def test_found_by_its_token(
    sign: Any, client: DropboxSignClient, sender: ContractSender, pdf: bytes
) -> None:
    """A request can be found by the token in its metadata, and parallel lists do not disturb each other."""
    sent = await _send(sender, _contract(pdf, "c1" * 16))
    await _send(sender, _contract(pdf, "c2" * 16))
    sign.post("clock/advance", seconds=3600)
    pages = await asyncio.gather(*(client.list_requests(query="metadata:" + "c1" * 16) for _ in range(4)))
    for page in pages:
        assert [one.id for one in page.requests] == [sent.signature_request_id]
    everything = await client.list_requests()
    assert everything.total == 2


async def test_follow_up(sign: Any, client: DropboxSignClient, sender: ContractSender, pdf: bytes) -> None:
    """A reminder is refused right after the last one; a corrected address gives a new signature id."""
    sent = await _send(sender, _contract(pdf, "d1" * 16, signers=(Signer("Anna", "anna@example.com"),)))
    sign.post("clock/advance", seconds=2 * 3600)
    await client.remind(sent.signature_request_id, "anna@example.com")
    with pytest.raises(RejectedError, match="invalid_reminder"):
        await client.remind(sent.signature_request_id, "anna@example.com")


async def test_account(sign: Any, client: DropboxSignClient, sender: ContractSender) -> None:
    """The callback URL that was cleared can be seen and set back."""
    url = "http://127.0.0.1:9/callback"
    after = await asyncio.to_thread(sender.set_account_callback, url)
    assert (await client.account()).callback_url == url
    sign.put("callback", url=None)
    assert (await client.account()).callback_url is None
    assert after.id == (await client.account()).id


async def test_template(sign: Any, client: DropboxSignClient, sender: ContractSender) -> None:
    """A template of the account is sent to the person in its role, and unknown roles are refused."""
    templates = sign.get("state")["templates"]
    if not templates:
        pytest.skip("LOUD: the stand-in has no template")
    title, template_id = next(iter(templates.items()))
    shown = sign.control.get(f"/v3/template/{template_id}", auth=(KEY, "")).json()["template"]
    roles = [one["name"] for one in shown["signer_roles"]]
    ccs = {one["name"]: "legal@example.com" for one in shown["cc_roles"]}
    fields = {f["name"]: "x" for d in shown["documents"] for f in d.get("custom_fields", [])}
    request = TemplateRequest(
        template_id=template_id,
        title=title,
        subject="Please sign",
        message="Dear all",
        signers=tuple(RoleSigner(role, f"N{n}", f"n{n}@example.com") for n, role in enumerate(roles)),
        ccs=ccs,
        fields=fields,
        metadata={"df_token": "e1" * 16},
        test_mode=True,
    )
    sent = await asyncio.to_thread(sender.send_with_template, request)
    got = await client.get_request(sent.signature_request_id)
    assert [one.role for one in got.signatures] == roles
    wrong = TemplateRequest(
        **{**request.__dict__, "signers": (RoleSigner("No such role", "N", "n@example.com"),)}
    )
    with pytest.raises(RejectedError):
        await asyncio.to_thread(sender.send_with_template, wrong)


@pytest.mark.parametrize(
    ("kind", "status", "out", "applied"),
    [
        ("status", 502, False, "maybe"),
        ("status_after", 504, True, "maybe"),
        ("reset_before", 0, False, "maybe"),
        ("reset_after", 0, True, "maybe"),
        ("timeout_after", 0, True, "maybe"),
        ("html", 503, False, "maybe"),
        ("truncated", 0, True, "maybe"),
        ("status", 429, False, "no"),
    ],
)
async def test_an_unknown_outcome_is_never_denied(
    sign: Any,
    client: DropboxSignClient,
    sender: ContractSender,
    pdf: bytes,
    kind: str,
    status: int,
    out: bool,
    applied: str,
) -> None:
    """Whether or not the contract went out behind a fault, the error never says that it surely did not."""
    sign.post("faults", kind=kind, path="/signature_request/send$", status=status or 503, delay_s=4)
    with pytest.raises((TransientError, RateLimitedError)) as caught:
        await _send(sender, _contract(pdf, "f1" * 16))
    assert caught.value.applied == applied
    assert len(sign.get("state")["requests"]) == (1 if out else 0)
    posts = sign.get("requests", path="/signature_request/send", method="POST")["requests"]
    assert len(posts) == 1


async def test_an_unconfirmed_sender_surfaces(
    sign: Any, client: DropboxSignClient, sender: ContractSender, pdf: bytes
) -> None:
    """A request that the vendor took but put on hold is distinguished from one that was sent."""
    sign.put("limits", unconfirmed_sender=True)
    try:
        assert (await _send(sender, _contract(pdf, "a4" * 16))).on_hold
    finally:
        sign.put("limits", unconfirmed_sender=False)


async def test_unknown_fields_do_no_harm(
    sign: Any, client: DropboxSignClient, sender: ContractSender, pdf: bytes
) -> None:
    """An answer with fields of a later release is a sent contract."""
    sign.post("faults", kind="odd_fields", times=2)
    sent = await _send(sender, _contract(pdf, "a2" * 16))
    assert (await client.get_request(sent.signature_request_id)).id == sent.signature_request_id


async def test_a_wrong_key(sign: Any) -> None:
    """Without any key the vendor refuses, and the error is for the operator."""
    sign.post("faults", kind="status", status=401, path="/account")
    async with DropboxSignClient(KEY, base_url=sign.url + "/v3") as client:
        with pytest.raises(AuthError):
            await client.account()


async def test_callbacks_verify(
    sign: Any, client: DropboxSignClient, sender: ContractSender, pdf: bytes, receiver: Any
) -> None:
    """What the stand-in signs, our verification accepts; a forged one it refuses; the id leads to the
    request."""
    sign.put("callback", url=receiver.url + "/cb")
    try:
        sent = await _send(sender, _contract(pdf, "a3" * 16))
        _, _, headers, body = await receiver.first()
        receiver.got.clear()
        sign.post("events", event_type="signature_request_all_signed", api_key="another key")
        forged = await receiver.first()
    finally:
        sign.put("callback", url=None)
    callback = verify_and_parse(_json_field(body), [KEY], headers.get("content-sha256"))
    assert callback.request_id == sent.signature_request_id
    assert callback.metadata["df_token"] == "a3" * 16
    assert callback.body_proven is True
    assert sent.signature_request_id in event_key(callback)
    with pytest.raises(ForgedEventError):
        verify_and_parse(_json_field(forged[3]), [KEY], forged[2].get("content-sha256"))


def _json_field(body: bytes) -> str:
    found = re.search(rb'name="json"[^\r]*(?:\r\n[^\r]+)*\r\n\r\n(.*?)\r\n--', body, re.DOTALL)
    assert found is not None, body[:200]
    text = found.group(1).decode()
    json.loads(text)
    return text
