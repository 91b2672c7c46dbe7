"""Clients that may only read: every call that could change something is refused before anything is sent."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from connectors.dropbox_sign.client import DropboxSignClient
from connectors.http.errors import WouldWriteError
from connectors.hubspot.client import HubSpotClient


def _http(asked: list[str]) -> httpx.AsyncClient:
    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, json={"results": [], "total": 0})

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


WRITES: list[tuple[Callable[[Any], Awaitable[Any]], str, int]] = [
    (lambda c: c.batch_upsert("companies", "k", {"a": {}, "b": {}}), "companies", 2),
    (lambda c: c.batch_update("contacts", {"1": {"phone": "1"}}), "contacts", 1),
    (lambda c: c.associate_default("deals", "contacts", [("1", "2"), ("1", "3")]), "deals to contacts", 2),
    (lambda c: c.associate("deals", "1", "contacts", "2", [("HUBSPOT_DEFINED", 3)]), "deals", 1),
    (lambda c: c.create("deals", {"dealname": "x"}), "deals", 1),
    (lambda c: c.update("deals", "1", {"amount": "1"}), "deals", 1),
    (lambda c: c.archive("deals", "1"), "deals", 1),
    (lambda c: c.create_note("x", timestamp_ms=1), "notes", 1),
    (lambda c: c.create_task("x", due_ms=1), "tasks", 1),
    (lambda c: c.upload_file("a.pdf", b"x", folder_path="/f", content_type="application/pdf"), "files", 1),
]


@pytest.mark.parametrize(("write", "about", "rows"), WRITES)
async def test_hubspot_refuses_and_names_it(write: Any, about: str, rows: int) -> None:
    """The error says what kind of object and how many; nothing leaves."""
    asked: list[str] = []
    client = HubSpotClient("t", http=_http(asked)).read_only()

    with pytest.raises(WouldWriteError) as refused:
        await write(client)

    assert (refused.value.vendor, refused.value.about, refused.value.rows) == ("hubspot", about, rows)
    assert about in str(refused.value) and asked == []


async def test_hubspot_still_reads() -> None:
    """Reads go through, also those that are POSTs; the client it was made from still writes."""
    asked: list[str] = []
    client = HubSpotClient("t", http=_http(asked))

    await client.read_only().read_batch("deals", ["1"], properties=["amount"])
    await client.read_only().search("deals", filters=[], properties=["amount"])
    await client.associate_default("deals", "contacts", [("1", "2")])

    assert len(asked) == 3


@pytest.mark.parametrize(
    "write",
    [
        lambda c: c.cancel("r"),
        lambda c: c.remind("r", "a@b.example"),
        lambda c: c.update("r", "s", email="e"),
    ],
)
async def test_dropbox_sign_refuses(write: Any) -> None:
    """Cancelling, reminding, changing a signer."""
    asked: list[str] = []

    with pytest.raises(WouldWriteError):
        await write(DropboxSignClient("k", http=_http(asked)).read_only())

    assert asked == []
