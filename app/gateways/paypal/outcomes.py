"""What PayPal's objects say about money, in our words. Pure: an object in, an outcome out.

The status of an order says nothing: a completed order may hold a declined capture, and it is the
capture inside that moved money or did not.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from app import log
from app.domain.outcome import (
    Authorized,
    Declined,
    DeclineInfo,
    Found,
    Outcome,
    Pending,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundOutcome,
    RefundPending,
    RequiresAction,
    Succeeded,
    Unknown,
    Voided,
)
from app.gateways.paypal import declines, moments
from app.gateways.paypal.amounts import Amount, UnreadableAmount
from app.gateways.paypal.references import Kind, Reference
from app.gateways.paypal.words import Authorization, Capture, Fee, Order, Refund, link

GIVEN_UP: Final = "void-"
"""What the `custom_id` of an order begins with that is not to be captured any more."""
ECHECK: Final = "ECHECK"
ECHECK_CLEARS: Final = timedelta(days=10)
"""Three to six working days, and a margin for holidays."""
APPROVAL_LASTS: Final = timedelta(hours=3)
"""What a customer has approved must be taken within this time."""
MOVED: Final = frozenset({"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"})
IN_DOUBT: Final = frozenset({"PENDING"})
TAKEN: Final = frozenset({"CAPTURED", "PARTIALLY_CAPTURED"})
logger = log.get(__name__)


def of_order(order: Order) -> Outcome:
    """How the charge stands that an order was made for."""
    reference = str(Reference(Kind.ORDER, order.id))
    if len(order.purchase_units) != 1:
        return Unknown("not_one_purchase_unit", reference)
    payments = order.purchase_units[0].payments
    if payments.captures:
        return of_captures(payments.captures)
    if payments.authorizations:
        return of_authorizations(payments.authorizations)
    if (order.purchase_units[0].custom_id or "").startswith(GIVEN_UP):
        return Voided(reference)
    match order.status:
        case "PAYER_ACTION_REQUIRED" | "CREATED":
            return RequiresAction(reference, link(order.links, "payer-action", "approve"))
        case "APPROVED" | "SAVED":
            return _approved(order, reference)
        case "VOIDED":
            return Voided(reference)
        case "COMPLETED":
            return Unknown("completed_without_payment", reference)


def _approved(order: Order, reference: str) -> Outcome:
    """The customer has agreed, and nothing is taken until we say so."""
    try:
        amount = order.purchase_units[0].amount
        minor = amount.minor()
    except UnreadableAmount:
        return Unknown("unreadable_amount", reference)
    approved = moments.read(order.update_time or order.create_time)
    until = approved + APPROVAL_LASTS if approved is not None else None
    return Authorized(reference, minor, amount.currency_code, until)


def of_captures(captures: Sequence[Capture]) -> Outcome:
    """The capture that says most about the money; the first of equals."""
    return of_capture(min(captures, key=_rank))


def _rank(capture: Capture) -> int:
    return 0 if capture.status in MOVED else 1 if capture.status in IN_DOUBT else 2


def others_of(captures: Sequence[Capture]) -> tuple[str, ...]:
    """Further captures that moved money, or may yet."""
    ranked = sorted(captures, key=_rank)
    return tuple(one.id for one in ranked[1:] if one.status in MOVED | IN_DOUBT)


def of_capture(capture: Capture) -> Outcome:
    """How a capture stands. What was refunded since did move."""
    network = capture.network_transaction_reference
    network_id = network.id if network is not None else None
    match capture.status:
        case "COMPLETED" | "PARTIALLY_REFUNDED" | "REFUNDED":
            try:
                minor = capture.amount.minor()
            except UnreadableAmount:
                return Unknown("unreadable_amount", capture.id)
            if minor <= 0:
                return Unknown("unreadable_amount", capture.id)
            currency = capture.amount.currency_code
            fee = _fee(capture.seller_receivable_breakdown, currency)
            return Succeeded(capture.id, minor, currency, network_id, fee)
        case "PENDING":
            return Pending(capture.id, network_id, _expected(capture))
        case "DECLINED" | "FAILED":
            return Declined(_decline(capture), capture.id, network_id)


def _expected(capture: Capture) -> datetime | None:
    """Until when a pending capture is decided, where that can be said."""
    reason = capture.status_details.reason if capture.status_details is not None else None
    logger.info("paypal.pending", capture=capture.id, reason=reason)
    begun = moments.read(capture.create_time)
    return begun + ECHECK_CLEARS if begun is not None and reason == ECHECK else None


def of_authorizations(authorizations: Sequence[Authorization]) -> Outcome:
    """How the charge stands that the last of these was made for."""
    return of_authorization(authorizations[-1])


def of_authorization(held: Authorization) -> Outcome:
    """How an authorization stands. What was taken of it stands in its order."""
    reference = str(Reference(Kind.AUTHORIZATION, held.id))
    network = held.network_transaction_reference
    network_id = network.id if network is not None else None
    match held.status:
        case "CREATED":
            try:
                minor = held.amount.minor()
            except UnreadableAmount:
                return Unknown("unreadable_amount", reference)
            until = moments.read(held.expiration_time)
            return Authorized(reference, minor, held.amount.currency_code, until, network_id)
        case "PENDING":
            return Pending(reference, network_id)
        case "VOIDED":
            return Voided(reference)
        case "DENIED":
            return Declined(_decline(held), reference, network_id)
        case "CAPTURED" | "PARTIALLY_CAPTURED":
            return Unknown("captured_elsewhere", reference)


def _decline(payment: Capture | Authorization) -> DeclineInfo:
    details, processor = payment.status_details, payment.processor_response
    reason = details.reason if details is not None else None
    by_reason = declines.by_issue((reason,)) if reason is not None else None
    if by_reason is not None:
        return by_reason
    return declines.by_processor(
        processor.response_code if processor is not None else None,
        processor.payment_advice_code if processor is not None else None,
        reason or payment.status,
    )


def _fee(breakdown: Fee | None, currency: str) -> int | None:
    """PayPal's fee, where it is in the payment's own currency."""
    fee: Amount | None = breakdown.paypal_fee if breakdown is not None else None
    if fee is None or fee.currency_code != currency:
        return None
    try:
        return fee.minor()
    except UnreadableAmount:
        return None


def of_refund(refund: Refund) -> RefundOutcome:
    """How a refund stands."""
    match refund.status:
        case "COMPLETED":
            try:
                minor = refund.amount.minor()
            except UnreadableAmount:
                return Unknown("unreadable_amount", refund.id)
            if minor <= 0:
                return Unknown("unreadable_amount", refund.id)
            return Refunded(refund.id, minor, refund.amount.currency_code)
        case "PENDING":
            return RefundPending(refund.id)
        case "CANCELLED" | "FAILED":
            reason = refund.status_details.reason if refund.status_details is not None else None
            return RefundDeclined(RefundDeclineReason.GENERIC, reason or refund.status, refund.id)


def is_for(amount: Amount, asked: tuple[int, str]) -> bool:
    """Whether PayPal speaks of the amount that was asked for."""
    try:
        return (amount.minor(), amount.currency_code) == asked
    except UnreadableAmount:
        return False


def found(outcome: Outcome, order: Order) -> Found[Outcome]:
    """An order's charge, with whatever else moved money in it, and the code it was sent with."""
    unit = order.purchase_units[0] if order.purchase_units else None
    others = others_of(unit.payments.captures) if unit is not None else ()
    return Found(outcome, others, unit.our_reference if unit is not None else None)
