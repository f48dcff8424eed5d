"""What tables alone cannot say in revision 0003, collection: written by hand."""

from collections.abc import Iterator, Sequence
from typing import Final

from migrations import guards

APPEND_ONLY: Final[tuple[str, ...]] = ("event_numbers",)
"""Tables of this revision whose rows never change: no UPDATE granted, and a trigger refuses."""

DELETABLE: Final[tuple[str, ...]] = ("event_batches", "webhook_attempts", "webhook_deliveries")
"""Tables from which rows may be deleted from this revision on."""

UPGRADE: Final[tuple[str, ...]] = (
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
