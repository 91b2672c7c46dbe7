"""`dealflow provision`: makes HubSpot fit the process file: pipeline, stages, our properties, contact roles.

Plan first, apply then; a second apply finds nothing to do; nothing is ever deleted.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from connectors.hubspot.portal import NewStage, Portal
from flows.rules.sales_process import SalesProcess, Stage

GROUP = "dealflow"


@dataclass(frozen=True)
class OwnProperty:
    """A custom property that we need. `unique` cannot be added to an existing property."""

    object_type: str
    name: str
    label: str
    description: str
    field_type: str = "text"
    type: str = "string"
    unique: bool = False


PROPERTIES = (
    OwnProperty("deals", "dealflow_lead_key", "Lead key", "Which inbound lead made this deal", unique=True),
    OwnProperty(
        "deals",
        "dealflow_need",
        "What the buyer needs",
        "In the buyer's words; printed on the proposal",
        "textarea",
    ),
    OwnProperty("deals", "dealflow_source", "Lead source", "Where the lead came from"),
    OwnProperty("deals", "dealflow_route_reason", "Why this owner", "Why the lead went to this owner"),
    OwnProperty(
        "deals",
        "dealflow_starts_on",
        "Services start on",
        "First day of the services; else the first of next month",
        "date",
        "date",
    ),
    OwnProperty("deals", "dealflow_proposal_sha256", "Proposal fingerprint", "SHA-256 of the filed proposal"),
    OwnProperty(
        "deals", "dealflow_proposal_file_id", "Proposal file", "HubSpot file that holds the proposal"
    ),
    OwnProperty("deals", "dealflow_contract_token", "Contract token", "Under which the contract was sent"),
    OwnProperty(
        "deals", "dealflow_contract_request_id", "Signature request", "Dropbox Sign's id of the request"
    ),
    OwnProperty(
        "deals",
        "dealflow_contract_status",
        "Contract status",
        "sent, completed, declined, expired, canceled or failed",
    ),
    OwnProperty(
        "deals", "dealflow_signed_file_id", "Signed contract file", "HubSpot file that holds the signed PDF"
    ),
    OwnProperty("deals", "dealflow_flag", "Follow-up flag", "tire_kicker: so many follow-ups, no progress"),
    OwnProperty(
        "companies",
        "dealflow_company_key",
        "Buyer key",
        "Domain or name that leads are matched by",
        unique=True,
    ),
    OwnProperty(
        "contacts", "dealflow_contact_key", "Phone key", "For contacts without an e-mail address", unique=True
    ),
)


class ProvisionError(Exception):
    """HubSpot has something in our place that does not fit. The text says what to change by hand."""


@dataclass(frozen=True)
class Change:
    """One thing to create; `apply` does it."""

    what: str
    apply: Callable[[], object]


def plan(portal: Portal, process: SalesProcess) -> list[Change]:
    """Everything that is missing, in the order to create it. Raises ProvisionError for what cannot be mended."""
    return [*_properties(portal), *_pipeline(portal, process), *_labels(portal, process)]


def _properties(portal: Portal) -> Iterator[Change]:
    for object_type in dict.fromkeys(p.object_type for p in PROPERTIES):
        known = {p.name: p for p in portal.list_properties(object_type)}
        if GROUP not in portal.list_property_groups(object_type):
            yield Change(
                f"{object_type}: property group {GROUP}",
                lambda object_type=object_type: portal.create_property_group(object_type, GROUP, "Dealflow"),  # type: ignore[misc]
            )
        for wanted in (p for p in PROPERTIES if p.object_type == object_type):
            found = known.get(wanted.name)
            if found is None:
                kind = "unique property" if wanted.unique else "property"
                yield Change(
                    f"{object_type}: {kind} {wanted.name}",
                    lambda wanted=wanted: _create(portal, wanted),  # type: ignore[misc]
                )
            elif wanted.unique and not found.has_unique_value:
                raise ProvisionError(
                    f"{object_type}.{wanted.name} exists but is not unique, and HubSpot cannot change that: "
                    "rename or delete it in HubSpot, then run provision again"
                )


def _create(portal: Portal, wanted: OwnProperty) -> None:
    portal.create_property(
        wanted.object_type,
        wanted.name,
        label=wanted.label,
        group=GROUP,
        type=wanted.type,
        field_type=wanted.field_type,
        description=wanted.description,
        unique=wanted.unique,
    )


def _pipeline(portal: Portal, process: SalesProcess) -> Iterator[Change]:
    pipelines = portal.list_pipelines("deals")
    found = next((p for p in pipelines if p.id == process.pipeline), None)
    found = found or next((p for p in pipelines if p.label == process.pipeline and not p.archived), None)
    if found is None:
        stages = [_new_stage(s, i) for i, s in enumerate(process.stages)]
        yield Change(
            f"deal pipeline {process.pipeline!r} with {len(stages)} stages",
            lambda: portal.create_pipeline(process.pipeline, stages),
        )
        return
    names = {s.id for s in found.stages} | {s.label for s in found.stages}
    for order, stage in enumerate(process.stages):
        if stage.hubspot_name not in names:
            yield Change(
                f"stage {stage.hubspot_name!r} in pipeline {found.label!r}",
                lambda stage=stage, order=order: portal.create_stage(found.id, _new_stage(stage, order)),  # type: ignore[misc]
            )


def _new_stage(stage: Stage, order: int) -> NewStage:
    return NewStage(
        stage.hubspot_name,
        f"{stage.probability:.2f}".rstrip("0").ljust(3, "0"),
        order,
        stage.closed is not None,
    )


def _labels(portal: Portal, process: SalesProcess) -> Iterator[Change]:
    known = {t.label for t in portal.list_labels("deals", "contacts")}
    for role, label in process.role_labels.items():
        if label not in known:
            yield Change(
                f"association label {label!r} between deal and contact",
                lambda label=label, role=role: portal.create_label(
                    "deals", "contacts", label, f"dealflow_{role}"
                ),  # type: ignore[misc]
            )
