"""Applies deployments of our own flows to Prefect in this process, as `prefect deploy` does in one of its own.

`prefect deploy` takes seconds to start, opens a connection for each step and asks git for the version at each
deployment. What it sends is built by Prefect's RunnerDeployment, which is used here, too; tests/acceptance compares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import Flow
from prefect.runner.storage import LocalStorage

from config.files import read_yaml

_OURS = "flows.prefect_flows"
_TOP = {"name", "prefect-version", "definitions", "deployments"}
_ENTRY = {
    "name": str,
    "description": str,
    "entrypoint": str,
    "tags": list,
    "work_pool": dict,
    "schedules": list,
    "parameters": dict,
    "enforce_parameter_schema": bool,
}
_SCHEDULE = {
    "cron": str,
    "interval": int,
    "timezone": str,
    "slug": str,
    "parameters": dict,
    "active": bool,
}


@dataclass(frozen=True)
class Entry:
    """A deployment as the file states it, with its flow."""

    flow: Flow[..., Any]
    stated: Mapping[str, Any]

    @property
    def work_pool(self) -> str:
        """The name of the pool that takes its scheduled runs."""
        name: str = self.stated["work_pool"]["name"]
        return name


def read_entries(prefect_file: Path) -> list[Entry] | None:
    """The deployments of a file; None when it holds anything that only `prefect deploy` knows how to apply.

    That is: another entrypoint than one of our flows, a template, or a key that is not listed above (build steps,
    triggers, job variables, ...). Raises ConfigFileError.
    """
    content = read_yaml(prefect_file)
    deployments = content.get("deployments")
    if not isinstance(deployments, list) or not deployments or not content.keys() <= _TOP:
        return None
    if "{{" in prefect_file.read_text(encoding="utf-8"):
        return None
    entries: list[Entry] = []
    for stated in deployments:
        flow = _flow_of(stated)
        if flow is None:
            return None
        entries.append(Entry(flow, stated))
    return entries


def _flow_of(stated: Any) -> Flow[..., Any] | None:
    """The flow that an entry names; None when it is not ours or the entry is not a plain one."""
    if not _is_plain(stated, _ENTRY) or not {"name", "entrypoint", "work_pool"} <= stated.keys():
        return None
    if stated["work_pool"].keys() != {"name"} or not isinstance(stated["work_pool"]["name"], str):
        return None
    schedules = stated.get("schedules", [])
    if not all(_is_plain(s, _SCHEDULE) and ("cron" in s) != ("interval" in s) for s in schedules):
        return None
    module, _, name = stated["entrypoint"].rpartition(".")
    found = getattr(import_module(_OURS), name, None) if module == _OURS else None
    return found if isinstance(found, Flow) else None


def _is_plain(stated: Any, kinds: Mapping[str, type]) -> bool:
    return isinstance(stated, dict) and all(type(value) is kinds.get(key) for key, value in stated.items())


async def apply(entries: Sequence[Entry]) -> None:
    """Create or update each deployment, over the Prefect client that is open in this context.

    What the file leaves open stays as people set it in Prefect: a paused deployment stays paused, and so does a paused
    schedule with a slug.
    """
    here = LocalStorage(str(Path.cwd()))
    version = None
    for entry in entries:
        stated = entry.stated
        deployment = RunnerDeployment(
            name=stated["name"],
            flow_name=entry.flow.name,
            entrypoint=stated["entrypoint"],
            work_pool_name=entry.work_pool,
            work_queue_name=None,
            parameters=stated.get("parameters", {}),
            description=stated.get("description") or entry.flow.description,
            version=None,
            version_type=None,
            tags=stated.get("tags", []),
            concurrency_limit=None,
            concurrency_options=None,
            paused=None,
            storage=here,
            job_variables={},
        )
        deployment._set_defaults_from_flow(entry.flow)  # the schema of the parameters
        if "enforce_parameter_schema" in stated:
            deployment.enforce_parameter_schema = stated["enforce_parameter_schema"]
        if version is None:
            version = deployment._get_deployment_version_info()  # asks git
        deployment.version = version.version
        # Not stated, not sent: `prefect deploy` resumes a deployment that somebody paused.
        deployment.model_fields_set.discard("paused")
        await deployment.aapply(
            schedules=[_schedule(one) for one in stated.get("schedules", [])], version_info=version
        )


def _schedule(stated: Mapping[str, Any]) -> dict[str, Any]:
    times = {"timezone": stated["timezone"]} if "timezone" in stated else {}
    schedule: CronSchedule | IntervalSchedule
    if "cron" in stated:
        schedule = CronSchedule(cron=stated["cron"], **times)
    else:
        schedule = IntervalSchedule(interval=timedelta(seconds=stated["interval"]), **times)
    kept = {key: stated[key] for key in ("active", "parameters", "slug") if key in stated}
    return {"schedule": schedule, **kept}
