"""Rows of `test_clocks`."""

from datetime import datetime
from uuid import UUID

from app.db.base import Row, Tx


async def insert(tx: Tx, merchant_id: UUID, clock_id: UUID, name: str | None, at: datetime) -> None:
    """A new clock that stands at `at`."""
    await tx.run(
        """
        INSERT INTO test_clocks (merchant_id, id, name, frozen_at, status, created_at)
        VALUES ($1, $2, $3, $4, 'ready', $4)
        """,
        merchant_id,
        clock_id,
        name,
        at,
    )


async def lock(tx: Tx, merchant_id: UUID, clock_id: UUID) -> Row | None:
    """One clock, locked."""
    return await tx.fetchrow(
        "SELECT * FROM test_clocks WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE",
        merchant_id,
        clock_id,
    )


async def aim(tx: Tx, merchant_id: UUID, clock_id: UUID, target: datetime) -> None:
    """Tell a clock where to go; a worker takes it there."""
    await tx.run(
        """
        UPDATE test_clocks SET status = 'advancing', target_at = $3, detail = NULL,
               lease_until = NULL, version = version + 1
         WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        clock_id,
        target,
    )


async def claim(tx: Tx, now: datetime, lease: datetime, only: UUID | None = None) -> Row | None:
    """One advancing clock that nobody is moving, leased to the caller."""
    return await tx.fetchrow(
        """
        WITH free AS MATERIALIZED (
            SELECT merchant_id, id FROM test_clocks
             WHERE status = 'advancing' AND (lease_until IS NULL OR lease_until <= $1)
               AND ($3::uuid IS NULL OR id = $3)
             ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
        UPDATE test_clocks t SET lease_until = $2 FROM free
         WHERE t.merchant_id = free.merchant_id AND t.id = free.id
        RETURNING t.*
        """,
        now,
        lease,
        only,
    )


async def move(tx: Tx, merchant_id: UUID, clock_id: UUID, at: datetime, lease: datetime) -> bool:
    """Set the clock's time and keep the lease; False when it is not advancing any more."""
    return bool(
        await tx.run(
            """
            UPDATE test_clocks SET frozen_at = $3, lease_until = $4
             WHERE merchant_id = $1 AND id = $2 AND status = 'advancing' AND frozen_at <= $3
            """,
            merchant_id,
            clock_id,
            at,
            lease,
        )
    )


async def stop(
    tx: Tx, merchant_id: UUID, clock_id: UUID, at: datetime, failure: str | None = None
) -> None:
    """The clock has arrived, or cannot go on for the reason given."""
    await tx.run(
        """
        UPDATE test_clocks
           SET status = CASE WHEN $4::text IS NULL THEN 'ready' ELSE 'internal_failure' END,
               target_at = CASE WHEN $4::text IS NULL THEN NULL ELSE target_at END,
               detail = $4, frozen_at = $3, lease_until = NULL, version = version + 1
         WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        clock_id,
        at,
        failure,
    )
