"""`dealflow setup` against a real Prefect server: what it creates, what it leaves alone, and what it waits for."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from flows.processes import FLOWS
from tests.places import ROOT
from tests.stack import PrefectServer, Stack
from tests.warm import run_warm

FILE = ROOT / "deployments/prefect.yaml"
NOT_STATED = ("updated", "updated_by", "last_polled", "status")

pytestmark = pytest.mark.slow


def run_setup(server: PrefectServer, *options: str) -> subprocess.CompletedProcess[str]:
    return run_warm(["setup", *options], {**server.environment, "NO_COLOR": "1"})


def setup(server: PrefectServer, *options: str) -> str:
    done = run_setup(server, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def deployments(server: PrefectServer) -> dict[str, Any]:
    """What the server has, by name, without what changes at each update."""
    found = {}
    for row in server.post("/deployments/filter", {}):
        for schedule in row["schedules"]:
            schedule.pop("updated")
            schedule["schedule"].pop("anchor_date", None)  # an interval's is the moment of the update
        row["schedules"].sort(key=lambda schedule: str(schedule["slug"]))
        found[row["name"]] = {key: value for key, value in row.items() if key not in NOT_STATED}
    return found


def test_each_parameter_is_described_where_operators_see_it(prefect_server: PrefectServer) -> None:
    """The form of a run in Prefect's UI is made from this schema: no parameter without a text, no flow without one."""
    ours = deployments(prefect_server)
    flows = {row["id"]: row["name"] for row in prefect_server.post("/flows/filter", {})}
    assert {f"{flows[row['flow_id']]}/{name}" for name, row in ours.items()} >= {
        flow.deployment for flow in FLOWS.values()
    }
    for flow in FLOWS.values():
        row = ours[flow.title]
        assert row["description"].strip()
        assert row["enforce_parameter_schema"] is True
        for name, schema in row["parameter_openapi_schema"]["properties"].items():
            assert schema.get("description", "").strip(), f"{flow.title}: {name}"


def test_deploying_in_process_gives_what_prefect_deploy_gives(prefect_server: PrefectServer) -> None:
    """Every field of every deployment and schedule is the same, the version that Prefect asks git for as well."""
    setup(prefect_server)
    ours = deployments(prefect_server)
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(FILE)],
        env=prefect_server.environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    theirs = deployments(prefect_server)
    setup(prefect_server)
    assert ours == theirs == deployments(prefect_server)
    stated = {entry["name"]: entry for entry in yaml.safe_load(FILE.read_text())["deployments"]}
    assert set(stated) <= set(ours)
    for name, entry in stated.items():
        slugs = sorted(schedule["slug"] for schedule in entry.get("schedules", []))
        assert [schedule["slug"] for schedule in ours[name]["schedules"]] == slugs
        assert ours[name]["description"] == entry["description"]


def test_what_people_set_in_prefect_stays(prefect_server: PrefectServer) -> None:
    """A paused deployment, a paused schedule and an added schedule are still so after another set-up."""
    before = deployments(prefect_server)
    sync, paused = before["sync-deals"], before["follow-up"]
    night = next(one for one in sync["schedules"] if one["slug"] == "full-each-night")
    schedule = f"{prefect_server.url}/api/deployments/{sync['id']}/schedules/{night['id']}"
    added = prefect_server.post(
        f"/deployments/{before['hand-over']['id']}/schedules",
        [{"active": False, "schedule": {"cron": "1 1 1 1 *", "timezone": "UTC"}}],
    )
    try:
        prefect_server.post(f"/deployments/{paused['id']}/pause_deployment", {})
        httpx.patch(schedule, json={"active": False}, trust_env=False).raise_for_status()
        setup(prefect_server)
        after = deployments(prefect_server)
        assert after["follow-up"]["paused"] is True
        assert [s["active"] for s in after["sync-deals"]["schedules"] if s["slug"] == "full-each-night"] == [
            False
        ]
        assert [s["id"] for s in after["hand-over"]["schedules"]] == [added[0]["id"]]
    finally:
        prefect_server.post(f"/deployments/{paused['id']}/resume_deployment", {})
        httpx.patch(schedule, json={"active": True}, trust_env=False).raise_for_status()
        hand_over = f"{prefect_server.url}/api/deployments/{before['hand-over']['id']}"
        httpx.delete(f"{hand_over}/schedules/{added[0]['id']}", trust_env=False).raise_for_status()


def test_a_file_of_the_operators_own_is_left_to_prefect(
    prefect_server: PrefectServer, tmp_path: Path
) -> None:
    """Another flow, job variables, a template: `prefect deploy` applies it, and a mistake in it is one clear error."""
    (tmp_path / "own.py").write_text(
        "from prefect import flow\n\n\n@flow\ndef own(deal: str = '') -> None:\n    '''Ours.'''\n"
    )
    entry = {
        "name": "own",
        "entrypoint": f"{tmp_path}/own.py:own",
        "work_pool": {"name": "dealflow", "job_variables": {"env": {"A": "1"}}},
        "tags": ["{{ $OWN_TAG }}"],
    }
    file = tmp_path / "prefect.yaml"
    file.write_text(json.dumps({"name": "own", "deployments": [entry]}))
    prefect_server.environment["OWN_TAG"] = "by-hand"
    try:
        assert setup(prefect_server, "--prefect-file", str(file)) == "deployed all of prefect.yaml\n"
        made = deployments(prefect_server)["own"]
        assert (made["job_variables"], made["tags"]) == ({"env": {"A": "1"}}, ["by-hand"])
        file.write_text(json.dumps({"deployments": [{**entry, "entrypoint": f"{tmp_path}/own.py:gone"}]}))
        done = run_setup(prefect_server, "--prefect-file", str(file))
        assert done.returncode == 1 and "prefect deploy failed" in done.stderr
        assert "dealflow: " in done.stderr
    finally:
        del prefect_server.environment["OWN_TAG"]
        made = deployments(prefect_server).get("own")
        if made:
            httpx.delete(f"{prefect_server.url}/api/deployments/{made['id']}", trust_env=False)


def test_a_work_pool_that_does_not_exist_is_named(prefect_server: PrefectServer, tmp_path: Path) -> None:
    """One line, exit code 1, and what to do (the server itself answers 500)."""
    entry = {
        "name": "sync-deals",
        "entrypoint": "flows.prefect_flows.sync_deals",
        "work_pool": {"name": "gone"},
    }
    file = tmp_path / "prefect.yaml"
    file.write_text(json.dumps({"deployments": [entry]}))
    done = run_setup(prefect_server, "--prefect-file", str(file))
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "no work pool 'gone'" in done.stderr and "DEALFLOW_WORK_POOL" in done.stderr


@pytest.fixture
def without_hand_over(prefect_server: PrefectServer) -> Iterator[None]:
    """Prefect lacks one of our deployments; whoever wants it back runs the set-up."""
    gone = deployments(prefect_server)["hand-over"]["id"]
    httpx.delete(f"{prefect_server.url}/api/deployments/{gone}", trust_env=False).raise_for_status()
    yield
    setup(prefect_server)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("without_hand_over")
def test_a_worker_waits_for_deployments_as_long_as_it_is_told(
    prefect_server: PrefectServer, stack: Stack
) -> None:
    """Started beside `dealflow setup` it waits for it; when they stay missing, its error names the command."""
    stack.start()
    worker = stack.worker
    assert worker is not None
    assert worker.process.wait(180) == 1  # it was told to wait for nothing
    text = worker.log.read_text()
    assert "Prefect has no deployment hand-over/hand-over: run `dealflow setup`" in text
    stack.parts.started.remove(worker)

    patient = stack.parts.dealflow("patient", "worker", "--wait=600")
    stack.until("the patient worker reports", lambda: stack.health().get("workers", 0) >= 1)
    assert stack.lead().status_code == 202
    setup(prefect_server)
    stack.until("the patient worker handles the lead", lambda: stack.records("deals"))
    assert patient.process.poll() is None
