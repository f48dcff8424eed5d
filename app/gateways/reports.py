"""What a gateway tells by itself (webhooks), and what its own books list."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """One delivery exactly as it came: nothing of it is believed before it is verified."""

    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    received_at: datetime


class EventKind(StrEnum):
    """What a gateway's event is about, and so what is to be fetched."""

    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"
    SETUP = "setup"
    METHOD = "method"
    OTHER = "other"
    """Nothing that we act on; it is kept all the same."""


@dataclass(frozen=True, slots=True)
class GatewayEvent:
    """What a verified delivery is about. It is a hint where to look, never the truth itself."""

    id: str
    """The gateway's id of the event: the same for each delivery of it."""
    type: str
    """In the gateway's own word."""
    kind: EventKind
    reference: str | None = None
    """The gateway's own name of the payment, refund, dispute, set-up or method."""
    our_reference: str | None = None
    """Our code, where the event carries it."""
    payment_reference: str | None = None
    """Of a refund or dispute: the gateway's name of the charge, where the event carries it."""
    occurred_at: datetime | None = None


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
