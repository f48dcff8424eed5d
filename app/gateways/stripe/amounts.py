"""Amounts at Stripe: whole numbers in units that are not always those of ISO 4217.

Source: https://docs.stripe.com/currencies (zero-decimal currencies, special cases, and the rule for
three-decimal ones). Nothing is ever rounded: what Stripe cannot take exactly is refused before it
is sent.
"""

from dataclasses import dataclass
from typing import Final

from app.domain.currency import EXPONENTS
from app.gateways.base import InvalidRequestError

HUNDREDFOLD: Final = frozenset({"ISK", "UGX"})
"""No decimals by now, but still written at Stripe as if they had two: 5 krónur are 500."""
HUNDREDTH: Final = frozenset({"MGA"})
"""Two decimals in the standard, none at Stripe."""
TENS: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
"""Three decimals, of which card networks take two: the last digit must be 0."""
ZERO_DECIMAL: Final = frozenset(
    "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()  # noqa: SIM905
)
SUPPORTED: Final = frozenset(
    code
    for code, places in EXPONENTS.items()
    if places == 2 or code in ZERO_DECIMAL | HUNDREDFOLD | TENS  # noqa: PLR2004  as most have
)
"""Those that we know how to write; which of them an account may use, Stripe says itself."""
NOT_REPRESENTABLE: Final = "amount_not_representable"


class UnreadableAmount(ValueError):
    """An amount of Stripe's that the standard's minor units cannot express."""


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount and its currency as Stripe writes them."""

    value: int
    currency: str


def written(amount_minor: int, currency: str) -> Amount:
    """The amount as Stripe writes it, exactly. Raises InvalidRequestError."""
    if currency not in SUPPORTED:
        raise _refused(f"How Stripe writes amounts in {currency} is not known.", "currency")
    value = amount_minor
    if currency in HUNDREDFOLD:
        value = amount_minor * 100
    elif currency in HUNDREDTH:
        value, rest = divmod(amount_minor, 100)
        if rest:
            raise _refused(f"Stripe takes whole {currency} only.")
    elif currency in TENS and amount_minor % 10:
        raise _refused(f"Stripe takes {currency} with two decimals only: the third must be 0.")
    if value <= 0:
        raise _refused("An amount is above zero.")
    return Amount(value, currency.lower())


def read(value: int, currency: str) -> int:
    """Stripe's `value` in minor units of ISO 4217. Raises UnreadableAmount."""
    code = currency.upper()
    if code in HUNDREDTH:
        return value * 100
    if code in HUNDREDFOLD:
        amount_minor, rest = divmod(value, 100)
        if rest:
            raise UnreadableAmount(f"{value} of {code} is no whole number of its units")
        return amount_minor
    return value


def _refused(message: str, param: str = "amount") -> InvalidRequestError:
    return InvalidRequestError(message, code=NOT_REPRESENTABLE, param=param)
