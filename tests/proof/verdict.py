"""What must hold when a story has ended, read from the sandbox's own records and from the ledger's inbox."""

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from flows.hand_over.next_deal import follow_on_key, follows_on
from flows.ledger import tables
from flows.ledger.database import Ledger
from flows.trials.rehearsal.checks import is_debrief
from flows.trials.rehearsal.world import World
from tests.proof.story import Story, reminders, requests_of

_WELL = {
    "sign": ("won", "completed"),
    "slow": ("won", "completed"),
    "decline": ("discussion", "declined"),
    "expire": ("discussion", "expired"),
    "cancel": ("discussion", "canceled"),
}


@dataclass
class Verdict:
    """Failures as sentences, by kind. Empty lists: passed."""

    duplicates: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there is no failure."""
        return not (self.duplicates or self.lost or self.stuck)

    def add(self, other: "Verdict") -> None:
        """Add another story's failures."""
        self.duplicates += other.duplicates
        self.lost += other.lost
        self.stuck += other.stuck

    def once(self, what: str, count: int) -> None:
        """Require exactly one of these."""
        if count > 1:
            self.duplicates.append(f"{what}: {count} times")
        elif count < 1:
            self.lost.append(f"{what}: none")


async def judge(
    story: Story,
    world: World,
    stage_ids: dict[str, str],
    process: Any,
    taken: set[tuple[str, str]],
    ledger: Ledger,
) -> Verdict:
    """Judge a story. `taken`: (source, sha256) of every delivery that the gateway has acknowledged."""
    found = Verdict()
    deal = await _deals(story, world, found)
    if deal is not None:
        await _contract(story, deal, world, stage_ids, process, found)
        await _documents_and_notes(story, deal, world, found)
        await _moved_back(story, deal, world, stage_ids, found)
        await _handed_over(story, world, process, found)
        await _followed_up(story, deal, world, process, found)
    await _ledger_is_idle(story, ledger, taken, found)
    return found


async def _deals(story: Story, world: World, found: Verdict) -> dict[str, Any] | None:
    deals = [d for d in await world.records("deals") if not d.get("archived") and d["id"] == story.deal_id]
    contacts = [c for c in await world.records("contacts") if c["properties"].get("email") == story.email]
    names = [
        c for c in await world.records("companies") if c["properties"].get("name") == story.form["company"]
    ]
    named = [
        d
        for d in await world.records("deals")
        if {a["id"] for a in d["associations"].get("contacts", [])} & {c["id"] for c in contacts}
    ]
    found.once("contact", len(contacts))
    found.once("company", len(names))
    own = [d for d in named if not follows_on(d["properties"].get("dealflow_lead_key"))]
    found.once("deal of this buyer", len(own))
    return deals[0] if deals else None


async def _contract(
    story: Story, deal: dict[str, Any], world: World, stage_ids: dict[str, str], process: Any, found: Verdict
) -> None:
    requests = await requests_of(story, world)
    found.once("contract", len(requests))
    if story.ending not in _WELL or not requests:
        return
    status = deal["properties"].get("dealflow_contract_status")
    state = _WELL[story.ending][1]
    if status != state:
        found.lost.append(f"contract status on the deal is {status}, not {state}")
    rule = getattr(process.signature_outcomes, state)
    target = rule.move_to
    moves = [h["value"] for h in deal["history"]["dealstage"]]
    sent_from = stage_ids[process.stage_for("send_contract").key]
    if target is not None:
        after = moves[moves.index(sent_from) + 1 :] if sent_from in moves else moves
        found.once(f"move to {target}", after.count(stage_ids[target]))
    if deal["properties"].get("dealstage") != (stage_ids[target] if target else sent_from):
        found.lost.append("the deal is not in the stage that the process requires")
    if story.won:
        files = {f["id"]: f for f in await world.records("files")}
        signed = files.get(deal["properties"].get("dealflow_signed_file_id") or "")
        if signed is None:
            found.lost.append("the deal has no signed PDF")
        elif signed["sha256"] != requests[0]["signed_sha256"]:
            found.lost.append("the filed PDF is not the vendor's")


async def _documents_and_notes(story: Story, deal: dict[str, Any], world: World, found: Verdict) -> None:
    files = [f for f in await world.records("files") if f"-{story.deal_id}-" in str(f["name"])]
    kinds = Counter(str(f["name"]).partition("-")[0] for f in files)
    found.once("filed proposal", kinds["proposal"])
    if story.won:
        found.once("filed signed contract", kinds["signed"])
    notes = [n["properties"].get("hs_note_body") or "" for n in await _on_deal(story, world, "notes")]
    markers = Counter(body.rpartition("dealflow ")[2] for body in notes)
    found.duplicates += [f"note written {n} times" for n in markers.values() if n > 1]
    # Proposal, contract sent, how it ended; and one each for the stages skipped before Presentation and (but for a slow
    # buyer) Closing; then the debrief of a won deal.
    wanted = 3 + (story.ending in _WELL) + (story.ending != "slow") + story.won
    if len(markers) < wanted:
        found.lost.append(f"{len(markers)} notes on the deal instead of {wanted}")
    if len(markers) > wanted:
        found.duplicates.append(f"{len(markers)} notes on the deal instead of {wanted}")


async def _moved_back(
    story: Story, deal: dict[str, Any], world: World, stage_ids: dict[str, str], found: Verdict
) -> None:
    """Check the early close: one move back, one task."""
    moves = [value for value, _ in itertools.groupby(h["value"] for h in deal["history"]["dealstage"])]
    back = stage_ids["closing"], stage_ids["presentation"]
    found.once("move back", list(itertools.pairwise(moves)).count(back))
    tasks = await _tasks(story, world)
    found.once("task about the move back", sum(subject.startswith("Moved back") for subject in tasks))


async def _handed_over(story: Story, world: World, process: Any, found: Verdict) -> None:
    """Check the hand-over of a won deal: one debrief, each task once, one follow-on deal. Other deals: none."""
    subjects, won = await _tasks(story, world), story.won
    wanted = [task.task for task in process.hand_over.tasks] if won else []
    for task in wanted:
        found.once(f"task {task!r}", subjects.count(task))
    most = len(wanted) + (3 if story.ending == "slow" else 1)
    if len(subjects) > most:
        found.duplicates.append(f"{len(subjects)} tasks on the deal instead of {most}")
    notes = [n for n in await _on_deal(story, world, "notes") if is_debrief(n)]
    followers = [
        d
        for d in await world.records("deals")
        if d["properties"].get("dealflow_lead_key") == follow_on_key(story.deal_id)
    ]
    if won:
        found.once("debrief", len(notes))
        found.once("follow-on deal", len(followers))
        associated = {kind for d in followers for kind, links in d["associations"].items() if links}
        found.lost += [f"the follow-on deal has no {kind}" for kind in {"contacts", "companies"} - associated]
    elif notes or followers:
        found.duplicates.append("handed over although it is not won")


async def _followed_up(
    story: Story, deal: dict[str, Any], world: World, process: Any, found: Verdict
) -> None:
    """A slow buyer: one task and one e-mail draft for the three follow-ups in Discussion, flagged once and not now; one
    task and one reminder in Closing. Any other: no flag and no e-mail.
    """
    emails = await _on_deal(story, world, "emails")
    flags = [h["value"] for h in deal["history"].get("dealflow_flag", []) if h["value"]]
    if story.ending != "slow":
        if emails or flags:
            found.duplicates.append("followed up although it was not stalled")
        return
    subjects = await _tasks(story, world)
    for key in ("discussion", "closing"):
        task = process.stage(key).follow_up.task
        found.once(f"task {task!r}", subjects.count(task))
    found.once("e-mail draft", len(emails))
    found.once("flag", len(flags))
    if deal["properties"].get("dealflow_flag"):
        found.lost.append("the deal that moved on is still flagged")
    found.once("reminder", len(await reminders(story, world)))


async def _on_deal(story: Story, world: World, object_type: str) -> list[dict[str, Any]]:
    """The records of this type that are associated with the story's deal."""
    return [
        record
        for record in await world.records(object_type)
        if story.deal_id in {a["id"] for a in record["associations"].get("deals", [])}
    ]


async def _tasks(story: Story, world: World) -> list[str]:
    """The subjects of the tasks on the story's deal, without those about dead events: see `stuck`."""
    subjects = [str(t["properties"]["hs_task_subject"]) for t in await _on_deal(story, world, "tasks")]
    return [subject for subject in subjects if "dealflow is stuck" not in subject]


async def _ledger_is_idle(story: Story, ledger: Ledger, taken: set[tuple[str, str]], found: Verdict) -> None:
    async with ledger.read() as tx:
        states = await tx.execute(sa.select(tables.inbox.c.kind, tables.inbox.c.state, tables.inbox.c.reason))
        for kind, state, reason in states:
            if state not in ("done", "ignored"):
                found.stuck.append(f"{kind} is {state}: {reason}")
        effects = await tx.execute(sa.select(tables.effects.c.key, tables.effects.c.state))
        for key, state in effects:
            if state not in ("done", "not_done", "refused"):
                found.stuck.append(f"effect {key} is {state}")
        kept = {
            (row.source, row.sha256)
            for row in await tx.execute(sa.select(tables.deliveries.c.source, tables.deliveries.c.sha256))
        }
    found.lost += [f"a delivery of {source} that was acknowledged is gone" for source, _ in taken - kept]
