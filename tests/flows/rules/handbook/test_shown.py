"""The process as picture and handbook: complete, safe to open, true to the file."""

import itertools
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

import config.settings
from config.files import read_yaml
from flows.rules.criteria.evidence import PropertyEvidence
from flows.rules.handbook.diagram import diagram
from flows.rules.handbook.handbook import handbook
from flows.rules.handbook.text import evidence_text, follow_up_text, hand_over_text
from flows.rules.process.sales_process import SalesProcess, parse_process
from tests.places import DATA

CONFIG = Path(config.settings.__file__).parent
SHIPPED = [CONFIG / "sales_process.yaml", *sorted(CONFIG.glob("examples/*.yaml"))]
COMPACT = DATA / "good/compact.yaml"
SVG = "{http://www.w3.org/2000/svg}"


def shown(svg: str) -> str:
    """All text of a picture, in reading order."""
    return " ".join(e.text or "" for e in ElementTree.fromstring(svg).iter(f"{SVG}text"))


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda f: f.name)
def test_both_say_all_of_it(file: Path) -> None:
    """Every stage, criterion, help and ending of a contract stands in both."""
    process = parse_process(read_yaml(file))
    picture, book = squeezed(shown(diagram(process))), squeezed(handbook(process))
    for stage in process.stages:
        assert squeezed(stage.label) in picture and squeezed(stage.label) in book
        for text in (stage.buyer_step, stage.help, *(c.says for c in stage.exit_criteria)):
            assert squeezed(text) in picture and squeezed(text) in book
        if stage.follow_up and stage.follow_up.task:
            assert squeezed(stage.follow_up.task) in picture and squeezed(stage.follow_up.task) in book
        for one in stage.materials:
            assert squeezed(one.name) in picture and squeezed(one.name) in book
    assert process.buyer is not None
    for _, text in process.buyer:
        assert squeezed(text) in picture and squeezed(text) in book
    for plan in process.plans.values():
        assert squeezed(plan.label) in book and all(squeezed(f.label) in book for f in plan.fields)
    for form in process.call_notes.values():
        assert all(squeezed(heading) in book for heading in form.headings)
    for word in ("signedbyall", "declined", "expired", "cancelled", "failed"):
        assert word in picture and word in book
    assert "sendsthecontract" in picture and "sendsthecontract" in book
    assert "handsthebuyerover" in picture and "handsitovertoaccountmanagement" in book
    for task in process.hand_over.tasks:
        assert squeezed(task.task) in book


@pytest.mark.parametrize("file", SHIPPED, ids=lambda f: f.name)
def test_the_picture_needs_nothing_from_elsewhere(file: Path) -> None:
    """No script, no picture, no font, no address but the name of the format."""
    svg = diagram(parse_process(read_yaml(file)))
    assert not re.search(r"<script|<image|@import|href|url\((?!#tip)|on[a-z]+=", svg)
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda f: f.name)
def test_nothing_is_drawn_outside_the_picture(file: Path) -> None:
    """Text lies inside the picture; text of a card inside its card, by a generous width a letter."""
    root = ElementTree.fromstring(diagram(parse_process(read_yaml(file))))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert width <= 1200  # a page, or a wiki's column, without letters too small to read
    for text in root.findall(f"{SVG}text"):
        assert 0 < float(text.attrib["x"]) < width and 0 < float(text.attrib["y"]) < height
    for card, (left, top, right, bottom) in zip(root.findall(f"{SVG}g"), cards_of(root), strict=True):
        assert left >= 0 and right <= width and top >= 0 and bottom <= height
        for text in card.iter(f"{SVG}text"):
            letters = len(text.text or "") * float(text.attrib["font-size"]) * 0.58
            assert float(text.attrib["x"]) + letters <= right - left, text.text
            assert 0 < float(text.attrib["y"]) <= bottom - top, text.text


Box = tuple[float, float, float, float]
Piece = tuple[tuple[float, float], tuple[float, float]]


def cards_of(root: ElementTree.Element) -> list[Box]:
    """Left, top, right, bottom of each card."""
    found = []
    for card in root.findall(f"{SVG}g"):
        left, top = (float(n) for n in re.findall(r"[\d.]+", card.attrib["transform"]))
        box = card.find(f"{SVG}rect")
        assert box is not None
        found.append((left, top, left + float(box.attrib["width"]), top + float(box.attrib["height"])))
    return found


def lines_of(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    """The corners of each arrow."""
    ways = [path.attrib["d"] for path in root.findall(f"{SVG}path")]
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", way)] for way in ways]


@pytest.mark.parametrize("stages", range(3, 12))
def test_arrows_keep_clear_of_cards(stages: int) -> None:
    """However many rows there are and wherever contracts are sent and end: arrows are straight or bend at right angles,
    run over no card, lie on no other arrow, and end at a card's edge.
    """
    for sender in range(stages - 2):
        content = _long(stages, sender)
        for target in range(stages):
            content["signature_outcomes"]["declined"] = {"move_to": content["stages"][target]["key"]}
            content["signature_outcomes"]["expired"] = {"move_to": content["stages"][target]["key"]}
            root = ElementTree.fromstring(diagram(parse_process(content)))
            cards, lines = cards_of(root), lines_of(root)
            pieces = [piece for line in lines for piece in itertools.pairwise(line)]
            for (x1, y1), (x2, y2) in pieces:
                assert x1 == x2 or y1 == y2
                over = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
                assert not any(_meet(over, card) for card in cards), (sender, target)
            for piece, other in itertools.combinations(pieces, 2):
                assert not _on_each_other(piece, other), (sender, target)
            for line in lines:
                x, y = line[-1]
                assert any(_meet((x - 5, y - 5, x + 5, y + 5), card) for card in cards), (sender, target)


def _on_each_other(one: Piece, other: Piece) -> bool:
    """Whether two pieces lie on the same line and share more than a point of it."""
    for across, along in ((1, 0), (0, 1)):
        if len({point[across] for point in (*one, *other)}) == 1:
            low, high = sorted(point[along] for point in one)
            return low < max(p[along] for p in other) and min(p[along] for p in other) < high
    return False


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _long(stages: int, sender: int) -> Any:
    """A process of so many stages, the contract sent in the one numbered `sender`; the last two are won and lost."""
    content: Any = read_yaml(COMPACT)
    first = content["stages"][0]
    opened = [
        {**first, "key": f"s{n}", "label": f"Stage {n}", "exit_criteria": [], "on_enter": []}
        for n in range(stages - 2)
    ]
    opened[sender]["on_enter"] = ["send_contract"]
    closed = [stage for stage in content["stages"] if stage.get("closed")]
    won = next(stage["key"] for stage in closed if stage["closed"] == "won")
    content["stages"] = [*opened, *sorted(closed, key=lambda stage: stage["closed"], reverse=True)]
    stay = {name: {"stay": True} for name in ("declined", "expired", "canceled", "failed")}
    content["signature_outcomes"] = {"completed": {"move_to": won}, **stay}
    return content


def change(where: str, value: Any) -> SalesProcess:
    content: Any = read_yaml(COMPACT)
    here, steps = content, [int(s) if s.isdigit() else s for s in where.split("/")]
    for step in steps[:-1]:
        here = here[step]
    here[steps[-1]] = value
    return parse_process(content)


@given(st.text(min_size=3, max_size=300), st.text(min_size=1, max_size=100))
def test_any_words_make_a_picture_and_a_book(says: str, label: str) -> None:
    """Whatever stands in the file: well-formed XML, and no line of Markdown that the file's words have made up."""
    content: Any = read_yaml(COMPACT)
    content["stages"][1]["label"] = label
    content["stages"][1]["exit_criteria"][0]["says"] = says
    process = parse_process(content)
    ElementTree.fromstring(diagram(process))
    plain = handbook(parse_process(read_yaml(COMPACT)))
    book = handbook(process)
    assert len(book.split("\n")) == len(plain.split("\n"))
    assert not re.search(r"(?<!\\)<", book)


def test_markup_in_words_stays_words() -> None:
    """A label cannot bring tags into the picture or the book."""
    process = change("stages/1/label", "<script>x</script> | **A**")
    assert "<script" not in diagram(process)
    assert r"\<script\>x\</script\> \| \*\*A\*\*" in handbook(process)


@pytest.mark.parametrize(
    ("evidence", "says"),
    [
        ({"property": "amount", "at_least": 5}, "deal property “Amount” is at least 5"),
        ({"property": "p", "at_most": 5}, "deal property p is at most 5"),
        (
            {"date": "closedate", "within_days": 1},
            "deal property “Close date” is today or within the next 1 day",
        ),
        ({"date": "closedate", "within_days": 0}, "deal property “Close date” is today"),
        ({"date": "p", "not_past": True}, "deal property p is today or later"),
        ({"date": "p", "after": "q"}, "deal property p is a later day than deal property q"),
        ({"contacts": 2}, "at least 2 contacts on the deal"),
        ({"contact": "legal"}, "a contact on the deal with the label “Legal”"),
        ({"activity": "any"}, "at least one activity of any kind"),
        (
            {"activity": ["call", "meeting"], "at_least": 2, "since": "stage_entry"},
            "at least 2 calls or meetings since the deal came into this stage",
        ),
        (
            {"activity": ["call", "email", "task"], "within_days": 14},
            "at least one call, e-mail or finished task in the last 14 days",
        ),
        (
            {"any_of": [{"contacts": 2}, {"all_of": [{"company": "any"}, {"line_items": 1}]}]},
            "one of: at least 2 contacts on the deal; (all of: a company on the deal; a line item on the deal)",
        ),
        ({"property": "p", "equals": "x"}, "deal property p is “x”"),
        ({"property": "p", "one_of": ["x", "y"]}, "deal property p is one of “x”, “y”"),
        ({"contact": "signer"}, "a contact on the deal with the label “Signer”"),
        ({"contact": "any"}, "a contact on the deal"),
        ({"company": "any"}, "a company on the deal"),
        ({"line_items": 3}, "at least 3 line items on the deal"),
    ],
)
def test_evidence_in_words(evidence: dict[str, Any], says: str) -> None:
    """What a rep looks for in HubSpot."""
    process = change("stages/0/exit_criteria/0/evidence", evidence)
    assert evidence_text(process.stages[0].exit_criteria[0].evidence, process) == says


def test_evidence_of_an_unknown_kind_is_shown_as_written() -> None:
    """A kind that is new to the handbook is not left out."""

    class ActivityEvidence(PropertyEvidence.__base__):  # type: ignore[misc,name-defined]
        activity: str
        at_least: int = 1
        any_of: tuple[dict[str, str], ...] = ()

    process = parse_process(read_yaml(COMPACT))
    given_ = ActivityEvidence(activity="meeting", at_least=2, any_of=({"a": "b"},))
    assert evidence_text(given_, process) == "activity: meeting, at least: 2, any of: a: b"


def test_follow_up_in_words() -> None:
    """First when, then what; a plan of one day reads well."""
    plan = {
        "after_days": 1,
        "veto_days": 1,
        "task": "Call",
        "email": "hello",
        "remind_signers": True,
        "flag_after": 3,
    }
    assert follow_up_text(change("stages/0/follow_up", plan).stages[0]) == (
        "after 1 day, then every day, unless the deal had activity in the last day",
        "the owner gets a task: Call",
        "the owner is offered the e-mail template hello",
        "those who have not signed are reminded",
        "after 3 times without progress it is listed for disqualification and left alone",
    )
    often = change("stages/0/follow_up", {"after_days": 4, "veto_days": 0, "flag_after": 2}).stages[0]
    assert follow_up_text(often)[0] == "after 4 days, then every 4 days"
    assert follow_up_text(change("stages/0/follow_up", None).stages[0]) == ()


def test_the_handbook_says_where_a_deal_may_come_from() -> None:
    """A forbidden jump stands in the handbook, in the words of the stages."""
    book = handbook(change("stages/2/enter_from", ["offer"]))
    assert "A deal comes here from Offer only." in book
    assert "only." not in handbook(parse_process(read_yaml(COMPACT)))


def test_hand_over_in_words() -> None:
    """Who, which tasks of whom, which deal next; nothing where no stage hands over."""
    content: Any = read_yaml(COMPACT)
    content["hand_over"] = {"account_manager": "ann@example.com", "follow_on": {"close_days": 1}}
    content["hand_over"]["tasks"] = [{"task": "Call"}, {"task": "Tell", "due_days": 2, "who": "seller"}]
    assert hand_over_text(parse_process(content)) == ()
    content["stages"][3]["on_enter"] = ["hand_over"]
    assert hand_over_text(parse_process(content)) == (
        "from then on ann@example.com looks after the buyer",
        "the account manager has a task, due after 1 day: Call",
        "the seller has a task, due after 2 days: Tell",
        "a follow-on deal is opened in Need, to close after 1 day",
    )
    content["hand_over"] = {"follow_on": {"pipeline": "Growth", "stage": "New"}}
    assert hand_over_text(parse_process(content)) == (
        "from then on the deal's owner looks after the buyer",
        "a follow-on deal is opened in New (Growth), to close after 90 days",
    )
