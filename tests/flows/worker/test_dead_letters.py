"""Dead letters in the Prefect UI: a list while there are some, "none" once they are gone, on a real server."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import prefect_flows
from flows.ledger import inbox
from flows.ledger.inbox import NewEvent
from flows.worker.runs import DEAD_LETTERS, dead_letters


@pytest.fixture
def prefect(prefect_server: Any) -> Iterator[None]:
    with temporary_settings({PREFECT_API_URL: f"{prefect_server.url}/api"}):
        yield


async def _shown() -> list[str]:
    """All artifacts under the key, oldest first."""
    async with get_client() as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[DEAD_LETTERS]))
        found = await client.read_artifacts(artifact_filter=wanted)
    return [str(a.data) for a in sorted(found, key=lambda a: str(a.created))]


async def _run(flow: Any, event_id: int) -> Any:
    return await flow(event_ids=[event_id], return_state=True)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_they_are_listed_until_they_are_gone(prefect: None, world: Any, desk: Any, sales: Any) -> None:
    """Given up: a table with links and commands. Retried and done: "none". In between nothing is written twice."""
    before = len(await _shown())  # of other tests on this server
    deal_id = await sales.deal("presentation", proposal=False)
    hint = await desk.record("deal.changed", deal_id, lane="hint:1")
    await _run(prefect_flows.sync_deals, hint)
    assert len(await _shown()) == before  # there never was one here
    world.fault("hub", "status", "/files$", method="POST", status=400)
    event_id = await desk.record("proposal.due", deal_id)

    state = await _run(prefect_flows.generate_proposal, event_id)

    assert state.name == "DeadLetter"
    (table,) = (await _shown())[before:]
    assert f"| {event_id} | proposal.due | [{deal_id}](" in table and "upload_file" in table
    assert f"`dealflow inbox retry {event_id}`" in table
    world.clear_faults()
    await _run(prefect_flows.sync_deals, await desk.record("deal.changed", deal_id, lane="hint:2"))
    assert len(await _shown()) == before + 1  # nothing new: nothing is said again
    async with desk.s.ledger.write() as tx:
        await inbox.retry(tx, event_id, now=desk.s.clock())
    assert (await _run(prefect_flows.generate_proposal, event_id)).is_completed()
    assert [text.splitlines()[0] for text in (await _shown())[before:]] == [
        "### Dead letters: 1",
        "### Dead letters: none",
    ]


async def test_the_table(desk: Any) -> None:
    """Unreadable ones can only be shown; a reason with a bar does not break the row; what does not fit is counted."""
    gone = [
        NewEvent("hubspot", f"u{n}", "unreadable", f"u{n}", {}, ended=("dead", "not | JSON"))
        for n in range(3)
    ]
    async with desk.s.ledger.write() as tx:
        await inbox.record(tx, gone, now=desk.s.clock())
        dead = await inbox.listing(tx, states=("dead",), limit=2)

    table = dead_letters(desk.s, dead, 3)

    assert "| 3 | unreadable |  |" in table and "not \\| JSON" in table
    assert "inbox show 3" in table and "retry 3" not in table and "replay 3" not in table
    assert "and 1 older" in table and "| 1 |" not in table
