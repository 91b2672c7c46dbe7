"""Template declarations and values: every hole, every left-over and every disagreement is found, all at
once."""

from typing import Any

import pytest

from flows.rules.templates.values import (
    TemplateDeclaration,
    TemplateError,
    TemplateValueRefused,
    TemplateVariableMissing,
    check_template,
    fill,
    parse_declaration,
    resolve,
)

FACTS: dict[str, dict[str, str | None]] = {
    "deal": {"dealname": " Order  desk ", "amount": "1200.50", "closedate": "2026-12-31T00:00:00Z"},
    "company": {"name": "Larkspur Inc."},
}


def declared(**changes: Any) -> dict[str, Any]:
    return {
        "name": "offer",
        "version": 1,
        "title": "Offer for {buyer}",
        "locale": "en_US",
        "variables": {"buyer": {"from": "company.name", "says": "The buyer's company"}},
        **changes,
    }


def one(source: str, format: str = "text", **more: Any) -> TemplateDeclaration:
    return parse_declaration(
        declared(variables={"it": {"from": source, "says": "It", "format": format, **more}})
    )


@pytest.mark.parametrize(
    ("text", "format", "canonical"),
    [
        (" Order \t desk\n", "text", "Order desk"),
        ("a  b\r\n\r\n\r\n\r\nc ", "multiline", "a b\n\nc"),
        ("2026-12-31", "date", "2026-12-31"),
        ("2026-12-31T22:15:00.000Z", "date", "2026-12-31"),
        ("1798675200000", "date", "2026-12-31"),
        ("1200.50", "money", "1200.5"),
        ("-3", "number", "-3"),
        ("100", "percent", "100"),
        ("-0.0", "number", "0"),
    ],
)
def test_values_get_one_spelling(text: str, format: str, canonical: str) -> None:
    """The same content is the same text, however the CRM spells it."""
    assert resolve(one("deal.x", format), {"deal": {"x": text}}).values["it"].text == canonical


@pytest.mark.parametrize("blank", [None, "", "  ", "\n\t", "\u00a0\u200b\ufeff"])
def test_blank_is_missing(blank: str | None) -> None:
    """White space, visible or not, is not a value."""
    with pytest.raises(TemplateVariableMissing, match=r"it \(It\): deal\.x is empty, fill it in on the deal"):
        resolve(one("deal.x"), {"deal": {"x": blank}})


def test_all_missing_values_are_named_at_once() -> None:
    """One error lists every hole with its source and what to do, so that it is repaired in one go."""
    variables = {
        "buyer": {"from": "company.name", "says": "The buyer's company."},
        "who": {"from": "owner.email", "says": "Who answers"},
        "ref": {"from": "given.reference", "says": "Number"},
        "note": {"from": "deal.note", "says": "A note", "optional": True},
    }
    with pytest.raises(TemplateVariableMissing) as caught:
        resolve(parse_declaration(declared(variables=variables)), {"owner": {"email": None}})
    assert dict(caught.value.missing) == {
        "buyer": "company.name",
        "who": "owner.email",
        "ref": "given.reference",
    }
    for words in ("buyer (The buyer's company)", "owner.email is empty", "pass it along"):
        assert words in str(caught.value)


def test_an_optional_value_may_be_absent() -> None:
    """Optional means empty text in the document, not an error."""
    assert resolve(one("deal.x", "date", optional=True), {}).values["it"].text == ""


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("TBD", "placeholder_words"),
        ("to be agreed (tbc)", "placeholder_words"),
        ("Lorem  ipsum dolor", "placeholder_words"),
        ("xxx", "placeholder_words"),
        ("Dear XXXX", "placeholder_words"),
        ("Hello {{ first_name }}", "unfilled_brackets"),
        ("[[company]]", "unfilled_brackets"),
        ("<p>We need</p>", "html_markup"),
        ('<a href="x">here</a>', "html_markup"),
        ("first<br/>second", "html_markup"),
        ("Bed &amp; Breakfast", "html_markup"),
        ("Hello ${name}", "unfilled_brackets"),
        ("[sig|req|signer2]", "text_tags"),
        ("Acme [ date |noreq| signer1 ]", "text_tags"),
        ("x | signer1", "text_tags"),
        ("safe\u202etxt.exe", "hidden_characters"),
        ("bell\x07", "hidden_characters"),
    ],
)
def test_left_overs_and_planted_tags_are_refused(text: str, rule: str) -> None:
    """A placeholder, a vendor text tag or a character that hides something never reaches a buyer, by named
    rule."""
    with pytest.raises(TemplateValueRefused) as caught:
        resolve(one("deal.x"), {"deal": {"x": text}})
    assert dict(caught.value.refused) == {"it (from deal.x)": rule}
    assert text not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "XXXLutz KG",
        "NN Group N.V.",
        "Todo Textil S.A.",
        "[Draft] Offer",
        "A | B",
        "50 < 60 > 40",
        "a <b and c> d",
        "AT&T; Q&A",
        "Müller & Søn {1}",
    ],
)
def test_honest_names_pass(text: str) -> None:
    """The rules do not stop companies whose names look a little like placeholders."""
    assert resolve(one("deal.x"), {"deal": {"x": text}}).values["it"].text == text


def test_safety_rules_cannot_be_switched_off() -> None:
    """An empty refuse list lets placeholders through, but never planted tags."""
    template = parse_declaration(declared(refuse=[{"name": "old_brand", "pattern": "(?i)acme classic"}]))
    assert resolve(template, {"company": {"name": "TBD"}}).values["buyer"].text == "TBD"
    for text, rule in (("Acme Classic", "old_brand"), ("[sig|req|signer1]", "text_tags")):
        assert template.refused_by(text) == rule


@pytest.mark.parametrize(
    ("format", "text"), [("date", "31.12.2026"), ("date", "soon"), ("money", "1,200"), ("percent", "5%")]
)
def test_unreadable_formats_are_refused(format: str, text: str) -> None:
    """A date or number that cannot be read is not printed as it stands."""
    with pytest.raises(TemplateValueRefused, match=f"format_{format}"):
        resolve(one("deal.x", format), {"deal": {"x": text}})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"colour": "red"}, "colour: unknown key"),
        ({"variables": {"x": {"from": "invoice.total", "says": "X"}}}, "must be one of deal, company"),
        ({"variables": {"x": {"from": "deal", "says": "X"}}}, "must be one of deal, company"),
        ({"variables": {"x": {"from": "deal.x", "says": "X", "fallback": "none"}}}, "fallback: unknown key"),
        ({"variables": {"x": {"from": "deal.x"}}}, "variables.x.says"),
        ({"variables": {"X-y": {"from": "deal.x", "says": "X"}}}, "variables.X-y"),
        ({"locale": "english"}, "locale"),
        ({"tables": ["costs"]}, "tables"),
        ({"signers": [{"role": "client", "label": "Client", "order": 0}]}, "order"),
        ({"refuse": ["nonsense"]}, "refuse"),
    ],
)
def test_declaration_errors_name_the_key(changes: dict[str, Any], says: str) -> None:
    """A wrong key or source in the YAML is named, with what is allowed."""
    with pytest.raises(TemplateError) as caught:
        parse_declaration(declared(**changes))
    assert says in str(caught.value)


CODE = "#let values = doc.values\n#values.buyer"


@pytest.mark.parametrize(
    ("changes", "code", "words", "problem"),
    [
        ({}, "#values.buyer #values.other", {}, "other is used but not declared"),
        ({}, '#values.at("other") #values.buyer', {}, "other is used but not declared"),
        ({}, CODE, {"en": {"a": ["Dear {whom}"]}}, "whom is used but not declared"),
        ({"title": "Offer"}, "#values.nothing", {}, "buyer is declared but nowhere used"),
        (
            {"title": "Offer"},
            "// values.buyer\n/* values.buyer */ hi",
            {},
            "buyer is declared but nowhere used",
        ),
        ({"tables": ["pricing"]}, CODE, {}, "pricing is declared but the layout never shows it"),
        ({}, CODE + "\n#doc.pricing", {}, "the layout shows pricing, which is not declared"),
        ({}, CODE + "\n#doc.signers", {}, "the layout shows signers, which is not declared"),
        ({}, CODE + '\n#import "@preview/cetz:0.3.0"', {}, "from the network"),
        ({}, CODE + '\n#import "@pre" + "view/cetz:0.3.0"', {}, "from the network"),
        ({}, CODE + '\n#let p = "x"\n#import p: *', {}, "not a plain file name"),
        ({}, CODE + "\n#eval(values.buyer)", {}, "calls eval"),
        ({}, CODE + "\n#values.pairs()", {}, "other than by name"),
        ({}, CODE + "\n#values.at(name)", {}, "other than by name"),
        ({"refuse": [{"name": "bad", "pattern": "("}]}, CODE, {}, "unreadable pattern"),
        (
            {"signers": [{"role": "a", "label": "A", "order": 1}] * 2},
            CODE + "#doc.signers",
            {},
            "occurs twice",
        ),
        (
            {"signers": [{"role": "a", "label": "A", "order": 1, "name": "who"}]},
            CODE + "#doc.signers",
            {},
            "who is used",
        ),
    ],
)
def test_disagreements_are_found(
    changes: dict[str, Any], code: str, words: dict[str, Any], problem: str
) -> None:
    """Declaration, layout and wording must agree; what does not is named before anything is rendered."""
    problems = check_template(parse_declaration(declared(**changes)), {"template.typ": code}, words)
    assert any(problem in one for one in problems), problems


def test_a_sound_template_has_no_problems() -> None:
    """Imports of files beside the template, links and built-in placeholders are fine."""
    code = CODE + '\n#import "house.typ": *\n#link("https://example.org/a")[x] // values.nobody'
    words = {"en": {"page": "Page {page} of {pages}", "dear": "Dear {buyer}"}}
    assert check_template(parse_declaration(declared()), {"template.typ": code}, words) == ()


def test_signers_are_numbered_by_order() -> None:
    """The lowest order signs first; equal orders keep the sequence of the file."""
    signers = [
        {"role": role, "label": role, "order": order} for role, order in (("c", 2), ("a", 1), ("b", 2))
    ]
    assert [one.role for one in parse_declaration(declared(signers=signers)).signing_sequence] == [
        "a",
        "c",
        "b",
    ]


def test_filling_is_one_pass() -> None:
    """A value that looks like a placeholder is printed, never filled again."""
    assert fill({"a": ["{x} {y} {page}"]}, {"x": "{y}", "y": "2"}) == {"a": ["{y} 2 {page}"]}
