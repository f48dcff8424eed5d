"""A charge that the customer's bank takes back, as the gateway tells it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from app.domain.outcome import Found, Inconclusive, NotFound


class DisputeStatus(StrEnum):
    """Where a dispute stands; the last three end it."""

    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    CLOSED = "closed"
    """Ended without money moving: an inquiry, or one that the customer took back."""


@dataclass(frozen=True, slots=True)
class DisputeReport:
    """A dispute in the gateway's words; `amount_minor` is what the customer wants back.

    `withdrawn_minor` is what the gateway has taken from the merchant for it until now, without
    its own `fee_minor`: it goes back to zero when the dispute is won.
    """

    gateway_reference: str
    payment_reference: str
    """The gateway's own reference of the charge (`Succeeded.gateway_reference`)."""
    status: DisputeStatus
    amount_minor: int
    currency: str
    withdrawn_minor: int = 0
    fee_minor: int | None = None
    reason: str | None = None
    opened_at: datetime | None = None
    evidence_due_by: datetime | None = None


DisputeLookup: TypeAlias = Found[DisputeReport] | NotFound | Inconclusive


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute of one of our payments, as the gateway said when it was asked at `asked_at`.

    Amounts are minor units of `currency`: what the customer wants back, what the gateway has
    withdrawn for it until now, and its own fee where it says so.
    """

    id: UUID
    merchant_id: UUID
    gateway_account_id: UUID
    gateway_reference: str
    payment_id: UUID
    invoice_id: UUID
    customer_id: UUID
    status: DisputeStatus
    currency: str
    amount: int
    asked_at: datetime
    created_at: datetime
    withdrawn: int = 0
    fee: int | None = None
    reason: str | None = None
    opened_at: datetime | None = None
    evidence_due_by: datetime | None = None
    closed_at: datetime | None = None
    version: int = 1

    def snapshot(self) -> dict[str, object]:
        """Its public fields, ids as UUID."""
        return {
            "id": self.id,
            "gateway_account_id": self.gateway_account_id,
            "gateway_reference": self.gateway_reference,
            "payment_id": self.payment_id,
            "invoice_id": self.invoice_id,
            "customer_id": self.customer_id,
            "status": self.status,
            "currency": self.currency,
            "amount": self.amount,
            "withdrawn": self.withdrawn,
            "fee": self.fee,
            "reason": self.reason,
            "opened_at": self.opened_at,
            "evidence_due_by": self.evidence_due_by,
            "closed_at": self.closed_at,
            "created_at": self.created_at,
            "version": self.version,
        }
