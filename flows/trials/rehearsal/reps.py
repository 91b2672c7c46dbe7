"""The simulated reps: they move each deal through the stages of the process file, with human errors.

They only know the file, the board in HubSpot, and their own actions.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from flows.rules.criteria.judge import properties_of
from flows.rules.process.sales_process import DocumentEvidence, Stage
from flows.trials.rehearsal.buyers import Buyer
from flows.trials.rehearsal.evidence import Case, EvidenceWriter, Seen

_ENDED = ("declined", "expired", "canceled", "failed")


@dataclass
class Reps(EvidenceWriter):
    """All reps."""

    @property
    def watched(self) -> list[str]:
        """Deal properties that reps read on the board."""
        asked = properties_of(self.process)
        own = ["proposal_file_id", "contract_status", "contract_request_id", "lead_key"]
        return list(
            dict.fromkeys(["dealstage", *asked, *(f"dealflow_{n}" for n in own), *self._printed("deal")])
        )

    def stage_of(self, seen: Seen) -> Stage | None:
        """The deal's stage on the board."""
        key = self._stage_key(seen)
        return self.process.stage(key) if key else None

    async def adopt(self, number: int, buyer: Buyer, deal_id: str) -> Case:
        """Take over a new deal on the board: read its contacts and company."""
        record = await self.world.rep("deals", id=deal_id)
        associated = {kind: [link["id"] for link in rows] for kind, rows in record["associations"].items()}
        case = Case(
            number,
            buyer,
            deal_id,
            contact_id=(associated.get("contacts") or [""])[0],
            company_id=(associated.get("companies") or [""])[0],
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
        case.diary.stands_in(stage.key, self.world.now)
        if case.first_time(f"fate in {stage.key}") and await self._buyer_leaves(case, stage):
            return
        if await self._contract_ended(case, seen, stage):
            return
        if "send_contract" in stage.on_enter:
            await self._watch_contract(case, seen)
            return
        await self._provide_all(case, seen, stage.exit_criteria)
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
        """Move to the next stage, or (a human error) skip one, or go straight to the contract."""
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
            await self._fill_in_documents(case, seen)
        await self._set_stage(case, target)

    async def _set_stage(self, case: Case, stage: Stage) -> None:
        await self.world.rep("deals", id=case.deal_id, properties={"dealstage": self.stage_ids[stage.key]})

    def _open_stages(self) -> list[Stage]:
        return [s for s in self.process.stages if s.closed is None]

    def _place(self, stage: Stage) -> int:
        return self.process.keys.index(stage.key)

    # Waiting for the worker, and noticing that nothing happens

    async def _wait(self, case: Case, seen: Seen, stage: Stage) -> None:
        """Wait for something that only the worker can provide. After some days the rep checks, or does not."""
        case.next_at = self._in(case.buyer, 1)
        if case.waits_since is None:
            case.waits_since = self.world.now
            return
        waited_days = (self.world.now - case.waits_since).total_seconds() / 86_400
        if waited_days < self.rates.notices_after_days:
            return
        case.waits_since = None
        if case.first_time(f"notices in {stage.key}") and case.buyer.dice.random() < self.rates.notices:
            await self._fix(case, seen, stage)
        else:
            case.over, case.why = True, "nobody works on it any more"

    async def _fix(self, case: Case, seen: Seen, stage: Stage) -> None:
        """Enter everything that is missing, and correct errors."""
        case.forgot.clear()
        criteria = [*self.process.gate_before(stage.key), *stage.exit_criteria]
        await self._correct_addresses(case)
        for criterion in self._unmet(case, seen, criteria, theirs=True):
            await self._provide(case, criterion.evidence)
        await self._fill_in_documents(case, seen, fixing=True)
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
        # Other criteria of the gate, e.g. a first payment; none if the gate only needs the signature.
        await self._provide_all(case, seen, signing.exit_criteria)
        case.next_at = self._in(case.buyer, 1)
        case.waits_since = None
        if request_id in self.signers.bounced and case.buyer.dice.random() < 0.3:
            await self.world.cancel(request_id)
            await self._correct_addresses(case)

    async def _contract_ended(self, case: Case, seen: Seen, stage: Stage) -> bool:
        """Handle a contract that ended unsigned: try again, or give up. True when this step did so."""
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
        if "send_contract" in stage.on_enter:  # back one step, so that entering again creates a new contract
            before = [s for s in self._open_stages() if self._place(s) < self._place(stage)]
            await self._set_stage(case, before[-1] if before else stage)
        case.next_at = self._in(case.buyer, self.rates.tries_again_after_days)
        return True

    def _in(self, buyer: Buyer, days: float) -> datetime:
        return self.world.now + timedelta(days=days * buyer.dice.lognormvariate(0, 0.5))
