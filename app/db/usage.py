"""What usage amounts to: the quantities of spans, of a thousand subscriptions in a few queries.

**Nothing is lost, nothing is billed twice**, whoever commits when. A bill writes down the quantity
it billed; what is late is not what came after some instant, but the difference between what a
billed span amounts to now and what was billed of it. An event that a bill could not see yet, since
its transaction had not ended, is in that difference the next time. Instants serve only to leave
out spans that nothing can have come to since, and do so with `DOUBT` to spare.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from app.db.base import Row, Tx
from app.db.views.base import Source
from app.domain.calendar import Period
from app.domain.metering import DOUBT, PROMPT, Aggregation, Meter


class Wanted(NamedTuple):
    """An item of a subscription whose usage in `[start, end)` is to be known."""

    merchant_id: UUID
    item_id: UUID
    customer_id: UUID
    subscription_id: UUID
    meter_id: UUID
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Billed:
    """A span that was billed with `quantity`, all lines for it taken together.

    `billed_at` is when that was: the clock's now of the bill, not later. None on a test clock,
    whose time says nothing about when events came. `events` matters where a price asks for it.
    """

    wanted: Wanted
    quantity: int
    billed_at: datetime | None
    events: int | None = None


@dataclass(frozen=True, slots=True)
class Metered:
    """What the events of a span amount to, and how many of them count."""

    quantity: int
    events: int


@dataclass(frozen=True, slots=True)
class Series:
    """A meter's quantities step by step, and over all of it; steps without events are nothing."""

    steps: tuple[Metered, ...]
    total: Metered


ItemKey: TypeAlias = tuple[UUID, UUID]
NOTHING: Final = Metered(0, 0)

REVERSED: Final = """
    SELECT r.reverses_id FROM usage_events r
     WHERE r.merchant_id = w.merchant_id AND r.customer_id = w.customer_id
       AND r.meter_id = w.meter_id AND r.happened_at >= w.starts AND r.happened_at < w.ends
       AND r.reverses_id IS NOT NULL
"""
"""A counter-event stands at the instant of the event that it takes back: in the same spans."""

COUNTED: Final = f"""
    FROM usage_events e
   WHERE e.merchant_id = w.merchant_id AND e.customer_id = w.customer_id
     AND e.meter_id = w.meter_id AND e.happened_at >= w.starts AND e.happened_at < w.ends
     AND (e.subscription_id IS NULL OR e.subscription_id = w.subscription_id)
     AND e.value IS NOT NULL AND e.id <> ALL (ARRAY ({REVERSED}))
"""

SPANS: Final = """
    unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::timestamptz[], $6::timestamptz[])
      WITH ORDINALITY AS w (merchant_id, customer_id, subscription_id, meter_id, starts, ends, n)
"""

QUANTITY: Final[Mapping[Aggregation, str]] = {
    Aggregation.SUM: "greatest(coalesce(sum(e.value), 0), 0)",
    Aggregation.COUNT: "count(*)",
    Aggregation.MAX: "coalesce(max(e.value), 0)",
    Aggregation.LAST: (
        'coalesce((array_agg(e.value ORDER BY e.happened_at DESC, e.event_id COLLATE "C" DESC))[1],'
        " 0)"
    ),
    Aggregation.UNIQUE: "count(DISTINCT e.unique_value)",
}
LAST_OF_SPAN: Final = f"""
    coalesce((SELECT e.value {COUNTED}
               ORDER BY e.happened_at DESC, e.event_id COLLATE "C" DESC LIMIT 1), 0)
"""
"""The same, but found from the end of the index."""


async def quantities(tx: Tx, wanted: Sequence[Wanted]) -> dict[ItemKey, Metered]:
    """What each item's usage amounts to, by (merchant, item); nothing is a quantity of 0.

    An item is wanted once; each kind of aggregation among the meters takes one query.
    """
    found = await _measure(tx, wanted)
    return {(w.merchant_id, w.item_id): m for w, m in zip(wanted, found, strict=True)}


async def late(tx: Tx, billed: Sequence[Billed]) -> dict[Wanted, Metered]:
    """What billed spans amount to now, where that is not what they were billed with."""
    if not billed:
        return {}
    touched = [billed[n] for n in await _touched(tx, billed)]
    found = await _measure(tx, [b.wanted for b in touched])
    return {b.wanted: m for b, m in zip(touched, found, strict=True) if _differs(b, m)}


async def series(
    source: Source,
    merchant_id: UUID,
    meter: Meter,
    steps: Sequence[Period],
    customer_id: UUID | None = None,
) -> Series:
    """A meter's usage by one customer, or by all of them, in adjoining steps."""
    whose = "" if customer_id is None else "AND e.customer_id = $5"
    rows = await source.fetch(
        f"""
        SELECT width_bucket(e.happened_at, $3::timestamptz[]) AS step, count(*) AS events,
               {QUANTITY[meter.aggregation]} AS quantity
          FROM usage_events e
         WHERE e.merchant_id = $1 AND e.meter_id = $2 AND e.happened_at >= ($3::timestamptz[])[1]
           AND e.happened_at < $4 {whose} AND e.value IS NOT NULL
           AND NOT EXISTS (SELECT FROM usage_events r
                            WHERE r.merchant_id = e.merchant_id AND r.reverses_id = e.id
                              AND r.value IS NULL)
         GROUP BY GROUPING SETS ((1), ())
        """,
        merchant_id,
        meter.id,
        [step.start for step in steps],
        steps[-1].end,
        *([] if customer_id is None else [customer_id]),
    )
    found = {row["step"]: _metered(row) for row in rows}
    return Series(
        tuple(found.get(n, NOTHING) for n in range(1, len(steps) + 1)), found.get(None, NOTHING)
    )


async def items_of(tx: Tx, merchant_id: UUID, subscription_id: UUID) -> list[Row]:
    """The items of a subscription with its present period; one without items where it has none."""
    return await tx.fetch(
        """
        SELECT s.customer_id, s.period_start, s.period_end, i.id, i.price_id, i.since
          FROM subscriptions s LEFT JOIN subscription_items i
            ON i.merchant_id = s.merchant_id AND i.subscription_id = s.id
         WHERE s.merchant_id = $1 AND s.id = $2 ORDER BY i.position
        """,
        merchant_id,
        subscription_id,
    )


async def _measure(tx: Tx, wanted: Sequence[Wanted]) -> list[Metered]:
    """The quantities of spans, in their order."""
    kinds = await _kinds(tx, {(w.merchant_id, w.meter_id) for w in wanted})
    found = [NOTHING] * len(wanted)
    by_kind: dict[Aggregation, list[int]] = defaultdict(list)
    for place, w in enumerate(wanted):
        by_kind[kinds[w.merchant_id, w.meter_id]].append(place)
    for kind, places in by_kind.items():
        rows = await tx.fetch(_SPANS_OF[kind], *_columns(wanted[place] for place in places))
        for row in rows:
            found[places[row["n"] - 1]] = _metered(row)
    return found


def _of_spans(kind: Aggregation) -> str:
    if kind is Aggregation.LAST:
        return f"""
            SELECT w.n, {LAST_OF_SPAN} AS quantity, (SELECT count(*) {COUNTED}) AS events
              FROM {SPANS}
        """
    return f"""
        SELECT w.n, u.quantity, u.events FROM {SPANS} CROSS JOIN LATERAL (
            SELECT {QUANTITY[kind]} AS quantity, count(*) AS events {COUNTED}) AS u
    """


_SPANS_OF: Final = {kind: _of_spans(kind) for kind in Aggregation}


async def _kinds(tx: Tx, meters: set[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], Aggregation]:
    rows = await tx.fetch(
        """
        SELECT m.merchant_id, m.id, m.aggregation
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN meters m USING (merchant_id, id)
        """,
        [merchant_id for merchant_id, _ in meters],
        [meter_id for _, meter_id in meters],
    )
    return {(row["merchant_id"], row["id"]): Aggregation(row["aggregation"]) for row in rows}


async def _touched(tx: Tx, billed: Sequence[Billed]) -> list[int]:
    """The places of those spans that events may have come to since they were billed.

    What comes late either happened well before and is marked as delayed, or happened in the last
    moments of the span.
    """
    rows = await tx.fetch(
        f"""
        SELECT w.n FROM {SPANS}
          JOIN unnest($7::timestamptz[]) WITH ORDINALITY AS b (since, n) USING (n)
         WHERE b.since IS NULL OR EXISTS (
            SELECT FROM usage_events e
             WHERE e.merchant_id = w.merchant_id AND e.customer_id = w.customer_id
               AND e.meter_id = w.meter_id AND e.happened_at >= w.starts AND e.happened_at < w.ends
               AND e.delayed AND e.received_at >= b.since
        ) OR EXISTS (
            SELECT FROM usage_events e
             WHERE e.merchant_id = w.merchant_id AND e.customer_id = w.customer_id
               AND e.meter_id = w.meter_id
               AND e.happened_at >= greatest(w.starts, b.since - $8::interval)
               AND e.happened_at < w.ends AND e.value IS NOT NULL AND e.received_at >= b.since)
         ORDER BY w.n
        """,
        *_columns(b.wanted for b in billed),
        [None if b.billed_at is None else b.billed_at - DOUBT for b in billed],
        PROMPT,
    )
    return [row["n"] - 1 for row in rows]


def _differs(billed: Billed, now: Metered) -> bool:
    return now.quantity != billed.quantity or billed.events not in (None, now.events)


def _columns(wanted: Iterable[Wanted]) -> list[list[object]]:
    spans = list(wanted)
    return [
        [w.merchant_id for w in spans],
        [w.customer_id for w in spans],
        [w.subscription_id for w in spans],
        [w.meter_id for w in spans],
        [w.start for w in spans],
        [w.end for w in spans],
    ]


def _metered(row: Row) -> Metered:
    return Metered(int(row["quantity"]), row["events"])
