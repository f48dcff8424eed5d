"""Dunning runs as rows of the clock: what is due, what begins, what is set aside."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import invoices
from app.db.base import Row, Tx
from app.db.dunning import CHOSEN, CHOSEN_ID
from app.db.scope import Scope

Key = tuple[UUID, UUID]


async def due(
    tx: Tx, scope: Scope, now: datetime, limit: int, but: Collection[UUID] = ()
) -> list[Row]:
    """Runs that are to be looked at, of each customer one; not locked: what they are about is
    locked first, as everywhere.
    """
    return await tx.fetch(
        """
        SELECT DISTINCT ON (r.customer_id) r.merchant_id, r.id, r.invoice_id FROM (
            SELECT merchant_id, id, invoice_id, customer_id, next_action_at FROM dunning_runs
             WHERE next_action_at <= $1 AND parked_at IS NULL
               AND test_clock_id IS NOT DISTINCT FROM $3
               AND ($4::uuid IS NULL OR merchant_id = $4) AND id <> ALL ($5::uuid[])
             ORDER BY next_action_at LIMIT $2) r
         ORDER BY r.customer_id, r.next_action_at
        """,
        now,
        limit,
        scope.test_clock_id,
        scope.merchant_id,
        list(but),
    )


OVERDUE: Final = f"""
    FROM invoices i {CHOSEN}
    LEFT JOIN dunning_policies d ON d.merchant_id = i.merchant_id AND d.id = {CHOSEN_ID}
   WHERE i.status = 'open' AND i.collection_method = 'send_invoice'
     AND NOT EXISTS (SELECT FROM dunning_runs r
                      WHERE r.merchant_id = i.merchant_id AND r.invoice_id = i.id)
     AND (d.id IS NULL OR json_array_length(d.terms -> 'reminders') > 0
          OR d.terms ->> 'overdue_action' <> 'keep')
     AND (i.billing_reason = 'subscription_cancel'
          OR NOT EXISTS (SELECT FROM {invoices.BILLS} b
                          WHERE b.merchant_id = i.merchant_id AND b.invoice_id = i.id)
          OR EXISTS (SELECT FROM {invoices.BILLS} b
                       JOIN subscriptions s
                         ON s.merchant_id = b.merchant_id AND s.id = b.subscription_id
                      WHERE b.merchant_id = i.merchant_id AND b.invoice_id = i.id
                        AND s.status NOT IN ('canceled', 'incomplete_expired')))
"""
"""Invoices that were sent and are to be paid, of which nobody has been reminded: those whose policy
does nothing about it, and those of subscriptions that have ended, are left alone."""


async def overdue(
    tx: Tx, scope: Scope, now: datetime, limit: int, but: Collection[UUID] = ()
) -> list[Row]:
    """Invoices that were sent and are overdue since, whose dunning has not begun; not locked."""
    return await tx.fetch(
        f"""
        SELECT DISTINCT ON (o.customer_id) o.merchant_id, o.id, o.id AS invoice_id FROM (
            SELECT i.merchant_id, i.id, i.customer_id, i.due_at {OVERDUE}
               AND i.due_at <= $1 AND i.test_clock_id IS NOT DISTINCT FROM $3
               AND ($4::uuid IS NULL OR i.merchant_id = $4) AND i.id <> ALL ($5::uuid[])
             ORDER BY i.due_at LIMIT $2) o
         ORDER BY o.customer_id, o.due_at
        """,
        now,
        limit,
        scope.test_clock_id,
        scope.merchant_id,
        list(but),
    )


async def still_due(tx: Tx, keys: Sequence[Key], now: datetime) -> set[Key]:
    """Those of these runs, by (merchant, invoice), that nobody has looked at meanwhile, locked."""
    rows = await tx.fetch(
        """
        SELECT r.merchant_id, r.invoice_id
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, invoice_id)
          JOIN dunning_runs r USING (merchant_id, invoice_id)
         WHERE r.next_action_at <= $3 AND r.parked_at IS NULL
         ORDER BY r.id FOR NO KEY UPDATE OF r SKIP LOCKED
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
        now,
    )
    return {(row["merchant_id"], row["invoice_id"]) for row in rows}


async def next_due(tx: Tx, scope: Scope) -> datetime | None:
    """When the next run is to be looked at, or begins, on a test clock."""
    at: datetime | None = await tx.fetchval(
        f"""
        SELECT least(
            (SELECT min(next_action_at) FROM dunning_runs
              WHERE merchant_id = $1 AND test_clock_id = $2 AND parked_at IS NULL),
            (SELECT min(i.due_at) {OVERDUE} AND i.merchant_id = $1 AND i.test_clock_id = $2))
        """,
        scope.merchant_id,
        scope.test_clock_id,
    )
    return at


async def changed_on_test_clocks(tx: Tx) -> list[Row]:
    """The test clocks that stand still and have customers whose payment methods changed."""
    return await tx.fetch(
        """
        SELECT DISTINCT r.merchant_id, r.test_clock_id, t.frozen_at FROM dunning_runs r
          JOIN test_clocks t ON t.merchant_id = r.merchant_id AND t.id = r.test_clock_id
         WHERE r.next_action_at IS NOT NULL AND r.parked_at IS NULL
           AND r.method_changed_at IS NOT NULL AND r.next_action_at <= t.frozen_at
           AND t.status = 'ready'
        """
    )


async def park(tx: Tx, key: Key, reason: str, now: datetime) -> None:
    """Set a run aside that cannot be decided, for a person to look at."""
    await tx.run(
        "UPDATE dunning_runs SET parked_at = $3, parked_reason = $4"
        " WHERE merchant_id = $1 AND id = $2",
        *key,
        now,
        reason,
    )


async def method_changed(
    tx: Tx, merchant_id: UUID, customer_id: UUID, method_id: UUID, now: datetime
) -> int:
    """A payment method of a customer's came or changed: what is not paid yet is looked at, at once.
    How many runs that concerns.

    Customers on a test clock live in its time.
    """
    return await tx.run(
        """
        UPDATE dunning_runs r
           SET changed_method_id = $3, method_changed_at = coalesce(t.frozen_at, $4),
               next_action_at = coalesce(t.frozen_at, $4)
          FROM dunning_runs k
          LEFT JOIN test_clocks t ON t.merchant_id = k.merchant_id AND t.id = k.test_clock_id
         WHERE r.merchant_id = $1 AND r.customer_id = $2 AND r.status = 'active'
           AND k.merchant_id = r.merchant_id AND k.id = r.id
        """,
        merchant_id,
        customer_id,
        method_id,
        now,
    )


async def unpark(tx: Tx, key: Key) -> bool:
    """Put a run that was set aside back on the clock, by (merchant, id); whether it was."""
    touched = await tx.run(
        "UPDATE dunning_runs SET parked_at = NULL, parked_reason = NULL"
        " WHERE merchant_id = $1 AND id = $2 AND parked_at IS NOT NULL",
        *key,
    )
    return bool(touched)
