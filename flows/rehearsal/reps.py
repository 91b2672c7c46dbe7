"""The simulated reps: they walk each deal through the stages of the process file, supplying what its criteria ask for,
with human faults. They know nothing but the file, the board in HubSpot, and what they did themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flows.documents import Template
from flows.rehearsal.buyers import Buyer
from flows.rehearsal.rates import Rates
from flows.rehearsal.signers import MISTYPED, Signers
from flows.rehearsal.world import World
from flows.rules.exit_criteria import DealFacts, judge
from flows.rules.sales_process import (
    CompanyEvidence,
    ContactEvidence,
    Criterion,
    DocumentEvidence,
    LineItemEvidence,
    PropertyEvidence,
    SalesProcess,
    SignatureEvidence,
    Stage,
)

Seen = dict[str, str | None]
_GOODS = ("Contract desk, per seat", "Onboarding workshop", "Migration of archives", "Support, gold")
_ENDED = ("declined", "expired", "canceled", "failed")


@dataclass
class Case:
    """One deal as its rep knows it. `over`: nobody will touch it again, `why` says why."""

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
    forgot: set[str] = field(default_factory=set)
    drawn: set[str] = field(default_factory=set)  # what the dice have decided already
    wrong: dict[str, str] = field(default_factory=dict)  # contact id -> the address it should have
    ended: set[str] = field(default_factory=set)  # contracts that have ended unsigned and were dealt with
    papers_ready: bool = False
    waits_since: datetime | None = None

    def first_time(self, what: str) -> bool:
        """Whether the dice have not decided this yet."""
        fresh = what not in self.drawn
        self.drawn.add(what)
        return fresh


@dataclass
class Reps:
    """All reps. `stage_ids`: our key -> HubSpot's id; `types`: deal property -> its type in HubSpot."""

    world: World
    process: SalesProcess
    rates: Rates
    signers: Signers
    stage_ids: dict[str, str]
    types: dict[str, str]
    templates: Sequence[Template]
    _ours_id: str = ""

    @property
    def watched(self) -> list[str]:
        """Deal properties that reps look at on the board."""
        asked = [
            c.evidence.property
            for stage in self.process.stages
            for c in stage.exit_criteria
            if isinstance(c.evidence, PropertyEvidence)
        ]
        own = ["proposal_file_id", "contract_status", "contract_request_id", "lead_key"]
        return list(
            dict.fromkeys(["dealstage", *asked, *(f"dealflow_{n}" for n in own), *self._printed("deal")])
        )

    def stage_of(self, seen: Seen) -> Stage | None:
        """Where the board shows the deal."""
        key = next((k for k, i in self.stage_ids.items() if i == seen.get("dealstage")), None)
        return self.process.stage(key) if key else None

    async def adopt(self, number: int, buyer: Buyer, deal_id: str) -> Case:
        """A deal turned up on the board: open it and see who is on it."""
        record = await self.world.rep("deals", id=deal_id)
        linked = {kind: [link["id"] for link in rows] for kind, rows in record["associations"].items()}
        case = Case(
            number,
            buyer,
            deal_id,
            contact_id=(linked.get("contacts") or [""])[0],
            company_id=(linked.get("companies") or [""])[0],
            next_at=self._in(buyer, self.rates.first_touch_days),
        )
        if case.contact_id:
            case.roles[case.contact_id] = set()
        return case

    async def work(self, case: Case, seen: Seen) -> None:
        """One step on one deal."""
        case.next_at = self._in(case.buyer, self.rates.days_between_steps)
        stage = self.stage_of(seen)
        if stage is None or stage.closed is not None:
            case.over, case.why = True, "closed"
            return
        if case.first_time(f"fate in {stage.key}") and await self._buyer_leaves(case, stage):
            return
        if await self._contract_ended(case, seen, stage):
            return
        if "send_contract" in stage.on_enter:
            await self._watch_contract(case, seen)
            return
        await self._supply(case, seen, stage.exit_criteria)
        if self._unmet(case, seen, stage.exit_criteria, theirs=False):
            await self._wait(case, seen, stage)
            return
        case.waits_since = None
        await self._move_on(case, seen, stage)

    # The buyer

    async def _buyer_leaves(self, case: Case, stage: Stage) -> bool:
        roll = case.buyer.dice.random()
        if roll < self.rates.gives_up:
            await self._lose(case, f"the buyer said no in {stage.label}")
        elif roll < self.rates.gives_up + self.rates.goes_silent:
            case.over, case.why = True, "the buyer went silent"
        return case.over

    async def _lose(self, case: Case, why: str) -> None:
        lost = next(s for s in self.process.stages if s.closed == "lost")
        await self._set_stage(case, lost)
        case.over, case.why = True, why

    # Moving

    async def _move_on(self, case: Case, seen: Seen, stage: Stage) -> None:
        """To the next stage, or (a human fault) past one, or straight to the contract."""
        ahead = [s for s in self._open_stages() if self._place(s) > self._place(stage)]
        dice, rates = case.buyer.dice, self.rates
        if not ahead:
            await self._set_stage(case, self.process.won)
            return
        target = ahead[0]
        signing = self.process.stage_for("send_contract")
        if (
            case.first_time(f"early from {stage.key}")
            and dice.random() < rates.moves_early
            and signing in ahead
        ):
            assert signing is not None
            target = signing
        elif (
            len(ahead) > 1 and case.first_time(f"skip from {stage.key}") and dice.random() < rates.skips_stage
        ):
            target = ahead[1]
        if target.on_enter:
            await self._fill_in_papers(case, seen)
        await self._set_stage(case, target)

    async def _set_stage(self, case: Case, stage: Stage) -> None:
        await self.world.rep("deals", id=case.deal_id, properties={"dealstage": self.stage_ids[stage.key]})

    def _open_stages(self) -> list[Stage]:
        return [s for s in self.process.stages if s.closed is None]

    def _place(self, stage: Stage) -> int:
        return self.process.keys.index(stage.key)

    # Waiting for the worker, and noticing that nothing comes

    async def _wait(self, case: Case, seen: Seen, stage: Stage) -> None:
        """Something only the worker can supply is missing. After some days a rep looks into it, or does not."""
        case.next_at = self._in(case.buyer, 1)
        if case.waits_since is None:
            case.waits_since = self.world.now
            return
        waited_days = (self.world.now - case.waits_since).total_seconds() / 86_400
        if waited_days < self.rates.notices_after_days:
            return
        case.waits_since = None
        if case.first_time(f"notices in {stage.key}") and case.buyer.dice.random() < self.rates.notices:
            await self._mend(case, seen, stage)
        else:
            case.over, case.why = True, "nobody looks after it any more"

    async def _mend(self, case: Case, seen: Seen, stage: Stage) -> None:
        """Fill in everything that was left out, and correct what is wrong."""
        case.forgot.clear()
        criteria = [*self.process.gate_before(stage.key), *stage.exit_criteria]
        await self._correct_addresses(case)
        for criterion in self._unmet(case, seen, criteria, theirs=True):
            await self._provide(case, criterion)
        await self._fill_in_papers(case, seen, mending=True)
        documents = self._unmet(case, seen, criteria, theirs=False)
        making = self.process.stage_for("generate_proposal")
        if (
            making is not None
            and making.key != stage.key
            and any(isinstance(c.evidence, DocumentEvidence) for c in documents)
        ):
            await self._set_stage(case, making)  # the stage that was skipped makes the document
            case.next_at = self._in(case.buyer, 1)

    async def _watch_contract(self, case: Case, seen: Seen) -> None:
        request_id = seen.get("dealflow_contract_request_id") or ""
        sent = request_id != "" and request_id not in case.ended
        signing = self.process.stage_for("send_contract")
        assert signing is not None
        if not sent:
            await self._wait(case, seen, signing)
            return
        case.next_at = self._in(case.buyer, 1)
        case.waits_since = None
        if request_id in self.signers.bounced and case.buyer.dice.random() < 0.3:
            await self.world.cancel(request_id)
            await self._correct_addresses(case)

    async def _contract_ended(self, case: Case, seen: Seen, stage: Stage) -> bool:
        """A contract came back unsigned: once more, or give it up. True when that was this step."""
        status, request_id = (
            seen.get("dealflow_contract_status"),
            seen.get("dealflow_contract_request_id") or "",
        )
        if status not in _ENDED or request_id in case.ended:
            return False
        case.ended.add(request_id)
        bounced = request_id in self.signers.bounced
        if not bounced and case.buyer.dice.random() >= self.rates.tries_again:
            await self._lose(case, f"the contract was {status}")
            return True
        if status == "declined" and case.line_items:
            await self.world.rep(
                "line_items", id=case.line_items[0], properties={"hs_discount_percentage": "10"}
            )
        if "send_contract" in stage.on_enter:  # back one step, so that entering again asks for a new contract
            before = [s for s in self._open_stages() if self._place(s) < self._place(stage)]
            await self._set_stage(case, before[-1] if before else stage)
        case.next_at = self._in(case.buyer, self.rates.tries_again_after_days)
        return True

    # Supplying evidence

    def _unmet(
        self, case: Case, seen: Seen, criteria: Sequence[Criterion], *, theirs: bool
    ) -> list[Criterion]:
        """Criteria not met as the rep sees it: those that people can supply, or those that come by themselves."""
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
        )
        open_ = [c for c, v in zip(criteria, judge(criteria, facts), strict=True) if not v.met]
        return [c for c in open_ if isinstance(c.evidence, (DocumentEvidence, SignatureEvidence)) != theirs]

    async def _supply(self, case: Case, seen: Seen, criteria: Sequence[Criterion]) -> None:
        for criterion in self._unmet(case, seen, criteria, theirs=True):
            if case.first_time(f"forgets {criterion.key}") and case.buyer.dice.random() < self._forgets(
                criterion
            ):
                case.forgot.add(criterion.key)
            if criterion.key not in case.forgot:
                await self._provide(case, criterion)

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

    async def _provide(self, case: Case, criterion: Criterion) -> None:
        match criterion.evidence:
            case PropertyEvidence() as wanted:
                values = {wanted.property: self._value(case, wanted)}
                await self.world.rep("deals", id=case.deal_id, properties=values)
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
            case _:
                return

    def _value(self, case: Case, wanted: PropertyEvidence) -> str:
        if wanted.at_least is not None:
            return str(max(wanted.at_least, case.buyer.budget))
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

    # People on the deal

    async def _name_role(self, case: Case, role: str) -> None:
        """Label whoever has the role: often the one contact there is, sometimes a second one, sometimes wrongly."""
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
        label = getattr(self.process.roles, role)
        await self._link(case, "contacts", contact_id, label=label)
        case.roles.setdefault(contact_id, set()).add(role)
        case.labelled_at.setdefault((contact_id, role), self.world.now)

    async def _link(self, case: Case, kind: str, ident: str, **more: Any) -> None:
        link = {"to_type": kind, "to_id": ident, **more}
        await self.world.rep("deals", id=case.deal_id, associations=[link])

    async def _correct_addresses(self, case: Case) -> None:
        """Give mistyped people their true address, those without any theirs, and take our own people off the deal."""
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

    # What the papers print

    def _printed(self, kind: str) -> list[str]:
        """Properties of a kind of record that a template must have."""
        names = [
            variable.source.partition(".")[2]
            for template in self.templates
            for variable in template.declaration.variables.values()
            if variable.source.startswith(f"{kind}.") and not variable.optional
        ]
        return sorted(set(names) - {"hs_object_id", "dealname", "deal_currency_code"})

    async def _fill_in_papers(self, case: Case, seen: Seen, *, mending: bool = False) -> None:
        """Before a document is made a rep completes what it prints, or forgets to."""
        if case.papers_ready:
            return
        if not mending and case.first_time("papers"):
            if case.buyer.dice.random() < self.rates.forgets_paper_details:
                return
        elif not mending:
            return
        case.papers_ready = True
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

    def _in(self, buyer: Buyer, days: float) -> datetime:
        return self.world.now + timedelta(days=days * buyer.dice.lognormvariate(0, 0.5))
