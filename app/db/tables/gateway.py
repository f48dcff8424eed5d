"""What gateways tell by themselves."""

from sqlalchemy import Column, Index, LargeBinary, UniqueConstraint, text

from app.db.tables.common import (
    HOT,
    belongs_to,
    document,
    instant,
    one_of,
    small,
    string,
    tenant_table,
    uid,
)
from app.domain.inbox import Status as InboundStatus

inbound_events = tenant_table(
    "inbound_events",
    uid("id"),
    uid("gateway_account_id"),
    string("gateway_event_id"),
    string("type", null=True),
    string("kind", default="other"),
    string("reference", null=True),
    string("our_reference", null=True),
    string("payment_reference", null=True),
    string("subject", null=True),
    instant("occurred_at", null=True),
    string("status"),
    string("reason", null=True),
    Column("body", LargeBinary, nullable=False),
    document("headers"),
    string("detail", null=True),
    small("attempts"),
    instant("received_at"),
    instant("due_at", null=True),
    instant("lease_until", null=True),
    instant("settled_at", null=True),
    belongs_to("gateway_accounts", "gateway_account_id"),
    UniqueConstraint(
        "merchant_id", "gateway_account_id", "gateway_event_id", name="uq_inbound_events"
    ),
    Index("ix_inbound_events_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index(
        "ix_inbound_events_subject",
        "merchant_id",
        "gateway_account_id",
        "kind",
        "subject",
        "id",
        postgresql_where=text("status = 'received'"),
    ),
    Index(
        "ix_inbound_events_done",
        "settled_at",
        postgresql_where=text("status IN ('settled', 'ignored')"),
    ),
    one_of("status", InboundStatus),
    postgresql_with={"fillfactor": HOT},
)
