"""Collecting what an invoice asks for: at a gateway, outside of any, or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.domain import balance as balances
from app.domain import invoice as invoices
from app.domain import invoicing
from app.domain import subscription as subscribing
from app.domain.balance import Balance
from app.domain.decision import Decision
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import Invoice
from app.domain.ledger import Account, Entry, Source, cash
from app.domain.payment import Attempt, AttemptStatus, Payment, Status
from app.domain.subscription import Happening, Subscription

SEND_LEASE: Final = timedelta(minutes=3)
"""A call not answered by then belongs to a process that died; longer than any gateway time-out."""
PAYABLE: Final = frozenset({invoices.Status.OPEN, invoices.Status.UNCOLLECTIBLE})


@dataclass(frozen=True, slots=True)
class Bill:
    """An invoice with its payment, the attempt in question, and the subscriptions it is for."""

    invoice: Invoice
    payment: Payment
    attempt: Attempt | None = None
    subscriptions: tuple[Subscription, ...] = ()


def begin(
    bill: Bill,
    method: tuple[UUID, UUID],
    now: datetime,
    new_id: NewId,
    name: Callable[[UUID], str],
) -> Decision:
    """Write down the attempt that is about to be made; `method` is (method, gateway account) ids.

    Raises Conflict when the invoice is not payable or the payment is not waiting for its turn.
    """
    invoice, payment = bill.invoice, bill.payment
    if invoice.status not in PAYABLE or not invoice.amount_remaining:
        raise Conflict(f"The invoice is {invoice.status}.", code="invoice_" + invoice.status)
    if payment.status is not Status.SCHEDULED:
        raise Conflict(f"The payment is {payment.status}.", code=f"payment_{payment.status}")
    attempt_id = new_id()
    attempt = Attempt(
        id=attempt_id,
        merchant_id=payment.merchant_id,
        payment_id=payment.id,
        invoice_id=invoice.id,
        gateway_account_id=method[1],
        payment_method_id=method[0],
        ordinal=payment.attempt_count + 1,
        status=AttemptStatus.PROCESSING,
        currency=payment.currency,
        amount=payment.amount,
        reference=name(attempt_id),
        created_at=now,
        look_up_at=now + SEND_LEASE,
    )
    processing = replace(
        payment,
        status=Status.PROCESSING,
        payment_method_id=method[0],
        due_at=None,
        failure_code=None,
        failure_category=None,
        attempt_count=attempt.ordinal,
        version=payment.version + 1,
    )
    return Decision(payment.merchant_id, payments=(processing,), attempts=(attempt,))


def wait_for_method(payment: Payment) -> Decision:
    """The method the payment was to use is gone: it waits for another."""
    waiting = replace(
        payment,
        status=Status.REQUIRES_PAYMENT_METHOD,
        due_at=None,
        failure_code="payment_method_detached",
        version=payment.version + 1,
    )
    return Decision(payment.merchant_id, payments=(waiting,))


def pay_outside(
    invoice: Invoice,
    payment: Payment | None,
    subs: Sequence[Subscription],
    now: datetime,
    new_id: NewId,
) -> Decision:
    """The invoice was paid outside of any gateway: cash, a transfer, a cheque."""
    if invoice.status not in PAYABLE:
        raise Conflict(f"The invoice is {invoice.status}.", code="invoice_" + invoice.status)
    amount = invoice.amount_remaining
    paid = invoices.pay(invoice, amount, now)
    entry = Entry(
        new_id(),
        invoice.merchant_id,
        Source.INVOICE,
        invoice.id,
        cash(None),
        invoices.owed_on(invoice),
        invoice.order.currency,
        amount,
    )
    decision = Decision(
        invoice.merchant_id,
        invoices=(paid,),
        payments=(canceled(payment),) if payment is not None else (),
        entries=(entry,),
        events=(Event(new_id(), Type.INVOICE_PAID, paid),),
    )
    return with_subscriptions(decision, paid, subs, new_id)


def void(
    invoice: Invoice, payment: Payment | None, balance: Balance, now: datetime, new_id: NewId
) -> Decision:
    """Void an unpaid invoice: what it posted is taken back, and the credit it used is returned.

    The invoice needs its lines. Raises Conflict when a payment of it is in flight.
    """
    status = invoices.after(invoice.status, invoices.Action.VOID)
    if invoice.amount_paid:
        raise Conflict("It is partly paid; refund that first.", code="invoice_partly_paid")
    if invoice.amount_credited:
        raise Conflict("Credit notes took of it; void those first.", code="invoice_credited")
    voided = replace(invoice, status=status, voided_at=now, version=invoice.version + 1)
    back = invoice.balance_applied
    return Decision(
        invoice.merchant_id,
        invoices=(voided,),
        payments=(canceled(payment),) if payment is not None else (),
        balances=(balances.unapply(balance, back, invoice.id, new_id),) if back else (),
        entries=invoicing.reversal(invoice, new_id),
        events=(Event(new_id(), Type.INVOICE_VOIDED, voided),),
    )


def write_off(invoice: Invoice, payment: Payment | None, new_id: NewId) -> Decision:
    """Give up on an unpaid invoice: the rest becomes bad debt."""
    status = invoices.after(invoice.status, invoices.Action.WRITE_OFF)
    lost = replace(invoice, status=status, version=invoice.version + 1)
    entry = Entry(
        new_id(),
        invoice.merchant_id,
        Source.INVOICE_WRITE_OFF,
        invoice.id,
        Account.BAD_DEBT,
        Account.RECEIVABLE,
        invoice.order.currency,
        invoice.amount_remaining,
    )
    return Decision(
        invoice.merchant_id,
        invoices=(lost,),
        payments=(canceled(payment),) if payment is not None else (),
        entries=(entry,),
        events=(Event(new_id(), Type.INVOICE_UNCOLLECTIBLE, lost),),
    )


def canceled(payment: Payment) -> Payment:
    """The payment, no longer wanted; nothing of it may be in flight."""
    if payment.status in (Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION):
        raise Conflict(
            "A payment of this invoice is in flight or its outcome is not known yet.",
            code="payment_in_flight",
        )
    return replace(payment, status=Status.CANCELED, due_at=None, version=payment.version + 1)


def retry(payment: Payment, method_id: UUID | None, now: datetime) -> Payment:
    """The payment, due at once, with another method if one is given."""
    if payment.status not in (Status.REQUIRES_PAYMENT_METHOD, Status.SCHEDULED):
        raise Conflict(f"The payment is {payment.status}.", code=f"payment_{payment.status}")
    chosen = method_id or payment.payment_method_id
    if chosen is None:
        raise InvalidRequest(
            "The customer has no payment method.",
            code="payment_method_missing",
            param="payment_method_id",
        )
    return replace(
        payment,
        status=Status.SCHEDULED,
        payment_method_id=chosen,
        due_at=now,
        version=payment.version + 1,
    )


def with_subscriptions(
    decision: Decision, invoice: Invoice, subs: Sequence[Subscription], new_id: NewId
) -> Decision:
    """The decision with what it means for the subscriptions that the invoice is for: they run again
    where it is paid now, and are behind where a payment of it was declined.
    """
    is_paid = invoice.status is invoices.Status.PAID
    moved, told = [], []
    for sub in subs:
        became = _paid_up(sub, invoice) if is_paid else _fallen_behind(sub, invoice)
        if became is not None:
            type_ = Type.SUBSCRIPTION_ACTIVATED if is_paid else Type.SUBSCRIPTION_PAST_DUE
            moved.append(became)
            told.append(Event(new_id(), type_, became))
    if not moved:
        return decision
    return replace(decision, subscriptions=tuple(moved), events=(*decision.events, *told))


def _paid_up(sub: Subscription, invoice: Invoice) -> Subscription | None:
    """The subscription, running again because its latest invoice is paid; None if unchanged."""
    if sub.latest_invoice_id != invoice.id or sub.status in subscribing.ENDED:
        return None
    status = subscribing.after(sub.status, Happening.PAID)
    if status is sub.status:
        return None
    return replace(sub, status=status, expires_at=None, version=sub.version + 1)


def _fallen_behind(sub: Subscription, invoice: Invoice) -> Subscription | None:
    """The subscription, behind because its latest invoice was declined; None if unchanged."""
    if sub.latest_invoice_id != invoice.id or sub.status in subscribing.ENDED:
        return None
    status = subscribing.after(sub.status, Happening.PAYMENT_FAILED)
    return None if status is sub.status else replace(sub, status=status, version=sub.version + 1)
