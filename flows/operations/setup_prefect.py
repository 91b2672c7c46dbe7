"""`dealflow setup`: work pool, deployments and the automation that marks dead runs as crashed. Safe to repeat."""

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound

from flows.errors import FlowError

ZOMBIES = "dealflow: mark dead runs as crashed"
_HEARTBEAT_S = 180  # Prefect's own; three of them may be missed


class PrefectSetupError(FlowError):
    """Prefect did not take the set-up. The text carries what it said."""


async def setup(prefect_file: Path, work_pool: str) -> list[str]:
    """Make Prefect fit; returns what was done, line by line. Raises PrefectSetupError."""
    done: list[str] = []
    async with get_client() as client:
        try:
            await client.read_work_pool(work_pool)
        except ObjectNotFound:
            # Pools first: `prefect deploy` only warns about a missing one and then exits 0.
            await client.create_work_pool(WorkPoolCreate(name=work_pool, type="process"))
            done.append(f"created work pool {work_pool}")
        done += await _deploy(prefect_file)
        if await _automation(client):
            done.append(f"created automation {ZOMBIES!r}")
    return done


async def _deploy(prefect_file: Path) -> list[str]:
    """Prefect's own deploy command on our file."""
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
    text = out.decode(errors="replace")
    if process.returncode != 0:
        raise PrefectSetupError(f"prefect deploy failed:\n{text[-1500:]}")
    return [f"deployed all of {prefect_file.name}"]


async def _automation(client: PrefectClient) -> bool:
    """A run whose process died stays Running for ever otherwise. Returns whether it was created now."""
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
