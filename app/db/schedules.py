"""Rows of `subscription_schedules`: a subscription's phases as they were asked for and planned.

What makes them happen are the rows of `scheduled_changes` that bear a phase.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.base import Row, Tx, dumps
from app.domain.phases import EndBehaviour


async def lock(tx: Tx, subscription_id: UUID) -> Row | None:
    """The schedule of a subscription of the transaction's merchant, locked, if it ever had one."""
    return await tx.fetchrow(
        """
        SELECT id, end_behaviour, ends_at, released_at, version FROM subscription_schedules
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND subscription_id = $1
           FOR NO KEY UPDATE
        """,
        subscription_id,
    )


async def put(  # noqa: PLR0913  one row
    tx: Tx,
    schedule_id: UUID,
    subscription_id: UUID,
    phases: Sequence[Mapping[str, Any]],
    end: EndBehaviour,
    ends_at: datetime | None,
    now: datetime,
) -> UUID:
    """Write a subscription's schedule, in the place of an earlier one; returns its id."""
    kept: UUID = await tx.fetchval(
        """
        INSERT INTO subscription_schedules AS s
               (merchant_id, id, subscription_id, phases, end_behaviour, ends_at, created_at,
                version)
        VALUES (current_setting('app.merchant_id')::uuid, $1, $2, $3, $4, $5, $6, 1)
        ON CONFLICT (merchant_id, subscription_id) DO UPDATE
           SET phases = excluded.phases, end_behaviour = excluded.end_behaviour,
               ends_at = excluded.ends_at, created_at = excluded.created_at, released_at = NULL,
               version = s.version + 1
        RETURNING id
        """,
        schedule_id,
        subscription_id,
        dumps(phases),
        end,
        ends_at,
        now,
    )
    return kept


async def release(tx: Tx, schedule_id: UUID, now: datetime) -> None:
    """Say that a schedule has no say any more."""
    await tx.run(
        """
        UPDATE subscription_schedules SET released_at = $2, version = version + 1
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
           AND released_at IS NULL
        """,
        schedule_id,
        now,
    )
