"""When a change takes place if nobody says, and changes that wait: told as stories.

Stories begin on 31 January at 9:00; the first period ends on 28 February.
"""

from uuid import UUID

import pytest

from app.domain.calendar import Unit
from app.domain.errors import Conflict, InvalidRequest, NotFound
from app.domain.policy import Settlement, When
from app.ids import new_id
from app.services.changes import ChangedItem
from tests.terms import (
    CHANGED,
    GIVEN_BACK,
    amounts,
    at,
    dials,
    paid,
    period,
    planned,
    totals,
    unplan,
)
from tests.world import RENEWED, STARTED, World

PLANNED = ("subscription.updated",)


async def ranked(world: World, *amounts: str) -> list[UUID]:
    """A price for each amount, in plans of ascending rank."""
    return [
        await world.price(amount, plan=await world.plan(f"Rank{rank}", rank=rank))
        for rank, amount in enumerate(amounts)
    ]


async def started(world: World, price: UUID, quantity: int = 1) -> UUID:
    sub = await world.subscribe(await world.customer(), (price, quantity))
    await world.expect(*STARTED)
    return sub


async def test_up_is_now_and_down_is_at_the_end_by_rank(world: World) -> None:
    low, middle, high = await ranked(world, "1400", "2800", "5600")
    sub = await started(world, middle)
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(price_id=high))
    await world.expect(*CHANGED)
    await world.change(sub, ChangedItem(price_id=low))
    await world.expect(*PLANNED)
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [2800, 1400, 1400]
    await world.assert_clean()


async def test_by_price_the_rank_is_not_asked(world: World) -> None:
    await dials(world, direction_by="price")
    dear_but_low, cheap_but_high = await ranked(world, "5600", "2800")
    sub = await started(world, dear_but_low)
    await world.change(sub, ChangedItem(price_id=cheap_but_high))
    # Less money is a downgrade, whatever the ranks say.
    await world.expect(*PLANNED)
    assert len(await planned(world, sub)) == 1
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [5600, 2800]
    await world.assert_clean()


async def test_of_equal_rank_the_dearer_is_the_better(world: World) -> None:
    sub = await started(world, await world.price("2800"))
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(price_id=await world.price("5600")))
    await world.expect(*CHANGED)
    await world.change(sub, ChangedItem(price_id=await world.price("1400")))
    await world.expect(*PLANNED)
    assert paid(world) == [2800, 1400]
    await world.assert_clean()


@pytest.mark.parametrize(
    ("dial", "amount", "quantity"),
    [("downgrade", "1400", None), ("quantity_decrease", None, 1)],
)
async def test_a_merchant_may_let_less_begin_at_once(
    world: World, dial: str, amount: str | None, quantity: int | None
) -> None:
    await dials(world, **{dial: "now"})
    sub = await started(world, await world.price("2800"), 2)
    await world.advance(days=14, expect=[])
    price = None if amount is None else await world.price(amount)
    await world.change(sub, ChangedItem(price_id=price, quantity=quantity))
    # Two at 28.00; half of one of them, or half of each price, comes back: 14.00.
    await world.expect(*GIVEN_BACK)
    assert await totals(world, sub) == [5600, -1400]
    await world.assert_clean()


@pytest.mark.parametrize("dial", ["upgrade", "quantity_increase"])
async def test_a_merchant_may_let_more_wait(world: World, dial: str) -> None:
    await dials(world, **{dial: "period_end"})
    sub = await started(world, await world.price("2800"))
    more = (
        ChangedItem(price_id=await world.price("5600"))
        if dial == "upgrade"
        else ChangedItem(quantity=2)
    )
    await world.change(sub, more)
    await world.expect(*PLANNED)
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [2800, 5600]
    await world.assert_clean()


async def test_another_interval_may_wait_for_the_end(world: World) -> None:
    await dials(world, interval_change="period_end")
    sub = await started(world, await world.price("2800"))
    await world.change(sub, ChangedItem(price_id=await world.price("30000", unit=Unit.YEAR)))
    await world.expect(*PLANNED)
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    # The year begins where the month ends, and is counted from there.
    assert await period(world, sub) == (at(2026, 2, 28, 9), at(2027, 2, 28, 9))
    assert paid(world) == [2800, 30000]
    await world.assert_clean()


async def test_one_part_that_is_now_takes_the_others_along(world: World) -> None:
    low, high = await ranked(world, "2800", "5600")
    sub = await world.subscribe(await world.customer(), low, (await world.price("1400"), 4))
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    first, second = await world.items(sub)
    # The upgrade is now; the smaller quantity alone would be, too.
    await world.change(
        sub, ChangedItem(id=first["id"], price_id=high), ChangedItem(id=second["id"], quantity=2)
    )
    await world.told()
    # -14.00 + 28.00, and -28.00 + 14.00.
    assert sorted(await amounts(world, sub)) == [-2800, -1400, 1400, 2800]
    assert await planned(world, sub) == []
    await world.assert_clean()


async def test_what_is_said_with_the_call_comes_before_every_dial(world: World) -> None:
    await dials(world, upgrade="period_end", settlement="next_invoice")
    sub = await started(world, await world.price("2800"))
    await world.advance(days=14, expect=[])
    await world.change(
        sub,
        ChangedItem(price_id=await world.price("5600")),
        when=When.NOW,
        settlement=Settlement.INVOICE_NOW,
    )
    await world.expect(*CHANGED)
    assert paid(world) == [2800, 1400]
    await world.assert_clean()


async def test_a_plan_has_its_own_settings_and_a_subscription_its_own_before_it(
    world: World,
) -> None:
    await dials(world, settlement="none")
    special = await world.plan("Special", billing_settings={"settlement": "next_invoice"})
    own = {"billing_settings": {"settlement": "reset"}}
    cheap = await world.price("2800")
    dear, special_price = await world.price("5600"), await world.price("5600", plan=special)
    subs = [
        await world.subscribe(await world.customer(), cheap, **options) for options in ({}, {}, own)
    ]
    await world.expect(*STARTED * 3)
    await world.advance(days=14, expect=[])
    for sub, price in zip(subs, (dear, special_price, special_price), strict=True):
        await world.change(sub, ChangedItem(price_id=price), when=When.NOW)
    await world.told()
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED * 2)
    # The merchant's: nothing for the half. The plan's: 14.00 with the next one. The
    # subscription's own: a new period at once, for 56.00 less 14.00.
    assert [await totals(world, sub) for sub in subs] == [
        [2800, 5600],
        [2800, 1400 + 5600],
        [2800, 4200],
    ]
    await world.assert_clean()


# ── changes that wait ─────────────────────────────────────────────────────────────────────────────


async def test_a_change_at_a_date_inside_a_period_is_settled_as_of_that_date(world: World) -> None:
    sub = await started(world, await world.price("2800"))
    await world.change(
        sub, ChangedItem(price_id=await world.price("5600")), when=at(2026, 2, 21, 9)
    )
    await world.expect(*PLANNED)
    await world.advance(to=at(2026, 2, 21, 8), expect=[])
    await world.advance(to=at(2026, 2, 21, 9), expect=CHANGED)
    # A quarter is left: -7.00 + 14.00.
    assert await amounts(world, sub) == [-700, 1400]
    await world.assert_clean()


async def test_a_change_at_a_date_in_a_later_period(world: World) -> None:
    sub = await started(world, await world.price("3100"))
    await world.change(
        sub, ChangedItem(price_id=await world.price("6200")), when=at(2026, 3, 21, 9)
    )
    await world.expect(*PLANNED)
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    await world.advance(to=at(2026, 3, 21, 9), expect=CHANGED)
    # 10 of 31 days from 28 February to 31 March.
    assert await amounts(world, sub) == [-1000, 2000]
    await world.advance(to=at(2026, 3, 31, 9), expect=RENEWED)
    assert paid(world) == [3100, 3100, 1000, 6200]
    await world.assert_clean()


async def test_late_by_days_a_planned_change_counts_from_its_own_moment(world: World) -> None:
    sub = await started(world, await world.price("2800"))
    await world.change(
        sub, ChangedItem(price_id=await world.price("5600")), when=at(2026, 2, 14, 9)
    )
    await world.expect(*PLANNED)
    # The clock stood still for a week: half of each price all the same.
    await world.advance(to=at(2026, 2, 21, 9), expect=CHANGED)
    assert await amounts(world, sub) == [-1400, 2800]
    await world.assert_clean()


async def test_a_later_wish_for_the_same_moment_takes_the_place_of_the_first(
    world: World,
) -> None:
    low, lower, high = await ranked(world, "1400", "2100", "2800")
    sub = await started(world, high)
    await world.change(sub, ChangedItem(price_id=low))
    await world.change(sub, ChangedItem(price_id=lower))
    await world.expect(*PLANNED * 2)
    assert len(await planned(world, sub)) == 1
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [2800, 2100]
    await world.assert_clean()


async def test_two_changes_at_two_dates_both_take_place(world: World) -> None:
    sub = await started(world, await world.price("2800"))
    [item] = await world.items(sub)
    for day, quantity in ((14, 2), (21, 4)):
        change = ChangedItem(id=item["id"], quantity=quantity)
        await world.change(sub, change, when=at(2026, 2, day, 9))
    await world.expect(*PLANNED * 2)
    await world.advance(to=at(2026, 2, 28, 9), expect=[*CHANGED * 2, *RENEWED])
    # 28.00; at half -14.00 + 28.00; at a quarter -14.00 + 28.00; then 4 x 28.00.
    assert await totals(world, sub) == [2800, 1400, 1400, 11200]
    await world.assert_clean()


async def test_a_planned_change_is_taken_back(world: World) -> None:
    low, high = await ranked(world, "1400", "2800")
    sub = await started(world, high)
    await world.change(sub, ChangedItem(price_id=low))
    await world.expect(*PLANNED)
    [change] = await planned(world, sub)
    await unplan(world, sub, change["id"])
    await world.expect(*PLANNED)
    with pytest.raises(NotFound, match="no such scheduled change"):
        await unplan(world, sub, change["id"])
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [2800, 2800]
    await world.assert_clean()


async def test_what_cannot_be_is_refused_when_it_is_planned(world: World) -> None:
    sub = await started(world, await world.price("2800"))
    euros_no_more = await world.price("2800", "USD")
    with pytest.raises(InvalidRequest, match="in EUR"):
        await world.change(sub, ChangedItem(price_id=euros_no_more), when=When.PERIOD_END)
    with pytest.raises(InvalidRequest, match="lies in the future"):
        await world.change(sub, ChangedItem(quantity=2), when=at(2026, 1, 1))
    with pytest.raises(InvalidRequest, match="no such item"):
        await world.change(sub, ChangedItem(id=new_id(), quantity=2))
    assert await planned(world, sub) == []


async def test_a_cancellation_takes_what_was_planned_with_it(world: World) -> None:
    low, high = await ranked(world, "1400", "2800")
    sub = await started(world, high)
    await world.change(sub, ChangedItem(price_id=low))
    await world.expect(*PLANNED)
    await world.cancel(sub)
    await world.expect("subscription.canceled")
    assert await planned(world, sub) == []
    with pytest.raises(Conflict, match="ended already"):
        await world.change(sub, ChangedItem(price_id=low), when=When.PERIOD_END)
    await world.advance(to=at(2026, 3, 31, 9), expect=[])
    await world.assert_clean()


async def test_a_planned_change_of_an_item_that_is_gone_does_not_stop_the_renewal(
    world: World,
) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("2800"), (await world.price("280"), 5))
    await world.expect(*STARTED)
    second = (await world.items(sub))[1]
    await world.change(sub, ChangedItem(id=second["id"], quantity=2), when=When.PERIOD_END)
    await world.expect(*PLANNED)
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(id=second["id"], is_removed=True), when=When.NOW)
    await world.expect(*GIVEN_BACK)
    world.clock.set(at(2026, 2, 28, 9))
    await world.tick()
    # What was planned is dropped, which is told, and the period is billed without the item;
    # half of 14.00 was given back and pays of it.
    await world.expect(*PLANNED, *RENEWED)
    assert await totals(world, sub) == [4200, -700, 2800]
    assert paid(world) == [4200, 2100]
    assert await planned(world, sub) == []
    await world.assert_clean()
