"""Usage in stories: meters, events as a merchant tells them, and a plain reckoning to judge by."""

from collections.abc import Sequence
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

from app.db import usage
from app.db.usage import Billed, Metered, Wanted
from app.domain.metering import Aggregation, Meter, Reported, UsageEvent
from app.ids import new_id
from app.services import meters, usage_events
from app.services.usage_events import Receipt
from tests.world import World

NUMBERS = count(1)


async def meter(
    world: World, aggregation: Aggregation = Aggregation.SUM, name: str = "request", **options: Any
) -> UUID:
    """A meter of events called `name`."""
    if aggregation is Aggregation.UNIQUE:
        options.setdefault("unique_key", "user")
    cmd = meters.CreateMeter(name=name, event_name=name, aggregation=aggregation, **options)
    return (await meters.create(world.rt, world.caller, cmd))["id"]


def said(
    customer: UUID, value: int | None = 1, at: datetime | None = None, **options: Any
) -> Reported:
    """An event of a customer, worth `value`."""
    properties = options.pop("properties", {}) | ({} if value is None else {"value": value})
    return Reported(
        id=options.pop("id", f"e{next(NUMBERS)}"),
        event_name=options.pop("event_name", "request"),
        customer_id=customer,
        timestamp=at,
        properties=properties,
        **options,
    )


def counter(event: str, id: str | None = None) -> Reported:
    """A counter-event."""
    return Reported(id=id or f"e{next(NUMBERS)}", reverses=event)


async def tell(world: World, *events: Reported) -> Receipt:
    return await usage_events.record(world.rt, world.caller, events)


async def taken(world: World, *events: Reported) -> list[str]:
    """Tell events, all of which must be new and taken; their ids."""
    receipt = await tell(world, *events)
    assert receipt.accepted == [event.id for event in events], receipt
    return receipt.accepted


def span(
    world: World,
    customer: UUID,
    meter_id: UUID,
    start: datetime,
    end: datetime,
    subscription: UUID | None = None,
) -> Wanted:
    """An item's usage to be known; the item and its subscription are invented where not given."""
    merchant = world.caller.merchant_id
    return Wanted(merchant, new_id(), customer, subscription or new_id(), meter_id, start, end)


async def amounts(world: World, *wanted: Wanted) -> list[int]:
    """The quantities of spans, in their order."""
    async with world.rt.db.begin_system() as tx:
        found = await usage.quantities(tx, wanted)
    return [found[w.merchant_id, w.item_id].quantity for w in wanted]


async def late(world: World, *billed: Billed) -> dict[Wanted, Metered]:
    async with world.rt.db.begin_system() as tx:
        return await usage.late(tx, billed)


def reckon(how: Meter, events: Sequence[UsageEvent]) -> int:
    """What `events` of one span amount to, said as plainly as it can be."""
    taken_back = {event.reverses_id for event in events}
    counted = [e for e in events if e.value is not None and e.id not in taken_back]
    values = [event.value or 0 for event in counted]
    match how.aggregation:
        case Aggregation.SUM:
            return max(sum(values), 0)
        case Aggregation.COUNT:
            return len(counted)
        case Aggregation.MAX:
            return max(values, default=0)
        case Aggregation.LAST:
            by_time = sorted(counted, key=lambda e: (e.happened_at, e.event_id.encode()))
            return (by_time[-1].value or 0) if by_time else 0
        case Aggregation.UNIQUE:
            return len({event.unique_value for event in counted})
