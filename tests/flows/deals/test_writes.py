"""Outward writes that flows share, and when a failed call is tried again, against the stand-ins."""

from typing import Any

import pytest

from connectors.http.errors import ConnectorError, RejectedError, TransientError
from flows.deals.writes import file_document, set_deal, write_note, writer_for
from flows.ledger import documents, effects
from flows.ledger.inbox import LeaseLostError
from flows.retries import park_delay_s, reading, repeating, writing

PATCH = r"/deals/\d+$"


@pytest.fixture
async def writer(desk: Any, sales: Any) -> Any:
    """A writer under the lease of a claimed event of a deal."""
    deal_id = await sales.deal("closing")
    (event,) = await desk.claim([await desk.record("contract.due", deal_id)])
    return writer_for(desk.s, event), deal_id, event


async def test_a_stage_move_in_doubt_is_read_back(desk: Any, writer: Any, world: Any, sales: Any) -> None:
    """Moved with a close date, every answer lost: the next try sees the new stage and counts it as done."""
    write, deal_id, _ = writer
    portal = await desk.s.portal()
    move = {"dealstage": portal.stage_ids["won"], "closedate": "2026-11-22T10:00:00.000Z"}
    before = {"dealstage": portal.stage_ids["closing"]}
    world.fault("hub", "status_after", PATCH, method="PATCH", status=502, times=4)
    with pytest.raises(TransientError):
        await set_deal(desk.s, write, deal_id=deal_id, cause="x", properties=move, before=before)
    world.forget_calls()

    result = await set_deal(desk.s, write, deal_id=deal_id, cause="x", properties=move, before=before)

    assert not result.get("superseded") and world.calls("hub", "/deals/", "PATCH") == []
    assert await sales.stage_of(deal_id) == "won"


async def test_a_date_in_another_spelling_is_the_same_date(
    desk: Any, writer: Any, world: Any, sales: Any
) -> None:
    """HubSpot may change the format of a time: our own move is still recognised."""
    write, deal_id, _ = writer
    portal = await desk.s.portal()
    move = {"dealstage": portal.stage_ids["won"], "closedate": "2026-11-22T10:00:00Z"}
    before = {"dealstage": portal.stage_ids["closing"]}
    world.fault("hub", "status_after", PATCH, method="PATCH", status=502, times=4)
    with pytest.raises(TransientError):
        await set_deal(desk.s, write, deal_id=deal_id, cause="x", properties=move, before=before)

    result = await set_deal(desk.s, write, deal_id=deal_id, cause="x", properties=move, before=before)

    assert not result.get("superseded") and await sales.stage_of(deal_id) == "won"


async def test_somebody_elses_move_in_doubt_is_respected(
    desk: Any, writer: Any, world: Any, sales: Any
) -> None:
    """Our move never arrived and a person moved the deal since: it is left there, and this is reported."""
    write, deal_id, _ = writer
    portal = await desk.s.portal()
    move, before = {"dealstage": portal.stage_ids["won"]}, {"dealstage": portal.stage_ids["closing"]}
    world.fault("hub", "status", PATCH, method="PATCH", status=502, times=4)
    with pytest.raises(TransientError):
        await set_deal(desk.s, write, deal_id=deal_id, cause="x", properties=move, before=before)
    await sales.move(deal_id, "lost")

    result = await set_deal(desk.s, write, deal_id=deal_id, cause="x", properties=move, before=before)

    assert result["superseded"] is True and await sales.stage_of(deal_id) == "lost"


async def test_a_property_that_hubspot_refuses_is_named(desk: Any, writer: Any, world: Any) -> None:
    """A rule of the account forbids the write: final, with the property's name, nothing changed."""
    write, deal_id, _ = writer
    before = world.record("deals", deal_id)

    with pytest.raises(RejectedError) as refused:
        await set_deal(desk.s, write, deal_id=deal_id, cause="x", properties={"no_such_property": "1"})

    assert "no_such_property" in refused.value.properties and world.record("deals", deal_id) == before


async def test_without_the_lease_nothing_is_written(desk: Any, writer: Any, world: Any) -> None:
    """Another worker took the event over: this one stops before the vendor is called."""
    _, deal_id, event = writer
    world.advance(4000)  # the lease has run out
    (taken,) = await desk.claim([event.id])
    stale = effects.Writer(desk.s.ledger, "another:1:a", taken.id, desk.s.clock)
    world.forget_calls()

    with pytest.raises(LeaseLostError):
        await write_note(desk.s, stale, deal_id=deal_id, cause="x", text="never")

    assert world.calls("hub", "/notes") == [] and world.records("notes") == []


async def test_a_note_is_plain_text_and_written_once(desk: Any, writer: Any, world: Any, sales: Any) -> None:
    """What people wrote is escaped; the same cause again adds nothing; another cause does."""
    write, deal_id, _ = writer
    for cause in ("one", "one", "two"):
        await write_note(desk.s, write, deal_id=deal_id, cause=cause, text="<a href=x>&\n\nsecond line")

    bodies = [n["properties"]["hs_note_body"] for n in sales.notes_of(deal_id)]
    assert len(bodies) == 2
    assert all("&lt;a href=x&gt;&amp;" in b and "<p>second line</p>" in b for b in bodies)


@pytest.mark.parametrize("kind", ["reset_after", "status_after", "reset_before"])
async def test_a_file_in_doubt_is_one_file(desk: Any, writer: Any, world: Any, kind: str) -> None:
    """Lost before or after the upload: repeated at once under the same name, one file in the end."""
    write, deal_id, _ = writer
    async with desk.s.ledger.write() as tx:
        paper = await documents.freeze(
            tx,
            deal_id=deal_id,
            kind="signed",
            source_sha256="c" * 64,
            sha256="d" * 64,
            title="t",
            content=b"%PDF-1",
            now=desk.s.clock(),
        )
    world.fault("hub", kind, "/files/")

    file_id = await file_document(desk.s, write, paper)

    (file,) = world.files()
    assert file["id"] == file_id and file["access"] == "PRIVATE"
    async with desk.s.ledger.read() as tx:
        assert (await documents.by_id(tx, paper.id)).file_id == file_id


class _Call:
    """Fails with these, then answers."""

    def __init__(self, *problems: Exception) -> None:
        self.problems, self.times = list(problems), 0

    async def __call__(self) -> str:
        self.times += 1
        if self.problems:
            raise self.problems.pop(0)
        return "done"


def _passing(applied: Any) -> TransientError:
    return TransientError("hubspot", "x", applied=applied, retry_after_s=0)


@pytest.mark.parametrize(
    ("manner", "problem", "times"),
    [
        (reading, _passing("no"), 2),
        (reading, _passing("maybe"), 2),
        (repeating, _passing("maybe"), 2),
        (writing, _passing("no"), 2),
        (writing, _passing("maybe"), 1),
        (reading, RejectedError("hubspot", "x"), 1),
        (writing, RejectedError("hubspot", "x"), 1),
        (reading, ValueError("a fault of ours"), 1),
    ],
)
async def test_what_is_tried_again(manner: Any, problem: Exception, times: int) -> None:
    """Reads on transient errors; writes only when the vendor surely did nothing; refusals and bugs never."""
    call = _Call(problem)
    try:
        assert await manner(call) == "done"
    except (ConnectorError, ValueError) as raised:
        assert raised is problem and times == 1
    assert call.times == times


async def test_trouble_that_lasts_comes_back_as_it_is() -> None:
    """Four tries, then the last error itself."""
    problems = [_passing("no") for _ in range(9)]
    call = _Call(*problems)

    with pytest.raises(TransientError) as raised:
        await reading(call)

    assert call.times == 4 and raised.value is problems[3]


def test_parking_grows_has_a_ceiling_and_heeds_the_vendor() -> None:
    """Longer with each try, never past the ceiling, spread out, never sooner than the vendor asked."""
    for attempts, ceiling in ((1, 5), (2, 10), (5, 80), (30, 3600), (10_000, 3600)):
        waits = {park_delay_s(attempts, first_s=5, max_s=3600) for _ in range(50)}
        assert max(waits) <= ceiling and min(waits) >= ceiling / 2 and len(waits) > 10
    assert park_delay_s(1, first_s=5, max_s=3600, hint_s=7200) == 7200
