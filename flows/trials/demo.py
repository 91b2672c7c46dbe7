"""`dealflow demo`: everything on this machine, on the stand-ins, and one lead followed until its deal is won.

Only the people are special to the demo: a rep (who keeps the CRM as a person would) and two signers, played through
the stand-ins' control API. The worker only ever sees HubSpot and Dropbox Sign.
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from flows.errors import FlowError
from flows.operations.launch import (
    HOST,
    PREFECT_SERVER,
    WAIT,
    Parts,
    free_port,
    prefect_environment,
    stoppable,
)

_HOME = Path(".dealflow/demo")
_TOKENS = {"leads": "demo-leads-token", "ops": "demo"}
_PATIENCE_S = 90
_LEAD = {
    "first_name": "Ada",
    "last_name": "Byron",
    "email": "ada.byron@analytical-engines.example",
    "phone": "+44 20 7946 0018",
    "company": "Analytical Engines Ltd",
    "job_title": "Head of Operations",
    "country": "GB",
    "budget": "24000",
    "message": "Our order desk copies every contract by hand. We need each one signed and filed within a day.",
    "source": "website form",
}


class DemoFailed(FlowError):
    """The demo did not come to a won deal. The text says where it stood."""


@dataclass
class Stage:
    """Everything the demo needs: addresses, clients, and when it began."""

    parts: Parts
    console: Console
    prefect: str
    gateway: str
    hubspot: httpx.Client
    sign: httpx.Client
    began: float
    ids: dict[str, str] = field(default_factory=dict)

    def tell(self, who: str, text: str) -> None:
        """One line of the story."""
        colour = {
            "buyer": "magenta",
            "rep": "cyan",
            "dealflow": "green",
            "signers": "yellow",
            "set-up": "dim",
        }[who]
        self.console.print(
            f"[dim]{time.monotonic() - self.began:6.1f} s[/dim]  [{colour}]{who:>8}[/{colour}]  {text}"
        )

    def rep(self, object_type: str, **what: Any) -> dict[str, Any]:
        """The rep does something in the CRM."""
        answer = self.hubspot.post("/_sandbox/rep", json={"object_type": object_type, **what})
        answer.raise_for_status()
        done: dict[str, Any] = answer.json()
        return done

    def records(self, object_type: str) -> list[dict[str, Any]]:
        """All records of a type, as the stand-in has them."""
        found: list[dict[str, Any]] = self.hubspot.get(
            "/_sandbox/state", params={"type": object_type}
        ).json()["records"]
        return found

    def deal(self) -> Mapping[str, str | None]:
        """The deal's properties."""
        for record in self.records("deals"):
            if record["id"] == self.ids["deal"]:
                properties: Mapping[str, str | None] = record["properties"]
                return properties
        raise DemoFailed("the deal is no longer in HubSpot")

    def until(self, what: str, happened: Callable[[], Any]) -> Any:
        """Wait for something to happen. Raises DemoFailed when it does not."""
        limit = time.monotonic() + _PATIENCE_S
        while time.monotonic() < limit:
            found = happened()
            if found:
                return found
            for part in self.parts.started:
                if part.process.poll() is not None:
                    raise DemoFailed(f"{part.name} stopped: see {part.log}")
            time.sleep(0.05)
        raise DemoFailed(f"timed out after {_PATIENCE_S} s: waited until {what}; logs in {self.parts.logs}")


def play(*, keep: bool, json_file: Path | None) -> None:
    """Start everything, run the story, print the summary, stop. Raises DemoFailed or LaunchError."""
    with stoppable():
        _play(keep=keep, json_file=json_file)


def _play(*, keep: bool, json_file: Path | None) -> None:
    console = Console(highlight=False, soft_wrap=True)
    began = time.monotonic()
    with _everything(console, began) as stage:
        seconds = _story(stage)
        summary = _summary(stage, seconds)
        _print(stage, summary)
        if json_file is not None:
            json_file.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        _check(summary)
        _print_addresses(stage, keep=keep)
        if keep:
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    time.sleep(1)
    console.print("[dim]stopped cleanly[/dim]")


@contextlib.contextmanager
def _everything(console: Console, began: float) -> Iterator[Stage]:
    home = _HOME.resolve()
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    prefect_port, gateway_port = free_port(), free_port()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("DEALFLOW_", "PREFECT_"))},
        **prefect_environment(home / "prefect", prefect_port),
        **_settings(home, gateway_port),
    }
    parts = Parts(home / "logs", environment)
    try:
        stage = _start(parts, console, began, prefect_port, gateway_port)
        with stage.hubspot, stage.sign:
            yield stage
    finally:
        parts.stop()


def _settings(home: Path, gateway_port: int) -> dict[str, str]:
    return {
        "DEALFLOW_HOME": str(home),
        "DEALFLOW_HUBSPOT_TOKEN": "demo-token",
        "DEALFLOW_HUBSPOT_CLIENT_SECRET": "sandbox-client-secret",
        "DEALFLOW_DROPBOX_SIGN_API_KEY": "sandbox-api-key",
        "DEALFLOW_DROPBOX_SIGN_CALLS_PER_MINUTE": "600",
        "DEALFLOW_LEADS_TOKEN": _TOKENS["leads"],
        "DEALFLOW_OPS_PASSWORD": _TOKENS["ops"],
        "DEALFLOW_GATEWAY_HOST": HOST,
        "DEALFLOW_GATEWAY_PORT": str(gateway_port),
        "PYTHONUNBUFFERED": "1",
    }


def _start(parts: Parts, console: Console, began: float, prefect_port: int, gateway_port: int) -> Stage:
    """Prefect's server takes longest, so the rest is made ready beside it."""
    prefect, gateway = f"http://{HOST}:{prefect_port}", f"http://{HOST}:{gateway_port}"
    console.print("[bold]dealflow demo[/bold]: starting Prefect server, both stand-ins, gateway and worker")
    server = parts.start("prefect-server", PREFECT_SERVER)
    setup = parts.dealflow("setup", "setup", WAIT)
    urls = parts.sandbox(
        f"--hubspot-webhook-url={gateway}/webhooks/hubspot",
        f"--dropbox-sign-callback-url={gateway}/webhooks/dropbox-sign",
    )
    environment = {
        **parts.environment,
        "DEALFLOW_HUBSPOT_BASE_URL": urls["hubspot"],
        "DEALFLOW_HUBSPOT_APP_URL": urls["hubspot"],
        "DEALFLOW_DROPBOX_SIGN_BASE_URL": urls["dropbox_sign"] + "/v3",
        "DEALFLOW_DROPBOX_SIGN_APP_URL": urls["dropbox_sign"],
    }
    parts.environment = environment
    stage = Stage(
        parts=parts,
        console=console,
        prefect=prefect,
        gateway=gateway,
        hubspot=httpx.Client(base_url=urls["hubspot"], timeout=10, trust_env=False),
        sign=httpx.Client(base_url=urls["dropbox_sign"], timeout=10, trust_env=False),
        began=began,
    )
    parts.run("provision", "provision", "--apply")
    stage.tell("set-up", "HubSpot stand-in: pipeline, stages, properties and contact roles provisioned")
    front = parts.dealflow("gateway", "gateway")
    # One after the other: where there are two cores, Prefect's server needs one of them.
    parts.wait_for(front, f"{gateway}/metrics")
    parts.dealflow("worker", "worker", WAIT)
    parts.wait_for(server, f"{prefect}/api/health")
    stage.tell("set-up", f"Prefect server answers at {prefect}")
    parts.finish(setup)
    stage.tell("set-up", "deployments, schedules and the dead-run automation are in place")
    parts.wait_for(front, f"{gateway}/healthz")
    stage.tell("set-up", f"gateway and worker are up at {gateway}")
    return stage


def _story(stage: Stage) -> float:
    """From lead to won deal; returns the seconds it took, people's thinking time included (there is little)."""
    for client in (stage.hubspot, stage.sign):
        client.delete("/_sandbox/requests").raise_for_status()
    stage.sign.put(
        "/_sandbox/robots", json=[{"email": ".*", "does": "sign", "after_s": 1}]
    ).raise_for_status()
    began = time.monotonic()
    _lead_arrives(stage)
    _rep_qualifies(stage)
    _rep_presents(stage)
    _rep_closes(stage)
    _signatures_land(stage)
    _account_is_handed_over(stage)
    return time.monotonic() - began


def _lead_arrives(stage: Stage) -> None:
    answer = httpx.post(
        f"{stage.gateway}/leads",
        data=_LEAD,
        headers={"Authorization": f"Bearer {_TOKENS['leads']}"},
        timeout=10,
        trust_env=False,
    )
    if answer.status_code != 202:
        raise DemoFailed(f"the gateway answered {answer.status_code} to the lead: {answer.text}")
    stage.tell(
        "buyer",
        f"sends the form on the website (lead {answer.json()['lead'][:12]}…, stored and acknowledged)",
    )
    deal = stage.until("the lead is a deal", lambda: next(iter(stage.records("deals")), None))
    stage.ids["deal"] = deal["id"]
    stage.until(
        "contact and company are on the deal",
        lambda: _associated(stage, "contacts") and _associated(stage, "companies"),
    )
    stage.tell("dealflow", f"created company, contact and deal {deal['id']} and gave it an owner")


def _rep_qualifies(stage: Stage) -> None:
    deal, company = stage.ids["deal"], _associated(stage, "companies")[0]
    stage.rep(
        "companies",
        id=company,
        properties={
            "address": "12 Difference Row",
            "city": "London",
            "zip": "EC2A 4BX",
            "country": "United Kingdom",
        },
    )
    stages = _stages(stage)
    stage.rep(
        "deals",
        id=deal,
        properties={
            "dealstage": stages["Qualification"],
            "dealname": "Contract desk for order handling",
            "amount": "21780",
        },
    )
    for position, (name, quantity, price, period) in enumerate(
        [
            ("Contract desk, per seat", "12", "95", "monthly"),
            ("Onboarding workshop", "2", "1800", None),
            ("Migration of signed archives", "1", "4500", None),
        ]
    ):
        properties = {
            "name": name,
            "quantity": quantity,
            "price": price,
            "hs_position_on_quote": str(position),
        }
        if period:
            properties |= {"recurringbillingfrequency": period, "hs_recurring_billing_period": "P12M"}
        stage.rep(
            "line_items",
            create=True,
            properties=properties,
            associations=[{"to_type": "deals", "to_id": deal}],
        )
    stage.rep("deals", id=deal, properties={"dealstage": stages["Development"]})
    stage.tell("rep", "qualifies the buyer, agrees three positions and puts them on the deal")


def _rep_presents(stage: Stage) -> None:
    stage.rep("deals", id=stage.ids["deal"], properties={"dealstage": _stages(stage)["Presentation"]})
    stage.tell("rep", "moves the deal to Presentation")
    file_id = stage.until(
        "the proposal is on the deal", lambda: stage.deal().get("dealflow_proposal_file_id")
    )
    stage.ids["proposal"] = file_id
    size = next(f["size"] for f in _files(stage) if f["id"] == file_id)
    stage.tell(
        "dealflow",
        f"rendered the proposal and filed it (file {file_id}, {size / 1024:.0f} kB, note on the deal)",
    )


def _rep_closes(stage: Stage) -> None:
    deal, contact = stage.ids["deal"], _associated(stage, "contacts")[0]
    for label in ("Signer", "Decision maker"):
        stage.rep("deals", id=deal, associations=[{"to_type": "contacts", "to_id": contact, "label": label}])
    stages = _stages(stage)
    stage.rep("deals", id=deal, properties={"dealstage": stages["Discussion"]})
    stage.tell("rep", "learns who decides and who signs, and labels that contact on the deal")
    stage.rep("deals", id=deal, properties={"dealstage": stages["Closing"]})
    stage.tell("rep", "moves the deal to Closing")
    request = stage.until("the contract is sent", lambda: stage.deal().get("dealflow_contract_request_id"))
    stage.ids["request"] = request
    stage.tell(
        "dealflow", f"checked seven exit criteria, froze the text and sent it (request {request[:12]}…)"
    )


def _signatures_land(stage: Stage) -> None:
    def signed() -> bool:
        return any(r["phase"] == "completed" or _all_signed(r) for r in _requests(stage))

    stage.until("everybody has signed", signed)
    stage.tell("signers", "client and counter-signer have signed")
    won = _stages(stage)["Account management (Won)"]
    stage.until("the deal is won", lambda: stage.deal().get("dealstage") == won)
    stage.tell("dealflow", "read the request back and moved the deal to Account management (Won)")
    file_id = stage.until("the signed PDF is filed", lambda: stage.deal().get("dealflow_signed_file_id"))
    stage.ids["signed"] = file_id
    stage.tell("dealflow", f"filed the signed PDF with its audit page (file {file_id})")


def _account_is_handed_over(stage: Stage) -> None:
    stage.until("the deal is handed over", lambda: _debriefs(stage))
    stage.tell(
        "dealflow",
        "handed the buyer over to account management: a debrief and "
        f"{len(_associated(stage, 'tasks'))} tasks on the deal",
    )


def _summary(stage: Stage, seconds: float) -> dict[str, Any]:
    """What happened, as the stand-ins and Prefect recorded it (not as we believe it)."""
    calls = {
        name: client.get("/_sandbox/requests", params={"limit": 1}).json()["total"]
        for name, client in (("hubspot", stage.hubspot), ("sign", stage.sign))
    }
    deal_id = stage.ids["deal"]
    labels = {stage_id: label for label, stage_id in _stages(stage).items()}
    runs = stage.until("the runs have ended", lambda: _flow_runs(stage))
    return {
        "deal_id": deal_id,
        "stage": labels.get(stage.deal().get("dealstage") or "", ""),
        "proposal_file_id": stage.ids["proposal"],
        "signature_request_id": stage.ids["request"],
        "contracts_sent": sum(r["metadata"].get("deal_id") == deal_id for r in _requests(stage)),
        "signed_pdf_file_id": stage.ids["signed"],
        "debriefs": len(_debriefs(stage)),
        "tasks": sorted(t["properties"]["hs_task_subject"] for t in stage.records("tasks")),
        "flow_runs": runs,
        "hubspot_calls": calls["hubspot"],
        "dropbox_sign_calls": calls["sign"],
        "seconds": round(seconds, 2),
    }


def _flow_runs(stage: Stage) -> list[dict[str, Any]] | None:
    """All flow runs once none is under way."""
    answer = httpx.post(
        f"{stage.prefect}/api/flow_runs/filter",
        json={"sort": "START_TIME_ASC", "limit": 200, "flow_runs": {"tags": {"all_": ["dealflow"]}}},
        timeout=10,
        trust_env=False,
    )
    rows = [r for r in answer.json() if r["state_type"] != "SCHEDULED"]
    if any(r["state_type"] in ("PENDING", "RUNNING") for r in rows):
        return None
    return [
        {"name": r["name"], "state": r["state_name"], "duration_s": round(r["total_run_time"], 3)}
        for r in rows
    ]


def _print(stage: Stage, summary: Mapping[str, Any]) -> None:
    from rich.table import Table

    runs = summary["flow_runs"]
    table = Table(
        title="Flow runs in Prefect", title_justify="left", box=None, pad_edge=False, title_style="bold"
    )
    for name in ("run", "state", "seconds"):
        table.add_column(name, justify="right" if name == "seconds" else "left")
    for run in runs:
        table.add_row(run["name"], run["state"], f"{run['duration_s']:.2f}")
    console = stage.console
    console.print()
    console.print(table)
    console.print()
    console.print(
        f"[bold green]Deal {summary['deal_id']}: {summary['stage']}[/bold green] after {summary['seconds']:.1f} s"
    )
    console.print(
        f"contracts sent: {summary['contracts_sent']} · signed PDF: file {summary['signed_pdf_file_id']} · "
        f"HubSpot calls: {summary['hubspot_calls']} · Dropbox Sign calls: {summary['dropbox_sign_calls']}"
    )


def _print_addresses(stage: Stage, *, keep: bool) -> None:
    """The addresses of all parts; without KEEP=1 they are about to close."""
    console = stage.console
    console.print(f"\nPrefect UI   {stage.prefect}")
    console.print(f"Ops page     {stage.gateway}/  (user ops, password {_TOKENS['ops']})")
    console.print(f"HubSpot      {stage.hubspot.base_url}  (stand-in; controls at /_sandbox/docs)")
    console.print(f"Dropbox Sign {stage.sign.base_url}  (stand-in)")
    if not keep:
        console.print("[dim]These close now: `make demo KEEP=1` keeps them to look at.[/dim]")
        return
    console.print(f"Ledger       DEALFLOW_HOME={_HOME} .venv/bin/dealflow inbox list")
    console.print(
        f"Another lead curl -H 'Authorization: Bearer {_TOKENS['leads']}' -d email=you@firm.example "
        f"-d company=Firm -d message='We need...' {stage.gateway}/leads"
    )
    console.print("All of it keeps running. Ctrl-C stops it.")


def _check(summary: Mapping[str, Any]) -> None:
    """The demo succeeds only when the stand-ins confirm it."""
    if summary["stage"] != "Account management (Won)":
        raise DemoFailed(f"the deal stands in {summary['stage']!r}")
    if summary["contracts_sent"] != 1:
        raise DemoFailed(f"{summary['contracts_sent']} contracts were sent instead of one")
    if summary["debriefs"] != 1 or not 0 < len(summary["tasks"]) == len(set(summary["tasks"])):
        raise DemoFailed("the won deal was not handed over once: a debrief, and each task once")
    broken = [r["name"] for r in summary["flow_runs"] if r["state"] in ("Failed", "Crashed", "DeadLetter")]
    if broken:
        raise DemoFailed(f"these runs failed: {', '.join(broken)}")


def _associated(stage: Stage, kind: str) -> list[str]:
    for record in stage.records("deals"):
        if record["id"] == stage.ids["deal"]:
            return sorted({link["id"] for link in record["associations"].get(kind, [])})
    return []


def _debriefs(stage: Stage) -> list[str]:
    """The hand-over's notes on the deal, by id."""
    ours = set(_associated(stage, "notes"))
    return [
        note["id"]
        for note in stage.records("notes")
        if note["id"] in ours and note["properties"]["hs_note_body"].startswith("<p>Hand-over to account")
    ]


def _stages(stage: Stage) -> dict[str, str]:
    """Stage label -> id, of our pipeline."""
    answer = stage.hubspot.get(
        "/crm/pipelines/2026-03/deals", headers={"Authorization": "Bearer demo-observer"}
    )
    pipelines = answer.raise_for_status().json()["results"]
    return next(
        {s["label"]: s["id"] for s in p["stages"]}
        for p in pipelines
        if p["label"] == "Dealflow sales process"
    )


def _files(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.hubspot.get("/_sandbox/state", params={"type": "files"}).json()[
        "files"
    ]
    return found


def _requests(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.sign.get("/_sandbox/state").json()["requests"]
    return found


def _all_signed(request: Mapping[str, Any]) -> bool:
    return bool(request["signers"]) and all(s["status"] == "signed" for s in request["signers"])
