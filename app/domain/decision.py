"""A decision: everything that should become true at once, as data. Nothing has happened yet.

`app.db.decisions.record` writes one or a thousand of them; a preview shows one and forgets it.
What is new has version 1; what is changed has one version more than was read.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.balance import BalanceEntry
from app.domain.credit_note import CreditNote
from app.domain.discount import Discount
from app.domain.dispute import Dispute
from app.domain.dunning_run import Dunning
from app.domain.event import Event
from app.domain.invoice import Invoice
from app.domain.ledger import Entry
from app.domain.payment import Attempt, Payment
from app.domain.pending import PendingItem
from app.domain.refund import Refund
from app.domain.subscription import Item, Scheduled, ScheduledStatus, Subscription


@dataclass(frozen=True, slots=True)
class DiscountUse:
    """One more period was billed with the discount; at zero remaining, or taken off, it ended."""

    merchant_id: UUID
    id: UUID
    periods_remaining: int | None
    at: datetime
    is_removed: bool = False


@dataclass(frozen=True, slots=True)
class NewDiscount:
    """A discount that a running subscription is given."""

    merchant_id: UUID
    subscription_id: UUID
    discount: Discount
    position: int
    at: datetime


@dataclass(frozen=True, slots=True)
class ItemState:
    """An item of a running subscription as it is now, or its removal."""

    merchant_id: UUID
    subscription_id: UUID
    item: Item
    removed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ScheduledState:
    """A scheduled change as it is now: pending (new), applied or canceled."""

    merchant_id: UUID
    subscription_id: UUID
    scheduled: Scheduled
    status: ScheduledStatus
    at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """Rows to be written together, all of one merchant."""

    merchant_id: UUID
    subscriptions: tuple[Subscription, ...] = ()
    items: tuple[ItemState, ...] = ()
    scheduled: tuple[ScheduledState, ...] = ()
    invoices: tuple[Invoice, ...] = ()
    deleted: tuple[Invoice, ...] = ()
    """Drafts that go, and nothing of them stays."""
    credit_notes: tuple[CreditNote, ...] = ()
    pending: tuple[PendingItem, ...] = ()
    payments: tuple[Payment, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    refunds: tuple[Refund, ...] = ()
    abandoned: tuple[UUID, ...] = ()
    """Subscriptions whose payments wait for their customer no longer: to be given up."""
    disputes: tuple[Dispute, ...] = ()
    dunning: tuple[Dunning, ...] = ()
    refused: tuple[UUID, ...] = ()
    """Payment methods that said that they will not work again."""
    discounts: tuple[DiscountUse, ...] = ()
    new_discounts: tuple[NewDiscount, ...] = ()
    balances: tuple[BalanceEntry, ...] = ()
    entries: tuple[Entry, ...] = ()
    events: tuple[Event, ...] = ()
