"""Schedules of subscriptions, and moves of many subscriptions from one price to another."""

from sqlalchemy import Index, UniqueConstraint, text

from app.db.tables.common import (
    HOT,
    belongs_to,
    check,
    document,
    instant,
    minor,
    number,
    one_of,
    string,
    tenant_table,
    uid,
)
from app.domain.migrating import ItemStatus, Moment, Status
from app.domain.phases import EndBehaviour
from app.domain.policy import Settlement

subscription_schedules = tenant_table(
    "subscription_schedules",
    uid("id"),
    uid("subscription_id"),
    document("phases", default="[]"),
    string("end_behaviour"),
    instant("ends_at", null=True),
    instant("created_at"),
    instant("released_at", null=True),
    number("version"),
    belongs_to("subscriptions", "subscription_id"),
    UniqueConstraint(
        "merchant_id", "subscription_id", name="uq_subscription_schedules_subscription_id"
    ),
    one_of("end_behaviour", EndBehaviour),
    check("end", "end_behaviour <> 'cancel' OR ends_at IS NOT NULL"),
)

price_migrations = tenant_table(
    "price_migrations",
    uid("id"),
    string("status"),
    uid("from_price_id", null=True),
    uid("from_plan_id", null=True),
    uid("to_price_id"),
    document("criteria"),
    string("moment"),
    instant("moves_at", null=True),
    string("settlement", null=True),
    document("estimate", null=True, default=None),
    uid("looked_to", null=True),
    number("total"),
    number("moved", default=0),
    number("failed", default=0),
    instant("lease_until", null=True),
    document("metadata"),
    instant("created_at"),
    instant("started_at", null=True),
    instant("completed_at", null=True),
    instant("canceled_at", null=True),
    number("version"),
    belongs_to("prices", "from_price_id"),
    belongs_to("plans", "from_plan_id"),
    belongs_to("prices", "to_price_id"),
    one_of("status", Status),
    one_of("moment", Moment),
    one_of("settlement", Settlement),
    check("source", "num_nonnulls(from_price_id, from_plan_id) = 1"),
    check("moves_at", "(moment = 'at') = (moves_at IS NOT NULL)"),
    check("counts", "moved >= 0 AND failed >= 0 AND moved + failed <= total"),
    check("started", "status NOT IN ('running', 'completed') OR started_at IS NOT NULL"),
    check("completed", "(status = 'completed') = (completed_at IS NOT NULL)"),
    check("canceled", "(status = 'canceled') = (canceled_at IS NOT NULL)"),
    Index(
        "ix_price_migrations_at_work",
        "created_at",
        postgresql_where=text("status IN ('estimating', 'running')"),
    ),
    postgresql_with={"fillfactor": HOT},
)

price_migration_items = tenant_table(
    "price_migration_items",
    uid("price_migration_id"),
    uid("subscription_id"),
    string("status"),
    string("code", null=True),
    string("reason", null=True),
    string("currency"),
    minor("before_amount", null=True),
    minor("after_amount", null=True),
    minor("credited", null=True),
    minor("charged", null=True),
    instant("done_at", null=True),
    belongs_to("price_migrations", "price_migration_id"),
    belongs_to("subscriptions", "subscription_id"),
    one_of("status", ItemStatus),
    check("reason", "(code IS NULL) = (reason IS NULL)"),
    check("done", "(status = 'pending') = (done_at IS NULL)"),
    Index(
        "ix_price_migration_items_pending",
        "merchant_id",
        "price_migration_id",
        "subscription_id",
        postgresql_where=text("status = 'pending'"),
    ),
    key=("price_migration_id", "subscription_id"),
    postgresql_with={"fillfactor": HOT},
)
