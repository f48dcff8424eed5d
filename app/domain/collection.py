"""Collecting: an attempt begins, its outcome settles it; every answer ends in `settle`.

The synchronous answer, the look-up of a lost one and, later, a webhook all bring an `Outcome`;
what was settled already is left alone, so any of them may come twice and in any order.
"""

from collections.abc import Callable
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
from app.domain.outcome import (
    Declined,
    NotExecuted,
    Outcome,
    Pending,
    RequiresAction,
    Succeeded,
    Unknown,
)
from app.domain.payment import IN_FLIGHT, Attempt, AttemptStatus, Payment, Status
from app.domain.subscription import Happening, Subscription

SEND_LEASE: Final = timedelta(minutes=3)
"""A call not answered by then belongs to a process that died; longer than any gateway time-out."""
LOOK_UP_DELAYS: Final = tuple(
    timedelta(seconds=s) for s in (30, 120, 600, 3600, 3600, 3600, 21600, 21600, 86400, 86400)
)
"""When to ask about an outcome that is not known yet; after the last a person has to look."""
MANUAL_REVIEW: Final = "manual_review: "
PENDING: Final = "the gateway is processing it"
PAYABLE: Final = frozenset({invoices.Status.OPEN, invoices.Status.UNCOLLECTIBLE})


@dataclass(frozen=True, slots=True)
class Bill:
    """An invoice with its payment, the attempt in question, and the subscription it is for."""

    invoice: Invoice
    payment: Payment
    attempt: Attempt | None = None
    subscription: Subscription | None = None


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


def settle(bill: Bill, outcome: Outcome, now: datetime, new_id: NewId) -> Decision:
    """What follows from `outcome`; nothing when the attempt was settled before.

    Unless money moved although it was closed: that is never passed over, a person has to look.
    """
    attempt = bill.attempt
    assert attempt is not None
    if attempt.status not in IN_FLIGHT:
        if not isinstance(outcome, Succeeded) or _is_known(attempt, outcome):
            return Decision(attempt.merchant_id)
        return review(attempt, f"captured as {outcome.gateway_reference} after it was closed")
    match outcome:
        case Succeeded():
            if (outcome.amount_minor, outcome.currency) != (attempt.amount, attempt.currency):
                cause = f"the gateway took {outcome.amount_minor} {outcome.currency}"
                return _unclear(bill, attempt, cause, now, new_id, review=True)
            return _succeeded(bill, attempt, outcome, now, new_id)
        case Declined():
            return _declined(bill, attempt, outcome, now, new_id)
        case RequiresAction():
            return _requires_action(bill, attempt, outcome, now, new_id)
        case Pending():
            return _pending(bill, attempt, outcome, now, new_id)
        case Unknown():
            known = replace(
                attempt, gateway_reference=attempt.gateway_reference or outcome.gateway_reference
            )
            return _unclear(bill, known, outcome.cause, now, new_id)
        case NotExecuted():
            return _again_later(attempt, outcome, now)


def never_executed(bill: Bill, now: datetime) -> Decision:
    """The gateway provably never took the attempt: it is closed, and the payment is due again."""
    attempt, payment = bill.attempt, bill.payment
    assert attempt is not None
    assert attempt.gateway_reference is None, "what the gateway has named was executed"
    closed = replace(
        attempt,
        status=AttemptStatus.CANCELED,
        detail="not executed, as the gateway's own books say",
        look_up_at=None,
        settled_at=now,
        version=attempt.version + 1,
    )
    due = replace(payment, status=Status.SCHEDULED, due_at=now, version=payment.version + 1)
    return Decision(payment.merchant_id, payments=(due,), attempts=(closed,))


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


def look_again(attempt: Attempt, detail: str, now: datetime) -> Decision:
    """Nothing was learned: ask again later, or hand it to a person after the last time."""
    return Decision(attempt.merchant_id, attempts=(_later(attempt, detail, now),))


def review(attempt: Attempt, cause: str) -> Decision:
    """A person has to look at the attempt; its status stays. Once is enough."""
    if (attempt.detail or "").startswith(MANUAL_REVIEW):
        return Decision(attempt.merchant_id)
    noted = replace(attempt, detail=MANUAL_REVIEW + cause, version=attempt.version + 1)
    return Decision(attempt.merchant_id, attempts=(noted,))


def _is_known(attempt: Attempt, captured: Succeeded) -> bool:
    settled = attempt.status is AttemptStatus.SUCCEEDED
    return settled and attempt.gateway_reference == captured.gateway_reference


def _succeeded(
    bill: Bill, attempt: Attempt, outcome: Succeeded, now: datetime, new_id: NewId
) -> Decision:
    if bill.invoice.status not in PAYABLE:
        cause = f"captured although the invoice is {bill.invoice.status}"
        known = replace(attempt, gateway_reference=outcome.gateway_reference)
        return _unclear(bill, known, cause, now, new_id, review=True)
    done = replace(
        attempt,
        status=AttemptStatus.SUCCEEDED,
        gateway_reference=outcome.gateway_reference,
        network_transaction_id=outcome.network_transaction_id,
        fee=outcome.fee_minor,
        detail=None,
        look_up_at=None,
        settled_at=now,
        version=attempt.version + 1,
    )
    payment = replace(
        bill.payment,
        status=Status.SUCCEEDED,
        amount_captured=attempt.amount,
        due_at=None,
        action_url=None,
        succeeded_at=now,
        version=bill.payment.version + 1,
    )
    invoice = invoices.pay(bill.invoice, attempt.amount, now)
    account, owed = cash(attempt.gateway_account_id), invoices.owed_on(bill.invoice)
    entries = [_entry(payment, account, owed, payment.amount, new_id)]
    if outcome.fee_minor:
        entries.append(_entry(payment, Account.GATEWAY_FEES, account, outcome.fee_minor, new_id))
    events = [
        Event(new_id(), Type.PAYMENT_SUCCEEDED, payment),
        Event(new_id(), Type.INVOICE_PAID, invoice),
    ]
    sub = paid_up(bill.subscription, invoice)
    if sub is not None:
        events.append(Event(new_id(), Type.SUBSCRIPTION_ACTIVATED, sub))
    return Decision(
        payment.merchant_id,
        subscriptions=(sub,) if sub is not None else (),
        invoices=(invoice,),
        payments=(payment,),
        attempts=(done,),
        entries=tuple(entries),
        events=tuple(events),
    )


def pay_outside(
    invoice: Invoice,
    payment: Payment | None,
    sub: Subscription | None,
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
    events = [Event(new_id(), Type.INVOICE_PAID, paid)]
    active = paid_up(sub, paid)
    if active is not None:
        events.append(Event(new_id(), Type.SUBSCRIPTION_ACTIVATED, active))
    return Decision(
        invoice.merchant_id,
        subscriptions=(active,) if active is not None else (),
        invoices=(paid,),
        payments=(canceled(payment),) if payment is not None else (),
        entries=(entry,),
        events=tuple(events),
    )


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


def _declined(
    bill: Bill, attempt: Attempt, outcome: Declined, now: datetime, new_id: NewId
) -> Decision:
    info = outcome.info
    failed = replace(
        attempt,
        status=AttemptStatus.FAILED,
        gateway_reference=outcome.gateway_reference or attempt.gateway_reference,
        network_transaction_id=outcome.network_transaction_id,
        failure_code=info.reason,
        failure_category=info.category,
        gateway_code=info.gateway_code,
        detail=None,
        look_up_at=None,
        settled_at=now,
        version=attempt.version + 1,
    )
    payment = replace(
        bill.payment,
        status=Status.REQUIRES_PAYMENT_METHOD,
        due_at=None,
        action_url=None,
        failure_code=info.reason,
        failure_category=info.category,
        version=bill.payment.version + 1,
    )
    events = [
        Event(new_id(), Type.PAYMENT_FAILED, payment),
        Event(new_id(), Type.INVOICE_PAYMENT_FAILED, bill.invoice),
    ]
    sub = _fallen_behind(bill.subscription, bill.invoice)
    if sub is not None:
        events.append(Event(new_id(), Type.SUBSCRIPTION_PAST_DUE, sub))
    return Decision(
        payment.merchant_id,
        subscriptions=(sub,) if sub is not None else (),
        payments=(payment,),
        attempts=(failed,),
        events=tuple(events),
    )


def _requires_action(
    bill: Bill, attempt: Attempt, outcome: RequiresAction, now: datetime, new_id: NewId
) -> Decision:
    waiting = replace(
        _later(attempt, "the customer must act", now),
        status=AttemptStatus.REQUIRES_ACTION,
        gateway_reference=outcome.gateway_reference or attempt.gateway_reference,
    )
    if bill.payment.status is Status.REQUIRES_ACTION:
        return Decision(attempt.merchant_id, attempts=(waiting,))
    payment = replace(
        bill.payment,
        status=Status.REQUIRES_ACTION,
        action_url=outcome.action_url,
        due_at=None,
        version=bill.payment.version + 1,
    )
    return _moved(payment, waiting, Type.PAYMENT_ACTION_REQUIRED, new_id)


def _pending(
    bill: Bill, attempt: Attempt, outcome: Pending, now: datetime, new_id: NewId
) -> Decision:
    known = replace(
        _later(attempt, PENDING, now),
        status=AttemptStatus.PROCESSING,
        gateway_reference=outcome.gateway_reference or attempt.gateway_reference,
        network_transaction_id=outcome.network_transaction_id or attempt.network_transaction_id,
    )
    if attempt.detail == PENDING and bill.payment.status is Status.PROCESSING:
        return Decision(attempt.merchant_id, attempts=(known,))
    payment = replace(
        bill.payment, status=Status.PROCESSING, due_at=None, version=bill.payment.version + 1
    )
    return _moved(payment, known, Type.PAYMENT_PROCESSING, new_id)


def _unclear(
    bill: Bill, attempt: Attempt, cause: str, now: datetime, new_id: NewId, *, review: bool = False
) -> Decision:
    unknown = replace(_later(attempt, cause, now), status=AttemptStatus.UNKNOWN)
    if review:
        unknown = replace(unknown, detail=MANUAL_REVIEW + cause, look_up_at=None)
    if bill.payment.status is Status.UNKNOWN:
        return Decision(attempt.merchant_id, attempts=(unknown,))
    payment = replace(
        bill.payment, status=Status.UNKNOWN, due_at=None, version=bill.payment.version + 1
    )
    return _moved(payment, unknown, Type.PAYMENT_UNKNOWN, new_id)


def _again_later(attempt: Attempt, outcome: NotExecuted, now: datetime) -> Decision:
    """This call did nothing; the attempt stands as it stood, to be sent again with its key."""
    later = _later(attempt, f"not executed: {outcome.cause}", now)
    if later.look_up_at is not None:
        wait = now + timedelta(seconds=outcome.retry_after_seconds or 0)
        later = replace(later, look_up_at=max(later.look_up_at, wait))
    return Decision(attempt.merchant_id, attempts=(later,))


def _later(attempt: Attempt, detail: str, now: datetime) -> Attempt:
    last = attempt.look_ups >= len(LOOK_UP_DELAYS)
    return replace(
        attempt,
        detail=MANUAL_REVIEW + detail if last else detail,
        look_ups=attempt.look_ups + 1,
        look_up_at=None if last else now + LOOK_UP_DELAYS[attempt.look_ups],
        version=attempt.version + 1,
    )


def _moved(payment: Payment, attempt: Attempt, told: Type, new_id: NewId) -> Decision:
    return Decision(
        payment.merchant_id,
        payments=(payment,),
        attempts=(attempt,),
        events=(Event(new_id(), told, payment),),
    )


def paid_up(sub: Subscription | None, invoice: Invoice) -> Subscription | None:
    """The subscription, running again because its latest invoice is paid; None if unchanged."""
    if sub is None or invoice.status is not invoices.Status.PAID:
        return None
    if sub.latest_invoice_id != invoice.id or sub.status in subscribing.ENDED:
        return None
    status = subscribing.after(sub.status, Happening.PAID)
    if status is sub.status:
        return None
    return replace(sub, status=status, expires_at=None, version=sub.version + 1)


def _fallen_behind(sub: Subscription | None, invoice: Invoice) -> Subscription | None:
    """The subscription, behind because its latest invoice was declined; None if unchanged."""
    if sub is None or sub.latest_invoice_id != invoice.id or sub.status in subscribing.ENDED:
        return None
    status = subscribing.after(sub.status, Happening.PAYMENT_FAILED)
    return None if status is sub.status else replace(sub, status=status, version=sub.version + 1)


def _entry(payment: Payment, debit: str, credit: str, amount: int, new_id: NewId) -> Entry:
    return Entry(
        new_id(),
        payment.merchant_id,
        Source.PAYMENT,
        payment.id,
        debit,
        credit,
        payment.currency,
        amount,
    )
