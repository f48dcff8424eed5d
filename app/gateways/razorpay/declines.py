"""Razorpay's reasons for a failed payment, in our words.

The reasons are those that razorpay.com/docs lists for subsequent payments by card, UPI and
e-mandate; which of them end a payment method is our own judgement.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from app.domain.outcome import DeclineAdvice, DeclineCategory, DeclineInfo, DeclineReason

_STOP, _LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
_UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD
Verdict = tuple[DeclineCategory, DeclineReason, DeclineAdvice]


def _soft(reason: DeclineReason) -> Verdict:
    return DeclineCategory.SOFT, reason, _LATER


def _hard(reason: DeclineReason) -> Verdict:
    return DeclineCategory.HARD, reason, _UPDATE


_INVALID: Final = _hard(DeclineReason.INVALID_PAYMENT_METHOD)
_REVOKED: Final = _hard(DeclineReason.MANDATE_REVOKED)
_BANK_AWAY: Final = _soft(DeclineReason.ISSUER_UNAVAILABLE)
_TECHNICAL: Final = _soft(DeclineReason.PROCESSING_ERROR)
_REFUSED: Final = _soft(DeclineReason.DO_NOT_HONOR)
_LIMIT: Final = _soft(DeclineReason.LIMIT_EXCEEDED)
_AUTHENTICATE: Final = (
    DeclineCategory.ACTION_REQUIRED,
    DeclineReason.AUTHENTICATION_REQUIRED,
    _UPDATE,
)
_FRAUD: Final = (DeclineCategory.FRAUD, DeclineReason.GENERIC, _STOP)
_ACCOUNT: Final = (DeclineCategory.CONFIGURATION, DeclineReason.GENERIC, _STOP)
REASONS: Final[Mapping[str, Verdict]] = MappingProxyType(
    {
        "insufficient_funds": _soft(DeclineReason.INSUFFICIENT_FUNDS),
        "card_declined": _REFUSED,
        "payment_declined": _REFUSED,
        "payment_failed": _REFUSED,
        "credit_failed": _REFUSED,
        "payment_cancelled": _REFUSED,
        "transaction_limit_exceeded": _LIMIT,
        "transaction_daily_limit_exceeded": _LIMIT,
        "transaction_daily_count_exceeded": _LIMIT,
        "transaction_frequency_limit_exceeded": _LIMIT,
        "bank_technical_error": _BANK_AWAY,
        "bank_not_available": _BANK_AWAY,
        "bank_cutoff_in_progress": _BANK_AWAY,
        "issuer_technical_error": _BANK_AWAY,
        "psp_not_available": _BANK_AWAY,
        "gateway_technical_error": _TECHNICAL,
        "server_error": _TECHNICAL,
        "payment_timed_out": _TECHNICAL,
        "request_timed_out": _TECHNICAL,
        "payment_declined_due_to_high_traffic": _TECHNICAL,
        "bank_account_validation_failed": _TECHNICAL,
        "payment_mandate_not_active": _TECHNICAL,
        "pre_debit_notification_not_sent": _TECHNICAL,
        "bad_request_mandate_promised_debit_date_not_honoured": _TECHNICAL,
        "mandate_already_executed": _LIMIT,
        "card_expired": _hard(DeclineReason.EXPIRED_CARD),
        "incorrect_card_expiry_date": _hard(DeclineReason.EXPIRED_CARD),
        "debit_instrument_blocked": (
            DeclineCategory.HARD,
            DeclineReason.LOST_OR_STOLEN,
            _STOP,
        ),
        "debit_instrument_inactive": _INVALID,
        "card_number_invalid": _INVALID,
        "card_disabled_for_online_payments": _INVALID,
        "card_not_enrolled": _INVALID,
        "bank_account_invalid": _INVALID,
        "incorrect_ifsc": _INVALID,
        "invalid_vpa": _INVALID,
        "account_changed": _INVALID,
        "account_restricted": _INVALID,
        "mandate_not_active": _REVOKED,
        "mandate_expired": _REVOKED,
        "mandate_cancelled": _REVOKED,
        "mandate_paused": _REVOKED,
        "amount_exceeds_mandate": (
            DeclineCategory.HARD,
            DeclineReason.LIMIT_EXCEEDED,
            _UPDATE,
        ),
        "authentication_failed": _AUTHENTICATE,
        "customer_action_required": _AUTHENTICATE,
        "payment_pending_approval": _AUTHENTICATE,
        "payment_risk_check_failed": _FRAUD,
        "recurring_payment_not_enabled": _ACCOUNT,
        "card_network_not_enabled": _ACCOUNT,
        "bank_not_enabled": _ACCOUNT,
        "invalid_currency": _ACCOUNT,
        "live_mode_not_enabled": _ACCOUNT,
    }
)
AMBIGUOUS: Final = frozenset(
    """
    payment_timed_out request_timed_out server_error gateway_technical_error
    bank_technical_error issuer_technical_error
    """.split()  # noqa: SIM905
)
"""Failures in which nobody knows what the bank did: such payments may be authorised late. They come
of "network issues or technical errors at the customer's or bank's end" (razorpay.com/docs, late
authorisation)."""
UNLISTED: Final = _soft(DeclineReason.GENERIC)


def decline(reason: str | None, code: str | None = None) -> DeclineInfo:
    """A failure's reason, else its code, in our words."""
    said = reason if reason and reason != "NA" else code or "payment_failed"
    category, why, advice = REASONS.get(said.lower(), UNLISTED)
    return DeclineInfo(category, why, said, advice)


def is_ambiguous(reason: str | None, code: str | None) -> bool:
    """Whether money may have moved although the payment counts as failed."""
    return (reason or "").lower() in AMBIGUOUS or (code or "").upper() == "SERVER_ERROR"
