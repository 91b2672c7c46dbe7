"""How the deal's signature request stands."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal

from flows.rules.criteria.deal_facts import DealFacts, Found, Proof
from flows.rules.criteria.kinds.base import Action, LeafEvidence
from flows.rules.criteria.kinds.document import before_dealflow

if TYPE_CHECKING:
    from flows.rules.backtest.past_deal import Coverage, PastDeal, Sight
    from flows.rules.process.sales_process import SalesProcess


class SignatureEvidence(LeafEvidence):
    """The deal's signature request, read back from Dropbox Sign, stands so."""

    signature: Literal["completed"]

    def shown_in(self) -> tuple[str, ...]:
        """The contract's status on the deal."""
        return ("dealflow_contract_status",)

    def check(self, facts: DealFacts, stage: str) -> Found:
        """The newest contract's request."""
        state = self.signature
        proof = facts.filed.get("signature") or Proof("signature", "")
        missing = f"the signature request to be {state}"
        return Found(f"signature {state}" if facts.signature == state else "", missing, (proof,))

    def unknown(self, past: "PastDeal", sight: "Sight", coverage: "Coverage") -> str:
        """Before dealflow began to send, nobody knows."""
        return before_dealflow(sight, coverage)

    def mirrored(self, properties: Collection[str]) -> bool:
        """The ledger knows its contracts."""
        return True

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """What to look for."""
        return "the signature request, read back from Dropbox Sign: signed by all"

    def made_by(self) -> Action:
        """Nothing is signed that was not sent."""
        return "send_contract"
