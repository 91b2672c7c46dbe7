"""Documentation of the control API: `/_sandbox/openapi.json`, and `/_sandbox/docs` as a plain page that works offline.

FastAPI's own pages fetch their scripts from a CDN; a stand-in calls nobody, so this page is made here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi

from connectors.sandbox.webpages import page

PREFIX = "/_sandbox"
_METHODS = ("get", "put", "post", "delete")
_ABOUT = (
    "Everything a test or a rehearsal does to this stand-in: seed it, reset it, add faults, move its clock, read its "
    "requests and deliveries. These calls need no key, are not logged and meet no faults."
)


def docs_router(app: FastAPI, vendor: str) -> APIRouter:
    """`openapi.json` and `docs` of this application's control routes; the vendor's own API is not included."""
    router = APIRouter(prefix=PREFIX, include_in_schema=False)

    @router.get("/openapi.json")
    async def openapi() -> dict[str, Any]:
        """The description as JSON."""
        return description(app, vendor)

    @router.get("/docs")
    async def docs() -> Response:
        """The description as a page."""
        found = description(app, vendor)
        calls = operations(found)
        shown = {word for call in calls for word in call["body"].split()}  # these are shown with their calls
        parts = [(n, fields(m)) for n, m in _schemas(found).items() if "properties" in m and n not in shown]
        folder = Path(__file__).parent
        return page(folder, "docs.html", vendor=vendor, about=_ABOUT, operations=calls, models=parts)

    return router


def description(app: FastAPI, vendor: str) -> dict[str, Any]:
    """OpenAPI of the control routes, with the models that they use."""
    title = f"{vendor} stand-in: control API"
    found = get_openapi(title=title, version="1", description=_ABOUT, routes=app.routes)
    found["paths"] = {p: item for p, item in found["paths"].items() if p.startswith(PREFIX)}
    models = found.get("components", {}).get("schemas", {})
    wanted, used = _references(found["paths"]), set[str]()
    while wanted:
        used |= wanted
        wanted = _references([models[name] for name in wanted]) - used
    found["components"] = {"schemas": {n: m for n, m in models.items() if n in used}}
    return found


def _references(part: Any) -> set[str]:
    if isinstance(part, list):
        return set().union(*map(_references, part))
    if not isinstance(part, dict):
        return set()
    here = {kind(part)} if "$ref" in part else set()
    return here.union(*map(_references, part.values()))


def operations(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The calls by path, each with its parameters and body fields."""
    found = []
    for path, item in sorted(spec["paths"].items()):
        for method in _METHODS:
            if method in item:
                call = item[method]
                body = (
                    call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
                )
                found.append(
                    {
                        "method": method.upper(),
                        "path": path,
                        "text": call.get("description", call.get("summary", "")),
                        "parameters": [_parameter(p) for p in call.get("parameters", [])],
                        "body": kind(body) if body else "",
                        "fields": fields(_resolved(spec, body)) if body else [],
                        "status": next(s for s in call["responses"] if s.startswith("2")),
                    }
                )
    return found


def fields(schema: Mapping[str, Any]) -> list[dict[str, str]]:
    """A model's fields: name, type, default or required, other constraints."""
    required = set(schema.get("required", ()))
    return [
        {
            "name": name,
            "type": kind(field),
            "default": "required" if name in required else _default(field),
            "notes": _notes(field),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def kind(schema: Mapping[str, Any]) -> str:
    """A short name for a schema's type."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[1]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind(s) for s in schema["anyOf"]))
    if "enum" in schema:
        return " · ".join(str(v) for v in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    return str(schema.get("type", "anything"))


def _schemas(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = spec.get("components", {}).get("schemas", {})
    return {n: s for n, s in found.items() if n not in ("HTTPValidationError", "ValidationError")}


def _resolved(spec: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The model behind a body: through a reference, a list or an optional."""
    for arm in (schema, schema.get("items", {}), *schema.get("anyOf", ())):
        if "$ref" in arm:
            found: Mapping[str, Any] = _schemas(spec)[kind(arm)]
            return found
    return schema


def _parameter(given: Mapping[str, Any]) -> dict[str, str]:
    schema = given.get("schema", {})
    return {
        "name": given["name"],
        "type": kind(schema),
        "default": "required" if given.get("required") else _default(schema),
        "notes": _notes(schema),
    }


def _default(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema["default"]) if "default" in schema else ""


def _notes(schema: Mapping[str, Any]) -> str:
    words = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than"}
    arms = (schema, *schema.get("anyOf", ()))
    return ", ".join(f"{word} {arm[key]:g}" for arm in arms for key, word in words.items() if key in arm)
