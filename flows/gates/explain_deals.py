"""Lists each day the deals in a stage without proof; on demand explains single deals.

Trigger: schedule; on demand, with `deal_ids` (and `stage`, by default the next one) or without.
Reads: all deals of the pipeline with associated records, in bulk, or the requested ones; filed documents, contracts.
Writes: artifacts; the list in the ledger, for the gateway's page /deals. Nothing at a vendor.
Needs: scopes as in flows/deals/read.py and flows/deals/activities.py.
"""

from dataclasses import replace

from connectors.http.pacing import Lane
from flows.gates.explain import explain_each, unproven
from flows.gates.report import KEY, deal_markdown, list_markdown, report
from flows.ledger import reports
from flows.rules.criteria.counting import number_of
from flows.rules.outcome import Artifact, Finished
from flows.services import Services


async def run(s: Services, deal_ids: list[str] | None = None, stage: str | None = None) -> Finished:
    """`Unproven` when a deal lacks proof; Failed when a requested deal cannot be explained."""
    if stage is not None and not deal_ids:
        return Finished("stage needs deal_ids: give both", state="Failed")
    # Contracts go first under HubSpot's limits.
    s = replace(s, hubspot=s.hubspot.in_lane(Lane.BULK))
    return await _some(s, deal_ids, stage) if deal_ids else await _all(s)


async def _all(s: Services) -> Finished:
    read_at = s.clock()
    done = report(await unproven(s))
    async with s.ledger.write() as tx:
        await reports.keep(tx, KEY, done.as_json(), now=read_at)
    artifact = Artifact(
        KEY,
        "Deals in a stage without its proof",
        list_markdown(done, s.process, read_at),
    )
    if done.total:
        return Finished(f"{number_of(done.total, 'deal')} without proof", (artifact,), state="Unproven")
    return Finished("every deal has the proof for its stage", (artifact,))


async def _some(s: Services, deal_ids: list[str], stage: str | None) -> Finished:
    found, not_found = await explain_each(s, deal_ids, stage)
    artifacts = tuple(
        Artifact(
            f"explain-{one.explanation.deal_id}",
            f"Why deal {one.explanation.deal_id} may or may not be in a stage",
            deal_markdown(one, s.process),
        )
        for one in found
    )
    if not_found:
        return Finished("; ".join(not_found), artifacts, state="Failed")
    shut = [
        f"{one.explanation.deal_id} to {one.explanation.target}" for one in found if not one.explanation.open
    ]
    if shut:
        why = f"gates that are shut: deal {', deal '.join(shut)}"
        return Finished(why, artifacts, state="Unproven")
    return Finished(f"{number_of(len(found), 'deal')} explained: every gate is open", artifacts)
