"""Giving money back: a refund of a capture, once per key for 45 days."""

from types import MappingProxyType
from typing import Final

from app.domain.outcome import (
    Found,
    Inconclusive,
    NotExecuted,
    NotFound,
    RefundDeclined,
    RefundDeclineReason,
    RefundOutcome,
    Succeeded,
    Unknown,
)
from app.gateways.paypal import amounts, lookups, outcomes
from app.gateways.paypal.exchange import ask
from app.gateways.paypal.problems import BAD_REQUEST, FORBIDDEN, MISSING, OUR_FAULT, Refusal
from app.gateways.paypal.references import Kind, Reference, refund_path, request_id
from app.gateways.paypal.session import Call, Session
from app.gateways.paypal.words import Refund
from app.gateways.requests import RefundRequest

_NOT_REFUNDABLE = RefundDeclineReason.PAYMENT_NOT_REFUNDABLE
REASONS: Final = MappingProxyType(
    {
        "REFUND_AMOUNT_EXCEEDED": RefundDeclineReason.EXCEEDS_CAPTURED,
        "CAPTURE_FULLY_REFUNDED": RefundDeclineReason.EXCEEDS_CAPTURED,
        "REFUND_FAILED_INSUFFICIENT_FUNDS": RefundDeclineReason.INSUFFICIENT_BALANCE,
        "PENDING_CAPTURE": _NOT_REFUNDABLE,
        "REFUND_NOT_ALLOWED": _NOT_REFUNDABLE,
        "REFUND_TIME_LIMIT_EXCEEDED": _NOT_REFUNDABLE,
        "REFUND_IS_RESTRICTED": _NOT_REFUNDABLE,
        "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": _NOT_REFUNDABLE,
        "MAX_NUMBER_OF_REFUNDS_EXCEEDED": _NOT_REFUNDABLE,
        "PARTIAL_REFUND_NOT_ALLOWED": _NOT_REFUNDABLE,
        "TRANSACTION_DISPUTED": _NOT_REFUNDABLE,
        "PAYER_ACCOUNT_LOCKED_OR_CLOSED": _NOT_REFUNDABLE,
        "REFUND_AMOUNT_TOO_LOW": _NOT_REFUNDABLE,
    }
)
NOT_CAPTURED: Final = "NOT_CAPTURED"
"""Our own word: PayPal is not asked to refund what holds no capture."""


async def refund(session: Session, request: RefundRequest) -> RefundOutcome:
    """Give money back, once per idempotency key."""
    body = {
        "amount": amounts.write(request.amount_minor, request.currency),
        "invoice_id": request.refund_code,
        "custom_id": request.refund_code,
    }
    capture = await _capture_of(session, Reference.parse(request.payment_reference))
    if not isinstance(capture, Reference):
        return capture
    call = Call(
        "captures.refund",
        "POST",
        f"{capture.path}/refund",
        body,
        request_id=request_id(request.idempotency_key, "refund"),
    )
    done = await ask(session, call, Refund, refund_path)
    match done:
        case Refund():
            return _checked(request, done)
        case Refusal():
            return _refused(done)
        case NotExecuted() | Unknown():
            return done


async def _capture_of(session: Session, reference: Reference) -> Reference | RefundOutcome:
    """The capture behind a reference; one that names something earlier is looked into."""
    if reference.kind is Kind.CAPTURE:
        return reference
    found = await lookups.fetch_payment(session, reference)
    match found:
        case Found(outcome=Succeeded(gateway_reference=captured)):
            return Reference.parse(captured)
        case Found():
            return RefundDeclined(_NOT_REFUNDABLE, NOT_CAPTURED)
        case NotFound():
            return RefundDeclined(RefundDeclineReason.PAYMENT_NOT_FOUND, "RESOURCE_NOT_FOUND")
        case Inconclusive(cause=cause):
            return NotExecuted(cause)


def _checked(request: RefundRequest, done: Refund) -> RefundOutcome:
    is_ours = done.our_reference == request.refund_code
    if not is_ours or not outcomes.is_for(done.amount, (request.amount_minor, request.currency)):
        return Unknown("answer_for_another_refund", done.id)
    return outcomes.of_refund(done)


def _refused(refused: Refusal) -> RefundOutcome:
    """A refused refund; raises InvalidRequestError when the fault is ours."""
    if refused.status == FORBIDDEN:
        raise refused.error()  # it says nothing of what a request before this one did
    if refused.status == MISSING:
        return RefundDeclined(RefundDeclineReason.PAYMENT_NOT_FOUND, refused.code)
    for issue in refused.issues:
        reason = REASONS.get(issue)
        if reason is not None:
            return RefundDeclined(reason, issue)
    if refused.status == BAD_REQUEST or OUR_FAULT.fullmatch(refused.code):
        raise refused.error()
    return RefundDeclined(RefundDeclineReason.GENERIC, refused.code)
