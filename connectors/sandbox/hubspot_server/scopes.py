"""Which scope a call needs, so that a test can remove one (`portal-rules` missing_scopes).

Source: the scopes on the object, property, owner and file pages (facts section 1): notes and tasks are gated
by the contacts scopes; a label or association counts as a write of its first object.
"""

from connectors.sandbox.hubspot_server.errors import Refusal
from connectors.sandbox.hubspot_server.records.catalog import object_type

_READING_POSTS = ("/search", "/batch/read")


def needed(method: str, path: str) -> str | None:
    """The scope for this call, or None if any token is enough."""
    parts = [p for p in path.split("/") if p and not p.startswith(("v1", "v3", "v4", "2026-"))]
    writing = method != "GET" and not path.endswith(_READING_POSTS)
    what = "write" if writing else "read"
    if parts[:1] == ["files"]:
        return "files"
    if parts[:1] != ["crm"] or len(parts) < 2:
        return None
    if parts[1] == "owners":
        return "crm.objects.owners.read"
    if len(parts) < 3:
        return None
    try:
        kind = object_type(parts[2])
    except Refusal:
        return None
    name = "contacts" if kind.activity else kind.key
    if parts[1] in ("properties", "pipelines"):
        return f"crm.schemas.{name}.{what}"
    return f"crm.objects.{name}.{what}"


def refusal(missing: list[str], method: str, path: str) -> Refusal | None:
    """A 403 MISSING_SCOPES when the call needs one of the scopes that are missing."""
    scope = needed(method, path)
    if scope is None or scope not in missing:
        return None
    return Refusal(
        403,
        "This app has not been granted every scope that this call needs.",
        category="MISSING_SCOPES",
        errors=[
            {
                "message": "One of these scopes is needed.",
                "context": {"requiredGranularScopes": [scope]},
            }
        ],
    )
