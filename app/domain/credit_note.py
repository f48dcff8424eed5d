"""A credit note's state: what of an invoice's lines comes back, and where that goes.

It mirrors the lines it credits, with their parts of discounts and taxes; amounts are above zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from app.domain.calendar import Period
from app.domain.ids import NewId
from app.domain.invoice import DiscountPart
from app.domain.invoicing import Credit
from app.domain.tax import TaxPart

SERIES: Final = "credit_notes"
"""Their numbers run on their own, without gaps as invoices' do."""


class Status(StrEnum):
    """Where a credit note stands."""

    ISSUED = "issued"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class NoteLine:
    """What of one invoice line comes back: its amount before discounts and taxes, and those."""

    id: UUID
    position: int
    invoice_line_id: UUID
    description: str
    quantity: int
    amount: int
    discounts: tuple[DiscountPart, ...]
    taxes: tuple[TaxPart, ...]
    period: Period | None = None
    """The time that is given back; None where it is only an amount."""

    @property
    def discount_amount(self) -> int:
        return sum(part.amount for part in self.discounts)

    @property
    def tax_amount(self) -> int:
        return sum(part.amount for part in self.taxes)

    @property
    def net(self) -> int:
        """Without any tax, after discounts."""
        inside = sum(part.amount for part in self.taxes if part.rate.inclusive)
        return self.amount - self.discount_amount - inside

    def snapshot(self) -> dict[str, object]:
        """Its public fields, ids as UUID."""
        return {
            "id": self.id,
            "invoice_line_id": self.invoice_line_id,
            "description": self.description,
            "quantity": self.quantity,
            "amount": self.amount,
            "discount_amount": self.discount_amount,
            "tax_amount": self.tax_amount,
        }


@dataclass(frozen=True, slots=True)
class CreditNote:
    """`to_invoice` took off what was due; the rest was paid and goes to the customer's balance,
    back to where it came from, or outside of our books. The four add up to the total.
    """

    id: UUID
    merchant_id: UUID
    invoice_id: UUID
    customer_id: UUID
    currency: str
    status: Status
    lines: tuple[NoteLine, ...]
    created_at: datetime
    to_invoice: int = 0
    to_balance: int = 0
    to_refund: int = 0
    outside: int = 0
    reason: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    series: str = SERIES
    number: str | None = None
    voided_at: datetime | None = None
    version: int = 1

    @property
    def subtotal(self) -> int:
        return sum(line.amount for line in self.lines)

    @property
    def discount_total(self) -> int:
        return sum(line.discount_amount for line in self.lines)

    @property
    def tax_total(self) -> int:
        return sum(line.tax_amount for line in self.lines)

    @property
    def tax_added(self) -> int:
        """The part of the tax that was on top."""
        return sum(
            part.amount for line in self.lines for part in line.taxes if not part.rate.inclusive
        )

    @property
    def total(self) -> int:
        """What comes back in all, tax included."""
        return self.subtotal - self.discount_total + self.tax_added

    def snapshot(self) -> dict[str, object]:
        """Its public fields, ids as UUID."""
        return {
            "id": self.id,
            "invoice_id": self.invoice_id,
            "customer_id": self.customer_id,
            "status": self.status,
            "number": self.number,
            "currency": self.currency,
            "reason": self.reason,
            "subtotal": self.subtotal,
            "discount_total": self.discount_total,
            "tax_total": self.tax_total,
            "tax_added": self.tax_added,
            "total": self.total,
            "to_invoice": self.to_invoice,
            "to_balance": self.to_balance,
            "to_refund": self.to_refund,
            "outside": self.outside,
            "lines": [line.snapshot() for line in self.lines],
            "created_at": self.created_at,
            "voided_at": self.voided_at,
            "metadata": dict(self.metadata),
            "version": self.version,
        }


def lines_of(
    credits: Sequence[Credit], new_id: NewId, *, is_time: bool = False
) -> tuple[NoteLine, ...]:
    """The lines that say what `credits` give back, and where `is_time` for which time."""
    return tuple(
        _line(credit, place, new_id, is_time=is_time) for place, credit in enumerate(credits)
    )


def _line(credit: Credit, place: int, new_id: NewId, *, is_time: bool) -> NoteLine:
    charge = credit.charge
    assert charge.reverses_line_id is not None
    return NoteLine(
        new_id(),
        place,
        charge.reverses_line_id,
        charge.description,
        charge.quantity,
        -charge.amount,
        tuple(DiscountPart(part.discount_id, -part.amount) for part in credit.discounts),
        tuple(replace(part, taxable=-part.taxable, amount=-part.amount) for part in credit.taxes),
        charge.period if is_time else None,
    )
