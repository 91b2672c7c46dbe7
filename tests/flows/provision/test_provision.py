"""Provisioning a HubSpot account against the stand-in: plan, apply, nothing left to do, and clear refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings
from flows.provision.plan import PROPERTIES, plan
from flows.services import SetupError, load_process, open_services


@pytest.fixture
def process() -> Any:
    return load_process(Settings())


@pytest.fixture
def env(bare: Any) -> dict[str, str]:
    return {"DEALFLOW_HUBSPOT_BASE_URL": bare.hubspot_url, "DEALFLOW_HUBSPOT_TOKEN": "test-token"}


def _pipelines(bare: Any) -> list[dict[str, Any]]:
    headers = {"Authorization": "Bearer t"}
    found: list[dict[str, Any]] = bare.hub.get("/crm/pipelines/2026-03/deals", headers=headers).json()[
        "results"
    ]
    return found


def test_the_plan_changes_nothing(bare: Any, env: Any, run_dealflow: Any) -> None:
    """Without --apply: everything that is missing is listed, no write is made."""
    bare.forget_calls()

    done = run_dealflow("provision", **env)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert all(line.startswith("would create ") for line in lines)
    assert sum("property dealflow_" in line for line in lines) == len(PROPERTIES)
    assert any("8 stages" in line for line in lines) and any("label Signer" in line for line in lines)
    assert {c["method"] for c in bare.calls("hub", "/")} == {"GET"}


def test_apply_then_nothing_is_left(bare: Any, env: Any, run_dealflow: Any, process: Any) -> None:
    """--apply makes pipeline, stages, properties and roles as the file says; a second time there is nothing to do."""
    first = run_dealflow("provision", "--apply", "--json", **env)
    assert first.returncode == 0, first.stderr
    said = json.loads(first.stdout)
    assert said["applied"] is True and (said["problems"], said["notes"]) == ([], [])
    key = {"object": "unique deal property", "name": "dealflow_lead_key", "action": "create", "done": True}
    assert {**key, "field": "type", "from": None, "to": "string"} in said["changes"]

    made = next(p for p in _pipelines(bare) if p["label"] == process.pipeline)
    assert [s["label"] for s in made["stages"]] == [s.label for s in process.stages]
    metadata = {s["label"]: s["metadata"] for s in made["stages"]}
    assert metadata["Account management (Won)"] == {"probability": "1.0", "isClosed": "true"}
    assert metadata["Lost"]["probability"] == "0.0" and metadata["Lost"]["isClosed"] == "true"
    assert metadata["Development"] == {"probability": "0.3", "isClosed": "false"}
    assert metadata["Prospecting"] == {"probability": "0.05", "isClosed": "false"}

    bare.forget_calls()
    second = run_dealflow("provision", "--apply", **env)
    assert second.returncode == 0 and "nothing to do" in second.stdout
    assert {c["method"] for c in bare.calls("hub", "/")} == {"GET"}


def test_half_of_it_is_completed(bare: Any, portal_client: Any, process: Any) -> None:
    """A first run that broke off half-way: the next plan holds the other half only."""
    whole = plan(portal_client, process)
    for change in whole[: len(whole) // 2]:
        change.apply()

    rest = plan(portal_client, process)

    assert [c.what for c in rest] == [c.what for c in whole[len(whole) // 2 :]]
    for change in rest:
        change.apply()
    assert plan(portal_client, process) == []


def test_a_missing_stage_is_added(bare: Any, world: Any, portal_client: Any, process: Any) -> None:
    """The process file gained a stage: it is created at its place in the pipeline that is there, and those behind it
    move on by one. Taken out of the file again, it stays in HubSpot.
    """
    stages = list(process.stages)
    extra = stages[0].model_copy(
        update={"key": "pilot", "label": "Pilot", "exit_criteria": (), "on_enter": ()}
    )
    grown = process.model_copy(update={"stages": (*stages[:3], extra, *stages[3:])})

    changes = plan(portal_client, grown)
    for change in changes:
        change.apply()

    lines = [line for change in changes for line in change.lines]
    assert lines[0] == ("stage Pilot: probability 0.05, display order 3, in pipeline Dealflow sales process")
    assert lines[1] == "stage Presentation: display order 3 -> 4" and len(lines) == 1 + 5
    made = next(p for p in _pipelines(bare) if p["label"] == process.pipeline)
    assert [s["label"] for s in made["stages"]] == [s.label for s in grown.stages]
    assert plan(portal_client, grown) == [] == plan(portal_client, process)


def test_a_conflict_that_cannot_be_fixed_is_reported(bare: Any, env: Any, run_dealflow: Any) -> None:
    """Our unique property exists but is not unique: one clear line, exit 1, and nothing was created."""
    bare.hub.post(
        "/crm/properties/2026-03/deals",
        headers={"Authorization": "Bearer t"},
        json={
            "name": "dealflow_lead_key",
            "label": "x",
            "groupName": "dealinformation",
            "type": "string",
            "fieldType": "text",
        },
    ).raise_for_status()
    bare.forget_calls()

    done = run_dealflow("provision", "--apply", **env)

    assert done.returncode == 1
    assert done.stderr == "dealflow: 1 problem(s) to solve first; nothing was changed\n"
    assert "problem: unique deal property dealflow_lead_key exists but is not unique" in done.stdout
    assert "    fix: export its values if you need them, archive it in HubSpot" in done.stdout
    assert {c["method"] for c in bare.calls("hub", "/")} == {"GET"}


@pytest.mark.parametrize(
    ("fault", "says"),
    [({"status": 401}, "check the key"), ({"status": 403}, "check the key"), ({"status": 503}, "try again")],
)
def test_a_vendor_that_says_no_is_one_line(
    bare: Any, env: Any, run_dealflow: Any, fault: dict[str, Any], says: str
) -> None:
    """A bad token, a missing scope, an outage: one line, exit 1, no trace."""
    bare.fault("hub", "status", "/crm/", times=None, **fault)

    done = run_dealflow("provision", "--apply", **env)
    bare.clear_faults()

    assert done.returncode == 1 and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "test-token" not in done.stderr + done.stdout


def test_without_a_token_it_names_the_setting(bare: Any, run_dealflow: Any) -> None:
    """One line that names what to set."""
    done = run_dealflow("provision", DEALFLOW_HUBSPOT_BASE_URL=bare.hubspot_url)

    assert done.returncode == 1 and "DEALFLOW_HUBSPOT_TOKEN" in done.stderr


async def test_a_worker_says_what_is_not_provisioned(bare: Any, settings: Settings) -> None:
    """Before provisioning a worker stops with the command to run."""
    s = await open_services(settings)
    try:
        with pytest.raises(SetupError, match="dealflow provision --apply"):
            await s.portal()
    finally:
        await s.close()


def test_a_pipeline_may_be_named_by_id(bare: Any, world: Any, portal_client: Any, tmp_path: Path) -> None:
    """The file may name HubSpot's pipeline id and stage ids instead of labels: nothing is created then, and the stages
    are called as the file calls them.
    """
    made = next(p for p in _pipelines(bare) if p["label"] == "Dealflow sales process")
    raw = yaml.safe_load((Settings().config_dir / "sales_process.yaml").read_text())
    raw["pipeline"] = made["id"]
    for stage, known in zip(raw["stages"], made["stages"], strict=True):
        stage["hubspot_stage"] = known["id"]
    raw["stages"][1]["label"] = "Qualifying"
    path = tmp_path / "process.yaml"
    path.write_text(yaml.safe_dump(raw))
    named = load_process(Settings(process_file=path))

    need, stage = plan(portal_client, named)
    assert need.lines[0].endswith('Needed to leave Qualifying: The buyer has told us what they need."')
    assert stage.lines == ('stage Qualifying: label "Qualification" -> "Qualifying"',)
    for change in (need, stage):
        change.apply()
    assert plan(portal_client, named) == []
