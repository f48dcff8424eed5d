"""Previews: the invoices that would come of something, made by the very decisions that make them.

A preview is a shop in memory in which it has been done, and which then goes on to the next invoice.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app.domain import offline
from app.domain.credit_note import CreditNote
from app.domain.decision import Decision
from app.domain.invoice import Invoice, Status
from app.domain.pending import PendingItem
from app.domain.shop import Shop
from app.domain.subscription import Status as SubscriptionStatus
from app.domain.subscription import Subscription

STEPS_MAX: Final = 5_000
"""Things that may happen on the way: some ten years of monthly billing of ten subscriptions."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be billed at `at`, what would wait for a later invoice, and the next invoice."""

    at: datetime
    subscription: Subscription
    invoices: tuple[Invoice, ...]
    credit_notes: tuple[CreditNote, ...]
    pending: tuple[PendingItem, ...]
    next: Invoice | None


def preview(shop: Shop, decision: Decision | None, subscription_id: UUID, at: datetime) -> Preview:
    """What follows from `decision`, of which `shop` knows nothing yet; None: as things stand.

    Payments are taken to succeed. An invoice that would be a draft first is shown as it becomes
    final. The shop is spent after it.
    """
    known = set(shop.invoices)
    if decision is not None:
        shop.record(decision, at)
        shop.run(at, STEPS_MAX)
        _pay_by_hand(shop, subscription_id, at)
    billed = _fresh(shop, subscription_id, known)
    sub = shop.subscriptions[subscription_id]
    waiting = tuple(i for i in shop.pending.values() if i.subscription_id == subscription_id)
    known |= {invoice.id for invoice in billed}
    for invoice in billed:
        if invoice.status is Status.DRAFT and invoice.finalize_at is not None:
            shop.run(invoice.finalize_at, STEPS_MAX)
    following = _following(shop, subscription_id, known)
    made = tuple(shop.invoices[invoice.id] for invoice in billed)
    notes = () if decision is None else decision.credit_notes
    return Preview(at, sub, made, notes, waiting, following)


def _fresh(shop: Shop, subscription_id: UUID, known: set[UUID]) -> list[Invoice]:
    return [
        invoice
        for invoice in shop.invoices.values()
        if invoice.id in shop.born - known and subscription_id in invoice.subscription_ids
    ]


def _following(shop: Shop, subscription_id: UUID, known: set[UUID]) -> Invoice | None:
    """The next invoice of the subscription, once it is final; None where none comes any more."""
    for _ in range(STEPS_MAX):
        for invoice in _fresh(shop, subscription_id, known):
            if invoice.status is not Status.DRAFT or invoice.finalize_at is None:
                return invoice
        if shop.next_at() is None:
            break
        shop.step()
    return None


def _pay_by_hand(shop: Shop, subscription_id: UUID, at: datetime) -> None:
    """A first invoice that nothing can be charged for is taken to be paid all the same."""
    sub = shop.subscriptions[subscription_id]
    bill = shop.account(subscription_id, at).first_bill
    if sub.status is not SubscriptionStatus.INCOMPLETE or bill is None:
        return
    paid = offline.pay_all(bill.invoice, bill.payment, [sub], at, shop.new_id)
    shop.record(paid, at)
