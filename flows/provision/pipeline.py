"""Compares the deal pipeline and its stages in HubSpot with the process file.

HubSpot's API does not show deleted pipelines and stages (developers.hubspot.com, changelog "Sunsetting the 'archived'
query parameter for the v3 CRM Pipeline API", 2022-03), and neither has a description (its pipeline and stage
models, 2026-09).
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

from connectors.hubspot.portal import NewStage, Portal
from connectors.hubspot.records import Pipeline, Stage, pipeline_called
from flows.provision.changes import Change, Difference, Found, Note, Problem
from flows.rules.process.sales_process import SalesProcess
from flows.rules.process.sales_process import Stage as OurStage

PIPELINE, STAGE = "deal pipeline", "stage"
_ADVICE_ID = "give it the id or the label of one of these, or a new label, which is then created"


def pipeline_and_stages(portal: Portal, process: SalesProcess) -> Iterator[Found]:
    """The whole pipeline when it is missing; else what differs, stage by stage in the order of the process."""
    yield from _certain_and_open(process)
    pipelines = portal.list_pipelines("deals")
    found = pipeline_called(process.pipeline, pipelines)
    if found is None:
        yield from _new_pipeline(portal, process, pipelines)
        return
    known = {stage.key: found.stage_called(stage.hubspot_name) for stage in process.stages}
    yield from _taken_twice(process, known)
    orders = wanted_orders([known[stage.key] for stage in process.stages])
    for stage, order in zip(process.stages, orders, strict=True):
        yield from _stage(portal, found, stage, known[stage.key], order)
    ours = {one.id for one in known.values() if one is not None}
    for extra in found.stages:
        if extra.id not in ours and not extra.archived:
            yield Note(
                f"stage {extra.label} (id {extra.id}) of pipeline {found.label} is not in the process file: it is left "
                "alone, and dealflow does nothing for deals in it"
            )


def wanted_orders(stages: Sequence[Stage | None]) -> list[int]:
    """A display order for each stage (None: to be created) that gives this sequence with as few changes as possible.

    HubSpot sorts equal numbers by label (pipelines guide), so equal numbers are left when the sequence is right.
    """
    known = [stage for stage in stages if stage is not None]
    if len(known) == len(stages) and known == sorted(known, key=lambda one: (one.display_order, one.label)):
        return [stage.display_order for stage in known]
    places = iter(sorted(stage.display_order for stage in known))
    orders: list[int] = []
    for stage in stages:
        least = orders[-1] + 1 if orders else 0
        orders.append(least if stage is None else max(next(places), least))
    return orders


def _certain_and_open(process: SalesProcess) -> Iterator[Problem]:
    for stage in process.stages:
        if stage.closed is None and stage.probability in (0.0, 1.0):
            yield Problem(
                STAGE,
                stage.label,
                f"is open with probability {stage.probability}, and HubSpot closes such stages",
                "give it a probability between 0.01 and 0.99 in the process file",
            )


def _new_pipeline(portal: Portal, process: SalesProcess, pipelines: Sequence[Pipeline]) -> Iterator[Found]:
    name = process.pipeline
    if any(one.archived and name in (one.id, one.label) for one in pipelines):
        yield Problem(
            PIPELINE, name, "is archived in HubSpot", "restore it there, or give `pipeline` another name"
        )
        return
    if name.isdigit():
        there = ", ".join(f"{one.label} ({one.id})" for one in pipelines if not one.archived)
        yield Problem(PIPELINE, name, f"is not the id of a pipeline in HubSpot; it has {there}", _ADVICE_ID)
        return
    yield from (_no_such_id(stage, ()) for stage in process.stages if stage.hubspot_name.isdigit())
    stages = [_as_wanted(stage, stage.hubspot_name, order) for order, stage in enumerate(process.stages)]
    listed = ", ".join(f"{one.label} {one.probability}" for one in stages)
    bodies = [one.body() for one in stages]
    yield Change(
        "create",
        PIPELINE,
        name,
        (Difference("label", None, name), Difference("stages", None, bodies)),
        lambda: portal.create_pipeline(name, stages),
        f"{len(stages)} stages with their probability: {listed}",
    )


def _taken_twice(process: SalesProcess, known: Mapping[str, Stage | None]) -> Iterator[Problem]:
    seen: dict[str, OurStage] = {}
    for stage in process.stages:
        if (found := known[stage.key]) is None:
            continue
        first = seen.setdefault(found.id, stage)
        if first is not stage:
            text = f"and {first.label} are the same stage in HubSpot, {found.label} ({found.id})"
            yield Problem(STAGE, stage.label, text, "name another `hubspot_stage` for one of them")


def _stage(
    portal: Portal, pipeline: Pipeline, stage: OurStage, known: Stage | None, order: int
) -> Iterator[Found]:
    if known is None:
        yield _new_stage(portal, pipeline, stage, order)
        return
    # A stage that was found by id gets the label of the process; one found by label has it already.
    label = stage.label if known.id == stage.hubspot_name else known.label
    if any(one.label == label and one.id != known.id for one in pipeline.stages):
        text = f"cannot be renamed from {known.label}: another stage of the pipeline has this label"
        yield Problem(STAGE, label, text, "rename that one in HubSpot, or change `label` in the process file")
        return
    wanted = _as_wanted(stage, label, order)
    fields: list[tuple[str, object, object]] = [
        ("label", known.label, label),
        ("probability", _number(known.probability), stage.probability),
        ("closed", known.is_closed, wanted.is_closed),
        ("display_order", known.display_order, order),
    ]
    if different := tuple(Difference(*one) for one in fields if one[1] != one[2]):
        yield Change(
            "update", STAGE, label, different, lambda: portal.update_stage(pipeline.id, known.id, wanted)
        )


def _new_stage(portal: Portal, pipeline: Pipeline, stage: OurStage, order: int) -> Found:
    name = stage.hubspot_name
    if any(one.archived and name in (one.id, one.label) for one in pipeline.stages):
        return Problem(STAGE, name, "is archived in HubSpot", "restore it there, or give it another label")
    if name.isdigit():
        return _no_such_id(stage, pipeline.stages)
    wanted = _as_wanted(stage, name, order)
    fields = {
        "label": name,
        "probability": stage.probability,
        "closed": wanted.is_closed,
        "display_order": order,
    }
    return Change(
        "create",
        STAGE,
        name,
        tuple(Difference(key, None, value) for key, value in fields.items()),
        lambda: portal.create_stage(pipeline.id, wanted),
        f"probability {stage.probability}, display order {order}, in pipeline {pipeline.label}",
    )


def _no_such_id(stage: OurStage, stages: Sequence[Stage]) -> Problem:
    there = ", ".join(f"{one.label} ({one.id})" for one in stages if not one.archived) or "no stages yet"
    text = f"names HubSpot's stage {stage.hubspot_name}, which the pipeline does not have; it has {there}"
    return Problem(STAGE, stage.label, text, f"change `hubspot_stage`: {_ADVICE_ID}")


def _as_wanted(stage: OurStage, label: str, order: int) -> NewStage:
    return NewStage(label, repr(stage.probability), order, stage.closed is not None)


def _number(probability: Decimal | None) -> float | None:
    return None if probability is None else float(probability)
