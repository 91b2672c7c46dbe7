"""E-mail templates: what a file must contain, and that no e-mail with a gap is written."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.files import read_yaml
from config.settings import CONFIG_DIR
from flows.documents.emails import EmailRefused, EmailTemplate, load_emails, write_email
from flows.documents.render import DocumentError
from flows.rules.process.sales_process import parse_process

SHIPPED = CONFIG_DIR / "templates" / "email"
GOOD: dict[str, Any] = {
    "locale": "en_US",
    "variables": {
        "first": {"from": "contact.firstname", "says": "First name"},
        "worth": {"from": "deal.amount", "says": "What it is worth", "format": "money"},
    },
    "texts": {
        "en": {"subject": "For {first}", "text": "Hello {first},\n\nit is {worth}.\n"},
        "de": {"subject": "Für {first}", "text": "Guten Tag {first},\n\nes sind {worth}.\n"},
    },
}
FACTS = {"contact": {"firstname": "Ada"}, "deal": {"amount": "1200.5", "deal_currency_code": "EUR"}}


def loaded(tmp_path: Path, **change: Any) -> EmailTemplate:
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({**GOOD, **change}, allow_unicode=True))
    return load_emails(tmp_path)["one"]


@pytest.mark.parametrize("file", ["sales_process.yaml", "examples/five_step.yaml"])
def test_every_template_that_a_shipped_process_names_is_there(file: str) -> None:
    """In the language of that process, and in German too."""
    process, emails = parse_process(read_yaml(CONFIG_DIR / file)), load_emails(SHIPPED)
    named = {stage.follow_up.email for stage in process.stages if stage.follow_up} - {None}
    assert named and named <= set(emails)
    for name in named:
        assert set(emails[name or ""].texts) == {"en", "de"}


@pytest.mark.parametrize("locale", ["en_US", "de_DE"])
def test_shipped_mails_have_no_holes(locale: str) -> None:
    """Filled from a whole deal: no brace is left, no line is bare, each is signed with name and company."""
    person = {"firstname": "Ada", "lastname": "Byron"}
    facts = {
        "contact": person,
        "company": {"name": "Analytical Engines Ltd"},
        "deal": {"dealname": "Contract desk"},
        "owner": {"name": "Mara Lindt"},
        "seller": {"name": "Example Software GmbH"},
    }
    for name, template in load_emails(SHIPPED).items():
        mail = write_email(template, facts, locale)
        assert "{" not in mail.subject + mail.text and len(mail.subject) < 80, name
        assert mail.text.endswith("Mara Lindt\nExample Software GmbH"), name
        assert mail.text.startswith(("Hello Ada Byron,", "Guten Tag Ada Byron,")), name


def test_it_speaks_the_locales_language(tmp_path: Path) -> None:
    """Words by language, figures as that language's readers write them."""
    template = loaded(tmp_path)
    assert write_email(template, FACTS, "en_US").text == "Hello Ada,\n\nit is €1,200.50."
    german = write_email(template, FACTS, "de_DE")
    assert (german.subject, german.text) == ("Für Ada", "Guten Tag Ada,\n\nes sind 1.200,50\xa0€.")


@pytest.mark.parametrize(
    ("facts", "locale", "says"),
    [
        ({"deal": FACTS["deal"]}, "en_US", "contact.firstname is empty, fill it in on the deal's contact"),
        ({**FACTS, "contact": {"firstname": " "}}, "en_US", "contact.firstname is empty"),
        ({**FACTS, "contact": {"firstname": "{{firstname}}"}}, "en_US", "unfilled_brackets"),
        ({**FACTS, "contact": {"firstname": "A" * 200}}, "en_US", "longer than 150"),
        ({**FACTS, "deal": {"amount": "much", "deal_currency_code": "EUR"}}, "en_US", "format_money"),
        ({**FACTS, "deal": {"amount": "1"}}, "en_US", "currency"),
        (FACTS, "fr_FR", "no wording in 'fr', only in de, en"),
        (FACTS, "xx_YY", "locale"),
    ],
)
def test_with_a_hole_it_is_not_written(tmp_path: Path, facts: Any, locale: str, says: str) -> None:
    """Missing, blank, a left-over placeholder, another language: a reason that says where to fix it, no value."""
    with pytest.raises(EmailRefused, match="template one") as caught:
        write_email(loaded(tmp_path), facts, locale)
    assert says in str(caught.value) and "much" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"texts": {}}, "give subject and text for at least one language"),
        ({"texts": {"en": {"subject": "x"}}}, "texts.en: give subject and text"),
        ({"texts": {"en": {"subject": "x", "text": "y", "html": "z"}}}, "texts.en: give subject and text"),
        ({"texts": {"de": GOOD["texts"]["de"]}}, "lacks the template's own language en"),
        (
            {"texts": {"en": {"subject": "{first}", "text": "{worth} {last}"}}},
            "last is used but not declared",
        ),
        ({"texts": {"en": {"subject": "x", "text": "{first}"}}}, "worth is declared but nowhere used"),
        (
            {"texts": {**GOOD["texts"], "de": {"subject": "x", "text": "{first}"}}},
            "texts.de: uses other variables",
        ),
        (
            {"texts": {"en": {"subject": "{First}", "text": "{first} {worth}"}}},
            "a brace that is not a variable",
        ),
        ({"texts": {"en": {"subject": "{page}", "text": "{first} {worth}"}}}, "an e-mail has no pages"),
        (
            {"variables": {**GOOD["variables"], "first": {"from": "given.x", "says": "x"}}},
            "an e-mail has no given values",
        ),
        (
            {
                "variables": {
                    **GOOD["variables"],
                    "first": {"from": "contact.firstname", "says": "x", "optional": True},
                }
            },
            "nothing is optional in an e-mail",
        ),
        ({"variables": {"first": {"from": "nobody.x", "says": "x"}}}, "must be one of"),
        ({"colour": "red"}, "colour: unknown key"),
    ],
)
def test_a_faulty_file_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    """Named with the wrong key."""
    with pytest.raises(DocumentError, match="e-mail template one") as caught:
        loaded(tmp_path, **change)
    assert says in str(caught.value)


@pytest.mark.parametrize("content", ["a: [", "- list", "", "\xff"])
def test_an_unreadable_file_is_named(tmp_path: Path, content: str) -> None:
    """A sentence, no traceback."""
    (tmp_path / "broken.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(DocumentError, match="e-mail template broken"):
        load_emails(tmp_path)


def test_without_a_folder_there_are_none(tmp_path: Path) -> None:
    """An older installation has none: an error only for a stage that names one."""
    assert load_emails(tmp_path / "email") == {}
