"""Usage as it is told: taken, known already, or refused with a reason, event by event.

An event's id is its own idempotency key: told again, it is a duplicate; told otherwise, it
contradicts what is on record and is refused. So whoever is not sure sends the whole batch again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db import prices, usage, views
from app.db import usage_events as rows
from app.db.base import Row, Tx
from app.db.usage import Metered, Wanted
from app.db.usage_events import OnRecord
from app.domain import metering, pricing
from app.domain.calendar import Period
from app.domain.errors import Conflict, InvalidRequest
from app.domain.metering import Refusal, Reported, UsageEvent
from app.domain.money import Money
from app.domain.pricing import Price
from app.ids import new_id
from app.runtime import Runtime
from app.services import lookup
from app.services.caller import Caller

BATCH_MAX: Final = 1_000
"""Events in one call: a statement of some ten milliseconds, and a body far below the limit."""
CONTRADICTION: Final = Refusal(
    "event_id_reused", "Another event was told under this id before.", "id"
)
REVERSED: Final = Refusal("already_reversed", "The event is reversed already.", "reverses")
CONFLICTS: Final = frozenset({CONTRADICTION.code, REVERSED.code})
"""Refusals that are not the event's own fault: they depend on what else is on record."""


@dataclass(slots=True)
class Receipt:
    """What became of each event, by its id, in the order they were told."""

    accepted: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    refused: list[tuple[str, Refusal]] = field(default_factory=list)
    kept: dict[str, UUID] = field(default_factory=dict)
    """Where those are that are on record."""


@dataclass(frozen=True, slots=True)
class Costing:
    """What an item's usage amounts to so far, and what it would cost if the period ended now."""

    item_id: UUID
    meter_id: UUID
    price: Price
    metered: Metered
    amount: Money


@dataclass(frozen=True, slots=True)
class PresentUsage:
    """The usage of a subscription's present period; none before the first begins."""

    period: Period | None
    items: tuple[Costing, ...]


async def record(rt: Runtime, caller: Caller, told: Sequence[Reported]) -> Receipt:
    """Take up to BATCH_MAX events; what cannot be taken is refused by itself."""
    assert len(told) <= BATCH_MAX
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        return await _record(tx, caller, told, now)


async def record_one(rt: Runtime, caller: Caller, told: Reported) -> Row:
    """Take one event, unless it is on record already. Raises InvalidRequest, Conflict."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        receipt = await _record(tx, caller, [told], now)
        for _, why in receipt.refused:
            kind = Conflict if why.code in CONFLICTS else InvalidRequest
            raise kind(why.message, code=why.code, param=why.param)
        row = await views.one(tx, views.USAGE_EVENT, caller.merchant_id, receipt.kept[told.id])
        assert row is not None
    return row


async def of_subscription(rt: Runtime, caller: Caller, subscription_id: UUID) -> PresentUsage:
    """What a subscription's metered items have used in the present period. Raises NotFound."""
    async with rt.db.begin(caller.merchant_id) as tx:
        found = await usage.items_of(tx, caller.merchant_id, subscription_id)
        if not found:
            raise lookup.missing(views.SUBSCRIPTION)
        start, end = found[0]["period_start"], found[0]["period_end"]
        if start is None:
            return PresentUsage(None, ())
        items = [row for row in found if row["id"] is not None]
        priced = await prices.load(tx, ((caller.merchant_id, row["price_id"]) for row in items))
        metered: dict[UUID, Price] = {}
        wanted: list[Wanted] = []
        for row in items:
            price = priced[caller.merchant_id, row["price_id"]]
            since = max(row["since"] or start, start)
            if price.meter_id is not None and since < end:
                metered[row["id"]] = price
                ids = row["id"], row["customer_id"], subscription_id, price.meter_id
                wanted.append(Wanted(caller.merchant_id, *ids, since, end))
        used = await usage.quantities(tx, wanted)
    costings = [_costing(w, metered[w.item_id], used[w.merchant_id, w.item_id]) for w in wanted]
    return PresentUsage(Period(start, end), tuple(costings))


def _costing(wanted: Wanted, price: Price, metered: Metered) -> Costing:
    amount = pricing.amount(price, metered.quantity, events=metered.events)
    return Costing(wanted.item_id, wanted.meter_id, price, metered, amount)


async def _record(tx: Tx, caller: Caller, told: Sequence[Reported], now: datetime) -> Receipt:
    """First the usage, then what takes usage back: that may be in the same batch."""
    first: dict[str, Reported] = {}
    for event in told:
        first.setdefault(event.id, event)
    parts = (
        [event for event in first.values() if event.reverses is None],
        [event for event in first.values() if event.reverses is not None],
    )
    new: dict[str, UUID] = {}
    refused: dict[str, Refusal] = {}
    for part in filter(None, parts):
        known = await rows.known(tx, caller.merchant_id, part, now)
        taken: list[UsageEvent] = []
        for event in part:
            judged = metering.take(event, known, now, new_id)
            if isinstance(judged, Refusal):
                refused[event.id] = judged
            else:
                taken.append(judged)
        new |= await rows.insert(tx, caller.merchant_id, taken)
    unclear = first.keys() - new.keys() if len(first) == len(told) else first.keys()
    on_record = await rows.on_record(tx, caller.merchant_id, unclear, now)
    return _receipt(told, new, refused, on_record)


def _receipt(
    told: Sequence[Reported],
    new: Mapping[str, UUID],
    refused: Mapping[str, Refusal],
    on_record: Mapping[str, OnRecord],
) -> Receipt:
    receipt = Receipt(
        kept=dict(new) | {told_id: there.kept.id for told_id, there in on_record.items()}
    )
    fresh = set(new)
    for event in told:
        there = on_record.get(event.id)
        if event.id in fresh:
            fresh.remove(event.id)
            receipt.accepted.append(event.id)
        elif there is None:
            # Neither refused nor written: another counter-event was quicker.
            receipt.refused.append((event.id, refused.get(event.id, REVERSED)))
        elif metering.is_same(event, there.kept.told, there.external_id):
            receipt.duplicates.append(event.id)
        else:
            receipt.refused.append((event.id, CONTRADICTION))
    return receipt
