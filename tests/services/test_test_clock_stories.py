"""Test clocks: time that a merchant turns by hand, with the same results as the wall clock."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.calendar import Unit
from app.domain.discount import Duration
from app.domain.errors import Conflict, InvalidRequest
from app.services import renewals, test_clocks
from tests.world import RENEWED, START, STARTED, World


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


async def test_a_clock_turned_a_quarter_bills_three_months(world: World) -> None:
    clock = await world.test_clock()
    customer = await world.customer(test_clock_id=clock)
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.expect(*STARTED)
    await world.turn(clock, at(2026, 4, 30, 9))
    await world.expect(*RENEWED * 3)
    invoices = await world.invoices(sub)
    assert [i["period_start"].date().isoformat() for i in invoices] == [
        "2026-01-31",
        "2026-02-28",
        "2026-03-31",
        "2026-04-30",
    ]
    assert world.charged() == [(1000, "EUR")] * 4
    await world.assert_clean()


async def test_only_its_own_customers_move_with_it(world: World) -> None:
    clock = await world.test_clock()
    price = await world.price("1000")
    on_clock = await world.subscribe(await world.customer(test_clock_id=clock), price)
    on_wall = await world.subscribe(await world.customer(), price)
    await world.told()
    await world.turn(clock, at(2026, 2, 28, 9))
    assert [len(await world.invoices(s)) for s in (on_clock, on_wall)] == [2, 1]
    await world.told()
    await world.advance(months=2, expect=RENEWED * 2)
    assert [len(await world.invoices(s)) for s in (on_clock, on_wall)] == [2, 3]
    await world.assert_clean()


async def story(world: World, clock: Any) -> list[tuple[Any, ...]]:
    """The same year of three subscriptions, on a test clock or on the wall's."""
    vat = await world.tax_rate("19")
    tenth = await world.coupon(percent_off="10", duration=Duration.REPEATING, duration_in_periods=4)
    monthly = await world.price("1999")
    customer = await world.customer(test_clock_id=clock)
    await world.subscribe(customer, (monthly, 3), tax_rate_ids=[vat], coupon_ids=[tenth])
    weekly = await world.price("500", unit=Unit.WEEK, trial_days=10)
    await world.subscribe(customer, weekly)
    await world.subscribe(
        customer, await world.price("30000", unit=Unit.YEAR), cancel_at_period_end=True
    )
    end = START + timedelta(days=370)
    if clock is None:
        while world.now < end:
            world.clock.set(min(end, world.now + timedelta(days=6)))
            await world.tick()
    else:
        await world.turn(clock, end)
    rows = await world.fetch(
        "SELECT i.period_start, i.period_end, total, tax_total, amount_paid, i.status, s.status"
        "  FROM invoices i JOIN subscriptions s ON s.id = i.subscription_id"
        " ORDER BY i.period_start, total"
    )
    return [tuple(row) for row in rows]


async def test_a_year_on_a_test_clock_is_a_year_on_the_wall(world: World) -> None:
    by_hand = await story(world, await world.test_clock())
    assert len(by_hand) > 60
    told_twice = await story(world, None)
    assert told_twice == sorted(by_hand * 2, key=lambda row: (row[0], row[2]))
    await world.assert_clean()


async def test_an_advance_that_dies_halfway_is_taken_up_where_it_stood(world: World) -> None:
    clock = await world.test_clock()
    customer = await world.customer(test_clock_id=clock)
    sub = await world.subscribe(customer, await world.price("1000", unit=Unit.DAY))
    target = START + timedelta(days=20)
    await test_clocks.aim(world.rt, world.caller, clock, target)
    for halt in (3, 9):
        seen = 0

        def stop_after(_: Any, halt: int = halt) -> None:
            nonlocal seen
            seen += 1
            if seen == halt:
                raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await test_clocks.advance_all(world.rt, progress=stop_after)
        assert await test_clocks.advance_all(world.rt) == 0  # its lease still runs
        world.clock.advance(timedelta(minutes=3))
    assert await test_clocks.advance_all(world.rt) == 1
    assert len(await world.invoices(sub)) == 21
    assert world.charged() == [(1000, "EUR")] * 21
    await world.assert_clean()


async def test_two_workers_turning_one_clock_bill_once(world: World) -> None:
    clock = await world.test_clock()
    customer = await world.customer(test_clock_id=clock)
    sub = await world.subscribe(customer, await world.price("1000"))
    await test_clocks.aim(world.rt, world.caller, clock, at(2026, 6, 30, 9))
    await asyncio.gather(*(test_clocks.advance_all(world.rt) for _ in range(3)))
    assert len(await world.invoices(sub)) == 6
    await world.assert_clean()


async def test_while_it_advances_its_customers_cannot_be_changed(world: World) -> None:
    clock = await world.test_clock()
    customer = await world.customer(test_clock_id=clock)
    sub = await world.subscribe(customer, await world.price("1000"))
    await test_clocks.aim(world.rt, world.caller, clock, at(2026, 3, 1))
    with pytest.raises(Conflict, match="advancing"):
        await world.cancel(sub)
    with pytest.raises(Conflict, match="advancing"):
        await test_clocks.aim(world.rt, world.caller, clock, at(2026, 4, 1))
    await test_clocks.advance_all(world.rt)
    await world.cancel(sub)
    assert (await world.subscription(sub))["ended_at"] == at(2026, 3, 1)


async def test_a_clock_goes_forward_only_and_not_for_ever(world: World) -> None:
    clock = await world.test_clock()
    for target, why in ((START, "only goes forward"), (at(2099, 1, 1), "at most")):
        with pytest.raises(InvalidRequest, match=why):
            await test_clocks.aim(world.rt, world.caller, clock, target)


async def test_the_wall_s_sweep_never_touches_what_is_on_a_test_clock(world: World) -> None:
    clock = await world.test_clock()
    customer = await world.customer(test_clock_id=clock)
    await world.subscribe(customer, await world.price("1000"))
    await world.told()
    world.clock.set(at(2030, 1, 1))
    assert (await renewals.renew_due(world.rt)).steps == 0
    await world.expect()


async def test_a_pending_payment_on_a_test_clock_comes_to_its_end(world: World) -> None:
    clock = await world.test_clock()
    customer = await world.customer("pm_sim_pending_then_succeeds", test_clock_id=clock)
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.told()
    await world.gateway_settles()
    await world.turn(clock, START + timedelta(hours=1))
    assert await world.status(sub) == "active"
    await world.assert_clean()
