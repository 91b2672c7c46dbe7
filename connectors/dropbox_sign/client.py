"""Dropbox Sign's status, list, download and follow-up calls, over httpx. Sending is `sender.py`.

Source: the vendor's OpenAPI document of September 2025 and July 2026, help.dropbox.com "API requests that
count against limit", developers.hellosign.com/api/reference/search, all read 2026-11-22.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

import httpx

from connectors.dropbox_sign.records import (
    Account,
    ApiApp,
    RequestPage,
    SignatureRequest,
    parse_account,
    parse_api_app,
    parse_page,
    parse_request,
)
from connectors.dropbox_sign.statuses import DROPBOX_SIGN
from connectors.http.errors import UnreadableAnswerError
from connectors.http.exchange import Answer, BeforeSend, Exchange, OnCall, Timeouts
from connectors.http.pacing import Lane, Pace

Parsed = TypeVar("Parsed")


class DropboxSignClient:
    """One method per call; one attempt each; every method raises a `connectors.http.errors.ConnectorError` or
    answers.

    Share one instance per process and account: its lock keeps list calls one at a time, because the vendor
    answers 409 to identical lists in parallel.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = "https://api.hellosign.com/v3",
        http: httpx.AsyncClient | None = None,
        pace: Pace | None = None,
        on_call: OnCall | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        if not api_key:
            raise ValueError("Dropbox Sign needs an API key")
        basic = base64.b64encode(f"{api_key}:".encode()).decode()
        self._exchange = Exchange(
            DROPBOX_SIGN,
            base_url=base_url,
            authorization=f"Basic {basic}",
            http=http,
            pace=pace,
            on_call=on_call,
            timeouts=timeouts,
        )
        self._lane = Lane.NORMAL
        self._list_lock = asyncio.Lock()

    def in_lane(self, lane: Lane) -> DropboxSignClient:
        """The same client (same connections, limits and list lock) whose calls wait in another lane."""
        other = DropboxSignClient.__new__(DropboxSignClient)
        other.__dict__.update(self.__dict__)
        other._lane = lane
        return other

    def read_only(self) -> DropboxSignClient:
        """The same client (same connections, limits and list lock) that only reads: a write raises WouldWriteError."""
        other = DropboxSignClient.__new__(DropboxSignClient)
        other.__dict__.update(self.__dict__)
        other._exchange = self._exchange.read_only(lambda _path: "signature requests")
        return other

    async def aclose(self) -> None:
        """Close the connections this client opened itself."""
        await self._exchange.close()

    async def __aenter__(self) -> DropboxSignClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def get_request(self, request_id: str) -> SignatureRequest:
        """The request as it stands. Raises NotFoundError, and GoneError once it was cancelled."""
        answer = await self._call("get_request", "GET", f"/signature_request/{_part(request_id)}")
        return _parsed(answer, parse_request)

    async def list_requests(
        self,
        *,
        query: str | None = None,
        page: int = 1,
        page_size: int = 100,
        account_id: str | None = None,
    ) -> RequestPage:
        """One page (page_size 1 to 100) of requests sent and received. With a query the list lags behind: an
        empty answer does not prove that nothing was sent. Raises TransientError on a parallel identical list.
        """
        params = {"page": str(page), "page_size": str(page_size)}
        if query:
            params["query"] = query
        if account_id:
            params["account_id"] = account_id
        async with self._list_lock:
            answer = await self._call("list_requests", "GET", "/signature_request/list", params=params)
        return _parsed(answer, parse_page)

    async def download_pdf(self, request_id: str) -> bytes:
        """The merged PDF as it stands now; having one does not prove that all have signed.

        Raises TransientError while the file is being prepared, GoneError for a cancelled request,
        UnreadableAnswerError when it is no PDF.
        """
        answer = await self._call(
            "download_pdf",
            "GET",
            f"/signature_request/files/{_part(request_id)}",
            params={"file_type": "pdf"},
            bucket="high",
        )
        if not answer.body.startswith(b"%PDF"):
            answer.not_understood("the file is no PDF")
        return answer.body

    async def cancel(self, request_id: str, *, before_send: BeforeSend | None = None) -> None:
        """Ask to cancel an unfinished request: queued only, done when signature_request_canceled arrives.

        Raises RejectedError or GoneError when it has ended already, TransientError while it is being set up.
        """
        path = f"/signature_request/cancel/{_part(request_id)}"
        await self._call("cancel", "POST", path, write=True, before_send=before_send)

    async def remind(
        self,
        request_id: str,
        email: str,
        name: str | None = None,
        *,
        before_send: BeforeSend | None = None,
    ) -> SignatureRequest:
        """Mail a signer again. name is needed when two signers share the address.

        Raises RejectedError (invalid_reminder) within an hour of the last reminder, or when it is closed.
        """
        body = {"email_address": email} if name is None else {"email_address": email, "name": name}
        path = f"/signature_request/remind/{_part(request_id)}"
        answer = await self._call("remind", "POST", path, write=True, body=body, before_send=before_send)
        return _parsed(answer, parse_request)

    async def update(
        self,
        request_id: str,
        signature_id: str,
        *,
        email: str | None = None,
        name: str | None = None,
        expires_at: int | None = None,
    ) -> SignatureRequest:
        """Correct a signer or move the expiry (Unix seconds, 1 to 90 days ahead, rounded down to the hour).

        A new e-mail gives the signature a new id: read it from the answer.
        """
        changes = {"email_address": email, "name": name, "expires_at": expires_at}
        body = {"signature_id": signature_id} | {k: v for k, v in changes.items() if v is not None}
        answer = await self._call(
            "update", "POST", f"/signature_request/update/{_part(request_id)}", write=True, body=body
        )
        return _parsed(answer, parse_request)

    async def account(self) -> Account:
        """The account behind the key: callback URL and remaining quota."""
        return _parsed(await self._call("account", "GET", "/account"), parse_account)

    async def api_app(self, client_id: str) -> ApiApp:
        """One API app: its callback URL and whether it is approved."""
        return _parsed(await self._call("api_app", "GET", f"/api_app/{_part(client_id)}"), parse_api_app)

    async def _call(
        self,
        operation: str,
        method: str,
        route: str,
        *,
        write: bool = False,
        params: dict[str, str] | None = None,
        body: object = None,
        bucket: str = "standard",
        before_send: BeforeSend | None = None,
    ) -> Answer:
        return await self._exchange.call(
            operation,
            method,
            route,
            write=write,
            params=params,
            json_body=body,
            buckets=(bucket,),
            lane=self._lane,
            before_send=before_send,
        )


def _part(value: str) -> str:
    if not value:
        raise ValueError("an empty id cannot stand in a path")
    return quote(value, safe="")


def _parsed(answer: Answer, parse: Callable[[object], Parsed]) -> Parsed:
    data = answer.json()
    try:
        return parse(data)
    except UnreadableAnswerError as error:
        answer.not_understood(error.detail)
