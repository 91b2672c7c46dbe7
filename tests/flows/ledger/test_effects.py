"""Outward writes, each once: every path through `perform`, one promise a test."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from connectors.http.errors import (
    AuthError,
    ConflictError,
    ConnectorError,
    RateLimitedError,
    RejectedError,
    TransientError,
    UnreadableAnswerError,
)
from flows.ledger import effects, inbox
from flows.ledger.effects import Plan, QuarantinedError, StillUnknownError, Writer, perform


def trouble(kind: type[ConnectorError] = TransientError, *, applied: Any = "maybe") -> ConnectorError:
    return kind("dropbox_sign", "send", status=500, applied=applied)


class Death(BaseException):
    """The process dies here."""


async def test_first_try(vendor: Any, writer: Writer, desk: Any) -> None:
    """The intent is committed before the try; the answer is kept under the key."""
    assert await vendor.do(writer, deal_id="1", token="t0") == {"request_id": "r1"}
    effect = await vendor.stored()
    assert (effect.state, effect.attempts, effect.token, effect.deal_id) == ("done", 1, "t0", "1")
    assert (effect.kind, effect.event_id, effect.settled_at) == (
        "send_contract",
        writer.event_id,
        desk.clock(),
    )
    assert vendor.looks == 0


async def test_done_is_remembered(vendor: Any, writer: Writer) -> None:
    """Asked again: the same result from memory, and the vendor is not called."""
    first = await vendor.do(writer)
    vendor.shows = False
    assert await vendor.do(writer) == first
    assert (vendor.tries, vendor.looks) == (1, 0)


async def test_each_effect_has_a_token_of_its_own(vendor: Any, writer: Writer, desk: Any) -> None:
    """Without a token given, each key gets a fresh one, kept over its tries."""
    vendor.commits = False
    vendor.script = [trouble(applied="no")]
    with pytest.raises(TransientError):
        await vendor.do(writer)
    before = (await vendor.stored()).token
    assert len(before) == 32
    await vendor.do(writer)
    assert (await vendor.stored()).token == before


@pytest.mark.parametrize("kind", [TransientError, RateLimitedError, AuthError, UnreadableAnswerError])
async def test_surely_not_done_is_tried_again(
    vendor: Any, writer: Writer, desk: Any, kind: type[ConnectorError]
) -> None:
    """The vendor surely did not act: the error comes through, and the next time it is simply tried again."""
    vendor.commits = False
    for _ in range(3):
        vendor.script = [trouble(kind, applied="no")]
        with pytest.raises(kind):
            await vendor.do(writer)
        effect = await vendor.stored()
        assert (effect.state, effect.settled_at) == ("not_done", None)
        assert effect.reason is not None
        assert "status 500" in effect.reason
    vendor.commits = True
    assert await vendor.do(writer) == {"request_id": "r1"}
    assert (vendor.tries, vendor.looks) == (4, 0)


async def test_refused_is_final_for_this_try_only(vendor: Any, writer: Writer, desk: Any) -> None:
    """A final no is kept as refused; when it is ordered again (the cause was fixed) it is tried again."""
    vendor.commits = False
    vendor.script = [trouble(RejectedError, applied="no")]
    with pytest.raises(RejectedError):
        await vendor.do(writer)
    effect = await vendor.stored()
    assert (effect.state, effect.settled_at) == ("refused", desk.clock())
    vendor.commits = True
    assert await vendor.do(writer) == {"request_id": "r1"}
    assert (await vendor.stored()).state == "done"


@pytest.mark.parametrize("kind", [TransientError, UnreadableAnswerError, ConflictError])
async def test_an_unknown_outcome_is_checked_first(
    vendor: Any, writer: Writer, desk: Any, kind: type[ConnectorError]
) -> None:
    """It may have taken effect: the next time the vendor is checked, and what is found there is adopted."""
    vendor.script = [trouble(kind)]
    with pytest.raises(kind):
        await vendor.do(writer)
    assert (await vendor.stored()).state == "unknown"
    assert await vendor.do(writer) == {"request_id": "seen"}
    effect = await vendor.stored()
    assert (effect.state, effect.result, effect.reason) == (
        "done",
        {"request_id": "seen"},
        "found at the vendor",
    )
    assert (vendor.tries, vendor.looks, len(vendor.has)) == (1, 1, 1)


async def test_checks_come_at_their_times(vendor: Any, writer: Writer, desk: Any) -> None:
    """An empty check sets the time of the next one; then it is sent once more; if that is unknown too: quarantine."""
    vendor.shows = False
    vendor.commits = False
    for round_ in (1, 2):
        vendor.script = [trouble()]
        with pytest.raises(TransientError):
            await vendor.do(writer)
        for wait_s in (60, 180):
            with pytest.raises(StillUnknownError) as still:
                await vendor.do(writer)
            assert still.value.look_at == desk.clock() + timedelta(seconds=wait_s)
            desk.clock.forward(wait_s)
        assert (vendor.tries, (await vendor.stored()).state) == (round_, "unknown")
    with pytest.raises(QuarantinedError):
        await vendor.do(writer)
    looks = vendor.looks
    with pytest.raises(QuarantinedError):
        await vendor.do(writer)
    effect = await vendor.stored()
    assert (effect.state, effect.attempts, effect.resends, effect.settled_at) == (
        "quarantined",
        2,
        1,
        desk.clock(),
    )
    assert (vendor.tries, vendor.looks) == (2, looks)


async def test_a_check_that_comes_too_early_proves_nothing(vendor: Any, writer: Writer, desk: Any) -> None:
    """However often an operator replays the event: the checks are used up by time, not by repeats."""
    vendor.shows = False
    vendor.script = [trouble()]
    with pytest.raises(TransientError):
        await vendor.do(writer)
    for _ in range(10):
        with pytest.raises(StillUnknownError) as still:
            await vendor.do(writer)
        assert still.value.look_at == desk.clock() + timedelta(seconds=60)
    assert (vendor.tries, vendor.looks) == (1, 10)
    vendor.shows = True  # the vendor's index caught up: an early check may find it
    assert await vendor.do(writer) == {"request_id": "seen"}


async def test_found_late_is_adopted(vendor: Any, writer: Writer, desk: Any) -> None:
    """Found only at the last check: adopted, not sent again."""
    vendor.shows = False
    vendor.script = [trouble()]
    with pytest.raises(TransientError):
        await vendor.do(writer)
    for wait_s in (60, 180):
        with pytest.raises(StillUnknownError):
            await vendor.do(writer)
        desk.clock.forward(wait_s)
    vendor.shows = True
    assert await vendor.do(writer) == {"request_id": "seen"}
    assert len(vendor.has) == 1


async def test_never_sent_again_when_configured_so(vendor: Any, writer: Writer, desk: Any) -> None:
    """With again=0 an outcome that no check settles goes to a person; nothing is ever repeated."""
    vendor.shows = vendor.commits = False
    vendor.script = [trouble()]
    plan = Plan(checks_s=[60], again=0)
    with pytest.raises(TransientError):
        await vendor.do(writer, plan)
    with pytest.raises(StillUnknownError):
        await vendor.do(writer, plan)
    desk.clock.forward(60)
    with pytest.raises(QuarantinedError, match="check whether it is there"):
        await vendor.do(writer, plan)
    assert vendor.tries == 1


async def test_tries_that_did_nothing_cost_no_resend(vendor: Any, writer: Writer, desk: Any) -> None:
    """Rate limits before an unknown outcome do not use up the one time that it may be sent again."""
    vendor.shows = vendor.commits = False
    for problem in (trouble(RateLimitedError, applied="no"),) * 3 + (trouble(),):
        vendor.script = [problem]
        with pytest.raises(TransientError):
            await vendor.do(writer)
    for wait_s in (60, 180):
        with pytest.raises(StillUnknownError):
            await vendor.do(writer)
        desk.clock.forward(wait_s)
    vendor.commits = True
    assert await vendor.do(writer) == {"request_id": "r1"}
    assert vendor.tries == 5


@pytest.mark.parametrize(
    "problem", [trouble(RateLimitedError, applied="no"), trouble(RejectedError, applied="no")]
)
async def test_an_old_unknown_outcome_is_checked_before_every_further_try(
    vendor: Any, writer: Writer, desk: Any, problem: ConnectorError
) -> None:
    """Unknown, sent again, surely refused: the first may have arrived late, so a check precedes the third try."""
    plan = Plan(checks_s=[], again=1)
    vendor.shows = False
    vendor.script = [trouble()]
    with pytest.raises(TransientError):
        await vendor.do(writer, plan)
    vendor.commits = False
    vendor.script = [problem]
    with pytest.raises(type(problem)):
        await vendor.do(writer, plan)
    vendor.shows = True
    assert await vendor.do(writer, plan) == {"request_id": "seen"}
    assert (vendor.tries, len(vendor.has)) == (2, 1)


async def test_a_failing_check_concludes_nothing(vendor: Any, writer: Writer, desk: Any) -> None:
    """The vendor cannot be asked: nothing is tried and nothing is concluded."""
    vendor.script = [trouble()]
    with pytest.raises(TransientError):
        await vendor.do(writer)

    async def find(_token: str) -> None:
        raise trouble(applied="no")

    before = await vendor.stored()
    with pytest.raises(TransientError):
        await perform(writer, key=vendor.key, kind="x", attempt=vendor.attempt, find=find)
    assert await vendor.stored() == before
    assert vendor.tries == 1


@pytest.mark.parametrize("end", [Death(), asyncio.CancelledError(), ValueError("in our own code")], ids=repr)
@pytest.mark.parametrize("commits", [True, False])
async def test_death_after_the_intent(
    vendor: Any, writer: Writer, desk: Any, end: BaseException, commits: bool
) -> None:
    """We die in the middle of a try: what stays is the intent, and the next worker checks before it tries."""
    vendor.commits = commits
    vendor.script = [end]
    with pytest.raises(type(end)):
        await vendor.do(writer)
    assert (await vendor.stored()).state == "intended"
    vendor.commits = True
    await vendor.do(writer, Plan())
    assert (vendor.looks, len(vendor.has), vendor.tries) == (1, 1, 1 if commits else 2)


@pytest.mark.parametrize("state", ["intended", "unknown", "not_done", "refused", "quarantined"])
async def test_what_is_seen_at_the_vendor_settles_it(
    vendor: Any, writer: Writer, desk: Any, state: str
) -> None:
    """A request that turns up (by callback, read back) settles its effect in any state, once."""
    ends: dict[str, BaseException] = {
        "intended": Death(),
        "unknown": trouble(),
        "quarantined": trouble(),
        "not_done": trouble(applied="no"),
        "refused": trouble(RejectedError, applied="no"),
    }
    vendor.shows = False
    vendor.script = [ends[state]]
    with pytest.raises(type(ends[state])):
        await vendor.do(writer)
    if state == "quarantined":
        with pytest.raises(QuarantinedError):
            await vendor.do(writer, Plan(again=0))
    assert (await vendor.stored()).state == state
    async with desk.ledger.write() as tx:
        assert await effects.adopt(tx, vendor.key, {"request_id": "r9"}, now=desk.clock())
        assert not await effects.adopt(tx, vendor.key, {"request_id": "other"}, now=desk.clock())
        assert not await effects.adopt(tx, "contract:2:1", {"request_id": "r9"}, now=desk.clock())
    assert await vendor.do(writer) == {"request_id": "r9"}
    assert vendor.tries == 1


async def test_a_person_releases_a_quarantined_effect(vendor: Any, writer: Writer, desk: Any) -> None:
    """A person saw that the vendor does not have it: it is tried again, after one more check."""
    plan = Plan(again=0)
    vendor.shows = vendor.commits = False
    vendor.script = [trouble()]
    with pytest.raises(TransientError):
        await vendor.do(writer, plan)
    async with desk.ledger.write() as tx:
        assert not await effects.release(tx, vendor.key, why="checked by a person")
    with pytest.raises(QuarantinedError):
        await vendor.do(writer, plan)
    async with desk.ledger.write() as tx:
        assert await effects.release(tx, vendor.key, why="checked by a person")
    looks = vendor.looks
    vendor.script = [trouble()]
    with pytest.raises(TransientError):
        await vendor.do(writer, plan)
    assert (vendor.tries, vendor.looks) == (2, looks + 1)
    with pytest.raises(QuarantinedError):
        await vendor.do(writer, plan)


async def test_listing_and_tally(vendor: Any, writer: Writer, desk: Any) -> None:
    """People see effects newest first, by state and deal, and how many stand in each state."""
    await vendor.do(writer, deal_id="1")
    for key, deal in (("note:2:x", "2"), ("note:3:x", "3")):
        vendor_no = RateLimitedError("hubspot", "create_note")

        async def refuse(_token: str, problem: ConnectorError = vendor_no) -> Any:
            raise problem

        with pytest.raises(RateLimitedError):
            await perform(writer, key=key, kind="write_note", attempt=refuse, find=vendor.find, deal_id=deal)
    async with desk.ledger.read() as tx:
        assert [e.key for e in await effects.listing(tx)] == ["note:3:x", "note:2:x", vendor.key]
        assert [e.key for e in await effects.listing(tx, states=("not_done",), deal_id="2")] == ["note:2:x"]
        assert len(await effects.listing(tx, limit=1)) == 1
        assert await effects.tally(tx) == {"done": 1, "not_done": 2}
        assert await inbox.tally(tx) == {"claimed": 1}
