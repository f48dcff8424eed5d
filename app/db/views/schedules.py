"""Schedules of subscriptions and price migrations, as callers see them."""

from app.db.views.base import CREATED, View

CURRENT_PHASE = """
    CASE WHEN t.released_at IS NOT NULL OR s.ended_at IS NOT NULL THEN NULL
         ELSE nullif(coalesce(
            (SELECT min(h.phase) - 1 FROM scheduled_changes h
              WHERE h.merchant_id = t.merchant_id AND h.subscription_id = t.subscription_id
                AND h.status = 'pending' AND h.phase IS NOT NULL),
            json_array_length(t.phases)), 0) END
"""

SUBSCRIPTION_SCHEDULE = View(
    object="subscription_schedule",
    prefix="sched",
    table=f"""(
        SELECT t.*, {CURRENT_PHASE} AS current_phase,
               CASE WHEN t.released_at IS NOT NULL THEN 'released'
                    WHEN s.ended_at IS NOT NULL THEN 'ended'
                    WHEN t.ends_at <= s.period_start THEN 'completed'
                    ELSE 'active' END AS status
          FROM subscription_schedules t
          JOIN subscriptions s ON s.merchant_id = t.merchant_id AND s.id = t.subscription_id)""",
    columns="""
        t.id, t.subscription_id, t.status, t.current_phase, t.phases, t.end_behaviour,
        t.ends_at, t.created_at, t.released_at, t.version
    """,
    references={"subscription": "subscription"},
)

PRICE_MIGRATION = View(
    object="price_migration",
    prefix="pmg",
    table="price_migrations",
    columns="""
        t.id, t.status, t.from_price_id, t.from_plan_id, t.to_price_id, t.criteria AS filters,
        t.moment AS "when", t.moves_at AS at, t.settlement, t.estimate, t.total, t.moved, t.failed,
        t.total - t.moved - t.failed AS pending, t.metadata, t.created_at, t.started_at,
        t.completed_at, t.canceled_at, t.version
    """,
    filters={**CREATED, "status": "t.status = {}"},
)

PRICE_MIGRATION_ITEM = View(
    object="price_migration_item",
    prefix="sub",
    table="(SELECT i.*, i.subscription_id AS id FROM price_migration_items i)",
    columns="""
        t.id, t.price_migration_id, t.subscription_id, t.status, t.code, t.reason, t.currency,
        t.before_amount, t.after_amount, t.credited, t.charged, t.done_at
    """,
    filters={
        "price_migration_id": "t.price_migration_id = {}",
        "status": "t.status = {}",
        "code": "t.code = {}",
        "cannot_move": "(t.code IS NOT NULL) = {}",
    },
    references={"subscription": "subscription"},
)
