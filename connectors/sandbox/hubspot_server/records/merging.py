"""Merging two records of one type: values of the primary win, old ids lead to the survivor.

Source: https://developers.hubspot.com/changelog/announcement-deals-now-support-merging. Whether the survivor is
the primary or a new record differs by type and time: `Settings.merge_makes_new_record` chooses.
"""

from connectors.sandbox.hubspot_server.records.catalog import ObjectType
from connectors.sandbox.hubspot_server.records.crm import Crm
from connectors.sandbox.hubspot_server.records.record import Record, Source


def merge(crm: Crm, primary: Record, other: Record, source: Source) -> Record:
    """Merge `other` into `primary` and return the survivor."""
    kind, now_ms = primary.kind, crm.clock.now_ms()
    filled = {n: v for n, v in other.values.items() if n not in primary.values and _writable(crm, kind, n)}
    filled |= _merged_names(primary, other)
    moved = [primary, other] if crm.settings.merge_makes_new_record else [other]
    kept = {n: v for n, v in primary.values.items() if _writable(crm, kind, n)}
    for record in moved:
        for name, value in record.values.items():
            crm.unique.note(record, name, value, "")
    earlier = [i for r in (primary, other) for i in r.values.get("hs_merged_object_ids", "").split(";") if i]
    survivor = crm.create(kind, kept, source) if crm.settings.merge_makes_new_record else primary
    gone = dict.fromkeys([*earlier, *(r.id for r in moved)])
    crm.update(survivor, {**filled, "hs_merged_object_ids": ";".join(gone)}, source, at_ms=now_ms)
    for record in moved:
        crm.replaced_by(record, survivor)
    crm.events.emit(
        f"{kind.event}.merge",
        {
            "objectId": int(primary.id),
            "objectTypeId": kind.type_id,
            "changeFlag": "MERGED",
            "changeSource": source.change,
            "sourceId": source.id,
            "primaryObjectId": int(primary.id),
            "mergedObjectIds": [int(other.id)],
            "newObjectId": int(survivor.id),
            "numberOfPropertiesMoved": len(filled),
        },
        at_ms=now_ms,
    )
    return survivor


def _merged_names(primary: Record, other: Record) -> dict[str, str]:
    """A contact keeps the address of the other one as an additional one."""
    if not (other.values.get("email") and primary.values.get("email")):
        return {}
    known = primary.values.get("hs_additional_emails", "")
    return {"hs_additional_emails": ";".join(filter(None, [known, other.values["email"]]))}


def _writable(crm: Crm, kind: ObjectType, name: str) -> bool:
    prop = crm.schema.find(kind, name)
    return prop is not None and not prop.read_only
