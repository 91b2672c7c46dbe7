"""Lint: every planted fault is found where it was planted; good processes stay clean."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import config.settings
from config.files import line_of, read_yaml
from flows.rules.criteria.kinds.base import LeafEvidence
from flows.rules.lint import words
from flows.rules.lint.evidence import implies
from flows.rules.lint.lint import Finding, History, lint
from flows.rules.lint.wording import SIMPLE
from flows.rules.process.sales_process import ProcessError, SalesProcess, parse_process
from tests.places import DATA

ROOT = Path(config.settings.__file__).parents[1]
GOOD = [
    ROOT / "config/sales_process.yaml",
    *sorted(ROOT.glob("config/examples/*.yaml")),
    *sorted(DATA.glob("good/*.yaml")),
]
BAD = sorted(DATA.glob("bad/*.yaml"))
COMPACT = DATA / "good/compact.yaml"
EMAILS = {path.stem for path in (ROOT / "config/templates/email").glob("*.yaml")}


def planted(file: Path) -> tuple[str, int]:
    """The rule that its first line names, and the line marked with `# here`."""
    lines = file.read_text(encoding="utf-8").splitlines()
    marked = [number for number, line in enumerate(lines, 1) if line.endswith("# here")]
    assert len(marked) == 1, f"{file.name}: mark one line"
    assert lines[0].startswith("# planted: "), file.name
    return lines[0].removeprefix("# planted: "), marked[0]


@pytest.mark.parametrize("file", GOOD, ids=lambda f: f.name)
def test_good_processes_are_clean(file: Path) -> None:
    """Neither error nor warning on any shipped process, in English or German."""
    assert lint(parse_process(read_yaml(file)), None, EMAILS) == ()


@pytest.mark.parametrize("file", [f for f in BAD if not f.name.startswith("invalid_")], ids=lambda f: f.stem)
def test_a_planted_fault_is_found_in_its_place(file: Path) -> None:
    """The rule that was broken, on the line that breaks it, with a reason and a better wording."""
    found = lint(parse_process(read_yaml(file)), None, EMAILS)
    assert planted(file) in [(f.rule, line_of(file, f.place)) for f in found]
    assert all(f.reason and f.example and "\n" not in f.reason + f.example for f in found)


@pytest.mark.parametrize("file", sorted(DATA.glob("bad/invalid_[!y]*.yaml")), ids=lambda f: f.stem)
def test_a_file_that_is_no_process_is_told_with_its_line(file: Path) -> None:
    """Mistakes that the models refuse carry the exact line too."""
    with pytest.raises(ProcessError) as caught:
        parse_process(read_yaml(file))
    rule, line = planted(file)
    assert rule == "invalid"
    assert line in [line_of(file, place) for place in caught.value.places]


@pytest.mark.parametrize(
    "file", [f for f in BAD if planted(f)[0] == "automation-cycle"], ids=lambda f: f.stem
)
def test_what_goes_round_is_told_as_a_story(file: Path) -> None:
    """A contract goes out, ends, and the deal is moved to where the next one goes out."""
    (found,) = (f for f in lint(parse_process(read_yaml(file))) if f.rule == "automation-cycle")
    first, second, third = found.story
    assert first.endswith("dealflow sends the contract.")
    assert second.startswith("The contract ") and "dealflow moves the deal" in second
    assert "next contract" in third


def test_every_rule_has_a_bad_process() -> None:
    """A rule that no file breaks would be a rule that nobody has seen work."""
    source = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "flows/rules/lint").glob("*.py"))
    rules = set(re.findall(r'Finding\(\s*"([a-z-]+)"', source)) | {rule for rule, *_ in SIMPLE} | {"invalid"}
    broken = {planted(file)[0] for file in BAD}
    assert {r for r in rules if not r.startswith("history-")} == broken
    assert len(BAD) >= 30


def find(content: dict[str, Any], history: History | None = None) -> list[Finding]:
    return list(lint(parse_process(content), history))


@pytest.mark.parametrize(
    "says",
    [
        "The buyer has agreed to a discount of 10 %",
        "30 percent of the price has been paid",
        "The buyer has told us that the board has discussed it",
        "The interest rate for the lease is on the deal",
        "The buyer has signed the internal approval and sent it to us",
        "A demo date is on the deal",
        "The buyer's legal team has confirmed the terms",
        "Der Kunde hat die Probleme mit dem heutigen Werkzeug genannt",
        "Eine Anzahlung von 20 % ist bezahlt",
        "Die Geschäftsleitung hat uns den Termin bestätigt",
        "A discovery call with the buyer is logged",
        "The buyer has introduced us to their finance lead",
        "The technical contact has completed the security questionnaire",
        "A meeting with the user team has taken place",
        "All objections are noted and closed",
        "The pilot has ended and its result is on the deal",
        "Der Entscheider ist als Kontakt markiert",
        "Alle Einwände sind notiert und beantwortet",
        "The buyer has told us which CRM they use",
        "The buyer has shared their volume forecast",
        "A follow-up meeting is in the buyer's calendar",
        "The buyer's board has confirmed the budget to us in writing",
        "The buyer has told us who may have a say",
        "The buyer has set a target date for going live",
        "The buyer's manager was introduced to us",
        "The buyer has sent the signed NDA",
        "The buyer's IT has approved the architecture in writing",
        "Die Geschäftsführung des Kunden hat uns die Freigabe schriftlich bestätigt",
        "Der Kunde hat einen Termin für die Vorführung angenommen",
    ],
)
def test_plain_facts_are_left_alone(says: str) -> None:
    """Sentences near the word lists that are facts all the same."""
    content = read_yaml(COMPACT)
    criterion = content["stages"][0]["exit_criteria"][0]
    criterion["says"], criterion["evidence"] = says, {"property": "own_property", "is": "set"}
    assert find(content) == []


@pytest.mark.parametrize(
    "says",
    [
        "The buyer likes our product",
        "Champion is on our side",
        "We feel good about the deal",
        "Buyer seems happy with the demo",
        "Probability of closing above 70%",
        "Buying committee has reflected on the offer",
        "Buyer has considered the alternatives",
        "Need is well understood",
        "Stakeholders are aligned internally",
        "Ready to buy",
        "Kunde ist sehr interessiert",
        "Der Chef wurde überzeugt",
        "Das Angebot ist gut angekommen",
        "Good meeting with the buyer",
        "Legal review, where required",
        "Relationship established",
        "Budget likely available",
        "Strong champion identified",
        "Der Vorstand hat das Angebot intern beraten",
        "Ansprechpartner genannt, wenn vorhanden",
        "The champion loves the demo",
        "Buyer is ready",
        "The legal team may have reviewed the terms",
        "Deal is progressing well",
        "The deal is qualified",
        "Understanding of the pains",
        "Verbal commitment obtained",
        "Send the brochure",
        "Bedarf klären",
        "Buyer is sleeping on it",
        "The decision maker talked to their team",
        "The board has approved the purchase in their meeting",
        "Der Vorstand hat das Budget genehmigt",
        "We are waiting for an answer",
        "Followed up three times",
        "Angebot wurde nachgefasst",
        "Rep has updated the CRM",
        "Manager has approved the forecast",
        "Unser Vertriebsleiter hat den Rabatt freigegeben",
    ],
)
def test_weak_sentences_are_told(says: str) -> None:
    """What sales teams write instead of exit criteria."""
    content = read_yaml(COMPACT)
    criterion = content["stages"][0]["exit_criteria"][0]
    criterion["says"], criterion["evidence"] = says, {"property": "own_property", "is": "set"}
    rules = {f.rule for f in find(content) if f.place == ("stages", 0, "exit_criteria", 0, "says")}
    assert rules & {
        "optional-step",
        "feeling",
        "vague",
        "percentage",
        "buyer-internal",
        "follow-up-criterion",
        "seller-internal",
    }


@pytest.mark.parametrize(
    ("pattern", "text", "hit"),
    [
        (words.SELLER_ACT, "We have sent the brochure", True),
        (words.SELLER_ACT, "Proposal sent", True),
        (words.SELLER_ACT, "Wir haben das Angebot verschickt", True),
        (words.SELLER_ACT, "We know a person at the buyer by name", False),
        (words.SELLER_ACT, "A proposal is on file for this deal", False),
        (words.FOLLOW_UP, "Following up", True),
        (words.FOLLOW_UP, "Wiedervorlage", True),
        (words.FOLLOW_UP, "Warehouse visit", False),
        (words.OPTIONAL, "may", False),
        (words.FEELING, "likely", True),
        (words.FEELING, "The likelihood study is filed", False),
    ],
)
def test_word_lists(pattern: re.Pattern[str], text: str, hit: bool) -> None:
    """Whole words, in context."""
    assert bool(pattern.search(text)) is hit


def _evidence(given: dict[str, Any]) -> Any:
    content = read_yaml(COMPACT)
    content["stages"][0]["exit_criteria"][0]["evidence"] = given
    content["call_notes"] = {"discovery": {"after": ["Next step"]}, "demo": {"after": ["Next step"]}}
    field = {"property": "p", "label": "P"}
    day = {"property": "d", "label": "D", "type": "date", "not_past": True}
    content["plans"] = {
        "one": {"label": "One", "fields": [field]},
        "two": {"label": "Two", "used_by": ["Enterprise"], "fields": [{**field, "property": "q"}, day]},
    }
    return parse_process(content).stages[0].exit_criteria[0].evidence


@pytest.mark.parametrize(
    ("given_", "other", "expected"),
    [
        ({"property": "p", "equals": "x"}, {"property": "p", "is": "set"}, True),
        ({"property": "p", "is": "set"}, {"property": "p", "equals": "x"}, False),
        ({"property": "p", "equals": "x"}, {"property": "q", "is": "set"}, False),
        ({"property": "p", "at_least": 5}, {"property": "p", "at_least": 4}, True),
        ({"property": "p", "at_least": 4}, {"property": "p", "at_least": 5}, False),
        ({"property": "p", "equals": "7"}, {"property": "p", "at_least": 5}, True),
        ({"property": "p", "equals": "x"}, {"property": "p", "at_least": 5}, False),
        ({"property": "p", "one_of": ["x"]}, {"property": "p", "one_of": ["x", "y"]}, True),
        ({"property": "p", "one_of": ["x", "y"]}, {"property": "p", "equals": "x"}, False),
        ({"property": "p", "one_of": ["x"]}, {"property": "p", "equals": "x"}, True),
        ({"property": "p", "at_least": 5}, {"property": "p", "one_of": ["5"]}, False),
        ({"contact": "signer"}, {"contact": "any"}, True),
        ({"contact": "any"}, {"contact": "signer"}, False),
        ({"line_items": 2}, {"line_items": 1}, True),
        ({"line_items": 1}, {"line_items": 2}, False),
        ({"document": "proposal"}, {"document": "contract"}, False),
        ({"company": "any"}, {"contact": "any"}, False),
        ({"date": "p", "not_past": True}, {"property": "p", "is": "set"}, True),
        ({"date": "p", "not_past": True}, {"property": "q", "is": "set"}, False),
        ({"call_notes": "demo", "since": "stage_entry"}, {"call_notes": "demo"}, True),
        ({"call_notes": "demo"}, {"call_notes": "demo", "since": "stage_entry"}, False),
        ({"call_notes": "demo"}, {"call_notes": "discovery"}, False),
        ({"call_notes": "demo"}, {"activity": ["call", "note"]}, True),
        ({"call_notes": "demo"}, {"activity": "call"}, False),
        ({"call_notes": "demo"}, {"activity": "any", "since": "stage_entry"}, False),
        ({"call_notes": "demo"}, {"activity": "any", "at_least": 2}, False),
        ({"objections": "closed", "at_least": 1}, {"objections": "closed"}, True),
        ({"objections": "closed"}, {"objections": "closed", "at_least": 1}, False),
        ({"plan": "one"}, {"property": "p", "is": "set"}, True),
        ({"plan": "one"}, {"property": "p", "equals": "x"}, False),
        ({"property": "p", "equals": "x"}, {"plan": "one"}, True),
        ({"plan": "two"}, {"property": "q", "is": "set"}, False),  # not asked of everybody
        ({"property": "q", "is": "set"}, {"plan": "two"}, False),
    ],
)
def test_what_implies_what(given_: dict[str, Any], other: dict[str, Any], expected: bool) -> None:
    """A deal that has the first evidence has the second; in doubt, no."""
    assert implies(_evidence(given_), _evidence(other)) is expected


def test_what_counts_from_stage_entry_is_asked_anew_in_each_stage() -> None:
    """A call in this stage and a call in the next are two things; twice in one stage they are one."""
    content = read_yaml(COMPACT)
    call = {"activity": "call", "since": "stage_entry"}
    content["stages"][0]["exit_criteria"][0] |= {"says": "A call with the buyer is logged", "evidence": call}
    other = content["stages"][1]["exit_criteria"][1]
    other |= {"says": "A second call with the buyer is logged", "evidence": call}
    assert find(content) == []
    content["stages"][0]["exit_criteria"].append(
        {**other, "key": "again", "says": "One more call with the buyer is logged"}
    )
    assert [f.rule for f in find(content)] == ["same-evidence"]


def test_materials_name_e_mail_templates_that_exist() -> None:
    """As follow-ups do."""
    content = read_yaml(COMPACT)
    content["stages"][1]["materials"] = [{"name": "A page"}, {"name": "A sheet", "email": "a_sheet"}]
    process = parse_process(content)
    assert lint(process, emails=["a_sheet"]) == ()
    (found,) = lint(process, emails=["other"])
    assert (found.rule, found.place) == ("email-missing", ("stages", 1, "materials", 1, "email"))


class _Activity(LeafEvidence):
    activity: str
    at_least: int = 1


def test_evidence_of_an_unknown_kind_is_taken_on_trust() -> None:
    """A kind that lint knows nothing of is never wrong, except twice the same."""
    process = parse_process(read_yaml(COMPACT))
    one, two = process.stages[0].exit_criteria

    def with_(first: Any, second: Any) -> SalesProcess:
        gate = (one.model_copy(update={"evidence": first}), two.model_copy(update={"evidence": second}))
        stage = process.stages[0].model_copy(update={"exit_criteria": gate})
        return process.model_copy(update={"stages": (stage, *process.stages[1:])})

    rules = [f.rule for f in lint(with_(_Activity(activity="call"), _Activity(activity="meeting")))]
    assert rules == ["proposal-empty"]
    again = lint(with_(_Activity(activity="call"), _Activity(activity="call")))
    assert [f.rule for f in again] == ["same-evidence", "proposal-empty"]


def test_history_says_what_is_not_required() -> None:
    """A criterion that many won deals lack is not Required; one that lost deals have as often decides nothing."""
    content = read_yaml(COMPACT)
    history = History(
        won=100, lost=50, met_won={"need_stated": 61, "budget_named": 100}, met_lost={"budget_named": 50}
    )
    found = {f.rule: f for f in find(content, history)}
    assert set(found) == {"history-not-required", "history-never-decides"}
    assert found["history-not-required"].reason == "present in 61% of 100 won deals: not Required"
    assert found["history-not-required"].place == ("stages", 0, "exit_criteria", 0)
    assert found["history-never-decides"].place == ("stages", 1, "exit_criteria", 1)
    few = History(won=19, lost=0, met_won={"need_stated": 1})
    assert find(content, few) == []
    assert find(content, History(won=100, lost=0, met_won={"need_stated": 99})) == []


def _stage(key: str) -> dict[str, Any]:
    return {
        "key": key,
        "label": key.title(),
        "probability": 0.6,
        "buyer_step": f"Works out the question of {key}",
        "help": f"Answer what they ask about {key}",
        "exit_criteria": [
            {
                "key": f"{key}_done",
                "kind": "action",
                "says": f"The buyer has told us the result of {key}",
                "supplied_by": "rep",
                "evidence": {"property": f"{key}_result", "is": "set"},
            }
        ],
        "follow_up": {"after_days": 5, "task": f"Ask about {key}"},
    }


def _grown(content: dict[str, Any], extra: int) -> SalesProcess:
    """A good process with more stages before the proposal."""
    for n in range(extra):
        content["stages"].insert(1, {**_stage(f"step_{n}"), "probability": 0.4 - n / 100})
    return parse_process(content)


# Each fault: what is done to the content, the rule that must tell it.
def _no_sender(content: dict[str, Any]) -> None:
    next(s for s in content["stages"] if s["key"] == "contract")["on_enter"] = []


def _no_proposal(content: dict[str, Any]) -> None:
    next(s for s in content["stages"] if s["key"] == "offer")["on_enter"] = []


def _trap(content: dict[str, Any], outcome: str) -> None:
    content["stages"].append({**_stage("limbo"), "probability": 0.9})
    content["signature_outcomes"][outcome] = {"move_to": "limbo"}


FAULTS = ["no_sender", "no_proposal", "trap"]


@given(
    extra=st.integers(0, 4),
    fault=st.sampled_from(FAULTS),
    outcome=st.sampled_from(["declined", "expired", "canceled", "failed", "completed"]),
)
def test_one_fault_is_told_as_a_story(extra: int, fault: str, outcome: str) -> None:
    """However long the process: what can no longer be won is told as the path of stages that leads there."""
    content = read_yaml(COMPACT)
    assert lint(_grown(content, extra)) == ()
    if fault == "trap":
        _trap(content, outcome)
        rule, last, place = "trap", f"Limbo (contract {outcome})", ("signature_outcomes", outcome, "move_to")
    else:
        (_no_sender if fault == "no_sender" else _no_proposal)(content)
        at = extra + (2 if fault == "no_sender" else 1)
        rule, last, place = "won-unreachable", content["stages"][at]["label"], ("stages", at)
    process = parse_process(content)
    told = [f for f in lint(process) if f.rule == rule]
    assert [f.place for f in told] == [place]
    story = told[0].reason.split(": ", 1)[1].split(", and there")[0].split(" → ")
    labels = [s.label for s in process.stages]
    walked = [labels.index(step.partition(" (")[0]) for step in story]
    assert story[0] == process.first.label and story[-1] == last
    steps = told[0].story
    assert len(steps) == len(story) + 1 and steps[-1].startswith("There it ends: ")
    assert all(label in step for label, step in zip([labels[at] for at in walked], steps, strict=False))
    # A person moves a deal one stage on; only the end of a contract jumps.
    assert all(b == a + 1 for a, b in itertools.pairwise(walked[:-1] if fault == "trap" else walked))


@given(st.data())
def test_any_valid_process_is_linted(data: st.DataObject) -> None:
    """Whatever stages, moves and evidence a valid process has: lint ends, in order of the file, with places in it."""
    content = read_yaml(COMPACT)
    keys = [s["key"] for s in content["stages"]]
    content["stages"] = data.draw(st.permutations(content["stages"]))
    for outcome in content["signature_outcomes"]:
        moves = [{"move_to": key} for key in keys] + ([] if outcome == "completed" else [{"stay": True}])
        content["signature_outcomes"][outcome] = data.draw(st.sampled_from(moves))
    content["stages"][0]["exit_criteria"] = data.draw(
        st.sampled_from([[], content["stages"][0].get("exit_criteria", [])])
    )
    process = parse_process(content)
    found = lint(process)
    tops = [list(content).index(str(f.place[0])) for f in found]
    assert tops == sorted(tops)
    rules = {f.rule for f in found}
    order = [s["key"] for s in content["stages"]]
    completed = content["signature_outcomes"]["completed"]["move_to"]
    if completed != "won" and order.index("won") < order.index("contract"):
        assert rules & {"unreachable", "won-unreachable", "trap"}
