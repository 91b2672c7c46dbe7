"""Property definition routes: list, read, create, update, archive, batches, groups."""

from typing import Any

from connectors.sandbox.hubspot_server.errors import Refusal, missing_fields
from connectors.sandbox.hubspot_server.times import instant
from connectors.sandbox.hubspot_server.web import Call, Site

BASES = ("/crm/properties/{version}/{object_type}", "/crm/v3/properties/{object_type}")


def mount(site: Site) -> None:
    """Add the routes. Groups and batches come before `{property_name}`, which would match them."""
    site.serve("GET", BASES, list_all)
    site.serve("POST", BASES, create)
    site.serve("POST", [f"{b}/batch/create" for b in BASES], batch_create)
    site.serve("POST", [f"{b}/batch/read" for b in BASES], batch_read)
    site.serve("POST", [f"{b}/batch/archive" for b in BASES], batch_archive)
    groups = [f"{b}/groups" for b in BASES]
    site.serve("GET", groups, list_groups)
    site.serve("POST", groups, create_group)
    site.serve("GET", [f"{g}/{{group_name}}" for g in groups], read_group)
    site.serve("PATCH", [f"{g}/{{group_name}}" for g in groups], update_group)
    site.serve("DELETE", [f"{g}/{{group_name}}" for g in groups], delete_group)
    one = [f"{b}/{{property_name}}" for b in BASES]
    site.serve("GET", one, read)
    site.serve("PATCH", one, update)
    site.serve("DELETE", one, archive)


async def list_all(call: Call) -> tuple[int, Any]:
    """Every definition of an object type."""
    found = call.portal.schema.all(call.kind(), archived=call.flag("archived"))
    return 200, {"results": [p.shown() for p in found]}


async def read(call: Call) -> tuple[int, Any]:
    """One definition."""
    name = call.args["property_name"]
    return 200, call.portal.schema.one(call.kind(), name, archived=call.flag("archived")).shown()


async def create(call: Call) -> tuple[int, Any]:
    """Create a custom property; the name of an archived one restores it."""
    made = call.portal.schema.create(call.kind(), call.body(), need_display_order=call.binding)
    return 201, made.shown()


async def update(call: Call) -> tuple[int, Any]:
    """Change a definition."""
    name, body = call.args["property_name"], call.body()
    made = call.portal.schema.update(call.kind(), name, body, need_display_order=call.binding)
    return 200, made.shown()


async def archive(call: Call) -> tuple[int, Any]:
    """Archive a custom property."""
    call.portal.schema.archive(call.kind(), call.args["property_name"])
    return 204, None


async def batch_create(call: Call) -> tuple[int, Any]:
    """Create up to 100 properties; those refused are listed in errors with a 207."""
    kind, schema = call.kind(), call.portal.schema
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for row in call.inputs():
        try:
            results.append(schema.create(kind, row, need_display_order=call.binding).shown())
        except Refusal as no:
            errors.append({**no.row(), "context": {"name": [str(row.get("name"))]}})
    if errors:
        return 207, _batch(call, results, errors)
    return (200 if call.binding else 201), _batch(call, results)


async def batch_read(call: Call) -> tuple[int, Any]:
    """Up to 100 definitions by name; unknown ones are listed in errors with a 207."""
    kind, schema, archived = call.kind(), call.portal.schema, bool(call.body().get("archived"))
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for row in call.inputs():
        try:
            results.append(schema.one(kind, str(row.get("name")), archived=archived).shown())
        except Refusal as no:
            errors.append({**no.row(), "context": {"name": [str(row.get("name"))]}})
    return (207 if errors else 200), _batch(call, results, errors)


async def batch_archive(call: Call) -> tuple[int, Any]:
    """Archive up to 100 custom properties; unknown names are ignored."""
    kind, schema = call.kind(), call.portal.schema
    for row in call.inputs():
        if schema.find(kind, str(row.get("name"))) is not None:
            schema.archive(kind, str(row["name"]))
    return 204, None


async def list_groups(call: Call) -> tuple[int, Any]:
    """Every property group of an object type."""
    return 200, {"results": list(call.portal.schema.groups(call.kind()).values())}


async def read_group(call: Call) -> tuple[int, Any]:
    """One group."""
    return 200, _group(call)


async def create_group(call: Call) -> tuple[int, Any]:
    """Create a group. 409 when the name is taken."""
    body, groups = call.body(), call.portal.schema.groups(call.kind())
    missing = [n for n in ("name", "label") if not body.get(n)]
    if missing:
        raise missing_fields(missing)
    name = str(body["name"])
    if name in groups:
        raise Refusal(
            409, f"A property group named '{name}' already exists.", category="OBJECT_ALREADY_EXISTS"
        )
    groups[name] = {
        "name": name,
        "label": str(body["label"]),
        "displayOrder": int(body.get("displayOrder", -1)),
        "archived": False,
    }
    return 201, groups[name]


async def update_group(call: Call) -> tuple[int, Any]:
    """Change label or order of a group."""
    group, body = _group(call), call.body()
    group.update({k: body[k] for k in ("label", "displayOrder") if k in body})
    return 200, group


async def delete_group(call: Call) -> tuple[int, Any]:
    """Delete a group that no live property is in."""
    group = _group(call)
    kind, schema = call.kind(), call.portal.schema
    if any(p.group == group["name"] for p in schema.all(kind)):
        raise Refusal(400, f"Property group {group['name']} still has properties")
    del schema.groups(kind)[group["name"]]
    return 204, None


def _group(call: Call) -> dict[str, Any]:
    found = call.portal.schema.groups(call.kind()).get(call.args["group_name"])
    if found is None:
        raise Refusal(404, f"Property group {call.args['group_name']} does not exist")
    return found


def _batch(
    call: Call, results: list[dict[str, Any]], errors: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    moment = instant(call.portal.bench.clock.now_ms())
    found = {"status": "COMPLETE", "results": results, "startedAt": moment, "completedAt": moment}
    return {**found, "numErrors": len(errors), "errors": errors} if errors else found
