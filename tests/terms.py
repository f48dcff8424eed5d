"""What stories about the terms of a subscription need: dials, periods, sums, trials, offers."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.domain.calendar import Unit
from app.services import billing_settings, changes, discounts, promotion_codes
from app.services.discounts import CreateDiscount
from app.services.promotion_codes import CreatePromotionCode
from tests.world import World

CHANGED = ("subscription.updated", "invoice.finalized", "payment.succeeded", "invoice.paid")
"""A change that is billed and paid at once."""
GIVEN_BACK = ("subscription.updated", "invoice.finalized", "invoice.paid")
"""A change after which the customer has credit."""
ACTIVATED = ("subscription.activated", "invoice.finalized", "payment.succeeded", "invoice.paid")
RESUMED = ("subscription.resumed", "invoice.finalized", "payment.succeeded", "invoice.paid")
ENDED = ("subscription.canceled",)


def at(*parts: int) -> datetime:
    """An instant in UTC."""
    return datetime(*parts, tzinfo=UTC)


async def dials(world: World, **settings: Any) -> None:
    """Set some of the merchant's billing settings; they tell no event."""
    await billing_settings.update(world.rt, world.caller, settings)


async def totals(world: World, sub: UUID) -> list[int]:
    """What each invoice of a subscription comes to."""
    return [invoice["total"] for invoice in await world.invoices(sub)]


async def amounts(world: World, sub: UUID) -> list[int]:
    """The lines of a subscription's latest invoice before discounts and taxes, in their order."""
    return [amount for amount, _, _ in await world.amounts((await world.invoice(sub))["id"])]


async def period(world: World, sub: UUID) -> tuple[datetime, datetime]:
    row = await world.subscription(sub)
    return row["period_start"], row["period_end"]


def paid(world: World) -> list[int]:
    """What the gateway captured, in order."""
    return [amount for amount, _ in world.charged()]


async def end_trial(world: World, sub: UUID, moment: datetime | None = None) -> None:
    """End a trial at `moment`; None: now."""
    await changes.set_trial_end(world.rt, world.caller, sub, moment)
    await world.tick()


async def planned(world: World, sub: UUID) -> list[Any]:
    """The scheduled changes that wait on a subscription, the next one first."""
    return await world.fetch(
        "SELECT * FROM scheduled_changes WHERE subscription_id = $1 AND status = 'pending' "
        "ORDER BY due_at",
        sub,
    )


async def unplan(world: World, sub: UUID, change: UUID) -> None:
    await changes.unschedule(world.rt, world.caller, sub, change)


async def give(world: World, customer: UUID, coupon: UUID) -> UUID:
    """Discount everything that a customer buys."""
    cmd = CreateDiscount(customer, coupon)
    return (await discounts.create(world.rt, world.caller, cmd))["id"]


async def code(world: World, coupon: UUID, word: str, **options: Any) -> str:
    cmd = CreatePromotionCode(coupon_id=coupon, code=word, **options)
    return (await promotion_codes.create(world.rt, world.caller, cmd))["code"]


async def weekly(world: World, amount: str, **options: Any) -> UUID:
    """A price for each seven days: parts of it are easy to reckon."""
    return await world.price(amount, unit=Unit.WEEK, **options)
