"""Every call of the story fails once in every way; here a sample, all of it in `make crash`."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.amount import few, is_full
from tests.proof.desk_harness import open_environment
from tests.proof.faults import ANY_ID, FAULTS, STORIES, Calm, Case, cases_of, learn, run_case, sentences
from tests.proof.process_harness import Environment

WRITES = {"^/crm/objects/2026\\-03/emails$", f"^/v3/signature_request/remind/{ANY_ID}$"}
"""Writes that only the slow buyer's story makes; its reads are left to `make crash`."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(few(1800, 600)), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Environment]:
    """A sandbox for successive stories."""
    async with open_environment(tmp_path_factory.mktemp("faults")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calm(environment: Environment) -> Calm:
    """The stories without faults, played once."""
    return await learn(environment)


@pytest.mark.sampled
async def test_any_fault_of_a_call_gives_the_same_end(environment: Environment, calm: Calm) -> None:
    """Same end state, nothing twice, no hammering; a person is needed only where that is the right end."""
    once_each = cases_of(calm, only=len(calm.endpoints))
    sample = once_each
    if not is_full():  # each fault once, and each of those writes
        once = {case.fault: case for case in once_each if case.endpoint.story == STORIES[0]}
        sample = [c for c in once_each if once[c.fault] == c or c.endpoint.path in WRITES]
    assert {case.fault for case in sample} == set(FAULTS)
    assert {case.endpoint for case in once_each} == set(calm.endpoints)
    assert {case.endpoint.path for case in sample} >= WRITES
    tried = [await run_case(environment, case, calm) for case in sample]
    assert not sentences(tried), sentences(tried)


async def test_every_call_of_the_story_is_in_the_matrix(environment: Environment, calm: Calm) -> None:
    """The endpoints are learned: clients and stand-ins count the same calls, and each is tried with every fault."""
    first = STORIES[0]
    assert sum(e.calls for e in calm.endpoints if e.story == first) == calm.calls[first].total()
    assert {e.path for e in calm.endpoints if e.story == "slow"} > WRITES
    cases = cases_of(calm)
    assert len(cases) == len(set(cases)) == len(calm.endpoints) * len(FAULTS)
    deaf = next(e for e in calm.endpoints if e.path.endswith("send$"))
    missed = await run_case(environment, Case(deaf, FAULTS[0], nth=99), calm)
    assert missed.verdict.lost == ["the fault never occurred"]  # a case that tries nothing fails
