"""Opens the next deal with a buyer who has just bought: once, under a unique key, with the same contacts and companies.

Needs: scopes crm.objects.deals.{read,write}.
"""

from dataclasses import dataclass
from datetime import datetime

from connectors.http.errors import NotFoundError, RejectedError
from connectors.hubspot.association_types import type_id
from connectors.hubspot.records import NewLink
from flows.deals.read import DealFile
from flows.ledger.effects import Result, Writer, perform
from flows.retries import reading, writing
from flows.rules.process.hand_over_plan import FollowOn
from flows.services import Portal, Services, SetupError

_KEY = "dealflow_lead_key"
SOURCE = "existing customer"


@dataclass(frozen=True)
class Place:
    """The pipeline and stage where it starts, as HubSpot ids."""

    pipeline_id: str
    stage_id: str


async def place_of(s: Services, portal: Portal, plan: FollowOn) -> Place:
    """Where follow-on deals start. Raises SetupError naming what is missing in HubSpot."""
    if plan.pipeline is None:
        return Place(portal.pipeline_id, portal.stage_ids[s.process.first.key])
    pipelines = [p for p in await reading(lambda: s.hubspot.pipelines("deals")) if not p.archived]
    wanted = plan.pipeline
    pipeline = next((p for p in pipelines if p.id == wanted), None)
    pipeline = pipeline or next((p for p in pipelines if p.label == wanted), None)
    if pipeline is None:
        raise SetupError(
            f"hand_over.follow_on: HubSpot has no deal pipeline {wanted!r}: create it there, or name another"
        )
    if pipeline.id == portal.pipeline_id:  # a won deal would be handed over, and so on forever
        raise SetupError(
            "hand_over.follow_on names the pipeline of this process: leave pipeline and stage out"
        )
    stage = next((t for t in pipeline.stages if t.id == plan.stage), None)
    stage = stage or next((t for t in pipeline.stages if t.label == plan.stage), None)
    if stage is None:
        raise SetupError(
            f"hand_over.follow_on: pipeline {wanted!r} has no stage {plan.stage!r}: name another"
        )
    return Place(pipeline.id, stage.id)


_MARK = "followon:"  # stored data: never change it


def follow_on_key(deal_id: str) -> str:
    """The unique value of the deal that follows on this one."""
    return f"{_MARK}{deal_id}"


def follows_on(key: str | None) -> bool:
    """Whether a deal with this unique value is a follow-on deal: it does not come from a lead."""
    return (key or "").startswith(_MARK)


async def open_follow_on(
    s: Services, writer: Writer, file: DealFile, place: Place, *, owner_id: str | None, closes_at: datetime
) -> str:
    """Open the follow-on deal once; returns its id. A deal that a person removed stays removed."""
    key = follow_on_key(file.id)
    company = file.companies[0].properties.get("name") if file.companies else None
    values = {
        _KEY: key,
        "dealname": f"{company or file.deal.properties.get('dealname') or 'Customer'} - follow-on"[:200],
        "pipeline": place.pipeline_id,
        "dealstage": place.stage_id,
        "closedate": f"{closes_at:%Y-%m-%d}T00:00:00.000Z",
        "deal_currency_code": file.deal.properties.get("deal_currency_code") or s.process.currency,
        "dealflow_source": SOURCE,
        **({"hubspot_owner_id": owner_id} if owner_id else {}),
    }
    links = [NewLink(c.record.id, type_id("deals", "contacts")) for c in file.contacts]
    for at, record in enumerate(file.companies):
        links.append(NewLink(record.id, type_id("deals", "companies", "" if at else "primary")))

    async def attempt(_token: str) -> Result:
        try:
            return {"deal_id": (await writing(lambda: s.hubspot.create("deals", values, links))).id}
        except RejectedError:  # the key may be taken: then the deal exists
            found = await find(_token)
            if found is None:
                raise
            return found

    async def find(_token: str) -> Result | None:
        try:
            record = await reading(lambda: s.hubspot.read("deals", key, properties=(_KEY,), id_property=_KEY))
        except NotFoundError:
            return None
        return {"deal_id": record.id}

    result = await perform(writer, key=key, kind="open_deal", deal_id=file.id, attempt=attempt, find=find)
    return str(result["deal_id"])
