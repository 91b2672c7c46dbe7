"""Pricing: tables of cases for lines, order of adjustments, terms and every refusal."""

from decimal import Decimal as D

import pytest

from flows.rules.pricing.pricing import (
    Adjustment,
    Billing,
    PricingError,
    PricingOptions,
    Term,
    price_line_items,
)

EUR = PricingOptions("EUR")


def line(**changes: str | None) -> dict[str, str | None]:
    return {"name": "Seat", "quantity": "1", "price": "100", **changes}


@pytest.mark.parametrize(
    ("properties", "listed", "discount", "net"),
    [
        ({"quantity": "3", "price": "19.99"}, "59.97", "0.00", "59.97"),
        ({"quantity": "25", "price": "39.9", "hs_discount_percentage": "12.5"}, "997.50", "124.69", "872.81"),
        ({"quantity": "2", "price": "100", "discount": "7.50"}, "200.00", "15.00", "185.00"),
        ({"quantity": "1000", "price": "0.0035"}, "3.50", "0.00", "3.50"),
        ({"quantity": "1", "price": "0.005"}, "0.01", "0.00", "0.01"),
        ({"quantity": "1", "price": "2.675"}, "2.68", "0.00", "2.68"),
        ({"quantity": "0.5", "price": "0"}, "0.00", "0.00", "0.00"),
        ({"price": "100", "discount": "10", "hs_discount_percentage": "10"}, "100.00", "10.00", "90.00"),
        ({"price": "100", "discount": "0", "hs_discount_percentage": "0"}, "100.00", "0.00", "100.00"),
        ({"price": "80", "hs_discount_percentage": "100"}, "80.00", "80.00", "0.00"),
        ({"price": "1.5E3"}, "1500.00", "0.00", "1500.00"),
    ],
)
def test_a_line_is_rounded_half_up_once(
    properties: dict[str, str], listed: str, discount: str, net: str
) -> None:
    """List amount less discount is the net amount to the cent, rounded half up from exact decimals."""
    priced = price_line_items([line(**properties)], EUR).lines[0]
    assert (str(priced.list_amount), str(priced.discount_amount), str(priced.net_amount)) == (
        listed,
        discount,
        net,
    )


@pytest.mark.parametrize(
    ("currency", "price", "shown"),
    [("JPY", "1250.5", "1251"), ("KWD", "1.0005", "1.001"), ("USD", "1.005", "1.01"), ("CLF", "1", "1.0000")],
)
def test_minor_units_are_the_currency_s_own(currency: str, price: str, shown: str) -> None:
    """Yen have no decimals, dinars three: amounts carry what ISO 4217 says."""
    assert str(price_line_items([line(price=price)], PricingOptions(currency)).total) == shown


def test_discounts_then_fees_then_taxes() -> None:
    """Fees work on what discounts left, taxes on that plus fees; each step is rounded and shown."""
    options = PricingOptions(
        "EUR",
        discounts=(Adjustment("Launch", percent=D(10)), Adjustment("Voucher", amount=D("50"))),
        fees=(Adjustment("Handling", percent=D(2)), Adjustment("Travel", amount=D("100"))),
        taxes=(Adjustment("VAT", percent=D(19)),),
    )
    table = price_line_items([line(price="1000")], options)
    assert [one.amount for one in table.discounts] == [D("100.00"), D("50.00")]
    assert [one.amount for one in table.fees] == [D("17.00"), D("100.00")]
    assert [one.amount for one in table.taxes] == [D("183.73")]
    assert table.total == D("1150.73")
    assert table.discount_percent == D(15)


def test_lines_may_be_taxed_by_their_own_group() -> None:
    """Each tax group taxes its own lines, after their share of the deal's discount; fees stay untaxed."""
    options = PricingOptions(
        "EUR",
        discounts=(Adjustment("Launch", percent=D(10)),),
        fees=(Adjustment("Travel", amount=D(50)),),
        tax_groups={"7": Adjustment("Reduced", percent=D(7)), "19": Adjustment("Standard", percent=D(19))},
    )
    items = [
        line(price="100", hs_tax_rate_group_id="7"),
        line(price="200", hs_tax_rate_group_id="19"),
        line(price="300"),
    ]
    table = price_line_items(items, options)
    assert {one.name: one.amount for one in table.taxes} == {"Reduced": D("6.30"), "Standard": D("34.20")}
    assert table.total == D("630.50")


def test_one_time_and_recurring_sums_stand_apart() -> None:
    """The subtotal splits into one-time and per-frequency sums, and the contract value covers the terms."""
    items = [
        line(name="Setup", price="900"),
        line(
            name="Seats", price="100", recurringbillingfrequency="monthly", hs_recurring_billing_period="P2Y"
        ),
        line(name="Extra", price="10", recurringbillingfrequency="monthly", hs_term_in_months="12"),
        line(
            name="Support",
            price="600",
            recurringbillingfrequency="annually",
            hs_recurring_billing_period="P18M",
        ),
    ]
    table = price_line_items(items, PricingOptions("EUR", discounts=(Adjustment("Launch", percent=D(10)),)))
    assert table.one_time == D("900.00")
    assert [(one.billing, one.amount) for one in table.recurring] == [
        (Billing.MONTHLY, D("110.00")),
        (Billing.ANNUALLY, D("600.00")),
    ]
    whole = D(900) + 24 * 100 + 12 * 10 + D("1.5") * 600
    assert table.total_contract_value == whole * D("0.9")


@pytest.mark.parametrize(
    ("frequency", "period", "months", "contract"),
    [
        ("weekly", "P52W", None, "520.00"),
        ("weekly", "P12M", None, "520.00"),
        ("biweekly", "P1Y", None, "260.00"),
        ("weekly", "P14D", None, "20.00"),
        ("quarterly", "P1Y6M", None, "60.00"),
        ("per_six_months", None, "24", "40.00"),
        ("per_five_years", "P5Y", "60", "10.00"),
        ("MONTHLY", "p3m", "0", "30.00"),
    ],
)
def test_terms_in_every_spelling(
    frequency: str, period: str | None, months: str | None, contract: str
) -> None:
    """PnYnMnD, PnW and a plain count of months all give the periods that will be billed."""
    item = line(
        price="10",
        recurringbillingfrequency=frequency,
        hs_recurring_billing_period=period,
        hs_term_in_months=months,
    )
    assert price_line_items([item], EUR).total_contract_value == D(contract)


def test_an_open_end_has_no_total() -> None:
    """A recurring line without a term makes the contract value unknown, never a guess of one period."""
    table = price_line_items([line(), line(recurringbillingfrequency="monthly")], EUR)
    assert table.open_ended
    assert table.total_contract_value is None
    assert price_line_items([line(hs_recurring_billing_period="P12M")], EUR).lines[0].term is None


@pytest.mark.parametrize(
    ("changes", "property", "says"),
    [
        ({"price": None}, "price", "missing"),
        ({"price": "  "}, "price", "missing"),
        ({"quantity": None}, "quantity", "missing"),
        ({"quantity": "0"}, "quantity", "zero"),
        ({"quantity": "-1"}, "quantity", "negative"),
        ({"price": "-0.01"}, "price", "negative"),
        ({"price": "1,000.00"}, "price", "plain number"),
        ({"price": "NaN"}, "price", "plain number"),
        ({"price": "Infinity"}, "price", "plain number"),
        ({"price": "1_000"}, "price", "plain number"),
        ({"price": "١٢"}, "price", "plain number"),
        ({"price": "1E400"}, "price", "out of range"),
        ({"price": "1e-13"}, "price", "out of range"),
        ({"name": " "}, "name", "missing"),
        ({"hs_discount_percentage": "101"}, "hs_discount_percentage", "more than the whole"),
        ({"discount": "100.01"}, "discount", "more than the price"),
        ({"discount": "5", "hs_discount_percentage": "10"}, "discount", "contradicts"),
        ({"hs_line_item_currency_code": "USD"}, "hs_line_item_currency_code", "one currency"),
        ({"recurringbillingfrequency": "daily"}, "recurringbillingfrequency", "unknown"),
        (
            {"recurringbillingfrequency": "monthly", "hs_recurring_billing_period": "24"},
            "hs_recurring_billing_period",
            "duration",
        ),
        (
            {"recurringbillingfrequency": "monthly", "hs_recurring_billing_period": "P"},
            "hs_recurring_billing_period",
            "duration",
        ),
        (
            {"recurringbillingfrequency": "monthly", "hs_recurring_billing_period": "P0M"},
            "hs_recurring_billing_period",
            "no time",
        ),
        (
            {"recurringbillingfrequency": "annually", "hs_recurring_billing_period": "P6M"},
            "hs_recurring_billing_period",
            "shorter",
        ),
        (
            {"recurringbillingfrequency": "monthly", "hs_term_in_months": "1.5"},
            "hs_term_in_months",
            "whole number",
        ),
        (
            {
                "recurringbillingfrequency": "monthly",
                "hs_term_in_months": "24",
                "hs_recurring_billing_period": "P12M",
            },
            "hs_term_in_months",
            "says 24",
        ),
        ({"hs_position_on_quote": "first"}, "hs_position_on_quote", "whole number"),
        ({"hs_pricing_model": "volume"}, "hs_pricing_model", "flat"),
        ({"hs_tax_rate_group_id": "99"}, "hs_tax_rate_group_id", "no rate"),
        ({"hs_cost_of_goods_sold": "-5"}, "hs_cost_of_goods_sold", "negative"),
    ],
)
def test_a_bad_line_is_named(changes: dict[str, str | None], property: str, says: str) -> None:
    """What cannot be priced stops the document and the error names line, name, property and repair."""
    items = [line(hs_position_on_quote="0"), line(name="Culprit", hs_position_on_quote="1") | changes]
    with pytest.raises(PricingError) as caught:
        price_line_items(items, EUR)
    assert caught.value.property == property
    assert caught.value.line == 2
    assert says in str(caught.value)
    assert "line 2" in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PricingOptions("eur"),
        lambda: PricingOptions(""),
        lambda: PricingOptions("EUR", minor_units=7),
        lambda: Adjustment("", percent=D(1)),
        lambda: Adjustment("both", percent=D(1), amount=D(1)),
        lambda: Adjustment("neither"),
        lambda: Adjustment("negative", amount=D(-1)),
        lambda: Adjustment("odd", percent=D("NaN")),
        lambda: PricingOptions(
            "EUR", taxes=(Adjustment("VAT", percent=D(1)),), tax_groups={"1": Adjustment("T", percent=D(1))}
        ),
        lambda: PricingOptions("EUR", tax_groups={"1": Adjustment("T", amount=D(1))}),
        lambda: price_line_items([], EUR),
        lambda: price_line_items(
            [line()], PricingOptions("EUR", discounts=(Adjustment("Huge", amount=D(101)),))
        ),
    ],
)
def test_bad_options_are_refused(make: object) -> None:
    """Options that mean nothing, or more discount than price, are an error and not a number."""
    with pytest.raises(PricingError):
        make()  # type: ignore[operator]


def test_margin_needs_every_cost() -> None:
    """The margin counts discounts, and one unknown cost makes it unknown."""
    options = PricingOptions("EUR", discounts=(Adjustment("Launch", percent=D(10)),))
    assert price_line_items([line(hs_cost_of_goods_sold="45", quantity="2")], options).margin_percent == D(50)
    assert price_line_items([line(hs_cost_of_goods_sold="45"), line()], options).margin_percent is None


def test_order_follows_the_quote_then_content() -> None:
    """Positions are numbers (10 after 9); lines without one come last by name."""
    items = [
        line(name="Zebra"),
        line(name="Ten", hs_position_on_quote="10"),
        line(name="Nine", hs_position_on_quote="9"),
        line(name="Ant"),
    ]
    assert [one.name for one in price_line_items(items, EUR).lines] == ["Nine", "Ten", "Ant", "Zebra"]


def test_term_lengths_compare_in_months() -> None:
    """Fifty-two weeks are twelve months."""
    assert Term(days=364).in_months == Term(months=12).in_months


def test_options_are_read_from_plain_data() -> None:
    """Options written in a file mean the same as options built in code."""
    raw = {
        "currency": "EUR",
        "discounts": [{"name": "Launch", "percent": "2.5"}],
        "fees": [{"name": "Travel", "amount": 100}],
        "tax_groups": {"19": {"name": "VAT", "percent": 19}},
    }
    assert PricingOptions.parse(raw) == PricingOptions(
        "EUR",
        discounts=(Adjustment("Launch", percent=D("2.5")),),
        fees=(Adjustment("Travel", amount=D(100)),),
        tax_groups={"19": Adjustment("VAT", percent=D(19))},
    )


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"currency": "EUR", "rebates": []},
        {"currency": "EUR", "fees": [{"name": "Travel", "amount": "lots"}]},
        {"currency": "EUR", "fees": [{"name": "Travel", "amount": "1", "currency": "USD"}]},
        {"currency": "EUR", "taxes": [{"percent": "19"}]},
    ],
)
def test_misspelt_options_are_refused(raw: dict[str, object]) -> None:
    """An option that is unknown, unnamed or not a number is an error, never ignored."""
    with pytest.raises(PricingError):
        PricingOptions.parse(raw)
