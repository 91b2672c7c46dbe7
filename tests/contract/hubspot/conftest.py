"""The sandbox in a process of its own, as `dealflow sandbox` runs it, and the official client on a socket."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hubspot import HubSpot

ROOT = Path(__file__).resolve().parents[3]
START = (
    "import asyncio; from connectors.sandbox.serve import SandboxOptions, serve; "
    "asyncio.run(serve(SandboxOptions()))"
)


@pytest.fixture(scope="session")
def hubspot_url() -> Iterator[str]:
    """Address of a running HubSpot stand-in."""
    process = subprocess.Popen(
        [sys.executable, "-c", START], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        ready = selectors.DefaultSelector()
        ready.register(process.stdout, selectors.EVENT_READ)
        assert ready.select(60), "the sandbox did not start"
        yield json.loads(process.stdout.readline())["hubspot"]
    finally:
        process.terminate()
        process.wait(15)


@pytest.fixture
def plain(hubspot_url: str) -> Iterator[httpx.Client]:
    """Plain HTTP to a fresh account without limits in the way."""
    headers = {"Authorization": "Bearer pat-sandbox"}
    with httpx.Client(base_url=hubspot_url, headers=headers, trust_env=False, timeout=20) as client:
        client.post("/_sandbox/reset", json={"seed": 3})
        client.put("/_sandbox/limits", json={"burst": 10_000, "search_per_s": 10_000})
        yield client


@pytest.fixture
def official(plain: httpx.Client, hubspot_url: str) -> HubSpot:
    """hubspot-api-client, unmodified, pointed at the stand-in."""
    return HubSpot(access_token="pat-sandbox", host=hubspot_url)


@pytest.fixture(scope="session")
def endpoint_table() -> list[dict[str, str]]:
    """The vendor's endpoint table; a loud skip where it is not at hand."""
    shared = Path(os.environ.get("DEALFLOW_SHARED", ROOT.parent / "shared"))
    path = shared / "facts" / "hubspot-endpoints.tsv"
    if not path.is_file():
        pytest.skip(
            "ENDPOINT TABLE NOT FOUND: set DEALFLOW_SHARED to compare the stand-in with HubSpot's paths"
        )
    lines = path.read_text("utf-8").splitlines()
    names = lines[0].split("\t")
    return [dict(zip(names, line.split("\t"), strict=False)) for line in lines[1:]]
