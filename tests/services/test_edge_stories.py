"""Where two things meet: no payment method, nothing to pay, planned ends, odd moments. Stories.

Stories begin on 31 January at 9:00; the first period has 28 days, so that 14 days are half of it.
"""

import pytest

from app.domain.errors import Conflict, InvalidRequest
from app.domain.policy import When
from app.domain.pricing import PlanKind, TrialEnd
from app.services.changes import ChangedItem
from tests.terms import CHANGED, ENDED, amounts, at, dials, paid, period, planned, totals
from tests.world import DECLINED, RENEWED, STARTED, World

FREE = ("subscription.created", "invoice.finalized", "invoice.paid")


async def test_an_upgrade_that_nobody_can_be_charged_for_leaves_it_behind(world: World) -> None:
    customer, price = await world.customer(None), await world.price("0")
    sub = await world.subscribe(customer, price)
    await world.expect(*FREE)
    await world.change(sub, ChangedItem(price_id=await world.price("1000")))
    await world.expect("subscription.updated", "invoice.finalized", "subscription.past_due")
    assert await world.status(sub) == "past_due"
    await world.attach(customer, "pm_sim_ok")
    await world.pay((await world.invoice(sub))["id"])
    await world.told()
    assert await world.status(sub) == "active"
    assert paid(world) == [1000]
    await world.assert_clean()


async def test_a_planned_upgrade_that_nobody_can_be_charged_for_leaves_it_behind(
    world: World,
) -> None:
    sub = await world.subscribe(await world.customer(None), await world.price("0"))
    await world.expect(*FREE)
    dear = await world.price("2800")
    await world.change(sub, ChangedItem(price_id=dear), when=at(2026, 2, 14, 9))
    await world.expect("subscription.updated")
    await world.advance(
        days=14, expect=["subscription.updated", "invoice.finalized", "subscription.past_due"]
    )
    assert await totals(world, sub) == [0, 1400]
    await world.assert_clean()


async def test_resumed_without_a_payment_method_it_is_behind(world: World) -> None:
    customer, price = await world.customer(None), await world.price("1000", trial_days=7)
    then = TrialEnd.PAUSE
    sub = await world.subscribe(customer, price, trial_end_without_payment_method=then)
    await world.advance(days=7, expect=["subscription.created", "subscription.paused"])
    await world.resume(sub)
    await world.expect("subscription.resumed", "invoice.finalized", "subscription.past_due")
    assert await world.status(sub) == "past_due"
    await world.assert_clean()


async def test_none_of_something_costs_nothing_until_there_is_some(world: World) -> None:
    customer, price = await world.customer(), await world.price("1400")
    sub = await world.subscribe(customer, (price, 0))
    await world.told()
    assert await totals(world, sub) == [0]
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(quantity=3))
    await world.expect(*CHANGED)
    # Half of 3 x 14.00; of nothing nothing comes back.
    assert await amounts(world, sub) == [2100]
    await world.assert_clean()


async def test_a_date_that_is_the_boundary_is_the_boundary(world: World) -> None:
    sub = await world.subscribed("2800")
    dear = await world.price("5600")
    await world.change(sub, ChangedItem(price_id=dear), when=at(2026, 2, 28, 9))
    await world.expect("subscription.updated")
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert await amounts(world, sub) == [5600]
    assert paid(world) == [2800, 5600]
    await world.assert_clean()


async def test_what_ends_first_takes_the_planned_change_with_it(world: World) -> None:
    sub = await world.subscribed("2800")
    await world.change(sub, ChangedItem(quantity=5), when=at(2026, 2, 20, 9))
    await world.cancel(sub, at=at(2026, 2, 10, 9))
    await world.expect("subscription.updated", "subscription.updated")
    await world.advance(to=at(2026, 2, 10, 9), expect=ENDED)
    assert await planned(world, sub) == []
    await world.advance(to=at(2026, 3, 31, 9), expect=[])
    await world.assert_clean()


async def test_at_one_boundary_the_end_comes_before_pause_and_change(world: World) -> None:
    sub = await world.subscribed("2800")
    await world.change(sub, ChangedItem(quantity=5), when=When.PERIOD_END)
    await world.pause(sub, when=When.PERIOD_END)
    await world.cancel(sub, at_period_end=True)
    await world.expect(*["subscription.updated"] * 3)
    await world.advance(to=at(2026, 2, 28, 9), expect=ENDED)
    assert paid(world) == [2800]
    await world.assert_clean()


async def test_at_one_boundary_a_change_and_a_pause_both_happen(world: World) -> None:
    sub = await world.subscribed("2800")
    await world.pause(sub, when=When.PERIOD_END)
    await world.change(sub, ChangedItem(quantity=5), when=When.PERIOD_END)
    await world.expect(*["subscription.updated"] * 2)
    await world.advance_quietly(days=28)
    assert await world.status(sub) == "paused"
    await world.advance_quietly(days=10)
    await world.resume(sub)
    await world.told()
    await world.tick()
    # However they are ordered, no period is lost and none is charged twice.
    assert sum(paid(world)) == sum(await totals(world, sub))
    assert (await world.items(sub))[0]["quantity"] == 5
    await world.assert_clean()


async def test_behind_on_its_renewal_it_may_still_change(world: World) -> None:
    customer, price = await world.customer(), await world.price("3100")
    sub = await world.subscribe(customer, price)
    await world.expect(*STARTED)
    await world.attach(customer, "pm_sim_declined")
    behind = [*RENEWED[:2], *DECLINED, "subscription.past_due"]
    await world.advance(to=at(2026, 2, 28, 9), expect=behind)
    await world.attach(customer, "pm_sim_ok")
    await world.change(sub, ChangedItem(quantity=2))
    await world.told()
    # Whole period: -31.00 + 62.00; the renewal itself is still owed.
    assert await totals(world, sub) == [3100, 3100, 3100]
    assert [i["status"] for i in await world.invoices(sub)] == ["paid", "open", "paid"]
    await world.assert_clean()


async def test_before_its_first_payment_it_does_not_change(world: World) -> None:
    sub = await world.subscribe(await world.customer("pm_sim_declined"), await world.price("1000"))
    await world.told()
    with pytest.raises(Conflict, match="incomplete"):
        await world.change(sub, ChangedItem(quantity=2))
    with pytest.raises(Conflict, match="cannot pause"):
        await world.pause(sub)


async def test_what_is_scheduled_changes_before_it_starts(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    sub = await world.subscribe(customer, price, start_at=at(2026, 2, 10, 9))
    await world.told()
    await world.change(sub, ChangedItem(quantity=4))
    await world.expect("subscription.updated")
    await world.advance_quietly(days=10)
    assert await totals(world, sub) == [4000]
    await world.assert_clean()


async def test_an_add_on_does_not_stay_beside_a_plan_it_is_not_for(world: World) -> None:
    pro, basic = await world.plan("Pro", rank=1), await world.plan("Basic", rank=0)
    extra = await world.plan("Extra", kind=PlanKind.ADDON, addon_for=[pro])
    addon, cheap = await world.price("280", plan=extra), await world.price("1400", plan=basic)
    sub = await world.subscribe(await world.customer(), await world.price("2800", plan=pro), addon)
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    first, second = await world.items(sub)
    with pytest.raises(InvalidRequest):
        await world.change(sub, ChangedItem(id=first["id"], price_id=cheap))
    gone = ChangedItem(id=second["id"], is_removed=True)
    await world.change(sub, ChangedItem(id=first["id"], price_id=cheap), gone)
    await world.expect("subscription.updated")
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert paid(world) == [3080, 1400]
    await world.assert_clean()


async def test_in_a_full_stub_all_of_its_price_is_prorated(world: World) -> None:
    await dials(world, first_period="full")
    customer, price = await world.customer(), await world.price("3000")
    sub = await world.subscribe(customer, price, billing_anchor=at(2026, 2, 15, 9))
    await world.expect(*STARTED)
    await world.advance(days=5, expect=[])
    await world.change(sub, ChangedItem(price_id=await world.price("6000")), when=When.NOW)
    await world.expect(*CHANGED)
    # 10 of the 15 days are left: -20.00 + 40.00.
    assert await amounts(world, sub) == [-2000, 4000]
    assert await period(world, sub) == (at(2026, 1, 31, 9), at(2026, 2, 15, 9))
    await world.assert_clean()
