"""Pricing: what holds for any line items at all."""

import random
from decimal import Decimal as D
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flows.rules.pricing.pricing import Adjustment, PriceTable, PricingOptions, price_line_items

_FREQUENCIES = ["", "weekly", "biweekly", "monthly", "quarterly", "per_six_months", "annually"]
_amounts = st.decimals(min_value=0, max_value=10**7, places=4).map(str)
_percents = st.decimals(min_value=0, max_value=100, places=2)
_lines = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["Seat", "Setup", "Support"]),
            "quantity": st.decimals(min_value=D("0.001"), max_value=10**5, places=3).map(str),
            "price": _amounts,
            "hs_discount_percentage": st.none() | _percents.map(str),
            "recurringbillingfrequency": st.sampled_from(_FREQUENCIES),
            "hs_recurring_billing_period": st.none() | st.integers(12, 60).map(lambda months: f"P{months}M"),
            "hs_position_on_quote": st.none() | st.integers(0, 5).map(str),
            "hs_sku": st.none() | st.sampled_from(["A", "B"]),
        }
    ),
    min_size=1,
    max_size=8,
)
_kind = st.lists(
    st.builds(lambda percent: Adjustment("x", percent=percent), st.decimals(0, 30, places=2)), max_size=3
)
_options = st.builds(
    lambda currency, discounts, fees, taxes: PricingOptions(
        currency, discounts=tuple(discounts), fees=tuple(fees), taxes=tuple(taxes)
    ),
    st.sampled_from(["EUR", "JPY", "KWD"]),
    _kind,
    _kind,
    _kind,
)


def _shown(table: PriceTable) -> list[D]:
    adjustments = [one.amount for kind in (table.discounts, table.fees, table.taxes) for one in kind]
    lines = [one for line in table.lines for one in (line.net_amount, line.discount_amount, line.list_amount)]
    value = [] if table.total_contract_value is None else [table.total_contract_value]
    return [*adjustments, *lines, *value, table.subtotal, table.total, table.one_time]


@given(_lines, _options)
def test_what_is_shown_adds_up(lines: list[dict[str, Any]], options: PricingOptions) -> None:
    """Adding up the shown figures with pencil and paper gives exactly the shown sums."""
    table = price_line_items(lines, options)
    assert sum(line.net_amount for line in table.lines) == table.subtotal
    assert table.one_time + sum(one.amount for one in table.recurring) == table.subtotal
    assert all(line.list_amount - line.discount_amount == line.net_amount for line in table.lines)
    kinds = [sum(one.amount for one in kind) for kind in (table.discounts, table.fees, table.taxes)]
    assert table.subtotal - kinds[0] + kinds[1] + kinds[2] == table.total


@given(_lines, _options)
def test_nothing_is_negative_and_nothing_has_hidden_decimals(
    lines: list[dict[str, Any]], options: PricingOptions
) -> None:
    """No figure is below zero, none is minus zero, and each has exactly the currency's decimals."""
    table = price_line_items(lines, options)
    for amount in _shown(table):
        assert amount >= 0
        assert not amount.is_signed()
        assert amount.as_tuple().exponent == -table.minor_units


@given(_lines, _options, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(
    lines: list[dict[str, Any]], options: PricingOptions, chance: random.Random
) -> None:
    """Shuffled line items give the same table; only positions and content order it."""
    shuffled = list(lines)
    chance.shuffle(shuffled)
    assert price_line_items(shuffled, options) == price_line_items(lines, options)


@given(_lines)
def test_the_contract_is_worth_at_least_its_first_bills(lines: list[dict[str, Any]]) -> None:
    """Over the whole term no less is paid than with the first bills."""
    table = price_line_items(lines, PricingOptions("EUR"))
    if table.total_contract_value is not None:
        assert table.total_contract_value >= table.subtotal
