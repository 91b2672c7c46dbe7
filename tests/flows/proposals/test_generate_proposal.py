"""The proposal flow against the stand-ins: filed once and versioned, or held with the reason and nothing written."""

import copy
from io import BytesIO
from typing import Any

import pytest
from pypdf import PdfReader

from connectors.http.errors import ConnectorError
from flows.proposals import generate_proposal
from flows.rules.outcome import Outcome


def _shown(world: Any, deal_id: str) -> dict[str, Any]:
    """All records of a deal in HubSpot, to compare before and after."""
    return copy.deepcopy(
        {"deal": world.record("deals", deal_id), "files": world.files(), "notes": world.records("notes")}
    )


async def test_a_missing_variable_holds_and_touches_nothing(world: Any, desk: Any, sales: Any) -> None:
    """A template variable without a value stops the proposal, is named, and the deal stays as it was."""
    deal_id = await sales.deal("presentation", proposal=False, dealflow_need="")
    before = _shown(world, deal_id)

    end = await desk.do(generate_proposal, "proposal.due", deal_id)

    assert isinstance(end, Outcome) and end.state == "held"
    assert "need" in end.reasons[0] and "dealflow_need" in end.reasons[0]
    assert _shown(world, deal_id) == before


async def test_once_fixed_it_is_filed_once(world: Any, desk: Any, sales: Any) -> None:
    """The held event makes the proposal after the fix: one file, one note with it, the deal knows both."""
    deal_id = await sales.deal("presentation", proposal=False, dealflow_need="")
    event_id = await desk.record("proposal.due", deal_id)
    assert (await desk.run(generate_proposal, event_id)).state == "held"

    world.rep("deals", id=deal_id, properties={"dealflow_need": "Sign faster."})
    end = await desk.run(generate_proposal, event_id)

    assert end.state == "done" and end.summary == "proposal version 1 filed"
    (file,) = world.files()
    assert file["access"] == "PRIVATE" and file["name"].startswith(f"proposal-{deal_id}-v1-")
    (note,) = sales.notes_of(deal_id)
    assert note["properties"]["hs_attachment_ids"] == file["id"]
    deal = world.record("deals", deal_id)["properties"]
    assert deal["dealflow_proposal_file_id"] == file["id"]
    assert deal["dealflow_proposal_sha256"] == file["sha256"]


async def test_the_same_content_again_is_no_second_version(world: Any, desk: Any, sales: Any) -> None:
    """Asking twice for the same content gives the version on file: no second upload, note or change."""
    deal_id = await sales.deal("presentation", proposal=False)
    await desk.do(generate_proposal, "proposal.due", deal_id)
    before = _shown(world, deal_id)

    end = await desk.do(generate_proposal, "proposal.due", deal_id)

    assert end.summary == "proposal version 1 filed"
    assert _shown(world, deal_id) == before


async def test_changed_line_items_make_version_2(world: Any, desk: Any, sales: Any) -> None:
    """A changed price is a new version beside the old one; the deal points at the newest."""
    deal_id = await sales.deal("presentation", proposal=False)
    await desk.do(generate_proposal, "proposal.due", deal_id)
    item = world.record("deals", deal_id)["associations"]["line_items"][0]["id"]
    world.rep("line_items", id=item, properties={"price": "1500"})

    end = await desk.do(generate_proposal, "proposal.due", deal_id)

    assert end.summary == "proposal version 2 filed"
    assert sorted(f["name"].split("-")[2] for f in world.files()) == ["v1", "v2"]
    assert len(sales.notes_of(deal_id)) == 2
    newest = next(f for f in world.files() if "-v2-" in f["name"])
    assert world.record("deals", deal_id)["properties"]["dealflow_proposal_file_id"] == newest["id"]


async def test_back_to_the_first_content_points_at_the_first_version(
    world: Any, desk: Any, sales: Any
) -> None:
    """A price changed there and back leaves the deal pointing at the version that says what the deal says."""
    deal_id = await sales.deal("presentation", proposal=False)
    await desk.do(generate_proposal, "proposal.due", deal_id)
    item = world.record("deals", deal_id)["associations"]["line_items"][0]["id"]
    for price in ("1500", "1800"):
        world.rep("line_items", id=item, properties={"price": price})
        end = await desk.do(generate_proposal, "proposal.due", deal_id)

    assert end.summary == "proposal version 1 filed" and len(world.files()) == 2
    first = next(f for f in world.files() if "-v1-" in f["name"])
    assert world.record("deals", deal_id)["properties"]["dealflow_proposal_file_id"] == first["id"]


async def test_a_deal_that_left_the_stage_gets_none(world: Any, desk: Any, sales: Any) -> None:
    """The event is superseded when the deal has moved on; an operator's order is done in any stage."""
    deal_id = await sales.deal("discussion", proposal=False)

    end = await desk.do(generate_proposal, "proposal.due", deal_id)
    assert end.state == "ignored" and "left the stage" in end.summary
    assert world.files() == []

    end = await desk.do(generate_proposal, "proposal.due", deal_id, source="operator")
    assert end.state == "done" and len(world.files()) == 1


async def test_a_deal_that_is_gone_gets_none(world: Any, desk: Any, sales: Any) -> None:
    """An archived deal is left alone."""
    deal_id = await sales.deal("presentation", proposal=False)
    world.rep("deals", id=deal_id, archive=True)

    end = await desk.do(generate_proposal, "proposal.due", deal_id)

    assert end.state == "ignored" and world.files() == []


@pytest.mark.parametrize("kind", ["reset_after", "status_after", "truncated"])
async def test_a_lost_answer_to_the_note_makes_no_second_note(
    world: Any, desk: Any, sales: Any, kind: str
) -> None:
    """HubSpot wrote the note but its answer was lost: the next try finds the note by its marker."""
    deal_id = await sales.deal("presentation", proposal=False)
    event_id = await desk.record("proposal.due", deal_id)
    world.fault("hub", kind, r"/objects/[0-9-]+/notes$", method="POST")

    first = await desk.run(generate_proposal, event_id)
    assert isinstance(first, ConnectorError) and first.applied == "maybe"
    end = await desk.run(generate_proposal, event_id)

    assert end.state == "done"
    assert len(sales.notes_of(deal_id)) == len(world.files()) == 1
    assert len(world.calls("hub", "/notes", "POST")) >= 1
    deal = world.record("deals", deal_id)["properties"]
    assert deal["dealflow_proposal_file_id"] == world.files()[0]["id"]


async def test_the_pdf_says_what_the_deal_says(world: Any, desk: Any, sales: Any) -> None:
    """The filed bytes are a PDF with buyer, need, position and total of this very deal."""
    deal_id = await sales.deal("presentation", proposal=False)
    await desk.do(generate_proposal, "proposal.due", deal_id)

    pdf = await desk.s.hubspot.download_file(world.files()[0]["id"])

    text = "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages)
    for words in ("Analytical Engines Ltd", "Onboarding workshop", "3,600.00", "filed within a day"):
        assert words in text
