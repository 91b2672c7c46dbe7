"""Real processes: sandbox, Prefect server, gateway and worker, each killable; judged by the sandbox's records."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.settings import Settings
from connectors.hubspot.portal import Portal
from flows.operations.launch import HOST, Part, Parts, free_port, prefect_environment
from flows.provision.plan import plan
from flows.services import load_process
from tests.warm import WarmParts, warm_up

LEADS_TOKEN = "test-leads-token"
LEAD = {
    "first_name": "Ada",
    "last_name": "Byron",
    "email": "ada@engines.example",
    "company": "Analytical Engines Ltd",
    "budget": "24000",
    "message": "Contracts are copied by hand.",
}


class PrefectServer:
    """One server for the whole session; it can be stopped and started again on its port and database."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("DEALFLOW_", "PREFECT_"))},
            **prefect_environment(home, self.port),
        }
        self.parts = Parts(home / "logs", self.environment)

    def start(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        part = self.parts.start("prefect-server", [sys.executable, "-m", "prefect", "server", "start"])
        meanwhile()
        self.parts.wait_for(part, f"{self.url}/api/health")

    def stop(self) -> None:
        self.parts.stop()

    def freeze(self) -> None:
        """It still takes connections (the kernel does), but never answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it stood."""
        self._signal(signal.SIGCONT)

    def _signal(self, which: signal.Signals) -> None:
        for part in self.parts.started:
            children = subprocess.run(["pgrep", "-P", str(part.process.pid)], capture_output=True, text=True)
            for pid in [part.process.pid, *map(int, children.stdout.split())]:
                os.kill(pid, which)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Prefect answers 503 while another writer has its SQLite database: its own clients try again, so do we."""
        for _ in range(6):
            answer = httpx.post(f"{self.url}/api{path}", json=body, timeout=20, trust_env=False)
            if answer.status_code != 503:
                break
            time.sleep(1)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}/api{path}", timeout=20, trust_env=False).raise_for_status().json()

    def runs(self, tag: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.post(
            "/flow_runs/filter", {"flow_runs": {"tags": {"all_": [tag]}}, "sort": "START_TIME_ASC"}
        )
        return found


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """Starting it costs 20 s of CPU: all tests that need it share one (tests/scheduling.py)."""
    server = PrefectServer(tmp_path_factory.mktemp("prefect"))
    try:
        server.start(meanwhile=lambda: warm_up(server.environment))
        server.parts.run("setup", "setup")
        yield server
    finally:
        server.stop()


class Stack:
    """Sandbox, gateway and worker of one test, on a fresh ledger."""

    def __init__(
        self,
        home: Path,
        prefect: PrefectServer,
        database_url: str = "",
        worker_module: str = "",
        *,
        warm: bool = False,
    ) -> None:
        self.prefect = prefect
        self.worker_module = worker_module  # instead of `dealflow worker`
        self.meanwhile: Callable[[], None] = lambda: None  # called whenever we wait
        self.home = home
        self.gateway = f"http://{HOST}:{free_port()}"
        kind = WarmParts if warm else Parts
        self.parts = kind(home / "logs", dict(prefect.environment))
        self.database_url = database_url
        self.worker: Part | None = None
        self.deal_id = ""

    def start(self, **settings: str) -> None:
        sandbox = self.parts.dealflow(
            "sandbox",
            "sandbox",
            f"--hubspot-webhook-url={self.gateway}/webhooks/hubspot",
            f"--dropbox-sign-callback-url={self.gateway}/webhooks/dropbox-sign",
            stdout=subprocess.PIPE,
        )
        assert sandbox.process.stdout is not None
        urls = json.loads(sandbox.process.stdout.readline())
        self.hubspot = httpx.Client(base_url=urls["hubspot"], timeout=20, trust_env=False)
        self.sign = httpx.Client(base_url=urls["dropbox_sign"], timeout=20, trust_env=False)
        self.parts.environment = {
            **self.parts.environment,
            "DEALFLOW_HOME": str(self.home),
            "DEALFLOW_DATABASE_URL": self.database_url,
            "DEALFLOW_HUBSPOT_TOKEN": "test-token",
            "DEALFLOW_HUBSPOT_CLIENT_SECRET": "sandbox-client-secret",
            "DEALFLOW_HUBSPOT_BASE_URL": urls["hubspot"],
            "DEALFLOW_DROPBOX_SIGN_API_KEY": "sandbox-api-key",
            "DEALFLOW_DROPBOX_SIGN_BASE_URL": urls["dropbox_sign"] + "/v3",
            "DEALFLOW_DROPBOX_SIGN_CALLS_PER_MINUTE": "600",
            "DEALFLOW_LEADS_TOKEN": LEADS_TOKEN,
            "DEALFLOW_GATEWAY_PORT": self.gateway.rpartition(":")[2],
            "DEALFLOW_WORKER_PARK_FIRST_S": "1",
            "DEALFLOW_CONTRACT_LOOKS_S": "3,3",
            **settings,
        }
        for change in plan(Portal("test-token", urls["hubspot"]), load_process(Settings())):
            change.apply()
        gateway = self.parts.dealflow("gateway", "gateway")
        self.start_worker(wait=False)
        self.parts.wait_for(gateway, f"{self.gateway}/healthz")
        self.sign.put("/_sandbox/robots", json=[{"email": ".*", "does": "sign", "after_s": 0.5}])

    def start_worker(self, *, wait: bool = True) -> None:
        if self.worker_module:
            command = [sys.executable, "-m", self.worker_module]
            self.worker = self.parts.start("worker", command)
        else:
            self.worker = self.parts.dealflow("worker", "worker")
        if wait:
            self.until("a worker is alive", lambda: self.health().get("workers", 0) >= 1)

    def kill_worker(self) -> None:
        """SIGKILL: no clean-up of any kind."""
        assert self.worker is not None
        os.kill(self.worker.process.pid, signal.SIGKILL)
        self.worker.process.wait(10)
        self.parts.started.remove(self.worker)

    def stop(self) -> None:
        self.parts.stop()
        if hasattr(self, "hubspot"):
            self.hubspot.close()
            self.sign.close()

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"{self.gateway}/healthz", timeout=20, trust_env=False).json()
        return found

    def lead(self, **changes: str) -> httpx.Response:
        return httpx.post(
            f"{self.gateway}/leads",
            json={**LEAD, **changes},
            headers={"Authorization": f"Bearer {LEADS_TOKEN}"},
            timeout=20,
            trust_env=False,
        )

    def until(self, what: str, happened: Callable[[], Any], timeout_s: float = 240) -> Any:
        limit = time.monotonic() + timeout_s
        while time.monotonic() < limit:
            found = happened()
            if found:
                return found
            self.meanwhile()
            time.sleep(0.1)
        log = self.parts.logs / "worker.log"
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:]) if log.exists() else ""
        raise AssertionError(
            f"timed out after {timeout_s} s waiting until {what}\nhealth: {self.health()}\n{tail}"
        )

    def rep(self, object_type: str, **what: Any) -> dict[str, Any]:
        answer = self.hubspot.post("/_sandbox/rep", json={"object_type": object_type, **what})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def records(self, object_type: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.hubspot.get(
            "/_sandbox/state", params={"type": object_type}
        ).json()["records"]
        return found

    def files(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.hubspot.get("/_sandbox/state", params={"type": "files"}).json()[
            "files"
        ]
        return found

    def requests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.sign.get("/_sandbox/state").json()["requests"]
        return found

    def deal(self) -> dict[str, Any]:
        return next(d for d in self.records("deals") if d["id"] == self.deal_id)

    def stages(self) -> dict[str, str]:
        pipelines = self.hubspot.get(
            "/crm/pipelines/2026-03/deals", headers={"Authorization": "Bearer observer"}
        ).json()["results"]
        return next(
            {s["label"]: s["id"] for s in p["stages"]}
            for p in pipelines
            if p["label"] == "Dealflow sales process"
        )

    def stage(self) -> str:
        labels = {stage_id: label for label, stage_id in self.stages().items()}
        return labels[self.deal()["properties"]["dealstage"]]

    def bring_to_closing(self) -> None:
        """The rep's part: from the new deal to Closing, with everything that the exit criteria ask for."""
        first = self.until("the lead is a deal", lambda: self.records("deals"))[0]
        self.deal_id = first["id"]
        self.until("contact is on the deal", lambda: self.deal()["associations"].get("contacts"))
        self.until("company is on the deal", lambda: self.deal()["associations"].get("companies"))
        company = self.deal()["associations"]["companies"][0]["id"]
        contact = self.deal()["associations"]["contacts"][0]["id"]
        address = {"address": "12 Difference Row", "city": "London", "country": "United Kingdom"}
        self.rep("companies", id=company, properties=address)
        self.rep(
            "line_items",
            create=True,
            properties={"name": "Seats", "quantity": "12", "price": "95"},
            associations=[{"to_type": "deals", "to_id": self.deal_id}],
        )
        stages = self.stages()
        self.rep("deals", id=self.deal_id, properties={"dealstage": stages["Presentation"]})
        self.until(
            "the proposal is filed", lambda: self.deal()["properties"].get("dealflow_proposal_file_id")
        )
        self.rep(
            "deals",
            id=self.deal_id,
            associations=[{"to_type": "contacts", "to_id": contact, "label": "Signer"}],
        )
        self.rep("deals", id=self.deal_id, properties={"dealstage": stages["Closing"]})

    def until_won(self, timeout_s: float = 240) -> None:
        self.until("the deal is won", lambda: self.stage() == "Account management (Won)", timeout_s)
        self.until(
            "the signed PDF is filed",
            lambda: self.deal()["properties"].get("dealflow_signed_file_id"),
            timeout_s,
        )
        self.until(
            "the deal is handed over",
            lambda: any(
                "Hand-over to account management" in n["properties"]["hs_note_body"]
                for n in self.records("notes")
            ),
            timeout_s,
        )

    def until_quiet(self, timeout_s: float = 240) -> None:
        """Nothing open in the inbox any more."""
        open_states = ("due", "claimed", "parked", "held")
        self.until(
            "the inbox is at rest",
            lambda: not any(self.health().get("inbox", {}).get(s) for s in open_states),
            timeout_s,
        )

    def until_only_done(self, count: int) -> None:
        """So many events done, and none in another state. (HubSpot's echoes of our writes still come in, and end as
        ignored.)
        """

        def states() -> dict[str, int]:
            return {state: n for state, n in self.health()["inbox"].items() if state != "ignored"}

        self.until(f"{count} events are done and no other is left", lambda: states() == {"done": count})

    def assert_done_once(self) -> None:
        """One contract, one signed PDF that is the vendor's, one note each, one stage move, nothing doubled."""
        assert len(self.requests()) == 1
        request = self.requests()[0]
        deal = self.deal()
        files = {f["id"]: f for f in self.files()}
        signed = files[deal["properties"]["dealflow_signed_file_id"]]
        assert signed["sha256"] == request["signed_sha256"]
        assert len(files) == 2  # proposal and signed contract
        notes = [n["properties"]["hs_note_body"] for n in self.records("notes")]
        markers = [body.rpartition("dealflow ")[2] for body in notes]
        # Proposal, contract sent, signed, debrief; and one each for the stages skipped before Presentation and Closing.
        assert len(notes) == 6 and len(set(markers)) == 6, notes
        assert sum("Hand-over to account management" in body for body in notes) == 1
        subjects = [t["properties"]["hs_task_subject"] for t in self.records("tasks")]
        assert len(subjects) == len(set(subjects)) == 3, subjects  # of the hand-over
        won = self.stages()["Account management (Won)"]
        moves = [h["value"] for h in deal["history"]["dealstage"]]
        assert moves.count(won) == 1
