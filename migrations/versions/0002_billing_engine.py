"""Billing engine: generated from app/db/tables; what is by hand: billing_engine_guards.py."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations import billing_engine_guards

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = (
    "document_logos",
    "features",
    "meters",
    "tax_engine_rates",
    "tax_engines",
    "tax_registrations",
    "addon_plans",
    "document_settings",
    "plan_features",
    "customer_tax_ids",
    "offers",
    "price_migrations",
    "promotion_codes",
    "offer_links",
    "price_migration_items",
    "redemptions",
    "subscription_schedules",
    "usage_events",
    "invoice_subscriptions",
    "pending_items",
)


def upgrade() -> None:
    op.drop_constraint(op.f("ck_balance_transactions_type"), "balance_transactions", type_="check")
    op.drop_constraint(op.f("ck_coupons_fixed_has_currency"), "coupons", type_="check")
    op.drop_constraint(op.f("ck_coupons_one_kind"), "coupons", type_="check")
    op.drop_constraint(op.f("ck_credit_notes_all_goes_somewhere"), "credit_notes", type_="check")
    op.drop_constraint(op.f("ck_invoice_lines_kind"), "invoice_lines", type_="check")
    op.drop_constraint(op.f("ck_invoice_series_next_number"), "invoice_series", type_="check")
    op.drop_constraint(op.f("ck_invoices_amount_paid"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoices_balance_applied"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoices_billing_reason"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoices_discount_total"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoices_paid_in_full"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoices_tax_added"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_ledger_entries_source"), "ledger_entries", type_="check")
    op.drop_constraint(op.f("ck_prices_model"), "prices", type_="check")
    op.drop_constraint(
        op.f("ck_subscriptions_live_has_next_action"), "subscriptions", type_="check"
    )
    op.execute('ALTER TABLE invoice_line_discounts DROP CONSTRAINT "fk_%(table_name)s_line_id"')
    op.execute('ALTER TABLE invoice_line_taxes DROP CONSTRAINT "fk_%(table_name)s_line_id"')
    op.create_table(
        "document_logos",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "media_type IN ('image/png', 'image/svg+xml')",
            name=op.f("ck_document_logos_media_type"),
        ),
        sa.CheckConstraint(
            "octet_length(data) BETWEEN 1 AND 262144", name=op.f("ck_document_logos_data")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_document_logos_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "digest", name=op.f("pk_document_logos")),
    )
    op.create_table(
        "features",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("per_unit", sa.Boolean(), nullable=False),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("type = 'limit' OR NOT per_unit", name=op.f("ck_features_per_unit")),
        sa.CheckConstraint("type IN ('boolean', 'limit', 'config')", name=op.f("ck_features_type")),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_features_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_features")),
        sa.UniqueConstraint("merchant_id", "key", name="uq_features_key"),
    )
    op.create_table(
        "meters",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("event_name", sa.Text(), nullable=False),
        sa.Column("aggregation", sa.Text(), nullable=False),
        sa.Column("value_key", sa.Text(), server_default=sa.text("'value'"), nullable=False),
        sa.Column("unique_key", sa.Text(), nullable=True),
        sa.Column(
            "filters",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("archived_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(aggregation = 'unique') = (unique_key IS NOT NULL)", name=op.f("ck_meters_unique_key")
        ),
        sa.CheckConstraint(
            "aggregation IN ('sum', 'count', 'max', 'last', 'unique')",
            name=op.f("ck_meters_aggregation"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_meters_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_meters")),
    )
    op.create_index(
        "uq_meters_event_name",
        "meters",
        ["merchant_id", "event_name"],
        unique=True,
        postgresql_where=sa.text("archived_at IS NULL"),
    )
    op.create_table(
        "tax_engine_rates",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("tax_code", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column(
            "rates",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("asked_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "failure IN ('unreachable', 'refused', 'unreadable')",
            name=op.f("ck_tax_engine_rates_failure"),
        ),
        sa.CheckConstraint(
            "reason IN ('customer_exempt', 'small_business', 'reverse_charge', 'not_registered', 'outside_scope', 'zero_rated')",
            name=op.f("ck_tax_engine_rates_reason"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_tax_engine_rates_merchants")
        ),
        sa.PrimaryKeyConstraint(
            "merchant_id", "fingerprint", "tax_code", "day", name=op.f("pk_tax_engine_rates")
        ),
    )
    op.create_index(
        "ix_tax_engine_rates_expires_at", "tax_engine_rates", ["expires_at"], unique=False
    )
    op.create_table(
        "tax_engines",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("fail_policy", sa.Text(), nullable=False),
        sa.Column("ttl_seconds", sa.BigInteger(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "fail_policy IN ('block', 'use_table')", name=op.f("ck_tax_engines_fail_policy")
        ),
        sa.CheckConstraint(
            "ttl_seconds BETWEEN 60 AND 2592000", name=op.f("ck_tax_engines_ttl_seconds")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_tax_engines_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_tax_engines")),
    )
    op.create_table(
        "tax_registrations",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("scheme", sa.Text(), nullable=False),
        sa.Column("home", sa.Boolean(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=True),
        sa.Column("valid_until", sa.Date(), nullable=True),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "NOT (home AND scheme = 'oss')",
            name=op.f("ck_tax_registrations_home_is_no_one_stop_shop"),
        ),
        sa.CheckConstraint("country ~ '^[A-Z]{2}$'", name=op.f("ck_tax_registrations_country")),
        sa.CheckConstraint(
            "region IS NULL OR (region ~ '^[A-Z]{2}-[A-Z0-9]{1,3}$' AND left(region, 2) = country)",
            name=op.f("ck_tax_registrations_region"),
        ),
        sa.CheckConstraint(
            "scheme IN ('standard', 'oss', 'small_business', 'none')",
            name=op.f("ck_tax_registrations_scheme"),
        ),
        sa.CheckConstraint("valid_from < valid_until", name=op.f("ck_tax_registrations_validity")),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_tax_registrations_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_tax_registrations")),
    )
    op.create_table(
        "addon_plans",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("addon_id", sa.UUID(), nullable=False),
        sa.Column("plan_id", sa.UUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id", "addon_id"],
            ["plans.merchant_id", "plans.id"],
            name=op.f("fk_addon_plans_addon_id"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "plan_id"],
            ["plans.merchant_id", "plans.id"],
            name=op.f("fk_addon_plans_plans"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "addon_id", "plan_id", name=op.f("pk_addon_plans")),
    )
    op.create_index(
        "ix_addon_plans_plan_id", "addon_plans", ["merchant_id", "plan_id"], unique=False
    )
    op.create_table(
        "document_settings",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("legal_name", sa.Text(), nullable=True),
        sa.Column(
            "address",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("tax_id", sa.Text(), nullable=True),
        sa.Column("registration_number", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("website", sa.Text(), nullable=True),
        sa.Column("logo_digest", sa.Text(), nullable=True),
        sa.Column("accent_color", sa.Text(), nullable=True),
        sa.Column(
            "footer",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column(
            "payment_instructions",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("account_holder", sa.Text(), nullable=True),
        sa.Column("iban", sa.Text(), nullable=True),
        sa.Column("bic", sa.Text(), nullable=True),
        sa.Column("default_language", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "accent_color ~ '^#[0-9a-f]{6}$'", name=op.f("ck_document_settings_accent_color")
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_document_settings_version")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "logo_digest"],
            ["document_logos.merchant_id", "document_logos.digest"],
            name="fk_document_settings_logo",
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_document_settings_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_document_settings")),
        sa.UniqueConstraint("merchant_id", "version", name="uq_document_settings_version"),
    )
    op.create_table(
        "plan_features",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("plan_id", sa.UUID(), nullable=False),
        sa.Column("feature_id", sa.UUID(), nullable=False),
        sa.Column("value", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("reset", sa.Text(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint(
            "json_typeof(value) IN ('number', 'boolean', 'string')",
            name=op.f("ck_plan_features_value"),
        ),
        sa.CheckConstraint("reset IN ('period', 'never')", name=op.f("ck_plan_features_reset")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "feature_id"],
            ["features.merchant_id", "features.id"],
            name=op.f("fk_plan_features_features"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "plan_id"],
            ["plans.merchant_id", "plans.id"],
            name=op.f("fk_plan_features_plans"),
        ),
        sa.PrimaryKeyConstraint(
            "merchant_id", "plan_id", "feature_id", name=op.f("pk_plan_features")
        ),
    )
    op.create_index(
        "ix_plan_features_feature_id", "plan_features", ["merchant_id", "feature_id"], unique=False
    )
    op.create_table(
        "customer_tax_ids",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("normalized_value", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "status IN ('valid_format', 'verified', 'invalid', 'unverified')",
            name=op.f("ck_customer_tax_ids_status"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_customer_tax_ids_customers"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_customer_tax_ids")),
        sa.UniqueConstraint(
            "merchant_id",
            "customer_id",
            "type",
            "normalized_value",
            name="uq_customer_tax_ids_value",
        ),
    )
    op.create_index(
        "ix_customer_tax_ids_customer_id",
        "customer_tax_ids",
        ["merchant_id", "customer_id"],
        unique=False,
    )
    op.create_table(
        "offers",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("coupon_id", sa.UUID(), nullable=True),
        sa.Column("price_id", sa.UUID(), nullable=True),
        sa.Column("trial_days", sa.SmallInteger(), nullable=True),
        sa.Column(
            "customer_ids", sa.ARRAY(sa.UUID()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("segment", sa.Text(), nullable=True),
        sa.Column("segment_days", sa.SmallInteger(), nullable=True),
        sa.Column("segment_plan_id", sa.UUID(), nullable=True),
        sa.Column("listed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("countries", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("start_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("end_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("max_redemptions", sa.BigInteger(), nullable=True),
        sa.Column("max_redemptions_per_customer", sa.BigInteger(), nullable=True),
        sa.Column("times_redeemed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "segment IN ('canceled_within_days', 'never_subscribed', 'on_plan')",
            name=op.f("ck_offers_segment"),
        ),
        sa.CheckConstraint("max_redemptions > 0", name=op.f("ck_offers_max_redemptions")),
        sa.CheckConstraint(
            "max_redemptions_per_customer > 0", name=op.f("ck_offers_max_redemptions_per_customer")
        ),
        sa.CheckConstraint(
            "num_nonnulls(coupon_id, price_id, trial_days) > 0", name=op.f("ck_offers_gives")
        ),
        sa.CheckConstraint("segment_days > 0", name=op.f("ck_offers_segment_days")),
        sa.CheckConstraint("start_at < end_at", name=op.f("ck_offers_runs")),
        sa.CheckConstraint(
            "times_redeemed >= 0 AND (max_redemptions IS NULL OR times_redeemed <= max_redemptions)",
            name=op.f("ck_offers_times_redeemed"),
        ),
        sa.CheckConstraint("trial_days BETWEEN 1 AND 730", name=op.f("ck_offers_trial_days")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "coupon_id"],
            ["coupons.merchant_id", "coupons.id"],
            name=op.f("fk_offers_coupons"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "price_id"],
            ["prices.merchant_id", "prices.id"],
            name=op.f("fk_offers_prices"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "segment_plan_id"],
            ["plans.merchant_id", "plans.id"],
            name=op.f("fk_offers_segment_plan_id"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_offers_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_offers")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index("ix_offers_coupon_id", "offers", ["merchant_id", "coupon_id"], unique=False)
    op.create_table(
        "price_migrations",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("from_price_id", sa.UUID(), nullable=True),
        sa.Column("from_plan_id", sa.UUID(), nullable=True),
        sa.Column("to_price_id", sa.UUID(), nullable=False),
        sa.Column(
            "criteria",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("moment", sa.Text(), nullable=False),
        sa.Column("moves_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("settlement", sa.Text(), nullable=True),
        sa.Column("estimate", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("looked_to", sa.UUID(), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("moved", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("completed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("canceled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(moment = 'at') = (moves_at IS NOT NULL)", name=op.f("ck_price_migrations_moves_at")
        ),
        sa.CheckConstraint(
            "(status = 'canceled') = (canceled_at IS NOT NULL)",
            name=op.f("ck_price_migrations_canceled"),
        ),
        sa.CheckConstraint(
            "(status = 'completed') = (completed_at IS NOT NULL)",
            name=op.f("ck_price_migrations_completed"),
        ),
        sa.CheckConstraint(
            "moment IN ('now', 'renewal', 'at')", name=op.f("ck_price_migrations_moment")
        ),
        sa.CheckConstraint(
            "settlement IN ('invoice_now', 'next_invoice', 'reset', 'reset_without_credit', 'none')",
            name=op.f("ck_price_migrations_settlement"),
        ),
        sa.CheckConstraint(
            "status IN ('estimating', 'ready', 'running', 'completed', 'canceled')",
            name=op.f("ck_price_migrations_status"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('running', 'completed') OR started_at IS NOT NULL",
            name=op.f("ck_price_migrations_started"),
        ),
        sa.CheckConstraint(
            "moved >= 0 AND failed >= 0 AND moved + failed <= total",
            name=op.f("ck_price_migrations_counts"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(from_price_id, from_plan_id) = 1", name=op.f("ck_price_migrations_source")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "from_plan_id"],
            ["plans.merchant_id", "plans.id"],
            name=op.f("fk_price_migrations_from_plan_id"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "from_price_id"],
            ["prices.merchant_id", "prices.id"],
            name=op.f("fk_price_migrations_from_price_id"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "to_price_id"],
            ["prices.merchant_id", "prices.id"],
            name=op.f("fk_price_migrations_to_price_id"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_price_migrations")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_price_migrations_at_work",
        "price_migrations",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('estimating', 'running')"),
    )
    op.create_table(
        "promotion_codes",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("coupon_id", sa.UUID(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=True),
        sa.Column(
            "minimum_amounts",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("first_time_only", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("max_redemptions", sa.BigInteger(), nullable=True),
        sa.Column("times_redeemed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("code = upper(code)", name=op.f("ck_promotion_codes_code")),
        sa.CheckConstraint("max_redemptions > 0", name=op.f("ck_promotion_codes_max_redemptions")),
        sa.CheckConstraint(
            "times_redeemed >= 0 AND (max_redemptions IS NULL OR times_redeemed <= max_redemptions)",
            name=op.f("ck_promotion_codes_times_redeemed"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "coupon_id"],
            ["coupons.merchant_id", "coupons.id"],
            name=op.f("fk_promotion_codes_coupons"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_promotion_codes_customers"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_promotion_codes")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_promotion_codes_code", "promotion_codes", ["merchant_id", "code"], unique=False
    )
    op.create_index(
        "ix_promotion_codes_coupon_id",
        "promotion_codes",
        ["merchant_id", "coupon_id"],
        unique=False,
    )
    op.create_index(
        "uq_promotion_codes_code",
        "promotion_codes",
        ["merchant_id", "code"],
        unique=True,
        postgresql_where=sa.text("active"),
    )
    op.create_table(
        "offer_links",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("offer_id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=True),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("last_four", sa.Text(), nullable=False),
        sa.Column("max_redemptions", sa.BigInteger(), nullable=True),
        sa.Column("times_redeemed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("max_redemptions > 0", name=op.f("ck_offer_links_max_redemptions")),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("ck_offer_links_token_hash")),
        sa.CheckConstraint(
            "times_redeemed >= 0 AND (max_redemptions IS NULL OR times_redeemed <= max_redemptions)",
            name=op.f("ck_offer_links_times_redeemed"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_offer_links_customers"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "offer_id"],
            ["offers.merchant_id", "offers.id"],
            name=op.f("fk_offer_links_offers"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_offer_links")),
        sa.UniqueConstraint("merchant_id", "token_hash", name="uq_offer_links_token_hash"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_offer_links_offer_id", "offer_links", ["merchant_id", "offer_id"], unique=False
    )
    op.create_table(
        "price_migration_items",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("price_migration_id", sa.UUID(), nullable=False),
        sa.Column("subscription_id", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("before_amount", sa.BigInteger(), nullable=True),
        sa.Column("after_amount", sa.BigInteger(), nullable=True),
        sa.Column("credited", sa.BigInteger(), nullable=True),
        sa.Column("charged", sa.BigInteger(), nullable=True),
        sa.Column("done_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'pending') = (done_at IS NULL)", name=op.f("ck_price_migration_items_done")
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'moved', 'failed')", name=op.f("ck_price_migration_items_status")
        ),
        sa.CheckConstraint(
            "(code IS NULL) = (reason IS NULL)", name=op.f("ck_price_migration_items_reason")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "price_migration_id"],
            ["price_migrations.merchant_id", "price_migrations.id"],
            name=op.f("fk_price_migration_items_price_migrations"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "subscription_id"],
            ["subscriptions.merchant_id", "subscriptions.id"],
            name=op.f("fk_price_migration_items_subscriptions"),
        ),
        sa.PrimaryKeyConstraint(
            "merchant_id",
            "price_migration_id",
            "subscription_id",
            name=op.f("pk_price_migration_items"),
        ),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_price_migration_items_pending",
        "price_migration_items",
        ["merchant_id", "price_migration_id", "subscription_id"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "redemptions",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("coupon_id", sa.UUID(), nullable=True),
        sa.Column("promotion_code_id", sa.UUID(), nullable=True),
        sa.Column("offer_id", sa.UUID(), nullable=True),
        sa.Column("offer_link_id", sa.UUID(), nullable=True),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("subscription_id", sa.UUID(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("released_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "num_nonnulls(coupon_id, offer_id) > 0", name=op.f("ck_redemptions_of_something")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "coupon_id"],
            ["coupons.merchant_id", "coupons.id"],
            name=op.f("fk_redemptions_coupons"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_redemptions_customers"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "offer_id"],
            ["offers.merchant_id", "offers.id"],
            name=op.f("fk_redemptions_offers"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "offer_link_id"],
            ["offer_links.merchant_id", "offer_links.id"],
            name=op.f("fk_redemptions_offer_links"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "promotion_code_id"],
            ["promotion_codes.merchant_id", "promotion_codes.id"],
            name=op.f("fk_redemptions_promotion_codes"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "subscription_id"],
            ["subscriptions.merchant_id", "subscriptions.id"],
            name=op.f("fk_redemptions_subscriptions"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_redemptions")),
    )
    op.create_index(
        "ix_redemptions_coupon_id", "redemptions", ["merchant_id", "coupon_id"], unique=False
    )
    op.create_index(
        "ix_redemptions_customer_id", "redemptions", ["merchant_id", "customer_id"], unique=False
    )
    op.create_index(
        "ix_redemptions_subscription_id",
        "redemptions",
        ["merchant_id", "subscription_id"],
        unique=False,
    )
    op.create_table(
        "subscription_schedules",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("subscription_id", sa.UUID(), nullable=False),
        sa.Column(
            "phases",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
        sa.Column("end_behaviour", sa.Text(), nullable=False),
        sa.Column("ends_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("released_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "end_behaviour <> 'cancel' OR ends_at IS NOT NULL",
            name=op.f("ck_subscription_schedules_end"),
        ),
        sa.CheckConstraint(
            "end_behaviour IN ('release', 'cancel')",
            name=op.f("ck_subscription_schedules_end_behaviour"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "subscription_id"],
            ["subscriptions.merchant_id", "subscriptions.id"],
            name=op.f("fk_subscription_schedules_subscriptions"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_subscription_schedules")),
        sa.UniqueConstraint(
            "merchant_id", "subscription_id", name="uq_subscription_schedules_subscription_id"
        ),
    )
    op.create_table(
        "usage_events",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("meter_id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("subscription_id", sa.UUID(), nullable=True),
        sa.Column("happened_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=True),
        sa.Column("unique_value", sa.Text(), nullable=True),
        sa.Column("reverses_id", sa.UUID(), nullable=True),
        sa.Column(
            "properties",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("delayed", sa.Boolean(), nullable=False),
        sa.CheckConstraint("abs(value) <= 1000000000000000", name=op.f("ck_usage_events_value")),
        sa.CheckConstraint(
            "reverses_id IS NULL OR value IS NULL", name=op.f("ck_usage_events_counter_event")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_usage_events_customers"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "meter_id"],
            ["meters.merchant_id", "meters.id"],
            name=op.f("fk_usage_events_meters"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "reverses_id"],
            ["usage_events.merchant_id", "usage_events.id"],
            name=op.f("fk_usage_events_reverses_id"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "subscription_id"],
            ["subscriptions.merchant_id", "subscriptions.id"],
            name=op.f("fk_usage_events_subscriptions"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_usage_events")),
        sa.UniqueConstraint("merchant_id", "event_id", name="uq_usage_events_event_id"),
    )
    op.create_index(
        "ix_usage_events_delayed",
        "usage_events",
        ["merchant_id", "customer_id", "meter_id", "happened_at"],
        unique=False,
        postgresql_where=sa.text("delayed"),
    )
    op.create_index(
        "ix_usage_events_happened_at",
        "usage_events",
        ["happened_at"],
        unique=False,
        postgresql_using="brin",
    )
    op.create_index(
        "ix_usage_events_reversal",
        "usage_events",
        ["merchant_id", "customer_id", "meter_id", "happened_at"],
        unique=False,
        postgresql_where=sa.text("reverses_id IS NOT NULL"),
    )
    op.create_index(
        "ix_usage_events_span",
        "usage_events",
        ["merchant_id", "customer_id", "meter_id", "happened_at"],
        unique=False,
        postgresql_include=["subscription_id", "value", "id"],
        postgresql_where=sa.text("value IS NOT NULL"),
    )
    op.create_index(
        "uq_usage_events_reverses_id",
        "usage_events",
        ["merchant_id", "reverses_id"],
        unique=True,
        postgresql_where=sa.text("reverses_id IS NOT NULL AND value IS NULL"),
    )
    op.create_table(
        "invoice_subscriptions",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("invoice_id", sa.UUID(), nullable=False),
        sa.Column("subscription_id", sa.UUID(), nullable=False),
        sa.Column("cycle_start", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("period_start", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("period_end", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "period_start < period_end", name=op.f("ck_invoice_subscriptions_period")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "invoice_id"],
            ["invoices.merchant_id", "invoices.id"],
            name=op.f("fk_invoice_subscriptions_invoices"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "subscription_id"],
            ["subscriptions.merchant_id", "subscriptions.id"],
            name=op.f("fk_invoice_subscriptions_subscriptions"),
        ),
        sa.PrimaryKeyConstraint(
            "merchant_id", "invoice_id", "subscription_id", name=op.f("pk_invoice_subscriptions")
        ),
        sa.UniqueConstraint(
            "merchant_id", "subscription_id", "cycle_start", name="uq_invoice_subscriptions_cycle"
        ),
    )
    op.create_table(
        "pending_items",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("subscription_id", sa.UUID(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("period_start", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("period_end", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("subscription_item_id", sa.UUID(), nullable=True),
        sa.Column("price_id", sa.UUID(), nullable=True),
        sa.Column("share_part", sa.BigInteger(), nullable=False),
        sa.Column("share_whole", sa.BigInteger(), nullable=False),
        sa.Column("reverses_line_id", sa.UUID(), nullable=True),
        sa.Column(
            "discounts",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
        sa.Column(
            "taxes",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
        sa.Column("tax_code", sa.Text(), nullable=True),
        sa.Column("tax_behaviour", sa.Text(), nullable=True),
        sa.Column("inline", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("invoice_id", sa.UUID(), nullable=True),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("deleted_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_pending_items_currency")),
        sa.CheckConstraint(
            "kind IN ('period', 'usage', 'trial', 'setup_fee', 'one_off')",
            name=op.f("ck_pending_items_kind"),
        ),
        sa.CheckConstraint("period_start < period_end", name=op.f("ck_pending_items_period")),
        sa.CheckConstraint(
            "share_part >= 0 AND share_whole >= 1", name=op.f("ck_pending_items_share")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_pending_items_customers"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "invoice_id"],
            ["invoices.merchant_id", "invoices.id"],
            name=op.f("fk_pending_items_invoices"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "subscription_id"],
            ["subscriptions.merchant_id", "subscriptions.id"],
            name=op.f("fk_pending_items_subscriptions"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_pending_items")),
    )
    op.create_index(
        "ix_pending_items_customer_id",
        "pending_items",
        ["merchant_id", "customer_id"],
        unique=False,
    )
    op.create_index(
        "ix_pending_items_invoice_id",
        "pending_items",
        ["merchant_id", "invoice_id"],
        unique=False,
        postgresql_where=sa.text("invoice_id IS NOT NULL"),
    )
    op.create_index(
        "ix_pending_items_reverses_line_id",
        "pending_items",
        ["merchant_id", "reverses_line_id"],
        unique=False,
        postgresql_where=sa.text("reverses_line_id IS NOT NULL"),
    )
    op.create_index(
        "ix_pending_items_waiting",
        "pending_items",
        ["merchant_id", "subscription_id"],
        unique=False,
        postgresql_where=sa.text("invoice_id IS NULL AND deleted_at IS NULL"),
    )
    op.add_column("coupons", sa.Column("fixed_price", sa.BigInteger(), nullable=True))
    op.add_column(
        "coupons",
        sa.Column(
            "currency_options",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )
    op.add_column(
        "coupons",
        sa.Column("applies_to", sa.Text(), server_default=sa.text("'everything'"), nullable=False),
    )
    op.add_column(
        "coupons",
        sa.Column("plan_ids", sa.ARRAY(sa.UUID()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column(
        "coupons",
        sa.Column("price_ids", sa.ARRAY(sa.UUID()), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column(
        "coupons",
        sa.Column(
            "minimum_amounts",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )
    op.add_column(
        "coupons",
        sa.Column("first_time_only", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "coupons", sa.Column("valid_from", postgresql.TIMESTAMP(timezone=True), nullable=True)
    )
    op.add_column(
        "coupons", sa.Column("redeem_by", postgresql.TIMESTAMP(timezone=True), nullable=True)
    )
    op.add_column("coupons", sa.Column("max_redemptions", sa.BigInteger(), nullable=True))
    op.add_column(
        "coupons", sa.Column("max_redemptions_per_customer", sa.BigInteger(), nullable=True)
    )
    op.add_column(
        "coupons",
        sa.Column("times_redeemed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "credit_note_lines",
        sa.Column(
            "discounts",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
    )
    op.add_column(
        "credit_note_lines",
        sa.Column(
            "taxes",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
    )
    op.add_column(
        "credit_note_lines",
        sa.Column("period_start", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.add_column(
        "credit_note_lines",
        sa.Column("period_end", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.create_index(
        "ix_credit_note_lines_invoice_line_id",
        "credit_note_lines",
        ["merchant_id", "invoice_line_id"],
        unique=False,
    )
    op.create_unique_constraint(
        "uq_credit_note_lines_position",
        "credit_note_lines",
        ["merchant_id", "credit_note_id", "position"],
    )
    op.add_column(
        "credit_notes",
        sa.Column("to_invoice", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.create_index(
        "ix_credit_notes_customer_id", "credit_notes", ["merchant_id", "customer_id"], unique=False
    )
    op.add_column("customers", sa.Column("language", sa.Text(), nullable=True))
    op.add_column(
        "customers",
        sa.Column("tax_exempt", sa.Text(), server_default=sa.text("'none'"), nullable=False),
    )
    op.add_column("customers", sa.Column("tax_exemption_note", sa.Text(), nullable=True))
    op.add_column("discounts", sa.Column("customer_id", sa.UUID(), nullable=True))
    op.add_column("discounts", sa.Column("invoice_id", sa.UUID(), nullable=True))
    op.add_column("discounts", sa.Column("item_id", sa.UUID(), nullable=True))
    op.add_column("discounts", sa.Column("promotion_code_id", sa.UUID(), nullable=True))
    op.add_column("discounts", sa.Column("offer_id", sa.UUID(), nullable=True))
    op.add_column(
        "discounts", sa.Column("start_at", postgresql.TIMESTAMP(timezone=True), nullable=True)
    )
    op.add_column(
        "discounts", sa.Column("end_at", postgresql.TIMESTAMP(timezone=True), nullable=True)
    )
    op.alter_column("discounts", "subscription_id", existing_type=sa.UUID(), nullable=True)
    op.drop_constraint(op.f("uq_discounts"), "discounts", type_="unique")
    op.create_index(
        "ix_discounts_customer_id",
        "discounts",
        ["merchant_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("customer_id IS NOT NULL AND ended_at IS NULL"),
    )
    op.create_index(
        "ix_discounts_subscription_id",
        "discounts",
        ["merchant_id", "subscription_id"],
        unique=False,
    )
    op.create_foreign_key(
        op.f("fk_discounts_customers"),
        "discounts",
        "customers",
        ["merchant_id", "customer_id"],
        ["merchant_id", "id"],
    )
    op.add_column("invoice_line_taxes", sa.Column("reason", sa.Text(), nullable=True))
    op.add_column(
        "invoice_lines",
        sa.Column("share_part", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
    )
    op.add_column(
        "invoice_lines",
        sa.Column("share_whole", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
    )
    op.add_column("invoice_lines", sa.Column("reverses_line_id", sa.UUID(), nullable=True))
    op.add_column("invoice_lines", sa.Column("subscription_id", sa.UUID(), nullable=True))
    op.create_index(
        "ix_invoice_lines_reverses_line_id",
        "invoice_lines",
        ["merchant_id", "reverses_line_id"],
        unique=False,
        postgresql_where=sa.text("reverses_line_id IS NOT NULL"),
    )
    op.add_column(
        "invoice_series",
        sa.Column("first_number", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
    )
    op.add_column(
        "invoice_series",
        sa.Column("digits", sa.SmallInteger(), server_default=sa.text("6"), nullable=False),
    )
    op.add_column(
        "invoices",
        sa.Column("net_days", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "invoices",
        sa.Column("amount_credited", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "invoices", sa.Column("finalize_at", postgresql.TIMESTAMP(timezone=True), nullable=True)
    )
    op.add_column(
        "invoices", sa.Column("parked_at", postgresql.TIMESTAMP(timezone=True), nullable=True)
    )
    op.add_column("invoices", sa.Column("parked_reason", sa.Text(), nullable=True))
    op.add_column("invoices", sa.Column("description", sa.Text(), nullable=True))
    op.add_column(
        "invoices",
        sa.Column("automatic_tax", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "invoices",
        sa.Column(
            "tax_rate_ids",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
    )
    op.add_column(
        "invoices",
        sa.Column(
            "billing_settings",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )
    op.create_index(
        "ix_invoices_finalize_at",
        "invoices",
        ["finalize_at"],
        unique=False,
        postgresql_where=sa.text("status = 'draft' AND test_clock_id IS NULL"),
    )
    op.create_index(
        "ix_invoices_finalize_at_on_test_clock",
        "invoices",
        ["merchant_id", "test_clock_id", "finalize_at"],
        unique=False,
        postgresql_where=sa.text("status = 'draft' AND test_clock_id IS NOT NULL"),
    )
    op.add_column(
        "merchants",
        sa.Column(
            "billing_settings",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )
    op.add_column(
        "plans", sa.Column("kind", sa.Text(), server_default=sa.text("'plan'"), nullable=False)
    )
    op.add_column("plans", sa.Column("family", sa.Text(), nullable=True))
    op.add_column("plans", sa.Column("tax_code", sa.Text(), nullable=True))
    op.add_column(
        "plans",
        sa.Column(
            "billing_settings",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )
    op.add_column(
        "plans", sa.Column("public", sa.Boolean(), server_default=sa.text("true"), nullable=False)
    )
    op.drop_column("plans", "features")
    op.add_column(
        "prices",
        sa.Column("type", sa.Text(), server_default=sa.text("'recurring'"), nullable=False),
    )
    op.add_column("prices", sa.Column("percentage_ppm", sa.BigInteger(), nullable=True))
    op.add_column(
        "prices",
        sa.Column("event_amount", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "prices",
        sa.Column("free_events", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "prices",
        sa.Column("free_amount", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column("prices", sa.Column("meter_id", sa.UUID(), nullable=True))
    op.add_column(
        "prices",
        sa.Column("min_quantity", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column("prices", sa.Column("max_quantity", sa.BigInteger(), nullable=True))
    op.add_column(
        "prices",
        sa.Column(
            "countries", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
    )
    op.add_column(
        "prices",
        sa.Column("trial_amount", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "prices",
        sa.Column(
            "trial_requires_payment_method",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
        ),
    )
    op.add_column("prices", sa.Column("trial_end_without_payment_method", sa.Text(), nullable=True))
    op.alter_column("prices", "interval_unit", existing_type=sa.TEXT(), nullable=True)
    op.alter_column("prices", "interval_count", existing_type=sa.SMALLINT(), nullable=True)
    op.create_index(
        "ix_prices_meter_id",
        "prices",
        ["merchant_id", "meter_id"],
        unique=False,
        postgresql_where=sa.text("meter_id IS NOT NULL"),
    )
    op.create_foreign_key(
        op.f("fk_prices_meters"),
        "prices",
        "meters",
        ["merchant_id", "meter_id"],
        ["merchant_id", "id"],
    )
    op.add_column("scheduled_changes", sa.Column("phase", sa.SmallInteger(), nullable=True))
    op.add_column(
        "subscription_items", sa.Column("since", postgresql.TIMESTAMP(timezone=True), nullable=True)
    )
    op.add_column(
        "subscription_items",
        sa.Column("removed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.drop_constraint(op.f("uq_subscription_items"), "subscription_items", type_="unique")
    op.create_index(
        "ix_subscription_items_subscription_id",
        "subscription_items",
        ["merchant_id", "subscription_id"],
        unique=False,
    )
    op.add_column("subscriptions", sa.Column("pause_invoices", sa.Text(), nullable=True))
    op.add_column(
        "subscriptions", sa.Column("paused_at", postgresql.TIMESTAMP(timezone=True), nullable=True)
    )
    op.add_column(
        "subscriptions", sa.Column("resumes_at", postgresql.TIMESTAMP(timezone=True), nullable=True)
    )
    op.add_column("subscriptions", sa.Column("cycles_left", sa.SmallInteger(), nullable=True))
    op.add_column(
        "subscriptions",
        sa.Column("automatic_tax", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "subscriptions", sa.Column("trial_end_without_payment_method", sa.Text(), nullable=True)
    )
    op.add_column(
        "subscriptions",
        sa.Column(
            "billing_settings",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )
    op.add_column(
        "tax_rates", sa.Column("type", sa.Text(), server_default=sa.text("'vat'"), nullable=False)
    )
    op.add_column("tax_rates", sa.Column("region", sa.Text(), nullable=True))
    op.add_column(
        "tax_rates",
        sa.Column("level", sa.Text(), server_default=sa.text("'country'"), nullable=False),
    )
    op.add_column(
        "tax_rates",
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "tax_rates",
        sa.Column(
            "postal_codes",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )
    op.add_column(
        "tax_rates",
        sa.Column(
            "tax_codes", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
    )
    op.add_column("tax_rates", sa.Column("valid_from", sa.Date(), nullable=True))
    op.add_column("tax_rates", sa.Column("valid_until", sa.Date(), nullable=True))
    op.add_column(
        "tax_rates",
        sa.Column("source", sa.Text(), server_default=sa.text("'merchant'"), nullable=False),
    )
    op.create_index(
        "uq_tax_rates_tax_engine",
        "tax_rates",
        ["merchant_id", "country", "jurisdiction", "display_name", "rate_ppm"],
        unique=True,
        postgresql_where=sa.text("source = 'tax_engine'"),
    )
    op.create_check_constraint(
        op.f("ck_balance_transactions_type"),
        "balance_transactions",
        "type IN ('adjustment', 'applied_to_invoice', 'unapplied_from_invoice', 'credited_by_invoice', 'credit_note')",
    )
    op.create_check_constraint(
        op.f("ck_coupons_applies_to"), "coupons", "applies_to IN ('everything', 'plans', 'addons')"
    )
    op.create_check_constraint(op.f("ck_coupons_currency"), "coupons", "currency ~ '^[A-Z]{3}$'")
    op.create_check_constraint(
        op.f("ck_coupons_fixed_has_currency"),
        "coupons",
        "(percent_off_ppm IS NULL) = (currency IS NOT NULL)",
    )
    op.create_check_constraint(op.f("ck_coupons_fixed_price"), "coupons", "fixed_price >= 0")
    op.create_check_constraint(op.f("ck_coupons_max_redemptions"), "coupons", "max_redemptions > 0")
    op.create_check_constraint(
        op.f("ck_coupons_max_redemptions_per_customer"),
        "coupons",
        "max_redemptions_per_customer > 0",
    )
    op.create_check_constraint(
        op.f("ck_coupons_one_kind"),
        "coupons",
        "num_nonnulls(percent_off_ppm, amount_off, fixed_price) = 1",
    )
    op.create_check_constraint(op.f("ck_coupons_redeemable"), "coupons", "valid_from < redeem_by")
    op.create_check_constraint(
        op.f("ck_coupons_times_redeemed"),
        "coupons",
        "times_redeemed >= 0 AND (max_redemptions IS NULL OR times_redeemed <= max_redemptions)",
    )
    op.create_check_constraint(
        op.f("ck_credit_note_lines_period"),
        "credit_note_lines",
        "(period_start IS NULL) = (period_end IS NULL)",
    )
    op.create_check_constraint(
        op.f("ck_credit_notes_all_goes_somewhere"),
        "credit_notes",
        "to_invoice + to_balance + to_refund + outside = total",
    )
    op.create_check_constraint(
        op.f("ck_credit_notes_parts"),
        "credit_notes",
        "least(to_invoice, to_balance, to_refund, outside) >= 0 AND total > 0",
    )
    op.create_check_constraint(
        op.f("ck_credit_notes_voided"),
        "credit_notes",
        "(status = 'void') = (voided_at IS NOT NULL)",
    )
    op.create_check_constraint(
        op.f("ck_customers_tax_exempt"), "customers", "tax_exempt IN ('none', 'exempt', 'reverse')"
    )
    op.create_check_constraint(
        op.f("ck_discounts_on_one"),
        "discounts",
        "num_nonnulls(subscription_id, customer_id, invoice_id) = 1",
    )
    op.create_check_constraint(
        op.f("ck_invoice_lines_a_credit_is_below_zero"),
        "invoice_lines",
        "reverses_line_id IS NULL OR amount <= 0",
    )
    op.create_check_constraint(
        op.f("ck_invoice_lines_kind"),
        "invoice_lines",
        "kind IN ('period', 'usage', 'trial', 'setup_fee', 'one_off')",
    )
    op.create_check_constraint(
        op.f("ck_invoice_lines_share"), "invoice_lines", "share_part >= 0 AND share_whole >= 1"
    )
    op.create_check_constraint(
        op.f("ck_invoice_series_digits"), "invoice_series", "digits BETWEEN 1 AND 12"
    )
    op.create_check_constraint(
        op.f("ck_invoice_series_next_number"),
        "invoice_series",
        "next_number >= first_number AND first_number >= 1",
    )
    op.create_check_constraint(
        op.f("ck_invoices_amount_due_is_not_below_zero"),
        "invoices",
        "amount_due >= 0 OR status IN ('draft', 'void')",
    )
    op.create_check_constraint(
        op.f("ck_invoices_amount_paid"), "invoices", "amount_paid >= 0 AND amount_credited >= 0"
    )
    op.create_check_constraint(
        op.f("ck_invoices_balance_applied"),
        "invoices",
        "balance_applied BETWEEN least(0, total) AND greatest(0, total)",
    )
    op.create_check_constraint(
        op.f("ck_invoices_billing_reason"),
        "invoices",
        "billing_reason IN ('subscription_create', 'subscription_cycle', 'subscription_update', 'subscription_cancel', 'manual')",
    )
    op.create_check_constraint(
        op.f("ck_invoices_finalize_at"), "invoices", "finalize_at IS NULL OR status = 'draft'"
    )
    op.create_check_constraint(
        op.f("ck_invoices_not_overpaid"),
        "invoices",
        "amount_paid + amount_credited <= greatest(0, amount_due)",
    )
    op.create_check_constraint(
        op.f("ck_invoices_paid_in_full"),
        "invoices",
        "status <> 'paid' OR amount_paid + amount_credited = amount_due",
    )
    op.create_check_constraint(
        op.f("ck_invoices_parked"), "invoices", "(parked_at IS NULL) = (parked_reason IS NULL)"
    )
    op.create_check_constraint(
        op.f("ck_ledger_entries_source"),
        "ledger_entries",
        "source IN ('invoice', 'invoice_void', 'invoice_write_off', 'payment', 'refund', 'credit_note', 'credit_note_void', 'balance')",
    )
    op.create_check_constraint(op.f("ck_plans_kind"), "plans", "kind IN ('plan', 'addon')")
    op.create_check_constraint(
        op.f("ck_prices_event_amount"),
        "prices",
        "event_amount >= 0 AND free_events >= 0 AND free_amount >= 0",
    )
    op.create_check_constraint(
        op.f("ck_prices_interval"), "prices", "(type = 'recurring') = (interval_unit IS NOT NULL)"
    )
    op.create_check_constraint(
        op.f("ck_prices_interval_whole"),
        "prices",
        "(interval_unit IS NULL) = (interval_count IS NULL)",
    )
    op.create_check_constraint(
        op.f("ck_prices_meter"), "prices", "meter_id IS NULL OR usage_type = 'metered'"
    )
    op.create_check_constraint(
        op.f("ck_prices_model"),
        "prices",
        "model IN ('flat', 'per_unit', 'graduated', 'volume', 'package', 'stairstep', 'percentage')",
    )
    op.create_check_constraint(
        op.f("ck_prices_percentage"),
        "prices",
        "(model = 'percentage') = (percentage_ppm IS NOT NULL)",
    )
    op.create_check_constraint(
        op.f("ck_prices_percentage_ppm"), "prices", "percentage_ppm BETWEEN 0 AND 1000000"
    )
    op.create_check_constraint(
        op.f("ck_prices_quantities"), "prices", "min_quantity >= 0 AND max_quantity >= min_quantity"
    )
    op.create_check_constraint(op.f("ck_prices_trial_amount"), "prices", "trial_amount >= 0")
    op.create_check_constraint(
        op.f("ck_prices_trial_end"),
        "prices",
        "trial_end_without_payment_method IN ('cancel', 'pause', 'create_invoice')",
    )
    op.create_check_constraint(
        op.f("ck_prices_type"), "prices", "type IN ('recurring', 'one_time')"
    )
    op.create_check_constraint(
        op.f("ck_scheduled_changes_type"), "scheduled_changes", "type IN ('change', 'pause')"
    )
    op.create_check_constraint(
        op.f("ck_subscriptions_cycles_left"), "subscriptions", "cycles_left >= 0"
    )
    op.create_check_constraint(
        op.f("ck_subscriptions_live_has_next_action"),
        "subscriptions",
        "CASE WHEN status IN ('canceled', 'incomplete_expired') THEN next_action_at IS NULL ELSE next_action_at IS NOT NULL OR status = 'paused' END",
    )
    op.create_check_constraint(
        op.f("ck_subscriptions_pause"),
        "subscriptions",
        "(paused_at IS NULL) = (pause_invoices IS NULL)",
    )
    op.create_check_constraint(
        op.f("ck_subscriptions_pause_invoices"),
        "subscriptions",
        "pause_invoices IN ('none', 'keep', 'draft', 'void')",
    )
    op.create_check_constraint(
        op.f("ck_subscriptions_paused"),
        "subscriptions",
        "(status = 'paused') = (paused_at IS NOT NULL)",
    )
    op.create_check_constraint(
        op.f("ck_subscriptions_resumes_at"), "subscriptions", "resumes_at > paused_at"
    )
    op.create_check_constraint(
        op.f("ck_subscriptions_trial_end_without_payment_method"),
        "subscriptions",
        "trial_end_without_payment_method IN ('cancel', 'pause', 'create_invoice')",
    )
    op.create_check_constraint(
        op.f("ck_tax_rates_level"),
        "tax_rates",
        "level IN ('country', 'region', 'county', 'city', 'district')",
    )
    op.create_check_constraint(
        op.f("ck_tax_rates_priority"), "tax_rates", "priority BETWEEN 0 AND 100"
    )
    op.create_check_constraint(
        op.f("ck_tax_rates_region"),
        "tax_rates",
        "region IS NULL OR (region ~ '^[A-Z]{2}-[A-Z0-9]{1,3}$' AND left(region, 2) = country)",
    )
    op.create_check_constraint(
        op.f("ck_tax_rates_source"), "tax_rates", "source IN ('merchant', 'tax_engine')"
    )
    op.create_check_constraint(
        op.f("ck_tax_rates_validity"), "tax_rates", "valid_from < valid_until"
    )
    op.execute(
        "ALTER TABLE invoice_line_discounts ADD CONSTRAINT fk_invoice_line_discounts_line_id FOREIGN KEY (merchant_id, line_id) REFERENCES invoice_lines(merchant_id, id)"
    )
    op.execute(
        "ALTER TABLE invoice_line_taxes ADD CONSTRAINT fk_invoice_line_taxes_line_id FOREIGN KEY (merchant_id, line_id) REFERENCES invoice_lines(merchant_id, id)"
    )
    op.execute("REVOKE UPDATE ON credit_note_lines FROM perennial_app")
    op.execute("REVOKE UPDATE ON credit_note_lines FROM perennial_system")
    op.execute("GRANT DELETE ON invoice_line_discounts TO perennial_app")
    op.execute("GRANT DELETE ON invoice_line_discounts TO perennial_system")
    op.execute("GRANT DELETE ON invoice_line_taxes TO perennial_app")
    op.execute("GRANT DELETE ON invoice_line_taxes TO perennial_system")
    op.execute("GRANT DELETE ON invoice_lines TO perennial_app")
    op.execute("GRANT DELETE ON invoice_lines TO perennial_system")
    op.execute("GRANT DELETE ON invoices TO perennial_app")
    op.execute("GRANT DELETE ON invoices TO perennial_system")
    op.execute("GRANT DELETE ON subscription_tax_rates TO perennial_app")
    op.execute("GRANT DELETE ON subscription_tax_rates TO perennial_system")
    op.execute("ALTER TABLE coupons SET (fillfactor = 80)")
    for statement in billing_engine_guards.upgrade(TABLES):
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE coupons RESET (fillfactor)")
    op.execute("REVOKE DELETE ON subscription_tax_rates FROM perennial_system")
    op.execute("REVOKE DELETE ON subscription_tax_rates FROM perennial_app")
    op.execute("REVOKE DELETE ON invoices FROM perennial_system")
    op.execute("REVOKE DELETE ON invoices FROM perennial_app")
    op.execute("REVOKE DELETE ON invoice_lines FROM perennial_system")
    op.execute("REVOKE DELETE ON invoice_lines FROM perennial_app")
    op.execute("REVOKE DELETE ON invoice_line_taxes FROM perennial_system")
    op.execute("REVOKE DELETE ON invoice_line_taxes FROM perennial_app")
    op.execute("REVOKE DELETE ON invoice_line_discounts FROM perennial_system")
    op.execute("REVOKE DELETE ON invoice_line_discounts FROM perennial_app")
    op.execute("GRANT UPDATE ON credit_note_lines TO perennial_system")
    op.execute("GRANT UPDATE ON credit_note_lines TO perennial_app")
    op.execute("ALTER TABLE invoice_line_taxes DROP CONSTRAINT fk_invoice_line_taxes_line_id")
    op.execute(
        "ALTER TABLE invoice_line_discounts DROP CONSTRAINT fk_invoice_line_discounts_line_id"
    )
    op.drop_constraint(op.f("ck_tax_rates_validity"), "tax_rates", type_="check")
    op.drop_constraint(op.f("ck_tax_rates_source"), "tax_rates", type_="check")
    op.drop_constraint(op.f("ck_tax_rates_region"), "tax_rates", type_="check")
    op.drop_constraint(op.f("ck_tax_rates_priority"), "tax_rates", type_="check")
    op.drop_constraint(op.f("ck_tax_rates_level"), "tax_rates", type_="check")
    op.drop_constraint(
        op.f("ck_subscriptions_trial_end_without_payment_method"), "subscriptions", type_="check"
    )
    op.drop_constraint(op.f("ck_subscriptions_resumes_at"), "subscriptions", type_="check")
    op.drop_constraint(op.f("ck_subscriptions_paused"), "subscriptions", type_="check")
    op.drop_constraint(op.f("ck_subscriptions_pause_invoices"), "subscriptions", type_="check")
    op.drop_constraint(op.f("ck_subscriptions_pause"), "subscriptions", type_="check")
    op.drop_constraint(
        op.f("ck_subscriptions_live_has_next_action"), "subscriptions", type_="check"
    )
    op.drop_constraint(op.f("ck_subscriptions_cycles_left"), "subscriptions", type_="check")
    op.drop_constraint(op.f("ck_scheduled_changes_type"), "scheduled_changes", type_="check")
    op.drop_constraint(op.f("ck_prices_type"), "prices", type_="check")
    op.drop_constraint(op.f("ck_prices_trial_end"), "prices", type_="check")
    op.drop_constraint(op.f("ck_prices_trial_amount"), "prices", type_="check")
    op.drop_constraint(op.f("ck_prices_quantities"), "prices", type_="check")
    op.drop_constraint(op.f("ck_prices_percentage_ppm"), "prices", type_="check")
    op.drop_constraint(op.f("ck_prices_percentage"), "prices", type_="check")
    op.drop_constraint(op.f("ck_prices_model"), "prices", type_="check")
    op.drop_constraint(op.f("ck_prices_meter"), "prices", type_="check")
    op.drop_constraint(op.f("ck_prices_interval_whole"), "prices", type_="check")
    op.drop_constraint(op.f("ck_prices_interval"), "prices", type_="check")
    op.drop_constraint(op.f("ck_prices_event_amount"), "prices", type_="check")
    op.drop_constraint(op.f("ck_plans_kind"), "plans", type_="check")
    op.drop_constraint(op.f("ck_ledger_entries_source"), "ledger_entries", type_="check")
    op.drop_constraint(op.f("ck_invoices_parked"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoices_paid_in_full"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoices_not_overpaid"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoices_finalize_at"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoices_billing_reason"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoices_balance_applied"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoices_amount_paid"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoices_amount_due_is_not_below_zero"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoice_series_next_number"), "invoice_series", type_="check")
    op.drop_constraint(op.f("ck_invoice_series_digits"), "invoice_series", type_="check")
    op.drop_constraint(op.f("ck_invoice_lines_share"), "invoice_lines", type_="check")
    op.drop_constraint(op.f("ck_invoice_lines_kind"), "invoice_lines", type_="check")
    op.drop_constraint(
        op.f("ck_invoice_lines_a_credit_is_below_zero"), "invoice_lines", type_="check"
    )
    op.drop_constraint(op.f("ck_discounts_on_one"), "discounts", type_="check")
    op.drop_constraint(op.f("ck_customers_tax_exempt"), "customers", type_="check")
    op.drop_constraint(op.f("ck_credit_notes_voided"), "credit_notes", type_="check")
    op.drop_constraint(op.f("ck_credit_notes_parts"), "credit_notes", type_="check")
    op.drop_constraint(op.f("ck_credit_notes_all_goes_somewhere"), "credit_notes", type_="check")
    op.drop_constraint(op.f("ck_credit_note_lines_period"), "credit_note_lines", type_="check")
    op.drop_constraint(op.f("ck_coupons_times_redeemed"), "coupons", type_="check")
    op.drop_constraint(op.f("ck_coupons_redeemable"), "coupons", type_="check")
    op.drop_constraint(op.f("ck_coupons_one_kind"), "coupons", type_="check")
    op.drop_constraint(op.f("ck_coupons_max_redemptions_per_customer"), "coupons", type_="check")
    op.drop_constraint(op.f("ck_coupons_max_redemptions"), "coupons", type_="check")
    op.drop_constraint(op.f("ck_coupons_fixed_price"), "coupons", type_="check")
    op.drop_constraint(op.f("ck_coupons_fixed_has_currency"), "coupons", type_="check")
    op.drop_constraint(op.f("ck_coupons_currency"), "coupons", type_="check")
    op.drop_constraint(op.f("ck_coupons_applies_to"), "coupons", type_="check")
    op.drop_constraint(op.f("ck_balance_transactions_type"), "balance_transactions", type_="check")
    op.drop_index(
        "uq_tax_rates_tax_engine",
        table_name="tax_rates",
        postgresql_where=sa.text("source = 'tax_engine'"),
    )
    op.drop_column("tax_rates", "source")
    op.drop_column("tax_rates", "valid_until")
    op.drop_column("tax_rates", "valid_from")
    op.drop_column("tax_rates", "tax_codes")
    op.drop_column("tax_rates", "postal_codes")
    op.drop_column("tax_rates", "priority")
    op.drop_column("tax_rates", "level")
    op.drop_column("tax_rates", "region")
    op.drop_column("tax_rates", "type")
    op.drop_column("subscriptions", "billing_settings")
    op.drop_column("subscriptions", "trial_end_without_payment_method")
    op.drop_column("subscriptions", "automatic_tax")
    op.drop_column("subscriptions", "cycles_left")
    op.drop_column("subscriptions", "resumes_at")
    op.drop_column("subscriptions", "paused_at")
    op.drop_column("subscriptions", "pause_invoices")
    op.drop_index("ix_subscription_items_subscription_id", table_name="subscription_items")
    op.create_unique_constraint(
        op.f("uq_subscription_items"),
        "subscription_items",
        ["merchant_id", "subscription_id", "position"],
        postgresql_nulls_not_distinct=False,
    )
    op.drop_column("subscription_items", "removed_at")
    op.drop_column("subscription_items", "since")
    op.drop_column("scheduled_changes", "phase")
    op.drop_constraint(op.f("fk_prices_meters"), "prices", type_="foreignkey")
    op.drop_index(
        "ix_prices_meter_id", table_name="prices", postgresql_where=sa.text("meter_id IS NOT NULL")
    )
    op.alter_column("prices", "interval_count", existing_type=sa.SMALLINT(), nullable=False)
    op.alter_column("prices", "interval_unit", existing_type=sa.TEXT(), nullable=False)
    op.drop_column("prices", "trial_end_without_payment_method")
    op.drop_column("prices", "trial_requires_payment_method")
    op.drop_column("prices", "trial_amount")
    op.drop_column("prices", "countries")
    op.drop_column("prices", "max_quantity")
    op.drop_column("prices", "min_quantity")
    op.drop_column("prices", "meter_id")
    op.drop_column("prices", "free_amount")
    op.drop_column("prices", "free_events")
    op.drop_column("prices", "event_amount")
    op.drop_column("prices", "percentage_ppm")
    op.drop_column("prices", "type")
    op.add_column(
        "plans",
        sa.Column(
            "features",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'::json"),
            autoincrement=False,
            nullable=False,
        ),
    )
    op.drop_column("plans", "public")
    op.drop_column("plans", "billing_settings")
    op.drop_column("plans", "tax_code")
    op.drop_column("plans", "family")
    op.drop_column("plans", "kind")
    op.drop_column("merchants", "billing_settings")
    op.drop_index(
        "ix_invoices_finalize_at_on_test_clock",
        table_name="invoices",
        postgresql_where=sa.text("status = 'draft' AND test_clock_id IS NOT NULL"),
    )
    op.drop_index(
        "ix_invoices_finalize_at",
        table_name="invoices",
        postgresql_where=sa.text("status = 'draft' AND test_clock_id IS NULL"),
    )
    op.drop_column("invoices", "billing_settings")
    op.drop_column("invoices", "tax_rate_ids")
    op.drop_column("invoices", "automatic_tax")
    op.drop_column("invoices", "description")
    op.drop_column("invoices", "parked_reason")
    op.drop_column("invoices", "parked_at")
    op.drop_column("invoices", "finalize_at")
    op.drop_column("invoices", "amount_credited")
    op.drop_column("invoices", "net_days")
    op.drop_column("invoice_series", "digits")
    op.drop_column("invoice_series", "first_number")
    op.drop_index(
        "ix_invoice_lines_reverses_line_id",
        table_name="invoice_lines",
        postgresql_where=sa.text("reverses_line_id IS NOT NULL"),
    )
    op.drop_column("invoice_lines", "subscription_id")
    op.drop_column("invoice_lines", "reverses_line_id")
    op.drop_column("invoice_lines", "share_whole")
    op.drop_column("invoice_lines", "share_part")
    op.drop_column("invoice_line_taxes", "reason")
    op.drop_constraint(op.f("fk_discounts_customers"), "discounts", type_="foreignkey")
    op.drop_index("ix_discounts_subscription_id", table_name="discounts")
    op.drop_index(
        "ix_discounts_customer_id",
        table_name="discounts",
        postgresql_where=sa.text("customer_id IS NOT NULL AND ended_at IS NULL"),
    )
    op.create_unique_constraint(
        op.f("uq_discounts"),
        "discounts",
        ["merchant_id", "subscription_id", "position"],
        postgresql_nulls_not_distinct=False,
    )
    op.alter_column("discounts", "subscription_id", existing_type=sa.UUID(), nullable=False)
    op.drop_column("discounts", "end_at")
    op.drop_column("discounts", "start_at")
    op.drop_column("discounts", "offer_id")
    op.drop_column("discounts", "promotion_code_id")
    op.drop_column("discounts", "item_id")
    op.drop_column("discounts", "invoice_id")
    op.drop_column("discounts", "customer_id")
    op.drop_column("customers", "tax_exemption_note")
    op.drop_column("customers", "tax_exempt")
    op.drop_column("customers", "language")
    op.drop_index("ix_credit_notes_customer_id", table_name="credit_notes")
    op.drop_column("credit_notes", "to_invoice")
    op.drop_constraint("uq_credit_note_lines_position", "credit_note_lines", type_="unique")
    op.drop_index("ix_credit_note_lines_invoice_line_id", table_name="credit_note_lines")
    op.drop_column("credit_note_lines", "period_end")
    op.drop_column("credit_note_lines", "period_start")
    op.drop_column("credit_note_lines", "taxes")
    op.drop_column("credit_note_lines", "discounts")
    op.drop_column("coupons", "times_redeemed")
    op.drop_column("coupons", "max_redemptions_per_customer")
    op.drop_column("coupons", "max_redemptions")
    op.drop_column("coupons", "redeem_by")
    op.drop_column("coupons", "valid_from")
    op.drop_column("coupons", "first_time_only")
    op.drop_column("coupons", "minimum_amounts")
    op.drop_column("coupons", "price_ids")
    op.drop_column("coupons", "plan_ids")
    op.drop_column("coupons", "applies_to")
    op.drop_column("coupons", "currency_options")
    op.drop_column("coupons", "fixed_price")
    op.drop_index(
        "ix_pending_items_waiting",
        table_name="pending_items",
        postgresql_where=sa.text("invoice_id IS NULL AND deleted_at IS NULL"),
    )
    op.drop_index(
        "ix_pending_items_reverses_line_id",
        table_name="pending_items",
        postgresql_where=sa.text("reverses_line_id IS NOT NULL"),
    )
    op.drop_index(
        "ix_pending_items_invoice_id",
        table_name="pending_items",
        postgresql_where=sa.text("invoice_id IS NOT NULL"),
    )
    op.drop_index("ix_pending_items_customer_id", table_name="pending_items")
    op.drop_table("pending_items")
    op.drop_table("invoice_subscriptions")
    op.drop_index(
        "uq_usage_events_reverses_id",
        table_name="usage_events",
        postgresql_where=sa.text("reverses_id IS NOT NULL AND value IS NULL"),
    )
    op.drop_index(
        "ix_usage_events_span",
        table_name="usage_events",
        postgresql_include=["subscription_id", "value", "id"],
        postgresql_where=sa.text("value IS NOT NULL"),
    )
    op.drop_index(
        "ix_usage_events_reversal",
        table_name="usage_events",
        postgresql_where=sa.text("reverses_id IS NOT NULL"),
    )
    op.drop_index("ix_usage_events_happened_at", table_name="usage_events", postgresql_using="brin")
    op.drop_index(
        "ix_usage_events_delayed", table_name="usage_events", postgresql_where=sa.text("delayed")
    )
    op.drop_table("usage_events")
    op.drop_table("subscription_schedules")
    op.drop_index("ix_redemptions_subscription_id", table_name="redemptions")
    op.drop_index("ix_redemptions_customer_id", table_name="redemptions")
    op.drop_index("ix_redemptions_coupon_id", table_name="redemptions")
    op.drop_table("redemptions")
    op.drop_index(
        "ix_price_migration_items_pending",
        table_name="price_migration_items",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.drop_table("price_migration_items")
    op.drop_index("ix_offer_links_offer_id", table_name="offer_links")
    op.drop_table("offer_links")
    op.drop_index(
        "uq_promotion_codes_code", table_name="promotion_codes", postgresql_where=sa.text("active")
    )
    op.drop_index("ix_promotion_codes_coupon_id", table_name="promotion_codes")
    op.drop_index("ix_promotion_codes_code", table_name="promotion_codes")
    op.drop_table("promotion_codes")
    op.drop_index(
        "ix_price_migrations_at_work",
        table_name="price_migrations",
        postgresql_where=sa.text("status IN ('estimating', 'running')"),
    )
    op.drop_table("price_migrations")
    op.drop_index("ix_offers_coupon_id", table_name="offers")
    op.drop_table("offers")
    op.drop_index("ix_customer_tax_ids_customer_id", table_name="customer_tax_ids")
    op.drop_table("customer_tax_ids")
    op.drop_index("ix_plan_features_feature_id", table_name="plan_features")
    op.drop_table("plan_features")
    op.drop_table("document_settings")
    op.drop_index("ix_addon_plans_plan_id", table_name="addon_plans")
    op.drop_table("addon_plans")
    op.drop_table("tax_registrations")
    op.drop_table("tax_engines")
    op.drop_index("ix_tax_engine_rates_expires_at", table_name="tax_engine_rates")
    op.drop_table("tax_engine_rates")
    op.drop_index(
        "uq_meters_event_name", table_name="meters", postgresql_where=sa.text("archived_at IS NULL")
    )
    op.drop_table("meters")
    op.drop_table("features")
    op.drop_table("document_logos")
    op.execute(
        'ALTER TABLE invoice_line_taxes ADD CONSTRAINT "fk_%(table_name)s_line_id" FOREIGN KEY (merchant_id, line_id) REFERENCES invoice_lines(merchant_id, id)'
    )
    op.execute(
        'ALTER TABLE invoice_line_discounts ADD CONSTRAINT "fk_%(table_name)s_line_id" FOREIGN KEY (merchant_id, line_id) REFERENCES invoice_lines(merchant_id, id)'
    )
    op.create_check_constraint(
        op.f("ck_subscriptions_live_has_next_action"),
        "subscriptions",
        "((status = ANY (ARRAY['canceled'::text, 'incomplete_expired'::text])) = (next_action_at IS NULL))",
    )
    op.create_check_constraint(
        op.f("ck_prices_model"),
        "prices",
        "model IN ('flat', 'per_unit', 'graduated', 'volume', 'package')",
    )
    op.create_check_constraint(
        op.f("ck_ledger_entries_source"),
        "ledger_entries",
        "source IN ('invoice', 'invoice_void', 'invoice_write_off', 'payment', 'refund', 'balance')",
    )
    op.create_check_constraint(
        op.f("ck_invoices_tax_added"), "invoices", "((tax_added >= 0) AND (tax_added <= tax_total))"
    )
    op.create_check_constraint(
        op.f("ck_invoices_paid_in_full"),
        "invoices",
        "((status <> 'paid'::text) OR (amount_paid = amount_due))",
    )
    op.create_check_constraint(
        op.f("ck_invoices_discount_total"),
        "invoices",
        "((discount_total >= 0) AND (discount_total <= subtotal))",
    )
    op.create_check_constraint(
        op.f("ck_invoices_billing_reason"),
        "invoices",
        "billing_reason IN ('subscription_create', 'subscription_cycle', 'subscription_cancel', 'manual')",
    )
    op.create_check_constraint(
        op.f("ck_invoices_balance_applied"),
        "invoices",
        "((balance_applied >= 0) AND (balance_applied <= total))",
    )
    op.create_check_constraint(
        op.f("ck_invoices_amount_paid"),
        "invoices",
        "((amount_paid >= 0) AND (amount_paid <= amount_due))",
    )
    op.create_check_constraint(
        op.f("ck_invoice_series_next_number"), "invoice_series", "(next_number >= 1)"
    )
    op.create_check_constraint(
        op.f("ck_invoice_lines_kind"), "invoice_lines", "kind IN ('period', 'setup_fee', 'one_off')"
    )
    op.create_check_constraint(
        op.f("ck_credit_notes_all_goes_somewhere"),
        "credit_notes",
        "(((to_balance + to_refund) + outside) <= total)",
    )
    op.create_check_constraint(
        op.f("ck_coupons_one_kind"), "coupons", "(num_nonnulls(percent_off_ppm, amount_off) = 1)"
    )
    op.create_check_constraint(
        op.f("ck_coupons_fixed_has_currency"),
        "coupons",
        "((amount_off IS NULL) = (currency IS NULL))",
    )
    op.create_check_constraint(
        op.f("ck_balance_transactions_type"),
        "balance_transactions",
        "type IN ('adjustment', 'applied_to_invoice', 'unapplied_from_invoice')",
    )
    for statement in billing_engine_guards.downgrade():
        op.execute(statement)
