"""How a change inside a period is settled, told as stories: each way, up and down.

Stories begin on 31 January at 9:00; the first period has 28 days, so that 14 days are half of it.
"""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from app.domain.calendar import Unit
from app.domain.policy import Settlement, When
from app.domain.pricing import Timing
from app.services.changes import ChangedItem
from tests.terms import CHANGED, GIVEN_BACK, amounts, at, dials, paid, period, totals, weekly
from tests.world import RENEWED, STARTED, World

PLAIN = ("subscription.updated",)
FROM_CREDIT = ("subscription.renewed", "invoice.finalized", "invoice.paid")


async def halfway(world: World, amount: str = "2800", quantity: int = 1) -> tuple[UUID, UUID]:
    """A customer who subscribed to `quantity` at `amount`, at half of the first period."""
    customer, price = await world.customer(), await world.price(amount)
    sub = await world.subscribe(customer, (price, quantity))
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    return customer, sub


@pytest.mark.parametrize(
    ("settlement", "told", "sums", "boundary"),
    [
        # 56.00 instead of 28.00 for a half: -14.00 + 28.00; 56.00 at the old boundary.
        (Settlement.INVOICE_NOW, CHANGED, [2800, 1400, 5600], (2026, 2, 28)),
        # The same lines, with the next period.
        (Settlement.NEXT_INVOICE, PLAIN, [2800, 1400 + 5600], (2026, 2, 28)),
        # A new period at once: 56.00 less the 14.00 of what is left of the old.
        (Settlement.RESET, CHANGED, [2800, 4200, 5600], (2026, 3, 14)),
        (Settlement.RESET_WITHOUT_CREDIT, CHANGED, [2800, 5600, 5600], (2026, 3, 14)),
        # Nothing until the boundary.
        (Settlement.NONE, PLAIN, [2800, 5600], (2026, 2, 28)),
    ],
)
async def test_an_upgrade_is_settled_each_way(
    world: World,
    settlement: Settlement,
    told: tuple[str, ...],
    sums: list[int],
    boundary: tuple[int, ...],
) -> None:
    _, sub = await halfway(world)
    dear = await world.price("5600")
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW, settlement=settlement)
    await world.expect(*told)
    await world.advance(to=at(*boundary, 9), expect=RENEWED)
    assert await totals(world, sub) == sums
    assert paid(world) == sums
    await world.assert_clean()


@pytest.mark.parametrize(
    ("settlement", "told", "sums", "charged"),
    [
        # 14.00 instead of 28.00 for a half: -14.00 + 7.00 are credit, which pays of the 14.00.
        (Settlement.INVOICE_NOW, GIVEN_BACK, [2800, -700, 1400], [2800, 700]),
        (Settlement.NEXT_INVOICE, PLAIN, [2800, -700 + 1400], [2800, 700]),
        # The new period costs 14.00, and exactly that is left of the old.
        (Settlement.RESET, GIVEN_BACK, [2800, 0], [2800]),
        (Settlement.RESET_WITHOUT_CREDIT, CHANGED, [2800, 1400], [2800, 1400]),
        (Settlement.NONE, PLAIN, [2800, 1400], [2800, 1400]),
    ],
)
async def test_a_downgrade_now_is_settled_each_way(
    world: World,
    settlement: Settlement,
    told: tuple[str, ...],
    sums: list[int],
    charged: list[int],
) -> None:
    customer, sub = await halfway(world)
    cheap = await world.price("1400")
    await world.change(sub, ChangedItem(price_id=cheap), when=When.NOW, settlement=settlement)
    await world.expect(*told)
    if settlement not in {Settlement.RESET, Settlement.RESET_WITHOUT_CREDIT}:
        await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert await totals(world, sub) == sums
    assert paid(world) == charged
    assert await world.credit_left(customer) == 0
    await world.assert_clean()


@pytest.mark.parametrize(
    ("quantity", "settlement", "sums"),
    [
        # 4 x 28.00; at half, two more: -56.00 + 84.00. Then 6 x 28.00.
        (6, Settlement.INVOICE_NOW, [11200, 2800, 16800]),
        (6, Settlement.NEXT_INVOICE, [11200, 19600]),
        (6, Settlement.NONE, [11200, 16800]),
        # One less: -56.00 + 42.00. Then 3 x 28.00.
        (3, Settlement.INVOICE_NOW, [11200, -1400, 8400]),
        (3, Settlement.NEXT_INVOICE, [11200, 7000]),
        (3, Settlement.NONE, [11200, 8400]),
    ],
)
async def test_a_quantity_is_settled_each_way(
    world: World, quantity: int, settlement: Settlement, sums: list[int]
) -> None:
    _, sub = await halfway(world, quantity=4)
    await world.change(sub, ChangedItem(quantity=quantity), settlement=settlement)
    await world.told()
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert await totals(world, sub) == sums
    assert sum(paid(world)) == sum(sums)
    await world.assert_clean()


async def test_by_the_year_and_back_by_the_month(world: World) -> None:
    customer, sub = await halfway(world)
    yearly = await world.price("36500", unit=Unit.YEAR)
    await world.change(sub, ChangedItem(price_id=yearly))
    await world.expect(*CHANGED)
    # A new interval begins a new period: 365.00 - 14.00.
    assert await totals(world, sub) == [2800, 35100]
    assert await period(world, sub) == (at(2026, 2, 14, 9), at(2027, 2, 14, 9))
    # After 65 of 365 days by the month again: 28.00 - 300.00 are credit for most of a year.
    await world.advance(days=65, expect=[])
    monthly = await world.price("2800")
    await world.change(sub, ChangedItem(price_id=monthly), when=When.NOW)
    await world.expect(*GIVEN_BACK)
    assert await totals(world, sub) == [2800, 35100, 2800 - 30000]
    assert await world.credit_left(customer) == 27200
    assert await period(world, sub) == (at(2026, 4, 20, 9), at(2026, 5, 20, 9))
    await world.advance(to=at(2026, 5, 20, 9), expect=FROM_CREDIT)
    assert await world.credit_left(customer) == 27200 - 2800
    await world.assert_clean()


@pytest.mark.parametrize("settlement", [Settlement.INVOICE_NOW, Settlement.NEXT_INVOICE])
async def test_there_and_back_at_one_instant_costs_nothing(
    world: World, settlement: Settlement
) -> None:
    customer, sub = await halfway(world, "2799")
    [item] = await world.items(sub)
    dear = await world.price("9901")
    options = {"when": When.NOW, "settlement": settlement}
    await world.change(sub, ChangedItem(price_id=dear), **options)
    await world.change(sub, ChangedItem(price_id=item["price_id"]), **options)
    await world.told()
    await world.advance_quietly(days=14)
    # Whatever was charged between came back: 27.99 and 27.99.
    assert sum(await totals(world, sub)) == 2 * 2799
    assert sum(paid(world)) - await world.credit_left(customer) == 2 * 2799
    await world.assert_clean()


async def test_ten_changes_in_a_row_charge_each_day_once(world: World) -> None:
    sub = await world.subscribed("2800")
    for n in range(1, 11):
        await world.advance(days=2, expect=[])
        price = await world.price(str(2800 + 1400 * n))
        await world.change(sub, ChangedItem(price_id=price), when=When.NOW)
        await world.expect(*CHANGED)
    # Two days at each of ten prices, a half more each time: 2.00 x 1, 1.5, 2 ... 5.5; and eight
    # days at 168.00: 48.00.
    used = sum(200 + 100 * n for n in range(10)) + 4800
    assert sum(await totals(world, sub)) == used
    await world.assert_clean()


@pytest.mark.parametrize(
    ("shift", "sums"),
    [
        # One second before the boundary: 28.00/2419200 round to nothing, on both sides.
        (-1, [2800, 0, 5600]),
        # At it and a second later the new period is billed first, then changed.
        (0, [2800, 2800, 2800]),
        (1, [2800, 2800, 2800]),
    ],
)
async def test_a_change_about_the_instant_of_renewal(
    world: World, shift: int, sums: list[int]
) -> None:
    sub = await world.subscribed("2800")
    dear = await world.price("5600")
    world.clock.set(at(2026, 2, 28, 9) + timedelta(seconds=shift))
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW)
    world.clock.set(at(2026, 2, 28, 9, 1))
    await world.tick()
    await world.told()
    assert await totals(world, sub) == sums
    assert await period(world, sub) == (at(2026, 2, 28, 9), at(2026, 3, 31, 9))
    await world.assert_clean()


async def test_a_change_in_a_stub_is_measured_as_the_stub_was(world: World) -> None:
    customer, price = await world.customer(), await world.price("3100")
    sub = await world.subscribe(customer, price, billing_anchor=at(2026, 2, 15, 9))
    await world.expect(*STARTED)
    await world.advance(days=5, expect=[])
    dear = await world.price("6200")
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW)
    await world.expect(*CHANGED)
    # 15 of 31 days were 15.00; the last 10 of them are 10.00 back, and 20.00 at the new price.
    assert await amounts(world, sub) == [-1000, 2000]
    await world.advance(to=at(2026, 2, 15, 9), expect=RENEWED)
    assert paid(world) == [1500, 1000, 6200]
    await world.assert_clean()


async def test_in_a_free_stub_the_dearer_plan_is_free_as_well(world: World) -> None:
    await dials(world, first_period="free")
    customer, price = await world.customer(), await world.price("3100")
    sub = await world.subscribe(customer, price, billing_anchor=at(2026, 2, 15, 9))
    await world.told()
    await world.advance(days=5, expect=[])
    await world.change(sub, ChangedItem(price_id=await world.price("6200")), when=When.NOW)
    await world.told()
    await world.advance(to=at(2026, 2, 15, 9), expect=RENEWED)
    assert paid(world) == [6200]
    await world.assert_clean()


async def test_days_are_counted_by_midnights_where_the_clocks_change(world: World) -> None:
    await dials(world, proration_basis="day")
    customer = await world.customer(time_zone="Europe/Berlin")
    price = await weekly(world, "7000")
    # From Thursday, 26 March, 9:00 in Berlin (8:00 UTC) to Thursday, 2 April, 9:00 (7:00 UTC):
    # seven days, one of 23 hours.
    sub = await world.subscribe(customer, price, start_at=at(2026, 3, 26, 8))
    await world.told()
    await world.advance(to=at(2026, 3, 26, 8), expect=STARTED[1:])
    assert await period(world, sub) == (at(2026, 3, 26, 8), at(2026, 4, 2, 7))
    # On Monday evening four midnights have passed and three come: 3/7 of each price.
    await world.advance(to=at(2026, 3, 30, 20), expect=[])
    dear = await weekly(world, "14000")
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW)
    await world.expect(*CHANGED)
    assert await amounts(world, sub) == [-3000, 6000]
    await world.assert_clean()


async def test_where_parts_cost_nothing_a_change_waits_for_its_price(world: World) -> None:
    await dials(world, proration_basis="none")
    _, sub = await halfway(world)
    await world.change(sub, ChangedItem(price_id=await world.price("5600")), when=When.NOW)
    await world.told()
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [2800, 5600]
    await world.assert_clean()


async def test_one_item_changes_and_the_other_is_left_as_it_was(world: World) -> None:
    customer = await world.customer()
    base, seats = await world.price("1000"), await world.price("280")
    sub = await world.subscribe(customer, base, (seats, 10))
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    second = (await world.items(sub))[1]
    await world.change(sub, ChangedItem(id=second["id"], quantity=15))
    await world.expect(*CHANGED)
    # 10 x 2.80 at half back, 15 x 2.80 at half: -14.00 + 21.00. Of the base nothing.
    assert await amounts(world, sub) == [-1400, 2100]
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [3800, 700, 1000 + 15 * 280]
    await world.assert_clean()


async def test_two_items_change_and_one_is_added_in_one_call(world: World) -> None:
    customer = await world.customer()
    one, two = await world.price("2800"), await world.price("1400")
    sub = await world.subscribe(customer, one, two)
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    first, second = await world.items(sub)
    dear, extra = await world.price("5600"), await world.price("700")
    changes = (
        ChangedItem(id=first["id"], price_id=dear),
        ChangedItem(id=second["id"], is_removed=True),
        ChangedItem(price_id=extra, quantity=4),
    )
    await world.change(sub, *changes, when=When.NOW)
    await world.expect(*CHANGED)
    # Back: half of 28.00 and of 14.00. Charged: half of 56.00, and of 4 x 7.00.
    assert sorted(await amounts(world, sub)) == [-1400, -700, 1400, 2800]
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [4200, 2100, 5600 + 2800]
    await world.assert_clean()


async def test_arrears_and_advance_change_side_by_side(world: World) -> None:
    customer = await world.customer()
    ahead = await world.price("2800")
    behind = await world.price("1400", timing=Timing.ARREARS)
    sub = await world.subscribe(customer, ahead, behind)
    await world.expect(*STARTED)
    await world.advance(days=7, expect=[])
    items = [replace(ChangedItem(quantity=2), id=item["id"]) for item in await world.items(sub)]
    await world.change(sub, *items)
    await world.expect(*CHANGED)
    # In advance: three quarters of 28.00 back, and of 56.00 charged. In arrears: the quarter of
    # 14.00 that was used.
    assert sorted(await amounts(world, sub)) == [-2100, 350, 4200]
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    # 56.00 for the period that begins, and three quarters of 28.00 for the one that ends.
    assert sorted(await amounts(world, sub)) == [2100, 5600]
    await world.assert_clean()
