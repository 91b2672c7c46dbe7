"""Priced tables: HubSpot line items in, a frozen table whose shown figures add up exactly out.

Every figure a buyer can see is rounded once, by `_Money.rounded`, half up, to the currency's minor unit; sums
are sums of figures already rounded. Line amounts are per billing period, as HubSpot means `price`. The order
of the lines depends on what they say (position on the quote, then content), never on the order in which they
arrived, so the same deal always gives the same document.

Vendor facts: a line carries unit price, discount and term; deal-level discounts, fees and taxes are applied
in that order; `price` is never negative (developers.hubspot.com, api-reference/latest/crm/objects,
line-items/guide and quotes/guide, stored copies read 2026-11-22).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction

from flows.rules.pricing.table import (
    Adjustment,
    AppliedAdjustment,
    PricedLine,
    PriceTable,
    PricingOptions,
    RecurringSum,
)
from flows.rules.pricing.terms import (
    MONTHS_PER_PERIOD,
    Billing,
    LineProperties,
    LineReader,
    PricingError,
    Term,
    minor_units,
    read_billing,
    read_term,
)

__all__ = [
    "Adjustment",
    "AppliedAdjustment",
    "Billing",
    "PriceTable",
    "PricedLine",
    "PricingError",
    "PricingOptions",
    "RecurringSum",
    "Term",
    "price_line_items",
]

_ZERO = Decimal(0)
_HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class _Money:
    quantum: Decimal

    def rounded(self, value: Decimal) -> Decimal:
        """The one place where money is rounded."""
        return value.quantize(self.quantum, rounding=ROUND_HALF_UP)

    def sum(self, values: Iterable[Decimal]) -> Decimal:
        return sum(values, _ZERO.quantize(self.quantum))

    def share(self, rate: Decimal, base: Decimal) -> Decimal:
        return self.rounded(base * rate / _HUNDRED)


def price_line_items(items: Iterable[LineProperties], options: PricingOptions) -> PriceTable:
    """Price a deal's line items; raises `PricingError` naming the line and the property at fault."""
    ordered = sorted(items, key=_place)
    if not ordered:
        raise PricingError("the deal has no line items; add at least one in HubSpot", property="line items")
    units = minor_units(options.currency) if options.minor_units is None else options.minor_units
    with localcontext() as context:
        context.prec = 80
        money = _Money(Decimal(1).scaleb(-units))
        lines = tuple(
            _price_line(LineReader(number, item), options, money)
            for number, item in enumerate(ordered, start=1)
        )
        return _total(lines, options, money, units)


def _place(item: LineProperties) -> tuple[Decimal, str, str, str]:
    """Sort key: position on the quote, then content, so that ties do not depend on the order of arrival."""
    position = LineReader(0, item).text("hs_position_on_quote")
    content = repr(sorted((key, value) for key, value in item.items() if value))
    placed = Decimal(position) if position.isascii() and position.isdigit() else Decimal("Infinity")
    return placed, item.get("name") or "", item.get("hs_sku") or "", content


def _price_line(line: LineReader, options: PricingOptions, money: _Money) -> PricedLine:
    _refuse_what_we_cannot_price(line, options)
    quantity, price = line.number_of("quantity"), line.number_of("price")
    if not quantity:
        raise line.fail("quantity", "is zero; set a quantity or remove the line")
    percent, per_unit = _read_discount(line, price)
    net_unit = price * (_HUNDRED - percent) / _HUNDRED if percent is not None else price - (per_unit or _ZERO)
    listed, net = money.rounded(quantity * price), money.rounded(quantity * net_unit)
    billing = read_billing(line)
    term = read_term(line) if billing is not Billing.ONE_TIME else None
    return PricedLine(
        number=line.number,
        name=line.text("name"),
        description=line.text("description"),
        sku=line.text("hs_sku"),
        quantity=quantity,
        unit_price=price,
        discount_percent=percent,
        discount_per_unit=per_unit,
        list_amount=listed,
        discount_amount=listed - net,
        net_amount=net,
        billing=billing,
        term=term,
        contract_amount=_over_the_term(line, net, billing, term, money),
        tax_group=line.text("hs_tax_rate_group_id"),
        unit_cost=line.optional_number("hs_cost_of_goods_sold"),
    )


def _refuse_what_we_cannot_price(line: LineReader, options: PricingOptions) -> None:
    if not line.text("name"):
        raise line.fail("name", "is missing; a buyer must be able to read what the line is")
    position = line.text("hs_position_on_quote")
    if position and not (position.isascii() and position.isdigit()):
        raise line.fail("hs_position_on_quote", f"'{position[:40]}' is not a whole number from 0")
    model = line.text("hs_pricing_model")
    if model and model.lower() != "flat":
        raise line.fail(
            "hs_pricing_model", f"'{model[:40]}' pricing is not quantity times price; use flat pricing"
        )
    currency = line.text("hs_line_item_currency_code")
    if currency and currency != options.currency:
        raise line.fail(
            "hs_line_item_currency_code",
            f"is {currency[:10]} but the deal is in {options.currency}; one document has one currency",
        )
    group = line.text("hs_tax_rate_group_id")
    if group and not options.taxes and group not in options.tax_groups:
        raise line.fail(
            "hs_tax_rate_group_id", f"tax rate group {group[:40]} has no rate; name it in tax_groups"
        )


def _read_discount(line: LineReader, price: Decimal) -> tuple[Decimal | None, Decimal | None]:
    """Percent or amount per unit; both may be set only when they mean the same (zero counts as not set)."""
    percent = line.optional_number("hs_discount_percentage") or None
    per_unit = line.optional_number("discount") or None
    if percent is not None and percent > _HUNDRED:
        raise line.fail("hs_discount_percentage", f"{percent} % is more than the whole price")
    if per_unit is not None and per_unit > price:
        raise line.fail("discount", f"{per_unit} per unit is more than the price of {price}")
    if percent is not None and per_unit is not None:
        if abs(price * percent / _HUNDRED - per_unit) > Decimal("0.01"):
            raise line.fail(
                "discount", f"{per_unit} per unit contradicts hs_discount_percentage {percent}; keep one"
            )
        per_unit = None
    return percent, per_unit


def _over_the_term(
    line: LineReader, net: Decimal, billing: Billing, term: Term | None, money: _Money
) -> Decimal | None:
    """Net amount over the term, part periods in proportion; None for a recurring line without a term."""
    if billing is Billing.ONE_TIME:
        return net
    if term is None:
        return None
    periods = Fraction(term.in_months) / MONTHS_PER_PERIOD[billing]
    if periods < 1:
        raise line.fail("hs_recurring_billing_period", f"the term is shorter than one {billing.value} period")
    return money.rounded(net * periods.numerator / periods.denominator)


def _total(lines: tuple[PricedLine, ...], options: PricingOptions, money: _Money, units: int) -> PriceTable:
    subtotal = money.sum(line.net_amount for line in lines)
    discounts = _apply(options.discounts, subtotal, money)
    discounted = subtotal - money.sum(one.amount for one in discounts)
    if discounted < 0:
        raise PricingError(
            f"discounts exceed the subtotal of {subtotal} {options.currency}", property="discounts"
        )
    fees = _apply(options.fees, discounted, money)
    taxable = discounted + money.sum(one.amount for one in fees)
    taxes = _apply(options.taxes, taxable, money) or _group_taxes(lines, subtotal, discounted, options, money)
    return PriceTable(
        currency=options.currency,
        minor_units=units,
        lines=lines,
        subtotal=subtotal,
        discounts=discounts,
        fees=fees,
        taxes=taxes,
        total=taxable + money.sum(one.amount for one in taxes),
        one_time=money.sum(line.net_amount for line in lines if line.billing is Billing.ONE_TIME),
        recurring=_recurring(lines, money),
        total_contract_value=_contract_value(lines, options, money),
    )


def _apply(
    adjustments: tuple[Adjustment, ...], base: Decimal, money: _Money
) -> tuple[AppliedAdjustment, ...]:
    return tuple(
        AppliedAdjustment(
            name=one.name.strip(),
            percent=one.percent,
            amount=money.share(one.percent, base)
            if one.percent is not None
            else money.rounded(one.amount or _ZERO),
        )
        for one in adjustments
    )


def _group_taxes(
    lines: tuple[PricedLine, ...],
    subtotal: Decimal,
    discounted: Decimal,
    options: PricingOptions,
    money: _Money,
) -> tuple[AppliedAdjustment, ...]:
    """One tax per group on its lines, each line bearing its share of the deal's discounts."""
    applied = []
    for group in sorted({line.tax_group for line in lines if line.tax_group} & set(options.tax_groups)):
        tax = options.tax_groups[group]
        base = money.sum(line.net_amount for line in lines if line.tax_group == group)
        kept = base * discounted / subtotal if subtotal else _ZERO
        applied.append(
            AppliedAdjustment(tax.name.strip(), tax.percent, money.share(tax.percent or _ZERO, kept))
        )
    return tuple(applied)


def _recurring(lines: tuple[PricedLine, ...], money: _Money) -> tuple[RecurringSum, ...]:
    present = {line.billing for line in lines}
    return tuple(
        RecurringSum(billing, money.sum(line.net_amount for line in lines if line.billing is billing))
        for billing in MONTHS_PER_PERIOD
        if billing in present
    )


def _contract_value(lines: tuple[PricedLine, ...], options: PricingOptions, money: _Money) -> Decimal | None:
    whole = money.sum(())
    for line in lines:
        if line.contract_amount is None:
            return None
        whole += line.contract_amount
    taken = money.sum(one.amount for one in _apply(options.discounts, whole, money))
    return max(whole - taken, money.sum(()))
