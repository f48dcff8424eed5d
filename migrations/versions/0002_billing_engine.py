"""Billing engine: generated from app/db/tables; what is by hand: billing_engine_guards.py."""

from alembic import op

from migrations import billing_engine_guards

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = ()


def upgrade() -> None:
    op.drop_constraint(op.f("ck_invoice_lines_kind"), "invoice_lines", type_="check")
    op.drop_constraint(op.f("ck_invoices_billing_reason"), "invoices", type_="check")
    op.create_check_constraint(
        op.f("ck_invoice_lines_kind"),
        "invoice_lines",
        "kind IN ('period', 'usage', 'trial', 'setup_fee', 'one_off')",
    )
    op.create_check_constraint(
        op.f("ck_invoices_billing_reason"),
        "invoices",
        "billing_reason IN ('subscription_create', 'subscription_cycle', 'subscription_update', 'subscription_cancel', 'manual')",
    )
    for statement in billing_engine_guards.upgrade(TABLES):
        op.execute(statement)


def downgrade() -> None:
    op.drop_constraint(op.f("ck_invoices_billing_reason"), "invoices", type_="check")
    op.drop_constraint(op.f("ck_invoice_lines_kind"), "invoice_lines", type_="check")
    op.create_check_constraint(
        op.f("ck_invoices_billing_reason"),
        "invoices",
        "billing_reason IN ('subscription_create', 'subscription_cycle', 'subscription_cancel', 'manual')",
    )
    op.create_check_constraint(
        op.f("ck_invoice_lines_kind"), "invoice_lines", "kind IN ('period', 'setup_fee', 'one_off')"
    )
    for statement in billing_engine_guards.downgrade():
        op.execute(statement)
