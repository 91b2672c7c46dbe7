"""What reps enter on a deal: the evidence that the process file requires and the details that its documents print, with
human errors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flows.documents.render import Template
from flows.rules.criteria.deal_facts import Quote
from flows.rules.criteria.evidence import (
    ActivityEvidence,
    AllOf,
    AnyOf,
    CallNotesEvidence,
    ContactsEvidence,
    DateEvidence,
    ObjectionsEvidence,
    PlanEvidence,
    QuoteEvidence,
)
from flows.rules.criteria.judge import DealFacts, entered_at, judge, unmet
from flows.rules.process.sales_process import (
    CompanyEvidence,
    ContactEvidence,
    Criterion,
    DocumentEvidence,
    Evidence,
    LineItemEvidence,
    PropertyEvidence,
    SalesProcess,
    SignatureEvidence,
)
from flows.trials.rehearsal.buyers import Buyer
from flows.trials.rehearsal.journal import Diary, Journal
from flows.trials.rehearsal.rates import Rates
from flows.trials.rehearsal.signers import MISTYPED, Signers
from flows.trials.rehearsal.world import World

Seen = dict[str, str | None]
_GOODS = ("Contract desk, per seat", "Onboarding workshop", "Migration of archives", "Support, gold")


@dataclass
class Case:
    """One deal as its rep knows it. `over`: nobody will work on it again; `why` has the reason."""

    number: int
    buyer: Buyer
    deal_id: str
    contact_id: str
    company_id: str
    next_at: datetime
    over: bool = False
    why: str = ""
    roles: dict[str, set[str]] = field(default_factory=dict)  # contact id -> role keys
    labelled_at: dict[tuple[str, str], datetime] = field(default_factory=dict)
    line_items: list[str] = field(default_factory=list)
    quotes: list[str] = field(default_factory=list)  # all accepted
    forgot: set[str] = field(default_factory=set)
    drawn: set[str] = field(default_factory=set)  # random decisions that were made already
    wrong: dict[str, str] = field(default_factory=dict)  # contact id -> the address it should have
    ended: set[str] = field(default_factory=set)  # contracts that ended unsigned and were handled
    documents_ready: bool = False
    diary: Diary = field(default_factory=Diary)
    waits_since: datetime | None = None

    def first_time(self, what: str) -> bool:
        """Whether this random decision was not made yet."""
        fresh = what not in self.drawn
        self.drawn.add(what)
        return fresh


@dataclass
class EvidenceWriter:
    """Fills in deals for the reps. `stage_ids`: stage key -> HubSpot's id; `types`: deal property -> HubSpot type."""

    world: World
    process: SalesProcess
    rates: Rates
    signers: Signers
    stage_ids: dict[str, str]
    types: dict[str, str]
    templates: Sequence[Template]
    _ours_id: str = ""

    def _unmet(
        self, case: Case, seen: Seen, criteria: Sequence[Criterion], *, theirs: bool
    ) -> list[Criterion]:
        """Unmet criteria as the rep sees them: those that people can provide, or those that the worker provides."""
        signed = seen.get("dealflow_contract_status") == "completed"
        facts = DealFacts(
            deal_id=case.deal_id,
            stage=None,
            properties=seen,
            contacts={i: frozenset(roles) for i, roles in case.roles.items()},
            companies=frozenset({case.company_id} - {""}),
            line_items=frozenset(case.line_items),
            documents=frozenset({"proposal"} if seen.get("dealflow_proposal_file_id") else ()),
            signature="completed" if signed else None,
            activities=case.diary.activities,
            objections=case.diary.objections,
            quotes=tuple(Quote(ident, True) for ident in case.quotes),
            entered=entered_at(self.process, self._stage_key(seen), case.diary.entered.items()),
            read_at=self.world.now,
        )
        home = {c.key: stage.key for stage in self.process.stages for c in stage.exit_criteria}
        open_ = [c for c in criteria if unmet(judge([c], facts, home[c.key]))]
        return [c for c in open_ if isinstance(c.evidence, (DocumentEvidence, SignatureEvidence)) != theirs]

    async def _provide_all(self, case: Case, seen: Seen, criteria: Sequence[Criterion]) -> None:
        for criterion in self._unmet(case, seen, criteria, theirs=True):
            if case.first_time(f"forgets {criterion.key}") and case.buyer.dice.random() < self._forgets(
                criterion
            ):
                case.forgot.add(criterion.key)
            if criterion.key not in case.forgot:
                await self._provide(case, criterion.evidence)

    def _forgets(self, criterion: Criterion) -> float:
        match criterion.evidence:
            case ContactEvidence(contact=role) if role != "any":
                return self.rates.forgets_role
            case PropertyEvidence():
                return self.rates.leaves_property_empty
            case LineItemEvidence():
                return self.rates.forgets_line_items
            case _:
                return 0.0

    async def _provide(self, case: Case, evidence: Evidence) -> None:
        """Enter the evidence that a rep can enter; of alternatives the first."""
        match evidence:
            case AnyOf(any_of=parts):
                await self._provide(case, parts[0])
            case AllOf(all_of=parts):
                for part in parts:
                    await self._provide(case, part)
            case PropertyEvidence() as wanted:
                values = {wanted.property: self._value(case, wanted)}
                await self.world.rep("deals", id=case.deal_id, properties=values)
            case DateEvidence() as wanted:
                # "after" another day: far enough after any date that is written there.
                days = wanted.within_days if wanted.within_days is not None else 400 if wanted.after else 30
                values = {wanted.date: f"{self.world.now + timedelta(days=days):%Y-%m-%d}"}
                await self.world.rep("deals", id=case.deal_id, properties=values)
            case ContactsEvidence(contacts=least):
                for number in range(len(case.roles), least):
                    name = f"{case.buyer.first}-{number}"
                    await self._new_contact(case, name, case.buyer.person(name), None)
            case ContactEvidence(contact="any"):
                case.contact_id = await self._new_contact(case, case.buyer.first, case.buyer.email, None)
            case ContactEvidence(contact=role):
                await self._name_role(case, role)
            case CompanyEvidence():
                record = await self.world.rep(
                    "companies", create=True, properties={"name": case.buyer.company}
                )
                case.company_id = record["id"]
                await self._link(case, "companies", case.company_id)
            case LineItemEvidence(line_items=least):
                await self._add_line_items(case, least)
            case QuoteEvidence():
                await self._quote(case)
            case PlanEvidence(fields=parts):
                for part in parts:
                    await self._provide(case, part)
            case ActivityEvidence() | CallNotesEvidence() | ObjectionsEvidence() as wanted:
                await Journal(self.world, self.process).log(case.deal_id, case.diary, wanted)
            case _:
                return

    def _stage_key(self, seen: Seen) -> str | None:
        return next((k for k, i in self.stage_ids.items() if i == seen.get("dealstage")), None)

    def _value(self, case: Case, wanted: PropertyEvidence) -> str:
        if wanted.at_least is not None:
            return str(max(wanted.at_least, case.buyer.budget))
        if wanted.at_most is not None:
            return str(min(wanted.at_most, case.buyer.budget))
        if wanted.equals is not None:
            return wanted.equals
        if wanted.one_of:
            return wanted.one_of[0]
        day = self.world.now + timedelta(days=30)
        by_type = {
            "number": str(case.buyer.budget),
            "date": f"{day:%Y-%m-%d}",
            "datetime": f"{day:%Y-%m-%d}T00:00:00.000Z",
            "bool": "true",
        }
        return by_type.get(self.types.get(wanted.property, ""), case.buyer.need)

    async def _add_line_items(self, case: Case, least: int) -> None:
        dice = case.buyer.dice
        count = max(least, dice.randint(1, 3))
        for at in range(len(case.line_items), count):
            quantity = dice.choice((1, 1, 2, 5, 12))
            values = {
                "name": _GOODS[at % len(_GOODS)],
                "quantity": str(quantity),
                "price": f"{case.buyer.budget / count / quantity:.2f}",
                "hs_position_on_quote": str(at),
            }
            if dice.random() < self.rates.discount:
                values["hs_discount_percentage"] = dice.choice(("5", "10", "15"))
            link = {"to_type": "deals", "to_id": case.deal_id}
            record = await self.world.rep("line_items", create=True, properties=values, associations=[link])
            case.line_items.append(record["id"])

    async def _quote(self, case: Case) -> None:
        """The rep makes a quote, and the buyer accepts it."""
        link = {"to_type": "deals", "to_id": case.deal_id}
        until = self.world.now + timedelta(days=30)
        values = {
            "hs_title": f"Quote for {case.buyer.company}",
            "hs_expiration_date": f"{until:%Y-%m-%d}",
            "hs_status": "ACCEPTED",
        }
        record = await self.world.rep("quotes", create=True, properties=values, associations=[link])
        case.quotes.append(record["id"])

    # People on the deal

    async def _name_role(self, case: Case, role: str) -> None:
        """Label the contact with the role: often the only contact, sometimes a second one, sometimes wrongly."""
        dice, rates, buyer = case.buyer.dice, self.rates, case.buyer
        if case.first_time("who signs"):
            roll = dice.random()
            if roll < rates.labels_ourselves:
                await self._label(case, await self._one_of_ours(case), role)
                return
            if roll < rates.labels_ourselves + rates.mistypes_signer:
                wrong = f"signer{buyer.number}@{MISTYPED}"
                person = await self._new_contact(case, "Petra", wrong, role)
                case.wrong[person] = buyer.person("petra.prokura")
                return
            if roll < rates.labels_ourselves + rates.mistypes_signer + rates.second_contact:
                await self._new_contact(case, "Petra", buyer.person("petra.prokura"), role)
                if dice.random() < rates.two_signers / max(rates.second_contact, 0.01):
                    await self._label(case, case.contact_id, role)
                return
        await self._label(case, case.contact_id, role)

    async def _new_contact(self, case: Case, first: str, email: str, role: str | None) -> str:
        values = {"firstname": first, "lastname": "Prokura" if role else case.buyer.last, "email": email}
        record = await self.world.rep(
            "contacts", create=True, properties={k: v for k, v in values.items() if v}
        )
        case.roles[record["id"]] = set()
        if role is None:
            await self._link(case, "contacts", record["id"])
        else:
            await self._label(case, record["id"], role)
        found: str = record["id"]
        return found

    async def _one_of_ours(self, case: Case) -> str:
        if not self._ours_id:
            seller = self.process.seller
            values = {"firstname": "Carla", "lastname": "Colleague", "email": seller.email}
            self._ours_id = (await self.world.rep("contacts", create=True, properties=values))["id"]
        case.wrong[self._ours_id] = ""
        return self._ours_id

    async def _label(self, case: Case, contact_id: str, role: str) -> None:
        label = self.process.role_labels[role]
        await self._link(case, "contacts", contact_id, label=label)
        case.roles.setdefault(contact_id, set()).add(role)
        case.labelled_at.setdefault((contact_id, role), self.world.now)

    async def _link(self, case: Case, kind: str, ident: str, **more: Any) -> None:
        link = {"to_type": kind, "to_id": ident, **more}
        await self.world.rep("deals", id=case.deal_id, associations=[link])

    async def _correct_addresses(self, case: Case) -> None:
        """Correct mistyped addresses, add missing ones, and remove our own people from the deal."""
        for contact_id, address in sorted(case.wrong.items()):
            if address:
                await self.world.rep("contacts", id=contact_id, properties={"email": address})
                continue
            await self._link(case, "contacts", contact_id, remove=True)
            roles = case.roles.pop(contact_id, set())
            for role in sorted(roles):
                await self._label(case, case.contact_id, role)
        case.wrong.clear()
        if case.buyer.by_phone and case.first_time("address asked for"):
            address = case.buyer.person(case.buyer.last)
            await self.world.rep("contacts", id=case.contact_id, properties={"email": address})

    # What the documents print

    def _printed(self, kind: str) -> list[str]:
        """Properties of a kind of record that a template requires."""
        names = [
            variable.source.partition(".")[2]
            for template in self.templates
            for variable in template.declaration.variables.values()
            if variable.source.startswith(f"{kind}.") and not variable.optional
        ]
        return sorted(set(names) - {"hs_object_id", "dealname", "deal_currency_code"})

    async def _fill_in_documents(self, case: Case, seen: Seen, *, fixing: bool = False) -> None:
        """Before a document is made the rep enters what it prints, or forgets it."""
        if case.documents_ready:
            return
        if not fixing and case.first_time("documents"):
            if case.buyer.dice.random() < self.rates.forgets_paper_details:
                return
        elif not fixing:
            return
        case.documents_ready = True
        _, country, city = case.buyer.country
        own = {"address": f"{case.buyer.number} Market Street", "city": city, "country": country}
        own |= {"name": case.buyer.company, "firstname": case.buyer.first, "lastname": case.buyer.last}
        known = own | {"dealflow_need": case.buyer.need, "email": case.buyer.email}
        for kind, ident in (
            ("company", case.company_id),
            ("contact", case.contact_id),
            ("deal", case.deal_id),
        ):
            if not ident:
                continue
            values = {n: known.get(n) or "as agreed" for n in self._printed(kind)}
            if kind == "deal":
                values = {n: v for n, v in values.items() if not seen.get(n)}
            if values:
                plural = {"company": "companies"}.get(kind, f"{kind}s")
                await self.world.rep(plural, id=ident, properties=values)
