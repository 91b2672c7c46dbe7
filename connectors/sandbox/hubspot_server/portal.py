"""One HubSpot account: its state and the parts that work on it, rebuilt on every reset."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from connectors.sandbox.hubspot_server.events import Events
from connectors.sandbox.hubspot_server.limits import Limits
from connectors.sandbox.hubspot_server.records import calculated
from connectors.sandbox.hubspot_server.records.catalog import ObjectType
from connectors.sandbox.hubspot_server.records.checks import Checks
from connectors.sandbox.hubspot_server.records.crm import Crm
from connectors.sandbox.hubspot_server.records.filestore import FileStore
from connectors.sandbox.hubspot_server.records.pipelines import Pipelines, Stage
from connectors.sandbox.hubspot_server.records.schema import Schema
from connectors.sandbox.hubspot_server.settings import Settings
from connectors.sandbox.world import Bench

PORTAL_ID = 48_213_377
APP_ID = 6_110_942
CURRENCY = "EUR"
TIME_ZONE = "Europe/Berlin"


@dataclass(frozen=True)
class Owner:
    """One owner; `id` goes into hubspot_owner_id, `user_id` does not."""

    id: str
    user_id: int
    email: str
    first_name: str
    last_name: str
    archived: bool = False


OWNERS = (
    Owner("71530011", 50_220_101, "mara.lindt@example.test", "Mara", "Lindt"),
    Owner("71530012", 50_220_102, "jonas.petrov@example.test", "Jonas", "Petrov"),
    Owner("71530013", 50_220_103, "aiko.sandoval@example.test", "Aiko", "Sandoval"),
    Owner("71530009", 50_220_099, "former.rep@example.test", "Former", "Rep", archived=True),
)


@dataclass
class Portal:
    """The account. Routes reach everything through this."""

    bench: Bench
    crm: Crm
    checks: Checks
    schema: Schema
    pipelines: Pipelines
    events: Events
    files: FileStore
    limits: Limits = field(default_factory=Limits)
    owners: tuple[Owner, ...] = OWNERS
    portal_id: int = PORTAL_ID
    app_id: int = APP_ID
    public_url: str = ""
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    forms: list[dict[str, Any]] = field(default_factory=list)
    forms_under_way: int = 0


def open_portal(bench: Bench, *, webhook_url: str | None, client_secret: str) -> Portal:
    """A fresh account on this bench."""
    clock = bench.clock
    # No closures: a snapshot must be able to keep all of it.
    options: dict[str, Any] = {"@owners": _owner_options}
    schema = Schema(clock, options)
    pipelines = Pipelines(clock, partial(_add_timing, schema))
    options["@pipelines"] = partial(_pipeline_options, pipelines)
    options["@stages"] = partial(_stage_options, pipelines)
    pipelines.announce()
    events = Events(
        clock,
        bench.deliveries,
        bench.dice,
        portal_id=PORTAL_ID,
        app_id=APP_ID,
        target_url=webhook_url,
        client_secret=client_secret,
    )
    crm = Crm(clock, schema, pipelines, events, Settings())
    return Portal(
        bench=bench,
        crm=crm,
        checks=Checks(crm, PORTAL_ID),
        schema=schema,
        pipelines=pipelines,
        events=events,
        files=FileStore(clock, PORTAL_ID),
    )


def under_way(portal: Portal) -> str:
    """What a snapshot could not keep, or nothing."""
    if portal.events.waiting:
        return "webhook events are being gathered"
    if portal.forms_under_way:
        return "a form submission has not arrived yet"
    return ""


def _add_timing(schema: Schema, kind: ObjectType, stage: Stage) -> None:
    if kind.key == "deals":
        for prefix, type_, words in calculated.TIMING:
            schema.add_builtin(kind, f"{prefix}{stage.id}", f'{words} "{stage.label}"', type_)


def _owner_options() -> list[tuple[str, str]]:
    return [(o.id, f"{o.first_name} {o.last_name}") for o in OWNERS if not o.archived]


def _pipeline_options(pipelines: Pipelines) -> list[tuple[str, str]]:
    return [(p.id, p.label) for p in pipelines.deal_pipelines()]


def _stage_options(pipelines: Pipelines) -> list[tuple[str, str]]:
    return [(s.id, f"{s.label} ({p.label})") for p in pipelines.deal_pipelines() for s in p.stages.values()]
