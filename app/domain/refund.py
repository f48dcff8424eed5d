"""A refund: money going back. It is reserved before the gateway is asked, settled after."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID


class Status(StrEnum):
    """Where a refund stands."""

    PROCESSING = "processing"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


OPEN: Final = frozenset({Status.PROCESSING, Status.UNKNOWN})
FOLLOWING: Final[Mapping[Status, frozenset[Status]]] = MappingProxyType(
    {
        Status.PROCESSING: frozenset(Status),
        Status.UNKNOWN: frozenset(Status),
        Status.SUCCEEDED: frozenset({Status.SUCCEEDED, Status.FAILED}),
        Status.FAILED: frozenset({Status.SUCCEEDED, Status.FAILED}),
    }
)
"""What each status may become. Ends are exchanged where the gateway changes its word: a bank sends
money back weeks after it went out, or it goes out after all; but nothing is under way again.
"""


class Destination(StrEnum):
    """Where a refund goes: back by the gateway it came from, by a way of the merchant's own, which
    is only written down, or to the customer's balance.
    """

    GATEWAY = "gateway"
    OUTSIDE = "outside"
    BALANCE = "balance"


@dataclass(frozen=True, slots=True)
class Refund:
    """`amount` minor units of one payment on their way back to the customer."""

    id: UUID
    merchant_id: UUID
    payment_id: UUID
    invoice_id: UUID
    gateway_account_id: UUID | None
    status: Status
    currency: str
    amount: int
    reference: str
    created_at: datetime
    reason: str | None = None
    gateway_reference: str | None = None
    failure_code: str | None = None
    detail: str | None = None
    look_ups: int = 0
    look_up_at: datetime | None = None
    settled_at: datetime | None = None
    request: str | None = None
    """All that was asked of the gateway, as JSON, written down before it was sent; then it never
    changes. None: it was never sent, or its only call provably did nothing.
    """
    last_sent_at: datetime | None = None
    """When it was sent again last; None: only once, when it was made."""
    absent_since: datetime | None = None
    """When a look-up first found that the gateway has nothing of it."""
    destination: Destination = Destination.GATEWAY
    version: int = 1

    @property
    def idempotency_key(self) -> str:
        """One refund, one key, however often it is sent."""
        return f"perennial-{self.id.hex}"

    def snapshot(self) -> dict[str, object]:
        """Its public fields, ids as UUID."""
        return {
            "id": self.id,
            "payment_id": self.payment_id,
            "invoice_id": self.invoice_id,
            "status": self.status,
            "currency": self.currency,
            "amount": self.amount,
            "destination": self.destination,
            "reason": self.reason,
            "failure_code": self.failure_code,
            "created_at": self.created_at,
            "settled_at": self.settled_at,
            "version": self.version,
        }
