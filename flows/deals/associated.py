"""What HubSpot has beside deals: the associations, and the records they lead to, in two bulk reads."""

from collections.abc import Mapping, Sequence

from connectors.hubspot.records import Link, Record
from flows.retries import reading
from flows.services import Services


async def associated_records(
    s: Services, kind: str, deal_ids: Sequence[str], properties: Sequence[str]
) -> tuple[Mapping[str, tuple[Link, ...]], Mapping[str, Record]]:
    """What of this object type is associated, by deal, and those records by id. Raises ConnectorError."""
    links = await reading(lambda: s.hubspot.associated("deals", kind, deal_ids))
    ids = sorted({link.to_id for found in links.values() for link in found})
    if not ids:
        return links, {}
    wanted = tuple(dict.fromkeys(properties))
    return links, (await reading(lambda: s.hubspot.read_batch(kind, ids, properties=wanted))).records
