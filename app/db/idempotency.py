"""Rows of `idempotency_keys`: who may answer a key, what it led to, and what was answered.

`lease_until` doubles as the fence: it changes each time the right to answer passes on, so whoever
holds an older one can no longer mark, finish or release anything.
"""

from datetime import datetime
from uuid import UUID

from app.db.base import Row, Tx


async def unsynced(tx: Tx) -> None:
    """Let this transaction's commit not wait for the disk.

    Losing it in a crash is safe: the service's own commit comes later in the same log and does
    wait, so a lost claim means that nothing was done, and a lost answer is found by its mark.
    """
    await tx.run("SET LOCAL synchronous_commit = off")


async def insert(  # noqa: PLR0913, PLR0917  the columns of a claim
    tx: Tx,
    merchant_id: UUID,
    id: UUID,
    key: str,
    request_hash: bytes,
    now: datetime,
    lease_until: datetime,
    expires_at: datetime,
) -> bool:
    """Claim `key`; False when it is taken."""
    inserted = await tx.run(
        """
        INSERT INTO idempotency_keys
            (merchant_id, id, key, request_hash, created_at, lease_until, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (merchant_id, key) DO NOTHING
        """,
        merchant_id,
        id,
        key,
        request_hash,
        now,
        lease_until,
        expires_at,
    )
    return inserted == 1


async def lock(tx: Tx, merchant_id: UUID, key: str) -> Row | None:
    """The claim on `key`, locked; None when it was released meanwhile, or is being marked."""
    return await tx.fetchrow(
        """
        SELECT id, request_hash, resource, response_status, response_body, response_headers,
               lease_until, expires_at
        FROM idempotency_keys
        WHERE merchant_id = $1 AND key = $2
        FOR UPDATE SKIP LOCKED
        """,
        merchant_id,
        key,
    )


async def take_over(tx: Tx, merchant_id: UUID, id: UUID, lease_until: datetime) -> None:
    """Pass the right to answer on to a new lease."""
    await tx.run(
        "UPDATE idempotency_keys SET lease_until = $3 WHERE merchant_id = $1 AND id = $2",
        merchant_id,
        id,
        lease_until,
    )


async def delete(tx: Tx, merchant_id: UUID, id: UUID) -> None:
    """Forget a claim whose time is over."""
    await tx.run("DELETE FROM idempotency_keys WHERE merchant_id = $1 AND id = $2", merchant_id, id)


async def mark(tx: Tx, merchant_id: UUID, id: UUID, fence: datetime, resource: str) -> bool:
    """Say what the request led to; False when the right to answer has passed on."""
    marked = await tx.run(
        """
        UPDATE idempotency_keys SET resource = $4
        WHERE merchant_id = $1 AND id = $2 AND lease_until = $3 AND finished_at IS NULL
        """,
        merchant_id,
        id,
        fence,
        resource,
    )
    return marked == 1


async def finish(  # noqa: PLR0913, PLR0917  the parts of an answer
    tx: Tx,
    merchant_id: UUID,
    id: UUID,
    fence: datetime,
    now: datetime,
    status: int,
    body: bytes,
    headers: str,
) -> None:
    """Keep the answer."""
    await tx.run(
        """
        UPDATE idempotency_keys
        SET response_status = $5, response_body = $6, response_headers = $7, finished_at = $4
        WHERE merchant_id = $1 AND id = $2 AND lease_until = $3 AND finished_at IS NULL
        """,
        merchant_id,
        id,
        fence,
        now,
        status,
        body,
        headers,
    )


async def release(tx: Tx, merchant_id: UUID, id: UUID, fence: datetime, now: datetime) -> None:
    """Give the claim back: gone if it led to nothing, else free for whoever asks next."""
    gone = await tx.run(
        """
        DELETE FROM idempotency_keys
        WHERE merchant_id = $1 AND id = $2 AND lease_until = $3
          AND resource IS NULL AND finished_at IS NULL
        """,
        merchant_id,
        id,
        fence,
    )
    if not gone:
        await tx.run(
            """
            UPDATE idempotency_keys SET lease_until = $4
            WHERE merchant_id = $1 AND id = $2 AND lease_until = $3 AND finished_at IS NULL
            """,
            merchant_id,
            id,
            fence,
            now,
        )


async def delete_expired(tx: Tx, now: datetime, limit: int) -> int:
    """Forget up to `limit` keys whose time is over, of any merchant."""
    return await tx.run(
        """
        DELETE FROM idempotency_keys
        WHERE (merchant_id, id) IN (
            SELECT merchant_id, id FROM idempotency_keys
            WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        """,
        now,
        limit,
    )
