"""An invoice: priced intervals with their discounts and taxes, that always add up.

A line is a priced interval `[start, end)` and remembers what was really charged for it. The sums
of the header follow from the lines; once finalized neither ever changes, only the status does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from app.domain import discount as discounting
from app.domain import tax as taxing
from app.domain.calendar import Period
from app.domain.discount import Discount
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.ledger import Account, Entry, Source
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


# Read as: from this status, on this action, go to that status. Anything absent is illegal.
TRANSITIONS: Final[Mapping[tuple[Status, Action], Status]] = {
    (Status.DRAFT, Action.FINALIZE): Status.OPEN,
    (Status.OPEN, Action.PAY): Status.PAID,
    (Status.OPEN, Action.VOID): Status.VOID,
    (Status.OPEN, Action.WRITE_OFF): Status.UNCOLLECTIBLE,
    (Status.UNCOLLECTIBLE, Action.PAY): Status.PAID,
    (Status.UNCOLLECTIBLE, Action.VOID): Status.VOID,
}


class BillingReason(StrEnum):
    """Why an invoice was made."""

    SUBSCRIPTION_CREATE = "subscription_create"
    SUBSCRIPTION_CYCLE = "subscription_cycle"
    SUBSCRIPTION_CANCEL = "subscription_cancel"
    MANUAL = "manual"


class LineKind(StrEnum):
    """What a line charges for."""

    PERIOD = "period"
    SETUP_FEE = "setup_fee"
    ONE_OFF = "one_off"


class Collection(StrEnum):
    """Whether we charge the customer's payment method or send the invoice and wait."""

    CHARGE_AUTOMATICALLY = "charge_automatically"
    SEND_INVOICE = "send_invoice"


@dataclass(frozen=True, slots=True)
class Charge:
    """What a line will charge, before discounts and taxes: `amount` in minor units."""

    kind: LineKind
    description: str
    quantity: int
    period: Period
    amount: int
    item_id: UUID | None = None
    price_id: UUID | None = None


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
    lines: tuple[Line, ...] = ()
    version: int = 1

    @property
    def merchant_id(self) -> UUID:
        return self.order.merchant_id

    @property
    def amount_remaining(self) -> int:
        """What is still to be paid, in minor units."""
        return self.amount_due - self.amount_paid

    def snapshot(self) -> dict[str, object]:
        """The header's public fields, ids as UUID."""
        order = self.order
        return {
            "id": self.id,
            "customer_id": order.customer_id,
            "subscription_id": order.subscription_id,
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
            "due_at": self.due_at,
            "created_at": self.created_at,
            "finalized_at": self.finalized_at,
            "paid_at": self.paid_at,
            "voided_at": self.voided_at,
            "test_clock_id": order.test_clock_id,
            "version": self.version,
        }


@dataclass(frozen=True, slots=True)
class Billed:
    """A finalized invoice with what it posts and tells."""

    invoice: Invoice
    entries: tuple[Entry, ...]
    events: tuple[Event, ...]


def after(status: Status, action: Action) -> Status:
    """The status that follows. Raises Conflict where the table has none."""
    following = TRANSITIONS.get((status, action))
    if following is None:
        raise Conflict(f"An invoice that is {status} cannot {action}.", code="invoice_" + status)
    return following


def bill(  # noqa: PLR0913  the six inputs of every invoice, and where ids come from
    order: Order,
    charges: Sequence[Charge],
    discounts: Sequence[Discount],
    rates: tuple[TaxRate, ...],
    balance: int,
    now: datetime,
    new_id: NewId,
) -> Billed:
    """Finalize an invoice for `charges`; `balance` is the customer's credit, applied first.

    Subtotal is the sum of the lines; discounts never exceed it; taxes are reckoned on what is
    left; credit pays of the total what it can (it is a payment: it never lowers the tax base).
    Raises InvalidRequest beyond AMOUNT_MAX.
    """
    assert charges, "an invoice has at least one line"
    lines = _lines(order, charges, discounts, rates, new_id)
    subtotal = discount_total = tax_total = tax_added = 0
    for line in lines:
        subtotal += line.charge.amount
        discount_total += line.discount_amount
        tax_total += line.tax_amount
        for tax in line.taxes:
            if not tax.rate.inclusive:
                tax_added += tax.amount
    total = subtotal - discount_total + tax_added
    if max(subtotal, total) > AMOUNT_MAX:
        raise InvalidRequest("This adds up to more than can be billed.", code="amount_too_large")
    applied = min(balance, total)
    due = total - applied
    settled = due == 0
    invoice = Invoice(
        id=new_id(),
        order=order,
        status=Status.PAID if settled else Status.OPEN,
        subtotal=subtotal,
        discount_total=discount_total,
        tax_total=tax_total,
        tax_added=tax_added,
        total=total,
        balance_applied=applied,
        amount_due=due,
        amount_paid=0,
        due_at=now + timedelta(days=order.net_days) if order.net_days else now,
        created_at=now,
        finalized_at=now,
        paid_at=now if settled else None,
        lines=lines,
    )
    events = [Event(new_id(), Type.INVOICE_FINALIZED, invoice)]
    if settled:
        events.append(Event(new_id(), Type.INVOICE_PAID, invoice))
    return Billed(invoice, _entries(invoice, new_id), tuple(events))


def _lines(
    order: Order,
    charges: Sequence[Charge],
    discounts: Sequence[Discount],
    rates: tuple[TaxRate, ...],
    new_id: NewId,
) -> tuple[Line, ...]:
    left = [charge.amount for charge in charges]
    taken: list[list[DiscountPart]] = [[] for _ in charges]
    if discounts:
        rows = discounting.apply(discounts, left, order.currency)
        for discount, row in zip(discounts, rows, strict=True):
            for place, off in enumerate(row):
                if off:
                    left[place] -= off
                    taken[place].append(DiscountPart(discount.id, off))
    taxed: list[list[TaxPart]] = [[] for _ in charges]
    if rates:
        for part in taxing.taxes(left, [rates] * len(left)).parts:
            taxed[part.line].append(part)
    return tuple(
        Line(
            new_id(),
            place,
            charge,
            tuple(taken[place]),
            tuple(taxed[place]),
            charge.amount - left[place],
            sum(part.amount for part in taxed[place]),
        )
        for place, charge in enumerate(charges)
    )


def _moves(invoice: Invoice) -> tuple[tuple[Account, int], ...]:
    """What finalization owes the receivable to: revenue, earned or still deferred, and tax."""
    earned = deferred = 0
    now = invoice.finalized_at
    assert now is not None
    for line in invoice.lines:
        net = line.charge.amount - line.discount_amount
        for tax in line.taxes:
            if tax.rate.inclusive:
                net -= tax.amount
        if line.charge.kind is not LineKind.PERIOD or line.charge.period.end <= now:
            earned += net
        else:
            deferred += net
    return (
        (Account.DEFERRED_REVENUE, deferred),
        (Account.REVENUE, earned),
        (Account.TAX_PAYABLE, invoice.tax_total),
    )


def _entry(
    invoice: Invoice, source: Source, debit: str, credit: str, amount: int, new_id: NewId
) -> Entry:
    return Entry(
        new_id(),
        invoice.order.merchant_id,
        source,
        invoice.id,
        debit,
        credit,
        invoice.order.currency,
        amount,
    )


def _entries(invoice: Invoice, new_id: NewId) -> tuple[Entry, ...]:
    owed, source = Account.RECEIVABLE, Source.INVOICE
    entries = [
        _entry(invoice, source, owed, account, amount, new_id)
        for account, amount in _moves(invoice)
        if amount
    ]
    if invoice.balance_applied:
        credit = Account.CUSTOMER_CREDIT
        entries.append(_entry(invoice, source, credit, owed, invoice.balance_applied, new_id))
    return tuple(entries)


def owed_on(invoice: Invoice) -> Account:
    """Where the unpaid rest of the invoice stands: written off, it is a bad debt."""
    return Account.BAD_DEBT if invoice.status is Status.UNCOLLECTIBLE else Account.RECEIVABLE


def reversal(invoice: Invoice, new_id: NewId) -> tuple[Entry, ...]:
    """What finalization posted, taken back; the invoice needs its lines, and is not paid on."""
    owed, source = owed_on(invoice), Source.INVOICE_VOID
    entries = [
        _entry(invoice, source, account, owed, amount, new_id)
        for account, amount in _moves(invoice)
        if amount
    ]
    if invoice.balance_applied:
        credit = Account.CUSTOMER_CREDIT
        entries.append(_entry(invoice, source, owed, credit, invoice.balance_applied, new_id))
    return tuple(entries)


def pay(invoice: Invoice, amount: int, now: datetime) -> Invoice:
    """The invoice after `amount` minor units more were paid on it."""
    paid = invoice.amount_paid + amount
    assert 0 < amount <= invoice.amount_remaining, "paid more than was due"
    if paid < invoice.amount_due:
        return replace(invoice, amount_paid=paid, version=invoice.version + 1)
    return replace(
        invoice,
        status=after(invoice.status, Action.PAY),
        amount_paid=paid,
        paid_at=now,
        version=invoice.version + 1,
    )
