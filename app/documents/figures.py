"""Money, percentages, numbers and dates as a language writes them, with ISO 4217's decimals."""

import copy
import re
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Final

from babel import Locale
from babel.dates import format_date
from babel.numbers import NumberPattern, format_decimal

from app.domain.currency import EXPONENTS

PERCENT_DECIMALS_MAX: Final = 4
"""Stored rates count millionths."""
# Babel leaves out the space that CLDR wants between a code of letters and a digit.
LETTERS_AND_DIGIT: Final = re.compile(r"(?<=[A-Za-z])(?=[0-9])")
NO_BREAK_SPACE: Final = "\u00a0"


@lru_cache(maxsize=256)
def _currency_pattern(language: str, places: int) -> NumberPattern:
    pattern: NumberPattern = copy.copy(Locale.parse(language).currency_formats["standard"])
    pattern.frac_prec = (places, places)
    return pattern


@lru_cache(maxsize=32)
def _percent_pattern(language: str) -> NumberPattern:
    pattern: NumberPattern = copy.copy(Locale.parse(language).percent_formats[None])
    pattern.frac_prec = (0, PERCENT_DECIMALS_MAX)
    return pattern


def major(amount: int, currency: str) -> Decimal:
    """Minor units as an exact decimal number of major ones."""
    return Decimal(amount).scaleb(-EXPONENTS[currency])


def money(amount: int, currency: str, language: str) -> str:
    """An amount in minor units: 1234567 EUR is "12.345,67 €" in German, 5 JPY is "¥5"."""
    pattern = _currency_pattern(language, EXPONENTS[currency])
    locale = Locale.parse(language)
    text = pattern.apply(major(amount, currency), locale, currency=currency, currency_digits=False)
    return LETTERS_AND_DIGIT.sub(NO_BREAK_SPACE, text)


def percent(rate_ppm: int, language: str) -> str:
    """A rate in millionths: 190000 is "19 %" in German."""
    rate = Decimal(rate_ppm).scaleb(-6)
    written: str = _percent_pattern(language).apply(rate, Locale.parse(language))
    return written


def whole(number: int, language: str) -> str:
    """A whole number with its groups."""
    return format_decimal(number, locale=language)


def day(at: date, language: str) -> str:
    """A calendar day, the month in words."""
    return format_date(at, format="long", locale=language)


def short_day(at: date, language: str) -> str:
    """A calendar day, as short as it stays clear."""
    return format_date(at, format="medium", locale=language)
