"""HubSpot changed by hand after provisioning: found, reported from -> to, fixed if that is safe."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.settings import Settings
from connectors.hubspot.records import Option, Stage
from flows.provision import properties as provision_properties
from flows.provision.pipeline import wanted_orders
from flows.provision.plan import compare, plan
from flows.provision.properties import OwnProperty
from flows.rules.process.sales_process import SalesProcess, parse_process
from flows.services import load_process

PROPERTIES = "/crm/properties/2026-03/deals"
PIPELINES = "/crm/pipelines/2026-03/deals"


@pytest.fixture
def process() -> SalesProcess:
    return load_process(Settings())


@pytest.fixture
def raw() -> dict[str, Any]:
    """The shipped process file, to be changed."""
    found: dict[str, Any] = yaml.safe_load((Settings().config_dir / "sales_process.yaml").read_text())
    return found


@pytest.fixture
def admin(world: Any) -> "Admin":
    return Admin(world.hub)


class Admin:
    """An administrator who changes HubSpot's settings by hand."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        rows = self("GET", PIPELINES)["results"]
        pipeline = next(row for row in rows if row["label"] == "Dealflow sales process")
        self.stages = f"{PIPELINES}/{pipeline['id']}/stages"
        self.ids = {stage["label"]: stage["id"] for stage in pipeline["stages"]}

    def __call__(self, method: str, path: str, **body: Any) -> Any:
        answer = self._hub.request(
            method, path, headers={"Authorization": "Bearer t"}, **({"json": body} if body else {})
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def stage(self, label: str, **changes: Any) -> None:
        """Change a stage."""
        self("PATCH", f"{self.stages}/{self.ids[label]}", **changes)


def _apply(portal: Any, process: SalesProcess) -> list[str]:
    changes = plan(portal, process)
    for change in changes:
        change.apply()
    return [line for change in changes for line in change.lines]


def test_stages_changed_by_hand_are_set_right(admin: Any, portal_client: Any, process: Any) -> None:
    """Probability, closed state and sequence of stages come back, each reported from -> to; a second plan is empty."""
    admin.stage("Closing", metadata={"probability": "0.8"})
    admin.stage("Discussion", metadata={"probability": "1.0"})
    admin.stage("Qualification", displayOrder=2)
    admin.stage("Development", displayOrder=1)

    assert _apply(portal_client, process) == [
        "stage Qualification: display order 2 -> 1",
        "stage Development: display order 1 -> 2",
        "stage Discussion: probability 1.0 -> 0.7",
        "stage Discussion: closed yes -> no",
        "stage Closing: probability 0.8 -> 0.9",
    ]
    assert plan(portal_client, process) == []


def test_the_command_shows_and_mends_drift_twice(admin: Any, world: Any, run_dealflow: Any) -> None:
    """Plan says it, apply does it and says it, the second apply writes nothing; --json has a row for each field."""
    env = {"DEALFLOW_HUBSPOT_BASE_URL": world.hubspot_url, "DEALFLOW_HUBSPOT_TOKEN": "test-token"}
    admin.stage("Closing", metadata={"probability": "0.8"})
    admin("PATCH", f"{PROPERTIES}/dealflow_need", label="Need", fieldType="text", type="string")

    planned = run_dealflow("provision", **env)
    assert planned.returncode == 0
    assert planned.stdout.splitlines() == [
        'would update deal property dealflow_need: label "Need" -> "What the buyer needs"',
        'would update deal property dealflow_need: field type "text" -> "textarea"',
        "would update stage Closing: probability 0.8 -> 0.9",
    ]
    rows = json.loads(run_dealflow("provision", "--json", **env).stdout)
    assert rows["applied"] is False and rows["changes"][-1] == {
        "object": "stage",
        "name": "Closing",
        "field": "probability",
        "from": 0.8,
        "to": 0.9,
        "action": "update",
        "done": False,
    }
    applied = run_dealflow("provision", "--apply", **env)
    assert applied.stdout == planned.stdout.replace("would update", "updated")
    world.forget_calls()
    again = run_dealflow("provision", "--apply", **env)
    assert (again.returncode, again.stdout) == (0, "HubSpot fits the process file: nothing to do\n")
    assert {call["method"] for call in world.calls("hub", "/")} == {"GET"}


def test_a_break_in_the_middle_is_gone_on_from(admin: Any, world: Any, run_dealflow: Any) -> None:
    """HubSpot fails between two changes: finished changes are reported, and the next apply does the rest only."""
    env = {"DEALFLOW_HUBSPOT_BASE_URL": world.hubspot_url, "DEALFLOW_HUBSPOT_TOKEN": "test-token"}
    for label in ("Prospecting", "Development", "Closing"):
        admin.stage(label, metadata={"probability": "0.8"})
    world.fault("hub", "status", f"/stages/{admin.ids['Development']}", status=503, times=1)

    broken = run_dealflow("provision", "--apply", **env)
    assert broken.returncode == 1 and "1 of 3 changes are made: run it again for the rest" in broken.stderr
    assert broken.stdout == "updated stage Prospecting: probability 0.8 -> 0.05\n"

    rest = run_dealflow("provision", "--apply", **env)
    assert rest.returncode == 0 and rest.stdout.splitlines() == [
        "updated stage Development: probability 0.8 -> 0.3",
        "updated stage Closing: probability 0.8 -> 0.9",
    ]


def test_what_hubspot_does_not_keep_is_reported(admin: Any, world: Any, run_dealflow: Any) -> None:
    """HubSpot says yes and stores something else: a second check notices, exit code 1."""
    env = {"DEALFLOW_HUBSPOT_BASE_URL": world.hubspot_url, "DEALFLOW_HUBSPOT_TOKEN": "test-token"}
    admin.stage("Closing", metadata={"probability": "0.8"})
    kept = {"id": admin.ids["Closing"], "label": "Closing", "metadata": {"probability": "0.8"}}
    world.fault("hub", "status", f"/stages/{admin.ids['Closing']}", method="PATCH", status=200, body=kept)

    done = run_dealflow("provision", "--apply", **env)
    assert done.returncode == 1
    assert "did not keep what was set: stage Closing: probability 0.8 -> 0.9" in done.stderr


def test_a_lost_answer_is_no_second_pipeline(bare: Any, run_dealflow: Any) -> None:
    """The pipeline was created, its answer was lost: the next apply finds it."""
    env = {"DEALFLOW_HUBSPOT_BASE_URL": bare.hubspot_url, "DEALFLOW_HUBSPOT_TOKEN": "test-token"}
    bare.fault("hub", "reset_after", "/crm/v3/pipelines/deals", method="POST", times=1)
    assert run_dealflow("provision", "--apply", **env).returncode == 1
    assert run_dealflow("provision", "--apply", **env).returncode == 0
    made = bare.hub.get(PIPELINES, headers={"Authorization": "Bearer t"}).json()["results"]
    assert [pipeline["label"] for pipeline in made].count("Dealflow sales process") == 1


def test_our_properties_changed_by_hand_are_set_right(admin: Any, portal_client: Any, process: Any) -> None:
    """Label, help text, group and field of our own properties come back; others are not checked."""
    group = "dealinformation"
    admin("PATCH", f"{PROPERTIES}/dealflow_source", label="Source", groupName=group, description="?")
    admin("PATCH", f"{PROPERTIES}/dealname", label="Opportunity")

    assert _apply(portal_client, process) == [
        'deal property dealflow_source: label "Source" -> "Lead source"',
        'deal property dealflow_source: group "dealinformation" -> "dealflow"',
        'deal property dealflow_source: description "?" -> "Where the lead came from."',
    ]
    assert plan(portal_client, process) == []


def test_help_texts_come_from_the_process(world: Any, portal_client: Any) -> None:
    """The description of a property in HubSpot says which stage needs it, in the words of the process file."""
    texts = {one.name: one.description for one in portal_client.list_properties("deals")}
    assert texts["dealflow_need"] == (
        "In the buyer's words; printed on the proposal. "
        "Needed to leave Qualification: The buyer has told us what they need."
    )
    assert "Needed to leave Closing: Every signer has signed" in texts["dealflow_contract_status"]


def test_an_archived_property_is_brought_back(admin: Any, portal_client: Any, process: Any) -> None:
    """HubSpot gives an archived property back under its name: the plan says so; its definition is set as well."""
    admin("PATCH", f"{PROPERTIES}/dealflow_source", label="Source")
    admin("DELETE", f"{PROPERTIES}/dealflow_source")

    (change,) = plan(portal_client, process)
    assert change.lines == ("deal property dealflow_source: from HubSpot's archive, with its values",)
    assert {"archived", "label"} <= {row["field"] for row in change.rows()}
    change.apply()
    assert plan(portal_client, process) == []


@pytest.mark.parametrize("archived", [False, True])
def test_a_property_of_another_type_is_a_problem(
    admin: Any, portal_client: Any, process: Any, archived: bool
) -> None:
    """A type is never changed, live or in the archive: values would be lost. The text says what to do."""
    admin("PATCH", f"{PROPERTIES}/dealflow_starts_on", type="string", fieldType="text")
    if archived:
        admin("DELETE", f"{PROPERTIES}/dealflow_starts_on")

    (problem,) = compare(portal_client, process).problems
    assert problem.what == (
        "deal property dealflow_starts_on holds string values, and date values are needed"
    )
    assert "export its values" in problem.do and "archived properties" in problem.do


def test_values_are_added_to_a_choice_and_none_is_taken(admin: Any, portal_client: Any, process: Any) -> None:
    """A choice of ours lacks a value: it is added behind the ones that are there, whoever added those."""
    own = OwnProperty(
        "deals", "dealflow_mood", "Mood", "How it goes", "select", "enumeration",
        options=(Option("good", "Good"), Option("bad", "Bad")),
    )  # fmt: skip
    for change in provision_properties.own_properties(portal_client, process, [own]):
        change.apply()  # type: ignore[union-attr]
    options = [
        {"value": value, "label": value.title(), "displayOrder": n, "description": f"{value}!"}
        for n, value in enumerate(("odd", "good"))
    ]
    admin("PATCH", f"{PROPERTIES}/dealflow_mood", options=options)

    (change,) = provision_properties.own_properties(portal_client, process, [own])
    assert [str(one) for one in change.differences] == ["options ['odd', 'good'] -> ['odd', 'good', 'bad']"]  # type: ignore[union-attr]
    change.apply()  # type: ignore[union-attr]
    made = next(one for one in portal_client.list_properties("deals") if one.name == "dealflow_mood")
    assert [(one.value, one.description) for one in made.options] == [
        ("odd", "odd!"), ("good", "good!"), ("bad", ""),
    ]  # fmt: skip


def test_extra_stages_are_noted_and_left(admin: Any, portal_client: Any, process: Any) -> None:
    """A stage that only HubSpot has: reported, not changed, and no drift."""
    admin("POST", admin.stages, label="Legal check", displayOrder=4, metadata={"probability": "0.6"})

    found = compare(portal_client, process)
    assert found.changes == [] and found.problems == []
    (note,) = found.notes
    assert note.startswith("stage Legal check (id ") and "left alone" in note


def test_a_stage_id_that_is_gone_is_no_new_stage(world: Any, portal_client: Any, raw: Any) -> None:
    """A number in `hubspot_stage` that HubSpot does not have never becomes a stage called by that number."""
    raw["stages"][2]["hubspot_stage"] = "999999"
    (problem,) = compare(portal_client, parse_process(raw)).problems
    assert (
        "names HubSpot's stage 999999, which the pipeline does not have; it has Prospecting (" in problem.what
    )


@pytest.mark.parametrize("pipeline", ["424242", "Dealflow sales process"])
def test_a_pipeline_id_that_is_gone_is_no_new_pipeline(
    bare: Any, portal_client: Any, raw: Any, pipeline: str
) -> None:
    """The same for `pipeline`, and for stage ids in a pipeline that is still to come."""
    raw["pipeline"] = pipeline
    raw["stages"][2]["hubspot_stage"] = "999999"
    problems = compare(portal_client, parse_process(raw)).problems
    expected = "is not the id of a pipeline" if pipeline.isdigit() else "names HubSpot's stage 999999"
    assert len(problems) == 1 and expected in problems[0].what


def test_a_label_that_is_taken_is_reported(admin: Any, portal_client: Any, raw: Any) -> None:
    """Renaming a stage to what another one is called would be refused by HubSpot: reported before any write."""
    admin("POST", admin.stages, label="Negotiation", displayOrder=9, metadata={"probability": "0.6"})
    raw["stages"][4] |= {"hubspot_stage": admin.ids["Discussion"], "label": "Negotiation"}
    (problem,) = compare(portal_client, parse_process(raw)).problems
    assert problem.what.startswith("stage Negotiation cannot be renamed from Discussion")


def test_one_stage_of_hubspot_is_not_two(admin: Any, portal_client: Any, raw: Any) -> None:
    """Two stages of the file that mean the same stage of HubSpot, by id and by label: reported."""
    raw["stages"][1] |= {"hubspot_stage": admin.ids["Discussion"], "label": "Discussion two"}
    found = compare(portal_client, parse_process(raw))
    assert any("are the same stage in HubSpot" in problem.what for problem in found.problems)


def test_an_open_stage_is_not_certain(world: Any, portal_client: Any, raw: Any) -> None:
    """HubSpot closes stages of probability 0 and 1: an open one would differ forever."""
    raw["stages"][5]["probability"] = 1.0
    (problem,) = compare(portal_client, parse_process(raw)).problems
    assert problem.what == "stage Closing is open with probability 1.0, and HubSpot closes such stages"


CRITERIA = [
    (
        {"property": "dealflow_ned", "is": "set"},
        "uses deal property dealflow_ned",
        "did you mean dealflow_need?",
    ),
    ({"date": "go_live_on", "not_past": True}, "uses deal property go_live_on", "does not have"),
    ({"date": "closedate", "after": "kick_off"}, "uses deal property kick_off", "does not have"),
    (
        {"any_of": [{"contact": "any"}, {"property": "dealtype", "equals": "New Business"}]},
        "asks deal property dealtype to be New Business",
        "New Business is the label of newbusiness",
    ),
    (
        {"property": "dealtype", "one_of": ["newbusiness", "renewal"]},
        "asks deal property dealtype to be renewal",
        "not among its values (newbusiness, existingbusiness)",
    ),
]


@pytest.mark.parametrize(("evidence", "says", "more"), CRITERIA)
def test_a_criterion_nobody_can_meet_is_a_problem(
    world: Any, portal_client: Any, raw: Any, evidence: Any, says: str, more: str
) -> None:
    """A property or a value that HubSpot does not know: which criterion, which property, what to do."""
    raw["stages"][1]["exit_criteria"][0]["evidence"] = evidence
    (problem,) = compare(portal_client, parse_process(raw)).problems
    assert problem.what.startswith(f"criterion need_stated of stage Qualification {says}")
    assert more in problem.what and "Settings > Properties" in problem.do


def test_problems_stop_the_whole_apply(
    admin: Any, world: Any, run_dealflow: Any, raw: Any, tmp_path: Path
) -> None:
    """With a problem on the list nothing is written, the changes stay planned, and the exit code is 1."""
    raw["stages"][1]["exit_criteria"][0]["evidence"] = {"property": "pain", "is": "set"}
    path = tmp_path / "process.yaml"
    path.write_text(yaml.safe_dump(raw))
    env = {"DEALFLOW_HUBSPOT_BASE_URL": world.hubspot_url, "DEALFLOW_HUBSPOT_TOKEN": "test-token"}
    env["DEALFLOW_PROCESS_FILE"] = str(path)
    admin.stage("Closing", metadata={"probability": "0.8"})
    world.forget_calls()

    done = run_dealflow("provision", "--apply", **env)
    assert done.returncode == 1 and "nothing was changed" in done.stderr
    assert "would update stage Closing: probability 0.8 -> 0.9" in done.stdout
    assert "problem: criterion need_stated of stage Qualification uses deal property pain" in done.stdout
    said = json.loads(run_dealflow("provision", "--apply", "--json", **env).stdout)
    assert said["applied"] is False and [row["done"] for row in said["changes"]] == [False, False]
    assert [row["name"] for row in said["problems"]] == ["need_stated of stage Qualification"]
    assert {call["method"] for call in world.calls("hub", "/")} == {"GET"}


def test_a_test_that_does_not_fit_the_type_is_noted(world: Any, portal_client: Any, raw: Any) -> None:
    """A day in a text property, a bound on one: it may work, so it is a note."""
    first, second = raw["stages"][1]["exit_criteria"]
    first["evidence"] = {"date": "dealflow_need", "not_past": True}
    second["evidence"] = {"property": "dealflow_source", "at_least": 3}
    found = compare(portal_client, parse_process(raw))
    assert not found.problems and len(found.notes) == 2
    assert "as a date, but it holds string values" in found.notes[0]
    assert "as a number, but it holds string values" in found.notes[1]


@pytest.mark.parametrize(
    ("now", "wanted"),
    [
        ([0, 1, 2], [0, 1, 2]),
        ([0, 5, 9], [0, 5, 9]),
        ([0, 2, 1], [0, 1, 2]),
        ([1, 1, 1], [1, 1, 1]),
        ([0, None, 1], [0, 1, 2]),
        ([None, 0, 1], [0, 1, 2]),
        ([0, None, 7], [0, 1, 7]),
        ([0, 1, None], [0, 1, 2]),
        ([None, None], [0, 1]),
        ([3, 3, None], [3, 4, 5]),
    ],
)
def test_few_stages_are_moved(now: list[int | None], wanted: list[int]) -> None:
    """The sequence counts, not the numbers; correct ones are not changed."""
    stages = [None if n is None else Stage(str(i), f"S{i}", n, None, False) for i, n in enumerate(now)]
    assert wanted_orders(stages) == wanted
