"""Marks of calls: that one is about to be made, committed first, so that a crash cannot hide it;
that one did nothing; that nothing of one was there.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db.base import Tx
from app.domain.payment import Attempt

Key = tuple[UUID, UUID]
MARKS: Final = ("last_sent_at", "capture_sent_at")
ABSENT_FROM: Final = ("payment_attempts", "refunds")


async def mark_sent(tx: Tx, key: Key, mark: str, before: datetime | None, now: datetime) -> bool:
    """Write down, before it is done, that an attempt is sent again, or its capture; False where
    somebody else is doing so since `before`, or it is in flight no more.
    """
    assert mark in MARKS
    marked = await tx.run(
        f"UPDATE payment_attempts SET {mark} = $4 WHERE merchant_id = $1 AND id = $2"
        f" AND {mark} IS NOT DISTINCT FROM $3"
        " AND status IN ('processing', 'unknown', 'requires_action')",
        *key,
        before,
        now,
    )
    return marked > 0


async def freeze_refunds(tx: Tx, requests: Sequence[tuple[Key, str]], now: datetime) -> set[Key]:
    """Write down what refunds ask for, before they are sent for the first time; those of which it
    was not written down before, and that are not over.
    """
    rows = await tx.fetch(
        """
        UPDATE refunds r SET request = k.request::json,
               last_sent_at = CASE WHEN r.created_at < $4 THEN $4 END
          FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS k (merchant_id, id, request)
         WHERE r.merchant_id = k.merchant_id AND r.id = k.id AND r.request IS NULL
           AND r.status IN ('processing', 'unknown')
        RETURNING r.merchant_id, r.id
        """,
        [key[0] for key, _ in requests],
        [key[1] for key, _ in requests],
        [request for _, request in requests],
        now,
    )
    return {(row["merchant_id"], row["id"]) for row in rows}


async def mark_refund_sent(tx: Tx, key: Key, now: datetime) -> bool:
    """Write down, before it is done, that a refund is sent again; False where it is over."""
    marked = await tx.run(
        "UPDATE refunds SET last_sent_at = $3 WHERE merchant_id = $1 AND id = $2"
        " AND status IN ('processing', 'unknown')",
        *key,
        now,
    )
    return marked > 0


async def thaw_refund(tx: Tx, key: Key, frozen_at: datetime) -> None:
    """Its only call provably did nothing: as far as sending goes, it was never sent. Unless it was
    sent again, or its outcome became known, since it was written down at `frozen_at`.
    """
    await tx.run(
        "UPDATE refunds SET request = NULL WHERE merchant_id = $1 AND id = $2"
        " AND status = 'processing' AND COALESCE(last_sent_at, created_at) = $3",
        *key,
        frozen_at,
    )


async def mark_absent(tx: Tx, table: str, key: Key, now: datetime) -> None:
    """Write down that the gateway has nothing of an attempt or a refund, since now; what was
    written down before it was last sent does not count.
    """
    assert table in ABSENT_FROM
    await tx.run(
        f"UPDATE {table} SET absent_since = $3 WHERE merchant_id = $1 AND id = $2"
        " AND (absent_since IS NULL OR absent_since < last_sent_at)",
        *key,
        now,
    )


async def keep_network_ids(tx: Tx, settled: Sequence[Attempt]) -> None:
    """What the network calls the first charge of a payment method, and how much that was, for the
    charges to come; what is known already stays.
    """
    named = [a for a in settled if a.network_transaction_id is not None]
    if named:
        await tx.run(
            """
            UPDATE payment_methods m SET network_transaction_id = k.network_transaction_id,
                   network_transaction_amount = k.amount
              FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[])
                AS k (merchant_id, id, network_transaction_id, amount)
             WHERE m.merchant_id = k.merchant_id AND m.id = k.id
               AND m.network_transaction_id IS NULL
            """,
            [a.merchant_id for a in named],
            [a.payment_method_id for a in named],
            [a.network_transaction_id for a in named],
            [a.amount for a in named],
        )


async def accept_again(tx: Tx, paid: Sequence[Attempt]) -> None:
    """Methods that just worked are not those that will not work again."""
    if paid:
        await tx.run(
            """
            UPDATE payment_methods m SET refused_at = NULL
              FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
             WHERE m.merchant_id = k.merchant_id AND m.id = k.id AND m.refused_at IS NOT NULL
            """,
            [a.merchant_id for a in paid],
            [a.payment_method_id for a in paid],
        )
