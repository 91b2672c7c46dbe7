"""Formats values and prices for a locale: the only place where Babel turns numbers and dates into text for
people."""

import re
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_decimal, format_percent, list_currencies
from babel.units import format_unit

from flows.errors import FlowError
from flows.rules.pricing.pricing import AppliedAdjustment, PricedLine, PriceTable, Term
from flows.rules.templates.values import TemplateValues, Value, ValueFormat

_FINEST = 12
# CLDR puts a space between a currency shown as letters and its figure; Babel 2.18 leaves it out.
_CODE_BESIDE_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
# Few fonts have the narrow no-break space of French or the wide yen of Japanese; these read the same.
_PLAIN = str.maketrans({"\u202f": "\u00a0", "\uffe5": "\u00a5"})


class UnknownLocale(FlowError, ValueError):
    """The locale or currency is unknown to Babel's CLDR data."""


@dataclass(frozen=True, slots=True)
class LocaleText:
    """Formats numbers and dates as readers of one locale expect them."""

    locale: Locale

    @classmethod
    def of(cls, name: str) -> "LocaleText":
        """The formats for a name such as en_US; raises `UnknownLocale`."""
        try:
            return cls(Locale.parse(name))
        except (UnknownLocaleError, ValueError):
            raise UnknownLocale(
                f"locale {name[:20]!r} is unknown; use a name such as en_US or de_DE"
            ) from None

    def money(self, value: Decimal, currency: str, units: int, *, finest: int | None = None) -> str:
        """An amount with its currency sign and exactly `units` decimals, or up to `finest` if it has
        more."""
        if currency not in list_currencies():
            raise UnknownLocale(f"currency {currency[:10]!r} is unknown; use an ISO 4217 code such as EUR")
        pattern = copy(self.locale.currency_formats["standard"])
        pattern.frac_prec = (units, finest or units)
        shown: str = pattern.apply(value, self.locale, currency=currency, currency_digits=False)
        shown = _CODE_BESIDE_DIGIT.sub("\u00a0", shown)
        return shown.translate(_PLAIN)

    def number(self, value: Decimal) -> str:
        """A number with all its decimals."""
        return format_decimal(value, locale=self.locale, decimal_quantization=False).translate(_PLAIN)

    def percent(self, value: Decimal) -> str:
        """A percentage; 12.5 becomes 12.5% in English."""
        return format_percent(value / 100, locale=self.locale, decimal_quantization=False).translate(_PLAIN)

    def term(self, term: Term) -> str:
        """A length of time such as 24 months."""
        weeks = term.days // 7 if term.days % 7 == 0 else 0
        parts = [(term.months, "month"), (weeks, "week"), (term.days - 7 * weeks, "day")]
        shown = [format_unit(count, f"duration-{unit}", locale=self.locale) for count, unit in parts if count]
        return format_list(shown, style="unit", locale=self.locale).translate(_PLAIN)

    def value(self, value: Value, currency: tuple[str, int] | None) -> str:
        """A template value in its format; a money value needs the document's currency and number of decimals."""
        if not value.text:
            return ""
        match value.format:
            case ValueFormat.DATE:
                return format_date(value.date, format="long", locale=self.locale).translate(_PLAIN)
            case ValueFormat.MONEY:
                if currency is None:
                    raise UnknownLocale(
                        "a money value is shown but neither the prices nor extra name a currency"
                    )
                return self.money(value.decimal, *currency, finest=max(currency[1], 2))
            case ValueFormat.NUMBER:
                return self.number(value.decimal)
            case ValueFormat.PERCENT:
                return self.percent(value.decimal)
            case _:
                return value.text


def show_values(values: TemplateValues, text: LocaleText, currency: tuple[str, int] | None) -> dict[str, str]:
    """Every value, formatted."""
    return {name: text.value(value, currency) for name, value in values.values.items()}


def show_pricing(table: PriceTable, text: LocaleText) -> dict[str, Any]:
    """The price table, formatted, without costs and margins."""

    def money(amount: Decimal) -> str:
        return text.money(amount, table.currency, table.minor_units)

    value = table.total_contract_value
    return {
        "currency": table.currency,
        "lines": [_show_line(line, table, text) for line in table.lines],
        "discounted": any(line.discount_amount for line in table.lines),
        "subtotal": money(table.subtotal),
        "discounts": [_show_adjustment(one, text, money(one.amount)) for one in table.discounts],
        "fees": [_show_adjustment(one, text, money(one.amount)) for one in table.fees],
        "taxes": [_show_adjustment(one, text, money(one.amount)) for one in table.taxes],
        "total": money(table.total),
        "one_time": money(table.one_time) if table.one_time else "",
        "recurring": [{"billing": one.billing.value, "amount": money(one.amount)} for one in table.recurring],
        "contract_value": money(value) if value is not None else "",
    }


def _show_line(line: PricedLine, table: PriceTable, text: LocaleText) -> dict[str, Any]:
    discount = ""
    if line.discount_percent is not None:
        discount = text.percent(line.discount_percent)
    elif line.discount_per_unit is not None:
        discount = text.money(line.discount_amount, table.currency, table.minor_units)
    return {
        "number": str(line.number),
        "name": " ".join(line.name.split()),
        "description": "\n".join(
            " ".join(part.split()) for part in line.description.splitlines() if part.strip()
        ),
        "sku": line.sku,
        "quantity": text.number(line.quantity),
        "unit_price": text.money(line.unit_price, table.currency, table.minor_units, finest=_FINEST),
        "discount": discount,
        "amount": text.money(line.net_amount, table.currency, table.minor_units),
        "billing": line.billing.value,
        "term": text.term(line.term) if line.term else "",
    }


def _show_adjustment(one: AppliedAdjustment, text: LocaleText, amount: str) -> Mapping[str, str]:
    percent = text.percent(one.percent) if one.percent is not None else ""
    return {"name": one.name, "percent": percent, "amount": amount}
