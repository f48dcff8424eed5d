"""A charge that the customer's bank takes back, as the gateway tells it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

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
