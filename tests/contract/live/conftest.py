"""One suite, two places: the stand-ins always, real test accounts if keys are set. It removes what it creates.

Live runs need DEALFLOW_TEST_HUBSPOT_TOKEN (a test account's token with the scopes of connectors/hubspot/README.md)
and DEALFLOW_TEST_DROPBOX_SIGN_API_KEY; `pytest tests/contract/live -m live`. They write to those accounts, send one
e-mail to DEALFLOW_TEST_DROPBOX_SIGN_SIGNER (or the account's own address) and take some minutes.
"""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.places import ROOT

START = (
    "import asyncio; from connectors.sandbox.serve import SandboxOptions, serve; "
    "asyncio.run(serve(SandboxOptions()))"
)
TEST_ACCOUNTS = {"DEVELOPER_TEST", "SANDBOX", "APP_DEVELOPER"}
PLACES = ["sandbox", pytest.param("live", marks=pytest.mark.live)]


@dataclass
class Place:
    """An account, on the stand-in or at the vendor: calls, waiting, and a list of what must be removed."""

    api: httpx.Client
    live: bool
    pause_s: float = 0.0  # between live calls: the vendors count
    undo: list[Callable[[], object]] = field(default_factory=list)
    mark: str = field(default_factory=lambda: f"dfcontract{uuid.uuid4().hex[:12]}")

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One call; a live 429 waits and tries again, which is safe: it was not carried out."""
        for _ in range(6):
            if self.live:
                time.sleep(self.pause_s)
            answer = self.api.request(method, path, **more)
            if not (self.live and answer.status_code == 429):
                return answer
            time.sleep(11)
        return answer

    def ok(self, method: str, path: str, **more: Any) -> Any:
        """A call that must succeed; its JSON."""
        answer = self.call(method, path, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:400]}"
        return answer.json() if answer.content else None

    def until(self, found: Callable[[], Any], within_s: float = 90.0) -> Any:
        """The result of `found` once it is truthy. Time passes by itself at the vendor, by command in the stand-in."""
        for _ in range(int(within_s / 3)):
            result = found()
            if result:
                return result
            if self.live:
                time.sleep(3)
            else:
                self.api.post("/_sandbox/clock/advance", json={"seconds": 3}).raise_for_status()
        raise AssertionError(f"not within {within_s} s")

    def tidy(self) -> None:
        """Remove everything, last made first, despite errors."""
        while self.undo:
            try:
                self.undo.pop()()
            except (httpx.HTTPError, AssertionError) as problem:
                print(f"left behind in the test account: {type(problem).__name__}", file=sys.stderr)


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[dict[str, str]]:
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    with subprocess.Popen(
        [sys.executable, "-c", START], stdout=subprocess.PIPE, cwd=ROOT, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(20)


def _key(variable: str, what: str) -> str:
    found = os.environ.get(variable, "")
    if not found:
        pytest.skip(f"NOT RUN ON A REAL ACCOUNT: set {variable} to {what}")
    return found


@pytest.fixture(params=PLACES)
def hubspot(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A HubSpot account. A live one must be a test account: the suite writes."""
    live = request.param == "live"
    if live:
        token = _key("DEALFLOW_TEST_HUBSPOT_TOKEN", "a token of a HubSpot developer test account")
        base = "https://api.hubapi.com"
    else:
        token, base = "pat-sandbox", request.getfixturevalue("_sandbox")["hubspot"]
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=base, headers=headers, timeout=60, trust_env=live) as api:
        place = Place(api, live, pause_s=0.3)
        kind = place.ok("GET", "/account-info/2026-03/details")["accountType"]
        if live and kind not in TEST_ACCOUNTS:
            pytest.fail(
                f"DEALFLOW_TEST_HUBSPOT_TOKEN opens a {kind} account: this suite writes to test accounts only"
            )
        yield place
        place.tidy()


@pytest.fixture(params=PLACES)
def sign(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A Dropbox Sign account."""
    live = request.param == "live"
    if live:
        key = _key("DEALFLOW_TEST_DROPBOX_SIGN_API_KEY", "an API key of a Dropbox Sign test account")
        base = "https://api.hellosign.com"
    else:
        key, base = "sandbox-api-key", request.getfixturevalue("_sandbox")["dropbox_sign"]
    with httpx.Client(base_url=base, auth=(key, ""), timeout=90, trust_env=live) as api:
        place = Place(api, live, pause_s=6.5)  # ten calls a minute in test mode
        yield place
        place.tidy()
