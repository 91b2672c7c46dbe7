"""`dealflow setup`: work pool, deployments and the automation that marks dead runs as crashed. Safe to repeat."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.deployments.runner import DeploymentApplyError
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL

from flows.errors import FlowError
from flows.operations.deployments import Entry, apply, read_entries
from flows.worker.prefect_client import client_context, is_listening

ZOMBIES = "dealflow: mark dead runs as crashed"
_HEARTBEAT_S = 180  # Prefect's own; three of them may be missed


class PrefectSetupError(FlowError):
    """Prefect did not take the set-up. The text carries what it said."""


async def setup(prefect_file: Path, work_pool: str, *, wait_s: float = 0) -> list[str]:
    """Set Prefect up; returns what was done, line by line. Raises PrefectSetupError, ConfigFileError.

    wait_s: for how long to wait for a Prefect server that does not answer yet.
    """
    entries = read_entries(prefect_file)  # imports the flows: meanwhile the server starts
    done: list[str] = []
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        if await is_listening():
            break
        await asyncio.sleep(0.2)
    async with _prefect() as client:
        try:
            await client.read_work_pool(work_pool)
        except ObjectNotFound:
            # Pools first: `prefect deploy` only warns about a missing one and then exits 0.
            await client.create_work_pool(WorkPoolCreate(name=work_pool, type="process"))
            done.append(f"created work pool {work_pool}")
        await (_deploy_with_prefect(prefect_file) if entries is None else _deploy(client, entries))
        done.append(f"deployed all of {prefect_file.name}")
        if await _automation(client):
            done.append(f"created automation {ZOMBIES!r}")
    return done


@asynccontextmanager
async def _prefect() -> AsyncIterator[PrefectClient]:
    """One client for all calls. Raises PrefectSetupError when the server does not answer."""
    context = client_context()
    try:
        await context.__aenter__()
    except (httpx.HTTPError, RuntimeError) as problem:  # Prefect's client wraps what happened
        raise PrefectSetupError(
            f"Prefect does not answer at {PREFECT_API_URL.value()}: start its server, or set PREFECT_API_URL to where "
            "it runs"
        ) from problem
    try:
        yield context.client
    except (httpx.HTTPError, PrefectHTTPStatusError) as problem:
        raise PrefectSetupError(
            f"Prefect stopped answering: {type(problem).__name__}; run setup again"
        ) from problem
    finally:
        await context.__aexit__(None, None, None)


async def _deploy(client: PrefectClient, entries: list[Entry]) -> None:
    for pool in sorted({entry.work_pool for entry in entries}):
        try:
            await client.read_work_pool(pool)
        except ObjectNotFound:
            raise PrefectSetupError(
                f"Prefect has no work pool {pool!r}, which the file names: set DEALFLOW_WORK_POOL to it, or create it"
            ) from None
    try:
        await apply(entries)
    except (DeploymentApplyError, httpx.HTTPError, ValueError) as problem:
        raise PrefectSetupError(
            f"Prefect refused a deployment: {' '.join(str(problem).split())[:300]}"
        ) from problem


async def _deploy_with_prefect(prefect_file: Path) -> None:
    """Prefect's own deploy command on a file that holds more than our flows."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "prefect",
        "--no-prompt",
        "deploy",
        "--all",
        "--prefect-file",
        str(prefect_file),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200"},
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:  # we were stopped in the middle
            process.kill()
    if process.returncode != 0:
        raise PrefectSetupError(f"prefect deploy failed:\n{out.decode(errors='replace')[-1500:]}")


async def _automation(client: PrefectClient) -> bool:
    """A run whose process died stays Running forever otherwise. Returns whether it was created now."""
    if await client.read_automations_by_name(ZOMBIES):
        return False
    flow_run = {"prefect.resource.id": ["prefect.flow-run.*"]}
    await client.create_automation(
        AutomationCore(
            name=ZOMBIES,
            description="A flow run that stops sending heartbeats is dead: its worker was killed.",
            enabled=True,
            trigger=EventTrigger(
                after={"prefect.flow-run.heartbeat"},
                expect={"prefect.flow-run.*"},
                match=flow_run,
                for_each={"prefect.resource.id"},
                posture=Posture.Proactive,
                threshold=1,
                within=timedelta(seconds=3 * _HEARTBEAT_S),
            ),
            actions=[
                ChangeFlowRunState(
                    state=StateType.CRASHED, message="No heartbeat: the process that ran it is gone."
                )
            ],
        )
    )
    return True
