"""Payments, refunds and disputes as Razorpay keeps them, in our words."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from app.domain.currency import EXPONENTS
from app.domain.dispute import DisputeReport, DisputeStatus
from app.domain.outcome import (
    Authorized,
    Declined,
    Found,
    Outcome,
    Pending,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundOutcome,
    RefundPending,
    Succeeded,
    Unknown,
    Voided,
)
from app.gateways.base import InvalidRequestError
from app.gateways.razorpay.account import (
    CAPTURE_WITHIN_SECONDS,
    DELIVERY_SECONDS,
    LATE_AUTHORISATION_SECONDS,
    NOTICE_SECONDS,
    SETTLES_WITHIN_SECONDS,
)
from app.gateways.razorpay.declines import decline, is_ambiguous
from app.gateways.razorpay.words import Dispute, Order, Payment, Refund, moment, spoken

RUPEES_MIN: Final = 100
"""Razorpay moves no less than ₹1."""
THREE_DECIMALS: Final = 3
LIKELIHOOD: Final = ("captured", "refunded", "authorized", "created", "failed")
"""Which of several payments on one order tells how the order stands: the first of these."""
MOVED: Final = frozenset({"captured", "refunded", "authorized", "created"})
DISPUTES: Final = {
    "open": DisputeStatus.NEEDS_RESPONSE,
    "under_review": DisputeStatus.UNDER_REVIEW,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
    "closed": DisputeStatus.CLOSED,
}


def check_amount(minor: int, currency: str) -> None:
    """Raises InvalidRequestError for an amount that Razorpay cannot move; nothing is rounded.

    Amounts travel in the smallest unit of ISO 4217; of currencies with three decimals the last one
    is always 0 (razorpay.com/docs, orders).
    """
    places = EXPONENTS.get(currency)
    if places is None or places > THREE_DECIMALS:
        raise InvalidRequestError(
            f"Razorpay moves no {currency}.", code="currency_not_supported", param="currency"
        )
    if places == THREE_DECIMALS and minor % 10:
        raise InvalidRequestError(
            f"Razorpay moves {currency} in steps of 0.01: {minor} is not one.",
            code="amount_not_representable",
            param="amount",
        )
    if currency == "INR" and minor < RUPEES_MIN:
        raise InvalidRequestError(
            "Razorpay moves no less than 1.00 INR.", code="amount_below_minimum", param="amount"
        )


def announced(order: Order, now: datetime | None) -> Pending | None:
    """What a charge is whose notice the customer has not had for long enough; None: it may be asked
    for, by Razorpay's time `now`.

    An order with a notice is not debited by itself: a payment on it is refused until then
    (razorpay.com/docs, recurring payments, decoupled flow).
    """
    notice = order.notification
    if notice is None:
        return None
    delivered = notice.delivered_at or order.created_at + DELIVERY_SECONDS
    due = moment(max(delivered + NOTICE_SECONDS, notice.payment_after or 0))
    return None if now is not None and now >= due else Pending(None, expected_by=due)


def settled_by(order: Order | None, created_at: int) -> datetime:
    """When a payment that was created then is decided at the latest."""
    begins = created_at
    if order is not None and order.notification is not None:
        begins = max(begins, order.notification.payment_after or 0)
    return moment(begins + SETTLES_WITHIN_SECONDS)


def of_payment(payment: Payment, now: datetime | None, order: Order | None = None) -> Outcome:
    """How a payment stands; `now` is the moment of the answer by Razorpay's own clock.

    A payment that failed because nobody knows what the bank did may still be authorised: for a
    few days it is `Pending`, and only then `Declined`.
    """
    match payment.status:
        case "captured":
            return _succeeded(payment)
        case "refunded":  # what was never captured goes back to the customer by itself
            return Voided(payment.id) if payment.captured is False else _succeeded(payment)
        case "authorized":
            expires_at = moment(payment.created_at + CAPTURE_WITHIN_SECONDS)
            return Authorized(
                payment.id, payment.amount, payment.currency, expires_at, payment.bank_reference
            )
        case "created":
            return Pending(
                payment.id, payment.bank_reference, settled_by(order, payment.created_at)
            )
        case "failed":
            return _failed(payment, now)
        case status:
            return Unknown(f"payment_{spoken(status)}", payment.id)


def _succeeded(payment: Payment) -> Succeeded | Unknown:
    if payment.amount <= 0:
        return Unknown("nothing_moved", payment.id)
    return Succeeded(
        payment.id, payment.amount, payment.currency, payment.bank_reference, payment.fee_minor
    )


def _failed(payment: Payment, now: datetime | None) -> Outcome:
    final_at = moment(payment.created_at + LATE_AUTHORISATION_SECONDS)
    if is_ambiguous(payment.error_reason, payment.error_code) and (now is None or now < final_at):
        return Pending(payment.id, payment.bank_reference, final_at)
    info = decline(payment.error_reason, payment.error_code)
    return Declined(info, payment.id, payment.bank_reference)


def of_payments(
    found: Sequence[tuple[Order, Payment]], now: datetime | None
) -> Found[Outcome] | None:
    """How a charge stands that has these payments; None if there are none.

    A second one that moved, or may yet move, money is named: that must never happen.
    """
    if not found:
        return None
    told = [(payment, of_payment(payment, now, order)) for order, payment in found]
    ranked = sorted(told, key=lambda one: (_rank(*one), one[0].created_at, one[0].id))
    _, outcome = ranked[0]
    others = tuple(p.id for p, _ in ranked[1:] if p.status in MOVED and not _went_back(p))
    return Found(outcome, others)


def _rank(payment: Payment, outcome: Outcome) -> tuple[int, bool]:
    """Of those that failed, one that may still be authorised goes before those that may not."""
    if _went_back(payment):
        return len(LIKELIHOOD), True
    known = payment.status in LIKELIHOOD
    place = LIKELIHOOD.index(payment.status) if known else 0
    return place, isinstance(outcome, Declined)


def _went_back(payment: Payment) -> bool:
    """Authorised, never captured, and with the customer again."""
    return payment.status == "refunded" and payment.captured is False


def of_refund(refund: Refund) -> RefundOutcome:
    """How a refund stands."""
    match refund.status:
        case "processed" if refund.amount > 0:
            return Refunded(refund.id, refund.amount, refund.currency)
        case "failed":
            return RefundDeclined(RefundDeclineReason.GENERIC, "refund_failed", refund.id)
        case "pending" | "created" | "initiated" | None:
            return RefundPending(refund.id)
        case status:
            return Unknown(f"refund_{spoken(status)}", refund.id)


def of_dispute(dispute: Dispute) -> DisputeReport:
    """How a dispute stands; one in a state we do not know needs somebody's look."""
    respond_by = dispute.respond_by
    return DisputeReport(
        dispute.id,
        dispute.payment_id,
        DISPUTES.get(dispute.status, DisputeStatus.NEEDS_RESPONSE),
        dispute.amount,
        dispute.currency,
        dispute.amount_deducted,
        reason=dispute.reason_code,
        opened_at=moment(dispute.created_at),
        evidence_due_by=None if respond_by is None else moment(respond_by),
    )
