"""ISO 4217: how many decimals each currency has, and amounts as people write them ("12.34")."""

from collections.abc import Mapping
from typing import Final

from app.domain import decimals
from app.domain.errors import InvalidRequest
from app.domain.money import Money

# Every active code that has a minor unit; gold, test and "no currency" codes have none.
# A test compares this table with the standard's published list.
CODES_BY_DECIMALS: Final[Mapping[int, str]] = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
        CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
        GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK
        LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO
        NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS
        SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST
        XAD XCD XCG YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
EXPONENTS: Final[Mapping[str, int]] = {
    code: places for places, codes in CODES_BY_DECIMALS.items() for code in codes.split()
}


def exponent(currency: str) -> int:
    """How many decimals `currency` has: 2 for EUR, 0 for JPY, 3 for KWD. Raises InvalidRequest."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise InvalidRequest(
            f"{currency[:40]!r} is not an active ISO 4217 currency code.",
            code="unknown_currency",
            param="currency",
        ) from None


def parse(text: str, currency: str, *, param: str | None = None) -> Money:
    """The amount written as `text` in major units, exactly: "12.34" EUR is 1234 cents.

    Raises InvalidRequest, also when there are more decimals than the currency has.
    """
    return Money(decimals.parse(text, exponent(currency), param=param), currency)


def show(money: Money) -> str:
    """`money` in major units with all of its currency's decimals: "12.30", "-0.05", "1500"."""
    places = exponent(money.currency)
    return decimals.show(money.minor, places, places_min=places)
