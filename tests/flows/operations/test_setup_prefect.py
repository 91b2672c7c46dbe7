"""`dealflow setup` without a Prefect server: which files it applies itself, and what it says when nobody answers."""

import inspect
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.utilities.callables import parameter_schema

from config.files import ConfigFileError
from flows.operations.deployments import read_entries
from flows.operations.setup_prefect import PrefectSetupError, _deploy
from flows.processes import FLOWS
from tests.places import ROOT
from tests.stand_ins import clean_environment

PLAIN = {"name": "d", "entrypoint": "flows.prefect_flows.sync_deals", "work_pool": {"name": "dealflow"}}


def written(folder: Path, *entries: Any, **top: Any) -> Path:
    file = folder / "prefect.yaml"
    file.write_text(yaml.safe_dump({**top, "deployments": list(entries)}))
    return file


def test_our_own_file_is_applied_here() -> None:
    """Every deployment of deployments/prefect.yaml, with its flow."""
    entries = read_entries(ROOT / "deployments/prefect.yaml")
    assert entries is not None
    assert {f"{entry.flow.name}/{entry.stated['name']}" for entry in entries} == {
        flow.deployment for flow in FLOWS.values()
    }


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"tags": ["a"], "description": "d", "parameters": {"full": True}, "enforce_parameter_schema": False},
        {"schedules": []},
        {
            "schedules": [
                {"interval": 60},
                {"cron": "* * * * *", "timezone": "UTC", "active": False, "slug": "s"},
            ]
        },
    ],
)
def test_what_we_know_is_applied_here(tmp_path: Path, changed: dict[str, Any]) -> None:
    """A file like ours, with other names, times and tags."""
    entries = read_entries(written(tmp_path, {**PLAIN, **changed}, name="n", definitions={"a": 1}))
    assert entries is not None and [entry.flow.name for entry in entries] == ["sync-deals"]


@pytest.mark.parametrize(
    "changed",
    [
        {"entrypoint": "flows/prefect_flows.py:sync_deals"},
        {"entrypoint": "own.flows.sync_deals"},
        {"entrypoint": "flows.prefect_flows.no_such_flow"},
        {"entrypoint": "flows.prefect_flows.runs"},
        {"entrypoint": None},
        {"name": 7},
        {"tags": "one"},
        {"tags": ["{{ $ENVIRONMENT }}"]},
        {"work_pool": {}},
        {"work_pool": {"name": "dealflow", "job_variables": {"env": {}}}},
        {"work_pool": {"name": "dealflow", "work_queue_name": "q"}},
        {"schedules": [{"rrule": "FREQ=DAILY"}]},
        {"schedules": [{"interval": 60, "cron": "* * * * *"}]},
        {"schedules": [{"slug": "never"}]},
        {"schedules": [{"interval": 60.5}]},
        {"schedules": [{"interval": 60, "anchor_date": "2026-01-01"}]},
        {"schedules": [{"cron": "* * * * *", "active": "yes"}]},
        {"schedule": {"interval": 60}},
        {"paused": True},
        {"triggers": []},
        {"concurrency_limit": 1},
        {"pull": []},
        {"version": "1"},
        {"misspelt": 1},
    ],
    ids=str,
)
def test_what_only_prefect_knows_is_left_to_it(tmp_path: Path, changed: dict[str, Any]) -> None:
    """One entry that is not like ours: `prefect deploy` applies the whole file."""
    assert read_entries(written(tmp_path, PLAIN, {**PLAIN, **changed})) is None


@pytest.mark.parametrize(
    "top", [{"build": []}, {"pull": [{"a": {}}]}, {"deployments": []}, {"deployments": "x"}]
)
def test_a_file_with_steps_or_without_deployments_is_left_to_prefect(
    tmp_path: Path, top: dict[str, Any]
) -> None:
    """Build, push and pull steps are Prefect's."""
    file = tmp_path / "prefect.yaml"
    file.write_text(yaml.safe_dump({"deployments": [PLAIN], **top}))
    assert read_entries(file) is None


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """`prefect deploy` would skip it and report success."""
    (tmp_path / "prefect.yaml").write_text("deployments: [")
    with pytest.raises(ConfigFileError, match=r"prefect\.yaml line 1"):
        read_entries(tmp_path / "prefect.yaml")


def test_each_parameter_is_described() -> None:
    """Prefect's UI shows these texts beside the fields of a run; flows and deployments say what they do."""
    entries = read_entries(ROOT / "deployments/prefect.yaml")
    assert entries
    for entry in entries:
        assert entry.flow.description and entry.stated["description"]
        schema = parameter_schema(entry.flow).properties
        assert set(schema) == set(inspect.signature(entry.flow.fn).parameters)
        for name, shown in schema.items():
            assert shown.get("description", "").strip(), f"{entry.flow.name}: {name}"


class Pools:
    """Prefect's client as far as a deployment asks it before anything is sent."""

    async def read_work_pool(self, name: str) -> None:
        assert name == "dealflow"


async def test_a_schedule_that_prefect_refuses_is_one_line(tmp_path: Path) -> None:
    """What is wrong is named, without a trace."""
    entries = read_entries(written(tmp_path, {**PLAIN, "schedules": [{"cron": "61 * * * *"}]}))
    assert entries is not None
    with pytest.raises(
        PrefectSetupError, match=r'refused a deployment: .*Invalid cron string: "61'
    ) as raised:
        await _deploy(Pools(), entries)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_a_prefect_server_that_does_not_answer_is_named_in_one_line(tmp_path: Path) -> None:
    """Exit code 1, the address, and what to do, after the time that it was told to wait."""
    file, url = written(tmp_path, PLAIN), "http://127.0.0.1:9/api"
    began = time.monotonic()
    # A process of its own: in this one Prefect may have read another address already.
    done = subprocess.run(
        [sys.executable, "-m", "flows", "setup", f"--prefect-file={file}", "--wait=1"],
        cwd=ROOT,
        # Prefect's client would go on trying for half a minute.
        env=clean_environment(PREFECT_API_URL=url, PREFECT_CLIENT_MAX_RETRIES="0"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert time.monotonic() - began >= 1
    assert done.returncode == 1, done.stdout
    assert done.stderr.splitlines() == [
        f"dealflow: Prefect does not answer at {url}: start its server, or set PREFECT_API_URL to where it runs"
    ]
