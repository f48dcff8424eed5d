"""Phases and price migrations, as stories name them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from app.api.price_migrations import PriceMigration
from app.api.schedule_objects import SubscriptionSchedule
from app.db.views import PRICE_MIGRATION, SUBSCRIPTION_SCHEDULE
from app.domain.phases import EndBehaviour
from app.ids import parse
from app.services import lookup, price_migrations, price_moves, schedules
from app.services.enrolment import CreateSubscription
from app.services.phasing import WantedPhase
from app.services.price_migrations import CreatePriceMigration
from app.services.public import dump
from app.services.schedules import PutSchedule
from app.services.subscriptions import create
from tests.world import World


def phase(*prices: UUID | tuple[UUID, int], **options: Any) -> WantedPhase:
    """A phase of these prices, each once or so many times."""
    items = [price if isinstance(price, tuple) else (price, 1) for price in prices]
    return WantedPhase(items=tuple(items), **options)


async def put(
    world: World, sub: UUID, *phases: WantedPhase, end: EndBehaviour = EndBehaviour.RELEASE
) -> UUID:
    cmd = PutSchedule(sub, phases, end)
    return await schedules.put(world.rt, world.caller, cmd)


async def release(world: World, sub: UUID) -> UUID:
    return await schedules.release(world.rt, world.caller, sub)


async def subscribe_in_phases(
    world: World,
    customer: UUID,
    *phases: WantedPhase,
    end: EndBehaviour = EndBehaviour.RELEASE,
    **options: Any,
) -> UUID:
    first = phases[0]
    cmd = CreateSubscription(
        customer_id=customer,
        items=first.items,
        coupon_ids=first.coupon_ids or (),
        phases=phases,
        end_behaviour=end,
        **options,
    )
    return await create(world.rt, world.caller, cmd)


async def schedule(world: World, sub: UUID) -> SubscriptionSchedule:
    """A subscription's schedule as callers see it."""
    found = await schedules.find(world.rt, world.caller, sub)
    shown = await lookup.one(world.rt, world.caller, SUBSCRIPTION_SCHEDULE, found)
    return SubscriptionSchedule.model_validate_json(dump(shown))


def boundaries(shown: SubscriptionSchedule) -> list[tuple[datetime, datetime | None]]:
    """When each phase starts and ends."""
    return [(phase.start_at, phase.end_at) for phase in shown.phases]


async def plan_migration(world: World, **wanted: Any) -> PriceMigration:
    """A price migration, worked out and not carried out."""
    cmd = CreatePriceMigration(**wanted)
    return await migration(world, await price_migrations.create(world.rt, world.caller, cmd))


async def migration(world: World, id: UUID | str) -> PriceMigration:
    """A price migration as callers see it."""
    known = id if isinstance(id, UUID) else parse("pmg", id)
    shown = await lookup.one(world.rt, world.caller, PRICE_MIGRATION, known)
    return PriceMigration.model_validate_json(dump(shown))


async def carry_out(world: World, planned: PriceMigration) -> PriceMigration:
    """Carry it out, as a worker would."""
    await price_migrations.execute(world.rt, world.caller, parse("pmg", planned.id))
    await price_moves.run_due(world.rt)
    return await migration(world, planned.id)
