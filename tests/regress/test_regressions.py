"""Bugs that other billing systems had, each as the sentence that must hold here instead."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.calendar import Interval, Unit
from app.domain.discount import Duration
from app.domain.errors import BillingError
from app.domain.invoice import Collection
from app.domain.pricing import PriceModel
from app.services import audit, payments, renewals, subscriptions
from tests.simulator import SECRET, SimulatorProcess
from tests.world import RENEWED, START, World, open_world


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


# ── invoiced or charged twice ─────────────────────────────────────────────────────────────────────


async def test_the_clock_and_the_start_never_both_bill_the_first_period(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    await asyncio.gather(
        *(world.subscribe(customer, price) for _ in range(4)),
        *(renewals.renew_due(world.rt) for _ in range(4)),
        *(payments.collect_due(world.rt) for _ in range(4)),
    )
    await world.tick()
    rows = await world.fetch("SELECT count(*) AS n FROM invoices GROUP BY subscription_id")
    assert [row["n"] for row in rows] == [1] * 4
    assert world.charged() == [(1000, "EUR")] * 4
    await world.assert_clean()


async def test_what_was_billed_by_hand_of_the_caller_is_not_billed_by_the_clock_as_well(
    world: World,
) -> None:
    """A change first lets happen what is due; the clock that waited for the row finds it done."""
    sub = await world.subscribed("1000")
    world.clock.set(at(2026, 2, 28, 9))
    await asyncio.gather(
        world.cancel(sub, at_period_end=True),
        *(renewals.renew_due(world.rt) for _ in range(3)),
        return_exceptions=False,
    )
    assert len(await world.invoices(sub)) == 2


async def test_every_repetition_of_a_charge_carries_the_key_of_the_first(
    world: World, simulator: SimulatorProcess
) -> None:
    simulator.set_fault("error_500_before", count=3)
    await world.subscribe(await world.customer(), await world.price("1000"))
    for _ in range(6):
        await world.advance_quietly(hours=2)
    [attempt] = await world.attempts()
    [entry] = simulator.ledger(attempt["reference"])["transactions"]
    assert entry["idempotency_key"] == attempt["idempotency_key"]
    assert entry["status"] == "succeeded"
    await world.assert_clean()


async def test_a_customer_with_two_subscriptions_to_one_plan_pays_for_two(world: World) -> None:
    # Two are two: nothing is merged, nothing is lost, and neither hides the other's renewal.
    customer, price = await world.customer(), await world.price("1000")
    first = await world.subscribe(customer, price)
    second = await world.subscribe(customer, price)
    await world.told()
    await world.cancel(first)
    await world.expect("subscription.canceled")
    await world.advance(months=1, expect=RENEWED)
    assert len(await world.invoices(second)) == 2


# ── lost, stuck or told too early ─────────────────────────────────────────────────────────────────


async def test_a_refused_change_leaves_no_trace_and_tells_nobody(world: World) -> None:
    sub = await world.subscribed("1000")
    entries = await world.fetch("SELECT count(*) AS n FROM ledger_entries")
    with pytest.raises(BillingError):
        await world.void((await world.invoice(sub))["id"])
    with pytest.raises(BillingError):
        await world.keep(sub)
    with pytest.raises(BillingError):
        stale = subscriptions.UpdateSubscription(sub, {"metadata": {"a": "b"}}, 99)
        await subscriptions.update(world.rt, world.caller, stale)
    await world.expect()
    assert await world.fetch("SELECT count(*) AS n FROM ledger_entries") == entries
    await world.assert_clean()


async def test_an_invoice_is_made_whole_or_not_at_all(world: World) -> None:
    """There is no half-made invoice to be stuck in: lines, sums, number and payment are one."""
    broken = world.rt.db.begin_system
    sub = await world.subscribed("1000")
    world.clock.set(at(2026, 2, 28, 9))
    with pytest.raises(asyncio.CancelledError):
        async with broken() as tx:
            rows = await renewals.subscriptions.claim_due(tx, renewals.WALL, world.now, 10)
            await renewals._step_all(tx, rows, world.now, renewals.Left())
            raise asyncio.CancelledError
    assert len(await world.invoices(sub)) == 1
    await world.advance(minutes=1, expect=RENEWED)
    assert (await world.invoice(sub))["number"] == "INV-000002"
    await world.assert_clean()


async def test_somebody_who_is_not_billed_any_more_is_found_by_the_audit(
    world: World, administrator: object
) -> None:
    sub = await world.subscribed("1000")
    world.clock.set(at(2026, 3, 5))  # the clock has not run for days

    async def found() -> set[str]:
        report = await audit.run(world.rt, world.caller.merchant_id)
        return {finding.name for finding in report.findings if finding.exceptions}

    assert await found() == {"nothing_overdue"}
    async with world.rt.db.begin_system() as tx:
        key = (world.caller.merchant_id, sub)
        await renewals.subscriptions.park(tx, key, "A look.", world.now)
    assert await found() == {"nothing_parked"}


async def test_paid_means_that_money_came(world: World) -> None:
    sub = await world.subscribed("1000")
    free = await world.subscribe(await world.customer(None), await world.price("0"))
    outside = await world.subscribe(
        await world.customer(None), await world.price("1000"), collection=Collection.SEND_INVOICE
    )
    await world.pay_outside((await world.invoice(outside))["id"])
    for one in (sub, free, outside):
        invoice = await world.invoice(one)
        assert invoice["status"] == "paid"
        assert invoice["amount_paid"] == invoice["amount_due"]
    entries = await world.fetch(
        "SELECT split_part(debit, ':', 1) AS debit, amount FROM ledger_entries"
        " WHERE credit = 'receivable' ORDER BY amount, debit"
    )
    assert [tuple(row) for row in entries] == [("cash", 1000), ("cash", 1000)]
    await world.assert_clean()


# ── dates ─────────────────────────────────────────────────────────────────────────────────────────


async def test_an_account_of_the_31st_is_billed_in_every_month_of_the_year(world: World) -> None:
    sub = await world.subscribed("1000")
    for _ in range(13):
        await world.advance(months=1, expect=RENEWED)
    starts = [i["period_start"].date().isoformat()[2:] for i in await world.invoices(sub)]
    assert starts == [
        *("26-01-31", "26-02-28", "26-03-31", "26-04-30", "26-05-31", "26-06-30", "26-07-31"),
        *("26-08-31", "26-09-30", "26-10-31", "26-11-30", "26-12-31", "27-01-31", "27-02-28"),
    ]
    await world.assert_clean()


async def test_a_late_worker_does_not_move_the_boundary(world: World) -> None:
    sub = await world.subscribed("1000")
    await world.advance(to=at(2026, 3, 3, 22, 17), expect=RENEWED)  # three days late
    await world.advance(to=at(2026, 4, 2), expect=RENEWED)
    assert [i["period_start"] for i in await world.invoices(sub)][1:] == [
        at(2026, 2, 28, 9),
        at(2026, 3, 31, 9),
    ]


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("Pacific/Kiritimati", at(2026, 1, 31, 10, 30)),  # 00:30 on 1 February there
        ("Pacific/Pago_Pago", at(2026, 2, 1, 10, 30)),  # 23:30 on 31 January there
    ],
)
async def test_the_day_is_the_customer_s_not_greenwich_s(
    world: World, zone: str, start: datetime
) -> None:
    customer = await world.customer(time_zone=zone)
    sub = await world.subscribe(customer, await world.price("1000"), start_at=start)
    await world.told()
    begun = ["subscription.activated", *RENEWED[1:]] if start > START else []
    await world.advance(to=start + timedelta(days=1), expect=begun)
    boundary = Interval(Unit.MONTH).after(start, 1, zone)
    await world.advance(to=boundary - timedelta(seconds=1), expect=[])
    await world.advance(to=boundary, expect=RENEWED)
    # In Kiritimati the 1st comes round, in Pago Pago the 31st becomes the 28th.
    ends = (await world.invoices(sub))[0]["period_end"]
    assert ends in {at(2026, 2, 28, 10, 30), at(2026, 3, 1, 10, 30)}
    assert ends == boundary


# ── money ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_whole_discount_leaves_nothing_not_a_cent_less(world: World) -> None:
    gift = await world.coupon(percent_off="100", duration=Duration.FOREVER)
    vat = await world.tax_rate("8.875")
    prices = [(await world.price(amount), n) for amount, n in (("33.3", 3), ("0.5", 7), ("99", 1))]
    sub = await world.subscribe(
        await world.customer(), *prices, coupon_ids=[gift], tax_rate_ids=[vat]
    )
    invoice = await world.invoice(sub)
    assert (invoice["total"], invoice["tax_total"], invoice["status"]) == (0, 0, "paid")
    assert all(
        line["amount"] == line["discount_amount"] for line in await world.lines(invoice["id"])
    )
    await world.assert_clean()


async def test_fractions_of_a_cent_never_reach_the_gateway(world: World) -> None:
    # 952.381 * 1 is not 952.38100000000008 of anything: it is 952 cents.
    for amount, quantity, total in (("952.381", 1, 952), ("0.1", 3, 0), ("1.005", 100, 101)):
        price = await world.price(amount, model=PriceModel.PER_UNIT)
        sub = await world.subscribe(await world.customer(), (price, quantity))
        assert (await world.invoice(sub))["total"] == total  # 100.5 is rounded away from zero
    assert world.charged() == [(952, "EUR"), (101, "EUR")]
    await world.assert_clean()


# ── secrets ───────────────────────────────────────────────────────────────────────────────────────


async def test_no_secret_is_logged_and_no_token_when_things_go_wrong(
    world: World,
    simulator: SimulatorProcess,
    clean_database: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    simulator.set_faults({"kind": "error_500_before", "count": 1}, {"kind": "cut_body", "count": 1})
    await world.subscribe(await world.customer("pm_sim_ok_telltale"), await world.price("1000"))
    await world.advance_quietly(minutes=5)
    await world.advance_quietly(hours=5)
    async with open_world(clean_database, None) as offline:  # nothing listens there
        await offline.subscribe(
            await offline.customer("pm_sim_ok_telltale"), await offline.price("1000")
        )
        await offline.advance_quietly(minutes=5)
    said = "".join(capfd.readouterr()) + caplog.text
    password = clean_database.partition("perennial:")[2].partition("@")[0]
    assert len(password) > 10
    for secret in (SECRET, password, "telltale", "Bearer"):
        assert secret not in said
    errors = [row["detail"] or "" for row in await world.attempts()]
    assert not any("http" in detail for detail in errors)
