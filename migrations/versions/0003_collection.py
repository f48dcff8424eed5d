"""Collection: generated from app/db/tables; what is by hand: collection_guards.py."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from migrations import collection_guards

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLES = ()


def upgrade() -> None:
    op.drop_constraint(op.f("ck_inbound_events_status"), "inbound_events", type_="check")
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
    op.create_index("uq_refunds_reference", "refunds", ["merchant_id", "reference"], unique=True)
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
    for statement in collection_guards.upgrade(TABLES):
        op.execute(statement)


def downgrade() -> None:
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
    op.drop_index("uq_refunds_reference", table_name="refunds")
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
    op.drop_column("gateway_accounts", "checked_at")
    op.drop_column("gateway_accounts", "check_result")
    op.drop_column("gateway_accounts", "previous_webhook_secret_expires_at")
    op.drop_column("gateway_accounts", "previous_webhook_secret_ciphertext")
    op.drop_column("gateway_accounts", "webhook_secret_updated_at")
    op.drop_column("gateway_accounts", "webhook_secret_ciphertext")
    op.drop_column("gateway_accounts", "credentials")
    op.create_check_constraint(
        op.f("ck_inbound_events_status"),
        "inbound_events",
        "status IN ('received', 'settled', 'ignored', 'failed')",
    )
    for statement in collection_guards.downgrade():
        op.execute(statement)
