"""What a gateway tells by itself (webhooks), and what its own books list."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.inbox import EventKind, GatewayEvent

__all__ = [
    "EventKind",
    "GatewayEvent",
    "GatewayTransaction",
    "TransactionKind",
    "TransactionStatus",
    "WebhookDelivery",
]


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """One delivery exactly as it came: nothing of it is believed before it is verified."""

    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    received_at: datetime


class TransactionKind(StrEnum):
    """Which way a listed transaction moved money."""

    CHARGE = "charge"
    REFUND = "refund"


class TransactionStatus(StrEnum):
    """How a listed transaction ended, or that it has not."""

    SUCCEEDED = "succeeded"
    AUTHORIZED = "authorized"
    PENDING = "pending"
    FAILED = "failed"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class GatewayTransaction:
    """One transaction in the gateway's books; `amount_minor` is positive either way."""

    reference: str
    kind: TransactionKind
    status: TransactionStatus
    amount_minor: int
    currency: str
    created_at: datetime
    our_reference: str | None = None
    payment_reference: str | None = None
    """Of a refund: the charge it is of."""
    refunded_minor: int | None = None
    """Of a charge: how much of it went back, where the list says so."""
    fee_minor: int | None = None
