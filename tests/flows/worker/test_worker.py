"""The worker's own judgement, without a Prefect server: which service is unavailable when a call fails."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy.ext.asyncio import create_async_engine

from flows.ledger.database import Ledger
from flows.operations.launch import free_port
from flows.processes import FLOWS
from flows.services import SetupError
from flows.worker.worker import Worker


class Deployment:
    """As Prefect answers it, as far as a claim looks."""

    id = "d"
    paused = False


class PrefectApi:
    """Prefect's client as a claim uses it: answers, or raises what it was given."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem

    async def read_deployment_by_name(self, name: str) -> Deployment:
        assert name.partition("/")[0].replace("-", "_") in FLOWS
        if self.problem is not None:
            raise self.problem
        return Deployment()


async def _noted(worker: Worker) -> tuple[bool, str | None]:
    """What the worker reports of itself after one turn of its loop that could not claim."""
    worker.stop()  # it shall not wait
    with pytest.raises(Exception) as raised:  # which one is the question
        await worker._claim()
    worker._trouble = raised.value
    await worker._back_off()
    return worker._prefect_ok, worker._note


async def test_prefect_away_is_called_so(s: Any) -> None:
    """A refused connection of Prefect's client."""
    api: Any = PrefectApi(ConnectionRefusedError())

    assert await _noted(Worker(s, api)) == (False, "Prefect server unavailable: ConnectionRefusedError")


async def test_the_database_away_is_called_so(s: Any) -> None:
    """The same kind of error, from a PostgreSQL that is not there: the ledger is unavailable, Prefect works."""
    real, api = s.ledger, PrefectApi()
    nowhere = f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/none"
    s.ledger = Ledger(create_async_engine(sa.make_url(nowhere)))
    try:
        prefect_ok, note = await _noted(Worker(s, api))  # type: ignore[arg-type]
    finally:
        await s.ledger.close()
        s.ledger = real

    assert (prefect_ok, note) == (True, "ledger unavailable: ConnectionRefusedError")


async def test_a_missing_deployment_stops_the_worker(s: Any) -> None:
    """Not transient: the error says what to run."""
    api: Any = PrefectApi(ObjectNotFound(None))

    with pytest.raises(SetupError, match="dealflow setup"):
        await Worker(s, api)._claim()


@pytest.fixture
async def listener() -> AsyncIterator[None]:
    """Somebody takes connections where Prefect's server should be."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{port}/api"}):
        yield
    server.close()


@pytest.mark.parametrize("problem", [ObjectNotFound(None), ConnectionRefusedError()])
async def test_what_is_being_set_up_is_awaited(s: Any, listener: None, problem: Exception) -> None:
    """Started beside the Prefect server and `dealflow setup`: the worker asks until the deployments are there."""
    api = PrefectApi(problem)
    worker = Worker(s, api, wait_s=60)  # type: ignore[arg-type]
    waiting = asyncio.create_task(worker._await_deployments())
    await asyncio.wait([waiting], timeout=0.5)
    assert not waiting.done()

    api.problem = None
    await asyncio.wait_for(waiting, 30)

    assert set(worker._deployments) == set(FLOWS)


async def test_a_server_that_does_not_listen_yet_is_not_asked(s: Any) -> None:
    """Prefect's client would sleep for seconds after a refused connection."""
    api: Any = PrefectApi(AssertionError("asked"))

    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        await asyncio.wait_for(Worker(s, api, wait_s=0.5)._await_deployments(), 30)


@pytest.mark.parametrize("wait_s", [0, 0.5])
async def test_deployments_that_stay_missing_are_not_awaited_for_ever(
    s: Any, listener: None, wait_s: float
) -> None:
    """When the time is over the loop goes on to its error."""
    worker = Worker(s, PrefectApi(ObjectNotFound(None)), wait_s=wait_s)  # type: ignore[arg-type]

    await asyncio.wait_for(worker._await_deployments(), 30)

    with pytest.raises(SetupError, match="dealflow setup"):
        await worker._claim()
