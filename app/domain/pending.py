"""Pending items: lines that wait for a customer's next invoice, or for one made by hand."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.domain.invoice import Charge
from app.domain.invoicing import Credit


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
            "created_at": self.created_at,
            "version": self.version,
        }
