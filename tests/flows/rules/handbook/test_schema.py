"""The JSON Schema of the process file: equal to the models, and useful to an editor."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import config.settings
from config.files import read_yaml
from flows.rules.handbook.schema import FILE, process_schema, schema_text
from tests.places import DATA

CONFIG = Path(config.settings.__file__).parent
GOOD = [
    CONFIG / "sales_process.yaml",
    *sorted(CONFIG.glob("examples/*.yaml")),
    *sorted(DATA.glob("good/*.yaml")),
]


def test_the_checked_in_schema_is_the_models() -> None:
    """A change of the models is a change of the file: `dealflow process schema > config/sales_process.schema.json`."""
    assert (CONFIG / FILE).read_text(encoding="utf-8") == schema_text()
    Draft202012Validator.check_schema(process_schema())


@pytest.mark.parametrize("file", GOOD, ids=lambda f: f.name)
def test_good_files_are_valid(file: Path) -> None:
    """What the models take, an editor does not underline."""
    content = json.loads(json.dumps(read_yaml(file)))
    assert list(Draft202012Validator(process_schema()).iter_errors(content)) == []


@pytest.mark.parametrize("file", [f for f in GOOD if f.is_relative_to(CONFIG)], ids=lambda f: f.name)
def test_editors_are_pointed_to_it(file: Path) -> None:
    """The first line of each shipped file names the schema where it is."""
    first = file.read_text(encoding="utf-8").splitlines()[0]
    reference = first.removeprefix("# yaml-language-server: $schema=")
    assert reference != first
    assert (file.parent / reference).resolve() == (CONFIG / FILE).resolve()


REFUSED: list[tuple[tuple[str | int, ...], Any]] = [
    (("stages", 0, "exit_criteria", 0, "evidence"), {"feeling": "good"}),
    (("stages", 0, "exit_criteria", 0, "evidence"), {"property": "amount"}),
    (("stages", 0, "exit_criteria", 0, "evidence"), {"contact": "boss"}),
    (("stages", 0, "exit_criteria", 0, "evidence"), {"signature": "declined"}),
    (("stages", 0, "mode"), "shout"),
    (("stages", 0, "follow_up"), {"task": "Call"}),
    (("stages", 0, "follow_ups"), {"after_days": 2, "task": "Call"}),
    (("stages", 0, "on_enter"), ["dance"]),
    (("signature_outcomes", "declined"), {}),
    (("signature_outcomes", "declined"), {"move_to": "won", "stay": True}),
]


@pytest.mark.parametrize(("place", "value"), REFUSED)
def test_mistakes_are_underlined(place: tuple[str | int, ...], value: Any) -> None:
    """Wrong words and forgotten keys are seen while typing."""
    content: Any = read_yaml(CONFIG / "sales_process.yaml")
    here = content
    for step in place[:-1]:
        here = here[step]
    here[place[-1]] = value
    assert not Draft202012Validator(process_schema()).is_valid(json.loads(json.dumps(content)))


def test_evidence_can_be_completed() -> None:
    """Every kind of evidence is offered, each with the key that names it, and explained; roles by name."""
    parts = process_schema()["$defs"]
    offered = [
        parts[kind["$ref"].rpartition("/")[2]]
        for kind in parts["Criterion"]["properties"]["evidence"]["oneOf"]
    ]
    keys = {key for kind in offered for key in kind["required"]}
    assert {"property", "contact", "company", "line_items", "document", "signature"} <= keys
    assert all(kind["description"] for kind in offered)
    assert {"any", "signer", "decision_maker"} <= set(
        parts["ContactEvidence"]["properties"]["contact"]["enum"]
    )
    assert parts["Stage"]["properties"]["closed"]["enum"] == ["won", "lost"]
