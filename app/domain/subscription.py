"""A subscription's state: what runs, from which anchor, in which period, and what is due next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from app.domain.calendar import Interval, Period
from app.domain.discount import Discount
from app.domain.errors import Conflict
from app.domain.invoice import Collection
from app.domain.policy import Settlement
from app.domain.pricing import Price, TrialEnd
from app.domain.tax import TaxRate

FIRST_PAYMENT_WINDOW: Final = timedelta(hours=23)
"""How long a subscription waits for its first payment before it expires, as at Stripe."""


class Status(StrEnum):
    """Where a subscription stands."""

    SCHEDULED = "scheduled"
    INCOMPLETE = "incomplete"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    PAUSED = "paused"
    CANCELED = "canceled"


ENDED: Final = frozenset({Status.CANCELED, Status.INCOMPLETE_EXPIRED})


class Happening(StrEnum):
    """What can happen to a subscription."""

    START_TRIAL = "start_trial"
    START = "start"
    AWAIT_PAYMENT = "await_payment"
    EXPIRE = "expire"
    RENEW = "renew"
    PAID = "paid"
    PAYMENT_FAILED = "payment_failed"
    PAUSE = "pause"
    RESUME = "resume"
    GIVE_UP = "give_up"
    """Dunning has ended without success; the merchant lets it run on unpaid."""
    CANCEL = "cancel"


S, H = Status, Happening
# Read as: from this status, on this happening, go to that status. Anything absent is illegal.
TRANSITIONS: Final[Mapping[tuple[Status, Happening], Status]] = {
    (S.SCHEDULED, H.START_TRIAL): S.TRIALING,
    (S.SCHEDULED, H.START): S.ACTIVE,
    (S.SCHEDULED, H.CANCEL): S.CANCELED,
    (S.INCOMPLETE, H.PAID): S.ACTIVE,
    (S.INCOMPLETE, H.PAYMENT_FAILED): S.INCOMPLETE,
    (S.INCOMPLETE, H.EXPIRE): S.INCOMPLETE_EXPIRED,
    (S.INCOMPLETE, H.CANCEL): S.CANCELED,
    (S.TRIALING, H.START): S.ACTIVE,
    (S.TRIALING, H.PAID): S.TRIALING,
    (S.TRIALING, H.PAYMENT_FAILED): S.TRIALING,
    (S.TRIALING, H.PAUSE): S.PAUSED,
    (S.TRIALING, H.CANCEL): S.CANCELED,
    (S.ACTIVE, H.RENEW): S.ACTIVE,
    (S.ACTIVE, H.PAID): S.ACTIVE,
    (S.ACTIVE, H.AWAIT_PAYMENT): S.INCOMPLETE,
    (S.ACTIVE, H.PAYMENT_FAILED): S.PAST_DUE,
    (S.ACTIVE, H.PAUSE): S.PAUSED,
    (S.ACTIVE, H.CANCEL): S.CANCELED,
    (S.PAST_DUE, H.RENEW): S.PAST_DUE,
    (S.PAST_DUE, H.PAID): S.ACTIVE,
    (S.PAST_DUE, H.PAYMENT_FAILED): S.PAST_DUE,
    (S.PAST_DUE, H.GIVE_UP): S.UNPAID,
    (S.PAST_DUE, H.PAUSE): S.PAUSED,
    (S.PAST_DUE, H.CANCEL): S.CANCELED,
    (S.UNPAID, H.RENEW): S.UNPAID,
    (S.UNPAID, H.PAID): S.ACTIVE,
    (S.UNPAID, H.PAYMENT_FAILED): S.UNPAID,
    (S.UNPAID, H.PAUSE): S.PAUSED,
    (S.UNPAID, H.CANCEL): S.CANCELED,
    (S.PAUSED, H.PAID): S.PAUSED,
    (S.PAUSED, H.PAYMENT_FAILED): S.PAUSED,
    (S.PAUSED, H.RENEW): S.PAUSED,
    (S.PAUSED, H.RESUME): S.ACTIVE,
    (S.PAUSED, H.CANCEL): S.CANCELED,
}


@dataclass(frozen=True, slots=True)
class Item:
    """One price, so many times. `since` is set where it began, or was paused, inside the present
    period: what it costs in arrears counts from there.
    """

    id: UUID
    price: Price
    quantity: int
    position: int = 0
    since: datetime | None = None


class PausedInvoices(StrEnum):
    """What happens at the boundaries of periods that pass while a subscription is paused."""

    NONE = "none"
    """Nothing: no period begins and nothing is billed until it is resumed."""
    KEEP = "keep"
    """Invoices are made and stay open; they are collected when it is resumed."""
    DRAFT = "draft"
    """Invoices stay drafts until it is resumed."""
    VOID = "void"
    """Invoices are made void: the time is given away."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when a subscription is paused, and until when; None: until somebody resumes it."""

    paused_at: datetime
    invoices: PausedInvoices = PausedInvoices.NONE
    resumes_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemChange:
    """Another price or quantity for an item (None: as it is), an item more, or one less."""

    item_id: UUID | None = None
    price: Price | None = None
    quantity: int | None = None
    is_removed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes another. With `is_whole` the items are all there will be: those not named go.

    `discounts` are put in the place of those it has. What is None stays as it is.
    """

    items: tuple[ItemChange, ...] = ()
    is_whole: bool = False
    settlement: Settlement | None = None
    discounts: tuple[Discount, ...] | None = None
    collection: Collection | None = None
    net_days: int | None = None


class ScheduledStatus(StrEnum):
    """What became of a scheduled change."""

    PENDING = "pending"
    APPLIED = "applied"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A change, or a pause, that takes place at `due_at`. `phase` counts those of a schedule."""

    id: UUID
    due_at: datetime
    change: Change | None = None
    pause: Pause | None = None
    phase: int | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ahead:
    """What became of billing the period that begins at `start` before it does: its invoice, or
    None where there was nothing to bill yet, or it was taken back.
    """

    start: datetime
    invoice_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """Everything a decision about a subscription needs to know of it.

    Period `index` runs from `interval.after(anchor, index)` to the next boundary; a trial is the
    period before index 0 and ends at the anchor. `period` is None until the subscription starts.
    `expires_at` is set while it waits for its first payment.
    """

    id: UUID
    merchant_id: UUID
    customer_id: UUID
    status: Status
    currency: str
    interval: Interval
    zone: str
    anchor: datetime
    period: Period | None
    period_index: int
    items: tuple[Item, ...]
    discounts: tuple[Discount, ...]
    rates: tuple[TaxRate, ...]
    collection: Collection
    net_days: int
    payment_method_id: UUID | None
    start_at: datetime
    trial_end: datetime | None
    expires_at: datetime | None
    cancel_at: datetime | None
    cancel_at_period_end: bool
    canceled_at: datetime | None
    ended_at: datetime | None
    latest_invoice_id: UUID | None
    test_clock_id: UUID | None
    created_at: datetime
    external_id: str | None
    metadata: Mapping[str, str]
    version: int
    pause: Pause | None = None
    scheduled: tuple[Scheduled, ...] = ()
    """Pending changes, the next one first."""
    cycles_left: int | None = None
    """After how many more periods it ends; None: it goes on."""
    automatic_tax: bool = False
    trial_end_without_payment_method: TrialEnd | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    """The billing settings in which it differs from its merchant's."""
    ahead: Ahead | None = None
    """Where a debit must be announced: what was billed of the period to come."""

    @property
    def begins_at(self) -> datetime:
        """When the first paid period begins: after the trial, if there is one."""
        return self.trial_end or self.start_at

    @property
    def first_index(self) -> int:
        """The index of the first paid period, which is a stub unless it begins on a boundary."""
        if self.anchor == self.begins_at:
            return 0
        return self.interval.index(self.anchor, self.begins_at, self.zone)

    @property
    def next_action_at(self) -> datetime | None:
        """When `lifecycle.step` has something to do; None once it has ended, or while it is paused
        until somebody resumes it.
        """
        if self.status in ENDED:
            return None
        if self.status is Status.INCOMPLETE:
            return self.expires_at
        if self.period is None:
            return self.start_at if self.pause is None else self.pause.resumes_at
        due = self.period.end
        if self.pause is not None:
            return self._next_while_paused(self.pause, due)
        if self.cancel_at is not None and self.cancel_at < due:
            due = self.cancel_at
        if self.scheduled and self.scheduled[0].due_at < due:
            due = self.scheduled[0].due_at
        return due

    @property
    def billed_in_vain(self) -> UUID | None:
        """The invoice of a period that was to begin and does not, or not as things stand."""
        if self.ahead is None or self.ahead.invoice_id is None:
            return None
        goes_on = self.status not in ENDED and self.pause is None and self.period is not None
        if goes_on and self.period is not None and self.ahead.start == self.period.end:
            return None
        return self.ahead.invoice_id

    @property
    def billed_to_end(self) -> UUID | None:
        """The invoice of a period that does not begin unless a cancellation is taken back."""
        if self.ahead is None or self.ahead.invoice_id is None:
            return None
        ends = self.cancel_at is not None and self.cancel_at <= self.ahead.start
        return self.ahead.invoice_id if ends or self.cancel_at_period_end else None

    def _next_while_paused(self, pause: Pause, period_end: datetime) -> datetime | None:
        moments = [pause.resumes_at, self.cancel_at]
        if pause.invoices is not PausedInvoices.NONE or self.cancel_at_period_end:
            moments.append(period_end)
        return min((at for at in moments if at is not None), default=None)

    def snapshot(self) -> dict[str, object]:
        """Its public fields, ids as UUID."""
        return {
            "id": self.id,
            "customer_id": self.customer_id,
            "external_id": self.external_id,
            "status": self.status,
            "currency": self.currency,
            "interval": self.interval.unit,
            "interval_count": self.interval.count,
            "zone": self.zone,
            "anchor": self.anchor,
            "period_start": self.period.start if self.period else None,
            "period_end": self.period.end if self.period else None,
            "items": [
                {"id": item.id, "price_id": item.price.id, "quantity": item.quantity}
                for item in self.items
            ],
            "collection_method": self.collection,
            "net_days": self.net_days,
            "payment_method_id": self.payment_method_id,
            "start_at": self.start_at,
            "trial_end": self.trial_end,
            "pause": None
            if self.pause is None
            else {
                "paused_at": self.pause.paused_at,
                "invoices": self.pause.invoices,
                "resumes_at": self.pause.resumes_at,
            },
            "scheduled_changes": [
                {
                    "id": planned.id,
                    "type": "change" if planned.pause is None else "pause",
                    "due_at": planned.due_at,
                    "phase": planned.phase,
                }
                for planned in self.scheduled
            ],
            "cycles_left": self.cycles_left,
            "automatic_tax": self.automatic_tax,
            "cancel_at": self.cancel_at,
            "cancel_at_period_end": self.cancel_at_period_end,
            "canceled_at": self.canceled_at,
            "ended_at": self.ended_at,
            "latest_invoice_id": self.latest_invoice_id,
            "test_clock_id": self.test_clock_id,
            "metadata": self.metadata,
            "created_at": self.created_at,
            "version": self.version,
        }


def after(status: Status, happening: Happening) -> Status:
    """The status that follows. Raises Conflict where the table has none."""
    following = TRANSITIONS.get((status, happening))
    if following is None:
        raise Conflict(
            f"A subscription that is {status} cannot {happening.replace('_', ' ')}.",
            code=f"subscription_{status}",
        )
    return following
