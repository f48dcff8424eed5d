"""Collection: generated from app/db/tables; what is by hand: collection_guards.py."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations import collection_guards

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = (
    "event_batches",
    "dunning_policies",
    "event_counters",
    "event_numbers",
    "dunning_policy_plans",
    "reconciliations",
    "webhook_deliveries",
    "webhook_lanes",
    "gateway_customers",
    "reconciliation_differences",
    "webhook_attempts",
    "setup_sessions",
    "dunning_runs",
    "payment_links",
    "disputes",
)


def upgrade() -> None:
    op.drop_constraint(op.f("ck_balance_transactions_type"), "balance_transactions", type_="check")
    op.drop_constraint(op.f("ck_inbound_events_status"), "inbound_events", type_="check")
    op.drop_constraint(op.f("ck_ledger_entries_source"), "ledger_entries", type_="check")
    op.drop_constraint(op.f("ck_payments_refunds_within_capture"), "payments", type_="check")
    op.drop_constraint(op.f("ck_payments_status"), "payments", type_="check")
    op.drop_index(
        "uq_payments_live",
        table_name="payments",
        postgresql_where="(status <> ALL (ARRAY['succeeded'::text, 'canceled'::text, 'failed'::text]))",
        postgresql_include=[],
    )
    op.execute("ALTER TABLE inbound_events DROP CONSTRAINT uq_inbound_events")
    op.create_table(
        "event_batches",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_ids", postgresql.ARRAY(sa.UUID()), nullable=False),
        sa.CheckConstraint("cardinality(event_ids) > 0", name=op.f("ck_event_batches_event_ids")),
        sa.PrimaryKeyConstraint("merchant_id", "number", name=op.f("pk_event_batches")),
    )
    op.create_table(
        "dunning_policies",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=True),
        sa.Column("terms", postgresql.JSON(astext_type=sa.Text()), nullable=False),
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
            "active OR NOT is_default", name=op.f("ck_dunning_policies_default_is_active")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_dunning_policies_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_dunning_policies")),
        sa.UniqueConstraint("merchant_id", "code", name="uq_dunning_policies_code"),
    )
    op.create_index(
        "uq_dunning_policies_default",
        "dunning_policies",
        ["merchant_id"],
        unique=True,
        postgresql_where=sa.text("is_default"),
    )
    op.create_index(
        "uq_dunning_policies_segment",
        "dunning_policies",
        ["merchant_id", "segment"],
        unique=True,
        postgresql_where=sa.text("segment IS NOT NULL AND active"),
    )
    op.create_table(
        "event_counters",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id"], ["merchants.id"], name=op.f("fk_event_counters_merchants")
        ),
        sa.PrimaryKeyConstraint("merchant_id", name=op.f("pk_event_counters")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "event_numbers",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id", "event_id"],
            ["events.merchant_id", "events.id"],
            name=op.f("fk_event_numbers_events"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "number", name=op.f("pk_event_numbers")),
        sa.UniqueConstraint("merchant_id", "event_id", name="uq_event_numbers_event_id"),
    )
    op.create_table(
        "dunning_policy_plans",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("plan_id", sa.UUID(), nullable=False),
        sa.Column("policy_id", sa.UUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id", "plan_id"],
            ["plans.merchant_id", "plans.id"],
            name=op.f("fk_dunning_policy_plans_plans"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "policy_id"],
            ["dunning_policies.merchant_id", "dunning_policies.id"],
            name=op.f("fk_dunning_policy_plans_policy_id"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "plan_id", name=op.f("pk_dunning_policy_plans")),
    )
    op.create_index(
        "ix_dunning_policy_plans_policy_id",
        "dunning_policy_plans",
        ["merchant_id", "policy_id"],
        unique=False,
    )
    op.create_table(
        "reconciliations",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("gateway_account_id", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("window_start", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("window_end", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("charges_there", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refunds_there", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("differences", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status IN ('succeeded', 'failed')) = (finished_at IS NOT NULL)",
            name=op.f("ck_reconciliations_finished"),
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'succeeded', 'failed')",
            name=op.f("ck_reconciliations_status"),
        ),
        sa.CheckConstraint("window_start < window_end", name=op.f("ck_reconciliations_window")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "gateway_account_id"],
            ["gateway_accounts.merchant_id", "gateway_accounts.id"],
            name=op.f("fk_reconciliations_gateway_accounts"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_reconciliations")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_reconciliations_gateway_account_id",
        "reconciliations",
        ["merchant_id", "gateway_account_id"],
        unique=False,
    )
    op.create_index(
        "ix_reconciliations_pending",
        "reconciliations",
        ["created_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("webhook_endpoint_id", sa.UUID(), nullable=False),
        sa.Column("event_id", sa.UUID(), nullable=False),
        sa.Column("object_id", sa.UUID(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt_count", sa.SmallInteger(), nullable=False),
        sa.Column("response_status", sa.SmallInteger(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("settled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(status = 'pending') = (settled_at IS NULL)",
            name=op.f("ck_webhook_deliveries_settled"),
        ),
        sa.CheckConstraint(
            "cause IN ('event', 'resend', 'replay')", name=op.f("ck_webhook_deliveries_cause")
        ),
        sa.CheckConstraint(
            "due_at IS NULL OR status = 'pending'", name=op.f("ck_webhook_deliveries_due")
        ),
        sa.CheckConstraint(
            "status IN ('pending', 'delivered', 'failed', 'canceled')",
            name=op.f("ck_webhook_deliveries_status"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "event_id"],
            ["events.merchant_id", "events.id"],
            name=op.f("fk_webhook_deliveries_events"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "webhook_endpoint_id"],
            ["webhook_endpoints.merchant_id", "webhook_endpoints.id"],
            name=op.f("fk_webhook_deliveries_webhook_endpoints"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_webhook_deliveries")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["merchant_id", "webhook_endpoint_id", "due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_webhook_deliveries_pending",
        "webhook_deliveries",
        ["merchant_id", "webhook_endpoint_id", "object_id", "position"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_webhook_deliveries_settled_at", "webhook_deliveries", ["settled_at"], unique=False
    )
    op.create_index(
        "ix_webhook_deliveries_webhook_endpoint_id",
        "webhook_deliveries",
        ["merchant_id", "webhook_endpoint_id", "id"],
        unique=False,
    )
    op.create_index(
        "uq_webhook_deliveries_event",
        "webhook_deliveries",
        ["merchant_id", "event_id", "webhook_endpoint_id"],
        unique=True,
        postgresql_where=sa.text("cause = 'event'"),
    )
    op.create_table(
        "webhook_lanes",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("webhook_endpoint_id", sa.UUID(), nullable=False),
        sa.Column("last_position", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("complete_after", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("holder", sa.UUID(), nullable=True),
        sa.Column("lease_until", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("failures", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("failing_since", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(failures = 0) = (failing_since IS NULL)", name=op.f("ck_webhook_lanes_failing")
        ),
        sa.CheckConstraint(
            "(holder IS NULL) = (lease_until IS NULL)", name=op.f("ck_webhook_lanes_lease")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "webhook_endpoint_id"],
            ["webhook_endpoints.merchant_id", "webhook_endpoints.id"],
            name=op.f("fk_webhook_lanes_webhook_endpoints"),
        ),
        sa.PrimaryKeyConstraint(
            "merchant_id", "webhook_endpoint_id", name=op.f("pk_webhook_lanes")
        ),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_webhook_lanes_due_at",
        "webhook_lanes",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_table(
        "gateway_customers",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("gateway_account_id", sa.UUID(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_gateway_customers_customers"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "gateway_account_id"],
            ["gateway_accounts.merchant_id", "gateway_accounts.id"],
            name=op.f("fk_gateway_customers_gateway_accounts"),
        ),
        sa.PrimaryKeyConstraint(
            "merchant_id", "customer_id", "gateway_account_id", name=op.f("pk_gateway_customers")
        ),
    )
    op.create_table(
        "reconciliation_differences",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("reconciliation_id", sa.UUID(), nullable=True),
        sa.Column("gateway_account_id", sa.UUID(), nullable=False),
        sa.Column("difference_key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount_here", sa.BigInteger(), nullable=True),
        sa.Column("amount_there", sa.BigInteger(), nullable=True),
        sa.Column("gateway_reference", sa.Text(), nullable=True),
        sa.Column("our_reference", sa.Text(), nullable=True),
        sa.Column("payment_attempt_id", sa.UUID(), nullable=True),
        sa.Column("refund_id", sa.UUID(), nullable=True),
        sa.Column("payment_id", sa.UUID(), nullable=True),
        sa.Column("repair", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column(
            "detail",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("seen_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("sent_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("tried_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("resolved_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(status IN ('repaired', 'dismissed')) = (resolved_at IS NOT NULL)",
            name=op.f("ck_reconciliation_differences_resolved"),
        ),
        sa.CheckConstraint(
            "currency ~ '^[A-Z]{3}$'", name=op.f("ck_reconciliation_differences_currency")
        ),
        sa.CheckConstraint(
            "kind IN ('charge_unknown_here', 'charged_twice', 'charge_after_closing', 'charge_not_settled_here', 'charge_missing_there', 'charge_undone_there', 'charge_amount_differs', 'fee_differs', 'refund_unknown_here', 'refund_after_closing', 'refund_not_settled_here', 'refund_missing_there', 'refund_undone_there', 'refund_amount_differs')",
            name=op.f("ck_reconciliation_differences_kind"),
        ),
        sa.CheckConstraint(
            "repair IN ('settle', 'apply', 'refund', 'record')",
            name=op.f("ck_reconciliation_differences_repair"),
        ),
        sa.CheckConstraint(
            "status IN ('open', 'repairing', 'repaired', 'dismissed')",
            name=op.f("ck_reconciliation_differences_status"),
        ),
        sa.CheckConstraint(
            "status NOT IN ('repairing', 'repaired') OR repair IS NOT NULL",
            name=op.f("ck_reconciliation_differences_repairing"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "gateway_account_id"],
            ["gateway_accounts.merchant_id", "gateway_accounts.id"],
            name=op.f("fk_reconciliation_differences_gateway_accounts"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "reconciliation_id"],
            ["reconciliations.merchant_id", "reconciliations.id"],
            name=op.f("fk_reconciliation_differences_reconciliations"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_reconciliation_differences")),
        sa.UniqueConstraint(
            "merchant_id",
            "gateway_account_id",
            "difference_key",
            name="uq_reconciliation_differences",
        ),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_reconciliation_differences_open",
        "reconciliation_differences",
        ["merchant_id", "created_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('open', 'repairing')"),
    )
    op.create_table(
        "webhook_attempts",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("delivery_id", sa.UUID(), nullable=False),
        sa.Column("ordinal", sa.SmallInteger(), nullable=False),
        sa.Column("started_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("response_status", sa.SmallInteger(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("excerpt", sa.Text(), nullable=True),
        sa.CheckConstraint("length(excerpt) <= 500", name=op.f("ck_webhook_attempts_excerpt")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "delivery_id"],
            ["webhook_deliveries.merchant_id", "webhook_deliveries.id"],
            name=op.f("fk_webhook_attempts_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_webhook_attempts")),
    )
    op.create_index(
        "ix_webhook_attempts_delivery_id",
        "webhook_attempts",
        ["merchant_id", "delivery_id", "started_at"],
        unique=False,
    )
    op.create_table(
        "setup_sessions",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("gateway_account_id", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=True),
        sa.Column("return_url", sa.Text(), nullable=True),
        sa.Column("cancel_url", sa.Text(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("amount_max", sa.BigInteger(), nullable=True),
        sa.Column("mandate_expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("make_default", sa.Boolean(), nullable=False),
        sa.Column("client_token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("handover_ciphertext", sa.Text(), nullable=True),
        sa.Column("gateway_reference", sa.Text(), nullable=True),
        sa.Column("gateway_customer_reference", sa.Text(), nullable=True),
        sa.Column("payment_method_id", sa.UUID(), nullable=True),
        sa.Column("failure_code", sa.Text(), nullable=True),
        sa.Column("failure_category", sa.Text(), nullable=True),
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
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("ended_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(status = 'completed') = (payment_method_id IS NOT NULL)",
            name=op.f("ck_setup_sessions_completed_has_method"),
        ),
        sa.CheckConstraint(
            "(status IN ('completed', 'failed', 'expired')) = (ended_at IS NOT NULL) AND (status IN ('starting', 'open')) = (look_up_at IS NOT NULL)",
            name=op.f("ck_setup_sessions_ended"),
        ),
        sa.CheckConstraint(
            "flow IN ('client_secret', 'redirect', 'checkout', 'tokenization')",
            name=op.f("ck_setup_sessions_flow"),
        ),
        sa.CheckConstraint(
            "status <> 'open' OR gateway_reference IS NOT NULL",
            name=op.f("ck_setup_sessions_open_has_reference"),
        ),
        sa.CheckConstraint(
            "status IN ('starting', 'open', 'completed', 'failed', 'expired')",
            name=op.f("ck_setup_sessions_status"),
        ),
        sa.CheckConstraint(
            "octet_length(client_token_hash) = 32", name=op.f("ck_setup_sessions_client_token_hash")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_setup_sessions_customers"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "gateway_account_id"],
            ["gateway_accounts.merchant_id", "gateway_accounts.id"],
            name=op.f("fk_setup_sessions_gateway_accounts"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "payment_method_id"],
            ["payment_methods.merchant_id", "payment_methods.id"],
            name=op.f("fk_setup_sessions_payment_methods"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_setup_sessions")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_setup_sessions_customer_id",
        "setup_sessions",
        ["merchant_id", "customer_id"],
        unique=False,
    )
    op.create_index(
        "ix_setup_sessions_gateway_reference",
        "setup_sessions",
        ["merchant_id", "gateway_account_id", "gateway_reference"],
        unique=False,
    )
    op.create_index(
        "ix_setup_sessions_look_up",
        "setup_sessions",
        ["look_up_at"],
        unique=False,
        postgresql_where=sa.text("look_up_at IS NOT NULL"),
    )
    op.create_index(
        "uq_setup_sessions_code", "setup_sessions", ["merchant_id", "code"], unique=True
    )
    op.create_table(
        "dunning_runs",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("invoice_id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("policy_id", sa.UUID(), nullable=True),
        sa.Column("collection_method", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("paid_before", sa.BigInteger(), nullable=False),
        sa.Column("terms", postgresql.JSON(astext_type=sa.Text()), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("failed_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("next_attempt_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("next_action_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("waiting_for", sa.Text(), nullable=True),
        sa.Column("first_category", sa.Text(), nullable=True),
        sa.Column("last_category", sa.Text(), nullable=True),
        sa.Column("last_code", sa.Text(), nullable=True),
        sa.Column("blocked_method_id", sa.UUID(), nullable=True),
        sa.Column("changed_method_id", sa.UUID(), nullable=True),
        sa.Column("method_changed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("paused_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("ended_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column("final_action", sa.Text(), nullable=True),
        sa.Column("amount_recovered", sa.BigInteger(), nullable=False),
        sa.Column("recovered_by_attempt", sa.SmallInteger(), nullable=True),
        sa.Column("parked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("parked_reason", sa.Text(), nullable=True),
        sa.Column("test_clock_id", sa.UUID(), nullable=True),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(status = 'paused') = (paused_at IS NOT NULL)", name=op.f("ck_dunning_runs_paused")
        ),
        sa.CheckConstraint(
            "(status IN ('active', 'paused')) = (ended_at IS NULL)",
            name=op.f("ck_dunning_runs_ended"),
        ),
        sa.CheckConstraint(
            "collection_method IN ('charge_automatically', 'send_invoice')",
            name=op.f("ck_dunning_runs_collection_method"),
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_dunning_runs_currency")),
        sa.CheckConstraint(
            "end_reason IN ('paid', 'exhausted', 'configuration', 'credited', 'voided', 'written_off', 'subscription_ended', 'by_hand')",
            name=op.f("ck_dunning_runs_end_reason"),
        ),
        sa.CheckConstraint(
            "final_action IN ('cancel', 'unpaid', 'pause', 'keep')",
            name=op.f("ck_dunning_runs_final_action"),
        ),
        sa.CheckConstraint(
            "first_category IN ('hard', 'soft', 'action_required', 'fraud', 'configuration')",
            name=op.f("ck_dunning_runs_first_category"),
        ),
        sa.CheckConstraint(
            "last_category IN ('hard', 'soft', 'action_required', 'fraud', 'configuration')",
            name=op.f("ck_dunning_runs_last_category"),
        ),
        sa.CheckConstraint(
            "status = 'active' OR (next_attempt_at IS NULL AND next_action_at IS NULL)",
            name=op.f("ck_dunning_runs_over_is_over"),
        ),
        sa.CheckConstraint(
            "status = 'recovered' OR amount_recovered = 0", name=op.f("ck_dunning_runs_recovered")
        ),
        sa.CheckConstraint(
            "status IN ('active', 'paused', 'stopped', 'recovered', 'exhausted')",
            name=op.f("ck_dunning_runs_status"),
        ),
        sa.CheckConstraint(
            "waiting_for IN ('payment_method', 'customer')",
            name=op.f("ck_dunning_runs_waiting_for"),
        ),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (end_reason IS NULL)",
            name=op.f("ck_dunning_runs_ended_for_a_reason"),
        ),
        sa.CheckConstraint(
            "amount > 0 AND paid_before >= 0 AND amount_recovered >= 0",
            name=op.f("ck_dunning_runs_amount"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "blocked_method_id"],
            ["payment_methods.merchant_id", "payment_methods.id"],
            name=op.f("fk_dunning_runs_blocked_method_id"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "customer_id"],
            ["customers.merchant_id", "customers.id"],
            name=op.f("fk_dunning_runs_customers"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "invoice_id"],
            ["invoices.merchant_id", "invoices.id"],
            name=op.f("fk_dunning_runs_invoices"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "policy_id"],
            ["dunning_policies.merchant_id", "dunning_policies.id"],
            name=op.f("fk_dunning_runs_policy_id"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_dunning_runs")),
        sa.UniqueConstraint("merchant_id", "invoice_id", name="uq_dunning_runs_invoice_id"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_dunning_runs_due",
        "dunning_runs",
        ["next_action_at"],
        unique=False,
        postgresql_where=sa.text("next_action_at IS NOT NULL AND parked_at IS NULL"),
    )
    op.create_index(
        "ix_dunning_runs_live",
        "dunning_runs",
        ["merchant_id", "customer_id"],
        unique=False,
        postgresql_where=sa.text("status IN ('active', 'paused')"),
    )
    op.create_table(
        "payment_links",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("invoice_id", sa.UUID(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("last_four", sa.Text(), nullable=False),
        sa.Column("return_url", sa.Text(), nullable=True),
        sa.Column("setup_session_id", sa.UUID(), nullable=True),
        sa.Column("expires_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("revoked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("acts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("acts_since", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint("acts >= 0", name=op.f("ck_payment_links_acts")),
        sa.CheckConstraint(
            "octet_length(token_hash) = 32", name=op.f("ck_payment_links_token_hash")
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "invoice_id"],
            ["invoices.merchant_id", "invoices.id"],
            name=op.f("fk_payment_links_invoices"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "setup_session_id"],
            ["setup_sessions.merchant_id", "setup_sessions.id"],
            name=op.f("fk_payment_links_setup_sessions"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_payment_links")),
        sa.UniqueConstraint("merchant_id", "token_hash", name="uq_payment_links_token_hash"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_payment_links_invoice_id", "payment_links", ["merchant_id", "invoice_id"], unique=False
    )
    op.create_table(
        "disputes",
        sa.Column("merchant_id", sa.UUID(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("gateway_account_id", sa.UUID(), nullable=False),
        sa.Column("gateway_reference", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.UUID(), nullable=False),
        sa.Column("invoice_id", sa.UUID(), nullable=False),
        sa.Column("customer_id", sa.UUID(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn", sa.BigInteger(), nullable=False),
        sa.Column("fee", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("opened_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("evidence_due_by", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("closed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("asked_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("created_at", postgresql.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(status IN ('won', 'lost', 'closed')) = (closed_at IS NOT NULL)",
            name=op.f("ck_disputes_closed"),
        ),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_disputes_currency")),
        sa.CheckConstraint(
            "status IN ('needs_response', 'under_review', 'won', 'lost', 'closed')",
            name=op.f("ck_disputes_status"),
        ),
        sa.CheckConstraint("amount > 0", name=op.f("ck_disputes_amount")),
        sa.CheckConstraint("withdrawn >= 0", name=op.f("ck_disputes_withdrawn")),
        sa.ForeignKeyConstraint(
            ["merchant_id", "gateway_account_id"],
            ["gateway_accounts.merchant_id", "gateway_accounts.id"],
            name=op.f("fk_disputes_gateway_accounts"),
        ),
        sa.ForeignKeyConstraint(
            ["merchant_id", "payment_id"],
            ["payments.merchant_id", "payments.id"],
            name=op.f("fk_disputes_payments"),
        ),
        sa.PrimaryKeyConstraint("merchant_id", "id", name=op.f("pk_disputes")),
        sa.UniqueConstraint(
            "merchant_id", "gateway_account_id", "gateway_reference", name="uq_disputes"
        ),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_disputes_payment_id", "disputes", ["merchant_id", "payment_id"], unique=False
    )
    op.drop_index(
        op.f("ix_deliveries_due"), table_name="deliveries", postgresql_where="(due_at IS NOT NULL)"
    )
    op.drop_table("deliveries")
    op.add_column(
        "gateway_accounts",
        sa.Column(
            "credentials",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'[]'"),
            nullable=False,
        ),
    )
    op.add_column(
        "gateway_accounts", sa.Column("webhook_secret_ciphertext", sa.Text(), nullable=True)
    )
    op.add_column(
        "gateway_accounts",
        sa.Column("webhook_secret_updated_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.add_column(
        "gateway_accounts",
        sa.Column("previous_webhook_secret_ciphertext", sa.Text(), nullable=True),
    )
    op.add_column(
        "gateway_accounts",
        sa.Column(
            "previous_webhook_secret_expires_at", postgresql.TIMESTAMP(timezone=True), nullable=True
        ),
    )
    op.add_column("gateway_accounts", sa.Column("check_result", sa.Text(), nullable=True))
    op.add_column(
        "gateway_accounts",
        sa.Column("checked_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.add_column(
        "gateway_accounts",
        sa.Column("disputes_polled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.create_index("ix_gateway_accounts_id", "gateway_accounts", ["id"], unique=False)
    op.add_column(
        "inbound_events",
        sa.Column("kind", sa.Text(), server_default=sa.text("'other'"), nullable=False),
    )
    op.add_column("inbound_events", sa.Column("reference", sa.Text(), nullable=True))
    op.add_column("inbound_events", sa.Column("our_reference", sa.Text(), nullable=True))
    op.add_column("inbound_events", sa.Column("payment_reference", sa.Text(), nullable=True))
    op.add_column("inbound_events", sa.Column("subject", sa.Text(), nullable=True))
    op.add_column(
        "inbound_events",
        sa.Column("occurred_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.add_column("inbound_events", sa.Column("reason", sa.Text(), nullable=True))
    op.create_index(
        "ix_inbound_events_done",
        "inbound_events",
        ["settled_at"],
        unique=False,
        postgresql_where=sa.text("status IN ('settled', 'ignored')"),
    )
    op.create_index(
        "ix_inbound_events_subject",
        "inbound_events",
        ["merchant_id", "gateway_account_id", "kind", "subject", "id"],
        unique=False,
        postgresql_where=sa.text("status = 'received'"),
    )
    op.create_index(
        "ix_invoices_overdue",
        "invoices",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("status = 'open' AND collection_method = 'send_invoice'"),
    )
    op.add_column(
        "payment_attempts",
        sa.Column("request", postgresql.JSON(astext_type=sa.Text()), nullable=True),
    )
    op.add_column(
        "payment_attempts",
        sa.Column("last_sent_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.add_column(
        "payment_attempts",
        sa.Column("absent_since", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.add_column(
        "payment_attempts",
        sa.Column("capture_sent_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.add_column(
        "payment_attempts",
        sa.Column("void_wanted_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.add_column(
        "payment_methods", sa.Column("network_transaction_amount", sa.BigInteger(), nullable=True)
    )
    op.add_column("payment_methods", sa.Column("fingerprint", sa.Text(), nullable=True))
    op.add_column(
        "payment_methods",
        sa.Column("is_usable", sa.Boolean(), server_default=sa.text("true"), nullable=False),
    )
    op.add_column(
        "payment_methods",
        sa.Column("refused_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.add_column("payment_methods", sa.Column("backup_order", sa.SmallInteger(), nullable=True))
    op.add_column(
        "payment_methods",
        sa.Column("refreshed_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.add_column("payment_methods", sa.Column("expiry_notice", sa.BigInteger(), nullable=True))
    op.add_column(
        "payment_methods",
        sa.Column("detach_due_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.add_column(
        "payment_methods",
        sa.Column("detach_look_ups", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "payment_methods",
        sa.Column("detached_at_gateway", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.create_index(
        "ix_payment_methods_detach_due",
        "payment_methods",
        ["detach_due_at"],
        unique=False,
        postgresql_where=sa.text("detach_due_at IS NOT NULL"),
    )
    op.create_index(
        "ix_payment_methods_expiry",
        "payment_methods",
        ["expiry_year", "expiry_month"],
        unique=False,
        postgresql_where=sa.text("detached_at IS NULL"),
    )
    op.add_column("payments", sa.Column("postponed_reason", sa.Text(), nullable=True))
    op.add_column("payments", sa.Column("offline_method", sa.Text(), nullable=True))
    op.add_column("payments", sa.Column("reference", sa.Text(), nullable=True))
    op.add_column("payments", sa.Column("note", sa.Text(), nullable=True))
    op.add_column(
        "payments", sa.Column("received_at", postgresql.TIMESTAMP(timezone=True), nullable=True)
    )
    op.add_column(
        "payments",
        sa.Column(
            "amount_to_balance", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
    )
    op.add_column(
        "payments", sa.Column("reversed_at", postgresql.TIMESTAMP(timezone=True), nullable=True)
    )
    op.add_column("payments", sa.Column("reversal_reason", sa.Text(), nullable=True))
    op.create_index(
        "ix_payments_postponed",
        "payments",
        ["merchant_id", "created_at"],
        unique=False,
        postgresql_where=sa.text("postponed_reason IS NOT NULL"),
    )
    op.create_index(
        "uq_payments_reference",
        "payments",
        ["merchant_id", "reference"],
        unique=True,
        postgresql_where=sa.text("reference IS NOT NULL AND status <> 'reversed'"),
    )
    op.add_column(
        "refunds",
        sa.Column("destination", sa.Text(), server_default=sa.text("'gateway'"), nullable=False),
    )
    op.add_column(
        "refunds", sa.Column("request", postgresql.JSON(astext_type=sa.Text()), nullable=True)
    )
    op.add_column(
        "refunds", sa.Column("last_sent_at", postgresql.TIMESTAMP(timezone=True), nullable=True)
    )
    op.add_column(
        "refunds", sa.Column("absent_since", postgresql.TIMESTAMP(timezone=True), nullable=True)
    )
    op.alter_column("refunds", "gateway_account_id", existing_type=sa.UUID(), nullable=True)
    op.create_index("uq_refunds_reference", "refunds", ["merchant_id", "reference"], unique=True)
    op.add_column(
        "subscriptions",
        sa.Column("ahead_start", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.add_column("subscriptions", sa.Column("ahead_invoice_id", sa.UUID(), nullable=True))
    op.create_index(
        "ix_subscriptions_billed_in_vain",
        "subscriptions",
        ["ahead_start"],
        unique=False,
        postgresql_where=sa.text(
            "ahead_invoice_id IS NOT NULL AND (ended_at IS NOT NULL OR paused_at IS NOT NULL OR ahead_start <> period_end OR cancel_at_period_end OR cancel_at <= ahead_start)"
        ),
    )
    op.add_column(
        "webhook_endpoints",
        sa.Column("disabled_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.add_column(
        "webhook_endpoints",
        sa.Column(
            "metadata",
            postgresql.JSON(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
    )
    op.add_column(
        "webhook_endpoints",
        sa.Column("deleted_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
    )
    op.alter_column(
        "webhook_endpoints", "secret_ciphertext", existing_type=sa.TEXT(), nullable=True
    )
    op.create_check_constraint(
        op.f("ck_balance_transactions_type"),
        "balance_transactions",
        "type IN ('adjustment', 'applied_to_invoice', 'unapplied_from_invoice', 'credited_by_invoice', 'credit_note', 'late_payment', 'overpayment', 'refund')",
    )
    op.create_check_constraint(
        op.f("ck_gateway_accounts_check_result"),
        "gateway_accounts",
        "check_result IN ('valid', 'refused', 'unreachable')",
    )
    op.create_check_constraint(
        op.f("ck_gateway_accounts_check_result_is_dated"),
        "gateway_accounts",
        "(check_result IS NULL) = (checked_at IS NULL)",
    )
    op.create_check_constraint(
        op.f("ck_gateway_accounts_previous_webhook_secret_expires"),
        "gateway_accounts",
        "(previous_webhook_secret_ciphertext IS NULL) = (previous_webhook_secret_expires_at IS NULL)",
    )
    op.create_check_constraint(
        op.f("ck_inbound_events_status"),
        "inbound_events",
        "status IN ('received', 'settled', 'ignored', 'orphaned', 'failed')",
    )
    op.create_check_constraint(
        op.f("ck_ledger_entries_source"),
        "ledger_entries",
        "source IN ('invoice', 'invoice_void', 'invoice_write_off', 'payment', 'refund', 'credit_note', 'credit_note_void', 'balance', 'dispute')",
    )
    op.create_check_constraint(
        op.f("ck_payments_offline"),
        "payments",
        "CASE WHEN offline_method IS NULL THEN received_at IS NULL AND reference IS NULL AND amount_to_balance = 0 AND status <> 'reversed' ELSE received_at IS NOT NULL AND status IN ('succeeded', 'reversed') AND attempt_count = 0 END",
    )
    op.create_check_constraint(
        op.f("ck_payments_offline_method"),
        "payments",
        "offline_method IN ('bank_transfer', 'cash', 'cheque', 'other')",
    )
    op.create_check_constraint(
        op.f("ck_payments_postponed"),
        "payments",
        "postponed_reason IS NULL OR status = 'scheduled'",
    )
    op.create_check_constraint(
        op.f("ck_payments_refunds_within_capture"),
        "payments",
        "least(amount_refunded, amount_refund_reserved, amount_to_balance) >= 0 AND amount_refunded + amount_refund_reserved + amount_to_balance <= amount_captured",
    )
    op.create_check_constraint(
        op.f("ck_payments_reversed"),
        "payments",
        "(status = 'reversed') = (reversed_at IS NOT NULL)",
    )
    op.create_check_constraint(
        op.f("ck_payments_status"),
        "payments",
        "status IN ('scheduled', 'requires_payment_method', 'requires_action', 'processing', 'unknown', 'succeeded', 'failed', 'canceled', 'reversed')",
    )
    op.create_check_constraint(
        op.f("ck_refunds_destination"),
        "refunds",
        "destination IN ('gateway', 'outside', 'balance')",
    )
    op.create_check_constraint(
        op.f("ck_refunds_elsewhere_is_over"),
        "refunds",
        "destination = 'gateway' OR status = 'succeeded'",
    )
    op.create_check_constraint(
        op.f("ck_refunds_goes_by_a_gateway"),
        "refunds",
        "(destination = 'gateway') = (gateway_account_id IS NOT NULL)",
    )
    op.create_check_constraint(
        op.f("ck_subscriptions_ahead"),
        "subscriptions",
        "ahead_invoice_id IS NULL OR ahead_start IS NOT NULL",
    )
    op.create_check_constraint(
        op.f("ck_webhook_endpoints_deleted"),
        "webhook_endpoints",
        "deleted_at IS NULL OR NOT enabled",
    )
    op.create_check_constraint(
        op.f("ck_webhook_endpoints_disabled"),
        "webhook_endpoints",
        "enabled = (disabled_at IS NULL)",
    )
    op.create_check_constraint(
        op.f("ck_webhook_endpoints_previous_secret"),
        "webhook_endpoints",
        "(previous_secret_ciphertext IS NULL) = (previous_secret_expires_at IS NULL)",
    )
    op.create_check_constraint(
        op.f("ck_webhook_endpoints_secret"),
        "webhook_endpoints",
        "(secret_ciphertext IS NULL) = (deleted_at IS NOT NULL)",
    )
    op.create_index(
        "uq_payments_live",
        "payments",
        ["merchant_id", "invoice_id"],
        unique=True,
        postgresql_where=sa.text("status NOT IN ('succeeded', 'canceled', 'failed', 'reversed')"),
    )
    op.execute(
        "ALTER TABLE inbound_events ADD CONSTRAINT uq_inbound_events UNIQUE (merchant_id, gateway_event_id, gateway_account_id)"
    )
    for statement in collection_guards.upgrade(TABLES):
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE inbound_events DROP CONSTRAINT uq_inbound_events")
    op.drop_index(
        "uq_payments_live",
        table_name="payments",
        postgresql_where=sa.text("status NOT IN ('succeeded', 'canceled', 'failed', 'reversed')"),
    )
    op.drop_constraint(op.f("ck_webhook_endpoints_secret"), "webhook_endpoints", type_="check")
    op.drop_constraint(
        op.f("ck_webhook_endpoints_previous_secret"), "webhook_endpoints", type_="check"
    )
    op.drop_constraint(op.f("ck_webhook_endpoints_disabled"), "webhook_endpoints", type_="check")
    op.drop_constraint(op.f("ck_webhook_endpoints_deleted"), "webhook_endpoints", type_="check")
    op.drop_constraint(op.f("ck_subscriptions_ahead"), "subscriptions", type_="check")
    op.drop_constraint(op.f("ck_refunds_goes_by_a_gateway"), "refunds", type_="check")
    op.drop_constraint(op.f("ck_refunds_elsewhere_is_over"), "refunds", type_="check")
    op.drop_constraint(op.f("ck_refunds_destination"), "refunds", type_="check")
    op.drop_constraint(op.f("ck_payments_status"), "payments", type_="check")
    op.drop_constraint(op.f("ck_payments_reversed"), "payments", type_="check")
    op.drop_constraint(op.f("ck_payments_refunds_within_capture"), "payments", type_="check")
    op.drop_constraint(op.f("ck_payments_postponed"), "payments", type_="check")
    op.drop_constraint(op.f("ck_payments_offline_method"), "payments", type_="check")
    op.drop_constraint(op.f("ck_payments_offline"), "payments", type_="check")
    op.drop_constraint(op.f("ck_ledger_entries_source"), "ledger_entries", type_="check")
    op.drop_constraint(op.f("ck_inbound_events_status"), "inbound_events", type_="check")
    op.drop_constraint(
        op.f("ck_gateway_accounts_previous_webhook_secret_expires"),
        "gateway_accounts",
        type_="check",
    )
    op.drop_constraint(
        op.f("ck_gateway_accounts_check_result_is_dated"), "gateway_accounts", type_="check"
    )
    op.drop_constraint(op.f("ck_gateway_accounts_check_result"), "gateway_accounts", type_="check")
    op.drop_constraint(op.f("ck_balance_transactions_type"), "balance_transactions", type_="check")
    op.alter_column(
        "webhook_endpoints", "secret_ciphertext", existing_type=sa.TEXT(), nullable=False
    )
    op.drop_column("webhook_endpoints", "deleted_at")
    op.drop_column("webhook_endpoints", "metadata")
    op.drop_column("webhook_endpoints", "disabled_at")
    op.drop_index(
        "ix_subscriptions_billed_in_vain",
        table_name="subscriptions",
        postgresql_where=sa.text(
            "ahead_invoice_id IS NOT NULL AND (ended_at IS NOT NULL OR paused_at IS NOT NULL OR ahead_start <> period_end OR cancel_at_period_end OR cancel_at <= ahead_start)"
        ),
    )
    op.drop_column("subscriptions", "ahead_invoice_id")
    op.drop_column("subscriptions", "ahead_start")
    op.drop_index("uq_refunds_reference", table_name="refunds")
    op.alter_column("refunds", "gateway_account_id", existing_type=sa.UUID(), nullable=False)
    op.drop_column("refunds", "absent_since")
    op.drop_column("refunds", "last_sent_at")
    op.drop_column("refunds", "request")
    op.drop_column("refunds", "destination")
    op.drop_index(
        "uq_payments_reference",
        table_name="payments",
        postgresql_where=sa.text("reference IS NOT NULL AND status <> 'reversed'"),
    )
    op.drop_index(
        "ix_payments_postponed",
        table_name="payments",
        postgresql_where=sa.text("postponed_reason IS NOT NULL"),
    )
    op.drop_column("payments", "reversal_reason")
    op.drop_column("payments", "reversed_at")
    op.drop_column("payments", "amount_to_balance")
    op.drop_column("payments", "received_at")
    op.drop_column("payments", "note")
    op.drop_column("payments", "reference")
    op.drop_column("payments", "offline_method")
    op.drop_column("payments", "postponed_reason")
    op.drop_index(
        "ix_payment_methods_expiry",
        table_name="payment_methods",
        postgresql_where=sa.text("detached_at IS NULL"),
    )
    op.drop_index(
        "ix_payment_methods_detach_due",
        table_name="payment_methods",
        postgresql_where=sa.text("detach_due_at IS NOT NULL"),
    )
    op.drop_column("payment_methods", "detached_at_gateway")
    op.drop_column("payment_methods", "detach_look_ups")
    op.drop_column("payment_methods", "detach_due_at")
    op.drop_column("payment_methods", "expiry_notice")
    op.drop_column("payment_methods", "refreshed_at")
    op.drop_column("payment_methods", "backup_order")
    op.drop_column("payment_methods", "refused_at")
    op.drop_column("payment_methods", "is_usable")
    op.drop_column("payment_methods", "fingerprint")
    op.drop_column("payment_methods", "network_transaction_amount")
    op.drop_column("payment_attempts", "void_wanted_at")
    op.drop_column("payment_attempts", "capture_sent_at")
    op.drop_column("payment_attempts", "absent_since")
    op.drop_column("payment_attempts", "last_sent_at")
    op.drop_column("payment_attempts", "request")
    op.drop_index(
        "ix_invoices_overdue",
        table_name="invoices",
        postgresql_where=sa.text("status = 'open' AND collection_method = 'send_invoice'"),
    )
    op.drop_index(
        "ix_inbound_events_subject",
        table_name="inbound_events",
        postgresql_where=sa.text("status = 'received'"),
    )
    op.drop_index(
        "ix_inbound_events_done",
        table_name="inbound_events",
        postgresql_where=sa.text("status IN ('settled', 'ignored')"),
    )
    op.drop_column("inbound_events", "reason")
    op.drop_column("inbound_events", "occurred_at")
    op.drop_column("inbound_events", "subject")
    op.drop_column("inbound_events", "payment_reference")
    op.drop_column("inbound_events", "our_reference")
    op.drop_column("inbound_events", "reference")
    op.drop_column("inbound_events", "kind")
    op.drop_index("ix_gateway_accounts_id", table_name="gateway_accounts")
    op.drop_column("gateway_accounts", "disputes_polled_at")
    op.drop_column("gateway_accounts", "checked_at")
    op.drop_column("gateway_accounts", "check_result")
    op.drop_column("gateway_accounts", "previous_webhook_secret_expires_at")
    op.drop_column("gateway_accounts", "previous_webhook_secret_ciphertext")
    op.drop_column("gateway_accounts", "webhook_secret_updated_at")
    op.drop_column("gateway_accounts", "webhook_secret_ciphertext")
    op.drop_column("gateway_accounts", "credentials")
    op.create_table(
        "deliveries",
        sa.Column("merchant_id", sa.UUID(), autoincrement=False, nullable=False),
        sa.Column("id", sa.UUID(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.UUID(), autoincrement=False, nullable=False),
        sa.Column("webhook_endpoint_id", sa.UUID(), autoincrement=False, nullable=False),
        sa.Column("status", sa.TEXT(), autoincrement=False, nullable=False),
        sa.Column("attempts", sa.SMALLINT(), autoincrement=False, nullable=False),
        sa.Column("response_status", sa.SMALLINT(), autoincrement=False, nullable=True),
        sa.Column("detail", sa.TEXT(), autoincrement=False, nullable=True),
        sa.Column(
            "created_at", postgresql.TIMESTAMP(timezone=True), autoincrement=False, nullable=False
        ),
        sa.Column(
            "due_at", postgresql.TIMESTAMP(timezone=True), autoincrement=False, nullable=True
        ),
        sa.Column(
            "lease_until", postgresql.TIMESTAMP(timezone=True), autoincrement=False, nullable=True
        ),
        sa.Column(
            "delivered_at", postgresql.TIMESTAMP(timezone=True), autoincrement=False, nullable=True
        ),
        sa.CheckConstraint(
            "status = ANY (ARRAY['pending'::text, 'delivered'::text, 'failed'::text])",
            name=op.f("ck_deliveries_status"),
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
        sa.UniqueConstraint(
            "merchant_id",
            "event_id",
            "webhook_endpoint_id",
            name=op.f("uq_deliveries"),
            postgresql_include=[],
            postgresql_nulls_not_distinct=False,
        ),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        op.f("ix_deliveries_due"),
        "deliveries",
        ["due_at"],
        unique=False,
        postgresql_where="(due_at IS NOT NULL)",
    )
    op.drop_index("ix_disputes_payment_id", table_name="disputes")
    op.drop_table("disputes")
    op.drop_index("ix_payment_links_invoice_id", table_name="payment_links")
    op.drop_table("payment_links")
    op.drop_index(
        "ix_dunning_runs_live",
        table_name="dunning_runs",
        postgresql_where=sa.text("status IN ('active', 'paused')"),
    )
    op.drop_index(
        "ix_dunning_runs_due",
        table_name="dunning_runs",
        postgresql_where=sa.text("next_action_at IS NOT NULL AND parked_at IS NULL"),
    )
    op.drop_table("dunning_runs")
    op.drop_index("uq_setup_sessions_code", table_name="setup_sessions")
    op.drop_index(
        "ix_setup_sessions_look_up",
        table_name="setup_sessions",
        postgresql_where=sa.text("look_up_at IS NOT NULL"),
    )
    op.drop_index("ix_setup_sessions_gateway_reference", table_name="setup_sessions")
    op.drop_index("ix_setup_sessions_customer_id", table_name="setup_sessions")
    op.drop_table("setup_sessions")
    op.drop_index("ix_webhook_attempts_delivery_id", table_name="webhook_attempts")
    op.drop_table("webhook_attempts")
    op.drop_index(
        "ix_reconciliation_differences_open",
        table_name="reconciliation_differences",
        postgresql_where=sa.text("status IN ('open', 'repairing')"),
    )
    op.drop_table("reconciliation_differences")
    op.drop_table("gateway_customers")
    op.drop_index(
        "ix_webhook_lanes_due_at",
        table_name="webhook_lanes",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.drop_table("webhook_lanes")
    op.drop_index(
        "uq_webhook_deliveries_event",
        table_name="webhook_deliveries",
        postgresql_where=sa.text("cause = 'event'"),
    )
    op.drop_index("ix_webhook_deliveries_webhook_endpoint_id", table_name="webhook_deliveries")
    op.drop_index("ix_webhook_deliveries_settled_at", table_name="webhook_deliveries")
    op.drop_index(
        "ix_webhook_deliveries_pending",
        table_name="webhook_deliveries",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.drop_index(
        "ix_webhook_deliveries_due",
        table_name="webhook_deliveries",
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.drop_table("webhook_deliveries")
    op.drop_index(
        "ix_reconciliations_pending",
        table_name="reconciliations",
        postgresql_where=sa.text("status IN ('pending', 'running')"),
    )
    op.drop_index("ix_reconciliations_gateway_account_id", table_name="reconciliations")
    op.drop_table("reconciliations")
    op.drop_index("ix_dunning_policy_plans_policy_id", table_name="dunning_policy_plans")
    op.drop_table("dunning_policy_plans")
    op.drop_table("event_numbers")
    op.drop_table("event_counters")
    op.drop_index(
        "uq_dunning_policies_segment",
        table_name="dunning_policies",
        postgresql_where=sa.text("segment IS NOT NULL AND active"),
    )
    op.drop_index(
        "uq_dunning_policies_default",
        table_name="dunning_policies",
        postgresql_where=sa.text("is_default"),
    )
    op.drop_table("dunning_policies")
    op.drop_table("event_batches")
    op.execute(
        "ALTER TABLE inbound_events ADD CONSTRAINT uq_inbound_events UNIQUE (merchant_id, gateway_account_id, gateway_event_id)"
    )
    op.create_index(
        "uq_payments_live",
        "payments",
        ["merchant_id", "invoice_id"],
        unique=True,
        postgresql_where="(status <> ALL (ARRAY['succeeded'::text, 'canceled'::text, 'failed'::text]))",
        postgresql_include=[],
    )
    op.create_check_constraint(
        op.f("ck_payments_status"),
        "payments",
        "status IN ('scheduled', 'requires_payment_method', 'requires_action', 'processing', 'unknown', 'succeeded', 'failed', 'canceled')",
    )
    op.create_check_constraint(
        op.f("ck_payments_refunds_within_capture"),
        "payments",
        "((amount_refunded >= 0) AND (amount_refund_reserved >= 0) AND ((amount_refunded + amount_refund_reserved) <= amount_captured))",
    )
    op.create_check_constraint(
        op.f("ck_ledger_entries_source"),
        "ledger_entries",
        "source IN ('invoice', 'invoice_void', 'invoice_write_off', 'payment', 'refund', 'credit_note', 'credit_note_void', 'balance')",
    )
    op.create_check_constraint(
        op.f("ck_inbound_events_status"),
        "inbound_events",
        "status IN ('received', 'settled', 'ignored', 'failed')",
    )
    op.create_check_constraint(
        op.f("ck_balance_transactions_type"),
        "balance_transactions",
        "type IN ('adjustment', 'applied_to_invoice', 'unapplied_from_invoice', 'credited_by_invoice', 'credit_note')",
    )
    for statement in collection_guards.downgrade():
        op.execute(statement)
