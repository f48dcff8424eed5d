"""Money in: a payment intent is made and confirmed in one call, captured or cancelled in another.

A refusal that brings the payment along is read off the payment. One that does not is definite all
the same: Stripe made nothing, or made what can never be paid.

A payment that only lacks the customer stays open at Stripe, and whoever has its secret can pay it,
in as many tries as they like. So it is marked before its secret is handed out: one that bears the
mark waits for the customer until it succeeds or is voided, and one that does not is declined.
"""

from collections.abc import Mapping
from typing import Final

from app.domain.outcome import (
    Declined,
    NotExecuted,
    Outcome,
    Unknown,
    VoidDeclined,
    VoidDeclineReason,
    Voided,
    VoidOutcome,
)
from app.gateways.requests import CaptureRequest, ChargeRequest, VoidRequest
from app.gateways.stripe import amounts
from app.gateways.stripe.declines import TABLE, decline_of
from app.gateways.stripe.reading import (
    ATTEMPT,
    AUTHENTICATE,
    ON_SESSION,
    action_of,
    outcome_of,
)
from app.gateways.stripe.wire import Field, Refusal, Wire, is_name
from app.gateways.stripe.words import PaymentError, PaymentIntent, PaymentMethod

PATH: Final = "/v1/payment_intents"
EXPANDED: Final = ("latest_charge.balance_transaction",)
"""Brings the network's name for the charge, and what Stripe kept."""
NO_REDIRECTS: Final[Mapping[str, Field]] = {"enabled": True, "allow_redirects": "never"}
MISSING: Final = "resource_missing"


async def charge(wire: Wire, request: ChargeRequest, return_url: str | None) -> Outcome:
    """Take money off-session, or hold it."""
    amount = amounts.written(request.amount_minor, request.currency)
    body: dict[str, Field] = {
        "amount": amount.value,
        "currency": amount.currency,
        "customer": request.customer_reference,
        "payment_method": request.payment_method_reference,
        "confirm": True,
        "off_session": True,
        "capture_method": "automatic" if request.is_captured else "manual",
        "description": request.description,
        "metadata": {ATTEMPT: request.attempt_code, "invoice_number": request.invoice_number},
        "expand": EXPANDED,
    }
    # Without a page to come back to, Stripe must know that none will be needed.
    way = {"return_url": return_url} if return_url else {"automatic_payment_methods": NO_REDIRECTS}
    said = await wire.post(PaymentIntent, PATH, request.idempotency_key, {**body, **way})
    match said:
        case PaymentIntent():
            return await _ours(wire, said, request, amount)
        case Refusal(error=error) if error.payment_intent is not None:
            return await _ours(wire, error.payment_intent, request, amount, error)
        case Refusal():
            return Declined(decline_of(await _declining(wire, said, request)))
        case _:
            return said


async def _ours(
    wire: Wire,
    intent: PaymentIntent,
    request: ChargeRequest,
    amount: amounts.Amount,
    error: PaymentError | None = None,
) -> Outcome:
    """How the payment stands, if it is the one that was asked for."""
    told = (intent.metadata.get(ATTEMPT), intent.amount, intent.currency)
    if told != (request.attempt_code, amount.value, amount.currency):
        return Unknown("answer_for_another_charge", intent.id)
    failure = intent.last_payment_error or error
    lacks_customer = failure is not None and failure.code == AUTHENTICATE
    is_open = intent.status == "requires_payment_method" and lacks_customer
    if intent.client_secret is not None and (is_open or intent.status == "requires_action"):
        return await _handed_out(wire, intent, request)
    return outcome_of(intent, error)


async def _handed_out(wire: Wire, intent: PaymentIntent, request: ChargeRequest) -> Outcome:
    """The payment with its secret, once it bears the mark."""
    key = f"{request.idempotency_key}:on_session"
    body: dict[str, Field] = {"metadata": {ON_SESSION: "yes"}}
    said = await wire.post(PaymentIntent, _path(intent.id), key, body)
    match said:
        case PaymentIntent() if said.id == intent.id and ON_SESSION in said.metadata:
            return action_of(intent)
        case NotExecuted(cause=cause) | Unknown(cause=cause):
            return Unknown(cause, intent.id)
        case _:
            return Unknown("not_marked", intent.id)


async def _declining(wire: Wire, refusal: Refusal, request: ChargeRequest) -> PaymentError:
    """The refusal, if it is the payment method's; a fault of ours is raised."""
    error = refusal.error
    if error.type == "card_error":
        return error
    if error.code == MISSING:
        if error.param in {"payment_method", "customer"}:
            return error
        raise refusal.fault()
    if error.code in TABLE:
        return error
    if error.param == "payment_method" and await _is_gone(wire, request.payment_method_reference):
        # Stripe has no code for it: it was detached, and a detached one can never be used again.
        return PaymentError(type=error.type, code=MISSING, param=error.param)
    raise refusal.fault()


async def _is_gone(wire: Wire, reference: str) -> bool:
    if not is_name(reference):
        return True
    said = await wire.get(PaymentMethod, f"/v1/payment_methods/{reference}")
    if isinstance(said, PaymentMethod):
        return said.customer is None
    return isinstance(said, Refusal) and said.status == 404  # noqa: PLR2004  Not Found


async def capture(wire: Wire, request: CaptureRequest) -> Outcome:
    """Take what was held; what is left of it is given up."""
    amount = amounts.written(request.amount_minor, request.currency)
    path = f"{_path(request.payment_reference)}/capture"
    body: dict[str, Field] = {"amount_to_capture": amount.value, "expand": EXPANDED}
    said = await wire.post(PaymentIntent, path, request.idempotency_key, body)
    error = None
    if isinstance(said, Refusal):
        refusal, error = said, said.error
        if error.type == "card_error" and error.payment_intent is None:
            return Declined(decline_of(error), request.payment_reference)
        present = await _present(wire, refusal, request.payment_reference)
        if present is None or present.status == "requires_capture":
            raise refusal.fault()
        said = present
    if not isinstance(said, PaymentIntent):
        return said
    if (said.id, said.currency) != (request.payment_reference, amount.currency):
        return Unknown("answer_for_another_charge", said.id)
    return outcome_of(said, error)


async def void(wire: Wire, request: VoidRequest) -> VoidOutcome:
    """Give up what was held or waits for the customer."""
    if not is_name(request.payment_reference):
        return VoidDeclined(VoidDeclineReason.NOT_FOUND, MISSING)
    path = f"{_path(request.payment_reference)}/cancel"
    body: dict[str, Field] = {"cancellation_reason": "abandoned"}
    said = await wire.post(PaymentIntent, path, request.idempotency_key, body)
    code = None
    if isinstance(said, Refusal):
        refusal, code = said, said.error.code or said.error.type
        if refusal.status == 404:  # noqa: PLR2004  Not Found
            return VoidDeclined(VoidDeclineReason.NOT_FOUND, code)
        present = await _present(wire, refusal, request.payment_reference)
        if present is None:
            return VoidDeclined(VoidDeclineReason.NOT_VOIDABLE, code)
        said = present
    if not isinstance(said, PaymentIntent):
        return said
    if said.id != request.payment_reference:
        return Unknown("answer_for_another_charge", said.id)
    if said.status == "canceled":
        return Voided(said.id)
    if code is None:
        return Unknown(said.status, said.id)
    captured = said.status == "succeeded"
    reason = VoidDeclineReason.ALREADY_CAPTURED if captured else VoidDeclineReason.NOT_VOIDABLE
    return VoidDeclined(reason, code)


async def _present(wire: Wire, refusal: Refusal, reference: str) -> PaymentIntent | None:
    """How the payment stands that a call was refused for."""
    said = await wire.get(PaymentIntent, _path(reference), {"expand": EXPANDED})
    # What an error brings along is not expanded: it serves if nothing better can be had.
    return said if isinstance(said, PaymentIntent) else refusal.error.payment_intent


def _path(reference: str) -> str:
    # What Stripe could not have named is asked for all the same, and is not found.
    return f"{PATH}/{reference if is_name(reference) else 'pi_none'}"
