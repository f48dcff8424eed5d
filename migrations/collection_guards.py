"""What tables alone cannot say in revision 0003, collection: written by hand."""

from collections.abc import Iterator, Sequence
from typing import Final

from migrations import guards

APPEND_ONLY: Final[tuple[str, ...]] = ("event_numbers",)
"""Tables of this revision whose rows never change: no UPDATE granted, and a trigger refuses."""

DELETABLE: Final[tuple[str, ...]] = (
    "dunning_policy_plans",
    "event_batches",
    "webhook_attempts",
    "webhook_deliveries",
)
"""Tables from which rows may be deleted from this revision on."""

_SETTLED: Final = "'succeeded', 'canceled'"
_PAYMENTS_SETTLED: Final = (
    "CREATE TRIGGER payments_settled BEFORE UPDATE ON payments FOR EACH ROW "
    "WHEN ({0}) EXECUTE FUNCTION guard_settled()"
)
_REVERSED: Final = "OLD.status = 'succeeded' AND NEW.status = 'reversed'"
"""Of which payments, the table's own check says."""
_GUARD_INVOICE: Final = "pg_get_functiondef('guard_invoice()'::regprocedure)"
_PAID_ENDS: Final = "(''open'', ''paid''), (''open'', ''void'')"
_PAID_REOPENS: Final = "(''open'', ''paid''), (''paid'', ''open''), (''open'', ''void'')"


def _rewrite(before: str, after: str) -> str:
    """Change some words of the function that guards invoices, and nothing else of it."""
    return f"""
    DO $$ DECLARE
        now_is text := {_GUARD_INVOICE};
    BEGIN
        IF position('{before}' IN now_is) = 0 THEN
            RAISE EXCEPTION 'guard_invoice is not as it was';
        END IF;
        EXECUTE replace(now_is, '{before}', '{after}');
    END $$
    """


UPGRADE: Final[tuple[str, ...]] = (
    # What was recorded by hand can be taken back, and its invoice is open again.
    "DROP TRIGGER payments_settled ON payments",
    _PAYMENTS_SETTLED.format(f"OLD.status IN ({_SETTLED}, 'reversed') AND NOT ({_REVERSED})"),
    _rewrite(_PAID_ENDS, _PAID_REOPENS),
    # Events of before are numbered in the order of their identifiers, the best that is known.
    "SET LOCAL ROLE perennial_system",
    """
    INSERT INTO event_numbers (merchant_id, number, event_id)
    SELECT merchant_id, row_number() OVER (PARTITION BY merchant_id ORDER BY id), id FROM events
    """,
    """
    INSERT INTO event_counters (merchant_id, last_number)
    SELECT m.id, count(e.id) FROM merchants m LEFT JOIN events e ON e.merchant_id = m.id
     GROUP BY m.id
    """,
    "RESET ROLE",
    # A gateway may change its word about a refund; under way again it never is.
    "DROP TRIGGER refunds_settled ON refunds",
    """
    CREATE TRIGGER refunds_settled BEFORE UPDATE ON refunds FOR EACH ROW
      WHEN (OLD.status IN ('succeeded', 'failed') AND NEW.status NOT IN ('succeeded', 'failed'))
      EXECUTE FUNCTION guard_settled()
    """,
)
"""Functions and triggers, once the tables are as the revision wants them."""

DOWNGRADE: Final[tuple[str, ...]] = (
    _rewrite(_PAID_REOPENS, _PAID_ENDS),
    "DROP TRIGGER payments_settled ON payments",
    _PAYMENTS_SETTLED.format(f"OLD.status IN ({_SETTLED})"),
    *guards.protect(["deliveries"], append_only=(), deletable=()),
    "DROP TRIGGER refunds_settled ON refunds",
    """
    CREATE TRIGGER refunds_settled BEFORE UPDATE ON refunds FOR EACH ROW
      WHEN (OLD.status IN ('succeeded', 'failed')) EXECUTE FUNCTION guard_settled()
    """,
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
