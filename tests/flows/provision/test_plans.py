"""The fields of plans as deal properties: created where they are missing, left alone where somebody has them."""

from pathlib import Path
from typing import Any

import pytest

import config.settings
from config.files import read_yaml
from flows.provision.plan import compare, plan
from flows.rules.process.sales_process import SalesProcess, parse_process

COMPLEX = Path(config.settings.__file__).parent / "examples/complex_sale.yaml"


@pytest.fixture
def process() -> SalesProcess:
    return parse_process(read_yaml(COMPLEX))


def test_fields_are_created_once(bare: Any, portal_client: Any, process: SalesProcess) -> None:
    """With label, type and help text, which also says what they are needed for; then nothing is left to do."""
    for change in plan(portal_client, process):
        change.apply()
    live = {p.name: p for p in portal_client.list_properties("deals")}
    steps, day = live["plan_steps"], live["plan_go_live_on"]
    assert (steps.label, steps.type, steps.field_type) == ("Steps", "string", "textarea")
    assert (day.label, day.type, day.field_type, day.group_name) == ("Go-live on", "date", "date", "dealflow")
    assert steps.description.startswith(
        "Mutual plan: Who does what until when on both sides. Needed to leave"
    )
    found = compare(portal_client, process)
    assert not found.changes and not found.problems


def test_a_property_of_the_companys_own_is_left_alone(
    bare: Any, portal_client: Any, process: SalesProcess
) -> None:
    """Another group, another label: it is used as it is. One with another type is reported as a problem."""
    portal_client.create_property(
        "deals", "plan_steps", label="Way to go", group="dealinformation", type="string", field_type="text"
    )
    for change in plan(portal_client, process):
        change.apply()
    mine = {p.name: p for p in portal_client.list_properties("deals")}["plan_steps"]
    assert (mine.label, mine.group_name, mine.field_type) == ("Way to go", "dealinformation", "text")
    assert not compare(portal_client, process).changes

    wrong = read_yaml(COMPLEX)
    wrong["plans"]["mutual"]["fields"][0]["property"] = "amount"
    (problem,) = compare(portal_client, parse_process(wrong)).problems
    assert problem.name == "amount" and "number values" in problem.what
