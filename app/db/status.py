"""How the work stands: what is due, what is late, what is in flight, what waits for a person."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.db.audit import OVERDUE_MAX
from app.db.base import Row, Tx

LISTED_MAX: Final = 20
"""How many things of a kind are named; the counts are of all."""


@dataclass(frozen=True, slots=True)
class Queue:
    """Rows that become due on the wall clock: their name, and where they are found."""

    name: str
    sql: str


QUEUES: Final = (
    Queue(
        "subscriptions",
        """
        SELECT next_action_at AS due_at FROM subscriptions
         WHERE next_action_at <= $1 AND next_action_at IS NOT NULL AND parked_at IS NULL
           AND test_clock_id IS NULL AND ($2::uuid IS NULL OR merchant_id = $2)
        """,
    ),
    Queue(
        "drafts",
        """
        SELECT finalize_at AS due_at FROM invoices
         WHERE finalize_at <= $1 AND status = 'draft' AND parked_at IS NULL
           AND test_clock_id IS NULL AND ($2::uuid IS NULL OR merchant_id = $2)
        """,
    ),
    Queue(
        "payments",
        """
        SELECT due_at FROM payments
         WHERE due_at <= $1 AND status = 'scheduled' AND test_clock_id IS NULL
           AND ($2::uuid IS NULL OR merchant_id = $2)
        """,
    ),
    Queue(
        "dunning",
        """
        SELECT next_action_at AS due_at FROM dunning_runs
         WHERE next_action_at <= $1 AND parked_at IS NULL AND test_clock_id IS NULL
           AND ($2::uuid IS NULL OR merchant_id = $2)
        """,
    ),
    Queue(
        "inbound events",
        """
        SELECT due_at FROM inbound_events
         WHERE due_at <= $1 AND status = 'received' AND ($2::uuid IS NULL OR merchant_id = $2)
        """,
    ),
    Queue(
        "payment look-ups",
        """
        SELECT a.look_up_at AS due_at FROM payment_attempts a
          JOIN payments p ON p.merchant_id = a.merchant_id AND p.id = a.payment_id
         WHERE a.look_up_at <= $1 AND p.test_clock_id IS NULL
           AND ($2::uuid IS NULL OR a.merchant_id = $2)
        """,
    ),
    Queue(
        "refund look-ups",
        """
        SELECT r.look_up_at AS due_at FROM refunds r
          JOIN payments p ON p.merchant_id = r.merchant_id AND p.id = r.payment_id
         WHERE r.look_up_at <= $1 AND p.test_clock_id IS NULL
           AND ($2::uuid IS NULL OR r.merchant_id = $2)
        """,
    ),
)


async def due(tx: Tx, queue: Queue, now: datetime, merchant_id: UUID | None) -> Row:
    """How many rows of `queue` are due, how many are overdue, and since when the oldest."""
    late: timedelta = OVERDUE_MAX
    row = await tx.fetchrow(
        f"""
        SELECT count(*) AS due, count(*) FILTER (WHERE due_at < $3) AS overdue,
               min(due_at) AS oldest
          FROM ({queue.sql}) queue
        """,
        now,
        merchant_id,
        now - late,
    )
    assert row is not None, "an aggregate always has a row"
    return row


async def in_flight(tx: Tx, merchant_id: UUID | None) -> list[Row]:
    """Attempts and refunds that are on their way at a gateway, counted by status."""
    return await tx.fetch(
        """
        SELECT 'payment' AS kind, status, count(*) AS n FROM payment_attempts
         WHERE status IN ('processing', 'unknown', 'requires_action')
           AND ($1::uuid IS NULL OR merchant_id = $1) GROUP BY status
        UNION ALL
        SELECT 'refund', status, count(*) FROM refunds
         WHERE status IN ('processing', 'unknown')
           AND ($1::uuid IS NULL OR merchant_id = $1) GROUP BY status
         ORDER BY kind, status
        """,
        merchant_id,
    )


async def parked(tx: Tx, merchant_id: UUID | None) -> list[Row]:
    """Subscriptions, drafts, dunning and gateways' events that were set aside, with the reason; `n`
    counts them all.
    """
    return await tx.fetch(
        f"""
        SELECT *, count(*) OVER () AS n FROM (
            SELECT merchant_id, id, 'subscription' AS kind, parked_at AS since,
                   parked_reason AS reason
              FROM subscriptions
             WHERE parked_at IS NOT NULL AND ($1::uuid IS NULL OR merchant_id = $1)
            UNION ALL
            SELECT merchant_id, id, 'invoice', parked_at, parked_reason FROM invoices
             WHERE status = 'draft' AND parked_at IS NOT NULL
               AND ($1::uuid IS NULL OR merchant_id = $1)
            UNION ALL
            SELECT merchant_id, id, 'dunning', parked_at, parked_reason FROM dunning_runs
             WHERE parked_at IS NOT NULL AND ($1::uuid IS NULL OR merchant_id = $1)
            UNION ALL
            SELECT merchant_id, id, 'inbound event', settled_at,
                   coalesce(detail, reason, status) FROM inbound_events
             WHERE status IN ('failed', 'orphaned') AND ($1::uuid IS NULL OR merchant_id = $1)
        ) parked ORDER BY since LIMIT {LISTED_MAX}
        """,
        merchant_id,
    )


async def awaiting_review(tx: Tx, merchant_id: UUID | None) -> list[Row]:
    """Attempts and refunds that no look-up will settle any more, and payments that are put off for
    their gateway account's sake; `n` counts them all.
    """
    return await tx.fetch(
        f"""
        SELECT *, count(*) OVER () AS n FROM (
            SELECT merchant_id, id, 'payment' AS kind, created_at AS since, detail AS reason
              FROM payment_attempts
             WHERE status IN ('processing', 'unknown', 'requires_action') AND look_up_at IS NULL
               AND ($1::uuid IS NULL OR merchant_id = $1)
            UNION ALL
            SELECT merchant_id, id, 'refund', created_at, detail FROM refunds
             WHERE status IN ('processing', 'unknown') AND look_up_at IS NULL
               AND ($1::uuid IS NULL OR merchant_id = $1)
            UNION ALL
            SELECT merchant_id, id, 'postponed payment', created_at, postponed_reason
              FROM payments
             WHERE postponed_reason IS NOT NULL AND ($1::uuid IS NULL OR merchant_id = $1)
        ) waiting ORDER BY since LIMIT {LISTED_MAX}
        """,
        merchant_id,
    )


async def moving_clocks(tx: Tx, merchant_id: UUID | None) -> list[Row]:
    """Test clocks that are advancing or could not go on; `n` counts them all."""
    return await tx.fetch(
        f"""
        SELECT merchant_id, id, status, frozen_at AS since, coalesce(detail, '') AS reason,
               count(*) OVER () AS n
          FROM test_clocks
         WHERE status <> 'ready' AND ($1::uuid IS NULL OR merchant_id = $1)
         ORDER BY id LIMIT {LISTED_MAX}
        """,
        merchant_id,
    )
