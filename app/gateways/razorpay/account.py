"""What a Razorpay account needs to be opened, and what may be relied on there."""

from dataclasses import dataclass, replace
from typing import Final

from pydantic import SecretStr

from app.domain.vault import MethodType, SetupFlow
from app.gateways.base import AccountMode, AccountSettings, ConfigurationError, CredentialField
from app.gateways.capabilities import AmountFormat, Capabilities, NativeKey, News, PerOrder

BASE_URL: Final = "https://api.razorpay.com"
HOUR_SECONDS: Final = 3_600
DAY_SECONDS: Final = 24 * HOUR_SECONDS
LEAD_TIME_SECONDS: Final = 2 * DAY_SECONDS
"""An Indian card may be debited 36 hours and 5 minutes after the notice was delivered, and not
before; a UPI account sooner (razorpay.com/docs, recurring payments, create subsequent payments).
The rest is for a notice that takes its time."""
NOTICE_SECONDS: Final = 36 * HOUR_SECONDS + 5 * 60
DELIVERY_SECONDS: Final = HOUR_SECONDS
"""How long a notice may take to the customer, where Razorpay does not say when it was delivered."""
SETTLES_WITHIN_SECONDS: Final = 3 * DAY_SECONDS
"""A recurring payment is authorised or has failed 36 to 72 hours after it was created."""
LATE_AUTHORISATION_SECONDS: Final = 5 * DAY_SECONDS
"""Razorpay asks the bank about a payment that it took for failed for three days from the day of its
creation (razorpay.com/docs, late authorisation); the rest is for an answer that takes its time."""
CAPTURE_WITHIN_SECONDS: Final = 3 * DAY_SECONDS
"""An authorised payment that is not captured by then goes back to the customer by itself."""
ANNOUNCED_METHODS: Final = frozenset({MethodType.CARD.value, MethodType.MANDATE.value})
"""Whose debits are announced to the customer by a notice that the order asks for."""
ANNOUNCED_CURRENCIES: Final = frozenset({"INR"})
TEST_PREFIX: Final = "rzp_test_"
LIVE_PREFIX: Final = "rzp_live_"

FIELDS: Final = (
    CredentialField(
        "key_id",
        "The key id, from Account & Settings, API keys.",
        is_secret=False,
        test_prefixes=(TEST_PREFIX,),
        live_prefixes=(LIVE_PREFIX,),
        pattern=r"rzp_(test|live)_[A-Za-z0-9]{1,64}",
    ),
    CredentialField("key_secret", "The key's secret."),
    CredentialField(
        "account_id",
        "The merchant id, with `acc_` before it: deliveries for another account are refused.",
        is_secret=False,
        pattern=r"acc_[A-Za-z0-9]{1,64}",
    ),
    CredentialField(
        "refund_speed",
        "`normal` (the default), or `optimum`: at once where that is possible, for a fee.",
        is_secret=False,
        is_required=False,
        pattern=r"normal|optimum",
    ),
    CredentialField(
        "pre_debit_notice",
        "`required` (the default), or `none` for an account outside India: its charges are neither "
        "announced to the customer nor sent early.",
        is_secret=False,
        is_required=False,
        pattern=r"required|none",
        is_about_lead_time=True,
    ),
)
CAPABILITIES: Final = Capabilities(
    charge_repeatability=PerOrder(),
    # How long Razorpay remembers X-Refund-Idempotency is not written anywhere: a day is trusted,
    # and the look-up that goes before every repetition does not depend on it.
    refund_repeatability=NativeKey(ttl_seconds=DAY_SECONDS, margin_seconds=HOUR_SECONDS),
    setup_repeatability=PerOrder(),
    capture_repeatability=PerOrder(),
    lookup_freshness_seconds=300,
    # A charge reads and makes its order first: the debit may leave some four time-outs late.
    effect_latest_seconds=900,
    reference_length_max=40,
    amount_format=AmountFormat.MINOR_INTEGER,
    setup_flow=SetupFlow.CHECKOUT,
    requires_lead_time_seconds=LEAD_TIME_SECONDS,
    announced_methods=ANNOUNCED_METHODS,
    announced_currencies=ANNOUNCED_CURRENCIES,
    # Two days of notice, then five in which it may be authorised late; the rest is for look-ups.
    pending_seconds_max=10 * DAY_SECONDS,
    partial_capture=False,
    void=False,
    disputes=News.WEBHOOK,
    method_updates=News.WEBHOOK,
    in_flight_max=20,
)


@dataclass(frozen=True, slots=True)
class Keys:
    """An account's settings, read and checked."""

    key_id: str
    key_secret: SecretStr
    account_id: str
    refund_speed: str
    gives_notice: bool

    @property
    def capabilities(self) -> Capabilities:
        """What may be relied on at this account."""
        if self.gives_notice:
            return CAPABILITIES
        return replace(CAPABILITIES, requires_lead_time_seconds=0)


def read_keys(account: AccountSettings) -> Keys:
    """The keys of an account. Raises ConfigurationError where one is missing, or of the other mode:
    a live key never serves a test account, nor the other way about.
    """
    key_id = _option(account, "key_id")
    account_id = _option(account, "account_id")
    secret = account.credentials.get("key_secret")
    if secret is None or not secret.get_secret_value():
        raise ConfigurationError("A Razorpay account needs its key_secret.")
    prefix = LIVE_PREFIX if account.mode is AccountMode.LIVE else TEST_PREFIX
    if not key_id.startswith(prefix):
        raise ConfigurationError(f"The key_id of a {account.mode} account begins with {prefix}.")
    return Keys(
        key_id,
        secret,
        account_id,
        account.options.get("refund_speed") or "normal",
        account.options.get("pre_debit_notice") != "none",
    )


def _option(account: AccountSettings, name: str) -> str:
    value = account.options.get(name)
    if not value:
        raise ConfigurationError(f"A Razorpay account needs its {name}.")
    return value
