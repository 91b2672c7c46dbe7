"""Starts flow runs in this warm process, each belonging to its deployment.

A run is created from its flow's deployment (so that schedules, pauses and the UI include it) and executed in this
process: it is done after about 0.1 s, while a process worker needs seconds to start one.
"""

import importlib
import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas import OrchestrationResult
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import SetStateStatus
from prefect.flow_engine import run_flow_async
from prefect.states import Crashed, Pending

from flows.processes import FLOWS

log = logging.getLogger(__name__)

ENTRY_POINTS = "flows.prefect_flows"
"""The module whose functions are the flows, as the entrypoints in prefect.yaml name them."""


def load_flow(name: str) -> Flow[Any, Any]:
    """The flow of this name. Importing Prefect's engine and the flow's logic takes seconds."""
    FLOWS[name].load()
    found = getattr(importlib.import_module(ENTRY_POINTS), name)
    assert isinstance(found, Flow)
    return found


async def start_run(
    client: PrefectClient,
    deployment_id: UUID,
    *,
    name: str,
    tags: Sequence[str],
    parameters: dict[str, Any],
    idempotency_key: str,
) -> FlowRun:
    """Create a run of this deployment, as Pending so that no other worker takes it."""
    return await client.create_flow_run_from_deployment(
        deployment_id,
        name=name,
        tags=list(tags),
        parameters=parameters,
        state=Pending(),
        idempotency_key=idempotency_key,
    )


async def claim_run(client: PrefectClient, flow_run_id: UUID) -> bool:
    """Take a scheduled run for this process; False when another worker was faster."""
    answer: OrchestrationResult[Any] = await client.set_flow_run_state(flow_run_id, Pending())
    return answer.status == SetStateStatus.ACCEPT


async def execute(flow: Flow[Any, Any], run: FlowRun) -> State[Any]:
    """Run it in this process and return its final state, which holds an error of the flow.

    The engine gets a copy without the deployment id: with it, every run would start a suspension observer
    whose thread blocks this loop (measured: 3.4-4.6 runs/s instead of 13). The server's row keeps its
    deployment; only suspending this run from the UI does not work.
    """
    copy = run.model_copy(update={"deployment_id": None})
    state = await run_flow_async(flow, flow_run=copy, parameters=run.parameters, return_type="state")
    assert isinstance(state, State)
    return state


async def mark_crashed(client: PrefectClient, flow_run_id: str, why: str) -> None:
    """Mark a run whose worker died as Crashed; leave an ended run alone."""
    try:
        run = await client.read_flow_run(UUID(flow_run_id))
        if run.state is not None and not run.state.is_final():
            await client.set_flow_run_state(run.id, Crashed(message=why), force=True)
    except Exception:
        log.warning("run not marked as crashed flow_run_id=%s", flow_run_id, exc_info=True)
