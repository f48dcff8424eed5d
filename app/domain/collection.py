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
from app.domain.ledger import Account, Entry, Source
from app.domain.payment import Attempt, AttemptStatus, Payment, Status, schedule
from app.domain.subscription import Happening, Subscription

SEND_LEASE: Final = timedelta(minutes=3)
"""A call not answered by then belongs to a process that died; longer than any gateway time-out."""
PAYABLE: Final = frozenset({invoices.Status.OPEN, invoices.Status.UNCOLLECTIBLE})
FLYING: Final = frozenset({Status.PROCESSING, Status.UNKNOWN, Status.REQUIRES_ACTION})
"""A payment whose attempt may still take money."""


@dataclass(frozen=True, slots=True)
class Bill:
    """An invoice with its payment, the attempt in question, and the subscriptions it is for."""

    invoice: Invoice
    payment: Payment
    attempt: Attempt | None = None
    subscriptions: tuple[Subscription, ...] = ()

    @property
    def asked(self) -> int:
        """What its payment is to bring once this attempt came to nothing: all that remains."""
        return self.invoice.amount_remaining or self.payment.amount


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
    amount = min(payment.amount, invoice.amount_remaining)
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
        amount=amount,
        reference=name(attempt_id),
        created_at=now,
        look_up_at=now + SEND_LEASE,
    )
    processing = replace(
        payment,
        status=Status.PROCESSING,
        payment_method_id=method[0],
        amount=amount,
        due_at=None,
        failure_code=None,
        failure_category=None,
        postponed_reason=None,
        attempt_count=attempt.ordinal,
        version=payment.version + 1,
    )
    return Decision(payment.merchant_id, payments=(processing,), attempts=(attempt,))


def promised_at(invoice: Invoice, now: datetime) -> datetime | None:
    """Before which moment the invoice's money is not to move: when its period begins, if it was
    billed before that; None: it may move now.
    """
    begins = invoice.order.cycle_start
    return begins if begins is not None and begins > now else None


def wait_until(payment: Payment, at: datetime) -> Decision:
    """The payment is due at `at`, and not before."""
    later = replace(payment, due_at=at, postponed_reason=None, version=payment.version + 1)
    return Decision(payment.merchant_id, payments=(later,))


def postpone(payment: Payment, at: datetime, reason: str) -> Decision:
    """The payment cannot be tried now, through no fault of its method: it is due again at `at`."""
    later = replace(payment, due_at=at, postponed_reason=reason, version=payment.version + 1)
    return Decision(payment.merchant_id, payments=(later,))


def wait_for_method(payment: Payment) -> Decision:
    """The method the payment was to use is gone: it waits for another."""
    waiting = replace(
        payment,
        status=Status.REQUIRES_PAYMENT_METHOD,
        due_at=None,
        failure_code="payment_method_detached",
        postponed_reason=None,
        version=payment.version + 1,
    )
    return Decision(payment.merchant_id, payments=(waiting,))


def hold_back(payment: Payment) -> Decision:
    """The attempt that was due is not made: it waits for what dunning decides."""
    waiting = replace(
        payment,
        status=Status.REQUIRES_PAYMENT_METHOD,
        due_at=None,
        postponed_reason=None,
        version=payment.version + 1,
    )
    return Decision(payment.merchant_id, payments=(waiting,))


def void(
    invoice: Invoice, payment: Payment | None, balance: Balance, now: datetime, new_id: NewId
) -> Decision:
    """Void an unpaid invoice: what it posted is taken back, and the credit it used is returned.

    The invoice needs its lines. Raises Conflict when a payment of it is in flight.
    """
    status = invoices.after(invoice.status, invoices.Action.VOID)
    if invoice.amount_paid:
        raise Conflict(
            "It is partly paid: reverse what was recorded by hand, or credit it by a credit note.",
            code="invoice_partly_paid",
        )
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
    if payment.status in FLYING:
        raise Conflict(
            "A payment of this invoice is in flight or its outcome is not known yet.",
            code="payment_in_flight",
        )
    return replace(
        payment,
        status=Status.CANCELED,
        due_at=None,
        postponed_reason=None,
        version=payment.version + 1,
    )


def of_what_remains(payment: Payment, remaining: int) -> Payment:
    """The payment of what remains. Raises Conflict while it is in flight, or nobody knows."""
    unwanted = canceled(payment)
    if not remaining:
        return unwanted
    return replace(payment, amount=remaining, version=payment.version + 1)


def less(live: Payment, remaining: int) -> tuple[Payment, ...]:
    """The payment of what remains, now that some of it came by another way. In flight it stays as
    it is; Conflict where it would then take more than remains.
    """
    if live.status in FLYING and live.amount <= remaining:
        return ()
    return (of_what_remains(live, remaining),)


def more(live: Payment, remaining: int) -> tuple[Payment, ...]:
    """The payment of what remains, now that more of it does; in flight it stays as it is."""
    return () if live.status in FLYING else (of_what_remains(live, remaining),)


def of_the_rest(
    invoice: Invoice, method_id: UUID | None, now: datetime, new_id: NewId
) -> tuple[Payment, ...]:
    """The payment of what a part left to pay, which waits until somebody asks for it."""
    if invoice.status not in PAYABLE:
        return ()
    return (replace(schedule(invoice, None, now, new_id), payment_method_id=method_id),)


def told_of_paying(invoice: Invoice, new_id: NewId) -> Event:
    """What is told of an invoice when money came for it."""
    is_paid = invoice.status is invoices.Status.PAID
    return Event(new_id(), Type.INVOICE_PAID if is_paid else Type.INVOICE_PARTIALLY_PAID, invoice)


def retry(
    payment: Payment, method_id: UUID | None, now: datetime, amount: int | None = None
) -> Payment:
    """The payment, due at once, with another method or for another amount if one is given."""
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
        amount=payment.amount if amount is None else amount,
        due_at=now,
        postponed_reason=None,
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
