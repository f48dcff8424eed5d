"""What is kept at gateways, how it comes there, and what gateways tell by themselves."""

from sqlalchemy import Boolean, Column, Index, LargeBinary, UniqueConstraint, text

from app.db.tables.common import (
    HOT,
    belongs_to,
    check,
    document,
    instant,
    minor,
    number,
    one_of,
    small,
    string,
    tenant_table,
    uid,
)
from app.domain.inbox import Status as InboundStatus
from app.domain.setup_session import Status as SetupStatus
from app.domain.vault import SetupFlow

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

gateway_customers = tenant_table(
    "gateway_customers",
    uid("customer_id"),
    uid("gateway_account_id"),
    string("reference"),
    instant("created_at"),
    belongs_to("customers", "customer_id"),
    belongs_to("gateway_accounts", "gateway_account_id"),
    key=("customer_id", "gateway_account_id"),
)

setup_sessions = tenant_table(
    "setup_sessions",
    uid("id"),
    uid("customer_id"),
    uid("gateway_account_id"),
    string("status"),
    string("code"),
    string("flow", null=True),
    string("return_url", null=True),
    string("cancel_url", null=True),
    string("currency", null=True),
    minor("amount_max", null=True),
    instant("mandate_expires_at", null=True),
    string("description", null=True),
    Column("make_default", Boolean, nullable=False),
    Column("client_token_hash", LargeBinary, nullable=False),
    string("handover_ciphertext", null=True),
    string("gateway_reference", null=True),
    string("gateway_customer_reference", null=True),
    uid("payment_method_id", null=True),
    string("failure_code", null=True),
    string("failure_category", null=True),
    string("detail", null=True),
    small("look_ups"),
    instant("look_up_at", null=True),
    document("metadata"),
    instant("created_at"),
    instant("expires_at"),
    instant("ended_at", null=True),
    number("version"),
    belongs_to("customers", "customer_id"),
    belongs_to("gateway_accounts", "gateway_account_id"),
    belongs_to("payment_methods", "payment_method_id"),
    Index("uq_setup_sessions_code", "merchant_id", "code", unique=True),
    Index(
        "ix_setup_sessions_gateway_reference",
        "merchant_id",
        "gateway_account_id",
        "gateway_reference",
    ),
    Index("ix_setup_sessions_customer_id", "merchant_id", "customer_id"),
    Index(
        "ix_setup_sessions_look_up", "look_up_at", postgresql_where=text("look_up_at IS NOT NULL")
    ),
    one_of("status", SetupStatus),
    one_of("flow", SetupFlow),
    check("client_token_hash", "octet_length(client_token_hash) = 32"),
    check(
        "ended",
        "(status IN ('completed', 'failed', 'expired')) = (ended_at IS NOT NULL)"
        " AND (status IN ('starting', 'open')) = (look_up_at IS NOT NULL)",
    ),
    check("completed_has_method", "(status = 'completed') = (payment_method_id IS NOT NULL)"),
    check("open_has_reference", "status <> 'open' OR gateway_reference IS NOT NULL"),
    postgresql_with={"fillfactor": HOT},
)
