"""What is known about a contract when it is to be sent or its request was read back, and what can be the answer.

The facts that `may_send` and `may_advance` (`flows/rules/contracts.py`) decide by, and their typed answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any, Final, Literal

from flows.rules.criteria.judge import DealFacts, Verdict
from flows.rules.criteria.smallest import Asked
from flows.rules.signing import Hold, Promise, RequestFacts, SignatureState, Signer


class Unread(Enum):
    """A fact that has not been read yet."""

    UNREAD = "unread"


UNREAD: Final = Unread.UNREAD


# --- answers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Need:
    """Not decided yet: read this first, then ask again."""

    what: Literal["deal", "draft", "request"]


@dataclass(frozen=True)
class Ignore:
    """Nothing is to be done. `ends`: the contract on file is over, in this state."""

    why: str
    ends: SignatureState | None = None


@dataclass(frozen=True)
class Send:
    """Open a revision with this text and send it. `cancels`: why the one before, which never left, is ended first."""

    verdicts: tuple[Verdict, ...]
    cancels: str | None = None


@dataclass(frozen=True)
class Resume:
    """Go on with the revision on file: send it, or report it on the deal.

    `recheck`: the deal was not read for this answer, so it is read directly before the request leaves.
    """

    verdicts: tuple[Verdict, ...] = ()
    recheck: bool = False


@dataclass(frozen=True)
class AskPerson:
    """It cannot be acted on, and a person must know. `ends` as in Ignore."""

    reason: str
    ends: SignatureState | None = None


@dataclass(frozen=True)
class StillOpen:
    """The request waits for signatures."""


@dataclass(frozen=True)
class Complete:
    """All have signed: file the PDF, and move the deal unless something is `missing`."""

    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class End:
    """It ended without all signatures: the process file says where the deal goes."""

    ending: SignatureState


# --- facts for sending -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Revision:
    """The deal's newest contract revision on file, and how far its sending came.

    `effect`: the state of the outward write, None when it was never intended; `resends`: how often it was repeated in
    doubt. `reported`: the deal names this revision.
    """

    number: int
    state: str
    created_at: datetime
    signers: Sequence[Mapping[str, Any]] = ()
    reason: str | None = None
    effect: str | None = None
    resends: int = 0
    reported: bool = False

    @property
    def surely_unsent(self) -> bool:
        """Whether no try can have reached the vendor: then everything may have changed, and it is judged anew."""
        never_left = self.effect is None or (self.effect == "not_done" and self.resends == 0)
        return self.state == "sending" and never_left


@dataclass(frozen=True)
class Claim:
    """A contract that the deal's own properties name. `deal_id`: whose it is by our ledger, None: not known there."""

    deal_id: str | None
    state: str = ""
    live: bool = False


@dataclass(frozen=True)
class DealNow:
    """The deal as HubSpot shows it. `verdicts` on what is `asked` before the stage that sends (none outside it)."""

    deal_id: str
    stage: str | None
    verdicts: tuple[Verdict, ...] = ()
    asked: Asked = ()
    facts: DealFacts | None = None
    signers: tuple[Signer, ...] | Hold = ()
    starts_on: str = ""
    claim: Claim | None = None


@dataclass(frozen=True)
class Draft:
    """The text was rendered. `unchanged`: it is the very text of the revision on file."""

    unchanged: bool = False


@dataclass(frozen=True)
class NoDraft:
    """The text cannot be rendered: why."""

    reason: str


@dataclass(frozen=True)
class SendCase:
    """Everything that decides whether a contract goes out.

    `asked_at`: when the event came; `resumes`: it only resumes what is under way. `today`: the day that the contract
    is dated. `sends_from`: the stage whose deals get one. `esign`: the vendor's name for people.
    """

    asked_at: datetime
    resumes: bool
    today: date
    sends_from: str | None
    esign: str
    revision: Revision | None = None
    deal: DealNow | Unread | None = UNREAD  # None: HubSpot has no such deal any more
    draft: Draft | NoDraft | Unread = UNREAD


# --- facts for advancing -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnFile:
    """The contract that an event points to. `finished`: all is written that its completion calls for.
    `superseded`: the deal has a newer revision.
    """

    number: int
    state: str
    promise: Promise
    finished: bool = False
    superseded: bool = False


@dataclass(frozen=True)
class AdvanceCase:
    """Everything that decides what a signature request means for its deal.

    `request`: as it was read back, None when the vendor knows none under this id. `missing`: what the deal lacks of
    the exit criteria with all signatures there, None when HubSpot has no such deal. `esign`: the vendor's name.
    """

    contract: OnFile | None
    request_id: str
    esign: str
    request: RequestFacts | Unread | None = UNREAD
    missing: tuple[str, ...] | Unread | None = UNREAD
