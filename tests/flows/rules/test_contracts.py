"""Whether a contract is sent and whether a signature moves its deal: one row for each reason."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from config.files import read_yaml
from config.settings import Settings
from flows.rules import contracts
from flows.rules.contract_facts import (
    UNREAD,
    AdvanceCase,
    AskPerson,
    Claim,
    Complete,
    DealNow,
    Draft,
    End,
    Ignore,
    Need,
    NoDraft,
    OnFile,
    Resume,
    Revision,
    Send,
    SendCase,
    StillOpen,
)
from flows.rules.contracts import (
    may_advance,
    may_move,
    may_send,
    refused,
    settles_send,
    still_wanted,
    withdrawn,
)
from flows.rules.criteria.judge import DealFacts, Verdict, asked_before, gate, unmet
from flows.rules.process.sales_process import Criterion, SalesProcess, parse_process
from flows.rules.signing import Hold, Promise, RequestFacts, Signer

CHOICE = {"any_of": [{"company": "any"}, {"line_items": 1}]}
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
ADA = Signer("client", "Ada Byron", "ada@buyer.example", 0, "301", "CEO")
CARLA = Signer("seller", "Carla Conrad", "carla@example.com", 1)
MET = Verdict("budget", "The buyer has a budget", True, "client", proof="deal 9")
UNMET = Verdict("signer", "The signer is named", False, "client", missing="a contact labelled as signer")

DEAL = DealNow("9", "closing", (MET,), (), None, (ADA, CARLA))
NEW = SendCase(NOON, False, date(2026, 11, 28), "closing", "Vendor", deal=DEAL, draft=Draft())
EARLIER = NOON - timedelta(days=3)
BEFORE = Revision(1, "declined", EARLIER, [asdict(ADA), asdict(CARLA)], reported=True)
UNSENT = replace(BEFORE, state="sending", reported=False)
REFUSED = replace(BEFORE, state="refused", reason="400 bad_request", reported=False, created_at=NOON)


def case(deal: Mapping[str, Any] | None = None, revision: Revision | None = None, **changes: Any) -> SendCase:
    """The new contract of a ready deal, with these facts changed."""
    return replace(NEW, deal=replace(DEAL, **(deal or {})), revision=revision, **changes)


# (what it is, the facts, the answer)
SENDING: list[tuple[str, SendCase, object]] = [
    ("a ready deal", case(), Send((MET,))),
    ("nothing of the deal was read", replace(NEW, deal=UNREAD), Need("deal")),
    ("the text was not rendered", case(draft=UNREAD), Need("draft")),
    ("the deal is gone", replace(NEW, deal=None), Ignore("HubSpot no longer has this deal")),
    ("it stands elsewhere", case({"stage": "proposal"}), Ignore("superseded: the deal has left the stage")),
    ("it left the process", case({"stage": None}), Ignore("superseded: the deal has left the stage")),
    ("no stage sends", case(sends_from=None), Ignore("superseded: the deal has left the stage")),
    (
        "a criterion is unmet",
        case({"verdicts": (MET, UNMET)}),
        Hold(("The signer is named: a contact labelled as signer",)),
    ),
    (
        "nobody can sign",
        case({"signers": Hold(("label a signer", "no name"))}),
        Hold(("label a signer", "no name")),
    ),
    (
        "the services start in the past",
        case({"starts_on": "2026-11-27"}),
        Hold(("deal property dealflow_starts_on lies in the past: set the day on which the services start",)),
    ),
    ("they start today", case({"starts_on": "2026-11-28"}), Send((MET,))),
    (
        "the deal names an unknown contract",
        case({"claim": Claim(None)}),
        Hold(
            (
                "HubSpot names a contract that this ledger does not know (a restored backup? a merged deal?): look "
                "at Vendor, and clear the deal property dealflow_contract_token if a new one is to go out",
            )
        ),
    ),
    (
        "a merged deal brought its contract along",
        case({"claim": Claim("7", "open", live=True)}),
        Hold(
            (
                "a deal that was merged into this one, 7, brought its contract along (open): cancel that one at "
                "Vendor, or clear the deal property dealflow_contract_token if a new one is to go out besides",
            )
        ),
    ),
    ("a merged deal's contract is over", case({"claim": Claim("7", "declined")}), Send((MET,))),
    ("the deal names its own contract", case({"claim": Claim("9", "completed", live=True)}), Send((MET,))),
    (
        "all reasons at once, in order",
        case(
            {"verdicts": (UNMET,), "signers": Hold(("no signer",)), "claim": Claim(None), "starts_on": "2020"}
        ),
        Hold(
            (
                "The signer is named: a contact labelled as signer",
                "no signer",
                "HubSpot names a contract that this ledger does not know (a restored backup? a merged deal?): look "
                "at Vendor, and clear the deal property dealflow_contract_token if a new one is to go out",
                "deal property dealflow_starts_on lies in the past: set the day on which the services start",
            )
        ),
    ),
    (
        "the text cannot be rendered",
        case(draft=NoDraft("company.city is empty")),
        Hold(("company.city is empty",)),
    ),
    (
        "reasons come before the text: nothing is rendered",
        case({"verdicts": (UNMET,)}, draft=UNREAD),
        Hold(("The signer is named: a contact labelled as signer",)),
    ),
    # The contract on file.
    (
        "one is open",
        case(revision=replace(BEFORE, state="open")),
        Ignore("contract revision 1 exists already (open)"),
    ),
    (
        "one is signed",
        case(revision=replace(BEFORE, state="completed")),
        Ignore("contract revision 1 exists already (completed)"),
    ),
    ("one was declined before this event", case(revision=BEFORE), Send((MET,))),
    (
        "one was declined that this event had asked for",
        case(revision=replace(BEFORE, created_at=NOON)),
        Ignore("contract revision 1 exists already (declined)"),
    ),
    (
        "the event only resumes",
        case(revision=BEFORE, resumes=True),
        Ignore("contract revision 1 exists already (declined)"),
    ),
    ("in doubt", case(revision=replace(UNSENT, effect="unknown")), Resume(recheck=True)),
    ("a worker died while sending", case(revision=replace(UNSENT, effect="intended")), Resume(recheck=True)),
    ("repeated in doubt", case(revision=replace(UNSENT, effect="not_done", resends=1)), Resume(recheck=True)),
    ("quarantined", case(revision=replace(UNSENT, effect="quarantined")), Resume(recheck=True)),
    (
        "it resumes without reading the deal",
        replace(NEW, revision=replace(UNSENT, effect="unknown"), deal=UNREAD),
        Resume(recheck=True),
    ),
    (
        "sent, but not reported on the deal",
        case(revision=replace(BEFORE, state="open", reported=False)),
        Resume(recheck=True),
    ),
    # Surely unsent: judged anew.
    (
        "unsent, text and signers unchanged",
        case(revision=UNSENT, draft=Draft(unchanged=True)),
        Resume((MET,)),
    ),
    (
        "not done, and never repeated",
        case(revision=replace(UNSENT, effect="not_done"), draft=Draft(unchanged=True)),
        Resume((MET,)),
    ),
    (
        "the event only resumes, and it is unsent",
        case(revision=UNSENT, resumes=True),
        Send((MET,), contracts._CHANGED),
    ),
    ("unsent, another text", case(revision=UNSENT), Send((MET,), contracts._CHANGED)),
    (
        "unsent, another signer",
        case({"signers": (ADA,)}, revision=UNSENT, draft=Draft(unchanged=True)),
        Send((MET,), contracts._CHANGED),
    ),
    (
        "unsent, and the deal has left the stage",
        case({"stage": "won"}, revision=UNSENT),
        Ignore("superseded: the deal has left the stage", ends="canceled"),
    ),
    (
        "unsent, and the deal is gone",
        replace(NEW, deal=None, revision=UNSENT),
        Ignore("HubSpot no longer has this deal"),
    ),
    (
        "unsent, and a criterion is no longer met",
        case({"verdicts": (UNMET,)}, revision=UNSENT),
        Hold(("The signer is named: a contact labelled as signer",)),
    ),
    # Refused by the vendor.
    (
        "refused, and nothing was changed",
        case(revision=REFUSED, draft=Draft(unchanged=True)),
        Hold(
            (
                "Vendor refused the contract: 400 bad_request; it goes out once the deal or a signer is corrected",
            ),
            summary="contract refused",
        ),
    ),
    (
        "refused without a reason",
        case(revision=replace(REFUSED, reason=None), draft=Draft(unchanged=True)),
        Hold(
            (
                "Vendor refused the contract: no reason given; it goes out once the deal or a signer is corrected",
            ),
            summary="contract refused",
        ),
    ),
    ("refused, and the text was changed", case(revision=REFUSED), Send((MET,))),
    (
        "refused, and the signer was changed",
        case({"signers": (ADA,)}, revision=REFUSED, draft=Draft(unchanged=True)),
        Send((MET,)),
    ),
    (
        "refused, and the event only resumes",
        case(revision=REFUSED, resumes=True),
        Ignore("contract revision 1 exists already (refused)"),
    ),
]


@pytest.mark.parametrize(("facts", "answer"), [x[1:] for x in SENDING], ids=[x[0] for x in SENDING])
def test_may_send(facts: SendCase, answer: object) -> None:
    """Each fact that matters alone, and the order in which they count."""
    assert may_send(facts) == answer


@pytest.fixture(scope="module")
def process() -> SalesProcess:
    return parse_process(read_yaml(Settings().process_path))


def test_the_shortest_way_is_said_where_the_reasons_do_not(process: SalesProcess) -> None:
    """Two unmet criteria, or one with a choice: the smallest set of facts is named once, behind the criteria."""
    stage = process.stage_for("send_contract")
    assert stage is not None
    facts = DealFacts(deal_id="9", stage=stage.key, properties={})
    verdicts = gate(process, stage.key, facts)
    deal = {
        "stage": stage.key,
        "verdicts": verdicts,
        "asked": asked_before(process, stage.key),
        "facts": facts,
    }

    answer = may_send(case(deal, sends_from=stage.key))

    assert isinstance(answer, Hold) and len(unmet(verdicts)) > 1
    assert answer.reasons[-1].startswith("The smallest set of facts that opens it: ")
    assert len(answer.reasons) == len(unmet(verdicts)) + 1


def _with_choice(criterion: Criterion) -> Criterion:
    """The criterion, met by either of two facts."""
    return Criterion.model_validate({**criterion.model_dump(exclude={"evidence"}), "evidence": CHOICE})


@pytest.mark.parametrize(
    ("unmet_ones", "choice", "said"),
    [(0, False, False), (1, False, False), (1, True, True), (2, False, True)],
)
def test_when_the_shortest_way_is_said(
    process: SalesProcess, unmet_ones: int, choice: bool, said: bool
) -> None:
    """Not where one reason says it all; a choice counts only in a criterion that is unmet."""
    asked = [
        (stage, _with_choice(c) if at == (0 if choice else 2) else c)
        for at, (stage, c) in enumerate(asked_before(process, "closing")[:3])
    ]
    verdicts = tuple(
        Verdict(c.key, c.says, at >= unmet_ones, "client", missing="it") for at, (_, c) in enumerate(asked)
    )
    facts = DealFacts(deal_id="9", stage="closing", properties={})

    answer = may_send(case({"verdicts": verdicts, "asked": asked, "facts": facts}))

    reasons = answer.reasons if isinstance(answer, Hold) else ()
    assert any("smallest set of facts" in reason for reason in reasons) is said


def test_no_deal_is_read_and_no_text_rendered_without_need() -> None:
    """A decision that the ledger alone can make asks for nothing."""
    for revision in (replace(BEFORE, state="open"), replace(BEFORE, state="completed")):
        facts = replace(NEW, revision=revision, deal=UNREAD, draft=UNREAD)
        assert isinstance(may_send(facts), Ignore)


@pytest.mark.parametrize(
    ("stage", "sends_from", "wanted"),
    [("closing", "closing", True), ("won", "closing", False), (None, "closing", False), (None, None, False)],
)
def test_still_wanted(stage: str | None, sends_from: str | None, wanted: bool) -> None:
    """Directly before a send that has waited."""
    assert still_wanted(stage, sends_from) is wanted


def test_what_ends_a_send_that_has_begun() -> None:
    """Withdrawn by us, or refused by the vendor."""
    assert withdrawn() == Ignore(
        "superseded: the deal has left the stage before the contract was sent", ends="canceled"
    )
    assert refused("Vendor", "400").summary == "contract refused"


# --- signatures --------------------------------------------------------------------------------------------

TOKEN = "0f" * 16
PROMISE = Promise("r1", TOKEN, "9", True)
OPEN = OnFile(1, "open", PROMISE)
IN_DOUBT = OnFile(1, "sending", replace(PROMISE, request_id=None))
REQUEST = RequestFacts("r1", False, False, False, False, True, TOKEN, "9", ("awaiting_signature",))
SIGNED = replace(REQUEST, complete=True, statuses=("signed",))
GONE = RequestFacts("r1", False, False, False, True, False, "", "", ())
READ = AdvanceCase(OPEN, "r1", "Vendor", REQUEST, ())
OTHER = "a different request, gone or unknown: it says nothing about the contract that was sent"
NEWER = replace(OPEN, superseded=True)


def read(**changes: Any) -> AdvanceCase:
    """The open request of an open contract, with these facts changed."""
    return replace(READ, **changes)


ADVANCING: list[tuple[str, AdvanceCase, object]] = [
    ("not ours", read(contract=None), Ignore("not a request of ours (it carries no token that we know)")),
    (
        "finished",
        read(contract=replace(OPEN, state="completed", finished=True)),
        Ignore("contract revision 1 is signed, filed and done with"),
    ),
    ("not sent yet", read(contract=IN_DOUBT, request_id=""), Ignore("the contract has not been sent yet")),
    ("the request was not read", read(request=UNREAD), Need("request")),
    ("another request, unknown", read(request_id="r2", request=None), Ignore(OTHER)),
    ("another request, gone", read(request_id="r2", request=replace(GONE, request_id="r2")), Ignore(OTHER)),
    ("unknown", read(request=None), AskPerson("Vendor knows no such request: look there who removed it")),
    (
        "unknown, of a contract in doubt",
        read(contract=IN_DOUBT, request=None),
        AskPerson("Vendor knows no such request: look there who removed it"),
    ),
    (
        "gone, of a contract in doubt",
        read(contract=IN_DOUBT, request=GONE),
        AskPerson("it is cancelled, and not known to be the one this contract became"),
    ),
    (
        "another token",
        read(request=replace(SIGNED, token="ff" * 16)),
        AskPerson("its token is not the one this contract was sent under"),
    ),
    ("another deal", read(request=replace(SIGNED, deal_id="8")), AskPerson("it names another deal")),
    (
        "another request with our token",
        read(request_id="r2", request=replace(SIGNED, request_id="r2")),
        AskPerson("a different request carries this contract's token"),
    ),
    (
        "test mode differs",
        read(request=replace(SIGNED, test_mode=False)),
        AskPerson("its test mode differs from the one it was sent with"),
    ),
    ("open", read(), StillOpen()),
    ("open, and the deal need not be read", read(missing=UNREAD), StillOpen()),
    ("open, and superseded", read(contract=NEWER), StillOpen()),
    (
        "signed, and superseded",
        read(contract=NEWER, request=SIGNED),
        AskPerson(
            "revision 1 was signed although a newer one exists: decide which one holds", ends="completed"
        ),
    ),
    (
        "declined, and superseded",
        read(contract=NEWER, request=replace(REQUEST, declined=True)),
        Ignore("contract revision 1 is declined; a newer one exists", ends="declined"),
    ),
    (
        "gone, and superseded",
        read(contract=NEWER, request=GONE),
        Ignore("contract revision 1 is canceled; a newer one exists", ends="canceled"),
    ),
    ("ended, and the deal was not read", read(request=SIGNED, missing=UNREAD), Need("deal")),
    ("the deal is gone", read(request=SIGNED, missing=None), Ignore("HubSpot no longer has this deal")),
    ("signed", read(request=SIGNED), Complete()),
    ("signed, of a contract in doubt", read(contract=IN_DOUBT, request=SIGNED), Complete()),
    (
        "signed, and a criterion is unmet",
        read(request=SIGNED, missing=("a budget",)),
        Complete(("a budget",)),
    ),
    ("signed, half done before", read(contract=replace(OPEN, state="completed"), request=SIGNED), Complete()),
    ("declined", read(request=replace(REQUEST, declined=True), missing=("a budget",)), End("declined")),
    ("expired", read(request=replace(REQUEST, statuses=("signed", "expired"))), End("expired")),
    ("failed", read(request=replace(REQUEST, error=True)), End("failed")),
    ("cancelled", read(request=GONE), End("canceled")),
]


@pytest.mark.parametrize(("facts", "answer"), [x[1:] for x in ADVANCING], ids=[x[0] for x in ADVANCING])
def test_may_advance(facts: AdvanceCase, answer: object) -> None:
    """Each rung of the ladder, in its order."""
    assert may_advance(facts) == answer


@pytest.mark.parametrize(
    ("facts", "settles"),
    [
        (read(contract=IN_DOUBT), True),
        (read(contract=IN_DOUBT, request=SIGNED), True),
        (read(contract=IN_DOUBT, request=GONE), False),
        (read(contract=IN_DOUBT, request=None), False),
        (read(contract=IN_DOUBT, request=UNREAD), False),
        (read(contract=IN_DOUBT, request=replace(REQUEST, token="ff" * 16)), False),
        (read(), False),
        (read(contract=None), False),
    ],
)
def test_a_request_that_was_read_settles_a_send_in_doubt(facts: AdvanceCase, settles: bool) -> None:
    """Only one that is there and ours beyond doubt."""
    assert settles_send(facts) is settles


@pytest.mark.parametrize(
    ("here", "target", "ending", "moves"),
    [
        (None, "won", "completed", False),
        ("won", "won", "completed", False),
        ("lost", "won", "completed", False),
        ("closing", "won", "completed", True),
        ("discussion", "won", "completed", True),
        ("closing", "discussion", "declined", True),
        ("qualification", "discussion", "declined", False),
        ("won", "discussion", "expired", False),
    ],
)
def test_may_move(process: SalesProcess, here: str | None, target: str, ending: Any, moves: bool) -> None:
    """A signed contract wins an open deal wherever it stands; any other end moves it only from where it was sent."""
    stage = process.stage(here) if here else None
    assert may_move(stage, target, ending, "closing") is moves


def test_every_reason_has_a_row() -> None:
    """No sentence of the two functions is without a row that names it."""
    shown = " ".join(str(answer) for _, _, answer in [*SENDING, *ADVANCING]) + str(withdrawn())
    source = inspect.getsource(contracts)
    source = re.sub(r'""".*?"""', "", source, flags=re.S)
    sentences = [s for s in re.findall(r'"([^"\n]{25,})"', source) if " " in s]
    assert len(sentences) > 12
    for sentence in sentences:
        for part in re.split(r"\{[^}]*\}", sentence):
            if len(part.strip()) > 12 and "smallest set of facts" not in part:
                assert part.strip() in shown, part
