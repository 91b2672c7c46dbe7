"""Inbound leads: what forms send becomes one clean lead, or an error that names the field."""

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.rules.leads import Lead, LeadError, deal_name, parse_lead, route
from flows.rules.process.sales_process import Routing, RoutingRule

ADA = {"email": "ada@buyer.example", "name": "Ada Lovelace", "company": "Buyer Ltd", "message": "An engine"}


def _lead(**fields: Any) -> Lead:
    return parse_lead({**ADA, **fields}, day="2026-03-02")


def _phone(phone: str) -> str:
    return parse_lead({"phone": phone}).phone


@pytest.mark.parametrize(
    ("sent", "field", "value"),
    [
        ({"E-Mail": "A@X.Example"}, "email", "a@x.example"),
        ({" email_address ": " a@x.example\n"}, "email", "a@x.example"),
        ({"email": "", "mail": "a@x.example"}, "email", "a@x.example"),
        ({"email": "a@x.example", "EMAIL": ""}, "email", "a@x.example"),
        ({"email": "a@x.example\u200b\ufeff"}, "email", "a@x.example"),
        ({"email": "a+b.c@sub.x-y.example"}, "email", "a+b.c@sub.x-y.example"),
        ({"email": "a@x.xn--p1ai"}, "email", "a@x.xn--p1ai"),
        ({"firstname": "Ada", "surname": "L"}, "last_name", "L"),
        ({"first_name": "Ada", "name": "Other One"}, "first_name", "Ada"),
        ({"name": "Ada King Lovelace"}, "last_name", "King Lovelace"),
        ({"fullname": "Ada"}, "first_name", "Ada"),
        ({"organisation": "  Buyer \t Ltd "}, "company", "Buyer Ltd"),
        ({"country": "de"}, "country", "DE"),
        ({"country": "Germany"}, "country", "Germany"),
        ({"position": "CTO"}, "job_title", "CTO"),
        ({"comments": " two\n\nlines "}, "message", "two\n\nlines"),
        ({" Message ": "two\nlines"}, "message", "two\nlines"),
        ({"message": "x" * 5000}, "message", "x" * 5000),
        ({"message": "a\x00b\ud800c\x1b"}, "message", "abc"),
        ({"company": "a\x00b\udfffc"}, "company", "abc"),
        ({"utm_source": "ad"}, "source", "ad"),
        ({}, "source", "inbound"),
        ({"employees": 50, "x": None, "y": ""}, "extra", {"employees": "50"}),
        ({"newsletter": True}, "extra", {"newsletter": "True"}),
    ],
)
def test_fields_as_forms_name_them(sent: dict[str, Any], field: str, value: Any) -> None:
    """Whatever the form calls it, however it is spaced: our field has the clean value."""
    assert getattr(parse_lead({"phone": "030123456", **sent}), field) == value


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({}, "email"),
        ({"name": "Ada"}, "email"),
        ({"email": " ", "phone": None}, "email"),
        ({"email": "ada"}, "email"),
        ({"email": "ada@localhost"}, "email"),
        ({"email": "a@b.example, c@d.example"}, "email"),
        ({"email": "Ada <a@b.example>"}, "email"),
        ({"email": "a@b@c.example"}, "email"),
        ({"email": "a@b.example?"}, "email"),
        ({"email": "ä" * 65 + "@b.example"}, "email"),
        ({"email": ["a@b.example"]}, "email"),
        ({"phone": "12345"}, "phone"),
        ({"phone": "call me"}, "phone"),
        ({"phone": "1" * 21}, "phone"),
        ({"phone": {"mobile": "123456"}}, "phone"),
        ({"email": "a@b.example", "company": "x" * 501}, "company"),
        ({"email": "a@b.example", "message": "x" * 5001}, "message"),
        ({"email": "a@b.example", "budget": 10**400}, "budget"),
        ({"email": "a@b.example", "": []}, "a field without a name"),
        ({"email": "a@b.example", "k" * 99: []}, "k" * 60),
    ],
)
def test_what_cannot_be_taken_names_the_field(sent: dict[str, Any], field: str) -> None:
    """Refused with the field's name and what to send instead; what was sent is not repeated."""
    with pytest.raises(LeadError) as caught:
        parse_lead(sent)
    assert caught.value.field == field
    for value in sent.values():
        assert not isinstance(value, str) or len(value) < 4 or value not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("+49 30 123456", "+4930123456"),
        ("0049 30 / 123-456", "+4930123456"),
        ("+49 (0)30 123456", "+4930123456"),
        ("(+49) 30 123456", "+4930123456"),
        ("030 123456", "030123456"),
        ("(030) 123456", "030123456"),
        ("tel. 030.12.34.56", "030123456"),
        ("٠٣٠١٢٣٤٥٦", "030123456"),
        ("+1 (555) 010-9999", "+15550109999"),
        ("1+23456", "123456"),
        ("²3456789", "3456789"),
    ],
)
def test_phones_get_one_form(written: str, kept: str) -> None:
    """The same number, however it is written, is the same number: one contact, not three."""
    assert _phone(written) == kept


def test_a_person_without_an_address_is_known_by_phone() -> None:
    """The contact key and the lane follow from the number alone, in one form."""
    one, two = parse_lead({"phone": "+49 30 123456"}), parse_lead({"tel": "0049 (0)30-123456", "name": "Ada"})
    assert one.contact_key == two.contact_key == "phone:4930123456"
    assert one.lane == two.lane
    assert one.lane.startswith("lead:")
    assert "4930" not in one.lane


@pytest.mark.parametrize(
    ("website", "email", "domain"),
    [
        ("", "ada@buyer.example", "buyer.example"),
        ("https://www.Buyer.example/about?x=1#y", "ada@gmail.com", "buyer.example"),
        ("buyer.example:8443", "", "buyer.example"),
        ("http://user:secret@buyer.example/", "", "buyer.example"),
        ("buyer.example?utm=1", "", "buyer.example"),
        ("shop.buyer.example.", "", "shop.buyer.example"),
        ("info@buyer.example", "", "buyer.example"),
        ("bücher.example", "", "xn--bcher-kva.example"),
        ("none", "ada@buyer.example", "buyer.example"),
        ("n.a.", "ada@gmail.com", ""),
        ("-", "ada@web.de", ""),
        ("192.168.0.1", "ada@gmail.com", ""),
        ("see buyer.example", "ada@gmail.com", ""),
        ("a..b.example", "ada@gmail.com", ""),
        ("https://www.linkedin.com/company/buyer", "ada@gmail.com", ""),
        ("https://de.linkedin.com/company/buyer", "ada@buyer.example", "buyer.example"),
        ("facebook.com/buyer", "ada@buyer.example", "buyer.example"),
        ("gmail.com", "ada@gmail.com", ""),
        ("", "ada@yahoo.de", ""),
        ("", "ada@yahoo.co.uk", ""),
        ("", "ada@hotmail.fr", ""),
        ("", "ada@gmx.at", ""),
        ("", "ada@live.com.au", ""),
        ("", "ada@outlook.com", ""),
        ("", "ada@live-shop.example", "live-shop.example"),
        ("", "ada@yahoo.buyer.example", "yahoo.buyer.example"),
        ("", "ada@notgmail.com", "notgmail.com"),
        ("", "ada@google.com", "google.com"),
    ],
)
def test_the_companys_domain(website: str, email: str, domain: str) -> None:
    """Its website, else its mail domain; free mail and profile pages tell nothing, and strangers stay apart."""
    sent = {"website": website, "email": email} if email else {"website": website, "phone": "030123456"}
    assert parse_lead(sent).domain == domain


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("50000", "50000"),
        ("50 000", "50000"),
        ("50\u00a0000.5", "50000.5"),
        (50000, "50000"),
        (50000.0, "50000.0"),
        ("0", "0"),
        ("50,000", ""),
        ("50.000", ""),
        ("about 50k", ""),
        ("-5", ""),
        ("1e6", ""),
        (1e30, ""),
        (float("nan"), ""),
        ("٥٠", ""),
        ("1" * 13, ""),
        (True, ""),
        ("", ""),
    ],
)
def test_a_budget_is_a_plain_number_or_nothing(sent: Any, kept: str) -> None:
    """The amount on a deal is never guessed."""
    assert _lead(budget=sent).budget == kept


def test_what_tells_companies_apart() -> None:
    """Its domain; else its name, however it is spaced and capitalised; else nothing."""
    assert _lead().company_key == "domain:buyer.example"
    named = [
        parse_lead({"phone": "030123456", "company": c}).company_key for c in ("Buyer  Ltd", "buyer ltd", "B")
    ]
    assert named[0] == named[1] != named[2]
    assert named[0].startswith("name:")
    assert parse_lead({"email": "ada@gmail.com"}).company_key == ""


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({"company": "Buyer Ltd"}, "Buyer Ltd"),
        ({"website": "buyer.example"}, "buyer.example"),
        ({"name": "Ada L"}, "Ada L"),
        ({}, "Unnamed buyer"),
    ],
)
def test_a_deal_always_has_a_name(sent: dict[str, str], shown: str) -> None:
    """Company, else domain, else person, else a stopgap; never longer than HubSpot shows."""
    assert deal_name(parse_lead({"phone": "030123456", **sent})) == f"{shown} - inbound"
    assert len(deal_name(_lead(company="x" * 500))) == 200


def test_keys_are_stored_data() -> None:
    """The key of a known lead never changes: it stands on deals in HubSpot. (Change it only with a migration.)"""
    assert _lead().key == "lead8f75fb7eb9f6ad4023ff83489684"
    assert parse_lead(ADA, submission_key="s-1").key == "leadf9e625189f84aae48c27d73a4fca"
    assert len(_lead().key) == 32


def test_the_same_submission_is_the_same_lead() -> None:
    """A submission id, as header or field, decides alone with the person; without one content and day do."""
    assert (
        parse_lead(ADA, submission_key="s").key
        == parse_lead({**ADA, "message": "other"}, submission_key="s").key
    )
    assert parse_lead({**ADA, "submission_id": "s"}).key == parse_lead(ADA, submission_key="s").key
    assert parse_lead(ADA, submission_key="s").key != parse_lead(ADA, submission_key="t").key
    other = {**ADA, "email": "bob@buyer.example"}
    assert parse_lead(ADA, submission_key="s").key != parse_lead(other, submission_key="s").key
    assert _lead().key == _lead(budget="5", source="ad").key
    keys = {
        _lead().key,
        _lead(message="other").key,
        _lead(company="").key,
        parse_lead(ADA, day="2026-03-03").key,
    }
    assert len(keys) == 4


def test_no_two_contents_share_a_key_by_where_they_are_cut() -> None:
    """Where one field ends and the next begins is part of the key."""
    one = parse_lead({"email": "a@b.example", "first_name": "x|y", "last_name": "z"})
    two = parse_lead({"email": "a@b.example", "first_name": "x", "last_name": "y|z"})
    assert one.key != two.key


def test_a_lead_survives_the_ledger() -> None:
    """As JSON and back it is the same lead."""
    lead = _lead(employees="50", phone="+4930123456")
    assert Lead(**json.loads(json.dumps(asdict(lead)))) == lead


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        "email",
        "Phone",
        "tel",
        "name",
        "company",
        "website",
        "country",
        "message",
        "budget",
        "submission_id",
        "utm",
    ]
)
HALVES = st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0xE010), max_size=4)


@given(
    st.dictionaries(NAMES | st.text(), JSON | HALVES, max_size=6),
    st.booleans(),
    st.text(),
    st.sampled_from(["", "2026-03-02"]),
)
def test_any_json_is_a_lead_or_a_lead_error(
    fields: dict[str, Any], well: bool, submission: str, day: str
) -> None:
    """Whatever is sent: a clean lead, the same each time, that can be stored; or LeadError. Never anything else."""
    if well:
        fields["email"] = "ada@buyer.example"
    try:
        lead = parse_lead(fields, submission_key=submission, day=day)
    except LeadError as problem:
        assert problem.field
        return
    assert lead.email or lead.phone
    assert lead == parse_lead(fields, submission_key=submission, day=day)
    assert (lead.key[:4], len(lead.key)) == ("lead", 32)
    stored = json.dumps(asdict(lead), ensure_ascii=False).encode()
    assert Lead(**json.loads(stored)) == lead
    assert "\x00" not in stored.decode()
    assert len(lead.lane) <= 128
    assert 0 < len(deal_name(lead)) <= 200
    assert lead.company_key == "" or len(lead.company_key) < 600


@given(st.text())
def test_any_website_gives_a_host_or_nothing(website: str) -> None:
    """What is taken for a domain looks like one."""
    try:
        domain = parse_lead({"phone": "030123456", "website": website}).domain
    except LeadError:
        return
    assert domain == "" or ("." in domain and domain.isascii() and not set(domain) & set(" /:@?#"))


OWNERS = [("11", "dora@seller.example"), ("12", "Emil@seller.example"), ("13", "fay@seller.example")]
DACH = RoutingRule(country=("DE", "at"), owner="emil@Seller.example")


@pytest.mark.parametrize(
    ("routing", "country", "owner", "reason"),
    [
        (Routing(rules=(DACH,)), "de", "12", "country DE"),
        (Routing(rules=(DACH,)), "AT", "12", "country AT"),
        (Routing(rules=(DACH,), otherwise="fay@seller.example"), "FR", "13", "default owner"),
        (Routing(rules=(DACH,), otherwise="fay@seller.example"), "", "13", "default owner"),
        (
            Routing(
                rules=(RoutingRule(country=("DE",), owner="gone@seller.example"),),
                otherwise="fay@seller.example",
            ),
            "DE",
            "13",
            "default owner",
        ),
        (
            Routing(rules=(RoutingRule(country=("FR",), owner="dora@seller.example"), DACH)),
            "DE",
            "12",
            "country DE",
        ),
        (
            Routing(rules=(DACH, RoutingRule(country=("DE",), owner="dora@seller.example"))),
            "DE",
            "12",
            "country DE",
        ),
    ],
)
def test_the_first_rule_that_fits_decides(routing: Routing, country: str, owner: str, reason: str) -> None:
    """By country, else the default owner; somebody who is no active owner gets nothing. The reason says which."""
    assert route(_lead(country=country), routing, OWNERS) == (owner, reason)


def test_nobody_there() -> None:
    """Without an active owner the deal has none, and says so."""
    assert route(_lead(), Routing(rules=(DACH,)), []) == (None, "no active owner in HubSpot")


@pytest.mark.parametrize("otherwise", ["take_turns", "gone@seller.example"])
def test_turns_are_the_same_each_time(otherwise: str) -> None:
    """The same lead goes to the same owner however often it is looked at; the reason tells the turn."""
    routing = Routing(otherwise=otherwise)
    owner, reason = route(_lead(), routing, OWNERS)
    assert [route(_lead(), routing, OWNERS) for _ in range(5)] == [(owner, reason)] * 5
    assert reason == f"turn {[o for o, _ in OWNERS].index(owner or '') + 1} of 3"


def test_turns_are_about_fair() -> None:
    """Over many leads each owner gets about the same number."""
    got = Counter(route(_lead(message=f"n {n}"), Routing(), OWNERS)[0] for n in range(3000))
    assert set(got) == {"11", "12", "13"}
    assert min(got.values()) > 900
