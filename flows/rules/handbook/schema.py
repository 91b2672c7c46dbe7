"""The JSON Schema by which editors complete and check the process file; generated from the models, never edited."""

import json
from typing import Any

from flows.rules.criteria.evidence import KINDS
from flows.rules.process.sales_process import Roles, SalesProcess

FILE = "sales_process.schema.json"


def process_schema() -> dict[str, Any]:
    """The schema: what the models say, without the noise, with the few things that only validators know."""
    schema: dict[str, Any] = _plain(SalesProcess.model_json_schema())
    parts = schema["$defs"]
    for kind in KINDS:
        kind.complete_schema(parts[kind.__name__], tuple(Roles.model_fields))
    parts["OutcomeRule"] |= {"minProperties": 1, "maxProperties": 1}
    for named in ("call_notes", "plans"):
        schema["properties"][named]["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Sales process", **schema}


def schema_text() -> str:
    """The file's content."""
    return json.dumps(process_schema(), indent=2, ensure_ascii=False) + "\n"


def _plain(part: Any) -> Any:
    """Without pydantic's titles and "or null": an editor then offers exactly the words that may stand there."""
    if isinstance(part, list):
        return [_plain(item) for item in part]
    if not isinstance(part, dict):
        return part
    kept = {
        name: {key: _plain(value) for key, value in given.items()}
        if name in ("properties", "$defs")
        else _plain(given)
        for name, given in part.items()
        if not (name == "title" and isinstance(given, str)) and not (name == "default" and given is None)
    }
    choices = [choice for choice in kept.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        del kept["anyOf"]
        kept = {**choices[0], **kept}
    elif choices:
        kept["anyOf"] = choices
    return kept
