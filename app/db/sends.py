"""Marks that a call is about to be made: committed first, so that a crash cannot hide it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db.base import Tx
from app.domain.payment import Attempt

Key = tuple[UUID, UUID]
MARKS: Final = ("last_sent_at", "capture_sent_at")


async def mark_sent(tx: Tx, key: Key, mark: str, before: datetime | None, now: datetime) -> bool:
    """Write down, before it is done, that an attempt is sent again, or its capture; False where
    somebody else is doing so since `before`.
    """
    assert mark in MARKS
    marked = await tx.run(
        f"UPDATE payment_attempts SET {mark} = $4 WHERE merchant_id = $1 AND id = $2"
        f" AND {mark} IS NOT DISTINCT FROM $3",
        *key,
        before,
        now,
    )
    return marked > 0


async def freeze_refunds(tx: Tx, requests: Sequence[tuple[Key, str]]) -> set[Key]:
    """Write down what refunds ask for, before they are sent for the first time; those of which it
    was not written down before.
    """
    rows = await tx.fetch(
        """
        UPDATE refunds r SET request = k.request::json
          FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS k (merchant_id, id, request)
         WHERE r.merchant_id = k.merchant_id AND r.id = k.id AND r.request IS NULL
        RETURNING r.merchant_id, r.id
        """,
        [key[0] for key, _ in requests],
        [key[1] for key, _ in requests],
        [request for _, request in requests],
    )
    return {(row["merchant_id"], row["id"]) for row in rows}


async def mark_refund_sent(tx: Tx, key: Key, now: datetime) -> None:
    """Write down, before it is done, that a refund is sent again."""
    await tx.run(
        "UPDATE refunds SET last_sent_at = $3 WHERE merchant_id = $1 AND id = $2", *key, now
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
