"""The simulator's words for a no, in ours."""

from types import MappingProxyType
from typing import Final

from app.domain.outcome import (
    DeclineAdvice,
    DeclineCategory,
    DeclineInfo,
    DeclineReason,
    RefundDeclineReason,
    VoidDeclineReason,
)

_HARD, _SOFT = DeclineCategory.HARD, DeclineCategory.SOFT
_STOP, _LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
_UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD
DECLINES: Final = MappingProxyType(
    {
        "insufficient_funds": (_SOFT, DeclineReason.INSUFFICIENT_FUNDS, _LATER),
        "expired": (_HARD, DeclineReason.EXPIRED_CARD, _UPDATE),
        "lost_or_stolen": (_HARD, DeclineReason.LOST_OR_STOLEN, _STOP),
        "do_not_honor": (_SOFT, DeclineReason.DO_NOT_HONOR, _LATER),
        "fraud": (DeclineCategory.FRAUD, DeclineReason.GENERIC, _STOP),
        "invalid_payment_method": (_HARD, DeclineReason.INVALID_PAYMENT_METHOD, _UPDATE),
        "authentication_required": (
            DeclineCategory.ACTION_REQUIRED,
            DeclineReason.AUTHENTICATION_REQUIRED,
            _UPDATE,
        ),
        "mandate_revoked": (_HARD, DeclineReason.MANDATE_REVOKED, _UPDATE),
        "limit_exceeded": (_SOFT, DeclineReason.LIMIT_EXCEEDED, _LATER),
        "issuer_unavailable": (_SOFT, DeclineReason.ISSUER_UNAVAILABLE, _LATER),
        "processing_error": (_SOFT, DeclineReason.PROCESSING_ERROR, _LATER),
        "account_not_enabled": (DeclineCategory.CONFIGURATION, DeclineReason.GENERIC, _STOP),
        "generic": (_SOFT, DeclineReason.GENERIC, _LATER),
    }
)
UNLISTED: Final = (_SOFT, DeclineReason.GENERIC, _LATER)
REFUND_REFUSALS: Final = MappingProxyType(
    {
        "charge_not_found": RefundDeclineReason.PAYMENT_NOT_FOUND,
        "charge_not_refundable": RefundDeclineReason.PAYMENT_NOT_REFUNDABLE,
        "refund_exceeds_charge": RefundDeclineReason.EXCEEDS_CAPTURED,
    }
)
VOID_REFUSALS: Final = MappingProxyType(
    {
        "charge_not_found": VoidDeclineReason.NOT_FOUND,
        "charge_is_succeeded": VoidDeclineReason.ALREADY_CAPTURED,
        "charge_is_declined": VoidDeclineReason.NOT_VOIDABLE,
        "charge_is_pending": VoidDeclineReason.NOT_VOIDABLE,
    }
)
UNKNOWN_FOR_NOW: Final = frozenset({"order_already_paid", "duplicate_transaction"})
"""Refusals that say that something like it exists: only a look-up tells whose it is."""


def decline_of(code: str) -> DeclineInfo:
    """The simulator's decline code in our words."""
    category, reason, advice = DECLINES.get(code, UNLISTED)
    return DeclineInfo(category, reason, code, advice)
