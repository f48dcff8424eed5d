"""An invoice's state: priced intervals with their discounts and taxes, that always add up.

A line is a priced interval `[start, end)` and remembers what was really charged for it; a line that
gives something back names the one it reverses, and everything about it is negative. The sums of the
header follow from the lines; once finalized neither ever changes, only the status does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from app.domain import policy as policies
from app.domain.calendar import Period
from app.domain.errors import Conflict
from app.domain.ledger import Account
from app.domain.policy import Policy
from app.domain.proration import FULL, Share
from app.domain.tax import TaxPart, TaxRate

AMOUNT_MAX: Final = 10**15
"""In minor units: beyond every real invoice, and thousands of them add up within 64 bits."""


class Status(StrEnum):
    """Where an invoice stands."""

    DRAFT = "draft"
    OPEN = "open"
    PAID = "paid"
    VOID = "void"
    UNCOLLECTIBLE = "uncollectible"


class Action(StrEnum):
    """What can happen to an invoice as a whole."""

    FINALIZE = "finalize"
    PAY = "pay"
    VOID = "void"
    WRITE_OFF = "mark_uncollectible"
    REOPEN = "reopen"
    """A payment of it was taken back."""


# Read as: from this status, on this action, go to that status. Anything absent is illegal.
TRANSITIONS: Final[Mapping[tuple[Status, Action], Status]] = {
    (Status.DRAFT, Action.FINALIZE): Status.OPEN,
    (Status.OPEN, Action.PAY): Status.PAID,
    (Status.OPEN, Action.VOID): Status.VOID,
    (Status.OPEN, Action.WRITE_OFF): Status.UNCOLLECTIBLE,
    (Status.PAID, Action.REOPEN): Status.OPEN,
    (Status.UNCOLLECTIBLE, Action.PAY): Status.PAID,
    (Status.UNCOLLECTIBLE, Action.VOID): Status.VOID,
}


class BillingReason(StrEnum):
    """Why an invoice was made."""

    SUBSCRIPTION_CREATE = "subscription_create"
    SUBSCRIPTION_CYCLE = "subscription_cycle"
    SUBSCRIPTION_UPDATE = "subscription_update"
    SUBSCRIPTION_CANCEL = "subscription_cancel"
    MANUAL = "manual"


class LineKind(StrEnum):
    """What a line charges for."""

    PERIOD = "period"
    USAGE = "usage"
    TRIAL = "trial"
    SETUP_FEE = "setup_fee"
    ONE_OFF = "one_off"


class Collection(StrEnum):
    """Whether we charge the customer's payment method or send the invoice and wait."""

    CHARGE_AUTOMATICALLY = "charge_automatically"
    SEND_INVOICE = "send_invoice"


PERIODICAL: Final = frozenset({LineKind.PERIOD, LineKind.TRIAL})
"""What is earned as time goes by; the rest is earned when it is billed."""
RECURRING: Final = frozenset({LineKind.PERIOD, LineKind.USAGE})
"""What is owed for every period again."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a line will charge, before discounts and taxes: `amount` in minor units.

    `share` is the part of the price's full period that `period` is. `reverses_line_id` names the
    line that a credit takes back; its amount is below zero then.
    """

    kind: LineKind
    description: str
    quantity: int
    period: Period
    amount: int
    item_id: UUID | None = None
    price_id: UUID | None = None
    plan_id: UUID | None = None
    share: Share = FULL
    rates: tuple[TaxRate, ...] = ()
    reverses_line_id: UUID | None = None
    is_addon: bool = False


@dataclass(frozen=True, slots=True)
class DiscountPart:
    """The part of one discount that fell on one line."""

    discount_id: UUID
    amount: int


@dataclass(frozen=True, slots=True)
class Line:
    """A charge as it was really made; amounts in minor units of the invoice's currency."""

    id: UUID
    position: int
    charge: Charge
    discounts: tuple[DiscountPart, ...]
    taxes: tuple[TaxPart, ...]
    discount_amount: int
    tax_amount: int
    subscription_id: UUID | None = None
    """The subscription it is for, on an invoice of several; elsewhere the invoice says it."""

    @property
    def net(self) -> int:
        """What was charged without any tax, after discounts."""
        net = self.charge.amount - self.discount_amount
        for tax in self.taxes:
            if tax.rate.inclusive:
                net -= tax.amount
        return net

    @property
    def total(self) -> int:
        """What was charged with all tax, after discounts."""
        total = self.charge.amount - self.discount_amount
        for tax in self.taxes:
            if not tax.rate.inclusive:
                total += tax.amount
        return total


@dataclass(frozen=True, slots=True)
class Order:
    """Who is billed for what reason: the part of an invoice that is known before its lines."""

    merchant_id: UUID
    customer_id: UUID
    subscription_id: UUID | None
    currency: str
    reason: BillingReason
    period: Period
    collection: Collection
    net_days: int
    cycle_start: datetime | None = None
    test_clock_id: UUID | None = None
    series: str = "default"
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A subscription that an invoice bills together with others, and for which of its periods."""

    subscription_id: UUID
    period: Period
    cycle_start: datetime | None


@dataclass(frozen=True, slots=True)
class Invoice:
    """The header. `tax_added` is the tax that comes on top; `tax_total` has the included too."""

    id: UUID
    order: Order
    status: Status
    subtotal: int
    discount_total: int
    tax_total: int
    tax_added: int
    total: int
    balance_applied: int
    amount_due: int
    amount_paid: int
    due_at: datetime
    created_at: datetime
    finalized_at: datetime | None = None
    paid_at: datetime | None = None
    voided_at: datetime | None = None
    number: str | None = None
    series_number: int | None = None
    finalize_at: datetime | None = None
    """When a draft is finalized by itself; None: when somebody says so."""
    amount_credited: int = 0
    """What credit notes took off what was due."""
    policy: Policy = policies.DEFAULT
    """The dials it was reckoned with."""
    lines: tuple[Line, ...] = ()
    version: int = 1
    members: tuple[Member, ...] = ()
    """The subscriptions it is for where there are several; then the order names none."""

    @property
    def subscription_ids(self) -> tuple[UUID, ...]:
        """Every subscription it is for."""
        if self.members:
            return tuple(member.subscription_id for member in self.members)
        return () if self.order.subscription_id is None else (self.order.subscription_id,)

    @property
    def merchant_id(self) -> UUID:
        return self.order.merchant_id

    @property
    def series(self) -> str:
        return self.order.series

    @property
    def amount_remaining(self) -> int:
        """What is still to be paid, in minor units."""
        return self.amount_due - self.amount_paid - self.amount_credited

    def snapshot(self) -> dict[str, object]:
        """The header's public fields, ids as UUID."""
        order = self.order
        return {
            "id": self.id,
            "customer_id": order.customer_id,
            "subscription_id": order.subscription_id,
            "subscription_ids": [member.subscription_id for member in self.members],
            "status": self.status,
            "number": self.number,
            "currency": order.currency,
            "billing_reason": order.reason,
            "period_start": order.period.start,
            "period_end": order.period.end,
            "collection_method": order.collection,
            "subtotal": self.subtotal,
            "discount_total": self.discount_total,
            "tax_total": self.tax_total,
            "tax_added": self.tax_added,
            "total": self.total,
            "balance_applied": self.balance_applied,
            "amount_due": self.amount_due,
            "amount_paid": self.amount_paid,
            "amount_credited": self.amount_credited,
            "due_at": self.due_at,
            "created_at": self.created_at,
            "finalize_at": self.finalize_at,
            "finalized_at": self.finalized_at,
            "paid_at": self.paid_at,
            "voided_at": self.voided_at,
            "test_clock_id": order.test_clock_id,
            "version": self.version,
        }


def after(status: Status, action: Action) -> Status:
    """The status that follows. Raises Conflict where the table has none."""
    following = TRANSITIONS.get((status, action))
    if following is None:
        raise Conflict(f"An invoice that is {status} cannot {action}.", code="invoice_" + status)
    return following


def owed_on(invoice: Invoice) -> Account:
    """Where the unpaid rest of the invoice stands: written off, it is a bad debt."""
    return Account.BAD_DEBT if invoice.status is Status.UNCOLLECTIBLE else Account.RECEIVABLE


def credit(invoice: Invoice, amount: int, now: datetime) -> Invoice:
    """The invoice after a credit note took `amount` minor units off what is still to be paid."""
    credited = invoice.amount_credited + amount
    assert 0 < amount <= invoice.amount_remaining, "credited more than was due"
    if amount < invoice.amount_remaining:
        return replace(invoice, amount_credited=credited, version=invoice.version + 1)
    return replace(
        invoice,
        status=after(invoice.status, Action.PAY),
        amount_credited=credited,
        paid_at=now,
        version=invoice.version + 1,
    )


def pay(invoice: Invoice, amount: int, now: datetime) -> Invoice:
    """The invoice after `amount` minor units more were paid on it."""
    paid = invoice.amount_paid + amount
    assert 0 < amount <= invoice.amount_remaining, "paid more than was due"
    if amount < invoice.amount_remaining:
        return replace(invoice, amount_paid=paid, version=invoice.version + 1)
    return replace(
        invoice,
        status=after(invoice.status, Action.PAY),
        amount_paid=paid,
        paid_at=now,
        version=invoice.version + 1,
    )


def unpay(invoice: Invoice, amount: int) -> Invoice:
    """The invoice after `amount` minor units of what was paid on it were taken back."""
    assert 0 < amount <= invoice.amount_paid, "taken back more than was paid"
    is_paid = invoice.status is Status.PAID
    return replace(
        invoice,
        status=after(invoice.status, Action.REOPEN) if is_paid else invoice.status,
        amount_paid=invoice.amount_paid - amount,
        paid_at=None,
        version=invoice.version + 1,
    )
