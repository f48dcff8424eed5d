"""Pending items: lines that wait for a customer's next invoice, or for one made by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from app.domain.invoice import Charge
from app.domain.invoicing import Credit
from app.domain.pricing import TaxBehaviour
from app.domain.tax import TaxRate, with_behaviour


@dataclass(frozen=True, slots=True)
class PendingItem:
    """A charge, or a credit, that was decided and is not on an invoice yet.

    With a subscription it waits for its next invoice, else for whichever invoice takes it.
    """

    id: UUID
    merchant_id: UUID
    customer_id: UUID
    subscription_id: UUID | None
    currency: str
    line: Charge | Credit
    created_at: datetime
    invoice_id: UUID | None = None
    deleted_at: datetime | None = None
    version: int = 1
    tax_code: str | None = None
    """What kind of product it is for, where taxes are found by place; of a price, its plan's."""
    tax_behaviour: TaxBehaviour | None = None
    is_inline: bool = False
    """Made for one invoice: it goes when that draft goes, and never waits for another."""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def charge(self) -> Charge:
        """The amounts, whether it charges or gives back."""
        return self.line.charge if isinstance(self.line, Credit) else self.line

    def snapshot(self) -> dict[str, object]:
        """Its public fields, ids as UUID."""
        charge = self.charge
        return {
            "id": self.id,
            "customer_id": self.customer_id,
            "subscription_id": self.subscription_id,
            "currency": self.currency,
            "kind": charge.kind,
            "description": charge.description,
            "quantity": charge.quantity,
            "amount": charge.amount,
            "period_start": charge.period.start,
            "period_end": charge.period.end,
            "price_id": charge.price_id,
            "subscription_item_id": charge.item_id,
            "reverses_line_id": charge.reverses_line_id,
            "invoice_id": self.invoice_id,
            "tax_code": self.tax_code,
            "metadata": dict(self.metadata),
            "created_at": self.created_at,
            "version": self.version,
        }


class Taxation(Protocol):
    """The taxes that a customer owes, found by who sells what to whom."""

    def rates(self, tax_code: str | None, at: datetime) -> tuple[TaxRate, ...]:
        """The rates for a kind of product at a tax point."""


def taxed(item: PendingItem, given: tuple[TaxRate, ...], taxation: Taxation | None) -> PendingItem:
    """The item with the rates it is billed at: those that are found, or else those that are given.

    What gives something back of a line keeps that line's own taxes.
    """
    charge = item.line
    if isinstance(charge, Credit):
        return item
    rates = given
    if taxation is not None:
        found = taxation.rates(item.tax_code, charge.period.start)
        rates = with_behaviour(found, item.tax_behaviour)
    return replace(item, line=replace(charge, rates=rates))
