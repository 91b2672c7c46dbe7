"""Pipelines and their stages: the default deal pipeline, those a portal adds, and the rules on both.

Source: https://developers.hubspot.com/docs/api-reference/crm/pipelines/guide (read 2026-04-13), a recorded
answer for the default pipeline, and https://developers.hubspot.com/changelog/pipeline-stage-validation-true.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.sandbox.clock import Clock
from connectors.sandbox.hubspot_server.errors import Refusal, missing_fields
from connectors.sandbox.hubspot_server.records.catalog import ObjectType, object_type
from connectors.sandbox.hubspot_server.times import instant
from connectors.sandbox.ids import Ids

DEFAULT_STAGES = (
    ("appointmentscheduled", "Appointment Scheduled", "0.2"),
    ("qualifiedtobuy", "Qualified To Buy", "0.4"),
    ("presentationscheduled", "Presentation Scheduled", "0.6"),
    ("decisionmakerboughtin", "Decision Maker Bought-In", "0.8"),
    ("contractsent", "Contract Sent", "0.9"),
    ("closedwon", "Closed Won", "1.0"),
    ("closedlost", "Closed Lost", "0.0"),
)
MAX_STAGES = 100  # a deal pipeline (pipelines guide)


@dataclass
class Stage:
    """One stage; `probability` is the text HubSpot keeps in its metadata."""

    id: str
    label: str
    order: int
    metadata: dict[str, str]
    created_ms: int = 0
    updated_ms: int = 0

    @property
    def probability(self) -> str:
        """`0.0` to `1.0` as text."""
        return self.metadata.get("probability", "0.0")

    @property
    def closed(self) -> bool:
        """Whether deals are closed here."""
        return self.metadata.get("isClosed") == "true"

    @property
    def won(self) -> bool:
        """Whether deals are won here: closed, probability 1."""
        return self.closed and float(self.probability) == 1.0

    def shown(self) -> dict[str, Any]:
        """As the API returns it."""
        return {
            "label": self.label,
            "displayOrder": self.order,
            "metadata": dict(self.metadata),
            "id": self.id,
            "createdAt": instant(self.created_ms),
            "updatedAt": instant(self.updated_ms),
            "archived": False,
            "writePermissions": "CRM_PERMISSIONS_ENFORCEMENT",
        }


@dataclass
class Pipeline:
    """One pipeline with its stages in display order."""

    id: str
    label: str
    order: int
    stages: dict[str, Stage]
    created_ms: int = 0
    updated_ms: int = 0
    audit: list[dict[str, Any]] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """As the API returns it, stages in display order."""
        return {
            "label": self.label,
            "displayOrder": self.order,
            "id": self.id,
            "stages": [s.shown() for s in sorted(self.stages.values(), key=lambda s: s.order)],
            "createdAt": instant(self.created_ms),
            "updatedAt": instant(self.updated_ms),
            "archived": False,
        }


class Pipelines:
    """All pipelines, per object type. `on_stage` is called for every new stage (its timing properties)."""

    def __init__(self, clock: Clock, on_stage: Callable[[ObjectType, Stage], None]) -> None:
        self._clock = clock
        self._on_stage = on_stage
        self._ids = Ids(871_204_310, 37)
        deals = object_type("deals")
        stages = {
            ident: Stage(ident, label, n, {"isClosed": _closed(p), "probability": p})
            for n, (ident, label, p) in enumerate(DEFAULT_STAGES)
        }
        self._all: dict[str, dict[str, Pipeline]] = {
            "deals": {"default": Pipeline("default", "Sales Pipeline", 0, stages)}
        }
        self._deals = deals

    def announce(self) -> None:
        """Call `on_stage` for the stages of a fresh portal."""
        for pipeline in self._all["deals"].values():
            for stage in pipeline.stages.values():
                self._on_stage(self._deals, stage)

    def deal_pipelines(self) -> list[Pipeline]:
        """The deal pipelines, in the order they were made."""
        return list(self._all["deals"].values())

    def of(self, kind: ObjectType) -> dict[str, Pipeline]:
        """Pipeline id -> pipeline. Refusal 400 where the type has none to manage here."""
        if kind.key not in ("deals", "leads", "quotes"):
            raise Refusal(400, f"Object type {kind.type_id} has no pipelines")
        return self._all.setdefault(kind.key, {})

    def one(self, kind: ObjectType, ident: str) -> Pipeline:
        """The pipeline; Refusal 404 where there is none."""
        found = self.of(kind).get(ident)
        if found is None:
            raise Refusal(404, f"Pipeline {ident} was not found for object type {kind.type_id}")
        return found

    def stage(self, kind: ObjectType, pipeline: str, ident: str) -> Stage:
        """The stage; Refusal 404 where there is none."""
        found = self.one(kind, pipeline).stages.get(ident)
        if found is None:
            raise Refusal(404, f"Stage {ident} was not found in pipeline {pipeline}")
        return found

    def create(self, kind: ObjectType, body: Mapping[str, Any]) -> Pipeline:
        """Create a pipeline with its stages; ids are numbers that the portal chooses."""
        _need(body, "label", "displayOrder", "stages")
        if any(p.label == body["label"] for p in self.of(kind).values()):
            raise Refusal(409, f"A pipeline labelled {body['label']} already exists", category="CONFLICT")
        stages = self._stages(body["stages"])
        made = Pipeline(
            str(next(self._ids)),
            str(body["label"]),
            int(body["displayOrder"]),
            stages,
            self._clock.now_ms(),
            self._clock.now_ms(),
        )
        self.of(kind)[made.id] = made
        self._noted(made, "CREATE", made.id)
        for stage in stages.values():
            self._on_stage(kind, stage)
        return made

    def replace(self, kind: ObjectType, ident: str, body: Mapping[str, Any]) -> Pipeline:
        """PUT: replace label, order and all stages. Stages whose label stays keep their id."""
        found = self.one(kind, ident)
        _need(body, "label", "displayOrder", "stages")
        old = {s.label: s for s in found.stages.values()}
        fresh = self._stages(body["stages"])
        found.stages = {}
        for stage in fresh.values():
            kept = old.get(stage.label)
            if kept is None:
                self._on_stage(kind, stage)
            else:
                stage.id, stage.created_ms = kept.id, kept.created_ms
            found.stages[stage.id] = stage
        found.label, found.order = str(body["label"]), int(body["displayOrder"])
        self._touched(found, "UPDATE", ident)
        return found

    def patch(self, kind: ObjectType, ident: str, body: Mapping[str, Any]) -> Pipeline:
        """Change label or order."""
        found = self.one(kind, ident)
        found.label = str(body.get("label", found.label))
        found.order = int(body.get("displayOrder", found.order))
        self._touched(found, "UPDATE", ident)
        return found

    def delete(self, kind: ObjectType, ident: str) -> None:
        """Delete a pipeline permanently."""
        self.one(kind, ident)
        del self.of(kind)[ident]

    def create_stage(self, kind: ObjectType, pipeline: str, body: Mapping[str, Any]) -> Stage:
        """Add a stage at the requested position."""
        found = self.one(kind, pipeline)
        if len(found.stages) >= MAX_STAGES:
            raise Refusal(400, f"A pipeline has at most {MAX_STAGES} stages")
        made = self._stage(body, {s.label for s in found.stages.values()})
        found.stages[made.id] = made
        self._touched(found, "CREATE", made.id)
        self._on_stage(kind, made)
        return made

    def change_stage(
        self, kind: ObjectType, pipeline: str, ident: str, body: Mapping[str, Any], *, whole: bool
    ) -> Stage:
        """PATCH (`whole` false) or PUT a stage."""
        stage = self.stage(kind, pipeline, ident)
        if whole:
            _need(body, "label", "displayOrder", "metadata")
        others = self.one(kind, pipeline).stages.values()
        _check_label(body.get("label"), {s.label for s in others if s is not stage})
        if "metadata" in body:
            stage.metadata = _metadata({**({} if whole else stage.metadata), **body["metadata"]})
        stage.label = str(body.get("label", stage.label))
        stage.order = int(body.get("displayOrder", stage.order))
        stage.updated_ms = self._clock.now_ms()
        self._touched(self.one(kind, pipeline), "UPDATE", ident)
        return stage

    def delete_stage(self, kind: ObjectType, pipeline: str, ident: str) -> None:
        """Delete a stage; a pipeline keeps at least one."""
        self.stage(kind, pipeline, ident)
        found = self.one(kind, pipeline)
        if len(found.stages) == 1:
            raise Refusal(400, "A pipeline needs at least one stage")
        del found.stages[ident]
        self._touched(found, "DELETE", ident)

    def _stages(self, given: list[Mapping[str, Any]]) -> dict[str, Stage]:
        if len(given) > MAX_STAGES:
            raise Refusal(400, f"A pipeline has at most {MAX_STAGES} stages")
        made: dict[str, Stage] = {}
        for body in given:
            stage = self._stage(body, {s.label for s in made.values()})
            made[stage.id] = stage
        if not made:
            raise Refusal(400, "A pipeline needs at least one stage")
        return made

    def _stage(self, body: Mapping[str, Any], taken: set[str]) -> Stage:
        _need(body, "label", "displayOrder", "metadata")
        _check_label(body["label"], taken)
        now_ms = self._clock.now_ms()
        metadata = _metadata(body["metadata"])
        return Stage(
            str(next(self._ids)), str(body["label"]), int(body["displayOrder"]), metadata, now_ms, now_ms
        )

    def _touched(self, pipeline: Pipeline, action: str, ident: str) -> None:
        pipeline.updated_ms = self._clock.now_ms()
        self._noted(pipeline, action, ident)

    def _noted(self, pipeline: Pipeline, action: str, ident: str) -> None:
        pipeline.audit.insert(
            0,
            {
                "action": action,
                "identifier": ident,
                "timestamp": instant(self._clock.now_ms()),
                "rawObject": pipeline.shown(),
            },
        )


def _need(body: Mapping[str, Any], *names: str) -> None:
    missing = [n for n in names if body.get(n) is None]
    if missing:
        raise missing_fields(missing)


def _check_label(label: object, taken: set[str]) -> None:
    if label in taken:
        raise Refusal(400, f"Stage labels must be unique in a pipeline: {label}")


def _closed(probability: str) -> str:
    return "true" if float(probability) in (0.0, 1.0) else "false"


def _metadata(given: Mapping[str, Any]) -> dict[str, str]:
    """Deal stages need a probability in tenths from 0 to 1; isClosed follows from it."""
    try:
        probability = float(given["probability"])
    except (KeyError, TypeError, ValueError):
        raise Refusal(400, "A deal stage needs metadata.probability from 0.0 to 1.0") from None
    if not 0 <= probability <= 1:
        raise Refusal(400, "A deal stage needs metadata.probability from 0.0 to 1.0")
    text = f"{probability:g}" if "." in f"{probability:g}" else f"{probability:.1f}"
    return {**{k: str(v) for k, v in given.items()}, "probability": text, "isClosed": _closed(text)}
