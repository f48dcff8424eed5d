"""Changing a subscription, told as stories: what is credited, what is charged, and when.

Stories begin on 31 January at 9:00; the first period has 28 days, so that 14 days are half of it.
"""

from datetime import UTC, datetime

import pytest

from app.domain.calendar import Unit
from app.domain.errors import Conflict, InvalidRequest
from app.domain.policy import CancelCredit, PauseUnused, Settlement, When
from app.domain.pricing import Timing
from app.services.changes import ChangedItem
from tests.world import DECLINED, PAID, RENEWED, STARTED, World

CHANGED = ("subscription.updated", "invoice.finalized", "payment.succeeded", "invoice.paid")
ACTIVATED = ("subscription.activated", "invoice.finalized", "payment.succeeded", "invoice.paid")


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


async def test_upgrade_mid_period_credits_the_unused_and_charges_the_rest(world: World) -> None:
    sub = await world.subscribed("2800")
    dear = await world.price("5600")
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW)
    await world.expect(*CHANGED)
    # Half of 28.00 comes back and half of 56.00 is charged: 28.00 - 14.00 = 14.00.
    invoice = await world.invoice(sub)
    assert await world.amounts(invoice["id"]) == [(-1400, 0, 0), (2800, 0, 0)]
    assert (invoice["total"], invoice["billing_reason"]) == (1400, "subscription_update")
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [2800, 1400, 5600]
    await world.assert_clean()


async def test_a_downgrade_waits_for_the_end_of_the_period(world: World) -> None:
    good, better = await world.plan("Good", rank=1), await world.plan("Better", rank=2)
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("5000", plan=better))
    await world.expect(*STARTED)
    await world.advance(days=10, expect=[])
    await world.change(sub, ChangedItem(price_id=await world.price("2000", plan=good)))
    await world.expect("subscription.updated")
    assert (await world.items(sub))[0]["quantity"] == 1
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    # Nothing is credited: the better plan was used to the end of what was paid.
    assert [amount for amount, _ in world.charged()] == [5000, 2000]
    await world.assert_clean()


async def test_an_upgrade_by_rank_is_billed_at_once_even_where_it_costs_less(world: World) -> None:
    good, better = await world.plan("Good", rank=1), await world.plan("Better", rank=2)
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("2800", plan=good))
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(price_id=await world.price("1400", plan=better)))
    await world.expect("subscription.updated", "invoice.finalized", "invoice.paid")
    # -14.00 + 7.00: the 7.00 too much become credit, which pays of the next invoice.
    invoice = await world.invoice(sub)
    assert (invoice["total"], invoice["balance_applied"], invoice["amount_due"]) == (-700, -700, 0)
    assert await world.credit_left(customer) == 700
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [2800, 700]
    assert await world.credit_left(customer) == 0
    await world.assert_clean()


async def test_a_quantity_that_grows_and_shrinks_again_costs_nothing(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    sub = await world.subscribe(customer, (price, 3))
    await world.expect(*STARTED)
    await world.advance(days=7, expect=[])
    await world.change(sub, ChangedItem(quantity=5))
    await world.expect(*CHANGED)
    await world.change(sub, ChangedItem(quantity=3))
    await world.expect("subscription.updated", "invoice.finalized", "invoice.paid")
    # 21 of 28 days: -22.50 + 37.50 = 15.00, then -37.50 + 22.50 = -15.00.
    assert [i["total"] for i in await world.invoices(sub)] == [3000, 1500, -1500]
    assert await world.credit_left(customer) == 1500
    await world.assert_clean()


async def test_three_changes_in_a_period_never_lose_a_cent(world: World) -> None:
    sub = await world.subscribed("1000")
    for amount in ("1700", "2300", "3100"):
        await world.advance(days=7, expect=[])
        price = await world.price(amount)
        await world.change(sub, ChangedItem(price_id=price), when=When.NOW)
        await world.expect(*CHANGED)
    # A quarter of each price is used: 2.50 + 4.25 + 5.75 + 7.75 = 20.25.
    assert sum(i["total"] for i in await world.invoices(sub)) == 250 + 425 + 575 + 775
    await world.assert_clean()


async def test_credit_is_of_what_was_charged_after_discount_and_with_its_tax(world: World) -> None:
    customer, price = await world.customer(), await world.price("2000")
    coupon = await world.coupon(percent_off="25", duration="forever")
    vat = await world.tax_rate("20")
    sub = await world.subscribe(customer, price, coupon_ids=[coupon], tax_rate_ids=[vat])
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(price_id=await world.price("4000")), when=When.NOW)
    await world.expect(*CHANGED)
    # Charged: 20.00 - 5.00 + 3.00. Back: half of each. New: 20.00 - 5.00 + 3.00 for the half.
    invoice = await world.invoice(sub)
    assert await world.amounts(invoice["id"]) == [(-1000, -250, -150), (2000, 500, 300)]
    assert invoice["total"] == (2000 - 500 + 300) - (1000 - 250 + 150)
    await world.assert_clean()


async def test_a_change_at_the_very_instant_of_renewal_bills_the_new_period_once(
    world: World,
) -> None:
    sub = await world.subscribed("1000")
    dear = await world.price("3000")
    world.clock.set(at(2026, 2, 28, 9))
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW)
    await world.tick()
    # The period that begins is billed at the old price, taken back whole, and charged at the new.
    totals = [i["total"] for i in await world.invoices(sub)]
    assert totals == [1000, 1000, 2000]
    await world.told()
    await world.assert_clean()


async def test_a_change_may_wait_for_the_next_invoice(world: World) -> None:
    sub = await world.subscribed("2800")
    dear = await world.price("5600")
    await world.advance(days=14, expect=[])
    await world.change(
        sub, ChangedItem(price_id=dear), when=When.NOW, settlement=Settlement.NEXT_INVOICE
    )
    await world.expect("subscription.updated")
    assert len(await world.invoices(sub)) == 1
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    invoice = await world.invoice(sub)
    assert await world.amounts(invoice["id"]) == [(-1400, 0, 0), (2800, 0, 0), (5600, 0, 0)]
    await world.assert_clean()


async def test_two_waiting_changes_leave_only_what_was_used(world: World) -> None:
    sub = await world.subscribed("2800")
    options = {"when": When.NOW, "settlement": Settlement.NEXT_INVOICE}
    await world.advance(days=7, expect=[])
    await world.change(sub, ChangedItem(price_id=await world.price("5600")), **options)
    await world.advance(days=7, expect=["subscription.updated"])
    await world.change(sub, ChangedItem(price_id=await world.price("8400")), **options)
    await world.expect("subscription.updated")
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    # Three quarters of 28.00 back; a quarter of 56.00 was used; half of 84.00; the next period.
    invoice = await world.invoice(sub)
    amounts = sorted(line[0] for line in await world.amounts(invoice["id"]))
    assert amounts == [-2100, 1400, 4200, 8400]
    await world.assert_clean()


async def test_without_settlement_only_the_next_period_costs_more(world: World) -> None:
    sub = await world.subscribed("1000")
    dear = await world.price("3000")
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW, settlement=Settlement.NONE)
    await world.expect("subscription.updated")
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [1000, 3000]
    await world.assert_clean()


async def test_from_monthly_to_yearly_begins_a_year_now(world: World) -> None:
    sub = await world.subscribed("2800")
    yearly = await world.price("30000", unit=Unit.YEAR)
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(price_id=yearly))
    await world.expect(*CHANGED)
    invoice = await world.invoice(sub)
    assert await world.amounts(invoice["id"]) == [(-1400, 0, 0), (30000, 0, 0)]
    row = await world.subscription(sub)
    assert (row["anchor"], row["period_end"]) == (at(2026, 2, 14, 9), at(2027, 2, 14, 9))
    await world.advance(to=at(2027, 2, 14, 9), expect=RENEWED)
    await world.assert_clean()


async def test_a_reset_without_credit_starts_anew_at_the_full_price(world: World) -> None:
    sub = await world.subscribed("1000")
    dear = await world.price("3000")
    await world.advance(days=14, expect=[])
    settlement = Settlement.RESET_WITHOUT_CREDIT
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW, settlement=settlement)
    await world.expect(*CHANGED)
    assert [amount for amount, _ in world.charged()] == [1000, 3000]
    assert (await world.subscription(sub))["period_end"] == at(2026, 3, 14, 9)
    await world.assert_clean()


async def test_an_item_is_added_and_taken_away_inside_a_period(world: World) -> None:
    sub = await world.subscribed("1000")
    addon = await world.price("2800", setup_fee=500)
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(price_id=addon), adds=True)
    await world.expect(*CHANGED)
    # The set-up fee whole, and half of 28.00.
    assert sorted(await world.amounts((await world.invoice(sub))["id"])) == [
        (500, 0, 0),
        (1400, 0, 0),
    ]
    added = (await world.items(sub))[1]["id"]
    await world.advance(days=7, expect=[])
    await world.change(sub, ChangedItem(id=added, is_removed=True), when=When.NOW)
    await world.expect("subscription.updated", "invoice.finalized", "invoice.paid")
    assert (await world.invoice(sub))["total"] == -700
    assert len(await world.items(sub)) == 1
    await world.assert_clean()


async def test_what_was_used_in_arrears_is_billed_when_it_changes(world: World) -> None:
    slow = await world.price("2800", timing=Timing.ARREARS)
    sub = await world.subscribe(await world.customer(), slow)
    await world.expect("subscription.created")
    dear = await world.price("5600", timing=Timing.ARREARS)
    await world.advance(days=7, expect=[])
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW)
    await world.expect(*CHANGED)
    assert (await world.invoice(sub))["total"] == 700
    # At the boundary the other three quarters of the dearer one.
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert (await world.invoice(sub))["total"] == 4200
    await world.advance(to=at(2026, 3, 31, 9), expect=RENEWED)
    assert (await world.invoice(sub))["total"] == 5600
    await world.assert_clean()


async def test_a_trial_changes_without_a_bill(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    sub = await world.subscribe(customer, price, trial_days=14)
    await world.expect("subscription.created")
    await world.change(sub, ChangedItem(price_id=await world.price("3000")), when=When.NOW)
    await world.expect("subscription.updated")
    await world.advance(days=14, expect=ACTIVATED)
    assert [amount for amount, _ in world.charged()] == [3000]
    await world.assert_clean()


async def test_an_upgrade_that_is_declined_leaves_the_subscription_past_due(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.expect(*STARTED)
    await world.attach(customer, "pm_sim_declined")
    await world.advance(days=14, expect=[])
    await world.change(sub, ChangedItem(price_id=await world.price("3000")), when=When.NOW)
    await world.expect(
        "subscription.updated", "invoice.finalized", *DECLINED, "subscription.past_due"
    )
    assert await world.status(sub) == "past_due"
    await world.assert_clean()


async def test_canceled_now_with_a_prorated_credit(world: World) -> None:
    customer, price = await world.customer(), await world.price("2800")
    sub = await world.subscribe(customer, price)
    await world.expect(*STARTED)
    await world.advance(days=21, expect=[])
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    await world.expect("subscription.canceled", "invoice.finalized", "invoice.paid")
    assert await world.credit_left(customer) == 700
    await world.assert_clean()


async def test_canceled_at_once_with_credit_everything_comes_back(world: World) -> None:
    customer, price = await world.customer(), await world.price("999")
    sub = await world.subscribe(customer, price, tax_rate_ids=[await world.tax_rate("19")])
    await world.expect(*STARTED)
    await world.cancel(sub, credit=CancelCredit.PRORATED)
    await world.told()
    # 9.99 and 1.90 tax.
    assert await world.credit_left(customer) == 999 + 190
    await world.assert_clean()


async def test_paused_with_its_paid_time_running_on_and_resumed_inside_it(world: World) -> None:
    sub = await world.subscribed("1000")
    await world.advance(days=7, expect=[])
    await world.pause(sub)
    await world.expect("subscription.paused")
    await world.advance(days=7, expect=[])
    await world.resume(sub)
    await world.expect("subscription.resumed")
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    assert [amount for amount, _ in world.charged()] == [1000, 1000]
    await world.assert_clean()


async def test_paused_past_its_period_it_begins_anew_when_resumed(world: World) -> None:
    sub = await world.subscribed("1000")
    await world.pause(sub, resumes_at=at(2026, 5, 10, 12))
    await world.expect("subscription.paused")
    await world.advance(to=at(2026, 5, 10, 11), expect=[])
    resumed = ("subscription.resumed", "invoice.finalized", "payment.succeeded", "invoice.paid")
    await world.advance(to=at(2026, 5, 10, 12), expect=resumed)
    row = await world.subscription(sub)
    assert (row["anchor"], row["period_end"]) == (at(2026, 5, 10, 12), at(2026, 6, 10, 12))
    await world.assert_clean()


async def test_a_pause_may_give_the_unused_part_back(world: World) -> None:
    customer, price = await world.customer(), await world.price("2800")
    sub = await world.subscribe(customer, price)
    await world.expect(*STARTED)
    await world.advance(days=14, expect=[])
    await world.pause(sub, unused=PauseUnused.CREDIT)
    await world.expect("subscription.paused", "invoice.finalized", "invoice.paid")
    assert await world.credit_left(customer) == 1400
    await world.advance(days=3, expect=[])
    await world.resume(sub)
    # A full period at 28.00, of which the credit pays half.
    await world.expect(
        "subscription.resumed", "invoice.finalized", "payment.succeeded", "invoice.paid"
    )
    assert [amount for amount, _ in world.charged()] == [2800, 1400]
    await world.assert_clean()


async def test_a_fixed_anchor_makes_a_prorated_first_period(world: World) -> None:
    customer, price = await world.customer(), await world.price("2800")
    sub = await world.subscribe(customer, price, billing_anchor=at(2026, 2, 15, 9))
    await world.expect(*STARTED)
    # 31 January to 15 February: 15 of the 31 days from 15 January, 28.00 x 15 / 31 = 13.548.
    assert [amount for amount, _ in world.charged()] == [1355]
    await world.advance(to=at(2026, 2, 15, 9), expect=RENEWED)
    row = await world.subscription(sub)
    assert (row["period_start"], row["period_end"]) == (at(2026, 2, 15, 9), at(2026, 3, 15, 9))
    assert [amount for amount, _ in world.charged()] == [1355, 2800]
    await world.assert_clean()


async def test_it_ends_after_three_periods(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    await world.subscribe(customer, price, cycles=3)
    await world.expect(*STARTED)
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    await world.advance(to=at(2026, 3, 31, 9), expect=RENEWED)
    await world.advance(to=at(2026, 4, 30, 9), expect=["subscription.canceled"])
    assert len(world.charged()) == 3
    await world.assert_clean()


async def test_a_change_the_price_forbids_is_refused(world: World) -> None:
    sub = await world.subscribed("1000")
    dollars = await world.price("1000", "USD")
    with pytest.raises(InvalidRequest, match="EUR"):
        await world.change(sub, ChangedItem(price_id=dollars), when=When.NOW)
    with pytest.raises(InvalidRequest, match="at least one item"):
        await world.change(sub, ChangedItem(is_removed=True), when=When.NOW)
    await world.cancel(sub)
    with pytest.raises(Conflict, match="canceled"):
        await world.change(sub, ChangedItem(quantity=2))


async def test_a_credit_does_not_hide_what_is_still_owed(world: World) -> None:
    customer, price = await world.customer(), await world.price("2800")
    sub = await world.subscribe(customer, price)
    await world.expect(*STARTED)
    await world.attach(customer, "pm_sim_declined")
    await world.advance(
        to=at(2026, 2, 28, 9),
        expect=["subscription.renewed", "invoice.finalized", *DECLINED, "subscription.past_due"],
    )
    unpaid = await world.invoice(sub)
    cheap = await world.price("1400")
    await world.change(sub, ChangedItem(price_id=cheap), when=When.NOW)
    await world.told()
    # The change gave something back, and was paid with that; the period itself is still owed.
    assert await world.status(sub) == "past_due"
    await world.pay(unpaid["id"], await world.attach(customer, "pm_sim_ok"))
    await world.expect(*PAID, "subscription.activated")
    assert await world.status(sub) == "active"
    await world.assert_clean()
