"""What is suggested to a buyer: counted by other buyers of the same, never what the buyer has."""

from hypothesis import given
from hypothesis import strategies as st

from flows.rules.cross_sell import Sale, Suggestion, also_bought, sale


def bought(deal_id: str, buyer: str, *names: str) -> Sale:
    return sale(deal_id, [buyer] if buyer else [], [{"name": name} for name in names])


def test_what_most_others_have_comes_first() -> None:
    """Two of three buyers of Seats have Archive, three have Hotline; what only one has is chance."""
    others = [
        bought("1", "a", "Seats", "Archive", "Hotline"),
        bought("2", "b", "Seats", "Hotline"),
        bought("3", "b", "Archive"),  # the same buyer, later
        bought("4", "c", "Seats", "Hotline", "Odd one"),
        bought("5", "d", "Archive", "Hotline"),  # bought nothing of the same
    ]
    assert also_bought(bought("9", "me", "Seats"), others) == (
        Suggestion("Hotline", 3, 3),
        Suggestion("Archive", 2, 3),
    )


def test_what_the_buyer_has_is_left_out() -> None:
    """Also what it bought in another deal; the deal itself is no other buyer."""
    others = [bought(str(n), f"b{n}", "Seats", "Archive", "Hotline") for n in range(3)]
    mine = bought("9", "me", "Seats")
    before = bought("8", "me", "Archive")
    assert [s.name for s in also_bought(mine, [*others, before, mine])] == ["Hotline"]


def test_a_product_is_known_by_its_sku() -> None:
    """Names change, SKUs stay; without one the name in any case and spacing counts; a nameless item is none."""
    first = sale(
        "1", ["a"], [{"name": "Seats 2025", "hs_sku": "S-1"}, {"name": " on  site DAY"}, {"name": ""}]
    )
    other = sale("2", [], [{"name": "Seats 2026", "hs_sku": "s-1"}, {"name": "On site day", "hs_sku": None}])
    assert first.products.keys() == other.products.keys() == {"s-1", "on site day"}
    assert other.buyers == {"deal 2"}


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sets(st.sampled_from("uvwxyz"))), max_size=12))
def test_never_what_they_have_and_never_more_than_there_are(deals: list[tuple[str, set[str]]]) -> None:
    """Whatever was sold to whom, in any order of reading."""
    sales = [bought(str(n), buyer, *names) for n, (buyer, names) in enumerate(deals)]
    mine = bought("mine", "a", "u")
    found = also_bought(mine, sales)
    owned = {"u"} | {name for sale_ in sales if "a" in sale_.buyers for name in sale_.products}
    assert not {s.name for s in found} & owned
    assert all(2 <= s.have <= s.of <= 5 for s in found) and len(found) <= 5
    assert also_bought(mine, sales[::-1]) == found
