"""Meters, and the usage that was told to them, event by event, never changed."""

from sqlalchemy import Boolean, Column, Index, UniqueConstraint, text

from app.db.tables.common import (
    belongs_to,
    check,
    document,
    instant,
    number,
    of_merchant,
    one_of,
    string,
    tenant_table,
    uid,
)
from app.domain.metering import VALUE_MAX, Aggregation

SPAN = ("merchant_id", "customer_id", "meter_id", "happened_at")
"""How usage is asked for: whose, of what, from when to when."""

meters = tenant_table(
    "meters",
    uid("id"),
    string("name"),
    string("event_name"),
    string("aggregation"),
    string("value_key", default="value"),
    string("unique_key", null=True),
    document("filters", default="[]"),
    document("metadata"),
    instant("created_at"),
    instant("archived_at", null=True),
    number("version", default=1),
    of_merchant(),
    one_of("aggregation", Aggregation),
    check("unique_key", "(aggregation = 'unique') = (unique_key IS NOT NULL)"),
    Index(
        "uq_meters_event_name",
        "merchant_id",
        "event_name",
        unique=True,
        postgresql_where=text("archived_at IS NULL"),
    ),
)

usage_events = tenant_table(
    "usage_events",
    uid("id"),
    string("event_id"),
    uid("meter_id"),
    uid("customer_id"),
    uid("subscription_id", null=True),
    instant("happened_at"),
    number("value", null=True),
    string("unique_value", null=True),
    uid("reverses_id", null=True),
    document("properties"),
    instant("received_at"),
    Column("delayed", Boolean, nullable=False),
    belongs_to("meters", "meter_id"),
    belongs_to("customers", "customer_id"),
    belongs_to("subscriptions", "subscription_id"),
    belongs_to("usage_events", "reverses_id"),
    UniqueConstraint("merchant_id", "event_id", name="uq_usage_events_event_id"),
    # A span is summed from this index alone, without a look at the rows.
    Index(
        "ix_usage_events_span",
        *SPAN,
        postgresql_include=["subscription_id", "value", "id"],
        postgresql_where=text("value IS NOT NULL"),
    ),
    Index("ix_usage_events_delayed", *SPAN, postgresql_where=text("delayed")),
    Index("ix_usage_events_reversal", *SPAN, postgresql_where=text("reverses_id IS NOT NULL")),
    # What reversed one event. Its condition says more than that of spans, so that no plan from a
    # time without counter-events reads all of a merchant's for each span.
    Index(
        "uq_usage_events_reverses_id",
        "merchant_id",
        "reverses_id",
        unique=True,
        postgresql_where=text("reverses_id IS NOT NULL AND value IS NULL"),
    ),
    # Events come about in the order of their time: a few bytes for many of them find a span of it.
    Index("ix_usage_events_happened_at", "happened_at", postgresql_using="brin"),
    check("value", f"abs(value) <= {VALUE_MAX}"),
    check("counter_event", "reverses_id IS NULL OR value IS NULL"),
)
