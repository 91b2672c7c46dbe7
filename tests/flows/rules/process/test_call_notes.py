"""Call notes: the form that is pasted, found again and read in whatever an editor makes of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.rules.process.call_notes import CallNotes, Filled, blank, read_form

FORMS = {
    "discovery": CallNotes(before=("Goal", "Questions", "Questions to ask"), after=("Answers", "Next step")),
    "follow_on": CallNotes(after=("Nächster Schritt",)),
}
FULL = """<div><p><strong>Call notes: discovery</strong></p><p><br></p><p>Before the call</p>
<p><b>Goal</b> Agree on a day</p>
<p>Questions: none</p><p>Questions to ask</p><ul><li>Who signs&nbsp;here?</li></ul>
<p><u>After the call</u></p><ol><li><em>Answers:</em><br>Finance does</li>
<li>Next step &ndash; Demo on Friday</li></ol></div>"""


def test_the_blank_form() -> None:
    """A title, both parts, a line a heading; a part without headings is left out."""
    assert blank("discovery", FORMS["discovery"]) == (
        "Call notes: discovery\n\nBefore the call\nGoal:\nQuestions:\nQuestions to ask:\n"
        "\nAfter the call\nAnswers:\nNext step:\n"
    )
    assert blank("follow_on", FORMS["follow_on"]) == (
        "Call notes: follow on\n\nAfter the call\nNächster Schritt:\n"
    )


@pytest.mark.parametrize("name", FORMS)
def test_a_blank_form_is_found_and_empty(name: str) -> None:
    """As it is printed, and as HubSpot's editor stores what was pasted."""
    text = blank(name, FORMS[name])
    headings = FORMS[name].headings
    pasted = "".join(f"<p>{line or '<br>'}</p>" for line in text.splitlines())
    for body in (text, pasted, text.replace("\n", "<br />"), text.replace("\n", "\r\n")):
        assert read_form(body, FORMS) == Filled(name, headings)


@pytest.mark.parametrize(
    ("body", "empty"),
    [
        (FULL, ()),
        (FULL.replace("none", " - "), ("Questions",)),
        (FULL.replace("Agree on a day", "TBD"), ("Goal",)),
        (FULL.replace("Agree on a day", "[x]"), ("Goal",)),
        (FULL.replace("Finance does", "<i>...</i>"), ("Answers",)),
        (FULL.replace("&ndash; Demo on Friday", ""), ("Next step",)),
        (FULL.replace("discovery", "DISCOVERY:").replace("Goal", "GOAL:"), ()),
        # Plain text, bullets, Markdown, another separator, the text on its own lines.
        (
            "* **Call notes - Discovery**\n- Goal = yes\n- Questions: yes\n- Questions to ask: yes\n"
            "* Answers\n\n  yes\n- Next step: yes",
            (),
        ),
        # A heading that is a word of a sentence is none; one that is left out is empty.
        (
            "Call notes: discovery\nGoal: yes\nQuestions were many\nAnswers: yes\nNext step: yes",
            ("Questions", "Questions to ask"),
        ),
        # The title of another form ends it.
        (
            "Call notes: discovery\nGoal: yes\nCall notes: follow on\nAnswers: yes",
            ("Questions", "Questions to ask", "Answers", "Next step"),
        ),
        (
            "<table><tr><td>Call notes: discovery</td></tr><tr><td>Goal</td><td>yes</td></tr></table>",
            ("Questions", "Questions to ask", "Answers", "Next step"),
        ),
    ],
)
def test_which_headings_are_filled_in(body: str, empty: tuple[str, ...]) -> None:
    """Something must stand under it: no punctuation, no word that holds a place."""
    assert read_form(body, FORMS) == Filled("discovery", empty)


@pytest.mark.parametrize(
    "body",
    ["", "Spoke about call notes: discovery is next", "<p>Call notes: demo</p><p>Goal: x</p>", "Goal: x"],
)
def test_other_notes_are_no_forms(body: str) -> None:
    """Only a line of its own with the title of a known form begins one."""
    assert read_form(body, FORMS) is None


@given(st.text(max_size=400), st.text(alphabet="<>/&;:-*brpli \n", max_size=200))
def test_any_text_can_be_read(words: str, markup: str) -> None:
    """Whatever stands in a note, only names from the file come out."""
    for body in (words, markup + words, "Call notes: discovery\n" + words + markup):
        found = read_form(body, FORMS)
        if found is not None:
            assert found.form in FORMS and set(found.empty) <= set(FORMS[found.form].headings)


@given(st.sets(st.sampled_from(FORMS["discovery"].headings)), st.sampled_from(["\n", "<br>", "</p><p>"]))
def test_what_is_filled_in_is_told_exactly(filled: set[str], newline: str) -> None:
    """Each heading by itself."""
    lines = blank("discovery", FORMS["discovery"]).splitlines()
    body = newline.join(f"{line} yes" if line.removesuffix(":") in filled else line for line in lines)
    found = read_form(f"<p>{body}</p>", FORMS)
    assert found is not None and set(found.empty) == set(FORMS["discovery"].headings) - filled


@pytest.mark.parametrize(
    "given_",
    [
        {"before": ["Goal"]},
        {"after": []},
        {"after": ["Goal", "goal "]},
        {"before": ["Goal"], "after": ["GOAL"]},
        {"after": ["Call notes"]},
        {"after": ["before the call"]},
        {"after": ["Goal: what"]},
        {"after": ["<b>"]},
        {"after": [""]},
    ],
)
def test_forms_that_cannot_be_read_back_are_refused(given_: dict[str, Any]) -> None:
    """Headings are needed, differ, and are no markup."""
    with pytest.raises(ValidationError):
        CallNotes.model_validate(given_)
