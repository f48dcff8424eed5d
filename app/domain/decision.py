"""A decision: everything that should become true at once, as data. Nothing has happened yet.

`app.db.decisions.record` writes one or a thousand of them; a preview shows one and forgets it.
What is new has version 1; what is changed has one version more than was read.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.balance import BalanceEntry
from app.domain.event import Event
from app.domain.invoice import Invoice
from app.domain.ledger import Entry
from app.domain.payment import Attempt, Payment
from app.domain.refund import Refund
from app.domain.subscription import Subscription


@dataclass(frozen=True, slots=True)
class DiscountUse:
    """One more period was billed with the discount; at zero remaining it has ended."""

    merchant_id: UUID
    id: UUID
    periods_remaining: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Decision:
    """Rows to be written together, all of one merchant."""

    merchant_id: UUID
    subscriptions: tuple[Subscription, ...] = ()
    invoices: tuple[Invoice, ...] = ()
    payments: tuple[Payment, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    refunds: tuple[Refund, ...] = ()
    discounts: tuple[DiscountUse, ...] = ()
    balances: tuple[BalanceEntry, ...] = ()
    entries: tuple[Entry, ...] = ()
    events: tuple[Event, ...] = ()
