"""Names that others hold: rows of ledgers, HubSpot accounts, Prefect servers, process files, scripts and dashboards.

A name in these lists must not change or disappear; a new one is added here. Renaming one loses what waits in somebody's
ledger, or breaks what somebody built on it.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from config.settings import PREFIX, Settings
from flows.cli.app import app
from flows.ledger import tables
from flows.ledger.database import open_ledger
from flows.processes import EVENTS, FLOWS
from flows.provision.plan import PROPERTIES
from flows.services import CONTRACT, PROPOSAL, esign_callbacks
from tests.places import ROOT

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

EVENT_KINDS = {
    "lead.received": "intake_leads",
    "deal.changed": "sync_deals",
    "proposal.due": "generate_proposal",
    "contract.due": "send_contract",
    "signature.event": "advance_on_signature",
    "signature.check": "advance_on_signature",
    "deal.stuck": "follow_up",
    "stage.check": "guard_stage",
    "follow_up.due": "follow_up",
    "handover.due": "hand_over",
}
UNHANDLED_KINDS = {"hubspot.other", "unreadable"}
ACTIONS = {
    "generate_proposal": "proposal.due",
    "send_contract": "contract.due",
    "hand_over": "handover.due",
}
FLOW_NAMES = """
intake_leads sync_deals generate_proposal send_contract advance_on_signature follow_up guard_stage hand_over reconcile
explain_deals
""".split()
DEPLOYMENTS = {f"{name.replace('_', '-')}/{name.replace('_', '-')}" for name in FLOW_NAMES}
INBOX_SOURCES = set("lead hubspot dropbox_sign stage follow_up reconcile operator dealflow replay".split())
EFFECT_KINDS = set(
    "file_pdf write_note write_task set_deal send_contract remind_signer open_deal draft_email send_email".split()
)
EFFECT_KEYS = {
    "file:{}:{}:{}",
    "note:{}:{}",
    "task:{}:{}",
    "deal:{}:{}",
    "contract:{}:{}",
    "remind:{}:{}:{}",
    "email:{}:{}",
    "followon:{}",
}
CAUSES = {
    "stuck:{}",
    "follow_up:{}:{}:{}",
    "guard:{}:{}",
    "fight:{}:{}",
    "signed:{}",
    "contract:{}",
    "proposal:{}",
    "proposal:{}:{}",
    "lead:{}",
}
"""The parts of effect keys that say why: after `note:`, `task:`, `deal:`, `remind:` or `email:` and the deal's id."""
HAND_OVER_CAUSE = "handover"

TABLES = {
    "association_history": "from_type from_id to_type to_id label first_seen_at absent_at gone_at",
    "associations": "from_type from_id to_type to_id labels",
    "contracts": """id deal_id revision token state paper_id signers request_id test_mode created_at sent_at ended_at
        reason""",
    "counts": "day name n",
    "cursors": "name value moved_at",
    "deliveries": "id source sha256 received_at headers body repeats",
    "effects": """id key kind deal_id token state attempts looks event_id result reason created_at tried_at settled_at
        resends look_at""",
    "follow_ups": """id deal_id stage entered_at number begun_at ended_at unmet done task_id email_id flagged cleared_at
        cleared_why""",
    "inbox": """id source event_key kind lane deal_id delivery_id content occurred_at received_at state due_at attempts
        lease_owner lease_until flow_run_id reason outcome finished_at nudged_at failures""",
    "overrides": "id deal_id stage person reason granted_at expires_at revoked_at revoked_by",
    "papers": "id deal_id kind version source_sha256 sha256 title content created_at file_id",
    "property_history": "deal_id property at value",
    "records": "object_type object_id properties digest updated_at archived synced_at histories",
    "stage_checks": """deal_id entered_at stage_id stage came_from mode found action missing skipped proofs mover
        back_to override_id checked_at settled_at result""",
    "stage_history": "deal_id entered_at stage_id source_type source_id",
    "workers": "name started_at seen_at wake_port prefect_ok note",
}
DOCUMENT_KINDS = {"proposal", "contract", "signed"}

HUBSPOT_PROPERTIES = {
    ("deals", "dealflow_lead_key", "string", True),
    ("deals", "dealflow_need", "string", False),
    ("deals", "dealflow_source", "string", False),
    ("deals", "dealflow_route_reason", "string", False),
    ("deals", "dealflow_starts_on", "date", False),
    ("deals", "dealflow_proposal_sha256", "string", False),
    ("deals", "dealflow_proposal_file_id", "string", False),
    ("deals", "dealflow_contract_token", "string", False),
    ("deals", "dealflow_contract_request_id", "string", False),
    ("deals", "dealflow_contract_status", "string", False),
    ("deals", "dealflow_signed_file_id", "string", False),
    ("deals", "dealflow_flag", "string", False),
    ("companies", "dealflow_company_key", "string", True),
    ("contacts", "dealflow_contact_key", "string", True),
}

PROCESS_FILE_KEYS = set(
    """
account_manager activity address after after_days all_of any_of at_least at_most before budget_holder buyer buyer_step
call_notes canceled close_days closed company completed contact contacts counter_signer country currency date decides
decision_maker declined description document due_days email enter_from equals evidence exit_criteria expired failed
fields flag_after follow_on follow_up governing_law hand_over help hubspot_stage is key kind label legal line_items link
locale materials mode move_to name not_past objection_prefix objections on_enter one_of otherwise owner payment_days
pipeline plan plans probability problem property remind_signers roles routing rules says seller signature
signature_outcomes signer since stage stages stay supplied_by task tasks title type used_by veto_days who within_days
""".split()
)

SETTINGS = """
home database_url config_dir process_file log_level retention_days hubspot_token hubspot_base_url hubspot_app_url
hubspot_api_version hubspot_api_versions hubspot_burst_per_10s hubspot_webhooks hubspot_client_secret hubspot_portal_id
dropbox_sign_api_key dropbox_sign_callback_keys dropbox_sign_base_url dropbox_sign_app_url dropbox_sign_client_id
dropbox_sign_test_mode dropbox_sign_calls_per_minute dropbox_sign_callback contract_looks_s contract_resend
contract_expires_days follow_up_email smtp_host smtp_port smtp_tls smtp_user smtp_password smtp_from gateway_host
gateway_port public_url leads leads_token leads_hmac_secret ops_user ops_password worker_poll_s worker_lease_s
worker_lanes worker_batch_from worker_batch_max worker_hold_retry_s worker_park_first_s worker_park_max_s work_pool
""".split()

COMMANDS = {
    "demo": "--json-file --keep",
    "doctor": "--json",
    "effects list": "--deal --json --limit --state",
    "effects release": "--key --why",
    "explain": "--deal --json --stage --unproven",
    "follow-ups list": "--deal --flagged --json --limit",
    "gateway": "",
    "guard list": "--deal --found --json --limit",
    "guard override": "--by --days --deal --json --stage --why",
    "guard overrides": "--deal --json --limit",
    "guard revoke": "--by --override-id",
    "inbox list": "--deal --json --limit --state",
    "inbox replay": "--json --live",
    "inbox retry": "--event-id",
    "inbox show": "--event-id --json",
    "process backtest": "--against --hubspot --json --limit --new --since",
    "process call-notes": "--file --name",
    "process diagram": "--file --out",
    "process handbook": "--file --out",
    "process lint": "--history --json --strict",
    "process schema": "",
    "proposal render": "--deal --out --sample",
    "provision": "--apply --json --plan",
    "reconcile": "--json",
    "rehearse": "--days --deals --follow-ups --json --ledger --people --process --seed",
    "sandbox": """--dropbox-sign-callback-url --dropbox-sign-port --frozen-at --hubspot-port --hubspot-webhook-url
        --seed --shown-url""",
    "setup": "--json --prefect-file --wait",
    "sync": "--full --json",
    "up": "--prefect-port",
    "worker": "--wait",
}

ROUTES = {
    ("POST", "/webhooks/hubspot"),
    ("POST", "/webhooks/dropbox-sign"),
    ("POST", "/leads"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("GET", "/deals"),
    ("GET", "/deals/{deal_id}"),
}
METRICS = {
    "dealflow_inbox_events",
    "dealflow_effects",
    "dealflow_stage_checks_total",
    "dealflow_count_total",
    "dealflow_workers_alive",
    "dealflow_prefect_ok",
}
ARTIFACTS = {"deal-{}", "explain-{}", "dead-letters", "sync-deals", "follow-up", "reconcile", "explain-deals"}


@cache
def _modules() -> tuple[ast.Module, ...]:
    return tuple(ast.parse(file.read_text()) for file in sorted((ROOT / "flows").rglob("*.py")))


def _shape(text: ast.JoinedStr) -> str:
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in text.values)


@cache
def _texts() -> frozenset[str]:
    """Every text in our code; a value in a formatted text is shown as {}."""
    found: set[str] = set()
    for module in _modules():
        constants = {
            target.id: str(node.value.value)
            for node in ast.walk(module)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.add(_shape(node))
                first = node.values[0] if node.values else None
                if isinstance(first, ast.FormattedValue) and isinstance(first.value, ast.Name):
                    # A text that begins with a constant of its module, e.g. f"{_MARK}:{deal_id}".
                    begins = constants.get(first.value.id)
                    found.add(f"{begins}{_shape(node).removeprefix('{}')}")
    return frozenset(found)


def _calls(name: str) -> Iterator[tuple[ast.Module, ast.Call]]:
    for module in _modules():
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield module, node


def test_event_kinds_and_their_flows() -> None:
    assert {kind: event.flow for kind, event in EVENTS.items()} == EVENT_KINDS
    assert {event.action: kind for kind, event in EVENTS.items() if event.action} == ACTIONS
    assert _texts() >= UNHANDLED_KINDS


def test_flows_and_deployments() -> None:
    assert list(FLOWS) == FLOW_NAMES
    assert {flow.deployment for flow in FLOWS.values()} == DEPLOYMENTS
    declared = yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())["deployments"]
    assert {d["name"] for d in declared} == {name.partition("/")[0] for name in DEPLOYMENTS}


def test_inbox_sources() -> None:
    """The source of every event that our code makes."""
    found: set[str] = set()
    for module, call in _calls("NewEvent"):
        given = next((k.value for k in call.keywords if k.arg == "source"), None) or call.args[0]
        if isinstance(given, ast.Constant):
            found.add(str(given.value))
            continue
        assert isinstance(given, ast.Name)
        assigned = [
            n.value.value
            for n in ast.walk(module)
            if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant)
            if any(isinstance(t, ast.Name) and t.id == given.id for t in n.targets)
        ]
        found |= {
            str(value) for value in assigned
        }  # a parameter (an unreadable delivery) names a vendor's source
    imported = {"reconcile"}  # flows/reconcile/deals.py takes it from findings.py
    callbacks = esign_callbacks()  # the gateway takes the e-signature vendor's from its connector
    assert found | imported | {callbacks.vendor} == INBOX_SOURCES


def test_effect_kinds_and_keys() -> None:
    """The natural keys of outward writes: another key would write again what was written."""
    texts = _texts() | {f"write_{what}" for what in ("note", "task")}
    assert not EFFECT_KINDS - texts
    missing = {key for key in EFFECT_KEYS | CAUSES if not any(t == key or t.startswith(key) for t in texts)}
    assert not missing
    assert HAND_OVER_CAUSE in texts


def test_keys_are_built_as_before() -> None:
    """Examples of whole keys, from the functions that build them."""
    from flows.deals.writes import deal_key, note_key
    from flows.hand_over.hand_over import CAUSE
    from flows.hand_over.next_deal import follow_on_key
    from flows.ledger.contracts import Contract
    from flows.ledger.follow_ups import FollowUpRow

    assert note_key("7", "proposal:1") == "note:7:proposal:1"
    assert deal_key("7", "contract:2") == "deal:7:contract:2"
    assert note_key("7", CAUSE) == "note:7:handover"
    assert follow_on_key("7") == "followon:7"
    contract = Contract(*[None] * len(Contract.__dataclass_fields__))  # type: ignore[arg-type]
    assert Contract.effect_key.fget(_with(contract, deal_id="7", revision=2)) == "contract:7:2"  # type: ignore[attr-defined]
    row = FollowUpRow(*[None] * len(FollowUpRow.__dataclass_fields__))  # type: ignore[arg-type]
    begun = _with(row, stage="closing", entered_at=NOW, number=3)
    assert begun.cause == f"follow_up:closing:{int(NOW.timestamp() * 1000)}:3"


def _with(made: Any, **values: Any) -> Any:
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def test_tables_and_columns() -> None:
    """Migrations may add to these; an older dealflow's rows must still be found."""
    found = {t.name: {c.name for c in t.columns} for t in tables.metadata.sorted_tables}
    assert found == {name: set(columns.split()) for name, columns in TABLES.items()}


def test_kinds_of_stored_documents() -> None:
    assert (PROPOSAL, CONTRACT) == ("proposal", "contract")
    assert _texts() >= DOCUMENT_KINDS


def test_hubspot_properties() -> None:
    assert {(p.object_type, p.name, p.type, p.unique) for p in PROPERTIES} == HUBSPOT_PROPERTIES


def test_keys_of_the_process_file() -> None:
    """Every key that a process file may have today; new kinds of evidence add theirs."""
    found: set[str] = set()

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            found.update(node["properties"] if isinstance(node.get("properties"), dict) else ())
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    collect(json.loads((ROOT / "config/sales_process.schema.json").read_text()))
    assert not PROCESS_FILE_KEYS - found


def test_settings() -> None:
    assert PREFIX == "DEALFLOW_"
    assert list(Settings.model_fields) == SETTINGS


def test_commands_and_their_options() -> None:
    """Positional arguments have an option's name too."""

    def walk(node: Any, path: tuple[str, ...]) -> Iterator[tuple[str, set[str]]]:
        children = [name for name in node if not name.startswith("-")]
        for name in children:
            yield from walk(node[name], (*path, name))
        if path and not children:
            names = {n for argument in node.assemble_argument_collection() for n in argument.names}
            yield " ".join(path), {n for n in names if re.match(r"--(?!no-|empty-)", n)}

    assert dict(walk(app, ())) == {command: set(options.split()) for command, options in COMMANDS.items()}


def _routes(routes: Iterable[object]) -> Iterator[object]:
    """These routes and those of included routers."""
    for route in routes:
        yield route
        included = getattr(route, "original_router", None)  # FastAPI 0.150 keeps the router itself
        yield from _routes(included.routes if included is not None else ())


async def test_routes_and_metrics(tmp_path: Path) -> None:
    from flows.gateway.app import _metrics, build_app

    settings = Settings.model_validate(
        {
            "home": tmp_path,
            "hubspot_client_secret": "x",
            "dropbox_sign_api_key": "x",
            "leads_token": "x",
            "ops_password": "x",
        }
    )
    ledger = await open_ledger(f"sqlite+aiosqlite:///{tmp_path / 'ledger.db'}")
    try:
        served = {
            (method, str(getattr(route, "path", "")))
            for route in _routes(build_app(settings, ledger, lambda: NOW).routes)
            for method in getattr(route, "methods", None) or ()
            if method != "HEAD"
        }
        shown = await _metrics(ledger, NOW)
    finally:
        await ledger.close()
    assert served == ROUTES
    assert set(re.findall(r"^# TYPE (\w+) ", shown, re.MULTILINE)) == METRICS


def test_artifacts() -> None:
    """The keys under which Prefect keeps the versions of an artifact."""
    assert not ARTIFACTS - _texts()


def test_labels_and_descriptions_in_hubspot() -> None:
    """`provision` and `doctor` compare them with HubSpot's: another wording is drift in every provisioned account."""
    assert {own.name: (own.label, own.description) for own in PROPERTIES} == {
        "dealflow_lead_key": ("Lead key", "Which inbound lead made this deal"),
        "dealflow_need": ("What the buyer needs", "In the buyer's words; printed on the proposal"),
        "dealflow_source": ("Lead source", "Where the lead came from"),
        "dealflow_route_reason": ("Why this owner", "Why the lead went to this owner"),
        "dealflow_starts_on": (
            "Services start on",
            "First day of the services; else the first of next month",
        ),
        "dealflow_proposal_sha256": ("Proposal fingerprint", "SHA-256 of the filed proposal"),
        "dealflow_proposal_file_id": ("Proposal file", "HubSpot file that holds the proposal"),
        "dealflow_contract_token": ("Contract token", "Under which the contract was sent"),
        "dealflow_contract_request_id": ("Signature request", "Dropbox Sign's id of the request"),
        "dealflow_contract_status": (
            "Contract status",
            "sent, completed, declined, expired, canceled or failed",
        ),
        "dealflow_signed_file_id": ("Signed contract file", "HubSpot file that holds the signed PDF"),
        "dealflow_flag": ("Follow-up flag", "tire_kicker: so many follow-ups, no progress"),
        "dealflow_company_key": ("Buyer key", "Domain or name that leads are matched by"),
        "dealflow_contact_key": ("Phone key", "For contacts without an e-mail address"),
    }
