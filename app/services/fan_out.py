"""Fan-out: committed events get their numbers, and a delivery for each endpoint to be told.

A few set statements for many merchants at once, outside of what changes money. Taking a batch,
numbering its events, writing their deliveries and deleting it is one transaction, so it happens
once, wherever a process dies. Whoever does it holds the merchant's counter: its events are numbered
by one at a time, in order. Other merchants' go on meanwhile.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import outbox, webhook_deliveries, webhook_endpoints, webhook_lanes
from app.db.base import Tx
from app.db.outbox import Waiting
from app.db.webhook_deliveries import NewDelivery
from app.db.webhook_lanes import Key
from app.domain import webhook
from app.domain.delivery import Cause
from app.domain.webhook import Endpoint, Told
from app.ids import new_id
from app.runtime import Runtime

MERCHANTS_MAX: Final = 100
"""Served in one transaction."""
EVENTS_MAX: Final = 1_000
"""Of each of them, about; the rest comes next."""
ROUNDS_MAX: Final = 10_000
START: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class FannedOut:
    """What a run came to."""

    events: int = 0
    deliveries: int = 0

    def __add__(self, other: "FannedOut") -> "FannedOut":
        return FannedOut(self.events + other.events, self.deliveries + other.deliveries)


async def fan_out_due(rt: Runtime, only: UUID | None = None) -> FannedOut:
    """Number every event that is committed, of all merchants or one, and say whom it is told."""
    total, lap, after = FannedOut(), FannedOut(), START
    for _ in range(ROUNDS_MAX):
        async with rt.db.begin_system() as tx:
            merchants = await _merchants(tx, after, only)
            done = await _fan_out(tx, merchants, rt.clock.now()) if merchants else FannedOut()
        total, lap = total + done, lap + done
        if merchants and only is None:
            after = merchants[-1]  # once around, before anybody's second turn
        elif lap.events:
            after, lap = START, FannedOut()
        else:
            break  # a lap that found nothing, or what others are at
    if total.deliveries:
        await rt.bell.ring("deliver")
    return total


async def _merchants(tx: Tx, after: UUID, only: UUID | None) -> Sequence[UUID]:
    if only is None:
        return await outbox.waiting(tx, after, MERCHANTS_MAX)
    return [only] if await outbox.is_waiting(tx, only) else []


async def _fan_out(tx: Tx, merchants: Sequence[UUID], now: datetime) -> FannedOut:
    held = await outbox.lock(tx, merchants)
    told = await outbox.load(tx, held, EVENTS_MAX)
    if not told:
        return FannedOut()
    await outbox.number(tx, told)
    endpoints = await webhook_endpoints.enabled(tx, [one.merchant_id for one in told])
    wanted = dict(_wanted(told, endpoints))
    written = await deliver_to(tx, wanted, Cause.EVENT, now) if wanted else ()
    return FannedOut(sum(len(one.events) for one in told), len(written))


def _wanted(
    told: Sequence[Waiting], endpoints: Mapping[UUID, Sequence[Endpoint]]
) -> Iterator[tuple[Key, Sequence[Told]]]:
    for one in told:
        found = webhook.fan_out(one.events, endpoints.get(one.merchant_id, ()))
        for endpoint, events in found.items():
            yield (one.merchant_id, endpoint), events


async def deliver_to(
    tx: Tx, wanted: Mapping[Key, Sequence[Told]], cause: Cause, now: datetime
) -> Sequence[UUID]:
    """Write deliveries of events, in their order, to endpoints; their identifiers."""
    positions = await webhook_lanes.lock(tx, list(wanted))
    new = [
        delivery
        for key, events in wanted.items()
        for delivery in _deliveries(key, events, positions[key], cause)
    ]
    await webhook_deliveries.add(tx, new, now)
    await webhook_lanes.lengthen(tx, {key: len(events) for key, events in wanted.items()}, now)
    return [delivery.id for delivery in new]


def _deliveries(
    key: Key, events: Sequence[Told], last_position: int, cause: Cause
) -> Iterator[NewDelivery]:
    seen: set[UUID] = set()
    for place, event in enumerate(events, 1):
        yield NewDelivery(
            merchant_id=key[0],
            id=new_id(),
            endpoint_id=key[1],
            event_id=event.id,
            object_id=event.object_id,
            position=last_position + place,
            cause=cause,
            is_first=event.object_id not in seen,
        )
        seen.add(event.object_id)
