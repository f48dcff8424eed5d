"""The state of a payment, and of each attempt: each call that is made to a gateway for it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from app.domain.ids import NewId
from app.domain.invoice import Invoice
from app.domain.outcome import DeclineCategory, DeclineInfo


class Status(StrEnum):
    """Where a payment stands. `scheduled` waits for its due time; the rest are Stripe's words."""

    SCHEDULED = "scheduled"
    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    REVERSED = "reversed"
    """Recorded by hand, and taken back: a cheque that bounced, a slip of the pen."""


class OfflineMethod(StrEnum):
    """How money came that no gateway brought."""

    BANK_TRANSFER = "bank_transfer"
    CASH = "cash"
    CHEQUE = "cheque"
    OTHER = "other"


class AttemptStatus(StrEnum):
    """Where one call stands. The first three are in flight: nothing else may charge meanwhile."""

    PROCESSING = "processing"
    UNKNOWN = "unknown"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


IN_FLIGHT: Final = frozenset(
    {AttemptStatus.PROCESSING, AttemptStatus.UNKNOWN, AttemptStatus.REQUIRES_ACTION}
)
RETRYABLE: Final = frozenset({Status.REQUIRES_PAYMENT_METHOD, Status.SCHEDULED})
CAPTURED_AFTER_CLOSING: Final = "captured_after_closing"
"""Why a payment waits that must not be tried by itself: money came for an attempt that was closed,
and somebody has to say what it pays.
"""
ENDED: Final = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED, Status.REVERSED})


@dataclass(frozen=True, slots=True)
class Offline:
    """What is known of money that came outside of any gateway; `reference` is the bank's or the
    payer's name of it, given to one payment only.
    """

    method: OfflineMethod
    received_at: datetime
    reference: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """The collection of one invoice's amount; amounts in minor units."""

    id: UUID
    merchant_id: UUID
    invoice_id: UUID
    customer_id: UUID
    payment_method_id: UUID | None
    status: Status
    currency: str
    amount: int
    created_at: datetime
    due_at: datetime | None = None
    amount_captured: int = 0
    amount_refunded: int = 0
    amount_refund_reserved: int = 0
    attempt_count: int = 0
    failure_code: str | None = None
    failure_category: DeclineCategory | None = None
    action_url: str | None = None
    test_clock_id: UUID | None = None
    succeeded_at: datetime | None = None
    offline: Offline | None = None
    """None: it is made through a gateway."""
    amount_to_balance: int = 0
    """What of it was more than remained, and became the customer's credit."""
    reversed_at: datetime | None = None
    reversal_reason: str | None = None
    postponed_reason: str | None = None
    """Why it could not be tried when it was due, and is put off."""
    hosted_url: str | None = None
    """A page of ours where its customer goes on; told in an event, and kept nowhere else."""
    version: int = 1

    @property
    def refundable(self) -> int:
        """What may still be refunded: captured, less what became credit, less refunded, less what
        refunds have reserved.
        """
        gone = self.amount_to_balance + self.amount_refunded + self.amount_refund_reserved
        return self.amount_captured - gone

    def snapshot(self) -> dict[str, object]:
        """Its public fields, ids as UUID."""
        return {
            "id": self.id,
            "invoice_id": self.invoice_id,
            "customer_id": self.customer_id,
            "payment_method_id": self.payment_method_id,
            "status": self.status,
            "currency": self.currency,
            "amount": self.amount,
            "amount_captured": self.amount_captured,
            "amount_refunded": self.amount_refunded,
            "attempt_count": self.attempt_count,
            "failure_code": self.failure_code,
            "failure_category": self.failure_category,
            "action_url": self.action_url,
            "hosted_url": self.hosted_url,
            "due_at": self.due_at,
            "postponed_reason": self.postponed_reason,
            "created_at": self.created_at,
            "succeeded_at": self.succeeded_at,
            "kind": "gateway" if self.offline is None else "offline",
            "offline_method": None if self.offline is None else self.offline.method,
            "reference": None if self.offline is None else self.offline.reference,
            "note": None if self.offline is None else self.offline.note,
            "received_at": None if self.offline is None else self.offline.received_at,
            "amount_to_balance": self.amount_to_balance,
            "reversed_at": self.reversed_at,
            "reversal_reason": self.reversal_reason,
            "test_clock_id": self.test_clock_id,
            "version": self.version,
        }


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to a gateway. `reference` is our name for it there, `idempotency_key` its key."""

    id: UUID
    merchant_id: UUID
    payment_id: UUID
    invoice_id: UUID
    gateway_account_id: UUID
    payment_method_id: UUID
    ordinal: int
    status: AttemptStatus
    currency: str
    amount: int
    reference: str
    created_at: datetime
    gateway_reference: str | None = None
    network_transaction_id: str | None = None
    fee: int | None = None
    failure_code: str | None = None
    failure_category: DeclineCategory | None = None
    gateway_code: str | None = None
    detail: str | None = None
    look_ups: int = 0
    look_up_at: datetime | None = None
    settled_at: datetime | None = None
    request: str | None = None
    """All that was asked of the gateway and is no field here, as JSON; never changed."""
    last_sent_at: datetime | None = None
    """When it was sent again last; None: only once, when it was made."""
    absent_since: datetime | None = None
    """When a look-up first found that the gateway has nothing of it."""
    capture_sent_at: datetime | None = None
    """When the capture of what is held was sent last."""
    void_wanted_at: datetime | None = None
    """Since when nobody waits for its customer any more: it is to be given up."""
    decline: DeclineInfo | None = None
    """All that was said as it was declined, for what is decided of it; not written down."""
    version: int = 1

    @property
    def idempotency_key(self) -> str:
        """One attempt, one key, however often it is sent."""
        return f"perennial-{self.id.hex}"


def schedule(invoice: Invoice, method_id: UUID | None, now: datetime, new_id: NewId) -> Payment:
    """The payment of what remains of `invoice`, due at once; without a method it waits for one."""
    return Payment(
        id=new_id(),
        merchant_id=invoice.merchant_id,
        invoice_id=invoice.id,
        customer_id=invoice.order.customer_id,
        payment_method_id=method_id,
        status=Status.REQUIRES_PAYMENT_METHOD if method_id is None else Status.SCHEDULED,
        currency=invoice.order.currency,
        amount=invoice.amount_remaining,
        created_at=now,
        due_at=None if method_id is None else now,
        test_clock_id=invoice.order.test_clock_id,
    )
