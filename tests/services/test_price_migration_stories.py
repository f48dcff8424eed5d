"""Price migrations, told as stories: what is worked out, what happens then, and to whom not.

Stories begin on 31 January at 9:00; the first period has 28 days, so that 14 days are half of it.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.calendar import Unit
from app.domain.errors import Conflict, InvalidRequest
from app.domain.invoice import Collection
from app.domain.migrating import Moment
from app.domain.policy import Settlement, When
from app.ids import parse
from app.services import customers, price_migrations, price_moves
from app.services.changes import ChangedItem
from tests.campaigns.mortal import Mortal, mortals
from tests.schedules import carry_out, migration, phase, plan_migration, subscribe_in_phases
from tests.simulator import SimulatorProcess
from tests.world import PAID, RENEWED, World

CHANGED = ("subscription.updated", "invoice.finalized", *PAID)
PLANNED, DONE = "price_migration.created", "price_migration.completed"
FEBRUARY = datetime(2026, 2, 28, 9, tzinfo=UTC)
DEATHS_MAX = 60


async def subscribers(world: World, count: int, price: UUID, **options: Any) -> list[UUID]:
    """So many who have the price, each with a customer and a card of its own."""
    found = [await world.subscribe(await world.customer(), price, **options) for _ in range(count)]
    await world.told()
    return found


async def reasons(world: World, planned: str) -> dict[UUID, str | None]:
    rows = await world.fetch(
        "SELECT subscription_id, code FROM price_migration_items WHERE price_migration_id = $1",
        parse("pmg", planned),
    )
    return {row["subscription_id"]: row["code"] for row in rows}


async def test_what_it_would_do_is_worked_out_and_nothing_is_done(world: World) -> None:
    old, new = await world.price("2800"), await world.price("5600")
    await subscribers(world, 3, old)
    await world.advance(days=14, expect=[])
    planned = await plan_migration(world, from_price_id=old, to_price_id=new, moment=Moment.NOW)
    await world.expect(PLANNED)
    assert planned.status == "ready"
    assert planned.estimate is not None
    [euros] = planned.estimate.amounts
    # Three at 28.00 become three at 56.00; of each, half of 28.00 comes back, half of 56.00 is due.
    assert (euros.subscriptions, euros.before, euros.after) == (3, 8400, 16800)
    assert (euros.credited, euros.charged) == (3 * 1400, 3 * 2800)
    assert (planned.total, planned.moved, planned.pending) == (3, 0, 3)
    assert [amount for amount, _ in world.charged()] == [2800] * 3
    await world.assert_clean()


async def test_moved_now_each_is_credited_and_charged_for_the_rest(world: World) -> None:
    old, new = await world.price("2800"), await world.price("5600")
    subs = await subscribers(world, 3, old)
    await world.advance(days=14, expect=[])
    planned = await plan_migration(world, from_price_id=old, to_price_id=new, moment=Moment.NOW)
    done = await carry_out(world, planned)
    assert (done.status, done.moved, done.failed, done.pending) == ("completed", 3, 0, 0)
    await world.tick()
    await world.expect(PLANNED, DONE, *CHANGED * 3)
    for sub in subs:
        invoice = await world.invoice(sub)
        assert await world.amounts(invoice["id"]) == [(-1400, 0, 0), (2800, 0, 0)]
        assert [item["price_id"] for item in await world.items(sub)] == [new]
    await world.advance(to=FEBRUARY, expect=RENEWED * 3)
    assert sorted(a for a, _ in world.charged()) == [1400] * 3 + [2800] * 3 + [5600] * 3
    await world.assert_clean()


async def test_moved_at_renewal_nobody_pays_anything_before(world: World) -> None:
    old, new = await world.price("2800"), await world.price("5600")
    subs = await subscribers(world, 2, old)
    planned = await plan_migration(world, from_price_id=old, to_price_id=new)
    assert planned.estimate is not None
    [euros] = planned.estimate.amounts
    assert (euros.credited, euros.charged) == (0, 0)
    assert (await carry_out(world, planned)).moved == 2
    await world.expect(PLANNED, DONE, *["subscription.updated"] * 2)
    await world.advance(to=FEBRUARY, expect=RENEWED * 2)
    assert [a for a, _ in world.charged()] == [2800, 2800, 5600, 5600]
    assert [(await world.items(sub))[0]["price_id"] for sub in subs] == [new, new]
    await world.assert_clean()


async def test_moved_at_a_date_they_change_together(world: World) -> None:
    old, new = await world.price("2800"), await world.price("5600")
    await subscribers(world, 2, old)
    middle = datetime(2026, 2, 14, 9, tzinfo=UTC)
    planned = await plan_migration(
        world, from_price_id=old, to_price_id=new, moment=Moment.AT, at=middle
    )
    await carry_out(world, planned)
    await world.told()
    await world.advance(to=middle, expect=CHANGED * 2)
    # -14.00 + 28.00 each.
    assert [a for a, _ in world.charged()] == [2800, 2800, 1400, 1400]
    await world.assert_clean()


async def test_a_move_without_settlement_costs_nothing_until_the_next_period(world: World) -> None:
    old, new = await world.price("2800"), await world.price("5600")
    await subscribers(world, 2, old)
    await world.advance(days=14, expect=[])
    planned = await plan_migration(
        world,
        from_price_id=old,
        to_price_id=new,
        moment=Moment.NOW,
        settlement=Settlement.NONE,
    )
    await carry_out(world, planned)
    await world.told()
    await world.advance(to=FEBRUARY, expect=RENEWED * 2)
    assert [a for a, _ in world.charged()] == [2800, 2800, 5600, 5600]
    await world.assert_clean()


async def test_quantities_and_other_items_stay(world: World) -> None:
    plan = await world.plan("Seats")
    old, new = await world.price("1000", plan=plan), await world.price("1500", plan=plan)
    extra = await world.price("300")
    sub = await world.subscribe(await world.customer(), (old, 7), extra)
    await world.told()
    planned = await plan_migration(world, from_price_id=old, to_price_id=new)
    assert planned.estimate is not None
    [euros] = planned.estimate.amounts
    assert (euros.before, euros.after) == (7 * 1000 + 300, 7 * 1500 + 300)
    await carry_out(world, planned)
    await world.told()
    await world.advance(to=FEBRUARY, expect=RENEWED)
    items = [(item["price_id"], item["quantity"]) for item in await world.items(sub)]
    assert items == [(new, 7), (extra, 1)]
    assert (await world.invoice(sub))["total"] == 7 * 1500 + 300
    await world.assert_clean()


async def test_those_who_cannot_be_moved_say_why(world: World) -> None:
    plan = await world.plan("Basic")
    old, new = await world.price("1000", plan=plan), await world.price("2000")
    dollars = await world.price("1000", "USD", plan=plan)
    yearly = await world.price("9000", plan=plan, unit=Unit.YEAR)
    [fine] = await subscribers(world, 1, old)
    [abroad] = await subscribers(world, 1, dollars)
    [annual] = await subscribers(world, 1, yearly)
    [ending] = await subscribers(world, 1, old)
    await world.cancel(ending, at_period_end=True)
    [waiting] = await subscribers(world, 1, old)
    await world.change(waiting, ChangedItem(quantity=2), when=When.PERIOD_END)
    [parked] = await subscribers(world, 1, old)
    await world.fetch(
        "UPDATE subscriptions SET parked_at = now(), parked_reason = 'odd' WHERE id = $1", parked
    )
    scheduled = await subscribe_in_phases(
        world, await world.customer(), phase(old, cycles=1), phase(old, coupon_ids=())
    )
    [gone] = await subscribers(world, 1, old)
    await world.cancel(gone)
    planned = await plan_migration(world, from_plan_id=plan, to_price_id=new)
    assert await reasons(world, planned.id) == {
        fine: None,
        abroad: "price_currency_mismatch",
        annual: "price_interval_mismatch",
        ending: "subscription_ending",
        waiting: "subscription_scheduled_changes",
        parked: "subscription_parked",
        scheduled: "subscription_scheduled_phases",
    }
    assert planned.estimate is not None
    assert (planned.estimate.movable, planned.estimate.refused) == (1, 6)
    done = await carry_out(world, planned)
    assert (done.moved, done.failed, done.status) == (1, 6, "completed")
    await world.told()
    await world.assert_clean(but=("nothing_parked",))


async def test_one_that_cannot_be_moved_stops_none_of_the_others(world: World) -> None:
    old = await world.price("1000")
    new = await world.price("2000", max_quantity=5)
    subs = await subscribers(world, 2, old)
    [many] = await subscribers(world, 1, (old, 9))
    planned = await plan_migration(world, from_price_id=old, to_price_id=new)
    done = await carry_out(world, planned)
    assert (done.moved, done.failed) == (2, 1)
    assert (await reasons(world, done.id))[many] is not None
    await world.told()
    await world.advance(to=FEBRUARY, expect=RENEWED * 3)
    prices = [(await world.items(sub))[0]["price_id"] for sub in (*subs, many)]
    assert prices == [new, new, old]
    await world.assert_clean()


async def test_what_changed_since_the_estimate_is_decided_as_it_is_then(world: World) -> None:
    old, new, other = [await world.price(p) for p in ("1000", "2000", "3000")]
    stays, leaves, changes = await subscribers(world, 3, old)
    planned = await plan_migration(world, from_price_id=old, to_price_id=new)
    await world.cancel(leaves)
    await world.change(changes, ChangedItem(price_id=other), when=When.NOW)
    [late] = await subscribers(world, 1, old)
    done = await carry_out(world, planned)
    assert (done.total, done.moved, done.failed) == (3, 1, 2)
    assert await reasons(world, done.id) == {
        stays: None,
        leaves: "subscription_canceled",
        changes: "price_not_subscribed",
    }
    # Who subscribed after it was worked out is not among those it is about.
    assert late not in await reasons(world, done.id)
    await world.tick()
    await world.told()
    await world.assert_clean()


async def test_what_is_due_is_billed_at_the_old_price_before_the_move(world: World) -> None:
    old, new = await world.price("1000"), await world.price("3000")
    [sub] = await subscribers(world, 1, old)
    planned = await plan_migration(world, from_price_id=old, to_price_id=new, moment=Moment.NOW)
    world.clock.set(FEBRUARY)
    await carry_out(world, planned)
    await world.tick()
    # The period that has begun is billed at 10.00; moved at its very start, all of it comes back.
    assert [i["total"] for i in await world.invoices(sub)] == [1000, 1000, 2000]
    await world.told()
    await world.assert_clean()


async def test_one_customers_two_subscriptions_share_their_credit_rightly(world: World) -> None:
    dear, cheap = await world.price("5600"), await world.price("2800")
    customer = await world.customer()
    subs = [await world.subscribe(customer, dear) for _ in range(2)]
    await world.told()
    await world.advance(days=14, expect=[])
    planned = await plan_migration(world, from_price_id=dear, to_price_id=cheap, moment=Moment.NOW)
    assert (await carry_out(world, planned)).moved == 2
    # Each gives 28.00 back and charges 14.00: 28.00 stand to the customer's credit.
    assert [(await world.invoice(sub))["total"] for sub in subs] == [-1400, -1400]
    assert await world.credit_left(customer) == 2800
    await world.told()
    await world.assert_clean()


async def test_only_whom_the_filters_name(world: World) -> None:
    old, new = await world.price("1000"), await world.price("2000")
    german, french = await world.customer(), await world.customer()
    for customer, country in ((german, "DE"), (french, "FR")):
        change = customers.UpdateCustomer(customer, {"address": {"country": country}})
        await customers.update(world.rt, world.caller, change)
    early = await world.subscribe(german, old, metadata={"tier": "a"})
    await world.subscribe(german, old, metadata={"tier": "b"})
    await world.subscribe(french, old, metadata={"tier": "a"})
    await world.advance_quietly(days=3)
    await world.subscribe(german, old, metadata={"tier": "a"})
    planned = await plan_migration(
        world,
        from_price_id=old,
        to_price_id=new,
        countries=["DE"],
        created_before=world.now - timedelta(days=1),
        subscription_metadata={"tier": "a"},
    )
    assert list(await reasons(world, planned.id)) == [early]
    await world.told()


async def test_customers_on_a_test_clock_are_moved_in_their_own_time(world: World) -> None:
    old, new = await world.price("2800"), await world.price("5600")
    clock = await world.test_clock(datetime(2026, 5, 1, tzinfo=UTC))
    customer = await world.customer(test_clock_id=clock)
    sub = await world.subscribe(customer, old)
    await world.told()
    planned = await plan_migration(world, from_price_id=old, to_price_id=new, moment=Moment.NOW)
    await carry_out(world, planned)
    # At the very start of its period all comes back, at the clock's time; and it is collected.
    invoice = await world.invoice(sub)
    assert (invoice["total"], invoice["status"]) == (2800, "paid")
    assert invoice["created_at"] == datetime(2026, 5, 1, tzinfo=UTC)
    await world.told()
    await world.assert_clean()


async def test_canceled_it_stops_where_it_is(world: World) -> None:
    old, new = await world.price("1000"), await world.price("2000")
    await subscribers(world, 1, old)
    planned = await plan_migration(world, from_price_id=old, to_price_id=new)
    known = parse("pmg", planned.id)
    await price_migrations.execute(world.rt, world.caller, known)
    await price_migrations.cancel(world.rt, world.caller, known)
    await price_moves.run_due(world.rt)
    stopped = await migration(world, planned.id)
    assert (stopped.status, stopped.moved, stopped.pending) == ("canceled", 0, 1)
    for again in (price_migrations.execute, price_migrations.cancel):
        with pytest.raises(Conflict) as refused:
            await again(world.rt, world.caller, known)
        assert refused.value.code == "price_migration_canceled"
    await world.expect(PLANNED, "price_migration.canceled")


async def test_two_workers_at_once_move_everybody_once(world: World) -> None:
    old, new = await world.price("2800"), await world.price("5600")
    subs = await subscribers(world, 6, old, collection=Collection.SEND_INVOICE)
    planned = await plan_migration(world, from_price_id=old, to_price_id=new, moment=Moment.NOW)
    await price_migrations.execute(world.rt, world.caller, parse("pmg", planned.id))
    await asyncio.gather(*(price_moves.run_due(world.rt) for _ in range(3)))
    assert (await migration(world, planned.id)).moved == 6
    for sub in subs:
        assert [i["total"] for i in await world.invoices(sub)] == [2800, 2800]
    await world.told()
    await world.assert_clean()


@pytest.fixture
def mortal(database_url: str, simulator: SimulatorProcess) -> Iterator[Mortal]:
    with mortals(database_url, simulator.url, chunk_size=2) as process:
        yield process


async def test_killed_between_and_inside_chunks_it_goes_on_and_moves_nobody_twice(
    world: World, mortal: Mortal
) -> None:
    old, new = await world.price("2800"), await world.price("5600")
    subs = await subscribers(world, 9, old, collection=Collection.SEND_INVOICE)
    planned = await plan_migration(
        world,
        from_price_id=old,
        to_price_id=new,
        moment=Moment.NOW,
        settlement=Settlement.NEXT_INVOICE,
    )
    await price_migrations.execute(world.rt, world.caller, parse("pmg", planned.id))
    deaths = 0
    for steps in range(5, 5 + 9 * DEATHS_MAX, 9):
        fate = mortal.run(world.now, work=["migrate"], steps=steps)
        deaths += fate.died
        if not fate.died and (await migration(world, planned.id)).status == "completed":
            break
        world.clock.advance(price_moves.LEASE)  # until then it is the dead one's
    assert deaths > 3
    done = await migration(world, planned.id)
    assert (done.status, done.moved, done.failed) == ("completed", 9, 0)
    for sub in subs:
        waiting = await world.fetch(
            "SELECT amount FROM pending_items WHERE subscription_id = $1 ORDER BY amount", sub
        )
        assert len(waiting) == 2  # what came back, and what is charged: once
    assert (await world.told()).count("subscription.updated") == 9
    await world.assert_clean()


async def test_what_makes_no_sense_is_refused(world: World) -> None:
    old, dear = await world.price("1000"), await world.price("2000")
    for wrong, param in (
        ({"from_price_id": old, "to_price_id": old}, "to_price_id"),
        ({"to_price_id": dear}, "from_price_id"),
        ({"from_price_id": old, "to_price_id": await world.plan()}, "to_price_id"),
        ({"from_plan_id": old, "to_price_id": dear}, "from_plan_id"),
        ({"from_price_id": old, "to_price_id": dear, "moment": Moment.AT}, "at"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            await plan_migration(world, **wrong)
        assert refused.value.param == param
