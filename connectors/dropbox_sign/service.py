"""Dropbox Sign as a service for e-signature: one object with every call that the product makes.

Each method waits for its place under the vendor's limits, then makes each of its calls once: nothing is retried
and nothing decided here. A write awaits `before_send` after that wait and directly before the request leaves.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeVar

from connectors.dropbox_sign.client import DropboxSignClient
from connectors.dropbox_sign.records import RequestPage, SignatureRequest
from connectors.dropbox_sign.sender import ContractSender
from connectors.dropbox_sign.sending import SendRequest, Sent, Signer
from connectors.http.errors import RejectedError, WouldWriteError
from connectors.http.exchange import BeforeSend, Retrying
from connectors.http.pacing import Lane, Pace

Result = TypeVar("Result")

TOKEN_FIELD: Final = "dealflow_token"  # noqa: S105  # the name of a metadata field
_PAGES = 20


class Recipient(Protocol):
    """Who is asked to sign."""

    @property
    def name(self) -> str:
        """As the request shows it."""

    @property
    def email(self) -> str:
        """Where the request goes."""

    @property
    def order(self) -> int | None:
        """Counts from 0; None for all: everyone is asked at once."""


class NewRequest(Protocol):
    """A contract to send: our own PDF with text tags."""

    @property
    def title(self) -> str:
        """Title of the request and subject of the mail."""

    @property
    def message(self) -> str:
        """Text of the mail."""

    @property
    def signers(self) -> Sequence[Recipient]:
        """At least one."""

    @property
    def pdf(self) -> bytes:
        """The document."""

    @property
    def filename(self) -> str:
        """A plain name that ends in .pdf."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """Up to ten keys; the token that `find` looks for is among them."""

    @property
    def test_mode(self) -> bool:
        """Test requests are not binding."""

    @property
    def expires_at(self) -> datetime | None:
        """Aware; None for never."""


@dataclass(frozen=True)
class Search:
    """What a search for a token came to. Without an id: `complete` says whether everything was read."""

    request_id: str | None
    complete: bool = True


@dataclass(frozen=True)
class CallbackUrl:
    """`of` the account or the API app; `url` is what is set there. `optional`: none at all is as good as ours."""

    of: str
    url: str | None
    optional: bool = False


@dataclass(frozen=True)
class AccountFacts:
    """Where callbacks go, and how many paid requests are left this month (None if the vendor does not say)."""

    callback_urls: tuple[CallbackUrl, ...]
    requests_left: int | None


@dataclass(frozen=True)
class DropboxSign:
    """The whole service. `client` and `sender` share `pace`; `client_id` names the API app, if one is used."""

    client: DropboxSignClient
    sender: ContractSender
    pace: Pace
    client_id: str | None = None
    lane: Lane = Lane.NORMAL
    reads_only: bool = False
    # Threads of its own, never waited for: a request leaves directly after its `before_send`.
    _threads: ThreadPoolExecutor = field(
        init=False, repr=False, compare=False, default_factory=lambda: ThreadPoolExecutor(64, "dropbox-sign")
    )

    name = "Dropbox Sign"
    vendor = "dropbox_sign"

    def in_lane(self, lane: Lane) -> "DropboxSign":
        """The same service (same connections and limits) whose calls wait in another lane."""
        return replace(self, client=self.client.in_lane(lane), lane=lane)

    def read_only(self) -> "DropboxSign":
        """The same service that only reads: a write raises WouldWriteError."""
        return replace(self, client=self.client.read_only(), reads_only=True)

    async def send(self, new: NewRequest, *, before_send: BeforeSend) -> Sent:
        """Send our own PDF for signature, once. Raises RejectedError also for what breaks a limit of the vendor."""
        request = self._checked(new)
        return await self._write(
            "send", lambda: self.sender.send(request), ("standard", "high"), before_send=before_send
        )

    def _checked(self, new: NewRequest) -> SendRequest:
        try:
            return SendRequest(
                title=new.title,
                subject=new.title,
                message=new.message,
                signers=tuple(Signer(one.name, one.email, one.order) for one in new.signers),
                pdf=new.pdf,
                filename=new.filename,
                metadata=new.metadata,
                test_mode=new.test_mode,
                expires_at=int(new.expires_at.timestamp()) if new.expires_at else None,
                allow_decline=True,
                use_text_tags=True,
                client_id=self.client_id,
            )
        except ValueError as problem:
            raise RejectedError(self.vendor, "send", detail=str(problem)) from None

    async def find(self, token: str, *, since: datetime, page: Retrying | None = None) -> Search:
        """The request with this token in its metadata: by search, then by paging back to `since`.

        The search index lags (vendor's search page), so both are asked; metadata decides, never the query. `page` runs
        each read of a page: the caller decides on retries.
        """
        earliest = since - timedelta(minutes=10)
        for query in (f"metadata:{token}", None):
            newest_first, before = True, None
            for number in range(1, _PAGES + 1):
                read = partial(self.client.list_requests, query=query, page=number)
                found = await (page(read) if page else read())
                for request in found.requests:
                    if request.metadata.get(TOKEN_FIELD) == token:
                        return Search(request.id)
                times = [t for t in (before, *(r.created_at for r in found.requests)) if t]
                newest_first = newest_first and times == sorted(times, reverse=True)
                before = times[-1] if times else None
                # Nobody official says that the list is newest first: stopping early needs to have seen that it is.
                if number >= found.pages or (newest_first and before is not None and before < earliest):
                    break
            else:
                return Search(None, complete=False)
        return Search(None)

    async def read(self, request_id: str) -> SignatureRequest:
        """The request as it stands. Raises NotFoundError, and GoneError once it was cancelled."""
        return await self.client.get_request(request_id)

    async def page(self, number: int) -> RequestPage:
        """A page of up to a hundred requests, sent and received; pages count from 1."""
        return await self.client.list_requests(page=number)

    async def download(self, request_id: str) -> bytes:
        """The PDF as it stands now. Raises TransientError while it is being prepared."""
        return await self.client.download_pdf(request_id)

    async def cancel(self, request_id: str, *, before_send: BeforeSend) -> None:
        """Ask to cancel an unfinished request: it is cancelled once `read` raises GoneError."""
        await self.client.cancel(request_id, before_send=before_send)

    async def remind(self, request_id: str, email: str, name: str | None, *, before_send: BeforeSend) -> None:
        """Mail a signer again. Raises RejectedError within an hour of the last reminder, or when it is closed."""
        await self.client.remind(request_id, email, name, before_send=before_send)

    async def account(self) -> AccountFacts:
        """The account behind the key, and the API app if one is used."""
        account = await self.client.account()
        urls = [CallbackUrl("account", account.callback_url)]
        if self.client_id:
            app = await self.client.api_app(self.client_id)
            urls.append(CallbackUrl("API app", app.callback_url, optional=True))
        return AccountFacts(tuple(urls), account.requests_left)

    async def set_callback_url(self, url: str, *, before_send: BeforeSend) -> None:
        """Set the account's callback URL (https only on the real service). Safe to repeat."""
        await self._write(
            "set_account_callback",
            lambda: self.sender.set_account_callback(url),
            ("standard",),
            before_send=before_send,
        )

    async def _write(
        self,
        operation: str,
        call: Callable[[], Result],
        buckets: tuple[str, ...],
        *,
        before_send: BeforeSend,
    ) -> Result:
        """One call of the vendor's SDK, which blocks, in a thread."""
        if self.reads_only:
            raise WouldWriteError(self.vendor, operation, about="signature requests", rows=1)
        await self.pace.wait(buckets, self.lane)
        await before_send()
        return await asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, call)
