"""Both stand-ins as a real process, and what tests do to them; read from the stand-ins' own records."""

import contextlib
import contextvars
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from flows.cli.app import run
from tests.places import ROOT

OWNER = "71530011"
SECRETS = {
    "DEALFLOW_HUBSPOT_TOKEN": "test-token",
    "DEALFLOW_HUBSPOT_CLIENT_SECRET": "sandbox-client-secret",
    "DEALFLOW_DROPBOX_SIGN_API_KEY": "sandbox-api-key",
    "DEALFLOW_LEADS_TOKEN": "test-leads-token",
    "DEALFLOW_OPS_PASSWORD": "test-ops-password",
}


@dataclass
class StandIns:
    """Addresses and controls of both stand-ins. `hub` and `sign` reach `/_sandbox` and the vendor API."""

    hubspot_url: str
    sign_url: str
    hub: httpx.Client
    sign: httpx.Client
    offset_s: float = 0.0

    def now(self) -> datetime:
        """The stand-ins' virtual time, which our services use too."""
        return datetime.fromtimestamp(time.time() + self.offset_s, UTC)

    def advance(self, seconds: float) -> None:
        """Move virtual time forward for the stand-ins and for us."""
        ok(self.hub.post("/_sandbox/clock/advance", json={"seconds": seconds}))
        self.offset_s = ok(self.hub.get("/_sandbox/clock"))["now_ms"] / 1000 - time.time()

    def fault(self, vendor: str, kind: str, path: str, **more: Any) -> None:
        """Plant a fault at `hub` or `sign`."""
        ok(self._of(vendor).post("/_sandbox/faults", json={"kind": kind, "path": path, **more}))

    def clear_faults(self) -> None:
        """Take all faults away."""
        for vendor in (self.hub, self.sign):
            ok(vendor.delete("/_sandbox/faults"))

    def calls(self, vendor: str, path: str, method: str = "") -> list[dict[str, Any]]:
        """What was asked of `hub` or `sign`, by part of the path."""
        found = ok(self._of(vendor).get("/_sandbox/requests", params={"path": path, "method": method}))
        rows: list[dict[str, Any]] = found["requests"]
        return rows

    def forget_calls(self) -> None:
        """Start counting calls at zero."""
        for vendor in (self.hub, self.sign):
            ok(vendor.delete("/_sandbox/requests"))

    def records(self, object_type: str) -> list[dict[str, Any]]:
        """All HubSpot records of a type as the stand-in holds them, archived ones too."""
        rows: list[dict[str, Any]] = ok(self.hub.get("/_sandbox/state", params={"type": object_type}))[
            "records"
        ]
        return rows

    def record(self, object_type: str, record_id: str) -> dict[str, Any]:
        """One of them."""
        return next(r for r in self.records(object_type) if r["id"] == record_id)

    def files(self) -> list[dict[str, Any]]:
        """All files in HubSpot."""
        rows: list[dict[str, Any]] = ok(self.hub.get("/_sandbox/state", params={"type": "files"}))["files"]
        return rows

    def requests(self, deal_id: str | None = None) -> list[dict[str, Any]]:
        """Signature requests at Dropbox Sign, of one deal or all."""
        rows: list[dict[str, Any]] = ok(self.sign.get("/_sandbox/state"))["requests"]
        return [r for r in rows if deal_id is None or str(r["metadata"].get("deal_id")) == deal_id]

    def rep(self, object_type: str, **what: Any) -> dict[str, Any]:
        """A person changes something in HubSpot."""
        done: dict[str, Any] = ok(self.hub.post("/_sandbox/rep", json={"object_type": object_type, **what}))
        return done

    def seed(self, *records: Mapping[str, Any]) -> list[str]:
        """Records that are simply there, without webhooks. Returns their ids."""
        ids: list[str] = ok(self.hub.post("/_sandbox/seed", json={"records": list(records)}))["ids"]
        return ids

    def sign_act(self, request_id: str, email: str, does: str, **more: Any) -> dict[str, Any]:
        """A signer acts."""
        body = {"email": email, "does": does, **more}
        done: dict[str, Any] = ok(self.sign.post(f"/_sandbox/requests/{request_id}/act", json=body))
        return done

    def snapshot(self, name: str) -> None:
        """Keep both as they are."""
        for vendor in (self.hub, self.sign):
            ok(vendor.post("/_sandbox/snapshot", json={"name": name}))

    def restore(self, name: str) -> None:
        """Both as they were, time too."""
        for vendor in (self.hub, self.sign):
            now_ms = ok(vendor.post("/_sandbox/restore", json={"name": name}))["now_ms"]
        self.offset_s = now_ms / 1000 - time.time()

    def _of(self, vendor: str) -> httpx.Client:
        return {"hub": self.hub, "sign": self.sign}[vendor]


def ok(answer: httpx.Response) -> Any:
    """The answer's JSON; a refusal by a stand-in's control is a mistake of the test."""
    assert answer.is_success, f"{answer.request.url}: {answer.status_code} {answer.text}"
    return answer.json()


def clean_environment(**values: str) -> dict[str, str]:
    """The environment without settings of ours or of a proxy, plus these."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("DEALFLOW_", "PREFECT_")) and "proxy" not in k.lower()
    }
    return {**kept, **values}


def dealflow(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a dealflow command to its end, as `python -m flows` does, but in a thread of this process: an interpreter
    of its own costs two to three seconds of CPU.
    """
    out, err = io.StringIO(), io.StringIO()
    codes: list[int] = []

    def command() -> None:
        try:
            codes.append(run(list(arguments)))
        except SystemExit as left:
            codes.append(left.code if isinstance(left.code, int) else 1)

    before, wanted = dict(os.environ), clean_environment(**environment)
    try:
        os.environ.clear()
        os.environ.update(wanted)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(ROOT):
            # Where no event loop runs yet, with the caller's context (Prefect's settings are in it).
            thread = threading.Thread(target=contextvars.copy_context().run, args=(command,))
            thread.start()
            thread.join()
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert codes, f"{arguments} raised: its traceback is in the captured output"
    return subprocess.CompletedProcess(arguments, codes[0], out.getvalue(), err.getvalue())


@contextlib.contextmanager
def running_stand_ins() -> Iterator[StandIns]:
    """The sandbox as `dealflow sandbox` starts it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows", "sandbox"],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, "the sandbox did not start"
        urls = json.loads(line)
        with (
            httpx.Client(base_url=urls["hubspot"], timeout=30, trust_env=False) as hub,
            httpx.Client(base_url=urls["dropbox_sign"], timeout=30, trust_env=False) as sign,
        ):
            yield StandIns(urls["hubspot"], urls["dropbox_sign"], hub, sign)
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()
