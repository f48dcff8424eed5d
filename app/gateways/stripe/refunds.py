"""Money back. Stripe may take it at once, later, or send it back weeks after it succeeded."""

from types import MappingProxyType
from typing import Final

from app.domain.outcome import RefundDeclined, RefundDeclineReason, RefundOutcome, Unknown
from app.gateways.requests import RefundRequest
from app.gateways.stripe import amounts
from app.gateways.stripe.reading import REFUND, refund_outcome
from app.gateways.stripe.wire import Field, Refusal, Wire, is_name
from app.gateways.stripe.words import Charge, PaymentIntent, Refund

PATH: Final = "/v1/refunds"
EXPANDED: Final = ("balance_transaction",)
CHARGE_PREFIXES: Final = ("ch_", "py_")
"""Charges without a payment intent: not ours, but they can be refunded."""
REFUSALS: Final = MappingProxyType(
    {
        "balance_insufficient": RefundDeclineReason.INSUFFICIENT_BALANCE,
        "charge_already_refunded": RefundDeclineReason.EXCEEDS_CAPTURED,
        "charge_disputed": RefundDeclineReason.PAYMENT_NOT_REFUNDABLE,
        "charge_not_refundable": RefundDeclineReason.PAYMENT_NOT_REFUNDABLE,
        "insufficient_funds": RefundDeclineReason.INSUFFICIENT_BALANCE,
        "refund_disputed_payment": RefundDeclineReason.PAYMENT_NOT_REFUNDABLE,
        "resource_missing": RefundDeclineReason.PAYMENT_NOT_FOUND,
    }
)


async def refund(wire: Wire, request: RefundRequest) -> RefundOutcome:
    """Give money back."""
    amount = amounts.written(request.amount_minor, request.currency)
    if not is_name(request.payment_reference):
        return RefundDeclined(RefundDeclineReason.PAYMENT_NOT_FOUND, "resource_missing")
    is_charge = request.payment_reference.startswith(CHARGE_PREFIXES)
    body: dict[str, Field] = {
        "charge" if is_charge else "payment_intent": request.payment_reference,
        "amount": amount.value,
        "reason": "requested_by_customer",
        "metadata": {REFUND: request.refund_code},
        "expand": EXPANDED,
    }
    said = await wire.post(Refund, PATH, request.idempotency_key, body)
    match said:
        case Refund():
            told = ((said.metadata or {}).get(REFUND), said.amount, said.currency)
            if told != (request.refund_code, amount.value, amount.currency):
                return Unknown("answer_for_another_refund", said.id)
            return refund_outcome(said)
        case Refusal():
            return await _refused(wire, said, request, amount.value)
        case _:
            return said


async def _refused(
    wire: Wire, refusal: Refusal, request: RefundRequest, value: int
) -> RefundDeclined:
    """Why not, in our words; a fault of ours is raised.

    That too much was asked for has no code at Stripe, so the payment itself is asked.
    """
    code = refusal.error.code or refusal.error.type
    reason = REFUSALS.get(code)
    if reason is None:
        reason = await _reason(wire, request.payment_reference, value)
    if reason is None:
        raise refusal.fault()
    return RefundDeclined(reason, code)


async def _reason(wire: Wire, reference: str, value: int) -> RefundDeclineReason | None:
    if reference.startswith(CHARGE_PREFIXES):
        said = await wire.get(Charge, f"/v1/charges/{reference}")
        charge = said if isinstance(said, Charge) else None
    else:
        whole = await wire.get(
            PaymentIntent, f"/v1/payment_intents/{reference}", {"expand": ["latest_charge"]}
        )
        if isinstance(whole, PaymentIntent) and whole.status != "succeeded":
            return RefundDeclineReason.PAYMENT_NOT_REFUNDABLE
        latest = whole.latest_charge if isinstance(whole, PaymentIntent) else None
        charge = latest if isinstance(latest, Charge) else None
    if charge is None:
        return RefundDeclineReason.GENERIC
    if not charge.captured:
        return RefundDeclineReason.PAYMENT_NOT_REFUNDABLE
    is_too_much = value > charge.amount_captured - charge.amount_refunded
    return RefundDeclineReason.EXCEEDS_CAPTURED if is_too_much else None
