"""HubSpot's own controls under `/_sandbox`: limits, webhooks, portal rules, the rep, seeding, state."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, HTTPException

from connectors.sandbox.hubspot_server.errors import Refusal
from connectors.sandbox.hubspot_server.portal import Portal
from connectors.sandbox.hubspot_server.records.catalog import TYPES, ObjectType, object_type
from connectors.sandbox.hubspot_server.records.links import LinkType
from connectors.sandbox.hubspot_server.records.record import Record, Source
from connectors.sandbox.hubspot_server.routes.control_models import (
    AssociationIn,
    LimitsIn,
    RepIn,
    RulesIn,
    SeedIn,
    WebhooksIn,
)
from connectors.sandbox.hubspot_server.times import instant
from connectors.sandbox.hubspot_server.web import Site


def control(site: Site) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/_sandbox", tags=["hubspot"])

    @router.put("/limits")
    async def limits(wanted: LimitsIn) -> dict[str, Any]:
        """Set rate limits and search lag."""
        found, settings = site.portal.limits, site.portal.crm.settings
        for name in ("burst", "search_per_s", "daily", "associations"):
            if getattr(wanted, name) is not None:
                setattr(found, name, getattr(wanted, name))
        if wanted.search_lag_s is not None:
            settings.search_lag_s = wanted.search_lag_s
        return {
            "burst": found.burst,
            "search_per_s": found.search_per_s,
            "daily": found.daily,
            "associations": found.association_limit,
            "search_lag_s": settings.search_lag_s,
        }

    @router.put("/webhooks")
    async def webhooks(wanted: WebhooksIn) -> dict[str, Any]:
        """Set the webhook target and subscriptions."""
        return _webhooks(site.portal, wanted)

    @router.put("/portal-rules")
    async def rules(wanted: RulesIn) -> dict[str, Any]:
        """Set the account's rules."""
        settings = site.portal.crm.settings
        for name, value in wanted.model_dump(exclude_none=True).items():
            setattr(settings, name, value)
        with _vendor_says_no():
            for rule in settings.conditional:
                rule["object_type"] = object_type(rule["object_type"]).key
            settings.required = {object_type(k).key: v for k, v in settings.required.items()}
        return {"required": settings.required, "conditional": settings.conditional}

    _records(router, site)
    return router


def _records(router: APIRouter, site: Site) -> None:
    @router.post("/rep")
    async def rep(wanted: RepIn) -> dict[str, Any]:
        """Change a record as a person in the user interface would."""
        with _vendor_says_no():
            return _state_row(site.portal, _act(site.portal, wanted))

    @router.post("/seed", status_code=201)
    async def seed(wanted: SeedIn) -> dict[str, Any]:
        """Add many records at once; by default without webhooks and already indexed."""
        with _vendor_says_no():
            return {"ids": _seed(site.portal, wanted)}

    @router.get("/state")
    async def state(type: str | None = None) -> dict[str, Any]:
        """Counts per type; with `type` every record of it, or every file with `type=files`."""
        portal = site.portal
        if type == "files":
            return {"files": [_file_row(portal, f) for f in portal.files.files.values()]}
        if type is not None:
            with _vendor_says_no():
                kind = object_type(type)
            rows = [*portal.crm.all(kind), *portal.crm.all(kind, archived=True)]
            return {"records": [_state_row(portal, r) for r in rows]}
        return {
            "counts": {t.key: len(portal.crm.all(t)) for t in TYPES},
            "archived": {t.key: len(portal.crm.all(t, archived=True)) for t in TYPES},
            "files": len(portal.files.live()),
            "portal_id": portal.portal_id,
            "owners": [{"id": o.id, "user_id": o.user_id, "email": o.email} for o in portal.owners],
        }


def _webhooks(portal: Portal, wanted: WebhooksIn) -> dict[str, Any]:
    events = portal.events
    first = events.target_url is None and not events.subscriptions
    events.target_url = wanted.target_url
    events.signature_clock = wanted.signature_clock
    if wanted.client_secret:
        events.client_secret = wanted.client_secret
    try:
        if wanted.subscriptions is not None:
            events.subscribe([s.model_dump() for s in wanted.subscriptions])
        elif first:
            events.subscribe_default()
    except ValueError as problem:
        raise HTTPException(422, str(problem)) from problem
    return {
        "target_url": events.target_url,
        "subscriptions": [
            {"id": s.id, "subscriptionType": s.type, "propertyName": s.property} for s in events.subscriptions
        ],
    }


def _act(portal: Portal, wanted: RepIn) -> Record:
    """One action on a record: create, change, close, associate or archive it."""
    crm, kind = portal.crm, object_type(wanted.object_type)
    source = Source("CRM_UI", f"userId:{wanted.user_id}", wanted.user_id)
    if wanted.create:
        checked = portal.checks.new(kind, wanted.properties, user_interface=True)
        _close_date(portal, kind, None, checked.values)
        record = crm.create(kind, checked.values, source)
    else:
        record = crm.read(kind, wanted.id or "")
        checked = portal.checks.change(record, wanted.properties, user_interface=True)
        _close_date(portal, kind, record, checked.values)
        crm.update(record, checked.values, source)
    _links(portal, source, record, wanted.associations, {})
    if wanted.archive:
        crm.archive(record, source)
    return record


def _close_date(portal: Portal, kind: ObjectType, record: Record | None, values: dict[str, str]) -> None:
    """The app sets the close date when a person moves a deal to a closed stage (facts section 7)."""
    if kind.key != "deals" or not values.get("dealstage") or "closedate" in values:
        return
    before = record.values if record else {}
    pipeline = portal.pipelines.of(kind).get(values.get("pipeline", before.get("pipeline", "")))
    stage = pipeline.stages.get(values["dealstage"]) if pipeline else None
    if stage is not None and stage.closed and before.get("dealstage") != stage.id:
        values["closedate"] = instant(portal.bench.clock.now_ms())


def _seed(portal: Portal, wanted: SeedIn) -> list[str]:
    source = Source("IMPORT", "sandbox-seed")
    target, ids, keys = portal.events.target_url, [], {}
    if not wanted.webhooks:
        portal.events.target_url = None
    try:
        for row in wanted.records:
            kind = object_type(row.object_type)
            checked = portal.checks.new(kind, row.properties, user_interface=True)
            record = portal.crm.create(kind, checked.values, source, at_ms=row.created_ms)
            ids.append(record.id)
            if row.key:
                keys[row.key] = record.id
            _links(portal, source, record, row.associations, keys)
            if wanted.indexed:
                for snapshot in record.snapshots:
                    snapshot.at_s = 0.0
    finally:
        portal.events.target_url = target
    return ids


def _links(
    portal: Portal, source: Source, record: Record, wanted: list[AssociationIn], keys: dict[str, str]
) -> None:
    for row in wanted:
        target = object_type(row.to_type)
        ident = keys.get(row.to_id.removeprefix("@"), row.to_id)
        other = portal.crm.read(target, ident)
        types: list[LinkType] = []
        known = portal.crm.links.types(record.kind, target)
        for type_id in row.types or []:
            if type_id not in known:
                raise Refusal(400, f"No association type {type_id} to {target.key}")
            types.append(known[type_id])
        if row.label is not None:
            labelled = portal.crm.links.label(record.kind, target, row.label)
            if labelled is None:
                raise Refusal(400, f"No label {row.label} from {record.kind.key} to {target.key}")
            types.append(labelled)
        one, two = (record.kind, record.id), (target, other.id)
        if row.remove:
            portal.crm.disconnect_by(source, one, two, {t.type_id for t in types} or None)
        else:
            portal.crm.connect_by(source, one, two, types)


def _state_row(portal: Portal, record: Record) -> dict[str, Any]:
    crm, here = portal.crm, (record.kind, record.id)
    return {
        "id": record.id,
        "type": record.kind.key,
        "archived": record.archived,
        "properties": dict(record.values),
        "history": {n: [v.shown() for v in versions] for n, versions in record.history.items()},
        "associations": {
            t.key: [
                {
                    "id": i,
                    "types": sorted(crm.links.between(here, (t, i))),
                    "labels": [
                        known.label
                        for type_id, known in crm.links.types(record.kind, t).items()
                        if known.label and type_id in crm.links.between(here, (t, i))
                    ],
                }
                for i in crm.links.ids(record.kind, record.id, t)
            ]
            for t in crm.links.targets(record.kind, record.id)
        },
    }


def _file_row(portal: Portal, file: Any) -> dict[str, Any]:
    shown = portal.files.shown(file, portal.public_url)
    return {**shown, "sha256": hashlib.sha256(file.content).hexdigest()}


@contextmanager
def _vendor_says_no() -> Iterator[None]:
    try:
        yield
    except Refusal as no:
        raise HTTPException(422 if no.status == 400 else no.status, no.message) from no
