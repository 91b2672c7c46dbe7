"""HubSpot's deals against the ledger's contracts: what a flow can fix is asked for, what a person did is reported."""

from collections.abc import Mapping, Sequence

from connectors.hubspot.client import Filter, Sort
from connectors.hubspot.records import Record
from flows.contracts.effect_keys import reported_key
from flows.deals.stage_entries import watch_from_now
from flows.ledger import contracts, inbox, mirror
from flows.ledger.contracts import LIVE, Contract
from flows.ledger.inbox import NewEvent
from flows.ledger.mirror import StageEntry
from flows.processes import CONTRACT_DUE, DEAL_CHANGED
from flows.reconcile.contracts import missing_steps
from flows.reconcile.findings import SOURCE, Books, Finding
from flows.retries import reading
from flows.services import Portal, Services

PROPERTIES = ("dealstage", "pipeline", "dealflow_contract_token", "dealflow_contract_status")


async def read(s: Services, deal_ids: Sequence[str]) -> dict[str, Record]:
    """These deals by the id asked for, a hundred a call; those that HubSpot does not have are left out."""
    if not deal_ids:
        return {}
    found = await reading(lambda: s.hubspot.read_batch("deals", deal_ids, properties=PROPERTIES))
    # A row that was not read says nothing about its deal: it is left to the next hour.
    return {**found.records, **{deal_id: Record(deal_id) for deal_id in found.failed}}


def deal_findings(s: Services, portal: Portal, books: Books, deals: Mapping[str, Record]) -> list[Finding]:
    """What the deals say against what the ledger says, for the newest contract of each deal."""
    newest = {contract.deal_id: contract for contract in books.contracts}
    findings: list[Finding] = []
    live: dict[str, list[Contract]] = {}
    for contract in newest.values():
        if contract.deal_id in books.moving:
            continue
        deal = deals.get(contract.deal_id)
        if deal is None:
            if contract.state in LIVE:
                what = f"HubSpot has no such deal any more; its contract is {contract.state}"
                findings.append(Finding(what, contract.deal_id, contract.request_id))
            continue
        if contract.state in LIVE:
            live.setdefault(deal.id, []).append(contract)
        if deal.properties:
            stage = _stage(portal, deal)
            findings += [
                Finding(what, deal.id, contract.request_id)
                for what in (*_words(books, contract, deal), *_stands(s, books, contract, deal, stage))
            ]
    for deal_id, several in live.items():
        if len(several) > 1:
            what = f"deals {', '.join(c.deal_id for c in several)} are one now, and each has a contract"
            findings.append(Finding(what, deal_id))
    return findings


def _words(books: Books, contract: Contract, deal: Record) -> list[str]:
    """The deal's own properties, once we have surely written them."""
    status, token = (deal.properties.get(f"dealflow_contract_{name}") for name in ("status", "token"))
    if contract.state == "sending" or not books.is_done(reported_key(contract)):
        return []
    found: list[str] = []
    if token != contract.token:
        found.append(f"the deal {'names another contract' if token else 'names no contract any more'}")
    wanted = ("sent", "on_hold") if contract.state == "open" else (contract.state,)
    if status not in wanted and not missing_steps(books, contract, deal.id):
        found.append(f"the deal's contract status is not what was written there ({wanted[0]})")
    return found


def _stands(s: Services, books: Books, contract: Contract, deal: Record, stage: str | None) -> list[str]:
    """The deal's stage beside its contract's state."""
    if stage is None:  # outside the process: a person's business
        return []
    here = s.process.stage(stage)
    if contract.state in ("sending", "open") and here.closed is not None:
        return [
            f"the deal stands in {here.label} while its contract is not signed: cancel it, or move the deal"
        ]
    target = s.process.signature_outcomes.completed.move_to
    done = contract.state == "completed" and not missing_steps(books, contract, deal.id)
    if done and target is not None and here.key != target and here.closed is None:
        return [f"the contract is signed, but somebody moved the deal back to {here.label}"]
    return []


def _stage(portal: Portal, deal: Record) -> str | None:
    ours = deal.properties.get("pipeline") == portal.pipeline_id
    return portal.stage_key(deal.properties.get("dealstage")) if ours else None


async def without_contract(s: Services, portal: Portal, known: set[str]) -> list[Finding]:
    """Deals that stand where contracts are sent, though none was ever begun and no event will do it. `known`: deals
    that have one (after a merge it stands under another id).

    An entry that we have not noticed yet is asked for as a sync; one from before our first start gets nothing.
    """
    stage = s.process.stage_for("send_contract")
    if stage is None:
        return []
    stage_id = portal.stage_ids[stage.key]
    standing = await _standing_in(s, portal, stage_id)
    since = await watch_from_now(s)
    async with s.ledger.read() as tx:
        waiting = {deal_id for deal_id, _, _ in await inbox.open_on_deals(tx)}
        alone = sorted(set(standing) - known - waiting - await contracts.deals_with_any(tx, standing))
        entries = await mirror.last_entries(tx, alone)
    now = await read(s, alone)  # the search lags behind
    findings: list[Finding] = []
    for deal_id in (d for d in alone if d in now and _stage(portal, now[d]) == stage.key):
        entry = entries.get(deal_id)
        if entry is None or entry.stage_id != stage_id:
            what = f"the deal came into {stage.label} unnoticed"
            findings.append(Finding(what, deal_id, event=_look_again(deal_id, entry, s)))
        elif entry.entered_at >= since:
            what = f"the deal stands in {stage.label} without a contract: see its {CONTRACT_DUE} events"
            findings.append(Finding(what, deal_id))
    return findings


def _look_again(deal_id: str, entry: StageEntry | None, s: Services) -> NewEvent:
    """Read the deal: a hint as HubSpot's webhooks give it, in no lane."""
    before = str(int(entry.entered_at.timestamp())) if entry else "none"
    key = f"deal:{deal_id}:{before}:{s.clock():%Y-%m-%d}"
    return NewEvent(
        SOURCE, key, DEAL_CHANGED, f"hint:{SOURCE}:{key}", {"by": SOURCE}, deal_id=deal_id, hint=True
    )


async def _standing_in(s: Services, portal: Portal, stage_id: str) -> list[str]:
    """The deals in a stage now, by keyset pages of two hundred."""
    found: list[str] = []
    last = "0"
    while True:
        page = await reading(
            lambda last=last: s.hubspot.search(  # type: ignore[misc]
                "deals",
                filters=[
                    Filter("pipeline", "EQ", portal.pipeline_id),
                    Filter("dealstage", "EQ", stage_id),
                    Filter("hs_object_id", "GT", last),
                ],
                properties=["dealstage"],
                sort=Sort("hs_object_id"),
                limit=200,
            )
        )
        found += [record.id for record in page.records if record.properties.get("dealstage") == stage_id]
        if len(page.records) < 200:
            return found
        last = max((record.id for record in page.records), key=int)
