"""Many hands on the same rows at once: every period billed once, every invoice charged once."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.errors import BillingError, Conflict
from app.domain.invoice import Collection
from app.services import look_ups, payments, refunds, renewals
from tests.simulator import SimulatorProcess
from tests.world import PAID, START, World

ON = START + timedelta(days=1)
DUE = datetime(2026, 2, 28, 9, tzinfo=UTC)


async def many(world: World, count: int, **options: Any) -> list[Any]:
    """Subscriptions of one customer each, all to start at one instant tomorrow."""
    price = await world.price("1000")
    customer = await world.customer()
    return [await world.subscribe(customer, price, start_at=ON, **options) for _ in range(count)]


async def at_once(*work: Any) -> list[Any]:
    """All of it at the same time; a refusal with a reason is an answer, anything else is not."""
    answers = await asyncio.gather(*work, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, BillingError):
            raise answer
    return answers


async def test_clocks_that_tick_together_bill_each_period_once(
    clean_database: str, world: World
) -> None:
    subs = await many(world, 40)
    world.clock.set(ON + timedelta(days=31))  # two periods are due by now
    rt = world.rt
    small = replace(rt, settings=rt.settings.model_copy(update={"chunk_size": 7}))
    runs = await asyncio.gather(*(renewals.renew_due(small) for _ in range(4)))
    assert sum(run.invoices for run in runs) == 80
    assert sum(run.parked for run in runs) == 0
    per_sub = await world.fetch("SELECT count(*) AS n FROM invoices GROUP BY subscription_id")
    assert [row["n"] for row in per_sub] == [2] * len(subs)
    await asyncio.gather(*(payments.collect_due(rt) for _ in range(4)))
    assert world.charged() == [(1000, "EUR")] * 80
    await world.assert_clean()


async def test_look_ups_that_run_together_settle_once(
    world: World, simulator: SimulatorProcess
) -> None:
    await many(world, 10)
    world.clock.set(ON)
    await renewals.renew_due(world.rt)
    simulator.set_fault("error_500_after")
    await payments.collect_due(world.rt)
    await world.told()
    simulator.clear_faults()
    world.clock.advance(timedelta(minutes=1))
    await asyncio.gather(*(look_ups.resolve_due(world.rt) for _ in range(4)))
    await world.expect(*PAID * 10)
    assert world.charged() == [(1000, "EUR")] * 10
    await world.assert_clean()


async def test_numbers_have_no_gap_when_everybody_starts_at_once(world: World) -> None:
    price, customers = await world.price("1000"), [await world.customer() for _ in range(12)]
    await asyncio.gather(*(world.subscribe(customer, price) for customer in customers))
    numbers = await world.fetch("SELECT number FROM invoices ORDER BY series_number")
    assert [row["number"] for row in numbers] == [f"INV-{n:06d}" for n in range(1, 13)]
    assert world.charged() == [(1000, "EUR")] * 12
    await world.assert_clean()


@pytest.mark.parametrize("round_", range(4))
async def test_a_cancellation_at_the_instant_of_renewal_is_one_or_the_other(
    world: World, round_: int
) -> None:
    subs = await many(world, 6)
    world.clock.set(ON)
    await world.tick()
    world.clock.set(ON + timedelta(days=28))
    await at_once(
        *(world.cancel(sub) for sub in subs[round_ % 2 :: 2]),
        renewals.renew_due(world.rt),
        *(world.cancel(sub) for sub in subs[(round_ + 1) % 2 :: 2]),
        renewals.renew_due(world.rt),
    )
    await world.tick()
    # A cancellation first lets happen what is due: each was renewed, once, and then canceled.
    for sub in subs:
        assert await world.status(sub) == "canceled"
        assert len(await world.invoices(sub)) == 2
    assert world.charged() == [(1000, "EUR")] * 12
    await world.assert_clean()


async def test_one_invoice_paid_by_many_at_once_is_charged_once(world: World) -> None:
    customer = await world.customer("pm_sim_declined_do_not_honor")
    sub = await world.subscribe(customer, await world.price("1000"))
    good = await world.attach(customer, "pm_sim_ok")
    invoice = (await world.invoice(sub))["id"]
    answers = await at_once(
        *(world.pay(invoice, good) for _ in range(8)),
        payments.collect_due(world.rt),
        renewals.renew_due(world.rt),
    )
    refused = [answer for answer in answers if isinstance(answer, Conflict)]
    assert len(refused) >= 6
    assert world.charged() == [(1000, "EUR")]
    assert await world.status(sub) == "active"
    await world.assert_clean()


async def test_paid_outside_and_by_card_at_once_is_paid_one_way(world: World) -> None:
    for _ in range(4):
        customer = await world.customer("pm_sim_declined_do_not_honor")
        sub = await world.subscribe(customer, await world.price("1000"))
        good = await world.attach(customer, "pm_sim_ok")
        invoice = (await world.invoice(sub))["id"]
        await at_once(
            world.pay(invoice, good),
            world.pay_outside(invoice),
            world.void(invoice),
            world.write_off(invoice),
        )
        row = await world.invoice(sub)
        assert row["status"] in {"paid", "void", "uncollectible"}
    await world.assert_clean()


async def test_an_invoice_voided_five_times_at_once_is_voided_once(world: World) -> None:
    customer = await world.customer(None)
    await world.credit(customer, 400)
    sub = await world.subscribe(
        customer, await world.price("1000"), collection=Collection.SEND_INVOICE
    )
    invoice = (await world.invoice(sub))["id"]
    answers = await at_once(*(world.void(invoice) for _ in range(5)))
    assert sum(isinstance(answer, Conflict) for answer in answers) == 4
    assert await world.credit_left(customer) == 400
    await world.assert_clean()


async def test_credit_granted_and_used_at_once_is_never_lost_nor_doubled(world: World) -> None:
    customer = await world.customer()
    price = await world.price("1000")
    await world.credit(customer, 500)
    answers = await at_once(
        *(world.credit(customer, 100) for _ in range(6)),
        *(world.subscribe(customer, price) for _ in range(3)),
    )
    granted = 500 + 100 * sum(answer is None for answer in answers[:6])
    used = await world.fetch("SELECT coalesce(sum(balance_applied), 0) AS n FROM invoices")
    assert await world.credit_left(customer) == granted - used[0]["n"]
    await world.assert_clean()


async def test_voids_that_give_credit_back_at_once_give_all_of_it(world: World) -> None:
    customer = await world.customer(None)
    price = await world.price("1000")
    invoices = []
    for _ in range(4):
        await world.credit(customer, 300)
        sub = await world.subscribe(customer, price, collection=Collection.SEND_INVOICE)
        invoices.append((await world.invoice(sub))["id"])
    pending = invoices
    for _ in range(len(invoices)):
        answers = await at_once(*(world.void(invoice) for invoice in pending))
        pending = [i for i, a in zip(pending, answers, strict=True) if isinstance(a, Conflict)]
    assert pending == []
    assert await world.credit_left(customer) == 1200
    await world.assert_clean()


async def test_refunds_and_look_ups_at_once_return_no_more_than_was_taken(
    world: World, simulator: SimulatorProcess
) -> None:
    await world.subscribed("1000")
    payment = (await world.payments())[0]["id"]
    simulator.set_fault("error_500_after", operations=["refund"])
    await at_once(*(world.refund(payment, 250) for _ in range(6)))
    simulator.clear_faults()
    world.clock.advance(timedelta(minutes=5))
    await asyncio.gather(*(refunds.resolve_due(world.rt) for _ in range(3)))
    assert world.refunded() == [250] * 4
    await world.assert_clean()


async def test_everything_at_once_ends_in_clean_books(world: World) -> None:
    """Renewals, payments, cancellations and refunds of the same subscriptions, all together."""
    subs = await many(world, 6)
    world.clock.set(ON)
    await world.tick()
    [customer] = {row["customer_id"] for row in await world.payments()}
    for month in range(1, 4):
        world.clock.set(ON + timedelta(days=31 * month))
        paid = [p["id"] for p in await world.payments() if p["status"] == "succeeded"]
        await at_once(
            renewals.renew_due(world.rt),
            payments.collect_due(world.rt),
            world.credit(customer, 333),
            world.cancel(subs[month], at_period_end=month % 2 == 0),
            *(world.refund(payment, 77) for payment in paid[:4]),
            renewals.renew_due(world.rt),
            payments.collect_due(world.rt),
            look_ups.resolve_due(world.rt),
        )
    for _ in range(3):
        world.clock.advance(timedelta(minutes=5))
        await world.tick()
    await world.assert_clean()
