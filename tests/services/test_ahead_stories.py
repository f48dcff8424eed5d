"""Renewals whose debits must be announced two days before, told as stories.

28.00 a month from 31 January at 9:00, unless a story says else: the period from 28 February is
billed on 26 February at 7:00 (two days and a margin of two hours before), its debit is announced
and made on 28 February at 9:00, and that is when the period begins.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.discount import Duration
from app.domain.policy import When
from app.domain.pricing import Timing
from app.services import (
    billing_ahead,
    changes,
    gateway_accounts,
    payment_methods,
    renewals,
    simulations,
)
from app.services.changes import ChangedItem
from app.services.gateway_accounts import CreateGatewayAccount
from app.services.payment_methods import AttachPaymentMethod
from app.services.simulations import Simulate
from tests.ahead import BEGUN, BILLED, EARLY, LEAD, announce, announced, go_to, standing
from tests.previews import preview
from tests.simulator import SimulatorProcess
from tests.terms import dials, period, totals
from tests.world import RENEWED, START, World

BOUNDARY = datetime(2026, 2, 28, 9, tzinfo=UTC)
NEXT = datetime(2026, 3, 31, 9, tzinfo=UTC)
DUE = BOUNDARY - EARLY
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
VOIDED = ("invoice.voided",)
CREDITED = ("credit_note.created",)


@pytest.fixture(autouse=True)
async def time_of_the_gateway(world: World, simulator: SimulatorProcess) -> AsyncIterator[None]:
    yield
    simulator.request("DELETE", "/v1/clock")


async def left(world: World, sub: UUID) -> int:
    """The credit of the subscription's customer."""
    return await world.credit_left((await world.subscription(sub))["customer_id"])


async def test_a_renewal_is_billed_and_announced_before_it_begins_and_paid_as_it_begins(
    world: World,
) -> None:
    sub = await announced(world, "2800")
    before = await world.subscription(sub)
    await go_to(world, DUE - timedelta(minutes=1))
    await go_to(world, DUE, *BILLED)
    after = await world.subscription(sub)
    moved = ("status", "period_start", "period_end", "period_index", "latest_invoice_id")
    assert [after[name] for name in moved] == [before[name] for name in moved]
    bill = await world.invoice(sub)
    assert (bill["period_start"], bill["period_end"]) == (BOUNDARY, NEXT)
    assert (bill["cycle_start"], bill["due_at"]) == (BOUNDARY, BOUNDARY)
    assert standing(world) == [(2800, "succeeded"), (2800, "pending")]
    assert (await world.balance())["deferred_revenue"] == -5600
    await world.assert_clean()

    await go_to(world, BOUNDARY - HOUR)
    assert standing(world)[-1] == (2800, "pending")
    await go_to(world, BOUNDARY, *BEGUN)
    assert await period(world, sub) == (BOUNDARY, NEXT)
    assert (await world.subscription(sub))["latest_invoice_id"] == bill["id"]
    assert await totals(world, sub) == [2800, 2800]
    await go_to(world, NEXT - EARLY, *BILLED)
    await go_to(world, NEXT, *BEGUN)
    assert world.charged() == [(2800, "EUR")] * 3
    await world.assert_clean()


async def test_whatever_is_not_announced_is_billed_as_it_begins(world: World) -> None:
    await world.subscribed("2800")
    await go_to(world, DUE)
    await go_to(world, BOUNDARY, *RENEWED)
    await world.assert_clean()


async def test_what_was_to_end_is_not_billed_ahead(world: World) -> None:
    sub = await announced(world, "2800")
    await world.cancel(sub, at_period_end=True)
    await world.told()
    await go_to(world, DUE)
    await go_to(world, BOUNDARY, "subscription.canceled")
    assert await totals(world, sub) == [2800]
    await world.assert_clean()


async def test_who_cancels_after_the_notice_is_debited_and_has_the_money_as_credit(
    world: World,
) -> None:
    sub = await announced(world, "2800")
    await go_to(world, DUE, *BILLED)
    await world.cancel(sub, at_period_end=True)
    await world.told()
    await go_to(world, BOUNDARY, "subscription.canceled", "payment.succeeded", "invoice.paid")
    await go_to(world, BOUNDARY + HOUR, *CREDITED)
    assert await left(world, sub) == 2800
    await world.assert_clean()


async def test_who_cancels_at_once_after_the_notice_gets_the_money_back_where_that_is_the_policy(
    world: World,
) -> None:
    await dials(world, cancel_credit_to="refund")
    sub = await announced(world, "2800")
    await go_to(world, DUE, *BILLED)
    await world.cancel(sub)
    await world.expect("subscription.canceled")
    await go_to(world, BOUNDARY, "payment.succeeded", "invoice.paid")
    await go_to(world, BOUNDARY + HOUR, *CREDITED, "refund.succeeded")
    assert world.refunded() == [2800]
    assert await left(world, sub) == 0
    await world.assert_clean()


async def test_of_a_debit_that_fails_after_the_cancellation_nothing_is_owed(world: World) -> None:
    sub = await announced(world, "2800")
    await world.attach(await customer_of(world, sub), "pm_sim_declined_insufficient_funds")
    await go_to(world, DUE, *BILLED)
    await world.cancel(sub)
    await world.told()
    await go_to(world, BOUNDARY, "payment.failed", "invoice.payment_failed")
    await go_to(world, BOUNDARY + HOUR, *VOIDED)
    assert [i["status"] for i in await world.invoices(sub)] == ["paid", "void"]
    assert world.charged() == [(2800, "EUR")]
    await world.assert_clean()


async def test_one_bill_that_cannot_be_taken_back_holds_up_nobody(
    world: World, administrator: Any
) -> None:
    odd, other = await world.subscribed("2800"), await world.subscribed("700")
    await announce(world)
    await go_to(world, DUE, *BILLED * 2)
    for sub in (odd, other):
        await world.cancel(sub)
    await world.told()
    poison = """{"cancel_credit_to": "nowhere"}"""
    await administrator.execute(
        "UPDATE subscriptions SET billing_settings = $2::json WHERE id = $1", odd, poison
    )
    await go_to(world, BOUNDARY, *("payment.succeeded", "invoice.paid") * 2)
    await world.advance_quietly(hours=1)
    assert (await left(world, odd), await left(world, other)) == (0, 700)
    await administrator.execute(
        "UPDATE subscriptions SET billing_settings = $2::json WHERE id = $1", odd, "{}"
    )
    await world.advance_quietly(hours=1)
    assert await left(world, odd) == 2800
    await world.assert_clean()


async def test_what_was_not_sent_yet_is_void(world: World) -> None:
    """Billed, but not yet sent to the gateway, when the subscription ends."""
    sub = await announced(world, "2800")
    world.clock.set(DUE)
    await renewals.renew_due(world.rt)
    await world.expect("invoice.finalized")
    await world.cancel(sub)
    # Nobody waits: the same call that ends it finds the payment due, and sends it.
    assert standing(world) == [(2800, "succeeded")]
    await renewals.renew_due(world.rt)
    assert [i["status"] for i in await world.invoices(sub)] == ["paid", "void"]
    await world.advance_quietly(days=10)
    assert standing(world) == [(2800, "succeeded")]
    await world.assert_clean()


async def customer_of(world: World, sub: UUID) -> UUID:
    found: UUID = (await world.subscription(sub))["customer_id"]
    return found


async def test_an_upgrade_after_the_notice_pays_the_difference_as_the_period_begins(
    world: World,
) -> None:
    sub = await announced(world, "2800")
    await go_to(world, DUE, *BILLED)
    change = ChangedItem(price_id=await world.price("5600"))
    await world.change(sub, change, when=When.PERIOD_END)
    await world.told()
    await announce(world, timedelta(0))
    # -28.00 for what was billed ahead, 56.00 for what is: 28.00 more.
    await go_to(world, BOUNDARY, *BEGUN, "invoice.finalized", "payment.succeeded", "invoice.paid")
    bill = await world.invoice(sub)
    assert [line for line, *_ in await world.amounts(bill["id"])] == [-2800, 5600]
    assert (bill["cycle_start"], bill["period_start"]) == (None, BOUNDARY)
    assert world.charged() == [(2800, "EUR")] * 3
    await world.assert_clean()


async def test_a_downgrade_after_the_notice_leaves_the_difference_as_credit(world: World) -> None:
    sub = await announced(world, "2800")
    await go_to(world, DUE, *BILLED)
    change = ChangedItem(price_id=await world.price("1000"))
    await world.change(sub, change, when=When.PERIOD_END)
    await world.told()
    await go_to(world, BOUNDARY, *BEGUN, "invoice.finalized", "invoice.paid")
    assert await totals(world, sub) == [2800, 2800, -1800]
    assert await left(world, sub) == 1800
    # The next bill is 10.00, and the credit pays it: nothing is to be announced.
    await go_to(world, NEXT - EARLY)
    await go_to(world, NEXT, "subscription.renewed", "invoice.finalized", "invoice.paid")
    await world.assert_clean()


async def test_a_downgrade_that_is_planned_before_is_billed_ahead_as_it_will_be(
    world: World,
) -> None:
    sub = await announced(world, "2800")
    change = ChangedItem(price_id=await world.price("1000"))
    await world.change(sub, change, when=When.PERIOD_END)
    await world.told()
    await go_to(world, DUE, *BILLED)
    await go_to(world, BOUNDARY, *BEGUN)
    assert await totals(world, sub) == [2800, 1000]
    await world.assert_clean()


async def test_more_of_it_after_the_notice_is_settled_as_far_as_it_runs_and_as_it_begins(
    world: World,
) -> None:
    sub = await announced(world, "2800")
    await go_to(world, DUE, *BILLED)
    await announce(world, timedelta(0))
    await go_to(world, BOUNDARY - DAY)
    # A day of 28 is left: -1.00 + 2.00 now. At the boundary -28.00 + 56.00.
    await world.change(sub, ChangedItem(quantity=2), when=When.NOW)
    assert (await world.invoice(sub))["total"] == 100
    await world.told()
    await go_to(world, BOUNDARY, *BEGUN, "invoice.finalized", "payment.succeeded", "invoice.paid")
    assert await totals(world, sub) == [2800, 2800, 100, 2800]
    await world.assert_clean()


async def test_a_pause_after_the_notice_gives_back_what_was_billed(world: World) -> None:
    sub = await announced(world, "2800")
    await go_to(world, DUE, *BILLED)
    await world.pause(sub)
    await world.expect("subscription.paused")
    await go_to(world, BOUNDARY, "payment.succeeded", "invoice.paid")
    await go_to(world, BOUNDARY + HOUR, *CREDITED)
    assert await left(world, sub) == 2800
    await go_to(world, NEXT)
    await world.resume(sub)
    assert await left(world, sub) == 0
    await world.assert_clean()


async def test_a_pause_that_is_over_before_the_boundary_changes_nothing(world: World) -> None:
    sub = await announced(world, "2800")
    await go_to(world, DUE, *BILLED)
    await world.pause(sub)
    await go_to(world, DUE + HOUR, "subscription.paused")
    await world.resume(sub)
    await world.told()
    await go_to(world, BOUNDARY, *BEGUN)
    assert await totals(world, sub) == [2800, 2800]
    await world.assert_clean()


async def test_a_pause_that_bills_on_keeps_its_own_invoices(world: World) -> None:
    sub = await announced(world, "2800")
    await go_to(world, DUE, *BILLED)
    await world.pause(sub, invoices="void")
    await world.told()
    await go_to(world, BOUNDARY, "subscription.renewed", "invoice.voided", *BEGUN[1:])
    await go_to(world, BOUNDARY + HOUR, *CREDITED)
    assert await left(world, sub) == 2800
    await world.assert_clean()


async def test_a_trials_end_is_billed_ahead(world: World) -> None:
    customer = await world.customer()
    await announce(world)
    sub = await world.subscribe(customer, await world.price("2800"), trial_end=BOUNDARY)
    await world.told()
    await go_to(world, DUE, *BILLED)
    assert await world.status(sub) == "trialing"
    await go_to(world, BOUNDARY, "subscription.activated", "payment.succeeded", "invoice.paid")
    assert await world.status(sub) == "active"
    assert (await world.invoice(sub))["billing_reason"] == "subscription_create"
    await world.assert_clean()


async def test_who_leaves_in_the_last_days_of_a_trial_has_the_money_as_credit(
    world: World,
) -> None:
    customer = await world.customer()
    await announce(world)
    sub = await world.subscribe(customer, await world.price("2800"), trial_end=BOUNDARY)
    await world.told()
    await go_to(world, DUE, *BILLED)
    await world.cancel(sub)
    await world.expect("subscription.canceled")
    await go_to(world, BOUNDARY, "payment.succeeded", "invoice.paid")
    await go_to(world, BOUNDARY + HOUR, *CREDITED)
    assert await world.credit_left(customer) == 2800
    await world.assert_clean()


async def test_what_is_in_arrears_waits_for_the_boundary(world: World) -> None:
    customer = await world.customer()
    late = await world.price("700", timing=Timing.ARREARS)
    sub = await world.subscribe(customer, await world.price("2800"), late)
    await world.told()
    await announce(world)
    await go_to(world, DUE, *BILLED)
    assert (await world.invoice(sub))["total"] == 2800
    # 7.00 for February, known only now: announced only now, and paid two days later.
    await go_to(world, BOUNDARY, *BEGUN, *BILLED)
    assert (await world.invoice(sub))["total"] == 700
    await go_to(world, BOUNDARY + LEAD, "payment.succeeded", "invoice.paid")
    assert world.charged() == [(2800, "EUR"), (2800, "EUR"), (700, "EUR")]
    await world.assert_clean()


async def test_nothing_but_arrears_is_billed_at_the_boundary(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("700", timing=Timing.ARREARS))
    await world.told()
    await announce(world)
    await go_to(world, DUE)
    version = (await world.subscription(sub))["version"]
    await go_to(world, DUE + HOUR)
    assert (await world.subscription(sub))["version"] == version, "it is looked at once"
    await go_to(world, BOUNDARY, "subscription.renewed", *BILLED)
    assert (await world.invoice(sub))["cycle_start"] == BOUNDARY
    await world.assert_clean()


@pytest.mark.parametrize("late", [EARLY - DAY, EARLY + DAY])
async def test_a_clock_that_stood_still_bills_at_once_and_is_paid_late(
    world: World, late: timedelta
) -> None:
    """A day before the boundary, or a day after it: two days after the notice in any case."""
    sub = await announced(world, "2800")
    at = DUE + late
    told = [*BILLED] if at < BOUNDARY else ["subscription.renewed", *BILLED]
    await go_to(world, at, *told)
    if at < BOUNDARY:
        await go_to(world, BOUNDARY, "subscription.renewed")
    await go_to(world, at + LEAD - HOUR)
    await go_to(world, at + LEAD, "payment.succeeded", "invoice.paid")
    assert await world.status(sub) == "active"
    assert await totals(world, sub) == [2800, 2800]
    await world.assert_clean()


async def test_a_renewal_with_days_of_grace_is_a_draft_first(world: World) -> None:
    await dials(world, invoice_grace_days=1)
    await announced(world, "2800")
    await go_to(world, DUE)
    await go_to(world, BOUNDARY, "subscription.renewed", "invoice.created")
    await go_to(world, BOUNDARY + DAY, *BILLED)
    await go_to(world, BOUNDARY + DAY + LEAD, "payment.succeeded", "invoice.paid")
    await world.assert_clean()


async def test_what_is_billed_ahead_stays_out_of_what_is_billed_together(world: World) -> None:
    await dials(world, invoice_consolidation="customer")
    customer = await world.customer()
    first = await world.subscribe(customer, await world.price("2800"))
    second = await world.subscribe(customer, await world.price("700"))
    await world.told()
    await announce(world)
    await go_to(world, DUE, *BILLED, *BILLED)
    await go_to(world, BOUNDARY, *BEGUN, *BEGUN)
    assert await totals(world, first) == [2800, 2800]
    assert await totals(world, second) == [700, 700]
    await world.assert_clean()


async def test_a_debit_that_fails_leaves_it_behind_when_the_period_has_begun(world: World) -> None:
    sub = await announced(world, "2800")
    await world.attach(await customer_of(world, sub), "pm_sim_declined_insufficient_funds")
    await go_to(world, DUE, *BILLED)
    await go_to(
        world,
        BOUNDARY,
        *("subscription.renewed", "payment.failed", "invoice.payment_failed"),
        "subscription.past_due",
    )
    assert await world.status(sub) == "past_due"
    await world.assert_clean()


@pytest.mark.parametrize(
    ("token", "early", "begun", "status"),
    [
        ("pm_sim_ok", ("payment.succeeded", "invoice.paid"), (), "active"),
        (
            "pm_sim_declined_insufficient_funds",
            ("payment.failed", "invoice.payment_failed"),
            ("subscription.past_due",),
            "past_due",
        ),
    ],
)
async def test_what_comes_of_a_debit_before_the_period_counts_when_it_begins(
    world: World,
    simulator: SimulatorProcess,
    token: str,
    early: tuple[str, ...],
    begun: tuple[str, ...],
    status: str,
) -> None:
    sub = await announced(world, "2800")
    await world.attach(await customer_of(world, sub), token)
    await go_to(world, DUE, *BILLED)
    # By the gateway's own clock the period has begun a day ago.
    later = int((BOUNDARY + DAY).timestamp() * 1000)
    simulator.request("PUT", "/v1/clock", json={"at": later})
    world.clock.set(BOUNDARY - HOUR)
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await tx.run("UPDATE payment_attempts SET look_up_at = $1 WHERE settled_at IS NULL", DUE)
    await world.tick()
    await world.expect(*early)
    assert (await period(world, sub), await world.status(sub)) == ((START, BOUNDARY), "active")
    await go_to(world, BOUNDARY, "subscription.renewed", *begun)
    assert await world.status(sub) == status
    assert await totals(world, sub) == [2800, 2800]
    await world.assert_clean()


async def plain_account(world: World) -> UUID:
    """Another account of the merchant's, at which nothing is announced."""
    cmd = CreateGatewayAccount("simulator", name="Plain")
    return (await gateway_accounts.create(world.rt, world.caller, cmd))["id"]


async def at_account(world: World, customer: UUID, account: UUID) -> UUID:
    cmd = AttachPaymentMethod(customer, "pm_sim_ok_other", account, make_default=True)
    return (await payment_methods.attach(world.rt, world.caller, cmd))["id"]


async def test_who_pays_elsewhere_by_then_is_billed_at_the_boundary(world: World) -> None:
    sub = await announced(world, "2800")
    plain = await plain_account(world)
    await at_account(world, await customer_of(world, sub), plain)
    await go_to(world, DUE)
    await go_to(world, BOUNDARY, *RENEWED)
    await world.assert_clean()


async def test_a_bill_made_ahead_that_is_to_be_paid_elsewhere_waits_for_its_period(
    world: World,
) -> None:
    sub = await announced(world, "2800")
    plain = await plain_account(world)
    world.clock.set(DUE)
    await renewals.renew_due(world.rt)
    await world.expect("invoice.finalized")
    method = await at_account(world, await customer_of(world, sub), plain)
    await world.pay((await world.invoice(sub))["id"], method)
    assert standing(world) == [(2800, "succeeded")]
    await go_to(world, BOUNDARY - HOUR)
    await go_to(world, BOUNDARY, *BEGUN)
    assert world.charged() == [(2800, "EUR")] * 2
    await world.assert_clean()


async def test_a_coupons_last_period_is_billed_ahead_with_it_and_counted_as_it_begins(
    world: World,
) -> None:
    half = await world.coupon(percent_off="50", duration=Duration.REPEATING, duration_in_periods=2)
    sub = await announced(world, "2800", coupon_ids=[half])

    async def periods_left() -> list[Any]:
        rows = await world.fetch("SELECT periods_remaining, ended_at FROM discounts")
        return [tuple(row) for row in rows]

    assert await periods_left() == [(1, None)]
    await go_to(world, DUE, *BILLED)
    assert await periods_left() == [(1, None)]
    await go_to(world, BOUNDARY, *BEGUN)
    assert await periods_left() == [(0, None)]
    await go_to(world, NEXT - EARLY, *BILLED)
    await go_to(world, NEXT, *BEGUN)
    assert await totals(world, sub) == [1400, 1400, 2800]
    assert await periods_left() == [(0, NEXT)]
    await world.assert_clean()


async def test_periods_shorter_than_the_notice_are_billed_one_ahead(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("700", unit="day"))
    await world.told()
    await announce(world)
    await go_to(world, START + HOUR, *BILLED)
    await go_to(world, START + DAY, "subscription.renewed", *BILLED)
    await go_to(world, START + 2 * DAY, "subscription.renewed", *BILLED)
    assert await totals(world, sub) == [700] * 4
    await world.assert_clean()


async def test_a_boundary_that_is_moved_gives_back_the_bill_of_the_old_one(world: World) -> None:
    customer = await world.customer()
    await announce(world)
    sub = await world.subscribe(customer, await world.price("2800"), trial_end=BOUNDARY)
    await world.told()
    await go_to(world, DUE, *BILLED)
    await changes.set_trial_end(world.rt, world.caller, sub, BOUNDARY + 10 * DAY)
    await world.told()
    await go_to(world, BOUNDARY, "payment.succeeded", "invoice.paid")
    await go_to(world, BOUNDARY + HOUR, *CREDITED)
    assert await world.credit_left(customer) == 2800
    assert await world.status(sub) == "trialing"
    await world.assert_clean()


async def test_it_is_billed_once_however_many_look_at_once(world: World) -> None:
    subs = [await world.subscribed("2800") for _ in range(3)]
    await announce(world)
    world.clock.set(DUE)
    await asyncio.gather(*(renewals.renew_due(world.rt) for _ in range(4)))
    assert [await totals(world, sub) for sub in subs] == [[2800, 2800]] * 3
    await world.tick()
    world.clock.set(BOUNDARY)
    await asyncio.gather(*(renewals.renew_due(world.rt) for _ in range(4)))
    assert [await totals(world, sub) for sub in subs] == [[2800, 2800]] * 3
    await world.assert_clean()


async def test_a_test_clock_bills_ahead_on_its_way(world: World) -> None:
    clock = await world.test_clock()
    customer = await world.customer(test_clock_id=clock)
    sub = await world.subscribe(customer, await world.price("2800"))
    await announce(world)
    await world.turn(clock, BOUNDARY - DAY)
    assert await totals(world, sub) == [2800, 2800]
    assert await period(world, sub) == (START, BOUNDARY)
    await world.turn(clock, BOUNDARY + DAY)
    assert await totals(world, sub) == [2800, 2800]
    assert await period(world, sub) == (BOUNDARY, NEXT)
    await world.assert_clean()


async def test_a_simulation_bills_ahead_and_collects_as_the_period_begins(world: World) -> None:
    sub = await announced(world, "2800")
    cmd = Simulate(sub, None, None, 2, ())
    made = await simulations.run(world.rt, world.caller, cmd)
    told = [(each.at, str(each.event.type)) for each in made.timeline if each.event is not None]
    assert (DUE, "invoice.finalized") in told
    assert (BOUNDARY, "payment.succeeded") in told
    assert [invoice.created_at for invoice in made.invoices] == [DUE, NEXT - EARLY]
    shown = await preview(world, subscription_id=sub)
    assert shown.preview.next is not None
    assert (shown.preview.next.total, shown.preview.next.order.period.start) == (2800, BOUNDARY)
    await go_to(world, DUE, *BILLED)
    again = await simulations.run(world.rt, world.caller, cmd)
    assert [invoice.created_at for invoice in again.invoices] == [NEXT - EARLY]


async def test_what_announces_is_read_from_what_accounts_declare(world: World) -> None:
    await world.customer()
    assert await billing_ahead.leads(world.rt) == []
    await announce(world)
    [lead] = await billing_ahead.leads(world.rt)
    assert (lead.method_type, lead.currency, lead.lead) == (None, None, EARLY)
