"""Pins the uses of Prefect on which our speed depends: an upgrade that breaks one must fail here."""

import inspect
import json
import subprocess
import sys
import threading
import time
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect import flow
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.context import get_run_context
from prefect.flow_engine import run_flow_async
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.operations.launch import PREFECT_BATCHED
from flows.operations.prefect_environment import PREFECT_QUIET
from flows.processes import FLOWS
from flows.worker.dispatch import claim_run, execute, load_flow, start_run
from flows.worker.prefect_client import QuickRetry, client_context
from flows.worker.runs import _handle_event


@pytest.mark.parametrize("module", FLOWS)
def test_flows_are_async(module: str) -> None:
    """A sync flow takes a second more: its heartbeat thread is joined at the end."""
    found = load_flow(module)
    assert inspect.iscoroutinefunction(found.fn) and found.isasync
    assert found.persist_result is False  # no pickles of customer data on disk
    assert found.name == module.replace("_", "-")
    allowed = {"event_ids", "deal_ids", "full", "stage"}  # a stage by its key in the process file
    assert set(inspect.signature(found.fn).parameters) <= allowed  # ids only


def test_the_task_is_untagged_and_never_retried_by_prefect() -> None:
    """A tag costs a round trip per task; safety does not depend on Prefect's retries and caches."""
    assert not _handle_event.tags
    assert _handle_event.retries == 0
    assert _handle_event.cache_policy == NO_CACHE
    assert _handle_event.persist_result is False


def test_the_server_settings_exist() -> None:
    """Prefect ignores settings that it does not know: a renamed one would silently bring back the delays."""
    code = (
        "import json; from prefect.settings import get_current_settings as g; s = g();"
        "print(json.dumps([s.server.services.task_run_recorder.batch_size,"
        "s.server.services.task_run_recorder.read_batch_size, s.server.services.event_persister.batch_size,"
        "s.server.services.event_persister.read_batch_size, s.server.analytics_enabled, s.server.ephemeral.enabled]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **PREFECT_QUIET, **PREFECT_BATCHED},
    )
    assert json.loads(done.stdout) == [200, 200, 500, 200, False, False]


@pytest.mark.slow
async def test_a_run_is_created_from_its_deployment_and_executed_here(prefect_server: Any) -> None:
    """The server's row keeps its deployment, name and tags; the engine starts no suspension observer for it."""
    threads: dict[str, set[str]] = {}

    @flow(name="sync-deals", persist_result=False)
    async def inside(event_ids: list[int]) -> str:
        name = get_run_context().flow_run.name  # type: ignore[union-attr]
        threads[str(name)] = {t.name for t in threading.enumerate()}
        assert event_ids == [7]
        return "done"

    with temporary_settings({PREFECT_API_URL: f"{prefect_server.url}/api"}):
        async with get_client() as client:
            deployment = await client.read_deployment_by_name(FLOWS["sync_deals"].deployment)
            wanted = {"tags": ["deal:1"], "parameters": {"event_ids": [7]}}
            run = await start_run(client, deployment.id, name="ours", idempotency_key="pin-1", **wanted)
            again = await start_run(client, deployment.id, name="ours", idempotency_key="pin-1", **wanted)
            assert again.id == run.id  # creating it twice gives one run
            state = await execute(inside, run)
            row = await client.read_flow_run(run.id)
            plain = await start_run(client, deployment.id, name="plain", idempotency_key="pin-2", **wanted)
            await run_flow_async(inside, flow_run=plain, parameters=plain.parameters)
    assert state.is_completed()
    assert row.deployment_id == deployment.id and row.name == "ours"
    assert "deal:1" in row.tags and row.state is not None and row.state.is_completed()
    extra = threads["plain"] - threads["ours"]
    assert extra, "Prefect no longer starts an observer: dispatch.execute need not hide the deployment"


@pytest.mark.slow
async def test_a_scheduled_run_is_claimed_once(prefect_server: Any) -> None:
    """Two workers that see the same scheduled run: one gets it."""
    with temporary_settings({PREFECT_API_URL: f"{prefect_server.url}/api"}):
        async with get_client() as client:
            deployment = await client.read_deployment_by_name(FLOWS["intake_leads"].deployment)
            created = prefect_server.post(f"/deployments/{deployment.id}/create_flow_run", {})
            run_id = UUID(created["id"])
            assert await claim_run(client, run_id) is True
            assert await claim_run(client, run_id) is False


async def test_a_busy_server_is_asked_again_at_once() -> None:
    """A 503 (two writers in SQLite) costs milliseconds; if the server stays busy, Prefect's client retries."""
    answers = [503, 503, 201]

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.content == b'{"name": "run"}'
        return httpx.Response(answers.pop(0) if answers else 503)

    transport = QuickRetry(httpx.MockTransport(answer))
    async with httpx.AsyncClient(transport=transport, base_url="http://prefect.test") as client:
        assert (await client.post("/", content=b'{"name": "run"}')).status_code == 201
        assert answers == []
        assert (await client.post("/", content=b'{"name": "run"}')).status_code == 503


@pytest.mark.slow
async def test_everything_in_the_worker_shares_one_client(prefect_server: Any) -> None:
    """`get_client()` inside runs gives the worker's own client, with its transport."""
    with temporary_settings({PREFECT_API_URL: f"{prefect_server.url}/api"}):
        async with client_context() as context, get_client() as inner:
            assert inner is context.client
            assert isinstance(inner._client._transport, QuickRetry)
            assert (await inner.hello()).status_code == 200


@pytest.mark.slow
def test_the_schedule_creates_runs(prefect_server: Any) -> None:
    """The sync's schedule creates runs in advance (with SQLAlchemy 2.1 the server's scheduler failed in silence)."""
    wanted = {
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "deployments": {"name": {"any_": ["sync-deals"]}},
    }
    until = time.monotonic() + 90
    while not (found := prefect_server.post("/flow_runs/filter", wanted)) and time.monotonic() < until:
        time.sleep(1)
    assert {run["auto_scheduled"] for run in found} == {True}
    assert any(run["parameters"].get("full") for run in found) and any(not run["parameters"] for run in found)
