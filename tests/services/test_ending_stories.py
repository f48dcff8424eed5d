"""How subscriptions end, told as stories: now, later, at a date, taken back, never begun."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.errors import Conflict, InvalidRequest
from app.domain.pricing import Timing
from tests.world import DECLINED, PAID, RENEWED, STARTED, World

CREATED_UNPAID = ("subscription.created", "invoice.finalized", *DECLINED)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


async def test_cancel_now_ends_at_once_and_gives_nothing_back(world: World) -> None:
    sub = await world.subscribed("1000")
    await world.advance(days=10, expect=[])
    await world.cancel(sub)
    await world.expect("subscription.canceled")
    row = await world.subscription(sub)
    assert (row["status"], row["ended_at"], row["next_action_at"]) == ("canceled", world.now, None)
    await world.advance(months=3, expect=[])
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


async def test_cancel_at_period_end_runs_to_the_end_of_what_is_paid(world: World) -> None:
    sub = await world.subscribed("1000")
    await world.cancel(sub, at_period_end=True)
    await world.expect("subscription.updated")
    assert await world.status(sub) == "active"
    await world.advance(to=at(2026, 2, 28, 8, 59), expect=[])
    await world.advance(to=at(2026, 2, 28, 9), expect=["subscription.canceled"])
    assert (await world.subscription(sub))["ended_at"] == at(2026, 2, 28, 9)
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


async def test_cancel_at_a_date_ends_in_the_middle_of_a_period(world: World) -> None:
    sub = await world.subscribed("1000", cancel_at=at(2026, 3, 10))
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    # Seen a day late, it has ended when it was to end.
    await world.advance(to=at(2026, 3, 11), expect=["subscription.canceled"])
    assert (await world.subscription(sub))["ended_at"] == at(2026, 3, 10)
    await world.advance(to=at(2026, 4, 30), expect=[])
    await world.assert_clean()


async def test_cancel_at_the_very_end_of_a_period_bills_no_further_one(world: World) -> None:
    sub = await world.subscribed("1000", cancel_at=at(2026, 2, 28, 9))
    await world.advance(to=at(2026, 2, 28, 9), expect=["subscription.canceled"])
    assert len(await world.invoices(sub)) == 1
    await world.assert_clean()


async def test_a_cancellation_taken_back_goes_on_as_if_nothing_had_been(world: World) -> None:
    sub = await world.subscribed("1000")
    await world.cancel(sub, at_period_end=True)
    await world.keep(sub)
    await world.expect("subscription.updated", "subscription.updated")
    await world.advance(months=1, expect=RENEWED)
    row = await world.subscription(sub)
    assert (row["cancel_at_period_end"], row["canceled_at"]) == (False, None)
    with pytest.raises(Conflict, match="No cancellation"):
        await world.keep(sub)


async def test_what_has_ended_stays_ended(world: World) -> None:
    sub = await world.subscribed("1000")
    await world.cancel(sub)
    await world.told()
    for again in (world.cancel(sub), world.cancel(sub, at_period_end=True), world.keep(sub)):
        with pytest.raises(Conflict):
            await again
    await world.expect()


async def test_arrears_are_billed_for_the_part_that_was_used(world: World) -> None:
    price = await world.price("2800", timing=Timing.ARREARS)
    sub = await world.subscribe(await world.customer(), price)
    await world.told()
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    # 28 February 9:00 to 7 March 9:00 is 7 of the 31 days to 31 March: 28.00 * 7 / 31 = 6.32
    await world.advance(to=at(2026, 3, 7, 9), expect=[])
    await world.cancel(sub)
    await world.expect("subscription.canceled", "invoice.finalized", *PAID)
    assert world.charged() == [(2800, "EUR"), (632, "EUR")]
    await world.assert_clean()


async def test_arrears_canceled_at_the_period_end_cost_the_whole_period(world: World) -> None:
    price = await world.price("2800", timing=Timing.ARREARS)
    sub = await world.subscribe(await world.customer(), price, cancel_at_period_end=True)
    await world.told()
    ended = ["subscription.canceled", "invoice.finalized", *PAID]
    await world.advance(to=at(2026, 2, 28, 9), expect=ended)
    assert world.charged() == [(2800, "EUR")]
    assert await world.status(sub) == "canceled"
    await world.assert_clean()


async def test_a_cancel_after_an_outage_first_bills_what_had_begun(world: World) -> None:
    sub = await world.subscribed("1000")
    world.clock.set(at(2026, 3, 5))  # nobody looked on 28 February
    await world.cancel(sub)
    await world.expect("subscription.renewed", "invoice.finalized", "subscription.canceled")
    await world.advance(minutes=1, expect=PAID)
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_a_cancellation_before_the_start_is_refused(world: World) -> None:
    customer, price = await world.customer(), await world.price()
    with pytest.raises(InvalidRequest, match="after the start"):
        await world.subscribe(customer, price, cancel_at=world.now)
    with pytest.raises(InvalidRequest, match="after the start"):
        start = world.now + timedelta(days=5)
        await world.subscribe(customer, price, start_at=start, cancel_at=start - timedelta(days=1))


async def test_a_subscription_that_is_not_paid_for_waits_and_expires(world: World) -> None:
    customer = await world.customer("pm_sim_declined_insufficient_funds")
    await world.credit(customer, 300)
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.expect(*CREATED_UNPAID)
    assert await world.status(sub) == "incomplete"
    await world.advance(hours=22, expect=[])
    await world.advance(hours=1, expect=["subscription.incomplete_expired", "invoice.voided"])
    invoice = await world.invoice(sub)
    assert (invoice["status"], invoice["number"]) == ("void", "INV-000001")
    # The 3.00 of credit that it had used are the customer's again, and nothing stands in the books.
    assert await world.credit_left(customer) == 300
    assert await world.balance() == {"credits_granted": 300, "customer_credit": -300}
    await world.advance(months=2, expect=[])
    await world.assert_clean()


async def test_a_late_first_payment_sets_it_going(world: World) -> None:
    customer = await world.customer("pm_sim_declined_do_not_honor")
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.expect(*CREATED_UNPAID)
    await world.advance(hours=5, expect=[])
    good = await world.attach(customer, "pm_sim_ok")
    await world.pay((await world.invoice(sub))["id"], good)
    await world.expect(*PAID, "subscription.activated")
    # Its periods are counted from the start, not from the payment.
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    await world.assert_clean()


async def test_an_unpaid_start_can_be_called_off_and_its_invoice_is_void(world: World) -> None:
    customer = await world.customer("pm_sim_declined_do_not_honor")
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.told()
    await world.cancel(sub)
    await world.expect("subscription.canceled", "invoice.voided")
    await world.advance(days=2, expect=[])
    assert await world.balance() == {}
    await world.assert_clean()


async def test_without_a_payment_method_it_waits_for_one(world: World) -> None:
    customer = await world.customer(None)
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.expect("subscription.created", "invoice.finalized")
    assert await world.status(sub) == "incomplete"
    with pytest.raises(InvalidRequest, match="no payment method"):
        await world.pay((await world.invoice(sub))["id"])
    await world.attach(customer, "pm_sim_ok")
    await world.pay((await world.invoice(sub))["id"])
    await world.expect(*PAID, "subscription.activated")
    await world.assert_clean()


async def test_a_first_payment_in_flight_keeps_the_subscription_from_expiring(
    world: World,
) -> None:
    assert world.simulator is not None
    world.simulator.set_fault("error_500_after")
    sub = await world.subscribe(await world.customer(), await world.price("1000"))
    await world.expect("subscription.created", "invoice.finalized", "payment.unknown")
    world.simulator.set_fault("error_500_before", operations=["lookup", "charge"])
    with pytest.raises(Conflict, match="in flight"):
        await world.cancel(sub)
    # 23 hours later nobody knows yet: it neither expires nor is charged again.
    await world.advance(hours=23, expect=[])
    assert await world.status(sub) == "incomplete"
    world.simulator.clear_faults()
    await world.advance(hours=6, expect=[*PAID, "subscription.activated"])
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


async def test_a_canceled_subscription_leaves_its_debt_to_be_paid(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.expect(*STARTED)
    await world.attach(customer, "pm_sim_declined_expired")
    await world.advance(
        months=1,
        expect=["subscription.renewed", "invoice.finalized", *DECLINED, "subscription.past_due"],
    )
    await world.cancel(sub)
    await world.expect("subscription.canceled")
    await world.attach(customer, "pm_sim_ok")
    await world.pay((await world.invoice(sub))["id"])
    await world.expect(*PAID)  # and the subscription stays canceled
    assert await world.status(sub) == "canceled"
    await world.assert_clean()
