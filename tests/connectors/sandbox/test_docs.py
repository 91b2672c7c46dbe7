"""The control API's description: complete, as JSON and as a page, and self-contained."""

import re

import httpx
import pytest

from connectors.sandbox import dropbox_sign_server, hubspot_server
from connectors.sandbox.clock import Clock

SHARED = {
    ("GET", "/_sandbox/health"),
    ("GET", "/_sandbox/requests"),
    ("DELETE", "/_sandbox/requests"),
    ("GET", "/_sandbox/faults"),
    ("POST", "/_sandbox/faults"),
    ("DELETE", "/_sandbox/faults"),
    ("GET", "/_sandbox/deliveries"),
    ("POST", "/_sandbox/deliveries/{delivery_id}/redeliver"),
    ("PUT", "/_sandbox/deliveries/mischief"),
    ("GET", "/_sandbox/clock"),
    ("POST", "/_sandbox/clock/advance"),
    ("POST", "/_sandbox/reset"),
    ("POST", "/_sandbox/snapshot"),
    ("POST", "/_sandbox/restore"),
    ("GET", "/_sandbox/state"),
    ("PUT", "/_sandbox/limits"),
}
OWN = {
    "hubspot": {
        ("PUT", "/_sandbox/webhooks"),
        ("PUT", "/_sandbox/portal-rules"),
        ("POST", "/_sandbox/rep"),
        ("POST", "/_sandbox/seed"),
    },
    "dropbox_sign": {
        ("GET", "/_sandbox/limits"),
        ("GET", "/_sandbox/robots"),
        ("PUT", "/_sandbox/robots"),
        ("POST", "/_sandbox/requests/{request_id}/act"),
        ("PUT", "/_sandbox/callback"),
        ("POST", "/_sandbox/events"),
    },
}


def stand_in(vendor):
    if vendor == "hubspot":
        return hubspot_server.build(Clock(), seed=1, webhook_url=None, client_secret="s").asgi
    return dropbox_sign_server.build(Clock(), seed=1, callback_url=None, api_key="k").asgi


@pytest.fixture(params=["hubspot", "dropbox_sign"])
def vendor(request):
    return request.param


@pytest.fixture
async def browser(vendor):
    """Somebody without a key."""
    transport = httpx.ASGITransport(stand_in(vendor))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


async def test_every_control_is_described_and_nothing_else(vendor, browser):
    """openapi.json lists the controls of this stand-in, none of the vendor's own calls, and all models it names."""
    spec = (await browser.get("/_sandbox/openapi.json")).json()
    calls = {(method.upper(), path) for path, item in spec["paths"].items() for method in item}
    assert calls == SHARED | OWN[vendor]
    named = set(re.findall(r"#/components/schemas/(\w+)", str(spec)))
    assert named == set(spec["components"]["schemas"])
    assert all(item[method].get("description") for item in spec["paths"].values() for method in item)


async def test_the_page_works_offline(vendor, browser):
    """It names every control and its fields, needs no key, fetches nothing and runs nothing."""
    answer = await browser.get("/_sandbox/docs")
    assert answer.status_code == 200
    for _, path in SHARED | OWN[vendor]:
        assert f"<code>{path}</code>" in answer.text
    assert "<code>probability</code>" in answer.text
    assert "<script" not in answer.text
    assert re.findall(r"(?:src|href)=\"(?!/)[^\"]+\"|@import|url\(", answer.text) == []
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
