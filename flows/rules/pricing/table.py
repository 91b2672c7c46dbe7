"""What a priced deal looks like: the options, the lines, the sums; money is in the table's currency."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from flows.rules.pricing.terms import Billing, PricingError, Term, minor_units

_ZERO = Decimal(0)
_HUNDRED = Decimal(100)


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A discount, fee or tax on the whole deal: a name and a percent (10 means 10 %) or an amount."""

    name: str
    percent: Decimal | None = None
    amount: Decimal | None = None

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise PricingError("a discount, fee or tax needs a name")
        given = [value for value in (self.percent, self.amount) if value is not None]
        if len(given) != 1:
            raise PricingError("give either a percent or an amount", property=self.name)
        if not given[0].is_finite() or given[0] < 0:
            raise PricingError(f"{given[0]} must be zero or more", property=self.name)


@dataclass(frozen=True, slots=True)
class PricingOptions:
    """What applies to the whole deal. `currency` is ISO 4217; `minor_units` overrides its usual decimals.

    Percentages of one kind all work on the same sum: discounts on the subtotal, fees on what discounts left,
    taxes on that plus fees. `tax_groups` (HubSpot tax-rate group id -> named percent) taxes each line by its
    own group, fees untaxed; it is the alternative to `taxes`, which tax the whole deal and set the groups
    aside.
    """

    currency: str
    minor_units: int | None = None
    discounts: tuple[Adjustment, ...] = ()
    fees: tuple[Adjustment, ...] = ()
    taxes: tuple[Adjustment, ...] = ()
    tax_groups: Mapping[str, Adjustment] = field(default_factory=dict)

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> "PricingOptions":
        """From parsed YAML or JSON: `currency`, and lists of {name, percent or amount}; numbers best as text.

        `tax_groups` maps a HubSpot tax-rate group id to one {name, percent}. Raises `PricingError`.
        """
        if unknown := set(raw) - {"currency", "minor_units", "discounts", "fees", "taxes", "tax_groups"}:
            raise PricingError(f"unknown pricing option: {', '.join(sorted(unknown))}")
        return cls(
            currency=str(raw.get("currency") or ""),
            minor_units=raw.get("minor_units"),
            discounts=_adjustments(raw.get("discounts") or (), "discounts"),
            fees=_adjustments(raw.get("fees") or (), "fees"),
            taxes=_adjustments(raw.get("taxes") or (), "taxes"),
            tax_groups={
                str(group): _adjustments([one], "tax_groups")[0]
                for group, one in (raw.get("tax_groups") or {}).items()
            },
        )

    def __post_init__(self) -> None:
        standard = minor_units(self.currency)
        if not 0 <= (standard if self.minor_units is None else self.minor_units) <= 6:
            raise PricingError(f"minor_units must be 0 to 6, not {self.minor_units}", property="currency")
        if self.taxes and self.tax_groups:
            raise PricingError(
                "give taxes for the whole deal or tax groups for its lines, not both", property="taxes"
            )
        for group, tax in self.tax_groups.items():
            if tax.percent is None:
                raise PricingError("a tax group needs a percent", property=group)


def _adjustments(raw: Iterable[Mapping[str, Any]], kind: str) -> tuple[Adjustment, ...]:
    parsed = []
    for one in raw:
        if unknown := set(one) - {"name", "percent", "amount"}:
            raise PricingError(f"unknown key: {', '.join(sorted(unknown))}", property=kind)
        try:
            percent, amount = (
                Decimal(str(one[key])) if one.get(key) is not None else None for key in ("percent", "amount")
            )
        except InvalidOperation:
            raise PricingError(
                "percent and amount must be plain numbers such as 2.5", property=kind
            ) from None
        parsed.append(Adjustment(str(one.get("name") or ""), percent, amount))
    return tuple(parsed)


@dataclass(frozen=True, slots=True)
class PricedLine:
    """One row. Amounts are in the table's currency, per billing period; `contract_amount` is over the term.

    `unit_cost` is internal: it is for margin rules and must never be shown to a buyer.
    """

    number: int
    name: str
    description: str
    sku: str
    quantity: Decimal
    unit_price: Decimal
    discount_percent: Decimal | None
    discount_per_unit: Decimal | None
    list_amount: Decimal
    discount_amount: Decimal
    net_amount: Decimal
    billing: Billing
    term: Term | None
    contract_amount: Decimal | None
    tax_group: str
    unit_cost: Decimal | None


@dataclass(frozen=True, slots=True)
class AppliedAdjustment:
    """A discount, fee or tax with the money it came to (zero or more; a discount's is subtracted)."""

    name: str
    percent: Decimal | None
    amount: Decimal


@dataclass(frozen=True, slots=True)
class RecurringSum:
    """What all lines of one billing frequency come to per period, after line discounts."""

    billing: Billing
    amount: Decimal


@dataclass(frozen=True, slots=True)
class PriceTable:
    """The priced deal. `subtotal` is the sum of the lines' `net_amount`; `total` is what the first bills are.

    `one_time` and `recurring` split the subtotal by billing frequency. `total_contract_value` is everything
    over the terms less the deal's discounts (percent of all of it, amounts once), before fees and taxes;
    None when a recurring line has no term, because an open-ended promise has no total.
    """

    currency: str
    minor_units: int
    lines: tuple[PricedLine, ...]
    subtotal: Decimal
    discounts: tuple[AppliedAdjustment, ...]
    fees: tuple[AppliedAdjustment, ...]
    taxes: tuple[AppliedAdjustment, ...]
    total: Decimal
    one_time: Decimal
    recurring: tuple[RecurringSum, ...]
    total_contract_value: Decimal | None

    @property
    def open_ended(self) -> bool:
        """True when a recurring line has no term."""
        return self.total_contract_value is None

    @property
    def list_total(self) -> Decimal:
        """The lines before any discount."""
        return sum((line.list_amount for line in self.lines), _ZERO)

    @property
    def discount_percent(self) -> Decimal:
        """All discounts, line and deal, as percent of the list total; what an approval rule looks at."""
        if not self.list_total:
            return _ZERO
        given = self.list_total - self.subtotal + sum((one.amount for one in self.discounts), _ZERO)
        return given * _HUNDRED / self.list_total

    @property
    def margin_percent(self) -> Decimal | None:
        """Margin after discounts in percent of the net price; None without all costs or at a price of
        zero."""
        net = self.subtotal - sum((one.amount for one in self.discounts), _ZERO)
        cost = _ZERO
        for line in self.lines:
            if line.unit_cost is None:
                return None
            cost += line.unit_cost * line.quantity
        return (net - cost) * _HUNDRED / net if net else None
