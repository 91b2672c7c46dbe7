"""The process file: the one that ships, and what each mistake is told."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import config.settings
from config.files import line_of, read_yaml
from flows.rules.process.sales_process import ProcessError, SalesProcess, parse_process

SHIPPED = Path(config.settings.__file__).with_name("sales_process.yaml")
CONTENT = read_yaml(SHIPPED)


def change(where: str, value: Any) -> dict[str, Any]:
    """The shipped file with one place changed; `...` as value takes the place away."""
    content: Any = copy.deepcopy(CONTENT)
    here, steps = content, [int(s) if s.isdigit() else s for s in where.split("/")]
    for step in steps[:-1]:
        here = here[step]
    if value is ...:
        del here[steps[-1]]
    else:
        here[steps[-1]] = value
    return dict(content)


def test_the_shipped_process() -> None:
    """Seven phases and Lost, in order; what happens on entry, how it ends, who is asked to sign."""
    process = parse_process(CONTENT)
    assert process.keys == (
        "prospecting",
        "qualification",
        "development",
        "presentation",
        "discussion",
        "closing",
        "won",
        "lost",
    )
    assert (process.first.key, process.won.key) == ("prospecting", "won")
    proposal, contract = process.stage_for("generate_proposal"), process.stage_for("send_contract")
    assert proposal is not None
    assert contract is not None
    assert (proposal.key, contract.key) == ("presentation", "closing")
    outcomes = process.signature_outcomes
    assert (outcomes.completed.move_to, outcomes.declined.move_to, outcomes.expired.stay) == (
        "won",
        "discussion",
        True,
    )
    assert process.seller.counter_signer is not None
    probabilities = [s.probability for s in process.stages if s.closed is None]
    assert probabilities == sorted(probabilities)
    assert process.stage("won").hubspot_name == "Account management (Won)"
    with pytest.raises(KeyError):
        process.stage("nowhere")


def test_the_gate_before_closing_asks_for_all_before_it() -> None:
    """Before a contract goes out, everything that the stages before ask for is asked for; the signature is not."""
    asked = [c.key for c in parse_process(CONTENT).gate_before("closing")]
    assert asked == [
        "buyer_reachable",
        "buyer_known",
        "need_stated",
        "budget_named",
        "positions_agreed",
        "proposal_on_file",
        "signer_named",
    ]
    assert parse_process(CONTENT).gate_before("prospecting") == ()
    assert [c.key for c in parse_process(CONTENT).gate_before("won")] == [*asked, "contract_signed"]


MISTAKES: list[tuple[str, Any, str]] = [
    ("pipeline", ..., "pipeline: is missing"),
    ("pipelin", "x", "pipelin: there is no such key here; did you mean pipeline?"),
    ("currency", "Euro", "currency: must be three capital letters, as in EUR, not 'Euro'"),
    ("seller/email", "not an address", "seller.email: must be an e-mail address, not 'not an address'"),
    ("seller/payment_days", 400, "seller.payment_days: must be at most 365, not '400'"),
    ("seller/counter_signer", {"name": "C"}, "seller.counter_signer.email: is missing"),
    (
        "routing/rules",
        [{"country": [], "owner": "a@b.example"}],
        "routing.rules.number 1.country: too few entries",
    ),
    ("stages/0/label", 5, "stages.prospecting.label: must be text, not '5'; put it in quotes"),
    ("stages/0/exit_criteria", "none", "stages.prospecting.exit_criteria: must be a list, not 'none'"),
    ("seller", "us", "seller: must be keys with values below it, not 'us'"),
    ("seller/payment_days", "soon", "seller.payment_days: must be a whole number, not 'soon'"),
    ("seller/payment_days", 1.5, "seller.payment_days: must be a whole number, not '1.5'"),
    ("stages/0/probability", "high", "stages.prospecting.probability: must be a number, not 'high'"),
    ("stages/1/help", "x" * 301, "stages.qualification.help: is too long: at most 300 letters"),
    ("routing/rules", [{"country": ["DE"], "owner": "dora"}], "routing.rules.number 1.owner: "),
    ("routing/otherwise", "nobody", "routing.otherwise"),
    ("roles/signer", "Decision maker", "roles: each role needs a label of its own"),
    ("stages", [], "stages: "),
    ("stages", CONTENT["stages"][6:], "stages: at least one stage is open"),
    ("stages/7", ..., "stages: exactly one stage is closed: won"),
    ("stages/0/key", "qualification", "stages.qualification.key: stage keys must differ"),
    ("stages/0/key", "Prospecting", "stages.Prospecting.key: must be a key: small letters"),
    ("stages/0/key", ..., "stages.number 1.key: is missing"),
    (
        "stages/0/label",
        "Qualification",
        "stages.qualification.label: each stage needs a stage of its own in HubSpot",
    ),
    (
        "stages/0/hubspot_stage",
        "Closing",
        "stages.closing.label: each stage needs a stage of its own in HubSpot",
    ),
    (
        "stages/0/on_enter",
        ["send_contract"],
        "stages.closing.on_enter: an action stands in on_enter of one stage only",
    ),
    (
        "stages/0/on_enter",
        ["dance"],
        "stages.prospecting.on_enter.number 1: must be 'generate_proposal', 'send_contract' or 'hand_over'",
    ),
    ("stages/0/probability", 1.5, "stages.prospecting.probability: must be at most 1.0, not '1.5'"),
    ("stages/6/probability", 0.9, "stages.won.probability: a stage that is closed: won has probability 1.0"),
    (
        "stages/7/probability",
        0.1,
        "stages.lost.probability: a stage that is closed: lost has probability 0.0",
    ),
    ("stages/1/closed", "maybe", "stages.qualification.closed: "),
    ("stages/1/exit_criteria/0/kind", "feeling", "stages.qualification.exit_criteria.need_stated.kind: "),
    ("stages/1/exit_criteria/0/says", "", "stages.qualification.exit_criteria.need_stated.says: "),
    (
        "stages/1/exit_criteria/0/key",
        "buyer_known",
        "stages.qualification.exit_criteria.buyer_known.key: criterion keys must differ",
    ),
    ("stages/1/exit_criteria/0/evidence", ..., "exit_criteria.need_stated.evidence: is missing"),
    (
        "stages/1/exit_criteria/0/evidence",
        {"feeling": "good"},
        "need_stated.evidence: give exactly one of: property, date, contact, contacts, company, line_items, "
        "document, signature, quote, activity, call_notes, objections, plan, any_of, all_of",
    ),
    ("stages/1/exit_criteria/0/evidence", "need", "need_stated.evidence: give exactly one of"),
    ("stages/1/exit_criteria/0/evidence", {"property": "p"}, "evidence.property: give exactly one of"),
    (
        "stages/1/exit_criteria/0/evidence",
        {"property": "p", "is": "set", "equals": "x"},
        "evidence.property: give exactly one of",
    ),
    (
        "stages/1/exit_criteria/0/evidence",
        {"property": "p", "contact": "any"},
        "need_stated.evidence: give exactly one of",
    ),
    ("stages/1/exit_criteria/0/evidence", {"date": "d"}, "evidence.date: give exactly one of: within_days"),
    ("stages/1/exit_criteria/0/evidence", {"date": "d", "after": "d"}, "never later than itself"),
    ("stages/1/exit_criteria/0/evidence", {"date": "d", "within_days": -1}, "evidence.date.within_days: "),
    ("stages/1/exit_criteria/0/evidence", {"contacts": 0}, "evidence.contacts"),
    ("stages/1/exit_criteria/0/evidence", {"activity": "lunch"}, "evidence.activity"),
    ("stages/1/exit_criteria/0/evidence", {"activity": []}, "evidence.activity"),
    (
        "stages/1/exit_criteria/0/evidence",
        {"activity": "call", "since": "stage_entry", "within_days": 3},
        "evidence.activity: give since: stage_entry or within_days, not both",
    ),
    ("stages/1/exit_criteria/0/evidence", {"any_of": [{"company": "any"}]}, "evidence.any_of"),
    (
        "stages/1/exit_criteria/0/evidence",
        {"any_of": [{"company": "any"}, {"all_of": [{"contact": "boss"}, {"company": "any"}]}]},
        "need_stated.evidence.any_of.number 2.all_of.number 1.contact: there is no role 'boss': there are any, ",
    ),
    (
        "stages/1/exit_criteria/0/evidence",
        {"any_of": [{"company": "any"}, {"feeling": "good"}]},
        "need_stated.evidence.any_of.any_of.number 2: give exactly one of",
    ),
    (
        "stages/1/exit_criteria/0/evidence",
        {"all_of": [{"any_of": [{"property": f"{c}{n}", "is": "set"} for n in range(9)]} for c in "ab"]},
        "evidence.all_of: there are more than 64 ways",
    ),
    ("roles/legal", "Signer", "roles: each role needs a label of its own"),
    ("stages/1/exit_criteria/0/evidence", {"property": "p", "equals": ""}, "evidence.property.equals: "),
    ("stages/1/exit_criteria/0/evidence", {"property": "p", "one_of": [""]}, "one_of.number 1: "),
    ("stages/1/exit_criteria/0/evidence", {"property": "p", "at_least": "x"}, "property.at_least: "),
    (
        "stages/1/exit_criteria/0/evidence",
        {"contact": "boss"},
        "need_stated.evidence.contact: there is no role 'boss': there are any, signer, ",
    ),
    (
        "stages/1/exit_criteria/0/evidence",
        {"contact": "any", "role": "x"},
        "contact.role: there is no such key here",
    ),
    ("stages/1/exit_criteria/0/evidence", {"company": "some"}, "evidence.company"),
    ("stages/1/exit_criteria/0/evidence", {"line_items": 0}, "evidence.line_items"),
    ("stages/1/exit_criteria/0/evidence", {"document": "invoice"}, "evidence.document"),
    ("stages/1/exit_criteria/0/evidence", {"signature": "declined"}, "evidence.signature"),
    ("signature_outcomes/expired", ..., "signature_outcomes.expired: is missing"),
    (
        "signature_outcomes/expired",
        {},
        "signature_outcomes.expired: give exactly one of: move_to, stay: true",
    ),
    (
        "signature_outcomes/expired",
        {"stay": True, "move_to": "won"},
        "signature_outcomes.expired: give exactly one",
    ),
    (
        "signature_outcomes/declined",
        {"move_to": "nowhere"},
        "signature_outcomes.declined.move_to: there is no stage 'nowhere': there are prospecting, ",
    ),
    (
        "signature_outcomes/completed",
        {"stay": True},
        "signature_outcomes.completed: a signed contract moves the deal",
    ),
]


_FIELD = {"property": "plan_steps", "label": "Steps"}
MISTAKES += [
    ("buyer", {"who": "Somebody", "problem": "A problem"}, "buyer.decides: is missing"),
    ("buyer/who", "x", "buyer.who: is too short"),
    ("stages/0/materials", [{"name": "A page", "link": "http://x"}], "materials.number 1.link: "),
    (
        "stages/0/materials",
        [{"name": "A page", "email": "No key"}],
        "materials.number 1.email: must be a key",
    ),
    ("call_notes", {"discovery": {"after": []}}, "call_notes.discovery.after: too few entries"),
    ("call_notes", {"discovery": {"after": ["Goal", "goal"]}}, "call_notes.discovery: headings must differ"),
    ("call_notes", {"Discovery": {"after": ["Goal"]}}, "call_notes.Discovery"),
    ("plans", {"mutual": {"label": "Mutual plan", "fields": []}}, "plans.mutual.fields: too few entries"),
    (
        "plans",
        {"mutual": {"label": "Mutual plan", "fields": [_FIELD, _FIELD]}},
        "plans.mutual.fields.number 2.property: each field needs a deal property of its own",
    ),
    (
        "plans",
        {"a": {"label": "A", "fields": [_FIELD]}, "b": {"label": "B", "fields": [_FIELD]}},
        "plans.b.fields.number 1.property: deal property plan_steps is a field of plan a already",
    ),
    (
        "plans",
        {"mutual": {"label": "Mutual plan", "fields": [{**_FIELD, "not_past": True}]}},
        "plans.mutual.fields.number 1: not_past goes with type: date",
    ),
    ("plans", {"mutual": {"label": "M", "fields": [{**_FIELD, "property": "Steps"}]}}, "number 1.property: "),
    ("objection_prefix", " ", "objection_prefix: "),
    (
        "stages/1/exit_criteria/0/evidence",
        {"call_notes": "demo"},
        "evidence.call_notes: there is no form in call_notes 'demo': there is none",
    ),
    (
        "stages/1/exit_criteria/0/evidence",
        {"plan": "mutual"},
        "evidence.plan: there is no plan in plans 'mutual': there is none",
    ),
    ("stages/1/exit_criteria/0/evidence", {"objections": "open"}, "evidence.objections"),
    (
        "stages/1/exit_criteria/0/evidence",
        {"objections": "closed", "at_least": -1},
        "at_least: must be at least 0",
    ),
]


@pytest.mark.parametrize(("where", "value", "says"), MISTAKES)
def test_a_mistake_is_told_with_its_key(where: str, value: Any, says: str) -> None:
    """Each mistake is refused in one line that names stage and criterion by their keys and what is wrong."""
    with pytest.raises(ProcessError) as caught:
        parse_process(change(where, value))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Value error" not in str(caught.value)
    assert caught.value.places


def test_several_mistakes_are_told_at_once() -> None:
    """Up to five, so that the file is fixed in one go."""
    content = change("currency", "Euro")
    content["stages"][0]["exit_criteria"][0]["evidence"] = {"feeling": 1}
    with pytest.raises(ProcessError) as caught:
        parse_process(content)
    assert "currency: " in str(caught.value)
    assert "buyer_reachable.evidence: " in str(caught.value)


def test_a_mistake_is_found_again_in_the_file() -> None:
    """The place of a mistake leads to its line."""
    with pytest.raises(ProcessError) as caught:
        parse_process(change("stages/1/exit_criteria/1/evidence", {"property": "amount", "at_least": "x"}))
    line = line_of(SHIPPED, caught.value.places[0])
    assert line is not None
    assert "at_least" in SHIPPED.read_text(encoding="utf-8").splitlines()[line - 1]


@pytest.mark.parametrize("content", [{}, [], None, "text", {"stages": None}, {"stages": [None, 5]}, {1: 2}])
def test_no_process_at_all(content: Any) -> None:
    """Whatever stands in the file instead: ProcessError."""
    with pytest.raises(ProcessError):
        parse_process(content)


def test_optional_roles_are_there_once_they_are_used() -> None:
    """Budget holder and legal: no label for those who do not use them, a default label for those who do."""
    assert parse_process(CONTENT).role_labels == {"signer": "Signer", "decision_maker": "Decision maker"}
    asked = change(
        "stages/1/exit_criteria/0/evidence", {"any_of": [{"contact": "legal"}, {"company": "any"}]}
    )
    assert parse_process(asked).role_labels["legal"] == "Legal"
    named = parse_process(change("roles/budget_holder", "Purse"))
    assert named.role_labels["budget_holder"] == "Purse" and "legal" not in named.role_labels
    # A label of the user's own that a default would take is only then in the way.
    taken = change("roles/signer", "Legal")
    assert parse_process(taken).role_labels["signer"] == "Legal"
    taken["stages"][1]["exit_criteria"][0]["evidence"] = {"contact": "legal"}
    with pytest.raises(ProcessError, match="each role needs a label of its own"):
        parse_process(taken)


def test_a_process_does_not_change() -> None:
    """What was read at the start holds while the worker runs."""
    process = parse_process(CONTENT)
    with pytest.raises(ValidationError):
        process.currency = "USD"


def test_it_can_be_written_as_a_json_schema() -> None:
    """Editors complete the file by it: every key of the shipped file is known to the schema."""
    schema = SalesProcess.model_json_schema()
    assert set(CONTENT) <= set(schema["properties"])
    assert {"PropertyEvidence", "SignatureEvidence", "Stage"} <= set(schema["$defs"])


def _paths(content: Any, before: tuple[str, ...] = ()) -> list[str]:
    """Every place in the file."""
    items: Any = content.items() if isinstance(content, dict) else enumerate(content)
    found: list[str] = []
    for step, value in items:
        found.append("/".join([*before, str(step)]))
        if isinstance(value, dict | list):
            found += _paths(value, (*before, str(step)))
    return found


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.text(max_size=3), max_size=2),
) | st.dictionaries(
    st.sampled_from(["key", "property", "is", "contact", "evidence"]), st.text(max_size=3), max_size=2
)


@given(st.sampled_from(_paths(CONTENT)), ANYTHING | st.just(...))
def test_any_change_is_a_process_or_a_process_error(where: str, value: Any) -> None:
    """However the file is changed: it is a whole process, with first and won stage, or refused with a place."""
    try:
        process = parse_process(change(where, value))
    except ProcessError as problem:
        assert ": " in str(problem)
        return
    assert process.first.closed is None
    assert process.won.closed == "won"
    assert process.signature_outcomes.completed.move_to in process.keys
    for key in process.keys:
        process.gate_before(key)


def test_comments_and_order_of_keys_do_not_matter() -> None:
    """Written anew by a program, the file means the same."""
    written: Callable[..., str] = yaml.safe_dump
    assert parse_process(yaml.safe_load(written(CONTENT, sort_keys=True))) == parse_process(CONTENT)
