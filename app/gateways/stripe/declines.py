"""What a refusal of Stripe's means for the next try.

Three voices, the later one wins: our table of decline and error codes
(https://docs.stripe.com/declines/codes, https://docs.stripe.com/error-codes), Stripe's own
`advice_code`, and what the card networks forbid, because trying against that costs the merchant:
Visa's declines of category 1 (Visa Core Rules, table 7-2) and Mastercard's merchant advice codes 03
and 21.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from app.domain.outcome import DeclineAdvice, DeclineCategory, DeclineInfo, DeclineReason
from app.gateways.stripe.words import PaymentError

Verdict: TypeAlias = tuple[DeclineCategory, DeclineReason, DeclineAdvice]

HOUR_SECONDS: Final = 3_600
DAY_SECONDS: Final = 24 * HOUR_SECONDS

_HARD, _SOFT = DeclineCategory.HARD, DeclineCategory.SOFT
_STOP, _LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
_UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD
LOST: Final = (_HARD, DeclineReason.LOST_OR_STOLEN, _STOP)
EXPIRED: Final = (_HARD, DeclineReason.EXPIRED_CARD, _UPDATE)
USELESS: Final = (_HARD, DeclineReason.INVALID_PAYMENT_METHOD, _UPDATE)
REVOKED: Final = (_HARD, DeclineReason.MANDATE_REVOKED, _UPDATE)
STOPPED: Final = (_HARD, DeclineReason.MANDATE_REVOKED, _STOP)
FRAUD: Final = (DeclineCategory.FRAUD, DeclineReason.GENERIC, _STOP)
PRESENT: Final = (
    DeclineCategory.ACTION_REQUIRED,
    DeclineReason.AUTHENTICATION_REQUIRED,
    _UPDATE,
)
POOR: Final = (_SOFT, DeclineReason.INSUFFICIENT_FUNDS, _LATER)
LIMITED: Final = (_SOFT, DeclineReason.LIMIT_EXCEEDED, _LATER)
UNWILLING: Final = (_SOFT, DeclineReason.DO_NOT_HONOR, _LATER)
AWAY: Final = (_SOFT, DeclineReason.ISSUER_UNAVAILABLE, _LATER)
FAULT: Final = (_SOFT, DeclineReason.PROCESSING_ERROR, _LATER)
UNLISTED: Final = (_SOFT, DeclineReason.GENERIC, _LATER)
OUR_SIDE: Final = (DeclineCategory.CONFIGURATION, DeclineReason.PROCESSING_ERROR, _LATER)

CODES_BY_VERDICT: Final[Mapping[Verdict, str]] = {
    LOST: "lost_card stolen_card pickup_card",
    EXPIRED: "expired_card expired_payment_method",
    USELESS: """
        card_not_supported currency_not_supported incorrect_address incorrect_cvc incorrect_number
        incorrect_postal_code incorrect_zip invalid_account invalid_card_type invalid_cvc
        invalid_expiry_month invalid_expiry_year invalid_number live_mode_test_card
        new_account_information_available not_permitted restricted_card service_not_allowed
        testmode_decline transaction_not_allowed
        account_closed account_number_invalid bank_account_declined bank_account_restricted
        bank_account_unusable bank_account_unverified bank_ownership_changed no_account
        payment_method_bank_account_blocked payment_method_currency_mismatch
        payment_method_restricted payment_method_unactivated payment_method_unsupported_type
        resource_missing sepa_unsupported_account
    """,
    REVOKED: """
        debit_not_authorized india_recurring_payment_mandate_canceled payment_intent_mandate_invalid
        setup_intent_mandate_invalid
    """,
    STOPPED: "revocation_of_all_authorizations revocation_of_authorization stop_payment_order",
    FRAUD: "fraudulent merchant_blacklist request_blocked",
    PRESENT: """
        authentication_not_handled authentication_required mobile_device_authentication_required
        offline_pin_required online_or_offline_pin_required incorrect_pin invalid_pin
        pin_try_exceeded payment_intent_action_required payment_intent_authentication_failure
        setup_intent_authentication_failure three_d_secure_authentication_not_supported
    """,
    POOR: "insufficient_funds",
    LIMITED: """
        card_decline_rate_limit_exceeded card_velocity_exceeded charge_exceeds_source_limit
        charge_exceeds_transaction_limit charge_exceeds_weekly_limit invalid_amount
        withdrawal_count_limit_exceeded
    """,
    UNWILLING: """
        approve_with_id call_issuer do_not_honor no_action_taken payment_method_customer_decline
        payment_method_provider_decline refer_to_customer security_violation
    """,
    (_HARD, DeclineReason.DO_NOT_HONOR, _STOP): "do_not_try_again",
    AWAY: "issuer_not_available payment_method_not_available payment_method_provider_timeout",
    FAULT: """
        duplicate_transaction processing_error reenter_transaction try_again_later
        three_d_secure_authentication_upstream_error
    """,
    UNLISTED: """
        card_declined generic_decline payment_intent_payment_attempt_expired
        payment_intent_payment_attempt_failed setup_attempt_failed
        setup_intent_setup_attempt_expired
    """,
    (DeclineCategory.CONFIGURATION, DeclineReason.GENERIC, _STOP): """
        account_invalid livemode_mismatch testmode_charges_only
    """,
}
TABLE: Final[Mapping[str, Verdict]] = MappingProxyType(
    {code: verdict for verdict, codes in CODES_BY_VERDICT.items() for code in codes.split()}
)

ADVICE: Final[Mapping[str, tuple[DeclineCategory, DeclineAdvice]]] = MappingProxyType(
    {
        "confirm_card_data": (_HARD, _UPDATE),
        "do_not_try_again": (_HARD, _STOP),
        "try_again_later": (_SOFT, _LATER),
    }
)
"""https://docs.stripe.com/declines/codes, "Stripe advice codes"."""
NEVER_BY_ADVICE: Final = frozenset({"03", "21"})
"""Mastercard: do not try again; the customer cancelled."""
NEVER_ANYWHERE: Final = frozenset({"R0", "R1", "R3"})
"""The customer stopped this payment, these payments, or all of the merchant's."""
NEVER_AT_VISA: Final = NEVER_ANYWHERE | {"04", "07", "12", "15", "41", "43", "46", "57"}
"""Category 1: the issuer will never approve."""
WAIT_BY_ADVICE: Final[Mapping[str, int]] = MappingProxyType(
    {
        "24": HOUR_SECONDS,
        "25": DAY_SECONDS,
        "26": 2 * DAY_SECONDS,
        "27": 4 * DAY_SECONDS,
        "28": 6 * DAY_SECONDS,
        "29": 8 * DAY_SECONDS,
        "30": 10 * DAY_SECONDS,
    }
)
"""Mastercard: retry after so long."""
DECLINED_TOO_OFTEN: Final = "card_decline_rate_limit_exceeded"
"""Stripe lets the card be tried again after 24 hours."""


def decline_of(error: PaymentError) -> DeclineInfo:
    """A refusal in our words; the code that names it best is kept."""
    code = error.decline_code or error.code or error.type
    verdict = TABLE.get(error.decline_code or "") or TABLE.get(error.code or "")
    if verdict is None:
        verdict = UNLISTED if error.type == "card_error" else OUR_SIDE
    category, reason, advice = verdict
    advised = ADVICE.get(error.advice_code or "")
    if advised is not None and category in {_HARD, _SOFT}:
        category, advice = advised
    elif error.advice_code == "do_not_try_again":
        advice = _STOP
    if _is_never(error):
        advice = _STOP
        category = _HARD if category is _SOFT else category
    wait = None
    if advice is _LATER:
        wait = WAIT_BY_ADVICE.get(error.network_advice_code or "")
        if wait is None and DECLINED_TOO_OFTEN in {error.code, error.decline_code}:
            wait = DAY_SECONDS
    return DeclineInfo(category, reason, code, advice, wait)


def _is_never(error: PaymentError) -> bool:
    """Whether the card's network forbids another try."""
    card = error.payment_method.card if error.payment_method else None
    at_visa = card is not None and card.brand == "visa"
    never = NEVER_AT_VISA if at_visa else NEVER_ANYWHERE
    return (
        error.network_advice_code in NEVER_BY_ADVICE or (error.network_decline_code or "") in never
    )
