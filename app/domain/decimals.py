"""Decimal text to and from scaled integers, exactly: "0.0125" with 4 places is 125. No float."""

import re
from typing import Final

from app.domain.errors import InvalidRequest

DECIMAL: Final = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,18}))?", re.ASCII)
"""At most 15 digits before the point: every amount then fits the database's 64-bit integers."""


def parse(text: str, places: int, *, param: str | None = None) -> int:
    """`text` times 10**places, exactly. Raises InvalidRequest on more than `places` decimals."""
    match = DECIMAL.fullmatch(text)
    if match is None:
        raise InvalidRequest(
            f"{text[:40]!r} is not a plain decimal number such as 12.5.",
            code="invalid_decimal",
            param=param,
        )
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if len(fraction) > places:
        raise InvalidRequest(
            f"{text!r} has {len(fraction)} decimal places; {_at_most(places)} allowed.",
            code="too_many_decimals",
            param=param,
        )
    value = int(whole + fraction.ljust(places, "0"))
    return -value if sign else value


def show(value: int, places: int, *, places_min: int = 0) -> str:
    """`value` / 10**places as text, without trailing zeros beyond `places_min` decimals."""
    digits = str(abs(value)).rjust(places + 1, "0")
    whole, fraction = digits[: len(digits) - places], digits[len(digits) - places :]
    fraction = fraction.rstrip("0").ljust(places_min, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def _at_most(places: int) -> str:
    return "none are" if places == 0 else f"at most {places} {'is' if places == 1 else 'are'}"
