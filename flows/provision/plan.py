"""`dealflow provision`: makes HubSpot match the process file: pipeline, stages, our properties, contact roles.

Plan first, apply then; a second apply finds nothing to do; nothing is ever deleted. Every change is one call that
may fail alone: the next run continues an interrupted one.
"""

from collections.abc import Iterator

from connectors.http.errors import RejectedError
from connectors.hubspot.portal import Portal
from flows.errors import FlowError
from flows.provision.changes import Change, Comparison, Difference, Found
from flows.provision.criteria import criteria_properties
from flows.provision.pipeline import pipeline_and_stages
from flows.provision.plans import plan_properties
from flows.provision.properties import OwnProperty, own_properties
from flows.rules.process.sales_process import SalesProcess

# Labels and descriptions are compared with HubSpot's: another wording is drift in every account.
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


class ProvisionError(FlowError):
    """HubSpot has something that conflicts with our set-up. The text says what to change by hand."""


def properties(process: SalesProcess) -> tuple[OwnProperty, ...]:
    """The properties that we need: a fixed list, and the fields of this process's plans."""
    ours = {own.name for own in PROPERTIES if own.object_type == "deals"}
    return (*PROPERTIES, *(own for own in plan_properties(process) if own.name not in ours))


def compare(portal: Portal, process: SalesProcess) -> Comparison:
    """All differences between HubSpot and the process file. Only reads. Raises ConnectorError."""
    ours = {own.name for own in properties(process) if own.object_type == "deals"}
    return Comparison((*_own(portal, process), *criteria_properties(portal, process, ours)))


def plan(portal: Portal, process: SalesProcess) -> list[Change]:
    """All changes, in their order. Raises ProvisionError for a problem that cannot be fixed here.

    Criteria with the company's own properties are not checked here; `compare` checks them.
    """
    found = Comparison([*_own(portal, process)])
    if found.problems:
        first = found.problems[0]
        raise ProvisionError(f"{first.what}: {first.do}")
    return found.changes


def _own(portal: Portal, process: SalesProcess) -> Iterator[Found]:
    yield from own_properties(portal, process, properties(process))
    yield from pipeline_and_stages(portal, process)
    yield from _labels(portal, process)


def _labels(portal: Portal, process: SalesProcess) -> Iterator[Change]:
    known = {one.label for one in portal.list_labels("deals", "contacts")}
    for role, label in process.role_labels.items():
        if label not in known:
            yield Change(
                "create",
                "contact label",
                label,
                (Difference("label", None, label),),
                lambda label=label, name=f"dealflow_{role}": _create_label(portal, label, name),  # type: ignore[misc]
                "for contacts on a deal",
            )


def _create_label(portal: Portal, label: str, name: str) -> None:
    try:
        portal.create_label("deals", "contacts", label, name)
    except RejectedError as problem:
        raise ProvisionError(
            f"{problem}: contact label {label} was not created; if somebody gave {name} another wording in HubSpot "
            "(Settings > Objects > Deals > Associations), change it back there or write it under `roles` in the "
            "process file"
        ) from problem
