"""Contacts on the deal: one with a role, or so many of them."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from flows.rules.criteria.counting import number_of
from flows.rules.criteria.deal_facts import DealFacts, Found
from flows.rules.criteria.kinds.base import BaseEvidence, LeafEvidence
from flows.rules.criteria.kinds.phrases import first_of, no_such, several
from flows.rules.criteria.need import Need, Wanted

if TYPE_CHECKING:
    from flows.rules.backtest.past_deal import Coverage, PastDeal, Sight
    from flows.rules.process.sales_process import SalesProcess


class _Contacts(LeafEvidence):
    """What both kinds share: contacts are searched together."""

    def about(self) -> tuple[str, ...]:
        """All contacts are one thing."""
        return ("contacts",)

    def fewest(self, wanted: Sequence[Wanted], facts: DealFacts) -> tuple[Need, ...]:
        """Roles that nobody has, and contacts that are too few."""
        return _missing(tuple(one.leaf for one in wanted), facts)


class ContactEvidence(_Contacts):
    """A contact is on the deal: `any`, or one with a role from `roles`."""

    contact: str

    kept_by_us = True

    @classmethod
    def complete_schema(cls, schema: dict[str, Any], roles: Sequence[str]) -> None:
        """Which roles there are, only the model of the whole file knows."""
        schema["properties"]["contact"]["enum"] = ["any", *roles]

    def unknown_name(self, process: "SalesProcess") -> tuple[str, str] | None:
        """The role must be one that processes have."""
        return no_such("contact", "role", self.contact, ["any", *process.role_names])

    def roles(self) -> tuple[str, ...]:
        """The role, unless anybody will do."""
        return () if self.contact == "any" else (self.contact,)

    def check(self, facts: DealFacts, stage: str) -> Found:
        """The first contact with the role."""
        role = self.contact
        found = sorted(c for c, roles in facts.contacts.items() if role == "any" or role in roles)
        wanted = "a contact" if role == "any" else f"a contact labelled as {role.replace('_', ' ')}"
        return first_of("contact", found, f"{wanted} on the deal")

    def unknown(self, past: "PastDeal", sight: "Sight", coverage: "Coverage") -> str:
        """Whether the role's label was read."""
        if set(self.roles()) <= coverage.roles:
            return ""
        return f"the label of the role {self.contact} was never read"

    def mirrored(self, properties: Collection[str]) -> bool:
        """Contacts and their labels are mirrored."""
        return True

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """What to look for."""
        if self.contact == "any":
            return "a contact on the deal"
        return f"a contact on the deal with the label “{process.role_labels.get(self.contact, self.contact)}”"

    def not_by_worker(self) -> str:
        """The intake puts a contact on the deal; people label it."""
        return "labels no contacts" if self.contact != "any" else ""

    def covers(self, other: BaseEvidence) -> bool:
        """A contact with a role is a contact."""
        return isinstance(other, ContactEvidence) and other.contact == "any"


class ContactsEvidence(_Contacts):
    """At least so many contacts are on the deal, whatever their roles."""

    contacts: Annotated[int, Field(ge=1, le=50)]

    def check(self, facts: DealFacts, stage: str) -> Found:
        """As many as are needed."""
        return several("contact", facts.contacts, self.contacts)

    def text(self, process: "SalesProcess", labels: Mapping[str, str]) -> str:
        """What to look for."""
        return (
            "a contact on the deal"
            if self.contacts == 1
            else f"at least {self.contacts} contacts on the deal"
        )


def _missing(served: Sequence[LeafEvidence], facts: DealFacts) -> tuple[Need, ...]:
    """Roles that nobody has, and contacts that are too few. A new contact may bring a missing role."""
    roles = [role for leaf in served for role in leaf.roles()]
    carried = frozenset[str]().union(*facts.contacts.values())
    least = max(leaf.contacts if isinstance(leaf, ContactsEvidence) else 1 for leaf in served)
    lacking = [role for role in dict.fromkeys(roles) if role not in carried]
    new = max(0, least - len(facts.contacts))
    counting = tuple(leaf for leaf in served if not leaf.roles())
    needs: list[Need] = []
    for at, role in enumerate(lacking):
        another = at < new
        who = "another contact" if another and (facts.contacts or at) else "a contact"
        asks = tuple(leaf for leaf in served if role in leaf.roles())
        says = f"{who} labelled as {role.replace('_', ' ')} on the deal"
        needs.append(Need("contact", role, says, (*asks, *(counting if another else ())), new=another))
    bare = new - len(lacking)
    if bare > 0:
        needs.append(Need("contact", "any", _bare(bare, facts, lacking), counting, count=bare, new=True))
    return tuple(needs)


def _bare(count: int, facts: DealFacts, lacking: Sequence[str]) -> str:
    """Contacts without a role, in words."""
    if facts.contacts or lacking:
        return f"{number_of(count, 'more contact')} on the deal"
    return f"{count} contacts on the deal" if count > 1 else "a contact on the deal"
