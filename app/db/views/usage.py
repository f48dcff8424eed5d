"""Meters and usage events, as callers see them."""

from app.db.views.base import CREATED, View

METER = View(
    object="meter",
    prefix="mtr",
    table="meters",
    columns="""
        t.id, t.name, t.event_name, t.aggregation, t.value_key, t.unique_key, t.filters,
        t.metadata, t.created_at, t.archived_at, t.version
    """,
    filters={
        **CREATED,
        "event_name": "t.event_name = {}",
        "archived": "(t.archived_at IS NOT NULL) = {}",
    },
)

USAGE_EVENT = View(
    object="usage_event",
    prefix="ue",
    table="usage_events",
    columns="""
        t.id, t.event_id AS own_id, t.meter_id,
        (SELECT m.event_name FROM meters m
          WHERE m.merchant_id = t.merchant_id AND m.id = t.meter_id) AS event_name,
        t.customer_id, t.subscription_id, t.happened_at AS timestamp, t.properties, t.value,
        (SELECT r.event_id FROM usage_events r
          WHERE r.merchant_id = t.merchant_id AND r.id = t.reverses_id) AS reverses,
        (SELECT r.event_id FROM usage_events r
          WHERE r.merchant_id = t.merchant_id AND r.reverses_id = t.id
            AND r.value IS NULL) AS reversed_by,
        t.received_at
    """,
    filters={
        "id": "t.event_id = {}",
        "meter_id": "t.meter_id = {}",
        "customer_id": "t.customer_id = {}",
        "subscription_id": "t.subscription_id = {}",
        "timestamp_gte": "t.happened_at >= {}",
        "timestamp_gt": "t.happened_at > {}",
        "timestamp_lte": "t.happened_at <= {}",
        "timestamp_lt": "t.happened_at < {}",
    },
    references={"customer": "customer", "meter": "meter"},
)
