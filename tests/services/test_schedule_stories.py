"""Schedules, told as stories: which phase is billed when, and what may not come in between.

Stories begin on 31 January at 9:00; the first period has 28 days, so that 14 days are half of it.
Boundaries are 28 February, 31 March, 30 April and 31 May, always counted from the anchor.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.domain.calendar import Unit
from app.domain.errors import Conflict, InvalidRequest, NotFound
from app.domain.invoice import Collection
from app.domain.phases import EndBehaviour
from app.domain.policy import Settlement, When
from app.domain.pricing import PriceType, Timing
from app.services import changes, discounts, renewals, schedules
from app.services.changes import ChangedItem
from app.services.discounts import CreateDiscount
from app.services.schedules import PutSchedule
from tests import previews
from tests.schedules import boundaries, phase, put, release, schedule, subscribe_in_phases
from tests.world import PAID, RENEWED, STARTED, World

CHANGED = ("subscription.updated", "invoice.finalized", *PAID)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


FEBRUARY, MARCH = at(2026, 2, 28, 9), at(2026, 3, 31, 9)
APRIL, MAY = at(2026, 4, 30, 9), at(2026, 5, 31, 9)


async def test_a_ramp_bills_each_phase_from_its_boundary_on(world: World) -> None:
    low, middle, high = [await world.price(p) for p in ("1000", "2000", "3000")]
    sub = await subscribe_in_phases(
        world, await world.customer(), phase(low, cycles=1), phase(middle, cycles=2), phase(high)
    )
    await world.expect(*STARTED)
    shown = await schedule(world, sub)
    # 31 Jan + 1 month = 28 Feb; two months on from there, by the anchor, is 30 April.
    assert boundaries(shown) == [
        (at(2026, 1, 31, 9), FEBRUARY), (FEBRUARY, APRIL), (APRIL, None)
    ]  # fmt: skip
    assert (shown.status, shown.current_phase) == ("active", 1)
    for month in (FEBRUARY, MARCH, APRIL, MAY):
        await world.advance(to=month, expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [1000, 2000, 2000, 3000, 3000]
    shown = await schedule(world, sub)
    assert (shown.status, shown.current_phase) == ("active", 3)
    await world.assert_clean()


async def test_a_running_subscription_is_put_on_a_schedule_that_begins_with_what_it_has(
    world: World,
) -> None:
    price, dear = await world.price("1000"), await world.price("4000")
    sub = await world.subscribe(await world.customer(), price)
    await world.expect(*STARTED)
    await world.advance(days=10, expect=[])
    await put(world, sub, phase(price, cycles=1), phase(dear))
    # Nothing is other now, so nothing is billed. One full period after the rest of this one.
    await world.expect("subscription.updated")
    assert boundaries(await schedule(world, sub)) == [(at(2026, 2, 10, 9), MARCH), (MARCH, None)]
    await world.advance(to=FEBRUARY, expect=RENEWED)
    await world.advance(to=MARCH, expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [1000, 1000, 4000]
    await world.assert_clean()


async def test_a_first_phase_that_is_other_is_settled_now(world: World) -> None:
    sub = await world.subscribed("2800")
    dear, last = await world.price("5600"), await world.price("1000")
    await world.advance(days=14, expect=[])
    await put(world, sub, phase(dear, ends_at=FEBRUARY), phase(last))
    await world.expect(*CHANGED)
    # Half of 28.00 back and half of 56.00: 14.00 now; 10.00 from the boundary on.
    assert await world.amounts((await world.invoice(sub))["id"]) == [(-1400, 0, 0), (2800, 0, 0)]
    await world.advance(to=FEBRUARY, expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [2800, 1400, 1000]
    await world.assert_clean()


async def test_a_phase_that_starts_inside_a_period_is_prorated(world: World) -> None:
    sub = await world.subscribed("2800")
    [item] = await world.items(sub)
    dear = await world.price("5600")
    middle = at(2026, 2, 14, 9)
    await put(world, sub, phase(item["price_id"], ends_at=middle), phase(dear))
    await world.expect("subscription.updated")
    await world.advance(to=middle, expect=CHANGED)
    assert await world.amounts((await world.invoice(sub))["id"]) == [(-1400, 0, 0), (2800, 0, 0)]
    await world.advance(to=FEBRUARY, expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [2800, 1400, 5600]
    await world.assert_clean()


async def test_a_phase_inside_a_period_may_wait_for_the_next_invoice(world: World) -> None:
    sub = await world.subscribed("2800")
    [item] = await world.items(sub)
    dear = await world.price("5600")
    middle = at(2026, 2, 14, 9)
    later = phase(dear, settlement=Settlement.NEXT_INVOICE)
    await put(world, sub, phase(item["price_id"], ends_at=middle), later)
    await world.expect("subscription.updated")
    await world.advance(to=middle, expect=["subscription.updated"])
    await world.advance(to=FEBRUARY, expect=RENEWED)
    # -14.00 + 28.00 of the old period, and 56.00 of the new one.
    assert (await world.invoice(sub))["total"] == 7000
    await world.assert_clean()


async def test_a_reset_inside_a_period_moves_the_boundaries_after_it(world: World) -> None:
    sub = await world.subscribed("2800")
    dear, dearer = await world.price("5600"), await world.price("8000")
    await world.advance(days=14, expect=[])
    reset = phase(dear, cycles=1, settlement=Settlement.RESET)
    await put(world, sub, reset, phase(dearer))
    await world.expect(*CHANGED)
    # A new period begins on 14 February: 56.00 - 14.00. The next phase starts on 14 March.
    assert (await world.invoice(sub))["total"] == 5600 - 1400
    march = at(2026, 3, 14, 9)
    assert boundaries(await schedule(world, sub))[1] == (march, None)
    await world.advance(to=march, expect=RENEWED)
    assert (await world.invoice(sub))["total"] == 8000
    await world.assert_clean()


async def test_a_phase_of_another_interval_begins_its_own_periods(world: World) -> None:
    monthly, yearly = await world.price("1000"), await world.price("9000", unit=Unit.YEAR)
    back = await world.price("1200")
    sub = await subscribe_in_phases(
        world,
        await world.customer(),
        phase(monthly, cycles=3),
        phase(yearly, cycles=1),
        phase(back),
    )
    await world.expect(*STARTED)
    # Three months end on 30 April; the year is counted from there, and so are the months after.
    year_end = at(2027, 4, 30, 9)
    assert boundaries(await schedule(world, sub))[1:] == [(APRIL, year_end), (year_end, None)]
    for month in (FEBRUARY, MARCH, APRIL, year_end, at(2027, 5, 30, 9)):
        await world.advance(to=month, expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [1000, 1000, 1000, 9000, 1200, 1200]
    await world.assert_clean()


async def test_the_subscription_ends_with_its_last_phase(world: World) -> None:
    first, second = await world.price("1000"), await world.price("2000")
    end = EndBehaviour.CANCEL
    sub = await subscribe_in_phases(
        world, await world.customer(), phase(first, cycles=1), phase(second, cycles=1), end=end
    )
    await world.expect(*STARTED)
    await world.advance(to=FEBRUARY, expect=RENEWED)
    await world.advance(to=MARCH, expect=["subscription.canceled"])
    assert [amount for amount, _ in world.charged()] == [1000, 2000]
    shown = await schedule(world, sub)
    assert (shown.status, shown.ends_at, shown.current_phase) == ("ended", MARCH, None)
    await world.assert_clean()


async def test_what_a_last_phase_owes_in_arrears_is_billed_at_its_end(world: World) -> None:
    ahead, behind = await world.price("1000"), await world.price("700", timing=Timing.ARREARS)
    end = EndBehaviour.CANCEL
    await subscribe_in_phases(
        world, await world.customer(), phase(ahead, cycles=1), phase(behind, cycles=1), end=end
    )
    await world.expect(*STARTED)
    # The boundary ends what was paid ahead and owes nothing yet.
    await world.advance(to=FEBRUARY, expect=["subscription.renewed"])
    await world.advance(to=MARCH, expect=["subscription.canceled", "invoice.finalized", *PAID])
    assert [amount for amount, _ in world.charged()] == [1000, 700]
    await world.assert_clean()


async def test_released_at_its_end_it_goes_on_as_the_last_phase_left_it(world: World) -> None:
    first, second = await world.price("1000"), await world.price("2000")
    sub = await subscribe_in_phases(
        world, await world.customer(), phase(first, cycles=1), phase(second, cycles=1)
    )
    await world.expect(*STARTED)
    for month in (FEBRUARY, MARCH, APRIL):
        await world.advance(to=month, expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [1000, 2000, 2000, 2000]
    assert (await schedule(world, sub)).status == "completed"
    await world.assert_clean()


async def test_phases_have_coupons_of_their_own(world: World) -> None:
    price, customer = await world.price("1000"), await world.customer()
    half = await world.coupon(percent_off="50", duration="forever")
    fifth = await world.coupon(percent_off="20", duration="forever")
    await subscribe_in_phases(
        world,
        customer,
        phase(price, cycles=1, coupon_ids=(half,)),
        phase(price, cycles=1),
        phase(price, cycles=1, coupon_ids=(fifth,)),
        phase(price, coupon_ids=()),
    )
    await world.expect(*STARTED)
    for month in (FEBRUARY, MARCH, APRIL):
        await world.advance(to=month, expect=RENEWED)
    # 50 % at first; the second phase says nothing of coupons and keeps it; then 20 %; then none.
    assert [amount for amount, _ in world.charged()] == [500, 500, 800, 1000]
    await world.assert_clean()


async def test_a_customers_own_discount_outlives_the_phases(world: World) -> None:

    price, customer = await world.price("1000"), await world.customer()
    tenth = await world.coupon(percent_off="10", duration="forever")
    cmd = CreateDiscount(customer_id=customer, coupon_id=tenth)
    await discounts.create(world.rt, world.caller, cmd)
    sub = await subscribe_in_phases(
        world, customer, phase(price, cycles=1), phase(price, coupon_ids=())
    )
    await world.told()
    await world.advance(to=FEBRUARY, expect=RENEWED)
    # A phase without coupons takes off the subscription's, and the customer's stays: 10.00 - 1.00.
    assert [amount for amount, _ in world.charged()] == [900, 900]
    assert (await world.invoice(sub))["discount_total"] == 100
    await world.assert_clean()


async def test_a_trial_comes_before_the_cycles_of_the_first_phase(world: World) -> None:
    low, high = await world.price("1000"), await world.price("3000")
    sub = await subscribe_in_phases(
        world, await world.customer(), phase(low, cycles=1), phase(high), trial_days=14
    )
    await world.expect("subscription.created")
    # The trial ends on 14 February, the anchor; one paid period later is 14 March.
    assert boundaries(await schedule(world, sub))[1] == (at(2026, 3, 14, 9), None)
    activated = ("subscription.activated", "invoice.finalized", *PAID)
    await world.advance(to=at(2026, 2, 14, 9), expect=activated)
    await world.advance(to=at(2026, 3, 14, 9), expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [1000, 3000]
    await world.assert_clean()


async def test_a_phase_may_begin_where_a_trial_ends(world: World) -> None:
    low, high = await world.price("1000"), await world.price("3000")
    sub = await world.subscribe(await world.customer(), low, trial_days=14)
    await world.expect("subscription.created")
    await put(world, sub, phase(high, start=When.PERIOD_END, cycles=1), phase(low))
    await world.expect("subscription.updated")
    activated = ("subscription.activated", "invoice.finalized", *PAID)
    await world.advance(to=at(2026, 2, 14, 9), expect=activated)
    await world.advance(to=at(2026, 3, 14, 9), expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [3000, 1000]
    await world.assert_clean()


async def test_a_phase_that_is_sent_an_invoice_is_not_charged(world: World) -> None:
    price = await world.price("1000")
    sent = phase(price, collection=Collection.SEND_INVOICE, net_days=14)
    sub = await subscribe_in_phases(world, await world.customer(), phase(price, cycles=1), sent)
    await world.expect(*STARTED)
    await world.advance(to=FEBRUARY, expect=["subscription.renewed", "invoice.finalized"])
    invoice = await world.invoice(sub)
    assert (invoice["status"], invoice["due_at"]) == ("open", at(2026, 3, 14, 9))
    await world.assert_clean()


async def test_a_change_by_hand_is_refused_until_the_schedule_is_released(world: World) -> None:
    low, high, other = [await world.price(p) for p in ("1000", "3000", "2000")]
    sub = await subscribe_in_phases(
        world, await world.customer(), phase(low, cycles=1), phase(high, cycles=1),
        end=EndBehaviour.CANCEL,
    )  # fmt: skip
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    with pytest.raises(Conflict) as refused:
        await world.change(sub, ChangedItem(price_id=other), when=When.NOW)
    assert refused.value.code == "subscription_scheduled_phases"
    [waiting] = await world.fetch("SELECT id FROM scheduled_changes WHERE status = 'pending'")
    with pytest.raises(Conflict):
        await changes.unschedule(world.rt, world.caller, sub, waiting["id"])
    await world.change(sub, ChangedItem(price_id=other), when=When.NOW, release=True)
    await world.expect(*CHANGED)
    # Half of 20.00 less half of 10.00. The phase of 30.00 never comes, nor does the end.
    assert (await world.invoice(sub))["total"] == 500
    await world.advance(to=FEBRUARY, expect=RENEWED)
    await world.advance(to=MARCH, expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [1000, 500, 2000, 2000]
    assert (await schedule(world, sub)).status == "released"
    await world.assert_clean()


async def test_a_change_that_releases_is_foreseen_to_the_cent(world: World) -> None:
    low, high, other = [await world.price(p) for p in ("1000", "3000", "2000")]
    customer = await world.customer()
    sub = await subscribe_in_phases(world, customer, phase(low, cycles=1), phase(high))
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    [item] = await world.items(sub)
    change = ChangedItem(id=item["id"], price_id=other)
    with pytest.raises(Conflict):
        await previews.of_change(world, sub, change, when=When.NOW)
    foreseen = await previews.of_change(world, sub, change, when=When.NOW, release=True)
    await world.change(sub, change, when=When.NOW, release=True)
    assert previews.told(foreseen) == await previews.came(world, sub, after=1)
    # -5.00 + 10.00 now, and 20.00, not the phase's 30.00, at the boundary.
    following = foreseen.preview.next
    assert following is not None
    assert following.total == 2000
    await world.told()
    await world.assert_clean()


async def test_a_released_schedule_changes_nothing_any_more(world: World) -> None:
    low, high = await world.price("1000"), await world.price("3000")
    sub = await subscribe_in_phases(
        world, await world.customer(), phase(low, cycles=1), phase(high)
    )
    await world.expect(*STARTED)
    await release(world, sub)
    await world.expect("subscription.updated")
    await world.advance(to=FEBRUARY, expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [1000, 1000]
    shown = await schedule(world, sub)
    assert (shown.status, shown.current_phase) == ("released", None)
    with pytest.raises(NotFound):
        await release(world, sub)
    await world.assert_clean()


async def test_a_schedule_takes_the_place_of_another_and_of_what_waited(world: World) -> None:
    sub = await world.subscribed("1000")
    [item] = await world.items(sub)
    low, high = await world.price("500"), await world.price("3000")
    await world.change(sub, ChangedItem(price_id=low), when=When.PERIOD_END)
    await put(world, sub, phase(item["price_id"], cycles=2), phase(low))
    await put(world, sub, phase(item["price_id"], ends_at=FEBRUARY), phase(high))
    await world.expect(*["subscription.updated"] * 3)
    shown = await schedule(world, sub)
    assert (len(shown.phases), shown.version) == (2, 2)
    await world.advance(to=FEBRUARY, expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [1000, 3000]
    await world.assert_clean()


async def test_canceled_at_once_it_forgets_its_phases(world: World) -> None:
    low, high = await world.price("1000"), await world.price("3000")
    sub = await subscribe_in_phases(
        world, await world.customer(), phase(low, cycles=1), phase(high)
    )
    await world.expect(*STARTED)
    await world.cancel(sub)
    await world.expect("subscription.canceled")
    await world.advance(to=MARCH, expect=[])
    assert (await schedule(world, sub)).status == "ended"
    assert await world.fetch("SELECT 1 FROM scheduled_changes WHERE status = 'pending'") == []
    await world.assert_clean()


async def test_a_backdated_start_goes_through_the_phases_it_missed(world: World) -> None:
    low, high = await world.price("1000"), await world.price("3000")
    await subscribe_in_phases(
        world,
        await world.customer(),
        phase(low, cycles=1),
        phase(high),
        start_at=at(2025, 12, 31, 9),
    )
    await world.tick()
    await world.told()
    # December's last day to January's: 10.00; from today on 30.00.
    assert [amount for amount, _ in world.charged()] == [1000, 3000]
    await world.assert_clean()


async def test_the_clock_that_comes_late_makes_every_phase_once(world: World) -> None:
    prices = [await world.price(p) for p in ("1000", "2000", "3000")]
    first, second = (phase(price, cycles=1) for price in prices[:2])
    await subscribe_in_phases(world, await world.customer(), first, second, phase(prices[2]))
    await world.expect(*STARTED)
    await world.advance(to=MAY, expect=RENEWED * 4)
    assert sorted(a for a, _ in world.charged()) == [1000, 2000, 3000, 3000, 3000]
    await world.assert_clean()


async def test_a_clock_and_an_edit_at_the_same_instant_bill_the_period_once(world: World) -> None:
    old, new = await world.price("2000"), await world.price("3000")
    subs = []
    for _ in range(6):
        low = await world.price("1000")
        customer = await world.customer()
        subs.append(
            await subscribe_in_phases(world, customer, phase(low, cycles=1), phase(old, cycles=1))
        )
    world.clock.set(FEBRUARY)
    edits = (put(world, sub, phase(old, cycles=1), phase(new)) for sub in subs)
    await asyncio.gather(*edits, renewals.renew_due(world.rt), renewals.renew_due(world.rt))
    await world.tick()
    for sub in subs:
        # Whoever was first: the period that began at 20.00 was billed before the schedule changed.
        assert [i["total"] for i in await world.invoices(sub)] == [1000, 2000]
        assert boundaries(await schedule(world, sub)) == [(FEBRUARY, MARCH), (MARCH, None)]
    await world.told()
    await world.assert_clean()


async def test_phases_that_cannot_be_are_refused_with_their_place(world: World) -> None:
    price = await world.price("1000")
    dollars = await world.price("1000", "USD")
    once = await world.price("5", unit=None, type=PriceType.ONE_TIME)
    sub = await world.subscribe(await world.customer(), price)
    whole = phase(price, cycles=1)
    for wrong, param in (
        ((whole, phase(dollars)), "phases[1].items[0].price_id"),
        ((phase(price), whole), "phases[1].start_at"),
        ((whole, phase(price, start=MAY)), "phases[1].start_at"),
        ((whole, phase(price, start=When.NOW)), "phases[1].when"),
        ((phase(price, ends_at=at(2026, 1, 1)),), "phases[0].ends_at"),
        ((phase(price, cycles=1, ends_at=MAY),), "phases[0].cycles"),
        ((phase(price, start=at(2026, 1, 1), cycles=1),), "phases[0].start_at"),
        ((phase(once, cycles=1),), "phases[0].items[0].price_id"),
        ((phase(await world.price("5", unit=Unit.YEAR), cycles=1_000),), "phases[0]"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            await put(world, sub, *wrong)
        assert refused.value.param == param
    with pytest.raises(InvalidRequest):
        await put(world, sub, phase(price), end=EndBehaviour.CANCEL)
    stale = PutSchedule(sub, (whole,), expected_version=3)
    with pytest.raises(Conflict):
        await schedules.put(world.rt, world.caller, stale)
    assert replace(stale).expected_version == 3
    await world.told()
    await world.assert_clean()
