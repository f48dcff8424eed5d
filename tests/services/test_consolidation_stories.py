"""One invoice for a customer's subscriptions that are billed at the same instant, told as stories.

Two subscriptions of 10.00 and 3.33 a month, both from 31 January at 9:00, unless a story says else.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.calendar import Unit
from app.domain.discount import Duration
from app.domain.policy import CancelCredit, TrialEnd
from app.services import explanations, invoices, previews, renewals, simulations
from app.services.changes import ChangedItem
from app.services.previews import PreviewInvoices
from app.services.simulations import Simulate
from tests.terms import dials, paid
from tests.world import PAID, World

TOGETHER = ("subscription.renewed", "subscription.renewed", "invoice.finalized", *PAID)
BOUNDARY = datetime(2026, 2, 28, 9, tzinfo=UTC)


async def two(
    world: World, token: str | None = "pm_sim_ok", **options: Any
) -> tuple[UUID, UUID, UUID]:
    """A customer with two subscriptions that are paid; their events are accounted for."""
    await dials(world, invoice_consolidation="customer")
    customer = await world.customer(token)
    first = await world.subscribe(customer, await world.price("1000"), **options)
    second = await world.subscribe(customer, await world.price("333"), **options)
    await world.told()
    return customer, first, second


async def shared(world: World) -> list[Any]:
    """The invoices that are for several subscriptions, in order."""
    return await world.fetch(
        "SELECT * FROM invoices i WHERE EXISTS (SELECT FROM invoice_subscriptions m"
        " WHERE m.invoice_id = i.id) ORDER BY series_number"
    )


async def test_what_renews_at_one_instant_is_one_invoice_one_payment_one_number(
    world: World,
) -> None:
    _, first, second = await two(world)
    await world.advance(to=BOUNDARY, expect=TOGETHER)
    [bill] = await shared(world)
    assert (bill["subscription_id"], bill["cycle_start"]) == (None, None)
    assert (bill["number"], bill["total"], bill["status"]) == ("INV-000003", 1333, "paid")
    lines = await world.lines(bill["id"])
    assert [(line["amount"], line["subscription_id"]) for line in lines] == [
        (1000, first),
        (333, second),
    ]
    assert paid(world) == [1000, 333, 1333]
    for sub in (first, second):
        row = await world.subscription(sub)
        assert (row["period_start"], row["latest_invoice_id"]) == (BOUNDARY, bill["id"])
    await world.assert_clean()


async def test_without_the_setting_each_has_its_own(world: World) -> None:
    customer = await world.customer()
    for amount in ("1000", "333"):
        await world.subscribe(customer, await world.price(amount))
    await world.told()
    await world.advance(
        to=BOUNDARY, expect=("subscription.renewed", "invoice.finalized", *PAID) * 2
    )
    assert not await shared(world)
    assert sorted(paid(world)) == [333, 333, 1000, 1000]  # two at once, in whichever order


async def test_a_subscription_may_stay_out_of_it(world: World) -> None:
    customer, _, _ = await two(world)
    alone = await world.subscribe(
        customer, await world.price("700"), billing_settings={"invoice_consolidation": "off"}
    )
    await world.told()
    await world.advance(
        to=BOUNDARY, expect=(*TOGETHER, "subscription.renewed", "invoice.finalized", *PAID)
    )
    assert [bill["total"] for bill in await shared(world)] == [1333]
    assert (await world.invoice(alone))["total"] == 700
    await world.assert_clean()


@pytest.mark.parametrize("differing", ["currency", "method", "send_invoice", "customer"])
async def test_only_what_is_collected_alike_is_put_together(world: World, differing: str) -> None:
    customer, _, _ = await two(world)
    options: dict[str, Any] = {}
    price = await world.price("700", "USD" if differing == "currency" else "EUR")
    if differing == "method":
        options["payment_method_id"] = await world.attach(customer, "pm_sim_ok", default=False)
    if differing == "send_invoice":
        options |= {"collection": "send_invoice", "net_days": 14}
    if differing == "customer":
        customer = await world.customer()
    other = await world.subscribe(customer, price, **options)
    await world.told()
    world.clock.set(BOUNDARY)
    await world.tick()
    assert [bill["total"] for bill in await shared(world)] == [1333]
    assert [bill["total"] for bill in await world.invoices(other)] == [700, 700]
    await world.assert_clean()


async def test_tax_is_rounded_once_over_all_of_it(world: World) -> None:
    # 19 % of 10.05 is 1.9095 and of 3.35 is 0.6365: rounded apart 1.91 + 0.64 = 2.55, but 19 % of
    # 13.40 is 2.546, so 2.55; with 7 %: 0.7035 + 0.2345 apart 0.70 + 0.23 = 0.93, together 0.94.
    await dials(world, invoice_consolidation="customer")
    customer, rate = await world.customer(), await world.tax_rate("7")
    for amount in ("1005", "335"):
        await world.subscribe(customer, await world.price(amount), tax_rate_ids=[rate])
    await world.told()
    await world.advance(to=BOUNDARY, expect=TOGETHER)
    [bill] = await shared(world)
    assert (bill["subtotal"], bill["tax_total"], bill["total"]) == (1340, 94, 1434)
    # 70.35 and 23.45: the odd cent goes to the larger remainder, .45 against .35.
    assert [line["tax_amount"] for line in await world.lines(bill["id"])] == [70, 24]
    for line in await world.lines(bill["id"]):
        found = await explanations.of_line(world.rt, world.caller, bill["id"], line["id"])
        assert not found.explanation.differences
    await world.assert_clean()


async def test_each_keeps_its_own_discounts_and_a_shared_one_is_on_both(world: World) -> None:
    await dials(world, invoice_consolidation="customer")
    customer = await world.customer()
    own = await world.coupon(percent_off="50", duration=Duration.FOREVER)
    first = await world.subscribe(customer, await world.price("1000"), coupon_ids=[own])
    await world.subscribe(customer, await world.price("333"))
    await world.told()
    await world.advance(to=BOUNDARY, expect=TOGETHER)
    [bill] = await shared(world)
    # Half of 10.00 and nothing of 3.33.
    assert [row[:2] for row in await world.amounts(bill["id"])] == [(1000, 500), (333, 0)]
    assert bill["total"] == 833
    for line in await world.lines(bill["id"]):
        found = await explanations.of_line(world.rt, world.caller, bill["id"], line["id"])
        assert not found.explanation.differences
    assert first
    await world.assert_clean()


async def test_credit_pays_of_it_once(world: World) -> None:
    customer, _, _ = await two(world)
    await world.credit(customer, 1100)
    await world.advance(to=BOUNDARY, expect=TOGETHER)
    [bill] = await shared(world)
    assert (bill["total"], bill["balance_applied"], bill["amount_due"]) == (1333, 1100, 233)
    assert await world.credit_left(customer) == 0
    assert paid(world)[2:] == [233]
    await world.assert_clean()


async def test_credit_that_pays_all_of_it_leaves_nothing_to_collect(world: World) -> None:
    customer, _, _ = await two(world)
    await world.credit(customer, 5000)
    renewed = ("subscription.renewed", "subscription.renewed", "invoice.finalized", "invoice.paid")
    await world.advance(to=BOUNDARY, expect=renewed)
    assert await world.credit_left(customer) == 5000 - 1333
    await world.assert_clean()


async def test_declined_both_are_behind_and_paid_both_run_again(world: World) -> None:
    customer, first, second = await two(world)
    await world.attach(customer, "pm_sim_declined_do_not_honor")
    world.clock.set(BOUNDARY)
    await world.tick()
    assert {await world.status(first), await world.status(second)} == {"past_due"}
    [bill] = await shared(world)
    good = await world.attach(customer, "pm_sim_ok")
    await world.told()
    await world.pay(bill["id"], good)
    await world.expect(*PAID, "subscription.activated", "subscription.activated")
    assert {await world.status(first), await world.status(second)} == {"active"}
    assert paid(world)[2:] == [1333]
    await world.assert_clean()


async def test_paid_outside_both_run_again(world: World) -> None:
    customer, first, second = await two(world)
    await world.attach(customer, "pm_sim_declined_do_not_honor")
    world.clock.set(BOUNDARY)
    await world.tick()
    await world.told()
    [bill] = await shared(world)
    await world.pay_outside(bill["id"])
    await world.expect(
        "payment.succeeded", "invoice.paid", "subscription.activated", "subscription.activated"
    )
    assert {await world.status(first), await world.status(second)} == {"active"}
    await world.assert_clean()


async def test_with_nothing_to_pay_with_both_are_behind_at_once(world: World) -> None:
    await dials(world, invoice_consolidation="customer")
    customer = await world.customer(None)
    unpaid = {"trial_end_without_payment_method": TrialEnd.CREATE_INVOICE}
    first = await world.subscribe(customer, await world.price("0", trial_days=28), **unpaid)
    second = await world.subscribe(customer, await world.price("333", trial_days=28), **unpaid)
    world.clock.set(BOUNDARY)
    await world.tick()
    await world.told()
    # In March both renew: the free one would be paid by itself, together they are not.
    await world.advance(
        to=datetime(2026, 3, 28, 9, tzinfo=UTC),
        expect=[
            *("subscription.renewed", "subscription.renewed"),
            *("invoice.finalized", "subscription.past_due"),
        ],
    )
    assert (await world.status(first), await world.status(second)) == ("past_due", "past_due")


async def test_a_change_gives_back_of_the_line_of_its_own_subscription(world: World) -> None:
    _, first, _ = await two(world)
    await world.advance(to=BOUNDARY, expect=TOGETHER)
    # Half of the 31 days from 28 February to 31 March: 5.00 back, 10.00 of 20.00 charged.
    world.clock.set(BOUNDARY + timedelta(days=15, hours=12))
    dearer = await world.price("2000")
    await world.change(first, ChangedItem(price_id=dearer))
    bill = await world.invoice(first)
    assert [amount for amount, _, _ in await world.amounts(bill["id"])] == [-500, 1000]
    await world.assert_clean()


async def test_canceled_with_credit_its_own_part_comes_back(world: World) -> None:
    customer, first, _ = await two(world)
    await world.advance(to=BOUNDARY, expect=TOGETHER)
    await world.cancel(first, credit=CancelCredit.FULL)
    assert await world.credit_left(customer) == 1000
    await world.assert_clean()


async def test_voided_and_owed_again_each_line_waits_for_its_own_subscription(
    world: World,
) -> None:
    customer, first, second = await two(world)
    await world.attach(customer, "pm_sim_declined_do_not_honor")
    world.clock.set(BOUNDARY)
    await world.tick()
    [bill] = await shared(world)
    await invoices.void(world.rt, world.caller, bill["id"], rebill=True)
    waiting = await world.fetch(
        "SELECT subscription_id, amount FROM pending_items WHERE invoice_id IS NULL ORDER BY amount"
    )
    assert [tuple(row) for row in waiting] == [(second, 333), (first, 1000)]
    await world.assert_clean()


async def test_renewals_at_other_instants_stay_apart_and_meet_again(world: World) -> None:
    customer, _, _ = await two(world)
    weekly = await world.subscribe(customer, await world.price("100", unit=Unit.WEEK))
    await world.told()
    # 28 days: the fourth week ends where the month does, and the three become one invoice.
    world.clock.set(BOUNDARY)
    await world.tick()
    assert [bill["total"] for bill in await shared(world)] == [1433]
    assert [bill["total"] for bill in await world.invoices(weekly)] == [100] * 4
    await world.assert_clean()


async def test_after_an_outage_every_boundary_has_its_one_invoice(world: World) -> None:
    await two(world)
    world.clock.set(
        datetime(2026, 5, 1, tzinfo=UTC)
    )  # three boundaries: 28 February, 31 March, 30 April
    await asyncio.gather(*(renewals.renew_due(world.rt) for _ in range(3)))
    await world.tick()
    assert [bill["total"] for bill in await shared(world)] == [1333] * 3
    assert paid(world) == [1000, 333, 1333, 1333, 1333]
    await world.assert_clean()


async def test_a_call_that_comes_before_the_clock_bills_all_of_it(world: World) -> None:
    _, first, second = await two(world)
    world.clock.set(BOUNDARY + timedelta(minutes=1))
    await world.cancel(first, at_period_end=True)
    [bill] = await shared(world)
    assert bill["total"] == 1333
    assert (await world.subscription(second))["latest_invoice_id"] == bill["id"]
    await world.tick()
    assert paid(world) == [1000, 333, 1333]
    await world.assert_clean()


async def test_many_hands_at_one_instant_bill_every_period_once(world: World) -> None:
    _, first, second = await two(world)
    world.clock.set(BOUNDARY + timedelta(minutes=1))
    await asyncio.gather(
        *(renewals.renew_due(world.rt) for _ in range(3)),
        world.cancel(first, at_period_end=True),
        world.cancel(second, at_period_end=True),
        return_exceptions=True,
    )
    await world.tick()
    assert sum(paid(world)[2:]) == 1333
    await world.assert_clean()


async def test_one_that_cannot_be_billed_does_not_hold_up_the_others(
    world: World, administrator: Any
) -> None:
    _, first, second = await two(world)
    await administrator.execute(
        "UPDATE subscriptions SET zone = 'Nowhere/Nothing' WHERE id = $1", first
    )
    world.clock.set(BOUNDARY)
    await world.tick()
    assert (await world.subscription(first))["parked_at"] is not None
    assert (await world.invoice(second))["total"] == 333


async def test_the_preview_and_the_simulation_are_what_comes(world: World) -> None:
    customer, first, _ = await two(world)
    seen = await previews.invoices(world.rt, world.caller, PreviewInvoices(subscription_id=first))
    played = await simulations.run(world.rt, world.caller, Simulate(None, customer, None, 2, ()))
    await world.advance(to=BOUNDARY, expect=TOGETHER)
    [bill] = await shared(world)
    following = seen.preview.next
    assert following is not None
    assert (following.total, len(following.lines)) == (bill["total"], 2)
    assert [invoice.total for invoice in played.invoices] == [1333, 1333]


async def test_a_test_clock_puts_together_what_lives_on_it(world: World) -> None:
    await dials(world, invoice_consolidation="customer")
    clock = await world.test_clock()
    customer = await world.customer(test_clock_id=clock)
    for amount in ("1000", "333"):
        await world.subscribe(customer, await world.price(amount))
    await world.turn(clock, datetime(2026, 4, 1, tzinfo=UTC))
    assert [bill["total"] for bill in await shared(world)] == [1333, 1333]
    await world.assert_clean()
