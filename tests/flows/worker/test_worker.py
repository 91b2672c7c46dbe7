"""The worker's own judgement, without a Prefect server: which service is unavailable when a call fails."""

from typing import Any

import pytest
import sqlalchemy as sa
from prefect.exceptions import ObjectNotFound
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
