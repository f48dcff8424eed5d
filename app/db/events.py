"""Rows of `events` for nouns without a decision: what changed, as it is now, in the same commit.

Decisions write theirs through `app.db.decisions`.
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from app.db import outbox
from app.db.base import Row, Tx, dumps
from app.db.views import EVENT, View
from app.db.views.base import Fields, Source
from app.domain.event import Type
from app.domain.webhook import PING, Endpoint, Told
from app.ids import LAST_ID, first_id, new_id

DOCUMENTS: Final = frozenset(
    {
        "address",
        "balances",
        "billing_settings",
        "currency_options",
        "estimate",
        "features",
        "filters",
        "mandate",
        "metadata",
        "minimum_amounts",
        "tiers",
    }
)


def changed(before: Fields, after: Fields) -> dict[str, Any]:
    """The fields that differ, with what they were before."""
    return {
        name: value for name, value in before.items() if name != "version" and value != after[name]
    }


async def append(  # noqa: PLR0913  what an event says
    tx: Tx,
    merchant_id: UUID,
    type: Type,
    view: View,
    row: Fields,
    now: datetime,
    previous: Fields | None = None,
) -> UUID:
    """Write down that `row` came to be or changed; `previous` holds the changed fields. The event's
    identifier. A noun without versions is told once: its version is 1.
    """
    event_id = new_id()
    await tx.run(
        """
        INSERT INTO events
            (merchant_id, id, type, object, object_id, object_version, data, previous, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        merchant_id,
        event_id,
        type,
        view.object,
        row["id"],
        dict(row.items()).get("version", 1),
        dumps(_fields(row)),
        None if previous is None else dumps(_fields(previous)),
        now,
    )
    await outbox.put(tx, [(merchant_id, event_id)])
    return event_id


async def after(
    source: Source, merchant_id: UUID, seen: int, type: str | None, limit: int
) -> list[Row]:
    """Events numbered above `seen`, in the order of their numbers."""
    return await source.fetch(
        f"""
        SELECT {EVENT.columns}
          FROM event_numbers n JOIN events t ON t.merchant_id = n.merchant_id AND t.id = n.event_id
         WHERE n.merchant_id = $1 AND n.number > $2 AND ($3::text IS NULL OR t.type = $3)
         ORDER BY n.number LIMIT $4
        """,
        merchant_id,
        seen,
        type,
        limit,
    )


async def number_of(source: Source, merchant_id: UUID, id: UUID) -> int | None:
    """The number of an event that is numbered."""
    row = await source.fetchrow(
        "SELECT number FROM event_numbers WHERE merchant_id = $1 AND event_id = $2",
        merchant_id,
        id,
    )
    return None if row is None else row["number"]


async def told(tx: Tx, merchant_id: UUID, id: UUID) -> Told | None:
    """An event, as far as it decides who is told."""
    row = await tx.fetchrow(
        "SELECT id, type, object_id FROM events WHERE merchant_id = $1 AND id = $2",
        merchant_id,
        id,
    )
    return None if row is None else Told(row["id"], row["type"], row["object_id"])


async def of_time(
    tx: Tx,
    merchant_id: UUID,
    endpoint: Endpoint,
    between: tuple[datetime, datetime | None],
    after: int,
    limit: int,
) -> list[tuple[int, Told]]:
    """Events that were written down between two instants and that an endpoint asks for, numbered
    above `after`, in order, with their numbers; without those that it is still to be told of.
    """
    start, end = between
    rows = await tx.fetch(
        """
        SELECT n.number, e.id, e.type, e.object_id
          FROM events e
          JOIN event_numbers n ON n.merchant_id = e.merchant_id AND n.event_id = e.id
         WHERE e.merchant_id = $1 AND e.id >= $2 AND e.id < $3 AND n.number > $4
           AND ($5::text[] && ARRAY['*', e.type, split_part(e.type, '.', 1) || '.*'])
           AND e.type <> $6
           AND NOT EXISTS (SELECT FROM webhook_deliveries d
                            WHERE d.merchant_id = $1 AND d.webhook_endpoint_id = $7
                              AND d.object_id = e.object_id AND d.status = 'pending'
                              AND d.event_id = e.id)
         ORDER BY n.number LIMIT $8
        """,
        merchant_id,
        first_id(start),
        LAST_ID if end is None else first_id(end),
        after,
        sorted(endpoint.patterns),
        PING,
        endpoint.id,
        limit,
    )
    return [(row["number"], Told(row["id"], row["type"], row["object_id"])) for row in rows]


def _fields(row: Fields) -> dict[str, Any]:
    return {
        name: orjson.Fragment(value) if name in DOCUMENTS and isinstance(value, str) else value
        for name, value in row.items()
    }
