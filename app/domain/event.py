"""What happened, in the transaction of the change: the source of webhooks and `/v1/events`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class Type(StrEnum):
    """Every event this service can tell; the names are part of the public contract."""

    CUSTOMER_CREATED = "customer.created"
    CUSTOMER_UPDATED = "customer.updated"
    PLAN_CREATED = "plan.created"
    PLAN_UPDATED = "plan.updated"
    PRICE_CREATED = "price.created"
    PRICE_UPDATED = "price.updated"
    PRICE_MIGRATION_CREATED = "price_migration.created"
    PRICE_MIGRATION_COMPLETED = "price_migration.completed"
    PRICE_MIGRATION_CANCELED = "price_migration.canceled"
    TAX_ID_CREATED = "tax_id.created"
    TAX_ID_DELETED = "tax_id.deleted"
    PAYMENT_METHOD_ATTACHED = "payment_method.attached"
    PAYMENT_METHOD_UPDATED = "payment_method.updated"
    PAYMENT_METHOD_EXPIRING = "payment_method.expiring"
    PAYMENT_METHOD_DETACHED = "payment_method.detached"
    SETUP_SESSION_COMPLETED = "setup_session.completed"
    SETUP_SESSION_FAILED = "setup_session.failed"
    SETUP_SESSION_EXPIRED = "setup_session.expired"
    SUBSCRIPTION_CREATED = "subscription.created"
    SUBSCRIPTION_ACTIVATED = "subscription.activated"
    SUBSCRIPTION_RENEWED = "subscription.renewed"
    SUBSCRIPTION_UPDATED = "subscription.updated"
    SUBSCRIPTION_PAUSED = "subscription.paused"
    SUBSCRIPTION_RESUMED = "subscription.resumed"
    SUBSCRIPTION_PAST_DUE = "subscription.past_due"
    SUBSCRIPTION_UNPAID = "subscription.unpaid"
    SUBSCRIPTION_CANCELED = "subscription.canceled"
    SUBSCRIPTION_EXPIRED = "subscription.incomplete_expired"
    INVOICE_CREATED = "invoice.created"
    INVOICE_UPDATED = "invoice.updated"
    INVOICE_DELETED = "invoice.deleted"
    INVOICE_FINALIZED = "invoice.finalized"
    INVOICE_PAID = "invoice.paid"
    INVOICE_PARTIALLY_PAID = "invoice.partially_paid"
    INVOICE_REOPENED = "invoice.reopened"
    INVOICE_PAYMENT_FAILED = "invoice.payment_failed"
    INVOICE_VOIDED = "invoice.voided"
    INVOICE_UNCOLLECTIBLE = "invoice.marked_uncollectible"
    CREDIT_NOTE_CREATED = "credit_note.created"
    CREDIT_NOTE_VOIDED = "credit_note.voided"
    PENDING_ITEM_CREATED = "pending_item.created"
    PENDING_ITEM_UPDATED = "pending_item.updated"
    PENDING_ITEM_DELETED = "pending_item.deleted"
    PAYMENT_SUCCEEDED = "payment.succeeded"
    PAYMENT_FAILED = "payment.failed"
    PAYMENT_PROCESSING = "payment.processing"
    PAYMENT_UNKNOWN = "payment.unknown"
    PAYMENT_ACTION_REQUIRED = "payment.action_required"
    PAYMENT_VOIDED = "payment.voided"
    PAYMENT_REVERSED = "payment.reversed"
    REFUND_SUCCEEDED = "refund.succeeded"
    REFUND_FAILED = "refund.failed"
    DISPUTE_CREATED = "dispute.created"
    DISPUTE_UPDATED = "dispute.updated"
    DISPUTE_CLOSED = "dispute.closed"
    DUNNING_RUN_STARTED = "dunning_run.started"
    DUNNING_RUN_RETRY_SCHEDULED = "dunning_run.retry_scheduled"
    DUNNING_RUN_WAITING = "dunning_run.waiting"
    DUNNING_RUN_REMINDER = "dunning_run.reminder"
    DUNNING_RUN_PAUSED = "dunning_run.paused"
    DUNNING_RUN_RESUMED = "dunning_run.resumed"
    DUNNING_RUN_STOPPED = "dunning_run.stopped"
    DUNNING_RUN_RECOVERED = "dunning_run.recovered"
    DUNNING_RUN_EXHAUSTED = "dunning_run.exhausted"
    RECONCILIATION_COMPLETED = "reconciliation.completed"
    RECONCILIATION_DIFFERENCE_FOUND = "reconciliation_difference.found"
    RECONCILIATION_DIFFERENCE_RESOLVED = "reconciliation_difference.resolved"
    COUPON_CREATED = "coupon.created"
    COUPON_UPDATED = "coupon.updated"
    COUPON_REDEEMED = "coupon.redeemed"
    PROMOTION_CODE_CREATED = "promotion_code.created"
    PROMOTION_CODE_UPDATED = "promotion_code.updated"
    OFFER_CREATED = "offer.created"
    OFFER_UPDATED = "offer.updated"
    OFFER_REDEEMED = "offer.redeemed"
    WEBHOOK_ENDPOINT_DISABLED = "webhook_endpoint.disabled"
    WEBHOOK_ENDPOINT_PING = "webhook_endpoint.ping"


class Noun(Protocol):
    """What an event can be about: it has an identity, a version, and can be written down."""

    @property
    def id(self) -> UUID: ...
    @property
    def merchant_id(self) -> UUID: ...
    @property
    def version(self) -> int: ...

    def snapshot(self) -> dict[str, object]:
        """The noun's public fields as they are now, ids as UUID."""


@dataclass(frozen=True, slots=True)
class Event:
    """`subject` after the change; `previous` holds what its changed fields were before."""

    id: UUID
    type: Type
    subject: Noun
    previous: Mapping[str, object] | None = None
