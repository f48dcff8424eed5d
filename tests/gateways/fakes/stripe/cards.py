"""What each test payment method does: Stripe's own names for them, and a few of ours.

https://docs.stripe.com/testing has the names that begin with `pm_card_` and `pm_usBankAccount_`.
`pm_fake_declined_CODE` is declined with that decline code, whatever it is; with a suffix after a
dash (`pm_card_visa-7`) a method behaves like its stem.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Card:
    """What happens to a charge on it, and to a refund of that."""

    brand: str = "visa"
    last4: str = "4242"
    error: Mapping[str, str] | None = None
    """What a charge is refused with: `code`, and `decline_code` and the rest where there is one."""
    needs_customer: bool = False
    pending: str | None = None
    """A bank debit: `succeeded` or `failed`, after a while."""
    refund: str = "succeeded"
    dispute: str | None = None
    """The status with which a dispute begins, right after the charge."""
    kind: str = "card"
    setup_error: Mapping[str, str] | None = field(default=None)


def declined(decline_code: str, **more: str) -> Card:
    return Card(error={"code": "card_declined", "decline_code": decline_code, **more})


NAMED: Mapping[str, Card] = {
    "pm_card_visa": Card(),
    "pm_card_mastercard": Card("mastercard", "4444"),
    "pm_card_visa_chargeDeclined": declined("generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": declined("insufficient_funds"),
    "pm_card_visa_chargeDeclinedLostCard": declined("lost_card"),
    "pm_card_visa_chargeDeclinedStolenCard": declined("stolen_card"),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": declined("card_velocity_exceeded"),
    "pm_card_chargeDeclinedFraudulent": declined("fraudulent"),
    "pm_card_chargeDeclinedExpiredCard": Card(error={"code": "expired_card"}),
    "pm_card_chargeDeclinedIncorrectCvc": Card(error={"code": "incorrect_cvc"}),
    "pm_card_chargeDeclinedProcessingError": Card(error={"code": "processing_error"}),
    "pm_card_authenticationRequired": Card(needs_customer=True),
    "pm_card_createDispute": Card(dispute="needs_response"),
    "pm_card_createDisputeInquiry": Card(dispute="warning_needs_response"),
    "pm_card_refundFail": Card(refund="failed"),
    "pm_card_pendingRefund": Card(refund="pending"),
    "pm_usBankAccount_success": Card("", "6789", pending="succeeded", kind="us_bank_account"),
    "pm_usBankAccount_insufficientFunds": Card(
        "", "6789", pending="failed", kind="us_bank_account"
    ),
    "pm_fake_advised_do_not_try_again": declined("generic_decline", advice_code="do_not_try_again"),
    "pm_fake_advised_try_again_later": declined(
        "transaction_not_allowed", advice_code="try_again_later"
    ),
    "pm_fake_visa_category_1": declined("do_not_honor", network_decline_code="46"),
    "pm_fake_mastercard_never": Card(
        "mastercard",
        "4444",
        error={
            "code": "card_declined",
            "decline_code": "do_not_honor",
            "network_advice_code": "03",
        },
    ),
    "pm_fake_mastercard_in_a_day": Card(
        "mastercard",
        "4444",
        error={
            "code": "card_declined",
            "decline_code": "insufficient_funds",
            "network_advice_code": "25",
        },
    ),
}
ANY_DECLINE = "pm_fake_declined_"


def behaviour(name: str) -> Card | None:
    """What a test payment method does; None for a name that is none."""
    stem = name.partition("-")[0]
    if stem.startswith(ANY_DECLINE):
        return declined(stem.removeprefix(ANY_DECLINE))
    return NAMED.get(stem)
