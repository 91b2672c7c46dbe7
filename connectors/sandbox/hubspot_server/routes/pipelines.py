"""Pipeline and stage routes. Deleting a pipeline or stage that deals use is refused by default since 2026-09."""

from typing import Any

from connectors.sandbox.hubspot_server.errors import Refusal
from connectors.sandbox.hubspot_server.records.catalog import ObjectType
from connectors.sandbox.hubspot_server.records.pipelines import Pipeline
from connectors.sandbox.hubspot_server.web import Call, Site

BASES = ("/crm/pipelines/{version}/{object_type}", "/crm/v3/pipelines/{object_type}")


def mount(site: Site) -> None:
    """Add the routes."""
    one = [f"{b}/{{pipeline_id}}" for b in BASES]
    stages = [f"{p}/stages" for p in one]
    stage = [f"{s}/{{stage_id}}" for s in stages]
    site.serve("GET", BASES, list_all)
    site.serve("POST", BASES, create)
    site.serve("GET", one, read)
    site.serve("PUT", one, replace)
    site.serve("PATCH", one, patch)
    site.serve("DELETE", one, delete)
    site.serve("GET", [f"{p}/audit" for p in one], audit)
    site.serve("GET", stages, list_stages)
    site.serve("POST", stages, create_stage)
    site.serve("GET", stage, read_stage)
    site.serve("PATCH", stage, patch_stage)
    site.serve("PUT", stage, put_stage)
    site.serve("DELETE", stage, delete_stage)
    site.serve("GET", [f"{s}/audit" for s in stage], stage_audit)


async def list_all(call: Call) -> tuple[int, Any]:
    """Every pipeline with its stages; not paged."""
    found = sorted(call.portal.pipelines.of(call.kind()).values(), key=lambda p: p.order)
    return 200, {"results": [p.shown() for p in found]}


async def read(call: Call) -> tuple[int, Any]:
    """One pipeline."""
    return 200, call.portal.pipelines.one(call.kind(), call.args["pipeline_id"]).shown()


async def create(call: Call) -> tuple[int, Any]:
    """Create a pipeline with its stages."""
    return 201, call.portal.pipelines.create(call.kind(), call.body()).shown()


async def replace(call: Call) -> tuple[int, Any]:
    """Replace a pipeline's label, order and stages."""
    kind, ident, body = call.kind(), call.args["pipeline_id"], call.body()
    before = set(call.portal.pipelines.one(kind, ident).stages)
    labels = {str(s.get("label")) for s in body.get("stages") or [] if isinstance(s, dict)}
    if _check_references(call):
        kept = {i for i, s in call.portal.pipelines.one(kind, ident).stages.items() if s.label in labels}
        _refuse_used(call, kind, ident, before - kept)
    return 200, call.portal.pipelines.replace(kind, ident, body).shown()


async def patch(call: Call) -> tuple[int, Any]:
    """Change a pipeline's label or order."""
    return 200, call.portal.pipelines.patch(call.kind(), call.args["pipeline_id"], call.body()).shown()


async def delete(call: Call) -> tuple[int, Any]:
    """Delete a pipeline."""
    kind, ident = call.kind(), call.args["pipeline_id"]
    found = call.portal.pipelines.one(kind, ident)
    if _check_references(call):
        _refuse_used(call, kind, ident, set(found.stages))
    call.portal.pipelines.delete(kind, ident)
    return 204, None


async def audit(call: Call) -> tuple[int, Any]:
    """The changes of a pipeline, newest first."""
    found = call.portal.pipelines.one(call.kind(), call.args["pipeline_id"])
    return 200, {"results": _entries(call, found)}


async def list_stages(call: Call) -> tuple[int, Any]:
    """The stages of a pipeline in display order."""
    found = call.portal.pipelines.one(call.kind(), call.args["pipeline_id"])
    return 200, {"results": found.shown()["stages"]}


async def create_stage(call: Call) -> tuple[int, Any]:
    """Add a stage."""
    made = call.portal.pipelines.create_stage(call.kind(), call.args["pipeline_id"], call.body())
    return 201, made.shown()


async def read_stage(call: Call) -> tuple[int, Any]:
    """One stage."""
    pipelines = call.portal.pipelines
    return 200, pipelines.stage(call.kind(), call.args["pipeline_id"], call.args["stage_id"]).shown()


async def patch_stage(call: Call) -> tuple[int, Any]:
    """Change parts of a stage."""
    return 200, _change(call, whole=False)


async def put_stage(call: Call) -> tuple[int, Any]:
    """Replace a stage; its id stays."""
    return 200, _change(call, whole=True)


async def delete_stage(call: Call) -> tuple[int, Any]:
    """Delete a stage."""
    kind, pipeline, ident = call.kind(), call.args["pipeline_id"], call.args["stage_id"]
    call.portal.pipelines.stage(kind, pipeline, ident)
    if _check_references(call):
        _refuse_used(call, kind, pipeline, {ident})
    call.portal.pipelines.delete_stage(kind, pipeline, ident)
    return 204, None


async def stage_audit(call: Call) -> tuple[int, Any]:
    """The changes of a stage, newest first."""
    pipelines, ident = call.portal.pipelines, call.args["stage_id"]
    pipelines.stage(call.kind(), call.args["pipeline_id"], ident)
    found = pipelines.one(call.kind(), call.args["pipeline_id"])
    return 200, {"results": [a for a in _entries(call, found) if a["identifier"] == ident]}


def _entries(call: Call, found: Pipeline) -> list[dict[str, Any]]:
    return [{**a, "portalId": call.portal.portal_id} for a in found.audit]


def _change(call: Call, *, whole: bool) -> dict[str, Any]:
    return call.portal.pipelines.change_stage(
        call.kind(), call.args["pipeline_id"], call.args["stage_id"], call.body(), whole=whole
    ).shown()


def _check_references(call: Call) -> bool:
    """2026-09 checks by default; earlier versions only on request (pipeline change note)."""
    return call.flag("validateReferencesBeforeDelete", default=call.binding) or call.flag(
        "validateDealStageUsagesBeforeDelete"
    )


def _refuse_used(call: Call, kind: ObjectType, pipeline: str, stages: set[str]) -> None:
    stage_property = "dealstage" if kind.key == "deals" else "hs_pipeline_stage"
    pipeline_property = "pipeline" if kind.key == "deals" else "hs_pipeline"
    users = [
        r.id
        for r in call.portal.crm.all(kind)
        if r.values.get(pipeline_property) == pipeline and r.values.get(stage_property) in stages
    ]
    if users:
        raise Refusal(
            400,
            f"{len(users)} records still use what is to be deleted",
            sub_category="PipelineError.STAGE_ID_IN_USE",
            context={"objectIds": users[:100], "stageIds": sorted(stages)},
        )
