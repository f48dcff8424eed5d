"""Rows of `price_migrations`: which subscriptions are moved, how far, and what became of each.

The subscriptions are written down when a migration is made. Each is moved in the transaction that
marks its row, so that none is moved twice, whoever dies in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.base import Row, Tx, dumps
from app.db.subscriptions import COLUMNS
from app.domain.migrating import Effect, ItemStatus, Moment
from app.domain.policy import Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPriceMigration:
    """What is moved where, when, and how that is settled."""

    id: UUID
    from_price_id: UUID | None
    from_plan_id: UUID | None
    to_price_id: UUID
    moment: Moment
    at: datetime | None
    settlement: Settlement | None
    countries: Sequence[str] = ()
    created_before: datetime | None = None
    subscription_metadata: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of one subscription, or would: moved, or a code and a reason why not."""

    subscription_id: UUID
    effect: Effect | None = None
    code: str | None = None
    reason: str | None = None


async def insert(tx: Tx, merchant_id: UUID, new: NewPriceMigration, now: datetime) -> int:
    """Write a migration down with the subscriptions it is about; returns how many these are."""
    criteria = {
        "countries": list(new.countries),
        "created_before": new.created_before,
        "metadata": new.subscription_metadata,
    }
    await tx.run(
        """
        INSERT INTO price_migrations
               (merchant_id, id, status, from_price_id, from_plan_id, to_price_id, criteria, moment,
                moves_at, settlement, total, metadata, created_at, version)
        VALUES ($1, $2, 'estimating', $3, $4, $5, $6, $7, $8, $9, 0, $10, $11, 1)
        """,
        merchant_id,
        new.id,
        new.from_price_id,
        new.from_plan_id,
        new.to_price_id,
        dumps(criteria),
        new.moment,
        new.at,
        new.settlement,
        dumps(new.metadata),
        now,
    )
    total = await tx.run(
        """
        INSERT INTO price_migration_items
               (merchant_id, price_migration_id, subscription_id, status, currency)
        SELECT s.merchant_id, $2, s.id, 'pending', s.currency
          FROM subscriptions s
          JOIN customers c ON c.merchant_id = s.merchant_id AND c.id = s.customer_id
         WHERE s.merchant_id = $1 AND s.ended_at IS NULL
           AND s.id IN (
               SELECT i.subscription_id FROM subscription_items i
                WHERE i.merchant_id = $1 AND i.removed_at IS NULL
                  AND i.price_id = ANY ($3::uuid[]))
           AND (cardinality($4::text[]) = 0 OR c.country = ANY ($4::text[]))
           AND ($5::timestamptz IS NULL OR s.created_at < $5)
           AND NOT EXISTS (
               SELECT FROM unnest($6::text[], $7::text[]) AS m (key, value)
                WHERE s.metadata ->> m.key IS DISTINCT FROM m.value)
        """,
        merchant_id,
        new.id,
        await sources(tx, merchant_id, new.from_price_id, new.from_plan_id, new.to_price_id),
        list(new.countries),
        new.created_before,
        list(new.subscription_metadata.keys()),
        list(new.subscription_metadata.values()),
    )
    await tx.run(
        "UPDATE price_migrations SET total = $3 WHERE merchant_id = $1 AND id = $2",
        merchant_id,
        new.id,
        total,
    )
    return total


async def sources(
    tx: Tx,
    merchant_id: UUID,
    from_price_id: UUID | None,
    from_plan_id: UUID | None,
    to_price_id: UUID,
) -> list[UUID]:
    """The prices that subscriptions are moved from: one, or all the others of a plan."""
    rows = await tx.fetch(
        "SELECT id FROM prices WHERE merchant_id = $1 AND (id = $2 OR plan_id = $3) AND id <> $4",
        merchant_id,
        from_price_id,
        from_plan_id,
        to_price_id,
    )
    return [row["id"] for row in rows]


# ── the work ──────────────────────────────────────────────────────────────────────────────────────


async def claim(tx: Tx, now: datetime, lease: datetime, only: UUID | None = None) -> Row | None:
    """One migration that is to be worked on and that nobody has, leased to the caller."""
    return await tx.fetchrow(
        """
        WITH free AS MATERIALIZED (
            SELECT merchant_id, id FROM price_migrations
             WHERE status IN ('estimating', 'running')
               AND (lease_until IS NULL OR lease_until <= $1) AND ($3::uuid IS NULL OR id = $3)
             ORDER BY created_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
        UPDATE price_migrations t SET lease_until = $2 FROM free
         WHERE t.merchant_id = free.merchant_id AND t.id = free.id
        RETURNING t.*
        """,
        now,
        lease,
        only,
    )


async def hold(tx: Tx, migration_id: UUID, status: str, lease: datetime) -> Row | None:
    """The migration, locked and leased on, if it still stands so; None: it was stopped."""
    return await tx.fetchrow(
        """
        UPDATE price_migrations SET lease_until = $3
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1 AND status = $2
        RETURNING *
        """,
        migration_id,
        status,
        lease,
    )


async def let_go(tx: Tx, migration_id: UUID) -> None:
    """Give the lease back."""
    await tx.run(
        """
        UPDATE price_migrations SET lease_until = NULL
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        migration_id,
    )


async def pending(
    tx: Tx, migration_id: UUID, after: UUID | None, limit: int, only: Sequence[UUID] | None = None
) -> list[UUID]:
    """The next subscriptions that wait to be looked at or moved."""
    rows = await tx.fetch(
        """
        SELECT subscription_id FROM price_migration_items
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND price_migration_id = $1
           AND status = 'pending' AND ($2::uuid IS NULL OR subscription_id > $2)
           AND ($4::uuid[] IS NULL OR subscription_id = ANY ($4::uuid[]))
         ORDER BY subscription_id LIMIT $3
        """,
        migration_id,
        after,
        limit,
        only,
    )
    return [row["subscription_id"] for row in rows]


async def lock_subscriptions(tx: Tx, ids: Sequence[UUID]) -> list[Row]:
    """Those subscriptions, locked in order, with where their customers are and in which time."""
    return await tx.fetch(
        f"""
        SELECT {COLUMNS}, s.parked_at, c.country, t.frozen_at, t.status AS clock_status
          FROM subscriptions s
          JOIN customers c ON c.merchant_id = s.merchant_id AND c.id = s.customer_id
          LEFT JOIN test_clocks t ON t.merchant_id = s.merchant_id AND t.id = s.test_clock_id
         WHERE s.merchant_id = current_setting('app.merchant_id')::uuid
           AND s.id = ANY ($1::uuid[])
         ORDER BY s.id FOR NO KEY UPDATE OF s
        """,
        list(ids),
    )


async def note(
    tx: Tx, migration_id: UUID, looked: Sequence[Looked], *, done_at: datetime | None = None
) -> None:
    """Write down what would become of subscriptions, or (`done_at`) what has."""
    moved, failed = ItemStatus.MOVED, ItemStatus.FAILED
    written = await tx.run(
        """
        UPDATE price_migration_items AS i
           SET status = v.status, code = v.code, reason = v.reason, before_amount = v.before,
               after_amount = v.after, credited = v.credited, charged = v.charged, done_at = $9
          FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[],
                      $7::bigint[], $8::bigint[], $10::text[])
               AS v (subscription_id, code, reason, before, after, credited, charged, status)
         WHERE i.merchant_id = current_setting('app.merchant_id')::uuid
           AND i.price_migration_id = $1 AND i.subscription_id = v.subscription_id
           AND i.status = 'pending'
        """,
        migration_id,
        [one.subscription_id for one in looked],
        [one.code for one in looked],
        [None if one.reason is None else one.reason[:500] for one in looked],
        [None if one.effect is None else one.effect.before for one in looked],
        [None if one.effect is None else one.effect.after for one in looked],
        [None if one.effect is None else one.effect.credited for one in looked],
        [None if one.effect is None else one.effect.charged for one in looked],
        done_at,
        [
            ItemStatus.PENDING if done_at is None else moved if one.code is None else failed
            for one in looked
        ],
    )
    assert written == len(looked), "a subscription was moved before"


async def count(tx: Tx, migration_id: UUID, looked: Sequence[Looked]) -> None:
    """Count what has been done."""
    failed = sum(one.code is not None for one in looked)
    await tx.run(
        """
        UPDATE price_migrations
           SET moved = moved + $2, failed = failed + $3, version = version + 1
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        migration_id,
        len(looked) - failed,
        failed,
    )


async def look_to(tx: Tx, migration_id: UUID, subscription_id: UUID) -> None:
    """Say how far the estimate has come."""
    await tx.run(
        """
        UPDATE price_migrations SET looked_to = $2
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        migration_id,
        subscription_id,
    )


# ── from one status to the next ───────────────────────────────────────────────────────────────────


async def lock(tx: Tx, migration_id: UUID) -> Row | None:
    """A migration of the transaction's merchant, locked."""
    return await tx.fetchrow(
        """
        SELECT * FROM price_migrations
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
           FOR NO KEY UPDATE
        """,
        migration_id,
    )


async def estimated(tx: Tx, migration_id: UUID) -> None:
    """The estimate is complete: add it up, and wait for the word."""
    await tx.run(
        """
        UPDATE price_migrations
           SET status = 'ready', estimate = $2, lease_until = NULL, version = version + 1
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        migration_id,
        dumps(await _estimate(tx, migration_id)),
    )


async def _estimate(tx: Tx, migration_id: UUID) -> dict[str, Any]:
    amounts = await tx.fetch(
        """
        SELECT currency, count(*) AS subscriptions, sum(before_amount)::bigint AS before,
               sum(after_amount)::bigint AS after, sum(credited)::bigint AS credited,
               sum(charged)::bigint AS charged
          FROM price_migration_items
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND price_migration_id = $1
           AND code IS NULL
         GROUP BY currency ORDER BY currency
        """,
        migration_id,
    )
    refused = await tx.fetch(
        """
        SELECT code, min(reason) AS reason, count(*) AS subscriptions FROM price_migration_items
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND price_migration_id = $1
           AND code IS NOT NULL
         GROUP BY code ORDER BY 3 DESC, code
        """,
        migration_id,
    )
    return {
        "movable": sum(row["subscriptions"] for row in amounts),
        "refused": sum(row["subscriptions"] for row in refused),
        "amounts": [dict(row) for row in amounts],
        "refusals": [dict(row) for row in refused],
    }


async def start(tx: Tx, migration_id: UUID, now: datetime) -> None:
    """Let a migration that is ready run."""
    await tx.run(
        """
        UPDATE price_migrations
           SET status = 'running', started_at = $2, lease_until = NULL, version = version + 1
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        migration_id,
        now,
    )


async def complete(tx: Tx, migration_id: UUID, now: datetime) -> None:
    """Nothing is left to move."""
    await tx.run(
        """
        UPDATE price_migrations
           SET status = 'completed', completed_at = $2, lease_until = NULL, version = version + 1
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        migration_id,
        now,
    )


async def cancel(tx: Tx, migration_id: UUID, now: datetime) -> None:
    """Stop it where it is; what is moved stays moved."""
    await tx.run(
        """
        UPDATE price_migrations
           SET status = 'canceled', canceled_at = $2, lease_until = NULL, version = version + 1
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        migration_id,
        now,
    )
