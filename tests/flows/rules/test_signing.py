"""Who signs, and what a request that was read back means."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.rules.process.sales_process import CounterSigner
from flows.rules.signing import (
    Candidate,
    Hold,
    Mismatch,
    Promise,
    RequestFacts,
    Signer,
    choose_signers,
    read_signature,
)

SELLER = "sales@seller.example"
COUNTER = CounterSigner(name="Carla Conrad", email="Carla@Seller.example", title="Managing Director")


def person(contact_id: str = "1", **more: Any) -> Candidate:
    values: dict[str, Any] = {
        "name": "Ada Lovelace",
        "email": "ada@buyer.example",
        "roles": frozenset({"signer"}),
    }
    return Candidate(contact_id, **{**values, **more})


def choose(*contacts: Candidate, counter: CounterSigner | None = COUNTER) -> Any:
    return choose_signers(contacts, seller_email=SELLER, counter_signer=counter)


def test_the_labelled_signer_then_the_counter_signer() -> None:
    """Exactly the labelled contacts sign, the counter-signer last; addresses in one form."""
    other = person("2", name="Bob", email="bob@buyer.example", roles=frozenset({"decision_maker"}))
    assert choose(person(name=" Ada Lovelace ", email=" Ada@Buyer.example", title=" CTO "), other) == (
        Signer("client", "Ada Lovelace", "ada@buyer.example", 0, "1", "CTO"),
        Signer("seller", "Carla Conrad", "carla@seller.example", 1, "", "Managing Director"),
    )


def test_without_a_counter_signer_the_client_alone_signs() -> None:
    """The process may name nobody for us."""
    assert [s.role for s in choose(person(), counter=None)] == ["client"]


def test_several_signers_sign_in_the_order_of_their_names() -> None:
    """The order never depends on the order in which HubSpot lists them."""
    people = [
        person("3", name="Cy", email="c@buyer.example"),
        person("1", name="Bo", email="b@buyer.example"),
        person("2", name="Bo", email="b2@buyer.example"),
    ]
    chosen = {
        tuple((s.contact_id, s.order) for s in choose(*some)) for some in itertools.permutations(people)
    }
    assert chosen == {(("1", 0), ("2", 1), ("3", 2), ("", 3))}


@pytest.mark.parametrize(
    ("contacts", "says"),
    [
        ([], "no contact on the deal is labelled as signer"),
        ([person(roles=frozenset({"decision_maker"}))], "no contact on the deal is labelled as signer"),
        ([person(email="  ")], "contact 1, has no e-mail address"),
        ([person(name=" ")], "contact 1, has no name"),
        ([person(email="SALES@seller.example")], "contact 1, is one of our own"),
        ([person(email=" carla@seller.EXAMPLE ")], "contact 1, is one of our own"),
        (
            [person(), person("2", name="Bob", email="ADA@buyer.example ")],
            "contact 2 has the same e-mail address",
        ),
    ],
)
def test_when_nobody_can_be_asked_to_sign(contacts: list[Candidate], says: str) -> None:
    """A hold that says what to fix, by contact id: no name and no address in it. Nobody is guessed."""
    hold = choose(*contacts)
    assert isinstance(hold, Hold)
    assert any(says in reason for reason in hold.reasons)
    text = " ".join(hold.reasons).lower()
    assert "ada" not in text
    assert "@" not in text


def test_all_that_is_wrong_is_said_at_once() -> None:
    """The rep corrects the deal once, not once a reason."""
    hold = choose(person(name="", email=""), person("2", email=SELLER))
    assert isinstance(hold, Hold)
    assert len(hold.reasons) == 3


@given(
    st.lists(
        st.builds(
            Candidate,
            st.text("123", min_size=1, max_size=3),
            st.sampled_from(["Ada", "Bob", " ", ""]),
            st.sampled_from(
                ["a@b.example", "A@B.example ", "c@d.example", SELLER, "carla@seller.example", ""]
            ),
            st.frozensets(st.sampled_from(["signer", "decision_maker"])),
        ),
        max_size=5,
    ),
    st.booleans(),
)
def test_whoever_is_chosen_was_labelled(contacts: list[Candidate], counter: bool) -> None:
    """Never somebody without the label, never one address twice, never ourselves as client; else a hold."""
    chosen = choose(*contacts, counter=COUNTER if counter else None)
    if isinstance(chosen, Hold):
        assert chosen.reasons
        return
    clients = [s for s in chosen if s.role == "client"]
    labelled = sorted(c.contact_id for c in contacts if "signer" in c.roles)
    assert sorted(s.contact_id for s in clients) == labelled
    assert clients
    emails = [s.email for s in chosen]
    assert len(set(emails)) == len(emails)
    assert all(s.name.strip() and s.email == s.email.strip().lower() for s in chosen)
    assert not {s.email for s in clients} & {SELLER, "carla@seller.example" if counter else ""}
    assert [s.order for s in chosen] == list(range(len(chosen)))
    assert (chosen[-1].role == "seller") == counter


FACTS = RequestFacts("r1", False, False, False, False, True, "t1", "77", ("awaiting_signature",))
PROMISE = Promise("r1", "t1", "77", True)


@pytest.mark.parametrize(
    ("seen", "means"),
    [
        ({}, "open"),
        ({"statuses": ("signed", "awaiting_signature")}, "open"),
        ({"statuses": ("error_file", "something new")}, "open"),
        ({"statuses": ()}, "open"),
        ({"complete": True, "statuses": ("signed", "signed")}, "completed"),
        ({"declined": True}, "declined"),
        ({"statuses": ("signed", "declined")}, "declined"),
        ({"declined": True, "complete": True}, "declined"),
        ({"error": True}, "failed"),
        ({"error": True, "complete": True}, "failed"),
        ({"statuses": ("signed", "expired")}, "expired"),
        ({"statuses": ("expired",), "complete": True}, "completed"),
        ({"gone": True, "token": "", "deal_id": "", "test_mode": False}, "canceled"),
    ],
)
def test_where_a_request_stands(seen: dict[str, Any], means: str) -> None:
    """Each way a request can stand has one answer; whoever declined outweighs the rest, and signed needs all."""
    assert read_signature(replace(FACTS, **seen), PROMISE) == means


@pytest.mark.parametrize(
    ("seen", "promised"),
    [
        ({"token": "other"}, {}),
        ({"token": ""}, {}),
        ({"deal_id": "78"}, {}),
        ({"deal_id": ""}, {}),
        ({"request_id": "r2"}, {}),
        ({"test_mode": False}, {}),
        ({}, {"test_mode": False}),
        ({"gone": True, "request_id": "r2"}, {}),
        ({"gone": True}, {"request_id": None}),
    ],
)
def test_a_request_that_is_not_surely_ours_moves_nothing(
    seen: dict[str, Any], promised: dict[str, Any]
) -> None:
    """Another token, deal, request or test mode, or cancelled and not noted: not acted on."""
    for ending in ({}, {"complete": True}, {"declined": True}):
        verdict = read_signature(replace(FACTS, **{**ending, **seen}), replace(PROMISE, **promised))
        assert isinstance(verdict, Mismatch)
        assert verdict.reason


def test_the_request_of_a_doubtful_send_is_known_by_its_token() -> None:
    """Before its id was noted the token, the deal and the test mode prove that it is ours."""
    assert read_signature(replace(FACTS, complete=True), replace(PROMISE, request_id=None)) == "completed"
