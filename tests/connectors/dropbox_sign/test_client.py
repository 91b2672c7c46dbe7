import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import respx

from connectors.dropbox_sign.client import DropboxSignClient
from connectors.http.errors import GoneError, RejectedError, TransientError, UnreadableAnswerError

BASE = "https://sign.test/v3"
KEY = "k3y"
REQUEST = {"signature_request": {"signature_request_id": "req/1", "is_complete": True}}


@pytest.fixture
async def client() -> AsyncIterator[DropboxSignClient]:
    async with DropboxSignClient(KEY, base_url=BASE) as one:
        yield one


def _sent(route: respx.Route) -> Any:
    return json.loads(route.calls.last.request.content)


@respx.mock(base_url=BASE)
async def test_get_request(respx_mock: respx.Router, client: DropboxSignClient) -> None:
    """A request is read by its id, with the key as Basic user name."""
    route = respx_mock.get("/signature_request/req%2F1").respond(json=REQUEST)
    assert (await client.get_request("req/1")).is_complete
    scheme, _, coded = route.calls.last.request.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(coded)) == ("Basic", b"k3y:")


@respx.mock(base_url=BASE)
async def test_a_cancelled_request_is_gone(respx_mock: respx.Router, client: DropboxSignClient) -> None:
    """There is no cancelled flag: the vendor answers 410."""
    respx_mock.get("/signature_request/r").respond(410, json={"error": {"error_name": "deleted"}})
    with pytest.raises(GoneError, match="deleted"):
        await client.get_request("r")


@respx.mock(base_url=BASE)
async def test_list(respx_mock: respx.Router, client: DropboxSignClient) -> None:
    """Query, page and account go out as the vendor names them."""
    route = respx_mock.get("/signature_request/list").respond(
        json={"signature_requests": [], "list_info": {}}
    )
    page = await client.list_requests(query="metadata:0f AND from:me", page=2, account_id="all")
    assert page.requests == ()
    assert dict(route.calls.last.request.url.params) == {
        "page": "2",
        "page_size": "100",
        "query": "metadata:0f AND from:me",
        "account_id": "all",
    }


async def test_lists_go_one_at_a_time() -> None:
    """Lists never run in parallel (the vendor answers 409), other calls do; lanes share the same lock."""
    running = {"list": 0, "other": 0}
    most = dict(running)

    async def answer(request: httpx.Request) -> httpx.Response:
        kind = "list" if request.url.path.endswith("/list") else "other"
        running[kind] += 1
        most[kind] = max(most[kind], running[kind])
        await asyncio.sleep(0.02)
        running[kind] -= 1
        body = {"signature_requests": []} if kind == "list" else REQUEST
        return httpx.Response(200, json=body)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        client = DropboxSignClient(KEY, base_url=BASE, http=http)
        from connectors.http.pacing import Lane

        bulk = client.in_lane(Lane.BULK)
        await asyncio.gather(
            *(one.list_requests() for one in (client, bulk, client, bulk)),
            *(client.get_request("r") for _ in range(3)),
        )
    assert most == {"list": 1, "other": 3}


@respx.mock(base_url=BASE)
async def test_download(respx_mock: respx.Router, client: DropboxSignClient) -> None:
    """Only a PDF counts as one, and a file that is not ready yet asks to come back later."""
    route = respx_mock.get("/signature_request/files/r").respond(content=b"%PDF-1.7 x")
    assert await client.download_pdf("r") == b"%PDF-1.7 x"
    assert route.calls.last.request.url.params["file_type"] == "pdf"
    route.respond(content=b"<html>")
    with pytest.raises(UnreadableAnswerError):
        await client.download_pdf("r")
    route.respond(409, json={"error": {"error_name": "conflict"}})
    with pytest.raises(TransientError) as caught:
        await client.download_pdf("r")
    assert caught.value.applied == "no"
    route.respond(403, json={"error": {"error_name": "signature_request_expired"}})
    with pytest.raises(RejectedError, match="signature_request_expired"):
        await client.download_pdf("r")


@respx.mock(base_url=BASE)
async def test_follow_up_calls(respx_mock: respx.Router, client: DropboxSignClient) -> None:
    """Cancel takes an empty answer; remind and update send only what is given."""
    cancel = respx_mock.post("/signature_request/cancel/r").respond(200, content=b"")
    remind = respx_mock.post("/signature_request/remind/r").respond(json=REQUEST)
    update = respx_mock.post("/signature_request/update/r").respond(json=REQUEST)
    await client.cancel("r")
    await client.remind("r", "anna@example.com", "Anna")
    assert _sent(remind) == {"email_address": "anna@example.com", "name": "Anna"}
    await client.remind("r", "anna@example.com")
    assert _sent(remind) == {"email_address": "anna@example.com"}
    await client.update("r", "sig-1", expires_at=5)
    assert _sent(update) == {"signature_id": "sig-1", "expires_at": 5}
    assert cancel.called


@respx.mock(base_url=BASE)
async def test_a_refused_reminder_names_no_signer(
    respx_mock: respx.Router, client: DropboxSignClient
) -> None:
    """Reminding within the hour is refused with the vendor's word and without the address."""
    error = {"error_name": "invalid_reminder", "error_msg": "anna@example.com was reminded"}
    respx_mock.post("/signature_request/remind/r").respond(400, json={"error": error})
    with pytest.raises(RejectedError, match="invalid_reminder") as caught:
        await client.remind("r", "anna@example.com")
    assert "anna" not in str(caught.value)


@respx.mock(base_url=BASE)
async def test_account_and_app(respx_mock: respx.Router, client: DropboxSignClient) -> None:
    """The callback URLs of account and app can be checked."""
    respx_mock.get("/account").respond(
        json={"account": {"account_id": "a", "callback_url": "https://x.example"}}
    )
    respx_mock.get("/api_app/c").respond(json={"api_app": {"client_id": "c"}})
    assert (await client.account()).callback_url == "https://x.example"
    assert (await client.api_app("c")).callback_url is None


@respx.mock(base_url=BASE)
async def test_not_understood_names_the_call(respx_mock: respx.Router, client: DropboxSignClient) -> None:
    """An answer without its id is told with call and status; for a write it may have taken effect."""
    respx_mock.get("/account").respond(json={"account": {}})
    with pytest.raises(UnreadableAnswerError, match="dropbox_sign account") as caught:
        await client.account()
    assert (caught.value.applied, caught.value.status) == ("no", 200)
    respx_mock.post("/signature_request/update/r").respond(json={})
    with pytest.raises(UnreadableAnswerError) as caught:
        await client.update("r", "s", name="x")
    assert caught.value.applied == "maybe"


async def test_empty_ids_and_keys_are_refused(client: DropboxSignClient) -> None:
    """An empty id would name another route; an empty key none at all."""
    with pytest.raises(ValueError, match="empty"):
        await client.cancel("")
    with pytest.raises(ValueError, match="API key"):
        DropboxSignClient("")
