"""What tables alone cannot say in revision 0002, billing engine: written by hand."""

from collections.abc import Iterator, Sequence
from typing import Final

from migrations import guards

APPEND_ONLY: Final[tuple[str, ...]] = (
    "credit_note_lines",
    "document_logos",
    "document_settings",
    "invoice_subscriptions",
    "usage_events",
)
"""Tables of this revision whose rows never change: no UPDATE granted, and a trigger refuses."""

DELETABLE: Final[tuple[str, ...]] = (
    "addon_plans",
    "plan_features",
    "subscription_tax_rates",
    "customer_tax_ids",
    "invoice_line_discounts",
    "invoice_line_taxes",
    "invoice_lines",
    "invoices",
    "tax_engine_rates",
    "tax_engines",
    "tax_registrations",
)
"""Tables from which rows may be deleted from this revision on."""

_OF_A_FINAL_INVOICE: Final = """
    CREATE FUNCTION guard_line_part() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND EXISTS (
            SELECT FROM invoice_lines l JOIN invoices i
                ON i.merchant_id = l.merchant_id AND i.id = l.invoice_id
             WHERE l.merchant_id = OLD.merchant_id AND l.id = OLD.line_id
               AND i.status = 'draft') THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION '% belongs to a finalized invoice and never changes', TG_TABLE_NAME
            USING ERRCODE = 'integrity_constraint_violation';
    END $$
"""
_CREDIT_NOTES: Final = """
    CREATE FUNCTION guard_credit_note() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    BEGIN
        IF TG_OP = 'DELETE' OR OLD.status = 'void' OR
           (NEW.invoice_id, NEW.customer_id, NEW.series, NEW.series_number, NEW.number, NEW.currency,
            NEW.subtotal, NEW.discount_total, NEW.tax_total, NEW.tax_added, NEW.total,
            NEW.to_invoice, NEW.to_balance, NEW.to_refund, NEW.outside, NEW.created_at)
           IS DISTINCT FROM
           (OLD.invoice_id, OLD.customer_id, OLD.series, OLD.series_number, OLD.number, OLD.currency,
            OLD.subtotal, OLD.discount_total, OLD.tax_total, OLD.tax_added, OLD.total,
            OLD.to_invoice, OLD.to_balance, OLD.to_refund, OLD.outside, OLD.created_at) THEN
            RAISE EXCEPTION 'credit note % is issued; it can only be voided', OLD.id
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END $$
"""
_CREDIT_NOTE_LINES: Final = """
    CREATE FUNCTION guard_credited() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    BEGIN
        IF EXISTS (
            SELECT FROM (SELECT DISTINCT merchant_id, invoice_line_id FROM fresh) AS f
              JOIN invoice_lines l ON l.merchant_id = f.merchant_id AND l.id = f.invoice_line_id
             WHERE l.amount < (
                SELECT sum(n.amount) FROM credit_note_lines n
                  JOIN credit_notes c ON c.merchant_id = n.merchant_id AND c.id = n.credit_note_id
                 WHERE n.merchant_id = f.merchant_id AND n.invoice_line_id = f.invoice_line_id
                   AND c.status <> 'void')) THEN
            RAISE EXCEPTION 'more is credited than was charged'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NULL;
    END $$
"""
_ONE_BILL_A_PERIOD: Final = """
    CREATE FUNCTION guard_one_bill() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, public AS $$
    BEGIN
        IF EXISTS (
            SELECT FROM fresh f JOIN invoices i
                ON i.merchant_id = f.merchant_id AND i.subscription_id = f.subscription_id
               AND i.cycle_start = f.cycle_start) THEN
            RAISE EXCEPTION 'a period is billed already'
                USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NULL;
    END $$
"""
_DRAFTS: Final = "invoices, invoice_lines, invoice_line_discounts, invoice_line_taxes"
_PARTS: Final = ("invoice_line_discounts", "invoice_line_taxes")

UPGRADE: Final[tuple[str, ...]] = (
    _OF_A_FINAL_INVOICE,
    _CREDIT_NOTES,
    (
        "CREATE TRIGGER credit_notes_guard BEFORE UPDATE OR DELETE ON credit_notes "
        "FOR EACH ROW EXECUTE FUNCTION guard_credit_note()"
    ),
    _ONE_BILL_A_PERIOD,
    (
        "CREATE TRIGGER invoice_subscriptions_cycle AFTER INSERT ON invoice_subscriptions "
        "REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION guard_one_bill()"
    ),
    _CREDIT_NOTE_LINES,
    (
        "CREATE TRIGGER credit_note_lines_sum AFTER INSERT ON credit_note_lines "
        "REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION guard_credited()"
    ),
    "REVOKE UPDATE ON credit_note_lines FROM perennial_app, perennial_system",
    guards.refuse_changes("credit_note_lines"),
    f"GRANT DELETE ON {_DRAFTS} TO perennial_app, perennial_system",
    *(f"DROP TRIGGER {table}_append_only ON {table}" for table in _PARTS),
    *(
        f"CREATE TRIGGER {table}_guard BEFORE UPDATE OR DELETE ON {table} "
        "FOR EACH ROW EXECUTE FUNCTION guard_line_part()"
        for table in _PARTS
    ),
    *(
        f"CREATE TRIGGER {table}_kept BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        for table in _PARTS
    ),
)
"""Functions and triggers, once the tables are as the revision wants them."""

DOWNGRADE: Final[tuple[str, ...]] = (
    "DROP TRIGGER credit_note_lines_append_only ON credit_note_lines",
    "GRANT UPDATE ON credit_note_lines TO perennial_app, perennial_system",
    "DROP TRIGGER credit_note_lines_sum ON credit_note_lines",
    "DROP TRIGGER credit_notes_guard ON credit_notes",
    f"REVOKE DELETE ON {_DRAFTS} FROM perennial_app, perennial_system",
    "DROP FUNCTION guard_credit_note()",
    "DROP FUNCTION guard_credited()",
    "DROP FUNCTION guard_one_bill()",
    *(f"DROP TRIGGER {table}_kept ON {table}" for table in _PARTS),
    *(f"DROP TRIGGER {table}_guard ON {table}" for table in _PARTS),
    "DROP FUNCTION guard_line_part()",
    *(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        for table in _PARTS
    ),
)
"""What takes `UPGRADE` back, once the tables are as they were before. CREATE OR REPLACE restores a
changed function; the triggers of dropped tables are gone by then.
"""


def upgrade(tables: Sequence[str]) -> Iterator[str]:
    """The statements to run once `tables`, the new ones, exist and the others are changed."""
    yield from guards.protect(tables, append_only=APPEND_ONLY, deletable=DELETABLE)
    yield from UPGRADE


def downgrade() -> Iterator[str]:
    """The statements to run once the tables are as they were."""
    yield from DOWNGRADE
