"""Drafts become final: numbered, posted, paid from credit, and the rest collected. Pure.

A draft is looked at and changed for as long as the merchant's grace lasts; then the clock, or
somebody by hand, makes it final. Only what happens to its payment moves its subscription.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from app.domain import invoicing
from app.domain import payment as paying
from app.domain import subscription as subscribing
from app.domain.balance import Balance
from app.domain.decision import Decision
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import Collection, Invoice, Status
from app.domain.payment import Payment
from app.domain.subscription import Happening, PausedInvoices, Subscription


@dataclass(frozen=True, slots=True)
class Draft:
    """An invoice with its lines that is a draft still, and what its end depends on."""

    invoice: Invoice
    balance: Balance
    method_id: UUID | None
    """The payment method to charge: the subscription's own, else the customer's default."""
    subscription: Subscription | None = None


def finalize(draft: Draft, now: datetime, new_id: NewId) -> Decision:
    """Make the draft final and schedule its payment. Raises Conflict where it is no draft."""
    billed = invoicing.finalize(draft.invoice, draft.balance, now, new_id)
    paid_by = payments(draft, billed.invoice, now, new_id)
    decision = Decision(
        billed.invoice.merchant_id,
        invoices=(billed.invoice,),
        payments=paid_by,
        balances=billed.balances,
        entries=billed.entries,
        events=billed.events,
    )
    behind = _behind(draft, paid_by)
    if behind is None:
        return decision
    told = Event(new_id(), Type.SUBSCRIPTION_PAST_DUE, behind)
    return replace(decision, subscriptions=(behind,), events=(*decision.events, told))


def payments(draft: Draft, invoice: Invoice, now: datetime, new_id: NewId) -> tuple[Payment, ...]:
    """How the final invoice is collected: at once, or not by us.

    While a pause keeps invoices, what became final meanwhile is collected when it is resumed.
    """
    if invoice.status is not Status.OPEN:
        return ()
    if invoice.order.collection is not Collection.CHARGE_AUTOMATICALLY:
        return ()
    pause = None if draft.subscription is None else draft.subscription.pause
    if pause is not None and pause.invoices is not PausedInvoices.NONE:
        return ()
    return (paying.schedule(invoice, draft.method_id, now, new_id),)


def _behind(draft: Draft, paid_by: tuple[Payment, ...]) -> Subscription | None:
    """The subscription where there is nothing to pay with: that has failed already."""
    sub = draft.subscription
    if sub is None or sub.status is not subscribing.Status.ACTIVE:
        return None
    if sub.latest_invoice_id != draft.invoice.id:
        return None
    if not any(p.status is paying.Status.REQUIRES_PAYMENT_METHOD for p in paid_by):
        return None
    status = subscribing.after(sub.status, Happening.PAYMENT_FAILED)
    return replace(sub, status=status, version=sub.version + 1)
