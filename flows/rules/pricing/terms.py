"""The words of a price: how often a line is billed, for how long, in which currency, and what is wrong."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final

from flows.errors import FlowError

LineProperties = Mapping[str, str | None]
"""One HubSpot line item's properties; every value is text or None, as the CRM answers."""

_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
_DURATION: Final = re.compile(r"P(?:([0-9]{1,4})Y)?(?:([0-9]{1,4})M)?(?:([0-9]{1,4})W)?(?:([0-9]{1,5})D)?")
_LARGEST: Final = Decimal(10) ** 15
_FINEST: Final = -12

# Where ISO 4217 does not mean two decimals. HUF and the like keep their official two.
_MINOR_UNITS: Final[Mapping[str, int]] = {
    **dict.fromkeys(["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"], 0),
    **dict.fromkeys(["RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"], 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


class PricingError(FlowError, ValueError):
    """A line item or option that cannot be priced; the text names the line, the property and the repair.

    Fields: `line` (1-based place in the table, None for an option), `property` (HubSpot's name), `problem`.
    """

    def __init__(self, problem: str, *, line: int | None = None, name: str = "", property: str = "") -> None:
        self.line, self.property, self.problem = line, property, problem
        where = [f"line {line}" + (f" ({name})" if name else "")] if line is not None else []
        super().__init__(": ".join([*where, *([property] if property else []), problem]))


class Billing(StrEnum):
    """How often a line is billed: HubSpot's `recurringbillingfrequency`, where one-time is empty."""

    ONE_TIME = "one_time"
    WEEKLY = "weekly"
    BIWEEKLY = "biweekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    PER_SIX_MONTHS = "per_six_months"
    ANNUALLY = "annually"
    PER_TWO_YEARS = "per_two_years"
    PER_THREE_YEARS = "per_three_years"
    PER_FOUR_YEARS = "per_four_years"
    PER_FIVE_YEARS = "per_five_years"


MONTHS_PER_PERIOD: Final[Mapping[Billing, Fraction]] = {
    Billing.WEEKLY: Fraction(12, 52),
    Billing.BIWEEKLY: Fraction(24, 52),
    Billing.MONTHLY: Fraction(1),
    Billing.QUARTERLY: Fraction(3),
    Billing.PER_SIX_MONTHS: Fraction(6),
    Billing.ANNUALLY: Fraction(12),
    Billing.PER_TWO_YEARS: Fraction(24),
    Billing.PER_THREE_YEARS: Fraction(36),
    Billing.PER_FOUR_YEARS: Fraction(48),
    Billing.PER_FIVE_YEARS: Fraction(60),
}
"""Months between two bills. A year has 52 weeks: a weekly line over twelve months is billed 52 times."""


@dataclass(frozen=True, slots=True)
class Term:
    """How long a recurring line runs: whole months plus whole days (a week is given as seven days)."""

    months: int = 0
    days: int = 0

    @property
    def in_months(self) -> Fraction:
        """The length in months (a week is 12/52 of a month, a day a seventh of that)."""
        return self.months + Fraction(self.days, 7) * Fraction(12, 52)


@dataclass(frozen=True, slots=True)
class LineReader:
    """Reads one line's properties and raises `PricingError` with that line's place and name."""

    number: int
    properties: LineProperties

    def text(self, name: str) -> str:
        """The property without surrounding white space; empty when absent."""
        return (self.properties.get(name) or "").strip()

    def fail(self, name: str, problem: str) -> PricingError:
        """The error to raise for this line."""
        return PricingError(problem, line=self.number, name=self.text("name")[:80], property=name)

    def optional_number(self, name: str) -> Decimal | None:
        """A finite number of zero or more, None when absent; a negative or unreadable one raises."""
        text = self.text(name)
        if not text:
            return None
        if not _NUMBER.fullmatch(text):
            raise self.fail(name, f"'{text[:40]}' is not a plain number such as 1250.00")
        value = Decimal(text)
        if value < 0:
            raise self.fail(name, f"{text[:40]} is negative; give a discount instead")
        if value >= _LARGEST or (value and value.adjusted() < _FINEST):
            raise self.fail(name, f"{text[:40]} is out of range (below {_LARGEST:,}, at most 12 decimals)")
        return value + 0

    def number_of(self, name: str) -> Decimal:
        """A number that must be there; zero is a number."""
        value = self.optional_number(name)
        if value is None:
            raise self.fail(name, "is missing; fill it in on the line item in HubSpot")
        return value


def minor_units(currency: str) -> int:
    """Decimals of a currency by ISO 4217 (EUR 2, JPY 0, KWD 3); raises `PricingError` if it is no code."""
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise PricingError(
            f"'{currency[:10]}' is not a currency code such as EUR; set the deal's currency",
            property="currency",
        )
    return _MINOR_UNITS.get(currency, 2)


def read_billing(line: LineReader) -> Billing:
    """The billing frequency; empty means one-time (HubSpot leaves it empty for that)."""
    text = line.text("recurringbillingfrequency").lower()
    try:
        return Billing(text) if text else Billing.ONE_TIME
    except ValueError:
        known = ", ".join(one.value for one in Billing if one is not Billing.ONE_TIME)
        raise line.fail("recurringbillingfrequency", f"'{text[:40]}' is unknown; known: {known}") from None


def read_term(line: LineReader) -> Term | None:
    """The term of a line, None when open-ended; HubSpot's two spellings must agree when both are set.

    Accepts PnYnMnD and PnW (HubSpot line-items guide, read 2026-11-22); `hs_term_in_months` is HubSpot's own
    reading of the same and is 0 when nothing was entered.
    """
    stated = _read_duration(line)
    months = line.optional_number("hs_term_in_months")
    if months is None or months == 0:
        return stated
    if months != months.to_integral_value():
        raise line.fail("hs_term_in_months", f"{months} is not a whole number of months")
    if stated is None:
        return Term(months=int(months))
    if stated.days == 0 and stated.months != int(months):
        raise line.fail(
            "hs_term_in_months", f"says {months} months but hs_recurring_billing_period says {stated.months}"
        )
    return stated


def _read_duration(line: LineReader) -> Term | None:
    text = line.text("hs_recurring_billing_period").upper()
    if not text:
        return None
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        raise line.fail("hs_recurring_billing_period", f"'{text[:40]}' is not a duration such as P12M or P1Y")
    years, months, weeks, days = (int(part or 0) for part in found.groups())
    term = Term(months=years * 12 + months, days=weeks * 7 + days)
    if not term.in_months:
        raise line.fail("hs_recurring_billing_period", f"'{text[:40]}' lasts no time at all")
    return term
