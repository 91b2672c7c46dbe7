"""The whole service: paced inside, each call made once, and every write checked directly before it leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.dropbox_sign.client import DropboxSignClient
from connectors.dropbox_sign.sender import ContractSender
from connectors.dropbox_sign.service import DropboxSign
from connectors.http.errors import RejectedError, TransientError, WouldWriteError
from connectors.http.pacing import Lane, dropbox_sign_pace

KEY = "k3y"
SINCE = datetime(2026, 11, 28, 12, tzinfo=UTC)
TAKEN = {"signature_request": {"signature_request_id": "req-1"}, "account": {"account_id": "a"}}
Write = Callable[[DropboxSign, Callable[[], Awaitable[None]]], Awaitable[Any]]


@dataclass(frozen=True)
class Person:
    name: str
    email: str
    order: int | None


@dataclass(frozen=True)
class Contract:
    """What a caller hands over: any object with these fields will do."""

    title: str = "Contract Nord"
    message: str = "Dear all"
    signers: tuple[Person, ...] = (Person("Anna Ahlers", "anna@example.com", 0),)
    pdf: bytes = b"%PDF-1.7 x"
    filename: str = "contract-9-1.pdf"
    metadata: Any = None
    test_mode: bool = True
    expires_at: datetime | None = SINCE


CONTRACT = Contract(metadata={"dealflow_token": "0f" * 16})
WRITES: dict[str, Write] = {
    "send": lambda s, before: s.send(CONTRACT, before_send=before),
    "cancel": lambda s, before: s.cancel("req-1", before_send=before),
    "remind": lambda s, before: s.remind("req-1", "anna@example.com", None, before_send=before),
    "set_callback_url": lambda s, before: s.set_callback_url("https://x.example/h", before_send=before),
}


def service(url: str, standard: int = 100) -> DropboxSign:
    pace = dropbox_sign_pace(standard=standard, high=standard, per_s=0.4)
    return DropboxSign(
        DropboxSignClient(KEY, base_url=f"{url}/v3", pace=pace),
        ContractSender(KEY, f"{url}/v3", timeout_s=(0.5, 2.0)),
        pace,
    )


@pytest.mark.parametrize("name", WRITES)
async def test_each_write_is_checked_after_pacing_and_before_it_leaves(vendor: Any, name: str) -> None:
    """`before_send` runs once the call has its place under the limits, when nothing has left yet."""
    vendor.reply(200, TAKEN)
    one = service(vendor.url, standard=1)
    await one.pace.wait(("standard", "high"))  # the next call has to wait
    began, seen = asyncio.get_running_loop().time(), []

    async def before_send() -> None:
        seen.append((asyncio.get_running_loop().time() - began, len(vendor.heard)))

    await WRITES[name](one, before_send)

    ((waited_s, heard),) = seen
    assert waited_s > 0.3 and heard == 0
    assert len(vendor.heard) == 1


@pytest.mark.parametrize("name", WRITES)
async def test_what_the_check_raises_stops_the_write(vendor: Any, name: str) -> None:
    """The caller gets its own error back, and not a byte has left."""

    class Withdrawn(RejectedError):
        pass

    async def before_send() -> None:
        raise Withdrawn("dropbox_sign", name, detail="not wanted any more")

    with pytest.raises(Withdrawn, match="not wanted any more"):
        await WRITES[name](service(vendor.url), before_send)
    assert vendor.heard == [] and vendor.connections == 0


@pytest.mark.parametrize("name", WRITES)
async def test_nothing_is_repeated_here(vendor: Any, name: str) -> None:
    """A write whose answer is lost is one request: whether it is repeated is the caller's decision."""
    vendor.acts[0].how = "drop"

    async def before_send() -> None:
        pass

    with pytest.raises(TransientError) as caught:
        await WRITES[name](service(vendor.url), before_send)
    assert (caught.value.applied, len(vendor.heard)) == ("maybe", 1)


@pytest.mark.parametrize("name", WRITES)
async def test_read_only_refuses_each_write(vendor: Any, name: str) -> None:
    """Neither the check nor the vendor is asked; other lanes of it refuse as well."""
    asked: list[str] = []

    async def before_send() -> None:
        asked.append(name)

    for one in (service(vendor.url).read_only(), service(vendor.url).read_only().in_lane(Lane.BULK)):
        with pytest.raises(WouldWriteError, match="of signature requests"):
            await WRITES[name](one, before_send)
    assert asked == [] and vendor.heard == []


async def test_a_read_only_service_reads(vendor: Any) -> None:
    """Reads go through, in any lane."""
    vendor.reply(200, TAKEN)
    assert (await service(vendor.url).read_only().in_lane(Lane.BULK).read("req-1")).id == "req-1"


@pytest.mark.parametrize(
    ("change", "why"),
    [({"signers": ()}, "needs a signer"), ({"pdf": b"<html>"}, "no PDF"), ({"title": "x" * 256}, "255")],
)
async def test_what_breaks_a_limit_is_refused_before_it_leaves(vendor: Any, change: Any, why: str) -> None:
    """A refusal like the vendor's own, so that it is a matter for a person and not for a retry."""
    contract = Contract(**{**CONTRACT.__dict__, **change})

    async def before_send() -> None:
        raise AssertionError("nothing is about to leave")

    with pytest.raises(RejectedError, match=why) as caught:
        await service(vendor.url).send(contract, before_send=before_send)
    assert caught.value.applied == "no" and vendor.heard == []


def _page(*rows: tuple[str, str, int], pages: int = 1) -> dict[str, Any]:
    """A list page: (id, token, minutes after `SINCE`)."""
    return {
        "list_info": {"page": 1, "num_pages": pages, "num_results": 1},
        "signature_requests": [
            {
                "signature_request_id": request_id,
                "metadata": {"dealflow_token": token},
                "created_at": int((SINCE + timedelta(minutes=minutes)).timestamp()),
            }
            for request_id, token, minutes in rows
        ],
    }


async def _found(vendor: Any, *pages: dict[str, Any]) -> tuple[str | None, bool, int]:
    acts = []
    for page in pages:
        vendor.reply(200, page)
        acts += vendor.acts
    vendor.play(*acts)
    search = await service(vendor.url).find("aa", since=SINCE)
    return search.request_id, search.complete, len(vendor.heard)


async def test_find(vendor: Any) -> None:
    """By search first, then on the list: our token decides, never the query."""
    assert await _found(vendor, _page(("other", "bb", 1), ("ours", "aa", 1))) == ("ours", True, 1)
    assert "query=metadata%3Aaa" in vendor.heard[0].path


@pytest.mark.parametrize(
    ("pages", "found"),
    [
        ([_page(), _page(("ours", "aa", 1))], ("ours", True, 2)),  # the search index lags
        ([_page(), _page(("x", "bb", 5), pages=3), _page(("ours", "aa", 1), pages=3)], ("ours", True, 3)),
        # Newest first and older than the sending: it cannot be further back.
        ([_page(), _page(("x", "bb", 5), ("y", "bb", -11), pages=3)], (None, True, 2)),
        # Not in order: all pages are read.
        ([_page(), _page(("y", "bb", -11), ("x", "bb", 5), pages=2), _page(pages=2)], (None, True, 3)),
        ([_page(), _page(("x", "bb", 5), pages=99)], (None, False, 21)),  # more than can be looked through
    ],
)
async def test_find_on_the_list(vendor: Any, pages: Any, found: Any) -> None:
    """Paging back to the moment of sending, and saying when that was not the whole list."""
    assert await _found(vendor, *pages) == found


@pytest.mark.parametrize("client_id", [None, "app-1"])
async def test_account_facts(vendor: Any, client_id: str | None) -> None:
    """The account's callback URL, the app's if one is used, and what is left of the plan."""
    account = {"account_id": "a", "callback_url": "https://x.example/h"}
    app = {"client_id": "app-1", "callback_url": ""}
    vendor.reply(200, {"account": {**account, "quotas": {"api_signature_requests_left": 3}}, "api_app": app})
    one = service(vendor.url)
    one = DropboxSign(one.client, one.sender, one.pace, client_id=client_id)

    facts = await one.account()

    assert facts.requests_left == 3
    shown = [(url.of, url.url, url.optional) for url in facts.callback_urls]
    assert shown == [("account", "https://x.example/h", False)] + [("API app", None, True)] * bool(client_id)
