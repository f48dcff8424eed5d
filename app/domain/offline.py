"""Money that came outside of any gateway: recorded by hand, and taken back where it did not stay.

A transfer, cash, a cheque. It may be less than what remains, and the invoice stays open; it is
never more, unless the caller says that the rest becomes the customer's credit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from app.domain import balance as balances
from app.domain import collection
from app.domain import invoice as invoices
from app.domain.balance import Balance, BalanceEntry
from app.domain.collection import PAYABLE
from app.domain.decision import Decision
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import Collection, Invoice
from app.domain.ledger import Account, Entry, Source, cash, swapped
from app.domain.payment import Offline, OfflineMethod, Payment, Status, schedule
from app.domain.subscription import Subscription


class Overpayment(StrEnum):
    """What becomes of what is more than remains."""

    REFUSE = "refuse"
    TO_BALANCE = "to_balance"


@dataclass(frozen=True, slots=True)
class Owed:
    """An invoice with what a payment of it touches; all locked."""

    invoice: Invoice
    live: Payment | None
    """The payment of what remains, if there is one that has not come to its end."""
    balance: Balance
    subscriptions: tuple[Subscription, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """Money that came: `amount` in minor units; None: all that remains."""

    offline: Offline
    amount: int | None = None
    overpayment: Overpayment = Overpayment.REFUSE


def receive(about: Owed, receipt: Receipt, now: datetime, new_id: NewId) -> Decision:
    """The payment, and what it pays. Whatever was to collect the invoice collects less, or nothing.

    Raises InvalidRequest, and Conflict while what it pays may be charged as well.
    """
    invoice = about.invoice
    if invoice.status not in PAYABLE:
        raise Conflict(f"The invoice is {invoice.status}.", code=f"invoice_{invoice.status}")
    if receipt.offline.received_at > now:
        raise InvalidRequest("It has not been received yet.", param="received_at")
    part, more = _parts(invoice, receipt)
    payment = Payment(
        id=new_id(),
        merchant_id=invoice.merchant_id,
        invoice_id=invoice.id,
        customer_id=invoice.order.customer_id,
        payment_method_id=None,
        status=Status.SUCCEEDED,
        currency=invoice.order.currency,
        amount=part + more,
        created_at=now,
        amount_captured=part + more,
        test_clock_id=invoice.order.test_clock_id,
        succeeded_at=now,
        offline=receipt.offline,
        amount_to_balance=more,
    )
    assert invoice.finalized_at is not None
    paid = invoices.pay(invoice, part, max(invoice.finalized_at, receipt.offline.received_at))
    live = () if about.live is None else collection.less(about.live, paid.amount_remaining)
    decision = Decision(
        invoice.merchant_id,
        invoices=(paid,),
        payments=(payment, *live),
        balances=_credit(about, more, new_id),
        entries=tuple(_entries(payment, invoice, new_id)),
        events=(
            Event(new_id(), Type.PAYMENT_SUCCEEDED, payment),
            collection.told_of_paying(paid, new_id),
        ),
    )
    if paid.status is not invoices.Status.PAID:
        return decision
    return collection.with_subscriptions(decision, paid, about.subscriptions, new_id)


def pay_all(
    invoice: Invoice,
    live: Payment | None,
    subs: Sequence[Subscription],
    now: datetime,
    new_id: NewId,
) -> Decision:
    """All that remains of the invoice came just now, nobody says how. Raises Conflict."""
    none = Balance(invoice.merchant_id, invoice.order.customer_id, invoice.order.currency, 0)
    receipt = Receipt(Offline(OfflineMethod.OTHER, now))
    return receive(Owed(invoice, live, none, tuple(subs)), receipt, now, new_id)


def reverse(
    about: Owed, payment: Payment, reason: str | None, now: datetime, new_id: NewId
) -> Decision:
    """The payment, taken back to the last unit: the invoice is owed again, and whoever is charged
    automatically falls behind with it. What is owed again waits: nothing charges it by itself.

    Raises Conflict when it is no such payment, or part of it has gone on from here.
    """
    if payment.offline is None:
        raise Conflict(
            "A gateway brought it: it is refunded, not reversed.", code="payment_not_offline"
        )
    if payment.status is not Status.SUCCEEDED:
        raise Conflict(f"The payment is {payment.status}.", code=f"payment_{payment.status}")
    if payment.amount_refunded or payment.amount_refund_reserved:
        raise Conflict("Some of it was refunded; that does not come back.", code="payment_refunded")
    if about.balance.amount < payment.amount_to_balance:
        raise Conflict("The customer has used its credit.", code="balance_used")
    invoice = about.invoice
    owing = invoices.unpay(invoice, payment.amount_captured - payment.amount_to_balance)
    undone = replace(
        payment,
        status=Status.REVERSED,
        amount_captured=0,
        amount_to_balance=0,
        reversed_at=now,
        reversal_reason=reason,
        version=payment.version + 1,
    )
    was_paid = invoice.status is invoices.Status.PAID
    told = Type.INVOICE_REOPENED if was_paid else Type.INVOICE_UPDATED
    decision = Decision(
        invoice.merchant_id,
        invoices=(owing,),
        payments=(undone, *_owed_again(about, owing, now, new_id)),
        balances=_credit(about, -payment.amount_to_balance, new_id),
        entries=tuple(swapped(entry) for entry in _entries(payment, owing, new_id)),
        events=(
            Event(new_id(), Type.PAYMENT_REVERSED, undone),
            Event(new_id(), told, owing),
        ),
    )
    if not was_paid or invoice.order.collection is not Collection.CHARGE_AUTOMATICALLY:
        return decision
    return collection.with_subscriptions(decision, owing, about.subscriptions, new_id)


def _parts(invoice: Invoice, receipt: Receipt) -> tuple[int, int]:
    """What of it pays the invoice, and what is more than remains. Raises InvalidRequest."""
    remaining = invoice.amount_remaining
    amount = remaining if receipt.amount is None else receipt.amount
    part = min(amount, remaining)
    if amount > part and receipt.overpayment is Overpayment.REFUSE:
        raise InvalidRequest(
            f"{remaining} remains to be paid; say what becomes of the rest.",
            code="payment_exceeds_remaining",
            param="amount",
        )
    return part, amount - part


def _owed_again(about: Owed, owing: Invoice, now: datetime, new_id: NewId) -> tuple[Payment, ...]:
    """The payment of what remains now; what is in flight takes its part of it first."""
    live = about.live
    if live is not None:
        return collection.more(live, owing.amount_remaining)
    if owing.order.collection is not Collection.CHARGE_AUTOMATICALLY:
        return ()
    return (schedule(owing, None, now, new_id),)


def _credit(about: Owed, amount: int, new_id: NewId) -> tuple[BalanceEntry, ...]:
    if not amount:
        return ()
    kind = balances.Type.OVERPAYMENT
    return (balances.move(about.balance, amount, about.invoice.id, kind, new_id),)


def _entries(payment: Payment, invoice: Invoice, new_id: NewId) -> Iterator[Entry]:
    """What it posts: the invoice is where it is before the money comes, or after it went."""
    sides = (
        (invoices.owed_on(invoice), payment.amount_captured - payment.amount_to_balance),
        (Account.CUSTOMER_CREDIT, payment.amount_to_balance),
    )
    for account, amount in sides:
        if amount:
            yield Entry(
                new_id(),
                payment.merchant_id,
                Source.PAYMENT,
                payment.id,
                cash(None),
                account,
                payment.currency,
                amount,
            )
