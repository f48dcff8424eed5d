"""Rows of `webhook_deliveries` and `webhook_attempts`.

Of an object's pending deliveries to an endpoint the first has a `due_at`, and no other: the next
gets its own when the one before is settled. All is written with the endpoint's lane locked, so none
is forgotten.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import bulk, tables
from app.db.base import Row, Tx
from app.db.webhook_lanes import Key
from app.domain.delivery import Cause, Status


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A delivery to be; `is_first` of its object among those written together for its endpoint."""

    merchant_id: UUID
    id: UUID
    endpoint_id: UUID
    event_id: UUID
    object_id: UUID
    position: int
    cause: Cause
    is_first: bool


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt, and what its delivery is after it."""

    attempt_id: UUID
    delivery_id: UUID
    object_id: UUID
    ordinal: int
    started_at: datetime
    duration_ms: int
    response_status: int | None
    failure: str | None
    excerpt: str | None
    status: Status
    due_at: datetime | None


async def add(tx: Tx, new: Sequence[NewDelivery], now: datetime) -> None:
    """Write deliveries into locked lanes."""
    await tx.run(
        """
        INSERT INTO webhook_deliveries
            (merchant_id, id, webhook_endpoint_id, event_id, object_id, position, cause, status,
             attempt_count, created_at, due_at)
        SELECT v.merchant_id, v.id, v.endpoint_id, v.event_id, v.object_id, v.position, v.cause,
               'pending', 0, $9::timestamptz,
               CASE WHEN v.is_first AND before.id IS NULL THEN $9::timestamptz END
          FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::bigint[],
                      $7::text[], $8::bool[])
            AS v (merchant_id, id, endpoint_id, event_id, object_id, position, cause, is_first)
          LEFT JOIN LATERAL (
                SELECT d.id FROM webhook_deliveries d
                 WHERE d.merchant_id = v.merchant_id AND d.webhook_endpoint_id = v.endpoint_id
                   AND d.object_id = v.object_id AND d.status = 'pending' LIMIT 1) before ON true
        """,
        [one.merchant_id for one in new],
        [one.id for one in new],
        [one.endpoint_id for one in new],
        [one.event_id for one in new],
        [one.object_id for one in new],
        [one.position for one in new],
        [one.cause for one in new],
        [one.is_first for one in new],
        now,
    )


async def due(tx: Tx, key: Key, now: datetime, but: Collection[UUID], limit: int) -> list[Row]:
    """An endpoint's deliveries that may be tried now, longest due first, but for those of `but`."""
    return await tx.fetch(
        """
        SELECT id, event_id, object_id, attempt_count FROM webhook_deliveries
         WHERE merchant_id = $1 AND webhook_endpoint_id = $2 AND due_at <= $3
           AND id <> ALL ($4::uuid[])
         ORDER BY due_at, position LIMIT $5
        """,
        *key,
        now,
        list(but),
        limit,
    )


ATTEMPT: Final = (
    "merchant_id",
    "id",
    "delivery_id",
    "ordinal",
    "started_at",
    "duration_ms",
    "response_status",
    "failure",
    "excerpt",
)


async def settle(tx: Tx, key: Key, tried: Sequence[Tried], now: datetime) -> None:
    """Write attempts down, in a locked lane, with what they make of their deliveries.

    Where one is settled, the next of its object may be tried. What was settled before stays so.
    """
    rows = [
        (
            key[0],
            one.attempt_id,
            one.delivery_id,
            one.ordinal,
            one.started_at,
            one.duration_ms,
            one.response_status,
            one.failure,
            one.excerpt,
        )
        for one in tried
    ]
    await bulk.insert(tx, tables.webhook_attempts, ATTEMPT, rows)
    await tx.run(
        """
        UPDATE webhook_deliveries d
           SET status = v.status, attempt_count = d.attempt_count + 1, due_at = v.due_at,
               response_status = v.response_status, failure = v.failure,
               settled_at = CASE WHEN v.status <> 'pending' THEN $7::timestamptz END
          FROM unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::smallint[], $6::text[])
            AS v (id, status, due_at, response_status, failure)
         WHERE d.merchant_id = $1 AND d.id = v.id AND d.status = 'pending'
        """,
        key[0],
        [one.delivery_id for one in tried],
        [one.status for one in tried],
        [one.due_at for one in tried],
        [one.response_status for one in tried],
        [one.failure for one in tried],
        now,
    )
    freed = {one.object_id for one in tried if one.status is not Status.PENDING}
    await _wake_next(tx, key, freed, now)


async def _wake_next(tx: Tx, key: Key, objects: Collection[UUID], now: datetime) -> None:
    """The next pending delivery of each object may be tried."""
    if not objects:
        return
    await tx.run(
        """
        UPDATE webhook_deliveries d SET due_at = $4
          FROM unnest($3::uuid[]) AS o (object_id), LATERAL (
                SELECT p.id FROM webhook_deliveries p
                 WHERE p.merchant_id = $1 AND p.webhook_endpoint_id = $2
                   AND p.object_id = o.object_id AND p.status = 'pending'
                 ORDER BY p.position LIMIT 1) n
         WHERE d.merchant_id = $1 AND d.id = n.id AND d.due_at IS NULL
        """,
        *key,
        list(objects),
        now,
    )


async def cancel_unwanted(tx: Tx, now: datetime, disabled_before: datetime, limit: int) -> int:
    """Cancel what is pending for endpoints that are deleted, or disabled since before an instant.

    The latest first: what is left of an endpoint's is as if the others had never been.
    """
    return await tx.run(
        """
        WITH u AS MATERIALIZED (
            SELECT p.merchant_id, p.id
              FROM webhook_endpoints e JOIN webhook_deliveries p
                ON p.merchant_id = e.merchant_id AND p.webhook_endpoint_id = e.id
             WHERE (e.deleted_at IS NOT NULL OR e.disabled_at < $2) AND p.status = 'pending'
             ORDER BY p.position DESC LIMIT $3 FOR UPDATE OF p SKIP LOCKED)
        UPDATE webhook_deliveries d SET status = 'canceled', due_at = NULL, settled_at = $1 FROM u
         WHERE d.merchant_id = u.merchant_id AND d.id = u.id
        """,
        now,
        disabled_before,
        limit,
    )


async def forget(tx: Tx, settled_before: datetime, limit: int) -> list[Row]:
    """Delete what was settled before an instant, with its attempts; which events, of whom."""
    return await tx.fetch(
        """
        DELETE FROM webhook_deliveries d USING (
            SELECT merchant_id, id FROM webhook_deliveries WHERE settled_at < $1
             ORDER BY settled_at LIMIT $2 FOR UPDATE SKIP LOCKED) o
         WHERE d.merchant_id = o.merchant_id AND d.id = o.id
        RETURNING d.merchant_id, d.webhook_endpoint_id, d.event_id
        """,
        settled_before,
        limit,
    )
