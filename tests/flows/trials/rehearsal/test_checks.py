"""The checks detect each promise that is broken on purpose in the records of a real run."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from flows.trials.rehearsal.checks import check, is_debrief
from flows.trials.rehearsal.play import Played

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def _second_contract(p: Played) -> None:
    twin = copy.deepcopy(next(r for r in p.requests if r["phase"] == "complete"))
    p.requests.append({**twin, "signature_request_id": "twin", "created_at": twin["created_at"] + 1})


def _signed_file_gone(p: Played) -> None:
    request = next(r for r in p.requests if r["phase"] == "complete")
    deal = next(d for d in p.deals if d["id"] == str(request["metadata"]["deal_id"]))
    deal["properties"].pop("dealflow_signed_file_id")


def _signed_file_changed(p: Played) -> None:
    next(r for r in p.requests if r["phase"] == "complete")["signed_sha256"] = "0" * 64


def _label_never_set(p: Played) -> None:
    deal_id = str(p.requests[0]["metadata"]["deal_id"])
    next(c for c in p.cases if c.deal_id == deal_id).labelled_at.clear()


def _proposal_filed_later(p: Played) -> None:
    deal_id = str(p.requests[0]["metadata"]["deal_id"])
    for file in p.files:
        if str(file["name"]).startswith(f"proposal-{deal_id}-"):
            file["createdAt"] = "2030-01-01T00:00:00.000Z"


def _stage_entered_later(p: Played) -> None:
    deal_id = str(p.requests[0]["metadata"]["deal_id"])
    deal = next(d for d in p.deals if d["id"] == deal_id)
    for version in deal["history"]["dealstage"][1:]:
        version["timestamp"] = "2030-01-01T00:00:00.000Z"


def _note_again(p: Played) -> None:
    p.notes.append(copy.deepcopy(p.notes[0]))


def _handed_over_again(p: Played) -> None:
    twin = copy.deepcopy(next(n for n in p.notes if is_debrief(n)))
    twin["properties"]["hs_note_body"] += "another marker"
    p.notes.append(twin)


def _never_handed_over(p: Played) -> None:
    p.notes.remove(next(n for n in p.notes if is_debrief(n)))


def _lost_deal_handed_over(p: Played) -> None:
    deal_id = next(d["id"] for d in p.deals if d["properties"]["dealstage"] == p.stage_ids["lost"])
    twin = copy.deepcopy(next(n for n in p.notes if is_debrief(n)))
    twin["associations"]["deals"][0]["id"] = deal_id
    p.notes.append(twin)


def _lead_lost(p: Played) -> None:
    p.deals.pop()


@pytest.mark.parametrize(
    ("breaking", "promise"),
    [
        (_second_contract, "two live contracts"),
        (_signed_file_gone, "PDF is filed"),
        (_signed_file_changed, "PDF is filed"),
        (_label_never_set, "met its criteria"),
        (_proposal_filed_later, "met its criteria"),
        (_stage_entered_later, "met its criteria"),
        (_note_again, "no note stands twice"),
        (_handed_over_again, "handed over"),
        (_never_handed_over, "handed over"),
        (_lost_deal_handed_over, "handed over"),
        (_lead_lost, "every lead"),
    ],
)
def test_a_broken_promise_is_seen(played: Played, breaking: Callable[[Played], Any], promise: str) -> None:
    """The right check finds it and names it."""
    assert not any(c.broken for c in check(played))
    copied = copy.deepcopy(replace(played))
    breaking(copied)
    found = [c for c in check(copied) if c.broken]
    assert any(promise in c.promise for c in found), [c.promise for c in found]
