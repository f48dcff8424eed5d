"""The schema as it begins: tables, keys and indexes; then roles, policies and guards."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations import initial_guards

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "events",
    "merchants",
    "api_keys",
    "audit_log",
    "coupons",
    "gateway_accounts",
    "idempotency_keys",
    "invoice_series",
    "ledger_accounts",
    "plans",
    "tax_rates",
    "test_clocks",
    "webhook_endpoints",
    "customers",
    "deliveries",
    "inbound_events",
    "ledger_entries",
    "prices",
    "balance_transactions",
    "customer_balances",
    "payment_methods",
    "subscriptions",
    "discounts",
    "invoices",
    "scheduled_changes",
    "subscription_items",
    "subscription_tax_rates",
    "credit_notes",
    "invoice_lines",
    "payments",
    "credit_note_lines",
    "invoice_line_discounts",
    "invoice_line_taxes",
    "payment_attempts",
    "refunds",
)


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("object_id", sa.UUID(), nullable=False),
        sa.Column("object_version", sa.BigInteger(), nullable=False),
        sa.Column("data", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("previous", postgresql.JSON(astext_type=sa.Text()), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_object_id", "events", ["merchant_id", "object_id"], unique=False)
    op.create_table(
        "merchants",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("default_currency", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), server_default=sa.text("'UTC'"), nullable=False),
        sa.Column(
            "settings",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("mode IN ('test', 'live')", name=op.f("ck_merchants_mode")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merchants")),
    )
    op.create_table(
        "api_keys",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("last_four", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("last_used_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("kind IN ('secret', 'publishable')", name=op.f("ck_api_keys_kind")),
        sa.CheckConstraint("octet_length(hash) = 32", name=op.f("ck_api_keys_hash")),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_api_keys_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_api_keys")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index("uq_api_keys_hash", "api_keys", ["hash"], unique=True)
    op.create_table(
        "audit_log",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("object_id", sa.UUID(), nullable=True),
        sa.Column(
            "detail",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_audit_log_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_audit_log")),
    )
    op.create_table(
        "coupons",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("percent_off_ppm", sa.BigInteger(), nullable=True),
        sa.Column("amount_off", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("duration", sa.Text(), nullable=False),
        sa.Column("duration_in_periods", sa.SmallInteger(), nullable=True),
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
            "(duration = 'repeating') = (duration_in_periods IS NOT NULL)",
            name=op.f("ck_coupons_repeating_has_count"),
        ),
        sa.CheckConstraint(
            "duration IN ('once', 'repeating', 'forever')", name=op.f("ck_coupons_duration")
        ),
        sa.CheckConstraint(
            "(amount_off IS NULL) = (currency IS NULL)", name=op.f("ck_coupons_fixed_has_currency")
        ),
        sa.CheckConstraint("amount_off > 0", name=op.f("ck_coupons_amount_off")),
        sa.CheckConstraint(
            "num_nonnulls(percent_off_ppm, amount_off) = 1", name=op.f("ck_coupons_one_kind")
        ),
        sa.CheckConstraint(
            "percent_off_ppm BETWEEN 1 AND 1000000", name=op.f("ck_coupons_percent_off")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_coupons_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_coupons")),
        sa.UniqueConstraint("merchant_id", "code", name="uq_coupons_code"),
    )
    op.create_table(
        "gateway_accounts",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("gateway", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("credentials_ciphertext", sa.Text(), nullable=True),
        sa.Column(
            "settings",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("disabled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "gateway <> 'simulator' OR mode = 'test'",
            name=op.f("ck_gateway_accounts_simulator_is_for_tests"),
        ),
        sa.CheckConstraint("mode IN ('test', 'live')", name=op.f("ck_gateway_accounts_mode")),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_gateway_accounts_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_gateway_accounts")),
    )
    op.create_index(
        "uq_gateway_accounts_default",
        "gateway_accounts",
        ["merchant_id"],
        unique=True,
        postgresql_where=sa.text("is_default"),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=True),
        sa.Column("response_status", sa.SmallInteger(), nullable=True),
        sa.Column("response_body", sa.LargeBinary(), nullable=True),
        sa.Column(
            "response_headers",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (response_status IS NULL)",
            name=op.f("ck_idempotency_keys_finished"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_idempotency_keys_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_idempotency_keys")),
        sa.UniqueConstraint("merchant_id", "key", name="uq_idempotency_keys_key"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"], unique=False
    )
    op.create_table(
        "invoice_series",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("next_number", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("next_number >= 1", name=op.f("ck_invoice_series_next_number")),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_invoice_series_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "series", name=op.f("pk_invoice_series")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "ledger_accounts",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_ledger_accounts_currency")),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_ledger_accounts_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "code", "currency", name=op.f("pk_ledger_accounts")),
    )
    op.create_table(
        "plans",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column(
            "features",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(["merchant_id"], ["merchants.id"], name=op.f("fk_plans_merchants")),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_plans")),
        sa.UniqueConstraint("merchant_id", "code", name="uq_plans_code"),
    )
    op.create_table(
        "tax_rates",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("rate_ppm", sa.BigInteger(), nullable=False),
        sa.Column("inclusive", sa.Boolean(), nullable=False),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("jurisdiction", sa.Text(), nullable=True),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("rate_ppm BETWEEN 0 AND 1000000", name=op.f("ck_tax_rates_rate")),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_tax_rates_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_tax_rates")),
    )
    op.create_table(
        "test_clocks",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("frozen_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("target_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(status = 'ready') = (target_at IS NULL)", name=op.f("ck_test_clocks_target")
        ),
        sa.CheckConstraint(
            "status IN ('ready', 'advancing', 'internal_failure')",
            name=op.f("ck_test_clocks_status"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_test_clocks_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_test_clocks")),
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("event_types", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret_ciphertext", sa.Text(), nullable=False),
        sa.Column("previous_secret_ciphertext", sa.Text(), nullable=True),
        sa.Column("previous_secret_expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_webhook_endpoints_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_webhook_endpoints")),
    )
    op.create_table(
        "customers",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column(
            "address",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("zone", sa.Text(), server_default=sa.text("'UTC'"), nullable=False),
        sa.Column("default_payment_method_id", sa.UUID(), nullable=True),
        sa.Column("test_clock_id", sa.UUID(), nullable=True),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("deleted_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id", "test_clock_id"],
            ["test_clocks.merchant_id", "test_clocks.id"],
            name=op.f("fk_customers_test_clocks"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_customers_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_customers")),
        sa.UniqueConstraint("merchant_id", "external_id", name="uq_customers_external_id"),
    )
    op.create_index("ix_customers_email", "customers", ["merchant_id", "email"], unique=False)
    op.create_index(
        "ix_customers_test_clock_id",
        "customers",
        ["merchant_id", "test_clock_id"],
        unique=False,
        postgresql_where=sa.text("test_clock_id IS NOT NULL"),
    )
    op.create_table(
        "deliveries",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.Column("webhook_endpoint_id", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("response_status", sa.SmallInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("delivered_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'delivered', 'failed')", name=op.f("ck_deliveries_status")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "event_id"],
            ["events.merchant_id", "events.id"],
            name=op.f("fk_deliveries_events"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "webhook_endpoint_id"],
            ["webhook_endpoints.merchant_id", "webhook_endpoints.id"],
            name=op.f("fk_deliveries_webhook_endpoints"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("merchant_id", "event_id", "webhook_endpoint_id", name="uq_deliveries"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "inbound_events",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("gateway_account_id", sa.UUID(), nullable=False),
        sa.Column("gateway_event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "headers",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("settled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('received', 'settled', 'ignored', 'failed')",
            name=op.f("ck_inbound_events_status"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "gateway_account_id"],
            ["gateway_accounts.merchant_id", "gateway_accounts.id"],
            name=op.f("fk_inbound_events_gateway_accounts"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_inbound_events")),
        sa.UniqueConstraint(
            "merchant_id", "gateway_account_id", "gateway_event_id", name="uq_inbound_events"
        ),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_inbound_events_due",
        "inbound_events",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("source_id", sa.UUID(), nullable=False),
        sa.Column("debit", sa.Text(), nullable=False),
        sa.Column("credit", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("effective_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "source IN ('invoice', 'invoice_void', 'invoice_write_off', 'payment', 'refund', 'balance')",
            name=op.f("ck_ledger_entries_source"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_ledger_entries_amount")),
        sa.CheckConstraint("debit <> credit", name=op.f("ck_ledger_entries_two_accounts")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "credit", "currency"],
            ["ledger_accounts.merchant_id", "ledger_accounts.code", "ledger_accounts.currency"],
            name="fk_ledger_entries_credit",
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "debit", "currency"],
            ["ledger_accounts.merchant_id", "ledger_accounts.code", "ledger_accounts.currency"],
            name="fk_ledger_entries_debit",
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_ledger_entries")),
    )
    op.create_index(
        "ix_ledger_entries_source_id", "ledger_entries", ["merchant_id", "source_id"], unique=False
    )
    op.create_table(
        "prices",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("plan_id", sa.UUID(), nullable=False),
        sa.Column("price_version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("lookup_key", sa.Text(), nullable=True),
        sa.Column("nickname", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("interval_unit", sa.Text(), nullable=False),
        sa.Column("interval_count", sa.SmallInteger(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("unit_amount_decimal", sa.Text(), nullable=True),
        sa.Column(
            "tiers",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
        sa.Column("package_size", sa.BigInteger(), nullable=True),
        sa.Column("timing", sa.Text(), nullable=False),
        sa.Column("usage_type", sa.Text(), server_default=sa.text("'licensed'"), nullable=False),
        sa.Column(
            "tax_behaviour", sa.Text(), server_default=sa.text("'exclusive'"), nullable=False
        ),
        sa.Column("setup_fee", sa.BigInteger(), nullable=False),
        sa.Column("trial_days", sa.SmallInteger(), nullable=False),
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
            "(model = 'package') = (package_size IS NOT NULL)", name=op.f("ck_prices_package_size")
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_prices_currency")),
        sa.CheckConstraint(
            "interval_unit IN ('day', 'week', 'month', 'year')",
            name=op.f("ck_prices_interval_unit"),
        ),
        sa.CheckConstraint(
            "model IN ('flat', 'per_unit', 'graduated', 'volume', 'package')",
            name=op.f("ck_prices_model"),
        ),
        sa.CheckConstraint(
            "tax_behaviour IN ('exclusive', 'inclusive')", name=op.f("ck_prices_tax_behaviour")
        ),
        sa.CheckConstraint("timing IN ('advance', 'arrears')", name=op.f("ck_prices_timing")),
        sa.CheckConstraint(
            "unit_amount_decimal ~ '^[0-9]{1,15}([.][0-9]{1,12})?$'",
            name=op.f("ck_prices_unit_amount_decimal"),
        ),
        sa.CheckConstraint(
            "usage_type IN ('licensed', 'metered')", name=op.f("ck_prices_usage_type")
        ),
        sa.CheckConstraint(
            "interval_count BETWEEN 1 AND 365", name=op.f("ck_prices_interval_count")
        ),
        sa.CheckConstraint("setup_fee >= 0", name=op.f("ck_prices_setup_fee")),
        sa.CheckConstraint("trial_days BETWEEN 0 AND 730", name=op.f("ck_prices_trial_days")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "plan_id"],
            ["plans.merchant_id", "plans.id"],
            name=op.f("fk_prices_plans"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_prices")),
        sa.UniqueConstraint("merchant_id", "lookup_key", name="uq_prices_lookup_key"),
    )
    op.create_index("ix_prices_plan_id", "prices", ["merchant_id", "plan_id"], unique=False)
    op.create_table(
        "balance_transactions",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("ending_balance", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("invoice_id", sa.UUID(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.CheckConstraint(
            "currency ~ '^[A-Z]{3}$'", name=op.f("ck_balance_transactions_currency")
        ),
        sa.CheckConstraint(
            "type IN ('adjustment', 'applied_to_invoice', 'unapplied_from_invoice')",
            name=op.f("ck_balance_transactions_type"),
        ),
        sa.CheckConstraint("amount <> 0", name=op.f("ck_balance_transactions_amount")),
        sa.CheckConstraint(
            "ending_balance >= 0", name=op.f("ck_balance_transactions_ending_balance")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_balance_transactions_customers"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_balance_transactions")),
    )
    op.create_index(
        "ix_balance_transactions_customer_id",
        "balance_transactions",
        ["merchant_id", "customer_id"],
        unique=False,
    )
    op.create_table(
        "customer_balances",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_customer_balances_currency")),
        sa.CheckConstraint("balance >= 0", name=op.f("ck_customer_balances_balance")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_customer_balances_customers"),
        ),
        sa.PrimaryKeyConstraint(
            "merchant_id", "customer_id", "currency", name=op.f("pk_customer_balances")
        ),
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "payment_methods",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("gateway_account_id", sa.UUID(), nullable=False),
        sa.Column("gateway_reference", sa.Text(), nullable=False),
        sa.Column("gateway_customer_reference", sa.Text(), nullable=True),
        sa.Column("type", sa.Text(), server_default=sa.text("'card'"), nullable=False),
        sa.Column("brand", sa.Text(), nullable=True),
        sa.Column("last_four", sa.Text(), nullable=True),
        sa.Column("expiry_month", sa.SmallInteger(), nullable=True),
        sa.Column("expiry_year", sa.SmallInteger(), nullable=True),
        sa.Column("network_transaction_id", sa.Text(), nullable=True),
        sa.Column(
            "mandate",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("detached_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("last_four ~ '^[0-9]{4}$'", name=op.f("ck_payment_methods_last_four")),
        sa.CheckConstraint(
            "expiry_month BETWEEN 1 AND 12", name=op.f("ck_payment_methods_expiry_month")
        ),
        sa.CheckConstraint(
            "expiry_year BETWEEN 2000 AND 2200", name=op.f("ck_payment_methods_expiry_year")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_payment_methods_customers"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "gateway_account_id"],
            ["gateway_accounts.merchant_id", "gateway_accounts.id"],
            name=op.f("fk_payment_methods_gateway_accounts"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_payment_methods")),
        sa.UniqueConstraint(
            "merchant_id",
            "gateway_account_id",
            "gateway_reference",
            "customer_id",
            name="uq_payment_methods_gateway_reference",
        ),
    )
    op.create_index(
        "ix_payment_methods_customer_id",
        "payment_methods",
        ["merchant_id", "customer_id"],
        unique=False,
    )
    op.create_table(
        "subscriptions",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("interval_unit", sa.Text(), nullable=False),
        sa.Column("interval_count", sa.SmallInteger(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("anchor", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("period_start", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("period_end", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("period_index", sa.BigInteger(), nullable=False),
        sa.Column("collection_method", sa.Text(), nullable=False),
        sa.Column("net_days", sa.SmallInteger(), nullable=False),
        sa.Column("payment_method_id", sa.UUID(), nullable=True),
        sa.Column("start_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("trial_end", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("cancel_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("cancel_at_period_end", sa.Boolean(), nullable=False),
        sa.Column("canceled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("ended_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("latest_invoice_id", sa.UUID(), nullable=True),
        sa.Column("test_clock_id", sa.UUID(), nullable=True),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("next_action_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("parked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("parked_reason", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(status = 'incomplete') = (expires_at IS NOT NULL)",
            name=op.f("ck_subscriptions_expires"),
        ),
        sa.CheckConstraint(
            "(status IN ('canceled', 'incomplete_expired')) = (ended_at IS NOT NULL)",
            name=op.f("ck_subscriptions_ended"),
        ),
        sa.CheckConstraint(
            "(status IN ('canceled', 'incomplete_expired')) = (next_action_at IS NULL)",
            name=op.f("ck_subscriptions_live_has_next_action"),
        ),
        sa.CheckConstraint(
            "collection_method IN ('charge_automatically', 'send_invoice')",
            name=op.f("ck_subscriptions_collection_method"),
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_subscriptions_currency")),
        sa.CheckConstraint(
            "interval_unit IN ('day', 'week', 'month', 'year')",
            name=op.f("ck_subscriptions_interval_unit"),
        ),
        sa.CheckConstraint(
            "status IN ('scheduled', 'incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'unpaid', 'paused', 'canceled')",
            name=op.f("ck_subscriptions_status"),
        ),
        sa.CheckConstraint(
            "(parked_at IS NULL) = (parked_reason IS NULL)", name=op.f("ck_subscriptions_parked")
        ),
        sa.CheckConstraint("net_days BETWEEN 0 AND 365", name=op.f("ck_subscriptions_net_days")),
        sa.CheckConstraint("period_start < period_end", name=op.f("ck_subscriptions_period")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_subscriptions_customers"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "payment_method_id"],
            ["payment_methods.merchant_id", "payment_methods.id"],
            name=op.f("fk_subscriptions_payment_methods"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "test_clock_id"],
            ["test_clocks.merchant_id", "test_clocks.id"],
            name=op.f("fk_subscriptions_test_clocks"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("merchant_id", "external_id", name="uq_subscriptions_external_id"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_subscriptions_customer_id",
        "subscriptions",
        ["merchant_id", "customer_id"],
        unique=False,
    )
    op.create_index(
        "ix_subscriptions_due",
        "subscriptions",
        ["next_action_at"],
        unique=False,
        postgresql_where=sa.text(
            "next_action_at IS NOT NULL AND parked_at IS NULL AND test_clock_id IS NULL"
        ),
    )
    op.create_index(
        "ix_subscriptions_due_on_test_clock",
        "subscriptions",
        ["merchant_id", "test_clock_id", "next_action_at"],
        unique=False,
        postgresql_where=sa.text(
            "next_action_at IS NOT NULL AND parked_at IS NULL AND test_clock_id IS NOT NULL"
        ),
    )
    op.create_index(
        "ix_subscriptions_parked",
        "subscriptions",
        ["parked_at"],
        unique=False,
        postgresql_where=sa.text("parked_at IS NOT NULL"),
    )
    op.create_table(
        "discounts",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("subscription_id", sa.UUID(), nullable=False),
        sa.Column("coupon_id", sa.UUID(), nullable=False),
        sa.Column("periods_remaining", sa.SmallInteger(), nullable=True),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("ended_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint("periods_remaining >= 0", name=op.f("ck_discounts_periods_remaining")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "coupon_id"],
            ["coupons.merchant_id", "coupons.id"],
            name=op.f("fk_discounts_coupons"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "subscription_id"],
            ["subscriptions.merchant_id", "subscriptions.id"],
            name=op.f("fk_discounts_subscriptions"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_discounts")),
        sa.UniqueConstraint("merchant_id", "subscription_id", "position", name="uq_discounts"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "invoices",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("subscription_id", sa.UUID(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("series_number", sa.BigInteger(), nullable=True),
        sa.Column("number", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("billing_reason", sa.Text(), nullable=False),
        sa.Column("cycle_start", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("period_start", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("period_end", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("collection_method", sa.Text(), nullable=False),
        sa.Column("subtotal", sa.BigInteger(), nullable=False),
        sa.Column("discount_total", sa.BigInteger(), nullable=False),
        sa.Column("tax_total", sa.BigInteger(), nullable=False),
        sa.Column("tax_added", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("balance_applied", sa.BigInteger(), nullable=False),
        sa.Column("amount_due", sa.BigInteger(), nullable=False),
        sa.Column("amount_paid", sa.BigInteger(), nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("finalized_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("paid_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("voided_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("test_clock_id", sa.UUID(), nullable=True),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(status = 'draft') = (finalized_at IS NULL)", name=op.f("ck_invoices_finalized")
        ),
        sa.CheckConstraint(
            "(status = 'draft') = (number IS NULL)", name=op.f("ck_invoices_numbered")
        ),
        sa.CheckConstraint(
            "(status = 'paid') = (paid_at IS NOT NULL)", name=op.f("ck_invoices_paid")
        ),
        sa.CheckConstraint(
            "(status = 'void') = (voided_at IS NOT NULL)", name=op.f("ck_invoices_voided")
        ),
        sa.CheckConstraint(
            "billing_reason IN ('subscription_create', 'subscription_cycle', 'subscription_cancel', 'manual')",
            name=op.f("ck_invoices_billing_reason"),
        ),
        sa.CheckConstraint(
            "collection_method IN ('charge_automatically', 'send_invoice')",
            name=op.f("ck_invoices_collection_method"),
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_invoices_currency")),
        sa.CheckConstraint(
            "status <> 'paid' OR amount_paid = amount_due", name=op.f("ck_invoices_paid_in_full")
        ),
        sa.CheckConstraint(
            "status IN ('draft', 'open', 'paid', 'void', 'uncollectible')",
            name=op.f("ck_invoices_status"),
        ),
        sa.CheckConstraint(
            "(number IS NULL) = (series_number IS NULL)", name=op.f("ck_invoices_series_numbered")
        ),
        sa.CheckConstraint(
            "amount_due = total - balance_applied", name=op.f("ck_invoices_amount_due")
        ),
        sa.CheckConstraint(
            "amount_paid BETWEEN 0 AND amount_due", name=op.f("ck_invoices_amount_paid")
        ),
        sa.CheckConstraint(
            "balance_applied BETWEEN 0 AND total", name=op.f("ck_invoices_balance_applied")
        ),
        sa.CheckConstraint(
            "discount_total BETWEEN 0 AND subtotal", name=op.f("ck_invoices_discount_total")
        ),
        sa.CheckConstraint("period_start < period_end", name=op.f("ck_invoices_period")),
        sa.CheckConstraint("tax_added BETWEEN 0 AND tax_total", name=op.f("ck_invoices_tax_added")),
        sa.CheckConstraint(
            "total = subtotal - discount_total + tax_added", name=op.f("ck_invoices_total")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_invoices_customers"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "subscription_id"],
            ["subscriptions.merchant_id", "subscriptions.id"],
            name=op.f("fk_invoices_subscriptions"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_invoices")),
        sa.UniqueConstraint(
            "merchant_id", "series", "series_number", name="uq_invoices_series_number"
        ),
        sa.UniqueConstraint(
            "merchant_id", "subscription_id", "cycle_start", name="uq_invoices_cycle"
        ),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_invoices_customer_id", "invoices", ["merchant_id", "customer_id"], unique=False
    )
    op.create_index(
        "ix_invoices_open",
        "invoices",
        ["merchant_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_table(
        "scheduled_changes",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("subscription_id", sa.UUID(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column(
            "change",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("applied_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'applied', 'canceled')", name=op.f("ck_scheduled_changes_status")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "subscription_id"],
            ["subscriptions.merchant_id", "subscriptions.id"],
            name=op.f("fk_scheduled_changes_subscriptions"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_scheduled_changes")),
    )
    op.create_index(
        "ix_scheduled_changes_pending",
        "scheduled_changes",
        ["merchant_id", "subscription_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "subscription_items",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("subscription_id", sa.UUID(), nullable=False),
        sa.Column("price_id", sa.UUID(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint(
            "quantity BETWEEN 0 AND 1000000000", name=op.f("ck_subscription_items_quantity")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "price_id"],
            ["prices.merchant_id", "prices.id"],
            name=op.f("fk_subscription_items_prices"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "subscription_id"],
            ["subscriptions.merchant_id", "subscriptions.id"],
            name=op.f("fk_subscription_items_subscriptions"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_subscription_items")),
        sa.UniqueConstraint(
            "merchant_id", "subscription_id", "position", name="uq_subscription_items"
        ),
    )
    op.create_index(
        "ix_subscription_items_price_id",
        "subscription_items",
        ["merchant_id", "price_id"],
        unique=False,
    )
    op.create_table(
        "subscription_tax_rates",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("subscription_id", sa.UUID(), nullable=False),
        sa.Column("tax_rate_id", sa.UUID(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id", "subscription_id"],
            ["subscriptions.merchant_id", "subscriptions.id"],
            name=op.f("fk_subscription_tax_rates_subscriptions"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "tax_rate_id"],
            ["tax_rates.merchant_id", "tax_rates.id"],
            name=op.f("fk_subscription_tax_rates_tax_rates"),
        ),
        sa.PrimaryKeyConstraint(
            "merchant_id", "subscription_id", "tax_rate_id", name=op.f("pk_subscription_tax_rates")
        ),
    )
    op.create_table(
        "credit_notes",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("invoice_id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("series_number", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("subtotal", sa.BigInteger(), nullable=False),
        sa.Column("discount_total", sa.BigInteger(), nullable=False),
        sa.Column("tax_total", sa.BigInteger(), nullable=False),
        sa.Column("tax_added", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("to_balance", sa.BigInteger(), nullable=False),
        sa.Column("to_refund", sa.BigInteger(), nullable=False),
        sa.Column("outside", sa.BigInteger(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("voided_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_credit_notes_currency")),
        sa.CheckConstraint("status IN ('issued', 'void')", name=op.f("ck_credit_notes_status")),
        sa.CheckConstraint(
            "to_balance + to_refund + outside <= total",
            name=op.f("ck_credit_notes_all_goes_somewhere"),
        ),
        sa.CheckConstraint(
            "total = subtotal - discount_total + tax_added", name=op.f("ck_credit_notes_total")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_credit_notes_customers"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "invoice_id"],
            ["invoices.merchant_id", "invoices.id"],
            name=op.f("fk_credit_notes_invoices"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_credit_notes")),
        sa.UniqueConstraint(
            "merchant_id", "series", "series_number", name="uq_credit_notes_number"
        ),
    )
    op.create_index(
        "ix_credit_notes_invoice_id", "credit_notes", ["merchant_id", "invoice_id"], unique=False
    )
    op.create_table(
        "invoice_lines",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("invoice_id", sa.UUID(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subscription_item_id", sa.UUID(), nullable=True),
        sa.Column("price_id", sa.UUID(), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("period_start", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("period_end", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("discount_amount", sa.BigInteger(), nullable=False),
        sa.Column("tax_amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('period', 'setup_fee', 'one_off')", name=op.f("ck_invoice_lines_kind")
        ),
        sa.CheckConstraint("period_start <= period_end", name=op.f("ck_invoice_lines_period")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "invoice_id"],
            ["invoices.merchant_id", "invoices.id"],
            name=op.f("fk_invoice_lines_invoices"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_invoice_lines")),
        sa.UniqueConstraint("merchant_id", "invoice_id", "position", name="uq_invoice_lines"),
    )
    op.create_table(
        "payments",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("invoice_id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("payment_method_id", sa.UUID(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("amount_captured", sa.BigInteger(), nullable=False),
        sa.Column("amount_refunded", sa.BigInteger(), nullable=False),
        sa.Column("amount_refund_reserved", sa.BigInteger(), nullable=False),
        sa.Column("attempt_count", sa.SmallInteger(), nullable=False),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("failure_category", sa.Text(), nullable=True),
        sa.Column("action_url", sa.Text(), nullable=True),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("test_clock_id", sa.UUID(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("succeeded_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(status = 'scheduled') = (due_at IS NOT NULL)", name=op.f("ck_payments_scheduled")
        ),
        sa.CheckConstraint(
            "(status = 'succeeded') = (amount_captured > 0)", name=op.f("ck_payments_succeeded")
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_payments_currency")),
        sa.CheckConstraint(
            "status IN ('scheduled', 'requires_payment_method', 'requires_action', 'processing', 'unknown', 'succeeded', 'failed', 'canceled')",
            name=op.f("ck_payments_status"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payments_amount")),
        sa.CheckConstraint(
            "amount_captured BETWEEN 0 AND amount", name=op.f("ck_payments_captured")
        ),
        sa.CheckConstraint(
            "amount_refunded >= 0 AND amount_refund_reserved >= 0 AND amount_refunded + amount_refund_reserved <= amount_captured",
            name=op.f("ck_payments_refunds_within_capture"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "invoice_id"],
            ["invoices.merchant_id", "invoices.id"],
            name=op.f("fk_payments_invoices"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "payment_method_id"],
            ["payment_methods.merchant_id", "payment_methods.id"],
            name=op.f("fk_payments_payment_methods"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_payments")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_payments_customer_id", "payments", ["merchant_id", "customer_id"], unique=False
    )
    op.create_index(
        "ix_payments_due",
        "payments",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("status = 'scheduled' AND test_clock_id IS NULL"),
    )
    op.create_index(
        "ix_payments_due_on_test_clock",
        "payments",
        ["merchant_id", "test_clock_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("status = 'scheduled' AND test_clock_id IS NOT NULL"),
    )
    op.create_index(
        "ix_payments_invoice_id", "payments", ["merchant_id", "invoice_id"], unique=False
    )
    op.create_index(
        "uq_payments_live",
        "payments",
        ["merchant_id", "invoice_id"],
        unique=True,
        postgresql_where=sa.text("status NOT IN ('succeeded', 'canceled', 'failed')"),
    )
    op.create_table(
        "credit_note_lines",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("credit_note_id", sa.UUID(), nullable=False),
        sa.Column("invoice_line_id", sa.UUID(), nullable=True),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("discount_amount", sa.BigInteger(), nullable=False),
        sa.Column("tax_amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_credit_note_lines_amount")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "credit_note_id"],
            ["credit_notes.merchant_id", "credit_notes.id"],
            name=op.f("fk_credit_note_lines_credit_notes"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "invoice_line_id"],
            ["invoice_lines.merchant_id", "invoice_lines.id"],
            name=op.f("fk_credit_note_lines_invoice_lines"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_credit_note_lines")),
    )
    op.create_table(
        "invoice_line_discounts",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("line_id", sa.UUID(), nullable=False),
        sa.Column("discount_id", sa.UUID(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id", "line_id"],
            ["invoice_lines.merchant_id", "invoice_lines.id"],
            name="fk_%(table_name)s_line_id",
        ),
        sa.PrimaryKeyConstraint(
            "merchant_id", "line_id", "discount_id", name=op.f("pk_invoice_line_discounts")
        ),
    )
    op.create_table(
        "invoice_line_taxes",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("line_id", sa.UUID(), nullable=False),
        sa.Column("tax_rate_id", sa.UUID(), nullable=False),
        sa.Column("rate_ppm", sa.BigInteger(), nullable=False),
        sa.Column("inclusive", sa.Boolean(), nullable=False),
        sa.Column("taxable_amount", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id", "line_id"],
            ["invoice_lines.merchant_id", "invoice_lines.id"],
            name="fk_%(table_name)s_line_id",
        ),
        sa.PrimaryKeyConstraint(
            "merchant_id", "line_id", "tax_rate_id", name=op.f("pk_invoice_line_taxes")
        ),
    )
    op.create_table(
        "payment_attempts",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("payment_id", sa.UUID(), nullable=False),
        sa.Column("invoice_id", sa.UUID(), nullable=False),
        sa.Column("gateway_account_id", sa.UUID(), nullable=False),
        sa.Column("payment_method_id", sa.UUID(), nullable=False),
        sa.Column("ordinal", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("gateway_reference", sa.Text(), nullable=True),
        sa.Column("network_transaction_id", sa.Text(), nullable=True),
        sa.Column("fee", sa.BigInteger(), nullable=True),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("failure_category", sa.Text(), nullable=True),
        sa.Column("gateway_code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("look_ups", sa.SmallInteger(), nullable=False),
        sa.Column("look_up_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("settled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(status IN ('succeeded', 'failed', 'canceled')) = (settled_at IS NOT NULL)",
            name=op.f("ck_payment_attempts_settled"),
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_payment_attempts_currency")),
        sa.CheckConstraint(
            "status <> 'succeeded' OR gateway_reference IS NOT NULL",
            name=op.f("ck_payment_attempts_succeeded_has_reference"),
        ),
        sa.CheckConstraint(
            "status IN ('processing', 'unknown', 'requires_action', 'succeeded', 'failed', 'canceled')",
            name=op.f("ck_payment_attempts_status"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_payment_attempts_amount")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "gateway_account_id"],
            ["gateway_accounts.merchant_id", "gateway_accounts.id"],
            name=op.f("fk_payment_attempts_gateway_accounts"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "payment_id"],
            ["payments.merchant_id", "payments.id"],
            name=op.f("fk_payment_attempts_payments"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_payment_attempts")),
        sa.UniqueConstraint(
            "merchant_id", "payment_id", "ordinal", name="uq_payment_attempts_ordinal"
        ),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_payment_attempts_look_up",
        "payment_attempts",
        ["look_up_at"],
        unique=False,
        postgresql_where=sa.text("look_up_at IS NOT NULL"),
    )
    op.create_index(
        "uq_payment_attempts_gateway_reference",
        "payment_attempts",
        ["merchant_id", "gateway_account_id", "gateway_reference"],
        unique=True,
        postgresql_where=sa.text("gateway_reference IS NOT NULL"),
    )
    op.create_index(
        "uq_payment_attempts_in_flight",
        "payment_attempts",
        ["merchant_id", "invoice_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('processing', 'unknown', 'requires_action')"),
    )
    op.create_index(
        "uq_payment_attempts_reference",
        "payment_attempts",
        ["merchant_id", "reference"],
        unique=True,
    )
    op.create_table(
        "refunds",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("payment_id", sa.UUID(), nullable=False),
        sa.Column("invoice_id", sa.UUID(), nullable=False),
        sa.Column("gateway_account_id", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("gateway_reference", sa.Text(), nullable=True),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("look_ups", sa.SmallInteger(), nullable=False),
        sa.Column("look_up_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("settled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(status IN ('succeeded', 'failed')) = (settled_at IS NOT NULL)",
            name=op.f("ck_refunds_settled"),
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_refunds_currency")),
        sa.CheckConstraint(
            "status IN ('processing', 'unknown', 'succeeded', 'failed')",
            name=op.f("ck_refunds_status"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refunds_amount")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "gateway_account_id"],
            ["gateway_accounts.merchant_id", "gateway_accounts.id"],
            name=op.f("fk_refunds_gateway_accounts"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "payment_id"],
            ["payments.merchant_id", "payments.id"],
            name=op.f("fk_refunds_payments"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_refunds")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_refunds_look_up",
        "refunds",
        ["look_up_at"],
        unique=False,
        postgresql_where=sa.text("look_up_at IS NOT NULL"),
    )
    op.create_index("ix_refunds_payment_id", "refunds", ["merchant_id", "payment_id"], unique=False)
    op.create_index(
        "uq_refunds_gateway_reference",
        "refunds",
        ["merchant_id", "gateway_account_id", "gateway_reference"],
        unique=True,
        postgresql_where=sa.text("gateway_reference IS NOT NULL"),
    )
    op.create_foreign_key(
        "fk_customers_default_payment_method",
        "customers",
        "payment_methods",
        ["merchant_id", "default_payment_method_id"],
        ["merchant_id", "id"],
    )
    for statement in initial_guards.upgrade(TABLES):
        op.execute(statement)


def downgrade() -> None:
    op.drop_constraint("fk_customers_default_payment_method", "customers", type_="foreignkey")
    op.drop_index(
        "uq_refunds_gateway_reference",
        table_name="refunds",
        postgresql_where=sa.text("gateway_reference IS NOT NULL"),
    )
    op.drop_index("ix_refunds_payment_id", table_name="refunds")
    op.drop_index(
        "ix_refunds_look_up",
        table_name="refunds",
        postgresql_where=sa.text("look_up_at IS NOT NULL"),
    )
    op.drop_table("refunds")
    op.drop_index("uq_payment_attempts_reference", table_name="payment_attempts")
    op.drop_index(
        "uq_payment_attempts_in_flight",
        table_name="payment_attempts",
        postgresql_where=sa.text("status IN ('processing', 'unknown', 'requires_action')"),
    )
    op.drop_index(
        "uq_payment_attempts_gateway_reference",
        table_name="payment_attempts",
        postgresql_where=sa.text("gateway_reference IS NOT NULL"),
    )
    op.drop_index(
        "ix_payment_attempts_look_up",
        table_name="payment_attempts",
        postgresql_where=sa.text("look_up_at IS NOT NULL"),
    )
    op.drop_table("payment_attempts")
    op.drop_table("invoice_line_taxes")
    op.drop_table("invoice_line_discounts")
    op.drop_table("credit_note_lines")
    op.drop_index(
        "uq_payments_live",
        table_name="payments",
        postgresql_where=sa.text("status NOT IN ('succeeded', 'canceled', 'failed')"),
    )
    op.drop_index("ix_payments_invoice_id", table_name="payments")
    op.drop_index(
        "ix_payments_due_on_test_clock",
        table_name="payments",
        postgresql_where=sa.text("status = 'scheduled' AND test_clock_id IS NOT NULL"),
    )
    op.drop_index(
        "ix_payments_due",
        table_name="payments",
        postgresql_where=sa.text("status = 'scheduled' AND test_clock_id IS NULL"),
    )
    op.drop_index("ix_payments_customer_id", table_name="payments")
    op.drop_table("payments")
    op.drop_table("invoice_lines")
    op.drop_index("ix_credit_notes_invoice_id", table_name="credit_notes")
    op.drop_table("credit_notes")
    op.drop_table("subscription_tax_rates")
    op.drop_index("ix_subscription_items_price_id", table_name="subscription_items")
    op.drop_table("subscription_items")
    op.drop_index(
        "ix_scheduled_changes_pending",
        table_name="scheduled_changes",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.drop_table("scheduled_changes")
    op.drop_index(
        "ix_invoices_open", table_name="invoices", postgresql_where=sa.text("status = 'open'")
    )
    op.drop_index("ix_invoices_customer_id", table_name="invoices")
    op.drop_table("invoices")
    op.drop_table("discounts")
    op.drop_index(
        "ix_subscriptions_parked",
        table_name="subscriptions",
        postgresql_where=sa.text("parked_at IS NOT NULL"),
    )
    op.drop_index(
        "ix_subscriptions_due_on_test_clock",
        table_name="subscriptions",
        postgresql_where=sa.text(
            "next_action_at IS NOT NULL AND parked_at IS NULL AND test_clock_id IS NOT NULL"
        ),
    )
    op.drop_index(
        "ix_subscriptions_due",
        table_name="subscriptions",
        postgresql_where=sa.text(
            "next_action_at IS NOT NULL AND parked_at IS NULL AND test_clock_id IS NULL"
        ),
    )
    op.drop_index("ix_subscriptions_customer_id", table_name="subscriptions")
    op.drop_table("subscriptions")
    op.drop_index("ix_payment_methods_customer_id", table_name="payment_methods")
    op.drop_table("payment_methods")
    op.drop_table("customer_balances")
    op.drop_index("ix_balance_transactions_customer_id", table_name="balance_transactions")
    op.drop_table("balance_transactions")
    op.drop_index("ix_prices_plan_id", table_name="prices")
    op.drop_table("prices")
    op.drop_index("ix_ledger_entries_source_id", table_name="ledger_entries")
    op.drop_table("ledger_entries")
    op.drop_index(
        "ix_inbound_events_due",
        table_name="inbound_events",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.drop_table("inbound_events")
    op.drop_index(
        "ix_deliveries_due", table_name="deliveries", postgresql_where=sa.text("due_at IS NOT NULL")
    )
    op.drop_table("deliveries")
    op.drop_index(
        "ix_customers_test_clock_id",
        table_name="customers",
        postgresql_where=sa.text("test_clock_id IS NOT NULL"),
    )
    op.drop_index("ix_customers_email", table_name="customers")
    op.drop_table("customers")
    op.drop_table("webhook_endpoints")
    op.drop_table("test_clocks")
    op.drop_table("tax_rates")
    op.drop_table("plans")
    op.drop_table("ledger_accounts")
    op.drop_table("invoice_series")
    op.drop_index("ix_idempotency_keys_expires_at", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index(
        "uq_gateway_accounts_default",
        table_name="gateway_accounts",
        postgresql_where=sa.text("is_default"),
    )
    op.drop_table("gateway_accounts")
    op.drop_table("coupons")
    op.drop_table("audit_log")
    op.drop_index("uq_api_keys_hash", table_name="api_keys")
    op.drop_table("api_keys")
    op.drop_table("merchants")
    op.drop_index("ix_events_object_id", table_name="events")
    op.drop_table("events")
    for statement in initial_guards.downgrade():
        op.execute(statement)
