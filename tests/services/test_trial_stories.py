"""Trials, told as stories: free or paid, with and without something to charge, once or twice.

Stories begin on 31 January at 9:00. A trial's end is the anchor unless another was set.
"""

import pytest

from app.domain.discount import Duration
from app.domain.errors import Conflict, InvalidRequest
from app.domain.policy import SecondTrial, When
from app.domain.pricing import TrialEnd
from app.services.changes import ChangedItem
from tests.terms import ACTIVATED, CHANGED, RESUMED, at, dials, end_trial, paid, period, totals
from tests.world import PAID, RENEWED, STARTED, World

TRIED = ("subscription.created",)
PAID_TRIAL = ("subscription.created", "invoice.finalized", *PAID)


async def test_a_price_brings_its_own_trial(world: World) -> None:
    price = await world.price("1000", trial_days=10)
    sub = await world.subscribe(await world.customer(), price)
    await world.expect(*TRIED)
    assert await world.status(sub) == "trialing"
    assert await period(world, sub) == (at(2026, 1, 31, 9), at(2026, 2, 10, 9))
    await world.advance(to=at(2026, 2, 10, 9), expect=ACTIVATED)
    assert await period(world, sub) == (at(2026, 2, 10, 9), at(2026, 3, 10, 9))
    await world.advance(to=at(2026, 3, 10, 9), expect=RENEWED)
    assert paid(world) == [1000, 1000]
    await world.assert_clean()


async def test_no_days_asked_for_are_no_trial(world: World) -> None:
    price = await world.price("1000", trial_days=10)
    sub = await world.subscribe(await world.customer(), price, trial_days=0)
    await world.expect(*STARTED)
    assert await world.status(sub) == "active"
    assert paid(world) == [1000]
    await world.assert_clean()


async def test_a_trial_s_end_may_be_an_instant(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    sub = await world.subscribe(customer, price, trial_end=at(2026, 2, 3, 17, 30))
    await world.expect(*TRIED)
    await world.advance(to=at(2026, 2, 3, 17, 29), expect=[])
    await world.advance(to=at(2026, 2, 3, 17, 30), expect=ACTIVATED)
    assert await period(world, sub) == (at(2026, 2, 3, 17, 30), at(2026, 3, 3, 17, 30))
    await world.assert_clean()


async def test_a_paid_trial_is_charged_when_it_begins(world: World) -> None:
    price = await world.price("2000", trial_days=7, trial_amount=100, setup_fee=500)
    sub = await world.subscribe(await world.customer(), price)
    await world.expect(*PAID_TRIAL)
    assert await world.status(sub) == "trialing"
    # 1.00 for a week; then 20.00 with the set-up fee of 5.00, which comes with the first period.
    await world.advance(days=7, expect=ACTIVATED)
    assert paid(world) == [100, 2500]
    await world.assert_clean()


async def test_a_paid_trial_does_not_use_up_a_coupon(world: World) -> None:
    half = await world.coupon(percent_off="50", duration=Duration.ONCE)
    price = await world.price("2000", trial_days=7, trial_amount=100)
    await world.subscribe(await world.customer(), price, coupon_ids=[half])
    await world.expect(*PAID_TRIAL)
    await world.advance(days=7, expect=ACTIVATED)
    await world.advance(to=at(2026, 3, 7, 9), expect=RENEWED)
    # 1.00 as it is; half of 20.00 once; 20.00.
    assert paid(world) == [100, 1000, 2000]
    await world.assert_clean()


@pytest.mark.parametrize("token", [None, "pm_sim_ok"])
@pytest.mark.parametrize("then", list(TrialEnd))
async def test_with_a_method_a_trial_ends_in_a_paid_period_and_without_as_decided(
    world: World, then: TrialEnd, token: str | None
) -> None:
    customer, price = await world.customer(token), await world.price("1000", trial_days=14)
    sub = await world.subscribe(customer, price, trial_end_without_payment_method=then)
    await world.expect(*TRIED)
    if token is not None:
        await world.advance(days=14, expect=ACTIVATED)
        assert await world.status(sub) == "active"
        assert paid(world) == [1000]
    else:
        expected = {
            TrialEnd.CANCEL: ("canceled", ["subscription.canceled"], []),
            TrialEnd.PAUSE: ("paused", ["subscription.paused"], []),
            TrialEnd.CREATE_INVOICE: (
                "past_due",
                ["subscription.activated", "invoice.finalized", "subscription.past_due"],
                [1000],
            ),
        }
        status, told, billed = expected[then]
        await world.advance(days=14, expect=told)
        assert await world.status(sub) == status
        assert await totals(world, sub) == billed
        assert paid(world) == []
    await world.assert_clean()


async def test_paused_at_its_trial_s_end_it_starts_when_there_is_a_card(world: World) -> None:
    customer, price = await world.customer(None), await world.price("1000", setup_fee=300)
    options = {"trial_days": 14, "trial_end_without_payment_method": TrialEnd.PAUSE}
    sub = await world.subscribe(customer, price, **options)
    await world.advance(days=14, expect=[*TRIED, "subscription.paused"])
    await world.advance(days=5, expect=[])
    await world.attach(customer, "pm_sim_ok")
    await world.resume(sub)
    # The first paid period begins now, on 19 February, with the set-up fee.
    await world.expect(*RESUMED)
    assert await period(world, sub) == (at(2026, 2, 19, 9), at(2026, 3, 19, 9))
    assert paid(world) == [1300]
    await world.advance(to=at(2026, 3, 19, 9), expect=RENEWED)
    assert paid(world) == [1300, 1000]
    await world.assert_clean()


async def test_the_merchant_s_dial_decides_where_nobody_else_does(world: World) -> None:
    await dials(world, trial_end_without_payment_method="pause")
    price = await world.price("1000", trial_days=3)
    stricter = await world.price(
        "1000", trial_days=3, trial_end_without_payment_method=TrialEnd.CANCEL
    )
    by_dial = await world.subscribe(await world.customer(None), price)
    by_price = await world.subscribe(await world.customer(None), stricter)
    both = ["subscription.paused", "subscription.canceled"]
    await world.advance(days=3, expect=[*TRIED * 2, *both])
    assert (await world.status(by_dial), await world.status(by_price)) == ("paused", "canceled")
    await world.assert_clean()


async def test_a_trial_may_demand_a_payment_method_first(world: World) -> None:
    price = await world.price("1000", trial_days=7, trial_requires_payment_method=True)
    with pytest.raises(InvalidRequest, match="payment method first"):
        await world.subscribe(await world.customer(None), price)
    await world.subscribe(await world.customer(), price)
    await world.expect(*TRIED)


async def test_who_tried_a_family_once_pays_from_the_start_the_second_time(world: World) -> None:
    small = await world.plan("Small", family="editor")
    large = await world.plan("Large", family="editor")
    customer = await world.customer()
    first = await world.subscribe(customer, await world.price("1000", plan=small, trial_days=7))
    await world.cancel(first)
    await world.told()
    # The price's own trial is left out silently; one that is asked for is refused.
    dear = await world.price("3000", plan=large, trial_days=7)
    with pytest.raises(InvalidRequest, match="has tried a plan of this family") as refused:
        await world.subscribe(customer, dear, trial_days=14)
    assert refused.value.code == "trial_used"
    await world.subscribe(customer, dear)
    await world.expect(*STARTED)
    assert paid(world) == [3000]
    # Another family is another matter.
    other = await world.plan("Other", family="viewer")
    await world.subscribe(customer, await world.price("500", plan=other, trial_days=7))
    await world.expect(*TRIED)
    await world.assert_clean()


async def test_a_merchant_may_let_them_try_again(world: World) -> None:
    await dials(world, second_trial=SecondTrial.ALLOWED.value)
    customer, price = await world.customer(), await world.price("1000", trial_days=7)
    first = await world.subscribe(customer, price)
    await world.cancel(first)
    await world.told()
    await world.subscribe(customer, price, trial_days=3)
    await world.expect(*TRIED)
    await world.advance(days=3, expect=ACTIVATED)
    assert paid(world) == [1000]
    await world.assert_clean()


async def test_a_trial_ended_by_hand_bills_at_once(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    sub = await world.subscribe(customer, price, trial_days=30)
    await world.advance(days=4, expect=TRIED)
    await end_trial(world, sub)
    await world.expect("subscription.updated", *ACTIVATED)
    assert await period(world, sub) == (at(2026, 2, 4, 9), at(2026, 3, 4, 9))
    assert paid(world) == [1000]
    await world.assert_clean()


async def test_a_trial_made_longer_bills_later(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    sub = await world.subscribe(customer, price, trial_days=7)
    await world.expect(*TRIED)
    await end_trial(world, sub, at(2026, 2, 20, 9))
    await world.expect("subscription.updated")
    await world.advance(to=at(2026, 2, 7, 9), expect=[])
    await world.advance(to=at(2026, 2, 20, 9), expect=ACTIVATED)
    assert await period(world, sub) == (at(2026, 2, 20, 9), at(2026, 3, 20, 9))
    with pytest.raises(Conflict, match="not on trial"):
        await end_trial(world, sub)
    await world.assert_clean()


async def test_a_trial_before_a_fixed_anchor_is_followed_by_a_stub(world: World) -> None:
    customer, price = await world.customer(), await world.price("2800")
    sub = await world.subscribe(customer, price, trial_days=10, billing_anchor=at(2026, 3, 1, 9))
    await world.expect(*TRIED)
    # 10 February to 1 March are 19 of the 28 days of 1 February to 1 March: 28.00 x 19/28 = 19.00.
    await world.advance(to=at(2026, 2, 10, 9), expect=ACTIVATED)
    assert await period(world, sub) == (at(2026, 2, 10, 9), at(2026, 3, 1, 9))
    await world.advance(to=at(2026, 3, 1, 9), expect=RENEWED)
    assert await period(world, sub) == (at(2026, 3, 1, 9), at(2026, 4, 1, 9))
    assert paid(world) == [1900, 2800]
    await world.assert_clean()


async def test_canceled_in_a_trial_it_costs_nothing_now_or_at_its_end(world: World) -> None:
    price = await world.price("1000", trial_days=7)
    now = await world.subscribe(await world.customer(), price)
    later = await world.subscribe(await world.customer(), price)
    await world.expect(*TRIED * 2)
    await world.cancel(now)
    await world.expect("subscription.canceled")
    await world.cancel(later, at_period_end=True)
    await world.expect("subscription.updated")
    await world.advance(days=7, expect=["subscription.canceled"])
    assert await totals(world, now) == await totals(world, later) == []
    await world.assert_clean()


async def test_a_quantity_grown_in_the_trial_is_billed_at_its_end(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    sub = await world.subscribe(customer, (price, 2), trial_days=7)
    await world.expect(*TRIED)
    await world.change(sub, ChangedItem(quantity=5))
    await world.expect("subscription.updated")
    await world.advance(days=7, expect=ACTIVATED)
    assert paid(world) == [5000]
    await world.assert_clean()


async def test_a_change_at_the_trial_s_end_is_what_the_first_period_costs(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"), trial_days=7)
    await world.expect(*TRIED)
    dear = await world.price("3000")
    await world.change(sub, ChangedItem(price_id=dear), when=When.PERIOD_END)
    await world.expect("subscription.updated")
    await world.advance(days=7, expect=ACTIVATED)
    assert paid(world) == [3000]
    # From there on it changes like any other: half of 30.00 back, half of 56.00 charged.
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(price_id=await world.price("5600")), when=When.NOW)
    await world.expect(*CHANGED)
    assert paid(world) == [3000, 1300]
    await world.assert_clean()
