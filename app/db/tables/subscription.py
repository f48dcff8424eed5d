"""Subscriptions: what is running, on which prices, from which anchor, and what is due next."""

from sqlalchemy import Boolean, Column, Index, UniqueConstraint, text

from app.db.tables.common import (
    HOT,
    belongs_to,
    check,
    currency_check,
    document,
    instant,
    number,
    one_of,
    small,
    string,
    tenant_table,
    uid,
)
from app.domain.calendar import Unit
from app.domain.invoice import Collection
from app.domain.subscription import Status

subscriptions = tenant_table(
    "subscriptions",
    uid("id"),
    uid("customer_id"),
    string("external_id", null=True),
    string("status"),
    string("currency"),
    string("interval_unit"),
    small("interval_count"),
    string("zone"),
    instant("anchor"),
    instant("period_start", null=True),
    instant("period_end", null=True),
    number("period_index"),
    string("collection_method"),
    small("net_days"),
    uid("payment_method_id", null=True),
    instant("start_at"),
    instant("trial_end", null=True),
    instant("expires_at", null=True),
    instant("cancel_at", null=True),
    Column("cancel_at_period_end", Boolean, nullable=False),
    instant("canceled_at", null=True),
    instant("ended_at", null=True),
    uid("latest_invoice_id", null=True),
    uid("test_clock_id", null=True),
    document("metadata"),
    instant("created_at"),
    instant("next_action_at", null=True),
    instant("parked_at", null=True),
    string("parked_reason", null=True),
    number("version"),
    belongs_to("customers", "customer_id"),
    belongs_to("payment_methods", "payment_method_id"),
    belongs_to("test_clocks", "test_clock_id"),
    UniqueConstraint("merchant_id", "external_id", name="uq_subscriptions_external_id"),
    Index("ix_subscriptions_customer_id", "merchant_id", "customer_id"),
    Index(
        "ix_subscriptions_due",
        "next_action_at",
        postgresql_where=text(
            "next_action_at IS NOT NULL AND parked_at IS NULL AND test_clock_id IS NULL"
        ),
    ),
    Index(
        "ix_subscriptions_due_on_test_clock",
        "merchant_id",
        "test_clock_id",
        "next_action_at",
        postgresql_where=text(
            "next_action_at IS NOT NULL AND parked_at IS NULL AND test_clock_id IS NOT NULL"
        ),
    ),
    Index("ix_subscriptions_parked", "parked_at", postgresql_where=text("parked_at IS NOT NULL")),
    currency_check(),
    one_of("status", Status),
    one_of("collection_method", Collection),
    one_of("interval_unit", Unit),
    check("period", "period_start < period_end"),
    check(
        "live_has_next_action",
        "(status IN ('canceled', 'incomplete_expired')) = (next_action_at IS NULL)",
    ),
    check("ended", "(status IN ('canceled', 'incomplete_expired')) = (ended_at IS NOT NULL)"),
    check("expires", "(status = 'incomplete') = (expires_at IS NOT NULL)"),
    check("parked", "(parked_at IS NULL) = (parked_reason IS NULL)"),
    check("net_days", "net_days BETWEEN 0 AND 365"),
    postgresql_with={"fillfactor": HOT},
)

subscription_items = tenant_table(
    "subscription_items",
    uid("id"),
    uid("subscription_id"),
    uid("price_id"),
    number("quantity"),
    small("position"),
    belongs_to("subscriptions", "subscription_id"),
    belongs_to("prices", "price_id"),
    UniqueConstraint("merchant_id", "subscription_id", "position", name="uq_subscription_items"),
    Index("ix_subscription_items_price_id", "merchant_id", "price_id"),
    check("quantity", "quantity BETWEEN 0 AND 1000000000"),
)

discounts = tenant_table(
    "discounts",
    uid("id"),
    uid("subscription_id"),
    uid("coupon_id"),
    small("periods_remaining", null=True),
    small("position"),
    instant("created_at"),
    instant("ended_at", null=True),
    belongs_to("subscriptions", "subscription_id"),
    belongs_to("coupons", "coupon_id"),
    UniqueConstraint("merchant_id", "subscription_id", "position", name="uq_discounts"),
    check("periods_remaining", "periods_remaining >= 0"),
    postgresql_with={"fillfactor": HOT},
)

subscription_tax_rates = tenant_table(
    "subscription_tax_rates",
    uid("subscription_id"),
    uid("tax_rate_id"),
    small("position"),
    belongs_to("subscriptions", "subscription_id"),
    belongs_to("tax_rates", "tax_rate_id"),
    key=("subscription_id", "tax_rate_id"),
)

scheduled_changes = tenant_table(
    "scheduled_changes",
    uid("id"),
    uid("subscription_id"),
    string("type"),
    instant("due_at"),
    document("change"),
    string("status"),
    instant("created_at"),
    instant("applied_at", null=True),
    belongs_to("subscriptions", "subscription_id"),
    one_of("status", ("pending", "applied", "canceled")),
    Index(
        "ix_scheduled_changes_pending",
        "merchant_id",
        "subscription_id",
        "due_at",
        postgresql_where=text("status = 'pending'"),
    ),
)
