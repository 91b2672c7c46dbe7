"""Compares HubSpot, the e-signature service and the ledger. Nothing is written to a vendor here, except the callback
address: what was missed becomes an event in the deal's lane, for the flow that owns it; what a person did is reported.

The vendors are read first and the ledger again after them: a contract that moved meanwhile is left to the next hour.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

from connectors.http.errors import ConnectorError
from connectors.http.pacing import Lane
from flows.contracts.callback_url import may_restore, restore, wanted_url, wrong_urls
from flows.contracts.requests import list_requests, read_requests
from flows.ledger import contracts, effects, inbox, retention
from flows.ledger.contracts import Contract
from flows.reconcile import deals as reconcile_deals
from flows.reconcile.contracts import TOKEN, contract_findings, effect_keys, stranger_findings, tokens_of
from flows.reconcile.deals import deal_findings, without_contract
from flows.reconcile.findings import LOOK_BACK, Books, Finding, Reconciled
from flows.retries import reading
from flows.services import Services

log = logging.getLogger(__name__)


async def reconcile_all(s: Services) -> Reconciled:
    """Compare everything, ask for what is missing, and remove what is too old to keep.

    Raises SetupError, or a vendor's error when one cannot be read: then nothing is asked for.
    """
    portal = await s.portal()
    # Contracts that are going out come first under the vendors' limits.
    s = replace(s, hubspot=s.hubspot.in_lane(Lane.BULK), esign=s.esign.in_lane(Lane.BULK))
    done = Reconciled()
    async with s.ledger.read() as tx:
        before = await contracts.under_review(tx, since=s.clock() - LOOK_BACK)
    listed, all_listed = await list_requests(s)
    wanted = {c.request_id for c in before if c.state == "open" and c.request_id}
    requests = await read_requests(s, wanted, listed=listed)
    deals = await reconcile_deals.read(s, list(dict.fromkeys(c.deal_id for c in before)))
    survivors = {asked: deal.id for asked, deal in deals.items()}
    books = await _books(s, before, survivors)
    async with s.ledger.read() as tx:
        known = await contracts.by_tokens(tx, tokens_of(listed))
    by_token = {r.metadata[TOKEN]: r for r in listed if r.metadata.get(TOKEN)}
    done.compared = {"contracts": len(before), "requests": len(requests.keys() | {r.id for r in listed})}
    done.compared["deals"] = len(deals)
    if not all_listed:
        done.findings.append(
            Finding(f"only the first {len(listed)} requests of {s.esign.name}'s list were read")
        )
    done.findings += await _callback_findings(s)
    found = contract_findings(books, requests, by_token, survivors)
    found += stranger_findings(books, listed, known)
    found += deal_findings(s, portal, books, deals)
    found += await without_contract(s, portal, set(survivors.values()))
    done.findings += await _ask(s, found)
    done.removed = await _forget(s)
    log.info("reconciled %s", done.summary)
    return done


async def _books(s: Services, before: Iterable[Contract], survivors: Mapping[str, str]) -> Books:
    """The ledger now: contracts that have not changed since the vendors were asked, and what is under way."""
    as_asked = {(c.id, c.state) for c in before}
    async with s.ledger.read() as tx:
        now = await contracts.under_review(tx, since=s.clock() - LOOK_BACK)
        rows = await inbox.open_on_deals(tx)
        changed = {c.deal_id for c in now if (c.id, c.state) not in as_asked}
        kept = tuple(c for c in now if c.deal_id not in changed)
        keys = [key for c in kept for key in effect_keys(c, survivors.get(c.deal_id, c.deal_id))]
        states = await effects.states(tx, keys)
    return Books(
        contracts=kept,
        effects=states,
        open_rows=frozenset((deal_id, kind) for deal_id, kind, _ in rows),
        moving=frozenset(deal_id for deal_id, _, state in rows if state != "held"),
        now=s.clock(),
        esign=s.esign.name,
    )


async def _ask(s: Services, findings: Iterable[Finding]) -> list[Finding]:
    """Put the events into the inbox; what was asked for today already, and did not help, is for a person."""
    asked: list[Finding] = []
    async with s.ledger.write() as tx:
        for finding in findings:
            if finding.event is not None:
                recorded = await inbox.record(tx, [finding.event], now=s.clock())
                if not recorded.new:
                    what = f"{finding.what}; a {finding.event.kind} of today did not fix it"
                    finding = replace(finding, what=what, event=None)
            asked.append(finding)
    return asked


async def _callback_findings(s: Services) -> list[Finding]:
    """An address that was cleared is set again; somebody else's is never taken away."""
    wanted = wanted_url(s)
    findings: list[Finding] = []
    try:
        for wrong in wrong_urls(s, await reading(s.esign.account)):
            if wrong.url is not None:
                where = (
                    urlsplit(wrong.url).hostname or "something that is no address"
                )  # its path may hold a key
                what = f"the {wrong.of}'s callback URL leads to {where}, not to {wanted}"
                findings.append(Finding(what))
            elif may_restore(s):
                await restore(s)
                what = f"the {wrong.of}'s callback URL had been cleared; it is {wanted} again (set without an effect)"
                findings.append(Finding(what, fixed=True))
            else:
                findings.append(Finding(f"the {wrong.of}'s callback URL is empty: set it to {wanted}"))
    except ConnectorError as problem:  # the rest is worth comparing all the same
        findings.append(Finding(f"the callback URL could not be looked after: {problem}"))
    return findings


async def _forget(s: Services) -> dict[str, int]:
    days = s.settings.retention_days
    if not days:
        return {}
    return await retention.remove_ended(s.ledger, before=s.clock() - timedelta(days=days))
