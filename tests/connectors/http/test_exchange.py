import asyncio
import time
from typing import Any

import pytest

from connectors.http.errors import ConnectorError, RateLimitedError, TransientError, UnreadableAnswerError
from connectors.http.exchange import Answer, CallRecord, ErrorDetail, Exchange, Timeouts, Vendor
from connectors.http.pacing import Bucket, Pace

VENDOR = Vendor("acme", {429: RateLimitedError}, lambda body: ErrorDetail())
FAST = Timeouts(connect_s=0.5, read_s=0.4, write_s=0.4, pool_s=0.3, total_s=1.0)


def _exchange(base_url: str, **more: Any) -> Exchange:
    return Exchange(VENDOR, base_url=base_url, authorization="Bearer s3cr3t", timeouts=FAST, **more)


async def _fails(exchange: Exchange, *, write: bool) -> ConnectorError:
    try:
        with pytest.raises(ConnectorError) as caught:
            await exchange.call("op", "POST", "/x", write=write, json_body={"email": "a@example.com"})
        return caught.value
    finally:
        await exchange.close()


@pytest.mark.parametrize("how", ["drop", "hang", "truncate", "drip"])
@pytest.mark.parametrize(("write", "applied"), [(True, "maybe"), (False, "no")])
async def test_lost_answers_are_transient_and_doubtful_for_writes(
    vendor: Any, how: str, write: bool, applied: str
) -> None:
    """A connection that breaks or stalls after the request left may have taken effect; a read never has."""
    vendor.reply(200, b'{"results": []}' * 4)
    vendor.acts[0].how = how
    error = await _fails(_exchange(vendor.url), write=write)
    assert type(error) is TransientError
    assert error.applied == applied
    assert len(vendor.heard) == 1


async def test_refused_connection_was_never_sent(closed_port: str) -> None:
    """Nobody listening means nothing was done, also for a write."""
    error = await _fails(_exchange(closed_port), write=True)
    assert type(error) is TransientError
    assert (error.applied, error.status) == ("no", None)


async def test_unknown_host_was_never_sent() -> None:
    """A name that does not resolve means nothing was done."""
    error = await _fails(_exchange("http://nobody.invalid"), write=True)
    assert (type(error), error.applied) == (TransientError, "no")


async def test_tls_failure_was_never_sent(vendor: Any) -> None:
    """A failed TLS handshake means nothing was done: here the other side does not speak TLS at all."""
    vendor.play(type(vendor.acts[0])("drop"))
    error = await _fails(_exchange(vendor.url.replace("http:", "https:")), write=True)
    assert (type(error), error.applied) == (TransientError, "no")


async def test_full_pool_was_never_sent(vendor: Any) -> None:
    """A call that finds no free connection in time was never sent."""
    import httpx

    vendor.acts[0].how = "hang"
    limits = httpx.Limits(max_connections=1)
    async with httpx.AsyncClient(limits=limits, timeout=httpx.Timeout(5, pool=0.2)) as http:
        exchange = _exchange(vendor.url, http=http)
        first = asyncio.create_task(exchange.call("op", "POST", "/x", write=True))
        await asyncio.sleep(0.1)
        error = await _fails(exchange, write=True)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert (type(error), error.applied) == (TransientError, "no")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(vendor: Any, status: int) -> None:
    """A redirect never makes a second request (it would carry the key and the body elsewhere)."""
    vendor.reply(status, {}, Location=vendor.url + "/elsewhere")
    error = await _fails(_exchange(vendor.url), write=True)
    assert type(error) is UnreadableAnswerError
    assert error.applied == "maybe"
    assert len(vendor.heard) == 1


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (429, {"Retry-After": "7"}, 7.0),
        (429, {"retry-after": "0.5"}, 0.5),
        (429, {"X-Ratelimit-Reset": "1600"}, 600.0),
        (429, {"X-Ratelimit-Reset": "900"}, 0.0),
        (429, {"Retry-After": "3", "X-Ratelimit-Reset": "1600"}, 3.0),
        (429, {"Retry-After": "99999999999"}, 86_400.0),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        (429, {"Retry-After": "nan"}, None),
        (429, {"Retry-After": "-5"}, None),
        (503, {"X-Ratelimit-Reset": "1600"}, None),
        (503, {"Retry-After": "30"}, 30.0),
        (429, {}, None),
    ],
)
def test_waiting_time(status: int, headers: dict[str, str], expected: float | None) -> None:
    """The wait is the vendor's, with a limit, or None; invalid values count as none."""
    error = VENDOR.error("op", status, headers, b"", write=False, now_s=1000.0)
    assert error.retry_after_s == expected


async def test_body_never_decides(vendor: Any) -> None:
    """HTML, half a JSON text and bytes that are not text give the same class as a clean error body."""
    seen = set()
    for body in (b"<html>Bad Gateway</html>", b'{"error": {', b"\xff\xfe\x00", b"", b"[" * 100_000):
        vendor.reply(502, body)
        error = await _fails(_exchange(vendor.url), write=True)
        seen.add((type(error), error.status, error.applied))
    assert seen == {(TransientError, 502, "maybe")}


async def test_error_text_holds_neither_key_nor_body(vendor: Any) -> None:
    """The key, the request and the answer stay out of the error, its context included."""
    vendor.reply(400, {"message": "a@example.com is taken", "category": "X"})
    error = await _fails(_exchange(vendor.url), write=True)
    assert "example.com" not in f"{error!s}{error!r}{error.__cause__!r}"
    assert "s3cr3t" not in f"{error!s}{error!r}{error.__dict__}"


async def test_every_call_is_counted_once(vendor: Any) -> None:
    """Metrics get vendor, call, status, time and outcome of each call, failed ones too."""
    records: list[CallRecord] = []
    exchange = _exchange(vendor.url, on_call=records.append)
    await exchange.call("fine", "GET", "/x", write=False)
    vendor.reply(404)
    with pytest.raises(ConnectorError):
        await exchange.call("lost", "GET", "/x", write=False)
    vendor.acts[0].how = "drop"
    with pytest.raises(ConnectorError):
        await exchange.call("gone", "GET", "/x", write=False)
    await exchange.close()
    seen = [(one.vendor, one.operation, one.status, one.outcome) for one in records]
    assert seen == [
        ("acme", "fine", 200, "ok"),
        ("acme", "lost", 404, "RejectedError"),
        ("acme", "gone", None, "TransientError"),
    ]
    assert all(0 < one.duration_s < 5 for one in records)


async def test_a_429_closes_the_bucket(vendor: Any) -> None:
    """After a 429 the next call waits the named time before it is sent."""
    vendor.play(type(vendor.acts[0])("reply", 429, b"{}", {"Retry-After": "0.3"}), type(vendor.acts[0])())
    exchange = _exchange(vendor.url, pace=Pace({"all": Bucket(10, 1.0)}))
    with pytest.raises(RateLimitedError):
        await exchange.call("op", "GET", "/x", write=False, buckets=("all",))
    started = time.monotonic()
    await exchange.call("op", "GET", "/x", write=False, buckets=("all",))
    assert time.monotonic() - started >= 0.29
    await exchange.close()


async def test_a_signed_address_gets_no_key(vendor: Any) -> None:
    """Fetching an address the vendor handed out does not carry our key there."""
    vendor.reply(200, b"%PDF")
    exchange = _exchange(vendor.url)
    answer = await exchange.fetch("file", vendor.url + "/signed?x=1")
    await exchange.close()
    assert answer.body == b"%PDF"
    assert "authorization" not in vendor.heard[0].headers


async def test_only_web_addresses_are_fetched() -> None:
    """A file address that is not http or https is refused unopened."""
    exchange = _exchange("http://127.0.0.1:9")
    with pytest.raises(UnreadableAnswerError):
        await exchange.fetch("file", "file:///etc/passwd")
    await exchange.close()


async def test_environment_proxy_is_ignored(vendor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy set in the environment does not get our calls."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    exchange = _exchange(vendor.url)
    assert (await exchange.call("op", "GET", "/x", write=False)).status == 200
    await exchange.close()


@pytest.mark.parametrize(("write", "applied"), [(True, "maybe"), (False, "no")])
def test_a_good_status_with_a_bad_body(write: bool, applied: str) -> None:
    """A 200 that is not JSON is an UnreadableAnswerError, and for a write it may have taken effect."""
    answer = Answer("acme", "op", 200, {}, b"<html>", write)
    with pytest.raises(UnreadableAnswerError) as caught:
        answer.json()
    assert caught.value.applied == applied
