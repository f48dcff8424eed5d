"""Batches of events that are written down and not numbered yet; the numbers; and the counters.

`put` runs in the transaction that writes the events, so a batch is there if and only if they are.
It stays until a transaction numbers its events, writes their deliveries and deletes it. Nothing is
found by a cursor, so nothing depends on the order in which transactions commit.

Whoever numbers a merchant's events holds the merchant's counter. A batch that tells of an object's
later state is written after the one before it was committed (the row says so: it was read), so the
order of batches is, for each object, the order of its changes.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple
from uuid import UUID

from app.db import bulk, tables
from app.db.base import Row, Tx
from app.db.views.base import Source
from app.domain.webhook import Told

EVENTS_IN_BATCH: Final = 500
"""Of one row: more are spread over several, so that whoever numbers them can stop between."""
BATCHES_MAX: Final = 500
"""Looked at in one go, of one merchant."""


class Waiting(NamedTuple):
    """A merchant's next events, in order, the number the first of them gets, and their batches."""

    merchant_id: UUID
    first_number: int
    events: Sequence[Told]
    batches: Sequence[int]


async def put(tx: Tx, events: Sequence[tuple[UUID, UUID]]) -> None:
    """Leave (merchant, event) to be told, in this order, in the transaction that writes them."""
    if not events:
        return
    await tx.run(
        """
        INSERT INTO event_batches (merchant_id, event_ids)
        SELECT merchant_id, array_agg(id ORDER BY place)
          FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS e (merchant_id, id, place)
         GROUP BY merchant_id, (place - 1) / $3::int
         ORDER BY min(place)
        """,
        [merchant for merchant, _ in events],
        [event for _, event in events],
        EVENTS_IN_BATCH,
    )


async def waiting(tx: Tx, after: UUID, limit: int) -> list[UUID]:
    """The next merchants behind `after` whose events wait, in order."""
    rows = await tx.fetch(
        """
        WITH RECURSIVE found AS (
            (SELECT merchant_id, 1 AS n FROM event_batches WHERE merchant_id > $1
              ORDER BY merchant_id LIMIT 1)
            UNION ALL
            SELECT (SELECT b.merchant_id FROM event_batches b WHERE b.merchant_id > f.merchant_id
                     ORDER BY b.merchant_id LIMIT 1), f.n + 1
              FROM found f WHERE f.merchant_id IS NOT NULL AND f.n < $2)
        SELECT merchant_id FROM found WHERE merchant_id IS NOT NULL ORDER BY merchant_id
        """,
        after,
        limit,
    )
    return [row["merchant_id"] for row in rows]


async def is_waiting(source: Source, merchant_id: UUID) -> bool:
    """Whether any of the merchant's events wait to be numbered."""
    row = await source.fetchrow(
        "SELECT 1 FROM event_batches WHERE merchant_id = $1 LIMIT 1", merchant_id
    )
    return row is not None


async def lock(tx: Tx, merchants: Sequence[UUID]) -> dict[UUID, int]:
    """Take the counters of those merchants that nobody holds; the last number given of each."""
    rows = await tx.fetch(
        """
        SELECT merchant_id, last_number FROM event_counters
         WHERE merchant_id = ANY ($1::uuid[]) ORDER BY merchant_id FOR UPDATE SKIP LOCKED
        """,
        list(merchants),
    )
    return {row["merchant_id"]: row["last_number"] for row in rows}


async def hold(tx: Tx, merchant_id: UUID) -> int:
    """Wait for the merchant's counter and take it; the last number given.

    Until the end nobody numbers the merchant's events, or decides who is told of them.
    """
    last: int = await tx.fetchval(
        "SELECT last_number FROM event_counters WHERE merchant_id = $1 FOR UPDATE", merchant_id
    )
    return last


async def load(tx: Tx, held: Mapping[UUID, int], limit: int) -> list[Waiting]:
    """The next events, about `limit` at most, of each merchant whose counter is held."""
    rows = await tx.fetch(
        """
        SELECT b.merchant_id, b.number, e.id, e.type, e.object_id
          FROM unnest($1::uuid[]) AS m (merchant_id)
         CROSS JOIN LATERAL (
                SELECT n.*, sum(cardinality(event_ids)) OVER (ORDER BY number)
                            - cardinality(event_ids) AS sofar
                  FROM (SELECT w.* FROM event_batches w WHERE w.merchant_id = m.merchant_id
                         ORDER BY w.number LIMIT $3) n) b
         CROSS JOIN LATERAL unnest(b.event_ids) WITH ORDINALITY AS u (id, place)
         CROSS JOIN LATERAL (
                SELECT * FROM events o WHERE o.merchant_id = b.merchant_id AND o.id = u.id
                 LIMIT 1) e
         WHERE b.sofar < $2
         ORDER BY b.merchant_id, b.number, u.place
        """,
        list(held),
        limit,
        BATCHES_MAX,
    )
    found = {key: list(own) for key, own in groupby(rows, key=itemgetter("merchant_id"))}
    return [_waiting(merchant, held[merchant], own) for merchant, own in found.items()]


def _waiting(merchant_id: UUID, last_number: int, rows: Sequence[Row]) -> Waiting:
    return Waiting(
        merchant_id,
        last_number + 1,
        [Told(row["id"], row["type"], row["object_id"]) for row in rows],
        list(dict.fromkeys(row["number"] for row in rows)),
    )


async def number(tx: Tx, told: Sequence[Waiting]) -> None:
    """Write the numbers down, move the counters on, and delete the batches."""
    rows = [
        (one.merchant_id, one.first_number + place, event.id)
        for one in told
        for place, event in enumerate(one.events)
    ]
    await bulk.insert(tx, tables.event_numbers, ("merchant_id", "number", "event_id"), rows)
    await tx.run(
        """
        UPDATE event_counters c SET last_number = c.last_number + v.added
          FROM unnest($1::uuid[], $2::bigint[]) AS v (merchant_id, added)
         WHERE c.merchant_id = v.merchant_id
        """,
        [one.merchant_id for one in told],
        [len(one.events) for one in told],
    )
    batches = [(one.merchant_id, batch) for one in told for batch in one.batches]
    await tx.run(
        """
        DELETE FROM event_batches b
         USING unnest($1::uuid[], $2::bigint[]) AS v (merchant_id, number)
         WHERE b.merchant_id = v.merchant_id AND b.number = v.number
        """,
        [merchant for merchant, _ in batches],
        [batch for _, batch in batches],
    )
