"""Billing what was used, told as stories: in arrears, by its own time, late, and taken back.

Stories begin on 31 January at 9:00; the first period has 28 days.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.domain.policy import When
from app.domain.pricing import PriceModel, Timing, Usage
from app.services.changes import ChangedItem
from app.services.prices import TierAsked
from tests.usage import meter, said, tell
from tests.world import RENEWED, World

CHANGED = ("subscription.updated", "invoice.finalized", "payment.succeeded", "invoice.paid")
BEGUN = ("subscription.created",)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


async def subscribed(world: World, amount: str = "10", **options: object) -> tuple[UUID, UUID]:
    """A customer whose requests are metered at `amount` each, and the subscription."""
    requests = await meter(world)
    price = await world.price(
        amount, usage_type=Usage.METERED, timing=Timing.ARREARS, meter_id=requests, **options
    )
    customer = await world.customer()
    sub = await world.subscribe(customer, price)
    await world.expect(*BEGUN)
    return customer, sub


async def test_usage_is_billed_in_arrears_in_the_period_of_its_own_time(world: World) -> None:
    customer, _ = await subscribed(world)
    await world.advance(days=10, expect=[])
    await tell(world, said(customer, 70), said(customer, 30))
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    # 100 requests at 0.10.
    assert [amount for amount, _ in world.charged()] == [1000]
    # One at the boundary belongs to the period that begins.
    await tell(world, said(customer, 5, at(2026, 2, 28, 9)))
    await world.advance(to=at(2026, 3, 31, 9), expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [1000, 50]
    await world.assert_clean()


async def test_late_usage_is_a_line_of_the_next_invoice_that_names_its_own_period(
    world: World,
) -> None:
    customer, sub = await subscribed(world)
    await tell(world, said(customer, 100))
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    await world.advance(days=2, expect=[])
    await tell(world, said(customer, 20, at(2026, 2, 20)), said(customer, 1))
    await world.advance(to=at(2026, 3, 31, 9), expect=RENEWED)
    lines = await world.lines((await world.invoice(sub))["id"])
    told = [(line["amount"], line["quantity"], line["period_end"]) for line in lines]
    # 20 more in the first period at 0.10, then the one of this period.
    assert told == [(200, 20, at(2026, 2, 28, 9)), (10, 1, at(2026, 3, 31, 9))]
    nothing = ("subscription.renewed", "invoice.finalized", "invoice.paid")
    await world.advance(to=at(2026, 4, 30, 9), expect=nothing)
    # Late once, billed once.
    assert sum(amount for amount, _ in world.charged()) == 1000 + 210
    await world.assert_clean()


async def test_graduated_usage_continues_its_tiers_where_late_usage_falls(world: World) -> None:
    tiers = [TierAsked(100, "10", 0), TierAsked(None, "5", 0)]
    customer, sub = await subscribed(world, None, model=PriceModel.GRADUATED, tiers=tiers)
    await tell(world, said(customer, 90))
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    await tell(world, said(customer, 20, at(2026, 2, 20)))
    await world.advance(to=at(2026, 3, 31, 9), expect=RENEWED)
    # 110 cost 100 x 0.10 + 10 x 0.05 = 10.50, of which 9.00 was billed.
    lines = await world.lines((await world.invoice(sub))["id"])
    assert [line["amount"] for line in lines] == [150, 0]
    await world.assert_clean()


async def test_usage_is_billed_when_the_subscription_ends(world: World) -> None:
    customer, sub = await subscribed(world)
    await tell(world, said(customer, 40))
    await world.advance(days=10, expect=[])
    await world.cancel(sub)
    await world.expect(
        "subscription.canceled", "invoice.finalized", "payment.succeeded", "invoice.paid"
    )
    assert [amount for amount, _ in world.charged()] == [400]
    await world.assert_clean()


async def test_usage_before_a_change_of_price_is_billed_at_the_old_one(world: World) -> None:
    customer, sub = await subscribed(world)
    [item] = await world.items(sub)
    dear = await world.price(
        "20",
        usage_type=Usage.METERED,
        timing=Timing.ARREARS,
        meter_id=(await world.fetch("SELECT meter_id FROM prices"))[0]["meter_id"],
    )
    await tell(world, said(customer, 10))
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(id=item["id"], price_id=dear), when=When.NOW)
    await world.expect(*CHANGED)
    await tell(world, said(customer, 10, world.now + timedelta(seconds=1)))
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [100, 200]
    await world.assert_clean()
