"""Rows of `usage_events`: what they name is looked up, then they are written, many at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import orjson

from app.db import meters, policies
from app.db.base import Row, Tx, dumps
from app.domain.metering import Customer, Kept, Known, Reported, Target, UsageEvent


@dataclass(frozen=True, slots=True)
class OnRecord:
    """An event that is kept, and by what other name its customer goes at present."""

    kept: Kept
    external_id: str | None


async def known(tx: Tx, merchant_id: UUID, events: Collection[Reported], now: datetime) -> Known:
    """What `events` name, as far as it exists, in a fixed number of queries."""
    names = {e.event_name for e in events if e.event_name is not None}
    targets = {e.subscription_id for e in events if e.subscription_id is not None}
    reversed_ids = {e.reverses for e in events if e.reverses is not None}
    billing = await policies.of_merchant(tx, merchant_id)
    found = await on_record(tx, merchant_id, reversed_ids, now)
    return Known(
        window=timedelta(days=billing.late_usage_days),
        meters=await meters.by_event_name(tx, merchant_id, list(names)) if names else {},
        customers=await _customers(tx, merchant_id, events, now),
        subscriptions=await _subscriptions(tx, merchant_id, targets),
        events={event_id: there.kept for event_id, there in found.items()},
    )


async def insert(tx: Tx, merchant_id: UUID, events: Sequence[UsageEvent]) -> dict[str, UUID]:
    """Write events in one statement; those that were not there already, by the merchant's ids.

    In the order of their ids, so that batches with events in common wait for each other in turn
    and never in a circle.
    """
    if not events:
        return {}
    ordered = sorted(events, key=lambda event: event.event_id)
    written = await tx.fetch(
        """
        INSERT INTO usage_events
            (merchant_id, id, event_id, meter_id, customer_id, subscription_id, happened_at, value,
             unique_value, reverses_id, properties, received_at, delayed)
        SELECT $1, * FROM unnest(
            $2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::timestamptz[],
            $8::bigint[], $9::text[], $10::uuid[], $11::json[], $12::timestamptz[], $13::bool[])
        ON CONFLICT DO NOTHING RETURNING event_id, id
        """,
        merchant_id,
        [e.id for e in ordered],
        [e.event_id for e in ordered],
        [e.meter_id for e in ordered],
        [e.customer_id for e in ordered],
        [e.subscription_id for e in ordered],
        [e.happened_at for e in ordered],
        [e.value for e in ordered],
        [e.unique_value for e in ordered],
        [e.reverses_id for e in ordered],
        [dumps(e.properties) for e in ordered],
        [e.received_at for e in ordered],
        [e.delayed for e in ordered],
    )
    return {row["event_id"]: row["id"] for row in written}


async def on_record(
    tx: Tx, merchant_id: UUID, ids: Collection[str], now: datetime
) -> dict[str, OnRecord]:
    """The events that are kept under these ids of the merchant's, as they were told."""
    if not ids:
        return {}
    rows = await tx.fetch(
        """
        SELECT e.id, e.event_id, e.meter_id, m.event_name, e.customer_id, c.external_id,
               e.subscription_id, e.happened_at, e.properties, r.event_id AS reverses,
               by.event_id AS reversed_by, coalesce(t.frozen_at, $3) AS customer_now
          FROM usage_events e
          JOIN meters m ON m.merchant_id = e.merchant_id AND m.id = e.meter_id
          JOIN customers c ON c.merchant_id = e.merchant_id AND c.id = e.customer_id
          LEFT JOIN test_clocks t ON t.merchant_id = c.merchant_id AND t.id = c.test_clock_id
          LEFT JOIN usage_events r ON r.merchant_id = e.merchant_id AND r.id = e.reverses_id
          LEFT JOIN usage_events by ON by.merchant_id = e.merchant_id AND by.reverses_id = e.id
               AND by.value IS NULL
         WHERE e.merchant_id = $1 AND e.event_id = ANY ($2::text[])
        """,
        merchant_id,
        list(ids),
        now,
    )
    return {row["event_id"]: OnRecord(_kept(row), row["external_id"]) for row in rows}


def _kept(row: Row) -> Kept:
    return Kept(
        id=row["id"],
        told=Reported(
            id=row["event_id"],
            event_name=row["event_name"],
            customer_id=row["customer_id"],
            subscription_id=row["subscription_id"],
            timestamp=row["happened_at"],
            properties=orjson.loads(row["properties"]),
            reverses=row["reverses"],
        ),
        meter_id=row["meter_id"],
        customer_id=row["customer_id"],
        customer_now=row["customer_now"],
        reversed_by=row["reversed_by"],
    )


async def _customers(
    tx: Tx, merchant_id: UUID, events: Collection[Reported], now: datetime
) -> dict[UUID | str, Customer]:
    """The customers by the id or external id that they are named by."""
    ids = {e.customer_id for e in events if e.customer_id is not None}
    external_ids = {e.customer_external_id for e in events if e.customer_external_id is not None}
    rows = await tx.fetch(
        """
        WITH named AS (
            SELECT id FROM customers WHERE merchant_id = $1 AND id = ANY ($2::uuid[])
            UNION
            SELECT id FROM customers WHERE merchant_id = $1 AND external_id = ANY ($3::text[]))
        SELECT c.id, c.external_id, coalesce(t.frozen_at, $4) AS now
          FROM named JOIN customers c ON c.merchant_id = $1 AND c.id = named.id
          LEFT JOIN test_clocks t ON t.merchant_id = c.merchant_id AND t.id = c.test_clock_id
         WHERE c.deleted_at IS NULL
        """,
        merchant_id,
        list(ids),
        list(external_ids),
        now,
    )
    found: dict[UUID | str, Customer] = {}
    for row in rows:
        customer = Customer(row["id"], row["now"])
        found[row["id"]] = customer
        if row["external_id"] is not None:
            found[row["external_id"]] = customer
    return found


async def _subscriptions(tx: Tx, merchant_id: UUID, ids: Collection[UUID]) -> dict[UUID, Target]:
    if not ids:
        return {}
    rows = await tx.fetch(
        """
        SELECT id, customer_id, ended_at FROM subscriptions
         WHERE merchant_id = $1 AND id = ANY ($2::uuid[])
        """,
        merchant_id,
        list(ids),
    )
    return {row["id"]: Target(row["customer_id"], row["ended_at"]) for row in rows}
