"""Locale text: lengths of time, figures and money read as people write them."""

from decimal import Decimal as D

import pytest

from flows.documents.text import LocaleText, UnknownLocale
from flows.rules.pricing.pricing import Term
from flows.rules.templates.values import Value, ValueFormat


@pytest.mark.parametrize(
    ("locale", "term", "shown"),
    [
        ("en_US", Term(months=24), "24 months"),
        ("en_US", Term(months=1), "1 month"),
        ("de_DE", Term(months=36), "36 Monate"),
        ("en_US", Term(days=14), "2 weeks"),
        ("en_US", Term(months=1, days=3), "1 month, 3 days"),
        ("de_DE", Term(days=7), "1 Woche"),
    ],
)
def test_terms_are_counted_in_the_reader_s_words(locale: str, term: Term, shown: str) -> None:
    """One month, two months, two weeks: the plural is right in every language."""
    assert LocaleText.of(locale).term(term) == shown


@pytest.mark.parametrize(
    ("locale", "currency", "units", "value", "finest", "shown"),
    [
        ("en_US", "USD", 2, "0.0035", 12, "$0.0035"),
        ("en_US", "USD", 2, "12.5", 12, "$12.50"),
        ("en_US", "JPY", 0, "1000", None, "¥1,000"),
        ("ja_JP", "JPY", 0, "1000", None, "¥1,000"),
        ("fr_FR", "EUR", 2, "1234.5", None, "1\u00a0234,50\u00a0€"),
        ("de_CH", "CHF", 2, "1234.5", None, "CHF\u00a01’234.50"),
        ("en_US", "KWD", 3, "1.5", None, "KWD\u00a01.500"),
        ("en_IN", "INR", 2, "1234567", None, "₹12,34,567.00"),
        ("de_DE", "USD", 2, "99999999999999999.99", None, "99.999.999.999.999.999,99\u00a0$"),
    ],
)
def test_money_keeps_every_digit(
    locale: str, currency: str, units: int, value: str, finest: int | None, shown: str
) -> None:
    """No digit is lost or added, small unit prices keep their decimals, spaces are ones that fonts have."""
    assert LocaleText.of(locale).money(D(value), currency, units, finest=finest) == shown


@pytest.mark.parametrize(
    ("format", "text", "shown"),
    [
        (ValueFormat.DATE, "2026-12-01", "1. Dezember 2026"),
        (ValueFormat.NUMBER, "1234.5678", "1.234,5678"),
        (ValueFormat.PERCENT, "12.5", "12,5\u00a0%"),
        (ValueFormat.MONEY, "10", "10,00\u00a0€"),
        (ValueFormat.MONEY, "", ""),
        (ValueFormat.MULTILINE, "a\nb", "a\nb"),
    ],
)
def test_values_are_shown_in_their_format(format: ValueFormat, text: str, shown: str) -> None:
    """Each declared format has its own way of being written."""
    assert LocaleText.of("de_DE").value(Value(format, text), ("EUR", 2)) == shown


def test_what_cannot_be_shown_is_an_error() -> None:
    """Unknown locales and currencies, and money without a currency, are never guessed."""
    with pytest.raises(UnknownLocale, match="locale"):
        LocaleText.of("../../etc")
    with pytest.raises(UnknownLocale, match="ISO 4217"):
        LocaleText.of("en_US").money(D(1), "ZZZ", 2)
    with pytest.raises(UnknownLocale, match="name a currency"):
        LocaleText.of("en_US").value(Value(ValueFormat.MONEY, "1"), None)
