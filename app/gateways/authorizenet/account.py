"""What an Authorize.net account needs to be opened, and what the engine may rely on at it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from pydantic import SecretStr

from app.domain import currency as currencies
from app.domain.money import Money
from app.domain.vault import SetupFlow
from app.gateways.authorizenet.api import Api, Credentials
from app.gateways.authorizenet.books import Books
from app.gateways.base import (
    AccountMode,
    AccountSettings,
    ConfigurationError,
    CredentialField,
    InvalidRequestError,
)
from app.gateways.capabilities import (
    AmountFormat,
    Capabilities,
    FuzzyWindow,
    News,
    NoKey,
    PerOrder,
)
from app.http import HttpClient

NAME: Final = "authorizenet"
HOSTS: Final = MappingProxyType(
    {
        AccountMode.LIVE: "https://api.authorize.net",
        AccountMode.TEST: "https://apitest.authorize.net",
    }
)
SCRIPTS: Final = MappingProxyType(
    {
        AccountMode.LIVE: "https://js.authorize.net/v1/Accept.js",
        AccountMode.TEST: "https://jstest.authorize.net/v1/Accept.js",
    }
)
DUPLICATE_WINDOW_SECONDS: Final = 28_800
"""Eight hours, the longest there is."""
FRESHNESS_SECONDS: Final = 900
"""A transaction that is not listed a quarter of an hour later is not there."""
REFERENCE_CHARS: Final = 20
REVIEW_SECONDS: Final = 31 * 86_400
"""A review may take 30 days; after them the gateway gives the transaction up by itself."""
VALIDATION_MODES: Final = ("liveMode", "testMode", "none")

CAPABILITIES: Final = Capabilities(
    charge_repeatability=FuzzyWindow(DUPLICATE_WINDOW_SECONDS),
    refund_repeatability=NoKey(),
    setup_repeatability=PerOrder(),
    capture_repeatability=PerOrder(),
    lookup_freshness_seconds=FRESHNESS_SECONDS,
    # Nothing arrives that late; but a new charge like a lost one must not meet the window either.
    effect_latest_seconds=DUPLICATE_WINDOW_SECONDS + FRESHNESS_SECONDS,
    absence_gap_seconds=FRESHNESS_SECONDS,
    reference_length_max=REFERENCE_CHARS,
    amount_format=AmountFormat.DECIMAL_STRING,
    setup_flow=SetupFlow.TOKENIZATION,
    currencies=frozenset("AUD CAD CHF DKK EUR GBP NOK NZD PLN SEK USD ZAR".split()),  # noqa: SIM905
    pending_seconds_max=REVIEW_SECONDS,
    disputes=News.POLL,
    method_updates=News.POLL,
    in_flight_max=20,
)

FIELDS: Final = (
    CredentialField(
        "api_login_id",
        "The API Login ID, from Account, Settings, API Credentials & Keys. Customers may see it.",
        is_secret=False,
        pattern=r"[A-Za-z0-9]{1,25}",
    ),
    CredentialField(
        "transaction_key", "The Transaction Key, from the same page.", pattern=r"[A-Za-z0-9]{16}"
    ),
    CredentialField(
        "client_key",
        "The Public Client Key, from Account, Settings, Manage Public Client Key; for Accept.js.",
        is_secret=False,
        pattern=r"[A-Za-z0-9]{1,255}",
    ),
    CredentialField(
        "currency",
        "The one currency that the account takes, such as USD.",
        is_secret=False,
        pattern=r"[A-Z]{3}",
    ),
    CredentialField(
        "validation_mode",
        "How a new payment method is tried: `liveMode` (the default), `testMode` or `none`.",
        is_secret=False,
        is_required=False,
        pattern="|".join(VALIDATION_MODES),
    ),
)


@dataclass(frozen=True, slots=True)
class Account:
    """One open account: its line, its books, and what it was set up with."""

    api: Api
    books: Books
    currency: str
    login: str
    client_key: str
    script: str
    validation_mode: str
    signature_keys: tuple[SecretStr, ...]
    capabilities: Capabilities

    def amount(self, minor: int, currency: str) -> str:
        """An amount as the gateway takes it. Raises InvalidRequestError for another currency."""
        if currency != self.currency:
            raise InvalidRequestError(
                f"This Authorize.net account takes {self.currency} only.", param="currency"
            )
        if minor <= 0:
            raise InvalidRequestError("The amount must be positive.", param="amount")
        return currencies.show(Money(minor, currency))


def opened(settings: AccountSettings) -> Account:
    """The account that `settings` describe, without any I/O yet; they have what `FIELDS` ask for.

    Raises ConfigurationError for a currency that the gateway does not take.
    """
    given = stated(settings)
    currency = given["currency"]
    taken = CAPABILITIES.currencies or frozenset()
    if currency not in taken:
        raise ConfigurationError(
            f"Authorize.net accounts have one currency of {', '.join(sorted(taken))}."
        )
    http = HttpClient(
        settings.base_url or HOSTS[settings.mode],
        headers={"Content-Type": "application/json"},
        connect_timeout_seconds=settings.connect_timeout_seconds,
        total_timeout_seconds=settings.total_timeout_seconds,
    )
    api = Api(http, Credentials(given["api_login_id"], given["transaction_key"]))
    return Account(
        api=api,
        books=Books(api),
        currency=currency,
        login=given["api_login_id"],
        client_key=given["client_key"],
        script=SCRIPTS[settings.mode],
        validation_mode=given.get("validation_mode") or VALIDATION_MODES[0],
        signature_keys=settings.webhook_secrets,
        capabilities=replace(CAPABILITIES, currencies=frozenset({currency})),
    )


def stated(settings: AccountSettings) -> Mapping[str, str]:
    """Every field's value, wherever it is kept."""
    secret = {name: value.get_secret_value() for name, value in settings.credentials.items()}
    return {**settings.options, **secret}


def checked_code(code: str) -> str:
    """Our reference, if it is one that the gateway keeps whole. Raises InvalidRequestError."""
    if not 0 < len(code) <= REFERENCE_CHARS:
        raise InvalidRequestError(f"References have at most {REFERENCE_CHARS} characters.")
    return code


def checked_id(name: str | None, param: str) -> str:
    """A name that the gateway gave: digits alone. Raises InvalidRequestError."""
    if name is None or not (name.isascii() and name.isdecimal()):
        raise InvalidRequestError("Authorize.net's own names are digits.", param=param)
    return name
