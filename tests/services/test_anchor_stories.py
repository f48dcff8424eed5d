"""Where periods are counted from, and how that is moved, told to the cent.

Most begin on 31 January at 9:00 at 28.00 a month, so that the first period has 28 days.
"""

from datetime import timedelta
from uuid import UUID

import pytest

from app.domain.calendar import Unit
from app.domain.errors import BillingError
from app.domain.policy import AnchorChange
from app.domain.pricing import Timing
from app.services import changes, previews
from app.services.changes import ChangedItem, MoveAnchor
from app.services.previews import PreviewInvoices
from tests.terms import CHANGED, amounts, at, dials, paid, period, totals
from tests.world import PAID, RENEWED, START, World

MARCH = at(2026, 3, 15, 9)


async def move(world: World, sub: UUID, to: object, how: AnchorChange | None = None) -> None:
    cmd = MoveAnchor(sub, to, how)  # type: ignore[arg-type]
    await changes.move_anchor(world.rt, world.caller, cmd)


async def test_the_gap_up_to_the_new_anchor_is_billed_at_once(world: World) -> None:
    sub = await world.subscribed("2800")
    await world.advance(days=10, expect=[])
    seen = await previews.invoices(
        world.rt, world.caller, PreviewInvoices(sub, move=MoveAnchor(sub, MARCH))
    )
    await move(world, sub, MARCH)
    await world.expect(*CHANGED)
    # 15 days from 28 February to 15 March, of the 28 from 15 February to 15 March: 15.00.
    assert await totals(world, sub) == [2800, 1500]
    assert [bill.total for bill in seen.preview.invoices] == [1500]
    assert await period(world, sub) == (START, MARCH)
    # Nothing on 28 February; the 15th is the boundary from now on.
    await world.advance(to=at(2026, 3, 1), expect=[])
    await world.advance(to=MARCH, expect=RENEWED)
    assert await period(world, sub) == (MARCH, at(2026, 4, 15, 9))
    assert paid(world) == [2800, 1500, 2800]
    await world.assert_clean()


async def test_an_anchor_inside_the_paid_period_gives_nothing_back(world: World) -> None:
    sub = await world.subscribed("2800")
    await move(world, sub, at(2026, 2, 14, 9))
    await world.expect(*CHANGED)
    # The first boundary at or after 28 February is 14 March: 14 of 28 days.
    assert await totals(world, sub) == [2800, 1400]
    assert await period(world, sub) == (START, at(2026, 3, 14, 9))
    await world.assert_clean()


async def test_an_anchor_on_the_boundary_itself_bills_nothing(world: World) -> None:
    sub = await world.subscribed("2800")
    await move(world, sub, at(2026, 2, 28, 9))
    await world.expect("subscription.updated")
    # Counted from the 28th now: 28 March, not 31.
    await world.advance(to=at(2026, 3, 28, 9), expect=[*RENEWED, *RENEWED])
    await world.assert_clean()


async def test_reset_gives_back_what_is_left_and_begins_a_part_up_to_the_anchor(
    world: World,
) -> None:
    sub = await world.subscribed("2800")
    await world.advance(days=14, expect=[])
    await move(world, sub, at(2026, 2, 21, 9), AnchorChange.RESET)
    # Half of 28.00 comes back; 7 days of the 31 from 21 January to 21 February: 6.32.
    assert await amounts(world, sub) == [-1400, 632]
    assert await period(world, sub) == (START + timedelta(days=14), at(2026, 2, 21, 9))
    await world.told()
    await world.advance(to=at(2026, 2, 21, 9), expect=RENEWED)
    # What was left over (14.00 less 6.32) pays of the next.
    assert paid(world) == [2800, 2800 - 768]
    await world.assert_clean()


async def test_reset_to_now_begins_a_full_period(world: World) -> None:
    await dials(world, anchor_change="reset")
    sub = await world.subscribed("2800")
    await world.advance(days=7, expect=[])
    await move(world, sub, world.now)
    assert await amounts(world, sub) == [-2100, 2800]
    assert await period(world, sub) == (world.now, at(2026, 3, 7, 9))
    await world.assert_clean()


async def test_a_change_in_a_period_that_was_made_longer_gives_back_of_both_lines(
    world: World,
) -> None:
    sub = await world.subscribed("2800")
    await move(world, sub, MARCH)
    await world.told()
    # On 14 February: 14 of 28 days of the first line (14.00) and all of the second (15.00) come
    # back; 29 days at 56.00 for the 28 from 15 February to 15 March are 58.00.
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(price_id=await world.price("5600")))
    assert sorted(await amounts(world, sub)) == [-1500, -1400, 5800]
    await world.assert_clean()


async def test_what_is_in_arrears_is_billed_for_the_longer_period_at_its_end(
    world: World,
) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("2800", timing=Timing.ARREARS))
    await world.told()
    await move(world, sub, MARCH)
    await world.expect("subscription.updated")
    # 43 days, of the 28 from 15 February to 15 March: 43.00.
    await world.advance(to=MARCH, expect=RENEWED)
    assert await totals(world, sub) == [4300]
    await world.assert_clean()


async def test_on_trial_only_the_first_boundary_moves(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("2800", trial_days=28))
    await world.told()
    await move(world, sub, at(2026, 3, 14, 9))
    await world.expect("subscription.updated")
    # The trial ends on 28 February; then 14 of the 28 days from 14 February to 14 March.
    await world.advance(
        to=at(2026, 2, 28, 9), expect=("subscription.activated", "invoice.finalized", *PAID)
    )
    assert await totals(world, sub) == [1400]
    await world.advance(to=at(2026, 3, 14, 9), expect=RENEWED)
    await world.assert_clean()


@pytest.mark.parametrize(
    ("before", "code"),
    [
        ("cancel", "cancellation_planned"),
        ("pause", "subscription_paused"),
        ("end", "subscription_canceled"),
    ],
)
async def test_what_ends_or_stands_still_is_not_moved(world: World, before: str, code: str) -> None:
    sub = await world.subscribed("2800")
    match before:
        case "cancel":
            await world.cancel(sub, at_period_end=True)
        case "pause":
            await world.pause(sub)
        case _:
            await world.cancel(sub)
    with pytest.raises(BillingError) as refused:
        await move(world, sub, MARCH)
    assert refused.value.code == code


@pytest.mark.parametrize("to", [at(2026, 1, 30), at(2026, 3, 28, 9, 1)])
async def test_the_past_and_the_far_future_are_refused(world: World, to: object) -> None:
    sub = await world.subscribed("2800")
    with pytest.raises(BillingError, match="between now and one interval"):
        await move(world, sub, to)


async def test_a_customers_subscriptions_meet_on_the_boundaries_of_the_oldest(
    world: World,
) -> None:
    await dials(world, anchor="customer", invoice_consolidation="customer")
    customer = await world.customer()
    first = await world.subscribe(customer, await world.price("2800"))
    await world.told()
    await world.advance(days=14, expect=[])
    second = await world.subscribe(customer, await world.price("1400"))
    await world.told()
    # 14 of the 28 days up to 28 February: 7.00. Then both on the last day of each month.
    assert await totals(world, second) == [700]
    assert (await world.subscription(second))["anchor"] == START
    for boundary in (at(2026, 2, 28, 9), at(2026, 3, 31, 9), at(2026, 4, 30, 9)):
        world.clock.set(boundary)
        await world.tick()
        assert (await world.subscription(first))["period_start"] == boundary
        assert (await world.subscription(second))["period_start"] == boundary
    assert paid(world) == [2800, 700, 4200, 4200, 4200]
    await world.assert_clean()


async def test_a_yearly_one_meets_the_day_of_the_monthly_one(world: World) -> None:
    await dials(world, anchor="customer")
    customer = await world.customer()
    await world.subscribe(customer, await world.price("2800"))
    await world.advance_quietly(days=59)  # 31 March
    yearly = await world.subscribe(customer, await world.price("36500", unit=Unit.YEAR), cycles=1)
    # 306 of 365 days from 31 March 2026 to 31 January 2027, which is no full year yet.
    assert await totals(world, yearly) == [30600]
    assert await period(world, yearly) == (at(2026, 3, 31, 9), at(2027, 1, 31, 9))
    assert (await world.subscription(yearly))["cycles_left"] == 1
    await world.assert_clean()


async def test_a_longer_trial_keeps_the_customers_boundaries(world: World) -> None:
    await dials(world, anchor="customer")
    customer = await world.customer()
    await world.subscribe(customer, await world.price("2800"))
    sub = await world.subscribe(customer, await world.price("3100", trial_days=10))
    await world.told()
    await changes.set_trial_end(world.rt, world.caller, sub, at(2026, 3, 10, 9))
    await world.advance_quietly(days=38)  # 10 March
    # 21 of the 31 days up to 31 March: 21.00.
    assert await totals(world, sub) == [2100]
    assert await period(world, sub) == (at(2026, 3, 10, 9), at(2026, 3, 31, 9))
    await world.assert_clean()
