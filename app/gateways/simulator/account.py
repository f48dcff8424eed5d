"""What an account at the simulator needs, and what may be relied on at it."""

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from pydantic import SecretStr

from app.domain.vault import SetupFlow
from app.gateways.base import CredentialField
from app.gateways.capabilities import (
    AmountFormat,
    Capabilities,
    FuzzyWindow,
    NativeKey,
    NoKey,
    PerOrder,
)

DEFAULT_SECRET: Final = SecretStr("sk_sim_test")
DEFAULT_ACCOUNT: Final = "acct_sim"
DAY_SECONDS: Final = 86_400
FUZZY_WINDOW_SECONDS: Final = 120

KEYED: Final = NativeKey(ttl_seconds=30 * DAY_SECONDS, margin_seconds=DAY_SECONDS)
CAPABILITIES: Final = Capabilities(
    charge_repeatability=KEYED,
    refund_repeatability=KEYED,
    setup_repeatability=KEYED,
    capture_repeatability=KEYED,
    lookup_freshness_seconds=0,
    effect_latest_seconds=90,
    reference_length_max=40,
    amount_format=AmountFormat.MINOR_INTEGER,
    setup_flow=SetupFlow.CLIENT_SECRET,
    in_flight_max=500,
    moves_real_money=False,
)
UNKEYED: Final = replace(
    CAPABILITIES,
    charge_repeatability=NoKey(),
    refund_repeatability=NoKey(),
    setup_repeatability=NoKey(),
    capture_repeatability=NoKey(),
)
REPEATING: Final = MappingProxyType(
    {
        "native_key": CAPABILITIES,
        "per_order": replace(CAPABILITIES, charge_repeatability=PerOrder()),
        "fuzzy_window": replace(UNKEYED, charge_repeatability=FuzzyWindow(FUZZY_WINDOW_SECONDS)),
        "none": UNKEYED,
    }
)
"""By the word for what kind of gateway the simulator is to be."""


def capabilities(repeating: str, lead_time_seconds: int) -> Capabilities:
    """What may be relied on at an account of this kind."""
    return replace(REPEATING[repeating], requires_lead_time_seconds=lead_time_seconds)


FIELDS: Final = (
    CredentialField(
        "secret_key",
        "What the simulator was started with; `sk_sim_test` unless it was told otherwise.",
        is_required=False,
        live_prefixes=("sk_live_",),
    ),
    CredentialField(
        "account_id",
        "The account that webhooks are for.",
        is_secret=False,
        is_required=False,
        pattern=r"acct_[a-z0-9_]{1,40}",
    ),
    CredentialField(
        "repeating",
        "What kind of gateway the simulator is to be, as far as repeated requests go.",
        is_secret=False,
        is_required=False,
        pattern="|".join(REPEATING),
    ),
    CredentialField(
        "lead_time_seconds",
        "How early charges must be announced; without it they need not be.",
        is_secret=False,
        is_required=False,
        pattern=r"[0-9]{1,6}",
        is_about_lead_time=True,
    ),
)
