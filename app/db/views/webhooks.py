"""Webhook endpoints and deliveries, as callers see them."""

from typing import Final

from app.db.views.base import CREATED, View

WEBHOOK_ENDPOINT = View(
    object="webhook_endpoint",
    prefix="we",
    table="webhook_endpoints",
    columns="""
        t.id, t.url, t.description, t.event_types, t.enabled, t.disabled_reason, t.disabled_at,
        (SELECT l.failing_since FROM webhook_lanes l
          WHERE l.merchant_id = t.merchant_id AND l.webhook_endpoint_id = t.id) AS failing_since,
        t.previous_secret_expires_at, t.metadata, t.created_at, t.deleted_at, t.version
    """,
    filters={**CREATED, "enabled": "t.enabled = {}"},
    shown="t.deleted_at IS NULL",
)

_DELIVERY: Final = """
    t.id, t.webhook_endpoint_id, t.event_id,
    (SELECT e.type FROM events e WHERE e.merchant_id = t.merchant_id AND e.id = t.event_id)
        AS event_type,
    t.cause, t.status, t.attempt_count, t.response_status, t.failure, t.created_at, t.due_at,
    t.settled_at
"""
_FILTERS: Final = {
    **CREATED,
    "webhook_endpoint_id": "t.webhook_endpoint_id = {}",
    "event_id": "t.event_id = {}",
    "status": "t.status = {}",
}

DELIVERY_SUMMARY = View(
    object="delivery",
    prefix="del",
    table="webhook_deliveries",
    columns=_DELIVERY,
    filters=_FILTERS,
)

DELIVERY = View(
    object="delivery",
    prefix="del",
    table="webhook_deliveries",
    columns=f"""
        {_DELIVERY},
        (SELECT coalesce(json_agg(json_build_object(
                    'ordinal', a.ordinal, 'started_at', a.started_at,
                    'duration_ms', a.duration_ms, 'response_status', a.response_status,
                    'failure', a.failure, 'excerpt', a.excerpt) ORDER BY a.started_at, a.id), '[]')
           FROM webhook_attempts a
          WHERE a.merchant_id = t.merchant_id AND a.delivery_id = t.id) AS attempts
    """,
    filters=_FILTERS,
    references={"event": "event", "webhook_endpoint": "webhook_endpoint"},
    children={"attempts": ""},
)
