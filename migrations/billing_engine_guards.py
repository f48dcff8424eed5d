"""What tables alone cannot say in revision 0002, billing engine: written by hand."""

from collections.abc import Iterator, Sequence
from typing import Final

from migrations import guards

APPEND_ONLY: Final[tuple[str, ...]] = ("document_logos", "document_settings", "usage_events")
"""Tables of this revision whose rows never change: no UPDATE granted, and a trigger refuses."""

DELETABLE: Final[tuple[str, ...]] = (
    "addon_plans",
    "plan_features",
    "customer_tax_ids",
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
_PARTS: Final = ("invoice_line_discounts", "invoice_line_taxes")

UPGRADE: Final[tuple[str, ...]] = (
    _OF_A_FINAL_INVOICE,
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
