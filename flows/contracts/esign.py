"""What the product asks of a service for e-signature: the protocol that a vendor's connector satisfies.

A leaf: `services` builds the one implementation, and no other room names the vendor. Each call is one attempt, waits
for its place under the vendor's limits inside the connector, and raises a `connectors.http.errors.ConnectorError`.
Every write awaits `before_send` after that wait and directly before the request leaves: what it raises stops the write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from connectors.http.exchange import BeforeSend, Retrying
from connectors.http.pacing import Lane
from flows.rules.signing import Signer


async def nothing_to_check() -> None:
    """A `before_send` for a write that nothing can make unwanted while it waits."""


@dataclass(frozen=True)
class NewRequest:
    """A contract to send. Mail and page show the title; the metadata carries our token. `expires_at` is aware."""

    title: str
    message: str
    signers: tuple[Signer, ...] = field(repr=False)
    pdf: bytes = field(repr=False)
    filename: str
    metadata: Mapping[str, str]
    test_mode: bool
    expires_at: datetime | None


class SignerState(Protocol):
    """One signer of a request."""

    @property
    def id(self) -> str:
        """The vendor's id of this signature."""

    @property
    def email(self) -> str | None:
        """The address that is asked to sign."""

    @property
    def name(self) -> str | None:
        """The name shown in the request."""

    @property
    def order(self) -> int | None:
        """Counts from 0; None when everyone is asked at once."""

    @property
    def status_code(self) -> str | None:
        """An open set; we know awaiting_signature, signed, declined, expired."""

    @property
    def last_reminded_at(self) -> datetime | None:
        """Aware UTC."""

    @property
    def decline_reason(self) -> str | None:
        """In the signer's own words."""

    @property
    def error(self) -> str | None:
        """Why the signer cannot be reached."""


class SignatureRequest(Protocol):
    """A signature request as it stands, by flags: there is no single status."""

    @property
    def id(self) -> str:
        """The vendor's id of the request."""

    @property
    def is_complete(self) -> bool:
        """All have signed."""

    @property
    def is_declined(self) -> bool:
        """Somebody has declined."""

    @property
    def has_error(self) -> bool:
        """The vendor cannot use the document or an address."""

    @property
    def test_mode(self) -> bool:
        """Not binding."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What was sent with it: our token, deal id, revision."""

    @property
    def created_at(self) -> datetime | None:
        """Aware UTC."""

    @property
    def signatures(self) -> Sequence[SignerState]:
        """One a signer."""


class RequestPage(Protocol):
    """One page of the list of all requests."""

    @property
    def requests(self) -> Sequence[SignatureRequest]:
        """Up to a hundred."""

    @property
    def pages(self) -> int:
        """How many pages there are."""


class Sent(Protocol):
    """The vendor took the request."""

    @property
    def signature_request_id(self) -> str:
        """The vendor's id of the new request."""

    @property
    def on_hold(self) -> bool:
        """Nobody is asked to sign before our own address is confirmed at the vendor."""


class Search(Protocol):
    """What a search for a token came to."""

    @property
    def request_id(self) -> str | None:
        """The request with this token, if it was seen."""

    @property
    def complete(self) -> bool:
        """Whether everything was read; False: it may exist all the same."""


class CallbackUrl(Protocol):
    """One place at the vendor that holds a callback address."""

    @property
    def of(self) -> str:
        """Whose address it is, in words for people."""

    @property
    def url(self) -> str | None:
        """What is set there."""

    @property
    def optional(self) -> bool:
        """Whether no address at all is as good as ours."""


class AccountFacts(Protocol):
    """The account behind the key."""

    @property
    def callback_urls(self) -> Sequence[CallbackUrl]:
        """The account's own first."""

    @property
    def requests_left(self) -> int | None:
        """Paid requests left this month, None when the vendor does not say."""


class ESign(Protocol):
    """A vendor of e-signatures."""

    @property
    def name(self) -> str:
        """The vendor's name for people."""

    @property
    def vendor(self) -> str:
        """The vendor's name in errors and metrics, stored: never change it."""

    def in_lane(self, lane: Lane) -> "ESign":
        """The same service whose calls wait in another lane."""

    def read_only(self) -> "ESign":
        """The same service that only reads: a write raises WouldWriteError."""

    async def send(self, new: NewRequest, *, before_send: BeforeSend) -> Sent:
        """Send once. An error with `applied` "maybe" leaves it open whether the request exists."""

    async def find(self, token: str, *, since: datetime, page: Retrying | None = None) -> Search:
        """The request with this token, sent at `since` or later. `page` runs each read of a page, e.g. with retries."""

    async def read(self, request_id: str) -> SignatureRequest:
        """Raises NotFoundError for an unknown request, GoneError for a cancelled one."""

    async def page(self, number: int) -> RequestPage:
        """A page of the list of all requests, from 1."""

    async def download(self, request_id: str) -> bytes:
        """The PDF as it stands. Raises TransientError while it is being prepared."""

    async def cancel(self, request_id: str, *, before_send: BeforeSend) -> None:
        """Ask to cancel an unfinished request: it is cancelled once `read` raises GoneError."""

    async def remind(self, request_id: str, email: str, name: str | None, *, before_send: BeforeSend) -> None:
        """Mail a signer again. Raises RejectedError when the vendor does not remind now."""

    async def account(self) -> AccountFacts:
        """Callback addresses and what is left of the plan."""

    async def set_callback_url(self, url: str, *, before_send: BeforeSend) -> None:
        """Set the account's callback address. Safe to repeat."""


class Callback(Protocol):
    """A callback that was read. It is a hint with a pointer: read the request back before acting on it."""

    @property
    def key(self) -> str:
        """The same text for every repeat of one callback."""

    @property
    def event_type(self) -> str:
        """The vendor's word for what happened."""

    @property
    def occurred_at(self) -> datetime | None:
        """Aware UTC."""

    @property
    def request_id(self) -> str | None:
        """Which request it points to, unproven."""

    @property
    def related_signature_id(self) -> str | None:
        """Which signer it points to, unproven."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """What was sent with the request, unproven."""

    @property
    def is_test(self) -> bool:
        """The vendor's own test of the address."""

    @property
    def is_about_request(self) -> bool:
        """By its type it is about a signature request."""


class Callbacks(Protocol):
    """Reads and verifies a vendor's callbacks: bytes in, no network."""

    @property
    def vendor(self) -> str:
        """The inbox source of its events, stored: never change it."""

    @property
    def answer(self) -> str:
        """The text that the vendor counts as received, with status 200."""

    @property
    def form_field(self) -> str:
        """The form field that carries the payload, unless the body is JSON as a whole."""

    def verify(self, payload: str, headers: Mapping[str, str]) -> Callback:
        """Prove and read. Raises ForgedEventError, or MalformedEventError when it is the vendor's but unreadable."""

    def parse(self, payload: str) -> Callback:
        """Read what was proven when it came in. Raises MalformedEventError."""
