"""A document that dealflow has filed on the deal."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Literal

from flows.rules.criteria.deal_facts import DealFacts, Found, Proof
from flows.rules.criteria.kinds.base import Action, LeafEvidence

if TYPE_CHECKING:
    from flows.rules.backtest.past_deal import Coverage, PastDeal, Sight
    from flows.rules.process.sales_process import SalesProcess

_FILE_ID = {"proposal": "dealflow_proposal_file_id", "contract": "dealflow_signed_file_id"}


class DocumentEvidence(LeafEvidence):
    """A document of this kind is filed on the deal."""

    document: Literal["proposal", "contract"]

    def about(self) -> tuple[str, ...]:
        """Each kind of document is a thing of its own."""
        return (f"document {self.document}",)

    def shown_in(self) -> tuple[str, ...]:
        """The property that holds the file's id."""
        return (_FILE_ID[self.document],)

    def check(self, facts: DealFacts, stage: str) -> Found:
        """The filed document."""
        kind = self.document
        proof = facts.filed.get(kind) or Proof("document", kind)
        return Found(f"{kind} on file" if kind in facts.documents else "", f"a filed {kind}", (proof,))

    def unknown(self, past: "PastDeal", sight: "Sight", coverage: "Coverage") -> str:
        """Before dealflow began to file, nobody knows."""
        return before_dealflow(sight, coverage)

    def mirrored(self, properties: Collection[str]) -> bool:
        """The ledger knows what is filed."""
        return True

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """What to look for."""
        return f"a {self.document} filed on the deal"

    def made_by(self) -> Action:
        """A proposal is generated, a contract comes back signed."""
        return "generate_proposal" if self.document == "proposal" else "send_contract"

    def shows_offer(self) -> bool:
        """A filed proposal is one, and a contract contains one."""
        return True


def before_dealflow(sight: "Sight", coverage: "Coverage") -> str:
    """Why the ledger cannot say what was filed or signed; empty when it can."""
    if coverage.since and sight.moment < coverage.since:
        return "it was before dealflow began to file and to send"
    return ""
