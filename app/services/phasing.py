"""Phases as callers name them, read and judged: with prices, and coupons to be redeemed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from app.db import billing, prices, redemptions, schedules
from app.db.base import Row, Tx
from app.db.redemptions import Resolved
from app.domain import discount, phases, pricing
from app.domain.billing import Account
from app.domain.decision import Decision, ScheduledState
from app.domain.errors import InvalidRequest
from app.domain.invoice import Collection as CollectionMethod
from app.domain.phases import EndBehaviour, Phase, Plan, begin, plan
from app.domain.policy import Policy, Settlement, When
from app.domain.subscription import Subscription
from app.ids import new_id, show


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPhase:
    """A phase by the names of its prices (id, quantity) and coupons; None: as before."""

    items: Sequence[tuple[UUID, int]]
    start: datetime | When | None = None
    cycles: int | None = None
    ends_at: datetime | None = None
    coupon_ids: Sequence[UUID] | None = None
    settlement: Settlement | None = None
    collection: CollectionMethod | None = None
    net_days: int | None = None


class Judged(NamedTuple):
    """Phases that can be planned, and the coupons that are redeemed with them."""

    phases: list[Phase]
    redeemed: list[Resolved]


async def judge(  # noqa: PLR0913  whose phases, in which currency, by when
    tx: Tx,
    merchant_id: UUID,
    customer_id: UUID,
    currency: str,
    wanted: Sequence[WantedPhase],
    held: Collection[UUID],
    now: datetime,
) -> Judged:
    """The phases with all they name; prices in `held` need not be offered any more.

    Raises InvalidRequest, with the phase at fault.
    """
    named = {price for phase in wanted for price, _ in phase.items}
    priced = await prices.load(tx, ((merchant_id, price) for price in sorted(named)))
    country = await billing.country_of(tx, customer_id)
    judged = Judged([], [])
    for place, phase in enumerate(wanted):
        among = f"phases[{place}].items"
        for nth, (price_id, _) in enumerate(phase.items):
            param = f"{among}[{nth}].price_id"
            price = priced.get((merchant_id, price_id))
            if price is None:
                raise InvalidRequest("There is no such price.", code="price_not_found", param=param)
            if price.interval is None:
                raise InvalidRequest("A one-time price is not an item.", param=param)
            if price_id not in held:
                pricing.check_offered(price, country, param=param)
        discounts = None
        if phase.coupon_ids is not None:
            given = await redemptions.resolve(
                tx, customer_id, phase.coupon_ids, (), now, currency=currency
            )
            discounts = tuple(discount.redeem(found.coupon, new_id()) for found in given)
            judged.redeemed.extend(given)
        judged.phases.append(
            Phase(
                items=tuple((priced[merchant_id, price], n) for price, n in phase.items),
                start=phase.start,
                cycles=phase.cycles,
                ends_at=phase.ends_at,
                discounts=discounts,
                settlement=phase.settlement,
                collection=phase.collection,
                net_days=phase.net_days,
            )
        )
    return judged


async def begin_with(
    tx: Tx,
    decision: Decision,
    wanted: Sequence[WantedPhase],
    end: EndBehaviour,
    policy: Policy,
    now: datetime,
) -> tuple[Decision, Plan, list[Resolved]]:
    """A new subscription with its phases; the first one is what it was created with."""
    sub: Subscription = decision.subscriptions[0]
    own = {item.price.id for item in sub.items}
    judged = await judge(
        tx, sub.merchant_id, sub.customer_id, sub.currency, _first_made(wanted), own, now
    )
    planned = plan(sub, judged.phases, end, policy, sub.start_at, now, new_id)
    return begin(decision, planned, now, new_id), planned, judged.redeemed


def _first_made(wanted: Sequence[WantedPhase]) -> list[WantedPhase]:
    """The phases, of which the first is made already: it gives no coupon a second time."""
    first, *others = wanted
    if first.start is not None:
        raise InvalidRequest(
            "The first phase starts with the subscription.", param="phases[0].start_at"
        )
    made = WantedPhase(items=first.items, cycles=first.cycles, ends_at=first.ends_at)
    return [made, *others]


def planned_end(schedule: Row | None) -> datetime | None:
    """When a schedule in force ends its subscription."""
    if schedule is None or schedule["released_at"] is not None:
        return None
    ends_at: datetime | None = schedule["ends_at"]
    return ends_at if schedule["end_behaviour"] == EndBehaviour.CANCEL else None


async def without(
    tx: Tx, account: Account, now: datetime
) -> tuple[Account, tuple[ScheduledState, ...]]:
    """A subscription as if its schedule were released, and what is to be written of that."""
    sub = account.subscription
    ends_at = planned_end(await schedules.lock(tx, sub.id))
    left, states = phases.without_phases(sub, ends_at, now)
    return replace(account, subscription=left), states


async def released(
    tx: Tx, account: Account, now: datetime
) -> tuple[Account, tuple[ScheduledState, ...]]:
    """The same, with the schedule released."""
    schedule = await schedules.lock(tx, account.subscription.id)
    if schedule is not None:
        found = await without(tx, account, now)
        await schedules.release(tx, schedule["id"], now)
        return found
    return account, ()


async def keep(
    tx: Tx, subscription_id: UUID, wanted: Sequence[WantedPhase], planned: Plan, now: datetime
) -> UUID:
    """Write the schedule down as callers see it; returns its id."""
    shown = [
        _shown(place, phase, start, end)
        for place, (phase, start, end) in enumerate(
            zip(wanted, planned.starts, planned.ends(), strict=True)
        )
    ]
    return await schedules.put(
        tx, new_id(), subscription_id, shown, planned.end, planned.ends_at, now
    )


def _shown(place: int, phase: WantedPhase, start: datetime, end: datetime | None) -> dict[str, Any]:
    coupons = phase.coupon_ids
    return {
        "phase": place + 1,
        "start_at": _instant(start),
        "end_at": None if end is None else _instant(end),
        "items": [
            {"price_id": show("price", price), "quantity": quantity}
            for price, quantity in phase.items
        ],
        "cycles": phase.cycles,
        "coupon_ids": None if coupons is None else [show("cpn", coupon) for coupon in coupons],
        "settlement": phase.settlement,
        "collection_method": phase.collection,
        "net_days": phase.net_days,
    }


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
