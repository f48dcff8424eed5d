"""Rows of `webhook_lanes`: the queue of each endpoint, and who works on it.

The row's lock is the endpoint's mutex, held for milliseconds: whoever writes deliveries, or what
became of them, takes it first and reads after. The lease says who calls the endpoint meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.db.base import Row, Tx
from app.domain.delivery import Health

Key = tuple[UUID, UUID]
"""A merchant and one of its endpoints."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to call an endpoint, as long as `holder` is in its lane."""

    merchant_id: UUID
    endpoint_id: UUID
    holder: UUID
    is_failing: bool

    @property
    def key(self) -> Key:
        return self.merchant_id, self.endpoint_id


async def insert(tx: Tx, key: Key, complete_after: int) -> None:
    """A new endpoint's lane: it gets the events numbered above `complete_after`."""
    await tx.run(
        "INSERT INTO webhook_lanes (merchant_id, webhook_endpoint_id, complete_after) "
        "VALUES ($1, $2, $3)",
        *key,
        complete_after,
    )


async def lock(tx: Tx, keys: Sequence[Key]) -> dict[Key, int]:
    """Take lanes, in one order for all; the last position of each."""
    rows = await tx.fetch(
        """
        SELECT l.merchant_id, l.webhook_endpoint_id, l.last_position
          FROM webhook_lanes l
         WHERE (l.merchant_id, l.webhook_endpoint_id) IN
               (SELECT * FROM unnest($1::uuid[], $2::uuid[]))
         ORDER BY l.merchant_id, l.webhook_endpoint_id FOR UPDATE OF l
        """,
        [key[0] for key in keys],
        [key[1] for key in keys],
    )
    return {(r["merchant_id"], r["webhook_endpoint_id"]): r["last_position"] for r in rows}


async def lengthen(tx: Tx, added: Mapping[Key, int], now: datetime) -> None:
    """Locked lanes have so many more deliveries, and are looked at now."""
    await tx.run(
        """
        UPDATE webhook_lanes l
           SET last_position = l.last_position + v.added, due_at = least(l.due_at, $4)
          FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS v (merchant_id, id, added)
         WHERE l.merchant_id = v.merchant_id AND l.webhook_endpoint_id = v.id
        """,
        [key[0] for key in added],
        [key[1] for key in added],
        list(added.values()),
        now,
    )


async def claim(
    tx: Tx, holder: UUID, now: datetime, until: datetime, limit: int, *, failing: bool
) -> list[Lease]:
    """Lease up to `limit` lanes that are due, longest due first; of failing endpoints or others."""
    rows = await tx.fetch(
        """
        WITH d AS MATERIALIZED (
            SELECT merchant_id, webhook_endpoint_id FROM webhook_lanes
             WHERE due_at <= $2 AND (lease_until IS NULL OR lease_until <= $2)
               AND (failures > 0) = $5
             ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED)
        UPDATE webhook_lanes l SET holder = $1, lease_until = $3 FROM d
         WHERE l.merchant_id = d.merchant_id AND l.webhook_endpoint_id = d.webhook_endpoint_id
        RETURNING l.merchant_id, l.webhook_endpoint_id
        """,
        holder,
        now,
        until,
        limit,
        failing,
    )
    return [Lease(r["merchant_id"], r["webhook_endpoint_id"], holder, failing) for r in rows]


async def renew(tx: Tx, lease: Lease, until: datetime) -> bool:
    """Take the lane and hold it longer; False where it is somebody else's by now."""
    return (
        await tx.run(
            """
        UPDATE webhook_lanes SET lease_until = $4
         WHERE merchant_id = $1 AND webhook_endpoint_id = $2 AND holder = $3
        """,
            *lease.key,
            lease.holder,
            until,
        )
        == 1
    )


async def take(tx: Tx, key: Key) -> Row:
    """Lock one lane: who holds it, and the endpoint's health."""
    row = await tx.fetchrow(
        """
        SELECT holder, failures, failing_since FROM webhook_lanes
         WHERE merchant_id = $1 AND webhook_endpoint_id = $2 FOR UPDATE
        """,
        *key,
    )
    assert row is not None
    return row


async def note(tx: Tx, key: Key, health: Health) -> None:
    """The endpoint's health, in a locked lane."""
    await tx.run(
        """
        UPDATE webhook_lanes SET failures = $3, failing_since = $4
         WHERE merchant_id = $1 AND webhook_endpoint_id = $2
        """,
        *key,
        health.failures,
        health.failing_since,
    )


async def release(tx: Tx, lease: Lease, now: datetime) -> None:
    """Let go of a locked lane that is still ours; it is due when its next delivery is.

    What is due already waits behind the lanes that have been due for longer.
    """
    await tx.run(
        f"""
        UPDATE webhook_lanes l SET holder = NULL, lease_until = NULL, due_at = {NEXT}
         WHERE l.merchant_id = $1 AND l.webhook_endpoint_id = $2 AND l.holder = $3
        """,
        *lease.key,
        lease.holder,
        now,
    )


NEXT = """
    (SELECT CASE WHEN min(d.due_at) < $4 THEN $4 ELSE min(d.due_at) END
       FROM webhook_deliveries d JOIN webhook_endpoints e
         ON e.merchant_id = d.merchant_id AND e.id = d.webhook_endpoint_id
      WHERE d.merchant_id = l.merchant_id AND d.webhook_endpoint_id = l.webhook_endpoint_id
        AND d.due_at IS NOT NULL AND e.enabled)
"""


async def resume(tx: Tx, key: Key, complete_after: int, now: datetime) -> None:
    """A locked lane's endpoint changed: what it is owed counts from `complete_after`, it is given a
    new chance, and looked at when its next delivery is due; never while it is disabled.
    """
    await tx.run(
        f"""
        UPDATE webhook_lanes l SET complete_after = $3, failures = 0, failing_since = NULL,
               due_at = {NEXT}
         WHERE l.merchant_id = $1 AND l.webhook_endpoint_id = $2
        """,
        *key,
        complete_after,
        now,
    )


async def rest(tx: Tx, key: Key) -> None:
    """A locked lane is looked at no more: its endpoint is disabled."""
    await tx.run(
        "UPDATE webhook_lanes SET due_at = NULL "
        "WHERE merchant_id = $1 AND webhook_endpoint_id = $2",
        *key,
    )


async def forget_before(tx: Tx, gone: Sequence[Row]) -> None:
    """Deliveries are deleted: what an endpoint was owed is known from behind them on."""
    if not gone:
        return
    await tx.run(
        """
        UPDATE webhook_lanes l SET complete_after = greatest(l.complete_after, g.number)
          FROM (SELECT n.merchant_id, v.endpoint_id, max(n.number) AS number
                  FROM unnest($1::uuid[], $2::uuid[], $3::uuid[])
                    AS v (merchant_id, endpoint_id, event_id)
                  JOIN event_numbers n ON n.merchant_id = v.merchant_id AND n.event_id = v.event_id
                 GROUP BY 1, 2) g
         WHERE l.merchant_id = g.merchant_id AND l.webhook_endpoint_id = g.endpoint_id
        """,
        [row["merchant_id"] for row in gone],
        [row["webhook_endpoint_id"] for row in gone],
        [row["event_id"] for row in gone],
    )
