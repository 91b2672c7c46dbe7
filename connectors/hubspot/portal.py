"""Portal set-up through the official hubspot-api-client: property groups, properties, pipelines, labels.

Synchronous, rare, run by an operator. The SDK calls the v3 and v4 routes (supported until September 2027
and March 2027). Its problems are avoided: API objects are created once (each access opens a new connection
pool), every call has a time-out (it has none), its retries are off, and answers are read raw (its models
cost 35 times more and are strict). Measured on hubspot-api-client 12.0.0; routes from
developers.hubspot.com guides for properties, pipelines and association labels, 2026-11-22.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from connectors.http.errors import UnreadableAnswerError
from connectors.http.exchange import Answer, OnCall
from connectors.http.sdk_calls import SdkCall
from connectors.hubspot.lenient_json import items, mapping
from connectors.hubspot.records import (
    LinkType,
    Option,
    Pipeline,
    Property,
    Stage,
    parse_label,
    parse_pipeline,
    parse_property,
    parse_stage,
)
from connectors.hubspot.statuses import HUBSPOT

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class NewStage:
    """A stage to create. probability is 0 to 1 as text ("0.4"); closed and "1.0" is won, closed and "0.0"
    lost."""

    label: str
    probability: str
    display_order: int
    is_closed: bool = False

    def body(self) -> dict[str, Any]:
        """The stage as the vendor's JSON; metadata values are text."""
        metadata = {"probability": self.probability, "isClosed": "true" if self.is_closed else "false"}
        return {"label": self.label, "displayOrder": self.display_order, "metadata": metadata}


class Portal:
    """The calls that `provision` needs. Each returns its answer or raises a
    `connectors.http.errors.ConnectorError`.

    A name that exists already is a ConflictError (409): list first, create what is missing. Not for many
    threads.
    """

    def __init__(
        self,
        token: str,
        base_url: str = "https://api.hubapi.com",
        *,
        timeout_s: tuple[float, float] = (5.0, 30.0),
        on_call: OnCall | None = None,
    ) -> None:
        """Loads the SDK (about a second). timeout_s: (connect, read) in seconds."""
        if not token:
            raise ValueError("HubSpot needs a token")
        from hubspot import HubSpot

        client: Any = HubSpot(access_token=token, host=base_url.rstrip("/"), retry=False)
        self._properties = client.crm.properties.core_api
        self._groups = client.crm.properties.groups_api
        self._pipelines = client.crm.pipelines.pipelines_api
        self._stages = client.crm.pipelines.pipeline_stages_api
        self._labels = client.crm.associations.v4.schema.definitions_api
        self._timeout_s = timeout_s
        self._calls = SdkCall(HUBSPOT, total_s=60.0, on_call=on_call)

    def list_properties(self, object_type: str, *, archived: bool = False) -> tuple[Property, ...]:
        """The live property definitions of an object type; or those in the recycling bin (`archived`)."""
        more = {"archived": True} if archived else {}
        answer = self._run("list_properties", self._properties.get_all, object_type, **more)
        return _rows(answer, parse_property)

    def list_property_groups(self, object_type: str) -> tuple[str, ...]:
        """The internal names of the property groups."""
        answer = self._run("list_property_groups", self._groups.get_all, object_type)
        return _rows(answer, lambda row: parse_property(row).name)

    def create_property_group(self, object_type: str, name: str, label: str) -> None:
        """Create a group. Raises ConflictError when the name is taken."""
        body = {"name": name, "label": label, "displayOrder": -1}
        self._run("create_property_group", self._groups.create, object_type, body, write=True)

    def create_property(
        self,
        object_type: str,
        name: str,
        *,
        label: str,
        group: str,
        type: str = "string",  # the vendor's word
        field_type: str = "text",
        description: str = "",
        unique: bool = False,
        options: Sequence[Option] = (),
    ) -> Property:
        """Create a property. unique cannot be added later and exists at most ten times per object type.

        An archived property of that name is restored instead. Raises ConflictError when taken.
        """
        body = {"name": name, "hasUniqueValue": unique}
        body |= _definition(label, group, type, field_type, description, options)
        answer = self._run("create_property", self._properties.create, object_type, body, write=True)
        return _read(answer, parse_property)

    def update_property(
        self,
        object_type: str,
        name: str,
        *,
        label: str,
        group: str,
        type: str,  # the vendor requires it in addition to field_type; not meant to be changed
        field_type: str,
        description: str = "",
        options: Sequence[Option] = (),
    ) -> Property:
        """Replace a definition; name and uniqueness stay. options: all of them, because missing ones are removed."""
        body = _definition(label, group, type, field_type, description, options)
        answer = self._run("update_property", self._properties.update, object_type, name, body, write=True)
        return _read(answer, parse_property)

    def list_pipelines(self, object_type: str = "deals") -> tuple[Pipeline, ...]:
        """All pipelines with their stages."""
        return _rows(self._run("list_pipelines", self._pipelines.get_all, object_type), parse_pipeline)

    def create_pipeline(
        self,
        label: str,
        stages: Iterable[NewStage],
        *,
        object_type: str = "deals",
        display_order: int = 0,
    ) -> Pipeline:
        """Create a pipeline with its stages; the answer has the ids (numbers as text)."""
        body = {"label": label, "displayOrder": display_order, "stages": [stage.body() for stage in stages]}
        answer = self._run("create_pipeline", self._pipelines.create, object_type, body, write=True)
        return _read(answer, parse_pipeline)

    def create_stage(self, pipeline_id: str, stage: NewStage, *, object_type: str = "deals") -> Stage:
        """Add a stage to a pipeline."""
        answer = self._run(
            "create_stage", self._stages.create, object_type, pipeline_id, stage.body(), write=True
        )
        return _read(answer, parse_stage)

    def update_stage(
        self, pipeline_id: str, stage_id: str, stage: NewStage, *, object_type: str = "deals"
    ) -> Stage:
        """Set label, order and metadata of a stage; its id stays."""
        answer = self._run(
            "update_stage",
            self._stages.update,
            object_type,
            pipeline_id,
            stage_id,
            stage.body(),
            write=True,
        )
        return _read(answer, parse_stage)

    def list_labels(self, from_type: str, to_type: str) -> tuple[LinkType, ...]:
        """All association types between two object types, built-in and custom."""
        return _rows(self._run("list_labels", self._labels.get_all, from_type, to_type), parse_label)

    def create_label(self, from_type: str, to_type: str, label: str, name: str) -> tuple[LinkType, ...]:
        """Create a custom label; the answer lists its type in both directions."""
        body = {"label": label, "name": name}
        answer = self._run("create_label", self._labels.create, from_type, to_type, body, write=True)
        return _rows(answer, parse_label)

    def _run(
        self, operation: str, method: Callable[..., Any], *args: object, write: bool = False, **query: object
    ) -> Answer:
        def send() -> Any:
            return method(*args, **query, _preload_content=False, _request_timeout=self._timeout_s)

        return self._calls.run(operation, send, write=write, expect=(200, 201))


def _definition(
    label: str, group: str, type_: str, field_type: str, description: str, options: Sequence[Option]
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "label": label,
        "groupName": group,
        "type": type_,
        "fieldType": field_type,
        "description": description,
    }
    return body | ({"options": _options(options)} if options else {})


def _options(options: Sequence[Option]) -> list[Mapping[str, Any]]:
    return [
        {
            "label": one.label,
            "value": one.value,
            "hidden": one.hidden,
            "displayOrder": number,
            **({"description": one.description} if one.description else {}),
        }
        for number, one in enumerate(options)
    ]


def _read(answer: Answer, parse: Callable[[object], Parsed]) -> Parsed:
    try:
        return parse(answer.json())
    except UnreadableAnswerError as error:
        answer.not_understood(error.detail)


def _rows(answer: Answer, parse: Callable[[object], Parsed]) -> tuple[Parsed, ...]:
    def rows(data: object) -> tuple[Parsed, ...]:
        found = mapping(data).get("results")
        if not isinstance(found, list):
            raise UnreadableAnswerError("hubspot", "parse", detail="no results in the answer")
        return tuple(parse(row) for row in items(found))

    return _read(answer, rows)
