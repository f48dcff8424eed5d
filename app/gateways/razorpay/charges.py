"""Charges: an order of ours, one recurring payment on it, and what becomes of that.

Only `create/recurring` moves money. Whatever goes wrong before it is sent was not executed.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from app.domain.outcome import (
    Authorized,
    Declined,
    Found,
    Inconclusive,
    NotExecuted,
    NotFound,
    Outcome,
    PaymentLookup,
    Pending,
    Succeeded,
    Unknown,
    VoidDeclined,
    VoidDeclineReason,
    Voided,
    VoidOutcome,
)
from app.gateways.base import AuthenticationError, InvalidRequestError
from app.gateways.razorpay import orders, outcomes, vault
from app.gateways.razorpay.account import NOTICE_SECONDS, Keys
from app.gateways.razorpay.declines import REASONS, decline
from app.gateways.razorpay.orders import OnOrders
from app.gateways.razorpay.signatures import is_signed, payment_message
from app.gateways.razorpay.wire import Wire, refuse, told_at, unfound
from app.gateways.razorpay.words import ATTEMPT, Charged, Customer, Order, Payment, Problem, read
from app.gateways.requests import CaptureRequest, ChargeRequest, VoidRequest
from app.http import Answer

ORDER_PREFIX: Final = "order_"
NOTE_CHARS_MAX: Final = 256
UNTOLD: Final = "notification_not_sent"
TOO_EARLY: Final = re.compile(
    r"promised.debit.date|(min|minimum).(time.)?gap|(before|attempted) \d+ hours"
)
"""A debit that was asked for before the notice was old enough (razorpay.com/docs, as above)."""
TOO_EARLY_RETRY_SECONDS: Final = 3_600
DEBIT_WITHIN_SECONDS: Final = 90
"""From when the order is looked for. Whoever comes next for the same charge comes later than that,
and must find the order: two orders would be two debits."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom the bank tells of a debit: a recurring payment must name both."""

    email: str
    phone: str


async def charge(wire: Wire, keys: Keys, request: ChargeRequest) -> Outcome:
    """Ask for a debit, once per attempt code; asked again, say what became of it."""
    outcomes.check_amount(request.amount_minor, request.currency)
    if request.customer_reference is None:
        raise InvalidRequestError("Razorpay charges a token of a customer.", param="customer")
    begun = asyncio.get_running_loop().time()
    known = await orders.by_reference(wire, request.attempt_code)
    if isinstance(known, Inconclusive):
        return NotExecuted(f"look_up_{known.cause}")
    for each in known.orders:
        if (each.amount, each.currency) != (request.amount_minor, request.currency):
            raise InvalidRequestError(
                "This attempt code was used for another amount.", code="reference_reused"
            )
    found = outcomes.of_payments(known.payments, known.now)
    if found is not None:
        return found.outcome
    if len(known.orders) > 1 or known.is_out_of_step:
        return Unknown("orders_out_of_step")
    contact = await _contact(wire, request)
    if not isinstance(contact, Contact):
        return contact
    order = known.orders[0] if known.orders else await _order(wire, keys, request, known.now)
    if not isinstance(order, Order):
        return order
    not_now = _not_now(order, known.now, begun)
    return not_now or await _debit(wire, keys, request, order, contact)


async def _order(
    wire: Wire, keys: Keys, request: ChargeRequest, now: datetime | None
) -> Order | Declined | NotExecuted:
    """The attempt's order, made now; refused where it is to announce a debit of a token that is
    none any more. Without an order that we know of, nothing is charged.
    """
    try:
        made = await orders.create(wire, order_body(keys, request, now))
    except InvalidRequestError:
        unusable = await vault.why_unusable(wire, request)
        if unusable is None:
            raise
        return Declined(unusable)
    return made if isinstance(made, Order) else NotExecuted(f"order_{made.cause}")


def _not_now(order: Order, now: datetime | None, begun: float) -> Pending | NotExecuted | None:
    """Why the debit is left to whoever asks for it again, and finds the order; None: it is due."""
    waiting = outcomes.announced(order, now)
    if waiting is not None:
        return waiting
    if asyncio.get_running_loop().time() - begun > DEBIT_WITHIN_SECONDS:
        return NotExecuted("order_took_too_long")
    return None


def order_body(keys: Keys, request: ChargeRequest, now: datetime | None) -> Mapping[str, object]:
    """The order of an attempt; where the law wants it, with the notice to the customer.

    `payment_after` is left out when it is too near: the debit follows the notice as soon as it may.
    """
    body: dict[str, object] = {
        "amount": request.amount_minor,
        "currency": request.currency,
        "payment_capture": request.is_captured,
        "receipt": request.attempt_code,
        "notes": {ATTEMPT: request.attempt_code},
    }
    if not keys.capabilities.lead_time_seconds(request.method_type, request.currency):
        return body
    notice: dict[str, object] = {"token_id": request.payment_method_reference}
    due = request.not_before
    if due is not None and (now is None or due > now + timedelta(seconds=NOTICE_SECONDS)):
        notice["payment_after"] = int(due.timestamp())
    return {**body, "notification": notice}


async def _contact(wire: Wire, request: ChargeRequest) -> Contact | NotExecuted:
    """The customer's addresses: ours, or those that Razorpay has."""
    given = request.customer
    if given is not None and given.email and given.phone:
        return Contact(given.email, given.phone)
    reply = await wire.look(f"/customers/{request.customer_reference}")
    match reply:
        case Answer():
            customer = read(Customer, reply)
            if customer is None:
                return NotExecuted("customer_unreadable")
            email = (given and given.email) or customer.email
            phone = (given and given.phone) or customer.contact
            if not email or not phone:
                raise InvalidRequestError(
                    "A recurring payment names the customer's mail address and telephone number.",
                    code="contact_missing",
                    param="customer",
                )
            return Contact(email, phone)
        case Problem():
            raise refuse(reply)
        case Inconclusive(cause):
            return NotExecuted(f"customer_{cause}")


async def _debit(
    wire: Wire, keys: Keys, request: ChargeRequest, order: Order, contact: Contact
) -> Outcome:
    """The call that may move money."""
    body = {
        "email": contact.email,
        "contact": contact.phone,
        "amount": request.amount_minor,
        "currency": request.currency,
        "order_id": order.id,
        "customer_id": request.customer_reference,
        "token": request.payment_method_reference,
        "recurring": True,
        "description": request.description[:NOTE_CHARS_MAX],
        "notes": {ATTEMPT: request.attempt_code, "invoice": request.invoice_number},
    }
    reply = await wire.call("POST", "/payments/create/recurring", body)
    match reply:
        case Answer():
            charged = read(Charged, reply)
            if charged is None:
                return Unknown("unreadable_answer")
            if not _is_ours(keys, order, charged):
                return Unknown("answer_for_another_charge", charged.razorpay_payment_id)
            return await _after(wire, order, charged.razorpay_payment_id)
        case Problem():
            return await _refused(wire, request, order, reply)
        case _:
            return reply


def _is_ours(keys: Keys, order: Order, charged: Charged) -> bool:
    """The answer names our order, and is signed where it is signed at all."""
    if charged.razorpay_order_id not in (None, order.id):
        return False
    if charged.razorpay_signature is None:
        return True
    message = payment_message(order.id, charged.razorpay_payment_id)
    return is_signed(message, charged.razorpay_signature, keys.key_secret.get_secret_value())


async def _after(wire: Wire, order: Order, payment_id: str) -> Outcome:
    """A payment exists; some are decided at once, others days later."""
    waiting = Pending(payment_id, expected_by=outcomes.settled_by(order, order.created_at))
    try:
        found = await fetch_payment(wire, payment_id)
    except AuthenticationError:  # that would say that nothing was executed
        return waiting
    return found.outcome if isinstance(found, Found) else waiting


async def _refused(wire: Wire, request: ChargeRequest, order: Order, problem: Problem) -> Outcome:
    """A refusal is a failed payment, one that exists already, or a token that is none any more."""
    said = f"{problem.code} {problem.reason} {problem.description}".lower()
    if "already paid" in said or "order_already_paid" in said:
        return await _on_order(wire, order)
    if problem.payment_id is not None:
        found = await _safely(wire, problem.payment_id)
        return found or Unknown("failed_payment_not_found", problem.payment_id)
    if TOO_EARLY.search(said):
        return NotExecuted("notice_too_fresh", TOO_EARLY_RETRY_SECONDS)
    if UNTOLD in said:
        return Declined(decline("pre_debit_notification_not_sent"))
    if "exceeds maximum amount" in said:
        return Declined(decline("amount_exceeds_mandate"))
    if (problem.reason or "").lower() in REASONS:
        return Declined(decline(problem.reason, problem.code))
    unusable = await vault.why_unusable(wire, request)
    if unusable is not None:
        return Declined(unusable)
    raise refuse(problem)


async def _on_order(wire: Wire, order: Order) -> Outcome:
    try:
        found = await orders.by_id(wire, order.id)
    except AuthenticationError:
        return Unknown("credentials_refused")
    if not isinstance(found, OnOrders):
        return Unknown("order_not_readable")
    settled = outcomes.of_payments(found.payments, found.now)
    return Unknown("orders_out_of_step") if settled is None else settled.outcome


async def _safely(wire: Wire, payment_id: str) -> Outcome | None:
    try:
        found = await fetch_payment(wire, payment_id)
    except AuthenticationError:
        return None
    return found.outcome if isinstance(found, Found) else None


async def find_payment(wire: Wire, reference: str) -> PaymentLookup:
    """How the charge with our reference stands: all payments on all orders that carry it."""
    known = await orders.by_reference(wire, reference)
    if isinstance(known, Inconclusive):
        return known
    found = outcomes.of_payments(known.payments, known.now)
    if found is not None:
        return found
    if known.is_out_of_step:
        return Inconclusive("orders_out_of_step")
    return _waiting(known) or NotFound(definitive=True)


def _waiting(known: OnOrders) -> Found[Outcome] | None:
    """A charge that was announced, and may not be asked for yet."""
    if len(known.orders) != 1:
        return None
    waiting = outcomes.announced(known.orders[0], known.now)
    return None if waiting is None else Found(waiting)


async def fetch_payment(wire: Wire, gateway_reference: str) -> PaymentLookup:
    """How a payment stands, or the one that matters of an order."""
    if gateway_reference.startswith(ORDER_PREFIX):
        return await _fetch_order(wire, gateway_reference)
    reply = await wire.look(f"/payments/{gateway_reference}")
    match reply:
        case Answer():
            payment = read(Payment, reply)
            if payment is None or payment.id != gateway_reference:
                return Inconclusive("unreadable_answer")
            outcome = outcomes.of_payment(payment, told_at(reply))
            if isinstance(outcome, Declined | Voided) and payment.attempt is not None:
                return await _among_its_like(wire, payment, payment.attempt)
            return Found(outcome, reference=payment.our_reference)
        case Problem():
            return unfound(reply)
        case Inconclusive():
            return reply


async def _among_its_like(wire: Wire, payment: Payment, attempt: str) -> PaymentLookup:
    """How the charge stands that a payment came to nothing for: a call whose answer was lost, and
    its repetition, may have made two, and the other one may take the money.
    """
    known = await orders.by_reference(wire, attempt)
    if isinstance(known, Inconclusive):
        return known
    found = outcomes.of_payments(known.payments, known.now)
    if found is None or payment.id not in {each.id for _, each in known.payments}:
        return Inconclusive("orders_out_of_step")
    return replace(found, reference=attempt)


async def _fetch_order(wire: Wire, order_id: str) -> PaymentLookup:
    known = await orders.by_id(wire, order_id)
    if not isinstance(known, OnOrders):
        return known
    found = outcomes.of_payments(known.payments, known.now)
    if found is None and not known.is_out_of_step:
        found = _waiting(known)
    if found is None:
        return NotFound(definitive=not known.is_out_of_step)
    return replace(found, reference=known.orders[0].receipt)


async def capture(wire: Wire, request: CaptureRequest) -> Outcome:
    """Take what was authorised: all of it, as Razorpay takes no part. Taken already is taken."""
    outcomes.check_amount(request.amount_minor, request.currency)
    body = {"amount": request.amount_minor, "currency": request.currency}
    reply = await wire.call("POST", f"/payments/{request.payment_reference}/capture", body)
    match reply:
        case Answer():
            payment = read(Payment, reply)
            if payment is None:
                return Unknown("unreadable_answer")
            if payment.id != request.payment_reference:
                return Unknown("answer_for_another_charge", payment.id)
            return outcomes.of_payment(payment, told_at(reply))
        case Problem():
            return await _not_captured(wire, request, reply)
        case _:
            return reply


async def _not_captured(wire: Wire, request: CaptureRequest, problem: Problem) -> Outcome:
    found = await fetch_payment(wire, request.payment_reference)
    match found:
        case Found(outcome=Authorized()) | NotFound():  # the request is at fault
            raise refuse(problem)
        case Found(outcome=outcome):
            return outcome
        case Inconclusive(cause):
            return Unknown(f"look_up_{cause}", request.payment_reference)


async def void(wire: Wire, request: VoidRequest) -> VoidOutcome:
    """Razorpay lets nobody give up an authorisation: it ends by itself, uncaptured.

    So this says what has become of it: given up already, or `not_voidable`.
    """
    reference = request.payment_reference
    found = await fetch_payment(wire, reference)
    match found:
        case Found(outcome=Voided() | Declined()):
            return Voided(reference)
        case Found(outcome=Succeeded()):
            return VoidDeclined(VoidDeclineReason.ALREADY_CAPTURED, "captured")
        case Found():
            return VoidDeclined(VoidDeclineReason.NOT_VOIDABLE, "no_void_at_razorpay")
        case NotFound():
            return VoidDeclined(VoidDeclineReason.NOT_FOUND, "payment_not_found")
        case Inconclusive(cause):
            return NotExecuted(f"look_up_{cause}")
