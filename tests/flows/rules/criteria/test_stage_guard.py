"""What is found about a deal that was moved, and what follows: tables of cases, and what holds for any history."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.rules.criteria.judge import DealFacts, gate, unmet
from flows.rules.criteria.stage_guard import Ruling, gate_of, rule
from flows.rules.criteria.stage_moves import FIGHT_WITHIN, Move, fight_of, passage_of
from flows.rules.process.error import ProcessError
from flows.rules.process.sales_process import SalesProcess, parse_process

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
OPEN = ("prospecting", "qualification", "development", "closing")


def process(mode: str = "warn", **closing: Any) -> SalesProcess:
    """Four open stages; each asks for one deal property before it may be left, closing for the signature."""
    stages: list[dict[str, Any]] = [
        {
            "key": key,
            "label": key.title(),
            "probability": 0.1 * (at + 1),
            "buyer_step": "Does something",
            "help": "Something that helps",
            "mode": mode,
            "exit_criteria": [
                {
                    "key": f"has_{key}",
                    "kind": "information",
                    "says": f"We know the {key}",
                    "supplied_by": "rep",
                    "evidence": {"property": key, "is": "set"}
                    if key != "closing"
                    else {"signature": "completed"},
                }
            ],
        }
        for at, key in enumerate(OPEN)
    ]
    stages[-1] |= {"on_enter": ["send_contract"], **closing}
    ends = [("won", 1.0), ("lost", 0.0)]
    stages += [
        {
            "key": key,
            "label": key.title(),
            "probability": p,
            "closed": key,
            "buyer_step": "Is done",
            "help": "Nothing more",
            "mode": mode,
        }
        for key, p in ends
    ]
    stay = {key: {"stay": True} for key in ("declined", "expired", "canceled", "failed")}
    return parse_process(
        {
            "name": "Four",
            "pipeline": "Four",
            "seller": {"name": "S", "address": "A", "email": "s@example.com"},
            "stages": stages,
            "signature_outcomes": {"completed": {"move_to": "won"}, **stay},
        }
    )


def moves(*path: str, hours: float = 1.0) -> list[Move]:
    """A history: stage keys, with `~` before those that an automation moved to; `?` is a stage outside the process."""
    found = []
    for at, step in enumerate(path):
        key = step.lstrip("~")
        source = ("INTEGRATION", "4711") if step.startswith("~") else ("CRM_UI", "userId:9")
        found.append(Move(None if key == "?" else key, key, START + timedelta(hours=hours * at), *source))
    return found


def facts(*known: str, signature: str | None = None) -> DealFacts:
    """A deal that has these properties."""
    return DealFacts("1", None, properties=dict.fromkeys(known, "x"), signature=signature)


def ruled(given: SalesProcess, history: list[Move], known: DealFacts, *, overridden: bool = False) -> Ruling:
    """What flows/gates/guard_stage.py asks."""
    passage = passage_of(given, history)
    assert passage is not None
    verdicts = gate_of(given, passage, known)
    return rule(given, passage, fight_of(history), verdicts, known, overridden=overridden)


TO_DEVELOPMENT = facts("prospecting", "qualification")

CASES = [
    # mode, history, facts -> ruling
    ("warn", ["prospecting"], facts(), Ruling("passed", "none")),
    ("warn", ["prospecting", "qualification"], facts("prospecting"), Ruling("passed", "none")),
    ("warn", ["prospecting", "qualification"], facts(), Ruling("unproven", "task", ("has_prospecting",))),
    ("observe", ["prospecting", "qualification"], facts(), Ruling("unproven", "none", ("has_prospecting",))),
    (
        "revert",
        ["prospecting", "qualification"],
        facts(),
        Ruling("unproven", "move_back", ("has_prospecting",), back_to="prospecting"),
    ),
    (
        "warn",
        ["prospecting", "development"],
        TO_DEVELOPMENT,
        Ruling("skipped", "note", (), ("qualification",)),
    ),
    (
        "observe",
        ["prospecting", "development"],
        TO_DEVELOPMENT,
        Ruling("skipped", "none", (), ("qualification",)),
    ),
    (
        "revert",
        ["prospecting", "development"],
        TO_DEVELOPMENT,
        Ruling("skipped", "note", (), ("qualification",)),
    ),
    (
        "revert",
        ["prospecting", "closing"],
        facts("prospecting", "development"),
        Ruling(
            "unproven",
            "move_back",
            ("has_qualification",),
            ("qualification", "development"),
            back_to="prospecting",
        ),
    ),
    # A stage in which the deal once stood is not skipped when it is passed over later.
    (
        "warn",
        ["prospecting", "qualification", "prospecting", "development"],
        TO_DEVELOPMENT,
        Ruling("passed", "none"),
    ),
    # Back, to lost, and out of the process: no gate lies in the way.
    ("revert", ["development", "prospecting"], facts(), Ruling("passed", "none")),
    ("revert", ["prospecting", "lost"], facts(), Ruling("passed", "none")),
    ("revert", ["prospecting", "?"], facts(), Ruling("passed", "none")),
    # Won is gated as any stage; from lost everything is asked again, and it goes back to lost.
    (
        "revert",
        ["prospecting", "lost", "qualification"],
        facts(),
        Ruling("unproven", "move_back", ("has_prospecting",), back_to="lost"),
    ),
    (
        "warn",
        ["closing", "won"],
        facts("prospecting", "qualification", "development"),
        Ruling("unproven", "task", ("has_closing",)),
    ),
    # A signed contract is a fact: nobody takes the deal back from where it brought it.
    (
        "revert",
        ["closing", "won"],
        facts("prospecting", "qualification", signature="completed"),
        Ruling("unproven", "task", ("has_development",)),
    ),
    ("warn", ["development"], TO_DEVELOPMENT, Ruling("passed", "none")),
    # Created in its stage, or brought from outside: back to the furthest stage that it has proof for.
    (
        "revert",
        ["closing"],
        facts("prospecting"),
        Ruling(
            "unproven",
            "move_back",
            ("has_qualification", "has_development"),
            back_to="qualification",
        ),
    ),
    (
        "revert",
        ["?", "qualification"],
        facts(),
        Ruling("unproven", "move_back", ("has_prospecting",), ("prospecting",), back_to="prospecting"),
    ),
]


@pytest.mark.parametrize(("mode", "path", "known", "wanted"), CASES)
def test_rulings(mode: str, path: list[str], known: DealFacts, wanted: Ruling) -> None:
    """Each way a deal can come into a stage, in each mode."""
    assert ruled(process(mode), moves(*path), known) == wanted


def test_an_override_lets_a_deal_stand() -> None:
    """Overridden: nothing is done in any mode, and what is missing is still counted."""
    for mode in ("observe", "warn", "revert"):
        found = ruled(process(mode), moves("prospecting", "qualification"), facts(), overridden=True)
        assert found == Ruling("overridden", "none", ("has_prospecting",))
    passed = ruled(
        process("revert"), moves("prospecting", "qualification"), facts("prospecting"), overridden=True
    )
    assert passed.found == "passed"  # an override that was not needed is not counted


def test_a_forbidden_jump_counts_as_unproven() -> None:
    """`enter_from`: however much proof there is, the deal comes from there or not at all."""
    strict = process("revert", enter_from=["development"])
    everything = facts("prospecting", "qualification", "development")

    jumped = ruled(strict, moves("prospecting", "closing"), everything)
    assert jumped.jump and jumped.action == "move_back" and jumped.back_to == "prospecting"
    assert ruled(strict, moves("prospecting", "development", "closing"), everything).found == "passed"


def test_enter_from_names_known_stages() -> None:
    """A stage that is not in the file, or the stage itself, is refused by name."""
    for wrong, says in (("nowhere", "'nowhere' is no stage"), ("closing", "itself")):
        with pytest.raises(ProcessError, match=says):
            process(enter_from=[wrong])


FIGHTS = [
    (["prospecting", "~qualification", "~prospecting"], True),
    (["prospecting", "~qualification", "~prospecting", "~qualification"], True),
    (["prospecting", "qualification", "~prospecting"], False),  # a person, and one automation that answers
    (["prospecting", "~qualification", "prospecting"], False),  # a person takes it back
    (["prospecting", "~qualification", "~prospecting", "qualification"], False),  # a person ends it
    (["prospecting", "~qualification", "~development"], False),  # onwards, not back and forth
    (["~prospecting", "~qualification"], False),
    ([], False),
]


@pytest.mark.parametrize(("path", "fighting"), FIGHTS)
def test_automations_that_undo_each_other(path: list[str], fighting: bool) -> None:
    """A, B, A by automations alone is a fight; a person's move in it is none."""
    assert (fight_of(moves(*path)) is not None) is fighting


def test_a_fight_keeps_its_name_while_it_lasts() -> None:
    """However often it goes back and forth, the fight is named by its first move, so it is reported once."""
    long = ["prospecting", *["~qualification", "~prospecting"] * 6]
    names = {fight_of(moves(*long[:n])).since for n in range(3, len(long) + 1)}  # type: ignore[union-attr]
    assert names == {moves(*long)[1]}


def test_a_slow_to_and_fro_is_no_fight() -> None:
    """Over weeks it is a sale that takes its time."""
    hours = FIGHT_WITHIN.total_seconds() / 3600 + 1
    assert fight_of(moves("prospecting", "~qualification", "~prospecting", hours=hours)) is None


def test_a_fight_is_told_and_nothing_is_moved() -> None:
    """In revert mode, too: moving once more would only go on with it."""
    history = moves("prospecting", "~qualification", "~prospecting", "~qualification")
    assert ruled(process("revert"), history, facts()) == Ruling("fight", "task")


PATHS = st.lists(
    st.sampled_from([*OPEN, "won", "lost", "?", *(f"~{k}" for k in OPEN)]), min_size=1, max_size=8
)
KNOWN = st.sets(st.sampled_from(OPEN)).map(lambda known: facts(*known))


@given(st.sampled_from(["observe", "warn", "revert"]), PATHS, KNOWN)
def test_no_deal_is_moved_without_cause(mode: str, path: list[str], known: DealFacts) -> None:
    """Moved back only in revert mode, only when something is missing, never forward, and never in a fight."""
    given_process, history = process(mode), moves(*path)
    found = ruled(given_process, history, known)
    if found.action != "move_back":
        return
    stage = history[-1].stage
    assert mode == "revert" and stage is not None and fight_of(history) is None
    assert unmet(gate(given_process, stage, known)) and found.missing
    assert found.back_to is not None and found.back_to != stage
    keys = given_process.keys
    assert found.back_to == "lost" or keys.index(found.back_to) < keys.index(stage)
