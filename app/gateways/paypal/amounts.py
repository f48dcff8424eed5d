"""Amounts as PayPal writes them: decimal strings, in its own currencies with its own decimals.

PayPal's decimals are not always ISO's: forints and Taiwan dollars travel as whole units. What
cannot be written exactly is refused before anything is sent; nothing is ever rounded.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import BaseModel

from app.domain import decimals
from app.domain.currency import EXPONENTS
from app.domain.errors import InvalidRequest
from app.gateways.base import InvalidRequestError

# https://developer.paypal.com/api/rest/reference/currency-codes/ ; BRL, CNY and MYR are for
# accounts of their own countries only, which PayPal itself tells apart.
CODES_BY_DECIMALS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "HUF JPY TWD",
        2: """
            AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD ILS MXN MYR NOK NZD PHP PLN SEK SGD THB USD
        """,
    }
)
DECIMALS: Final[Mapping[str, int]] = MappingProxyType(
    {code: places for places, codes in CODES_BY_DECIMALS.items() for code in codes.split()}
)
CURRENCIES: Final = frozenset(DECIMALS)
DIGITS_MAX: Final = 15
"""Before the decimal point, of an order's amount."""


class UnreadableAmount(ValueError):
    """PayPal says an amount that is not a whole number of the currency's minor units."""


class Amount(BaseModel):
    """An amount in PayPal's words."""

    currency_code: str
    value: str

    def minor(self) -> int:
        """The same in ISO 4217's minor units, exactly; refunds are negative in reports.

        Raises UnreadableAmount.
        """
        places = EXPONENTS.get(self.currency_code)
        if places is None:
            raise UnreadableAmount(self.currency_code)
        whole, _, fraction = self.value.partition(".")
        # "10.00" yen are ten yen; "10.50" are none that exist.
        kept = fraction.rstrip("0")
        try:
            return decimals.parse(f"{whole}.{kept}" if kept else whole, places)
        except InvalidRequest:
            raise UnreadableAmount(self.currency_code) from None


def write(amount_minor: int, currency: str) -> dict[str, str]:
    """An amount for PayPal. Raises InvalidRequestError for one that it cannot take exactly."""
    assert type(amount_minor) is int, "amounts are whole minor units"
    places = DECIMALS.get(currency)
    if places is None:
        raise InvalidRequestError(
            f"PayPal does not take {currency}.", code="currency_not_supported", param="currency"
        )
    if amount_minor <= 0:
        raise InvalidRequestError(
            "PayPal takes amounts above zero only.", code="amount_not_positive", param="amount"
        )
    scale = 10 ** (EXPONENTS[currency] - places)
    if amount_minor % scale:
        raise InvalidRequestError(
            f"PayPal takes {currency} in whole units only.",
            code="amount_not_representable",
            param="amount",
        )
    value = decimals.show(amount_minor // scale, places, places_min=places)
    if len(value.partition(".")[0]) > DIGITS_MAX:
        raise InvalidRequestError(
            "The amount is more than PayPal takes.", code="amount_too_large", param="amount"
        )
    return {"currency_code": currency, "value": value}
