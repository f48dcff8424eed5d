"""How subscriptions begin, told as stories: anchors and stubs, cycles, limits, what comes once.

Stories begin on Saturday, 31 January 2026, at 9:00 UTC.
"""

from datetime import datetime

import pytest

from app.domain.calendar import Unit
from app.domain.errors import InvalidRequest
from app.domain.invoice import Collection
from app.domain.pricing import PlanKind, PriceType
from tests.terms import ACTIVATED, amounts, at, dials, paid, period, totals, weekly
from tests.world import RENEWED, START, STARTED, World

SENT = ("subscription.created", "invoice.finalized")
FREE = ("subscription.created", "invoice.finalized", "invoice.paid", "subscription.activated")


@pytest.mark.parametrize(
    ("reference", "basis", "first"),
    [
        # 31 January to 15 February are 15 days of 24 hours. The aligned period that contains
        # them, 15 January to 15 February, has 31: 30.00 x 15/31 = 14.516.
        ("aligned_period", "second", 1452),
        ("aligned_period", "day", 1452),
        # A full period from the start, 31 January to 28 February, has 28: 30.00 x 15/28 = 16.071.
        ("from_start", "second", 1607),
        ("from_start", "day", 1607),
        # Thirty days: half of 30.00.
        ("fixed_30", "second", 1500),
        ("fixed_30", "day", 1500),
        # A part costs nothing.
        ("aligned_period", "none", 0),
    ],
)
async def test_a_stub_costs_its_part_of_the_period_it_is_compared_with(
    world: World, reference: str, basis: str, first: int
) -> None:
    await dials(world, proration_stub_reference=reference, proration_basis=basis)
    customer, price = await world.customer(), await world.price("3000")
    sub = await world.subscribe(customer, price, billing_anchor=at(2026, 2, 15, 9))
    await world.told()
    assert await totals(world, sub) == [first]
    await world.advance(to=at(2026, 2, 15, 9), expect=RENEWED)
    assert await totals(world, sub) == [first, 3000]
    assert await period(world, sub) == (at(2026, 2, 15, 9), at(2026, 3, 15, 9))
    await world.assert_clean()


@pytest.mark.parametrize(("basis", "first"), [("second", 1427), ("day", 1452)])
async def test_by_seconds_and_by_days_differ_where_a_day_is_begun(
    world: World, basis: str, first: int
) -> None:
    # To 15 February at 3:00 are 14 days and 18 hours, or fifteen midnights, of 31 days:
    # 30.00 x 14.75/31 = 14.274, or 30.00 x 15/31 = 14.516.
    await dials(world, proration_basis=basis)
    customer, price = await world.customer(), await world.price("3000")
    sub = await world.subscribe(customer, price, billing_anchor=at(2026, 2, 15, 3))
    await world.expect(*STARTED)
    assert await totals(world, sub) == [first]
    await world.assert_clean()


@pytest.mark.parametrize(
    ("first_period", "first", "told"),
    [("prorated", 1355, STARTED), ("full", 2800, STARTED), ("free", 0, FREE)],
)
async def test_the_first_part_is_prorated_or_full_or_free(
    world: World, first_period: str, first: int, told: tuple[str, ...]
) -> None:
    await dials(world, first_period=first_period)
    customer, price = await world.customer(), await world.price("2800")
    sub = await world.subscribe(customer, price, billing_anchor=at(2026, 2, 15, 9))
    # 28.00 x 15/31 = 13.548, or all of it, or none.
    assert await totals(world, sub) == [first]
    await world.told()
    await world.advance(to=at(2026, 2, 15, 9), expect=RENEWED)
    await world.advance(to=at(2026, 3, 15, 9), expect=RENEWED)
    assert await totals(world, sub) == [first, 2800, 2800]
    await world.assert_clean()


async def test_a_set_up_fee_comes_whole_with_the_first_part(world: World) -> None:
    customer, price = await world.customer(), await world.price("2800", setup_fee=1000)
    sub = await world.subscribe(customer, price, billing_anchor=at(2026, 2, 15, 9))
    await world.expect(*STARTED)
    # 10.00 and 28.00 x 15/31.
    assert sorted(await amounts(world, sub)) == [1000, 1355]
    await world.advance(to=at(2026, 2, 15, 9), expect=RENEWED)
    assert paid(world) == [2355, 2800]
    await world.assert_clean()


@pytest.mark.parametrize(
    ("unit", "boundary", "following", "first"),
    [
        # Midnight: 15 of 24 hours of 24.00.
        (Unit.DAY, (2026, 2, 1), (2026, 2, 2), 1500),
        # Monday: from Saturday at 9:00 to Monday are 39 of 168 hours: 24.00 x 39/168 = 5.571.
        (Unit.WEEK, (2026, 2, 2), (2026, 2, 9), 557),
        # The first of the month: 15 of 744 hours of January: 24.00 x 15/744 = 0.484.
        (Unit.MONTH, (2026, 2, 1), (2026, 3, 1), 48),
        # New Year: 334 days and 15 hours of 365 days: 24.00 x 8031/8760 = 22.003.
        (Unit.YEAR, (2027, 1, 1), (2028, 1, 1), 2200),
    ],
)
async def test_the_calendar_is_the_anchor(
    world: World,
    unit: Unit,
    boundary: tuple[int, ...],
    following: tuple[int, ...],
    first: int,
) -> None:
    await dials(world, anchor="calendar")
    sub = await world.subscribe(await world.customer(), await world.price("2400", unit=unit))
    await world.expect(*STARTED)
    assert await period(world, sub) == (START, at(*boundary))
    await world.advance(to=at(*boundary), expect=RENEWED)
    assert await period(world, sub) == (at(*boundary), at(*following))
    assert paid(world) == [first, 2400]
    await world.assert_clean()


async def test_the_calendar_s_midnight_is_the_customer_s(world: World) -> None:
    await dials(world, anchor="calendar")
    customer = await world.customer(time_zone="America/New_York")
    sub = await world.subscribe(customer, await world.price("2400"))
    await world.expect(*STARTED)
    # Midnight in New York is 5:00 UTC in winter and 4:00 in summer.
    assert await period(world, sub) == (START, at(2026, 2, 1, 5))
    await world.advance(to=at(2026, 2, 1, 5), expect=RENEWED)
    assert await period(world, sub) == (at(2026, 2, 1, 5), at(2026, 3, 1, 5))
    await world.advance(to=at(2026, 3, 1, 5), expect=RENEWED)
    assert await period(world, sub) == (at(2026, 3, 1, 5), at(2026, 4, 1, 4))
    await world.assert_clean()


async def test_who_starts_on_the_boundary_has_no_stub(world: World) -> None:
    await dials(world, anchor="calendar")
    customer, price = await world.customer(), await world.price("2400")
    sub = await world.subscribe(customer, price, start_at=at(2026, 2, 1))
    await world.told()
    await world.advance(to=at(2026, 2, 1), expect=STARTED[1:])
    assert await period(world, sub) == (at(2026, 2, 1), at(2026, 3, 1))
    assert paid(world) == [2400]
    await world.assert_clean()


@pytest.mark.parametrize("anchor", [at(2026, 1, 31, 8), at(2026, 2, 28, 10)])
async def test_an_anchor_beyond_the_first_interval_is_refused(
    world: World, anchor: datetime
) -> None:
    customer, price = await world.customer(), await world.price("1000")
    with pytest.raises(InvalidRequest, match="billing anchor lies between") as refused:
        await world.subscribe(customer, price, billing_anchor=anchor)
    assert refused.value.param == "billing_anchor"


async def test_backdated_to_an_anchor_every_period_since_is_billed(world: World) -> None:
    customer, price = await world.customer(), await world.price("3100")
    options = {"start_at": at(2025, 12, 22, 9), "billing_anchor": at(2026, 1, 1, 9)}
    sub = await world.subscribe(customer, price, **options)
    await world.told()
    await world.tick()
    # 10 of December's 31 days: 10.00; January in full, since 1 January has passed.
    assert await totals(world, sub) == [1000, 3100]
    assert await period(world, sub) == (at(2026, 1, 1, 9), at(2026, 2, 1, 9))
    await world.told()
    await world.assert_clean()


async def test_a_trial_that_is_over_already_leaves_the_time_since(world: World) -> None:
    customer, price = await world.customer(), await world.price("3100")
    options = {"start_at": at(2026, 1, 1, 9), "trial_days": 14}
    sub = await world.subscribe(customer, price, **options)
    await world.told()
    await world.tick()
    assert await world.status(sub) == "active"
    assert await period(world, sub) == (at(2026, 1, 15, 9), at(2026, 2, 15, 9))
    assert await totals(world, sub) == [3100]
    await world.told()
    await world.assert_clean()


async def test_cycles_do_not_count_the_stub_nor_the_trial(world: World) -> None:
    customer, price = await world.customer(), await weekly(world, "700")
    options = {"trial_days": 2, "billing_anchor": at(2026, 2, 5, 9), "cycles": 2}
    sub = await world.subscribe(customer, price, **options)
    await world.expect("subscription.created")
    await world.advance(days=2, expect=ACTIVATED)
    # 2 to 5 February are 3 of 7 days: 3.00; then two full weeks, and no more.
    await world.advance(to=at(2026, 2, 5, 9), expect=RENEWED)
    await world.advance(to=at(2026, 2, 12, 9), expect=RENEWED)
    await world.advance(to=at(2026, 2, 19, 9), expect=["subscription.canceled"])
    assert paid(world) == [300, 700, 700]
    assert (await world.subscription(sub))["ended_at"] == at(2026, 2, 19, 9)
    await world.assert_clean()


async def test_what_comes_once_is_on_the_first_invoice(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    setup = await world.price("2500", unit=None, type=PriceType.ONE_TIME)
    sub = await world.subscribe(customer, (price, 2), one_off_items=[(setup, 3)])
    await world.expect(*STARTED)
    # 3 x 25.00 and 2 x 10.00.
    assert sorted(await amounts(world, sub)) == [2000, 7500]
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [9500, 2000]
    await world.assert_clean()


async def test_what_comes_once_is_charged_even_when_a_trial_begins(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    device = await world.price("4900", unit=None, type=PriceType.ONE_TIME)
    await world.subscribe(customer, price, trial_days=7, one_off_items=[(device, 1)])
    await world.told()
    assert paid(world) == [4900]
    await world.advance(days=7, expect=ACTIVATED)
    assert paid(world) == [4900, 1000]
    await world.assert_clean()


async def test_what_comes_once_waits_for_a_later_start(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    device = await world.price("4900", unit=None, type=PriceType.ONE_TIME)
    options = {"start_at": at(2026, 2, 10, 9), "one_off_items": [(device, 1)]}
    sub = await world.subscribe(customer, price, **options)
    await world.told()
    assert await world.status(sub) == "scheduled"
    await world.advance(to=at(2026, 2, 10, 9), expect=ACTIVATED)
    assert sorted(await amounts(world, sub)) == [1000, 4900]
    assert paid(world) == [5900]
    await world.assert_clean()


async def test_a_quantity_keeps_within_its_price_s_limits(world: World) -> None:
    customer = await world.customer()
    price = await world.price("1000", min_quantity=3, max_quantity=5)
    for quantity in (2, 6):
        with pytest.raises(InvalidRequest):
            await world.subscribe(customer, (price, quantity))
    sub = await world.subscribe(customer, (price, 5))
    await world.expect(*STARTED)
    assert await totals(world, sub) == [5000]
    await world.assert_clean()


async def test_a_price_for_some_countries_is_for_these_alone(world: World) -> None:
    price = await world.price("1000", countries=frozenset({"DE", "AT"}))
    for elsewhere in ({"country": "FR"}, {}):
        with pytest.raises(InvalidRequest):
            await world.subscribe(await world.customer(address=elsewhere), price)
    german = await world.customer(address={"country": "DE"})
    await world.subscribe(german, price)
    await world.expect(*STARTED)
    await world.assert_clean()


async def test_an_add_on_comes_with_its_plan(world: World) -> None:
    pro, basic = await world.plan("Pro"), await world.plan("Basic")
    extra = await world.plan("Extra", kind=PlanKind.ADDON, addon_for=[pro])
    addon = await world.price("300", plan=extra)
    customer = await world.customer()
    for wrong in ([addon], [await world.price("500", plan=basic), addon]):
        with pytest.raises(InvalidRequest):
            await world.subscribe(customer, *wrong)
    sub = await world.subscribe(customer, await world.price("1000", plan=pro), (addon, 2))
    await world.expect(*STARTED)
    assert await totals(world, sub) == [1600]
    await world.assert_clean()


async def test_an_invoice_sent_leaves_thirty_days_and_nothing_is_charged(world: World) -> None:
    customer, price = await world.customer(None), await world.price("1000")
    sub = await world.subscribe(customer, price, collection=Collection.SEND_INVOICE, net_days=30)
    await world.expect(*SENT)
    invoice = await world.invoice(sub)
    assert (invoice["status"], invoice["due_at"]) == ("open", at(2026, 3, 2, 9))
    assert await world.status(sub) == "active"
    await world.pay_outside(invoice["id"])
    await world.expect("payment.succeeded", "invoice.paid")
    # The second one is due thirty days after the first boundary.
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED[:2])
    assert (await world.invoice(sub))["due_at"] == at(2026, 3, 30, 9)
    assert paid(world) == []
    await world.assert_clean()
