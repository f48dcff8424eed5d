"""What was, from what was written down then: events' snapshots, and balances' movements."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.db.base import Row
from app.db.views.base import Source


async def snapshot(
    source: Source, merchant_id: UUID, object_id: UUID, as_of: datetime
) -> Row | None:
    """The last event about an object at or before an instant, with the object as it was then."""
    return await source.fetchrow(
        """
        SELECT id, data, object_version, created_at FROM events
         WHERE merchant_id = $1 AND object_id = $2 AND created_at <= $3
         ORDER BY id DESC LIMIT 1
        """,
        merchant_id,
        object_id,
        as_of,
    )


async def snapshots_of_customer(
    source: Source, merchant_id: UUID, customer_id: UUID, as_of: datetime
) -> Sequence[Row]:
    """The same for each subscription of a customer that was there."""
    return await source.fetch(
        """
        SELECT DISTINCT ON (e.object_id) e.object_id, e.data
          FROM subscriptions s
          JOIN events e ON e.merchant_id = s.merchant_id AND e.object_id = s.id
         WHERE s.merchant_id = $1 AND s.customer_id = $2 AND e.created_at <= $3
         ORDER BY e.object_id, e.id DESC
        """,
        merchant_id,
        customer_id,
        as_of,
    )


async def balances(
    source: Source, merchant_id: UUID, customer_id: UUID, as_of: datetime
) -> Sequence[Row]:
    """A customer's credit at an instant, by currency; what never moved is missing."""
    return await source.fetch(
        """
        SELECT DISTINCT ON (b.currency) b.currency, b.ending_balance AS amount
          FROM balance_transactions b
         WHERE b.merchant_id = $1 AND b.customer_id = $2 AND b.created_at <= $3
         ORDER BY b.currency, b.id DESC
        """,
        merchant_id,
        customer_id,
        as_of,
    )


async def customer(source: Source, merchant_id: UUID, customer_id: UUID) -> Row | None:
    """Since when there is a customer, and on which test clock."""
    return await source.fetchrow(
        "SELECT created_at, test_clock_id FROM customers WHERE merchant_id = $1 AND id = $2",
        merchant_id,
        customer_id,
    )
