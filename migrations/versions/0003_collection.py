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
    for statement in collection_guards.upgrade(TABLES):
        op.execute(statement)


def downgrade() -> None:
    op.drop_constraint(
        op.f("ck_gateway_accounts_previous_webhook_secret_expires"),
        "gateway_accounts",
        type_="check",
    )
    op.drop_constraint(
        op.f("ck_gateway_accounts_check_result_is_dated"), "gateway_accounts", type_="check"
    )
    op.drop_constraint(op.f("ck_gateway_accounts_check_result"), "gateway_accounts", type_="check")
    op.drop_column("gateway_accounts", "checked_at")
    op.drop_column("gateway_accounts", "check_result")
    op.drop_column("gateway_accounts", "previous_webhook_secret_expires_at")
    op.drop_column("gateway_accounts", "previous_webhook_secret_ciphertext")
    op.drop_column("gateway_accounts", "webhook_secret_updated_at")
    op.drop_column("gateway_accounts", "webhook_secret_ciphertext")
    op.drop_column("gateway_accounts", "credentials")
    for statement in collection_guards.downgrade():
        op.execute(statement)
