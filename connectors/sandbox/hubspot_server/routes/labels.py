"""Association label routes: list, create, rename, delete. A label has a type id in each direction."""

from typing import Any

from connectors.sandbox.hubspot_server.errors import Refusal, missing_fields
from connectors.sandbox.hubspot_server.routes.associations import BATCHES
from connectors.sandbox.hubspot_server.web import Call, Site


def mount(site: Site) -> None:
    """Add the routes."""
    paths = [f"{b}/{{object_type}}/{{to_type}}/labels" for b in BATCHES]
    site.serve("GET", paths, list_labels)
    site.serve("POST", paths, create_label)
    site.serve("PUT", paths, rename_label)
    site.serve("DELETE", [f"{p}/{{type_id}}" for p in paths], delete_label)


async def list_labels(call: Call) -> tuple[int, Any]:
    """The association types of a direction."""
    types = call.portal.crm.links.types(call.kind(), call.kind("to_type"))
    return 200, {"results": [t.shown() for t in types.values()]}


async def create_label(call: Call) -> tuple[int, Any]:
    """A user-defined label; the answer has the type ids of both directions."""
    body = call.body()
    missing = [n for n in ("name", "label") if not body.get(n)]
    if missing:
        raise missing_fields(missing)
    made = call.portal.crm.links.create_label(
        call.kind(), call.kind("to_type"), str(body["name"]), str(body["label"]), body.get("inverseLabel")
    )
    return 200, {"results": [t.shown() for t in made]}


async def rename_label(call: Call) -> tuple[int, Any]:
    """Rename a user-defined label."""
    body = call.body()
    missing = [n for n in ("label", "associationTypeId") if not body.get(n)]
    if missing:
        raise missing_fields(missing)
    call.portal.crm.links.relabel(
        call.kind(),
        call.kind("to_type"),
        int(body["associationTypeId"]),
        str(body["label"]),
        body.get("inverseLabel"),
    )
    return 204, None


async def delete_label(call: Call) -> tuple[int, Any]:
    """Delete a user-defined label in both directions."""
    text = call.args["type_id"]
    if not text.isdigit():
        raise Refusal(400, f"{text} is not an association type id")
    call.portal.crm.links.delete_label(call.kind(), call.kind("to_type"), int(text))
    return 204, None
