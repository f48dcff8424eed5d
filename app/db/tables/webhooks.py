"""What happened, in the order it is told; and the merchants' endpoints that are told.

An event's transaction leaves its identifier in a batch. Whoever takes the batch numbers its events,
writes a delivery for each endpoint that wants one, and deletes the batch: all in one transaction.
"""

from sqlalchemy import BigInteger, Boolean, Column, Identity, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from app.db.tables.common import (
    HOT,
    belongs_to,
    check,
    document,
    instant,
    number,
    of_merchant,
    one_of,
    small,
    string,
    tenant_table,
    uid,
)
from app.domain.delivery import Cause, Status

event_batches = tenant_table(
    "event_batches",
    Column("number", BigInteger, Identity(always=True), nullable=False),
    Column("event_ids", ARRAY(UUID(as_uuid=True)), nullable=False),
    check("event_ids", "cardinality(event_ids) > 0"),
    key=("number",),
)

event_numbers = tenant_table(
    "event_numbers",
    number("number"),
    uid("event_id"),
    belongs_to("events", "event_id"),
    UniqueConstraint("merchant_id", "event_id", name="uq_event_numbers_event_id"),
    key=("number",),
)

event_counters = tenant_table(
    "event_counters",
    number("last_number"),
    of_merchant(),
    key=(),
    postgresql_with={"fillfactor": HOT},
)

webhook_endpoints = tenant_table(
    "webhook_endpoints",
    uid("id"),
    string("url"),
    string("description", null=True),
    Column("event_types", ARRAY(Text), nullable=False),
    string("secret_ciphertext", null=True),
    string("previous_secret_ciphertext", null=True),
    instant("previous_secret_expires_at", null=True),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    string("disabled_reason", null=True),
    instant("disabled_at", null=True),
    document("metadata"),
    instant("created_at"),
    instant("deleted_at", null=True),
    number("version", default=1),
    of_merchant(),
    check("secret", "(secret_ciphertext IS NULL) = (deleted_at IS NOT NULL)"),
    check("disabled", "enabled = (disabled_at IS NULL)"),
    check("deleted", "deleted_at IS NULL OR NOT enabled"),
    check(
        "previous_secret",
        "(previous_secret_ciphertext IS NULL) = (previous_secret_expires_at IS NULL)",
    ),
)

webhook_lanes = tenant_table(
    "webhook_lanes",
    uid("webhook_endpoint_id"),
    number("last_position", default=0),
    number("complete_after", default=0),
    instant("due_at", null=True),
    uid("holder", null=True),
    instant("lease_until", null=True),
    number("failures", default=0),
    instant("failing_since", null=True),
    belongs_to("webhook_endpoints", "webhook_endpoint_id"),
    Index("ix_webhook_lanes_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    check("lease", "(holder IS NULL) = (lease_until IS NULL)"),
    check("failing", "(failures = 0) = (failing_since IS NULL)"),
    key=("webhook_endpoint_id",),
    postgresql_with={"fillfactor": HOT},
)

webhook_deliveries = tenant_table(
    "webhook_deliveries",
    uid("id"),
    uid("webhook_endpoint_id"),
    uid("event_id"),
    uid("object_id"),
    number("position"),
    string("cause"),
    string("status"),
    small("attempt_count"),
    small("response_status", null=True),
    string("failure", null=True),
    instant("created_at"),
    instant("due_at", null=True),
    instant("settled_at", null=True),
    belongs_to("webhook_endpoints", "webhook_endpoint_id"),
    belongs_to("events", "event_id"),
    Index(
        "ix_webhook_deliveries_webhook_endpoint_id", *("merchant_id", "webhook_endpoint_id", "id")
    ),
    Index(
        "uq_webhook_deliveries_event",
        *("merchant_id", "event_id", "webhook_endpoint_id"),
        unique=True,
        postgresql_where=text("cause = 'event'"),
    ),
    Index(
        "ix_webhook_deliveries_due",
        *("merchant_id", "webhook_endpoint_id", "due_at"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    Index(
        "ix_webhook_deliveries_pending",
        *("merchant_id", "webhook_endpoint_id", "object_id", "position"),
        postgresql_where=text("status = 'pending'"),
    ),
    Index("ix_webhook_deliveries_settled_at", "settled_at"),
    one_of("cause", Cause),
    one_of("status", Status),
    check("settled", "(status = 'pending') = (settled_at IS NULL)"),
    check("due", "due_at IS NULL OR status = 'pending'"),
    postgresql_with={"fillfactor": HOT},
)

webhook_attempts = tenant_table(
    "webhook_attempts",
    uid("id"),
    uid("delivery_id"),
    small("ordinal"),
    instant("started_at"),
    number("duration_ms"),
    small("response_status", null=True),
    string("failure", null=True),
    string("excerpt", null=True),
    belongs_to("webhook_deliveries", "delivery_id", ondelete="CASCADE"),
    Index("ix_webhook_attempts_delivery_id", "merchant_id", "delivery_id", "started_at"),
    check("excerpt", "length(excerpt) <= 500"),
)
