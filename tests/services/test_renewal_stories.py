"""The main job, told as stories: a subscription starts, renews on its anchor, is paid, and ends."""

from datetime import UTC, datetime, timedelta

import pytest

from app.domain.calendar import Unit
from app.domain.errors import InvalidRequest
from app.domain.invoice import Collection
from app.domain.pricing import Timing
from tests.world import RENEWED, STARTED, World


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


async def test_a_month_end_subscription_keeps_its_anchor_and_is_paid_each_time(
    world: World,
) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.expect(*STARTED)
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    await world.advance(to=at(2026, 3, 31, 9), expect=RENEWED)
    invoices = await world.invoices(sub)
    assert [i["period_start"].day for i in invoices] == [31, 28, 31]
    assert [i["number"] for i in invoices] == ["INV-000001", "INV-000002", "INV-000003"]
    assert [(i["status"], i["amount_paid"]) for i in invoices] == [("paid", 1000)] * 3
    assert world.charged() == [(1000, "EUR")] * 3
    await world.assert_clean()


async def test_a_trial_bills_nothing_until_it_ends_and_its_end_is_the_anchor(world: World) -> None:
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"), trial_days=14)
    await world.expect("subscription.created")
    assert await world.status(sub) == "trialing"
    await world.advance(to=at(2026, 2, 14, 8, 59), expect=[])
    # 31 January 9:00 + 14 days = 14 February 9:00
    first = ["subscription.activated", *RENEWED[1:]]
    await world.advance(to=at(2026, 2, 14, 9), expect=first)
    await world.advance(to=at(2026, 3, 14, 9), expect=RENEWED)
    assert [i["period_start"] for i in await world.invoices(sub)] == [
        at(2026, 2, 14, 9),
        at(2026, 3, 14, 9),
    ]
    await world.assert_clean()


async def test_a_trial_that_is_canceled_never_costs_anything(world: World) -> None:
    sub = await world.subscribe(await world.customer(), await world.price(), trial_days=14)
    await world.told()
    await world.cancel(sub, at_period_end=True)
    await world.expect("subscription.updated")
    await world.advance(days=14, expect=["subscription.canceled"])
    assert await world.invoices(sub) == []
    assert world.charged() == []
    await world.assert_clean()


async def test_a_trial_without_a_payment_method_ends_without_an_invoice(world: World) -> None:
    sub = await world.subscribe(await world.customer(None), await world.price(), trial_days=7)
    await world.told()
    await world.advance(days=7, expect=["subscription.canceled"])
    assert await world.invoices(sub) == []
    await world.assert_clean()


async def test_a_scheduled_start_waits_for_its_instant(world: World) -> None:
    sub = await world.subscribe(
        await world.customer(), await world.price(), start_at=at(2026, 2, 10, 12)
    )
    await world.expect("subscription.created")
    assert await world.status(sub) == "scheduled"
    await world.advance(to=at(2026, 2, 10, 11), expect=[])
    started = ["subscription.activated", *RENEWED[1:]]
    await world.advance(to=at(2026, 2, 10, 12), expect=started)
    assert (await world.invoice(sub))["period_start"] == at(2026, 2, 10, 12)
    await world.assert_clean()


async def test_a_scheduled_subscription_can_be_called_off_before_it_starts(world: World) -> None:
    sub = await world.subscribe(
        await world.customer(), await world.price(), start_at=at(2026, 3, 1)
    )
    await world.told()
    await world.cancel(sub)
    await world.expect("subscription.canceled")
    await world.advance(months=2, expect=[])
    assert await world.invoices(sub) == []


async def test_a_backdated_start_is_billed_from_there_on_period_by_period(world: World) -> None:
    sub = await world.subscribe(
        await world.customer(), await world.price("1000"), start_at=at(2025, 10, 31, 9)
    )
    await world.expect(*STARTED)
    # Begun on 31 October: 31 Oct, 30 Nov, 31 Dec and 31 Jan have come; the first was billed above.
    await world.advance(hours=0, expect=RENEWED * 3)
    assert [i["period_start"].date().isoformat() for i in await world.invoices(sub)] == [
        "2025-10-31",
        "2025-11-30",
        "2025-12-31",
        "2026-01-31",
    ]
    assert world.charged() == [(1000, "EUR")] * 4
    await world.assert_clean()


async def test_after_an_outage_of_three_periods_each_is_billed_once(world: World) -> None:
    sub = await world.subscribed("1000")
    # 28 February, 31 March and 30 April passed with nobody looking.
    await world.advance(to=at(2026, 5, 1), expect=RENEWED * 3)
    await world.advance(hours=1, expect=[])
    periods = [(i["period_start"], i["period_end"]) for i in await world.invoices(sub)]
    assert periods == [
        (at(2026, 1, 31, 9), at(2026, 2, 28, 9)),
        (at(2026, 2, 28, 9), at(2026, 3, 31, 9)),
        (at(2026, 3, 31, 9), at(2026, 4, 30, 9)),
        (at(2026, 4, 30, 9), at(2026, 5, 31, 9)),
    ]
    await world.assert_clean()


async def test_the_clock_that_ticks_often_bills_no_more_than_one_that_ticks_once(
    world: World,
) -> None:
    await world.subscribed("1000")
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    for _ in range(5):
        await world.advance(minutes=1, expect=[])
    assert world.charged() == [(1000, "EUR")] * 2


async def test_several_items_and_quantities_are_lines_of_one_invoice(world: World) -> None:
    seats, support = await world.price("900"), await world.price("2500")
    sub = await world.subscribe(await world.customer(), (seats, 7), support)
    await world.expect(*STARTED)
    invoice = await world.invoice(sub)
    # 7 * 9.00 + 25.00 = 88.00
    assert [line["amount"] for line in await world.lines(invoice["id"])] == [6300, 2500]
    assert world.charged() == [(8800, "EUR")]
    await world.assert_clean()


@pytest.mark.parametrize(
    ("unit", "count", "starts"),
    [
        (Unit.DAY, 1, ["2026-01-31", "2026-02-01", "2026-02-02"]),
        (Unit.WEEK, 2, ["2026-01-31", "2026-02-14", "2026-02-28"]),
        (Unit.MONTH, 3, ["2026-01-31", "2026-04-30", "2026-07-31"]),
        (Unit.YEAR, 1, ["2026-01-31", "2027-01-31", "2028-01-31"]),
    ],
    ids=str,
)
async def test_every_interval_comes_round(
    world: World, unit: Unit, count: int, starts: list[str]
) -> None:
    price = await world.price("1000", unit=unit, interval_count=count)
    sub = await world.subscribe(await world.customer(), price)
    await world.told()
    for start in starts[1:]:
        await world.advance(to=datetime.fromisoformat(start + "T09:00+00:00"), expect=RENEWED)
    invoices = await world.invoices(sub)
    assert [i["period_start"].date().isoformat() for i in invoices] == starts
    assert world.charged() == [(1000, "EUR")] * 3
    await world.assert_clean()


async def test_a_leap_day_comes_back_in_the_next_leap_year(world: World) -> None:
    price = await world.price("12000", unit=Unit.YEAR)
    sub = await world.subscribe(await world.customer(), price, start_at=at(2028, 2, 29, 9))
    await world.told()
    started = ["subscription.activated", *RENEWED[1:]]
    await world.advance(to=at(2028, 2, 29, 9), expect=started)
    for year in (2029, 2030, 2031):
        await world.advance(to=at(year, 2, 28, 9), expect=RENEWED)
    await world.advance(to=at(2032, 2, 28, 9), expect=[])  # this year has a 29 February
    await world.advance(to=at(2032, 2, 29, 9), expect=RENEWED)
    starts = [i["period_start"].date().isoformat() for i in await world.invoices(sub)]
    assert starts == ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]
    await world.assert_clean()


@pytest.mark.parametrize(
    ("zone", "instants"),
    [
        # New York turns its clocks forward on 8 March 2026, Berlin on 29 March, Kolkata never.
        ("America/New_York", ["2026-02-07T14:00", "2026-03-07T14:00", "2026-04-07T13:00"]),
        ("Europe/Berlin", ["2026-02-07T08:00", "2026-03-07T08:00", "2026-04-07T07:00"]),
        ("Asia/Kolkata", ["2026-02-07T03:30", "2026-03-07T03:30", "2026-04-07T03:30"]),
    ],
)
async def test_nine_in_the_morning_stays_nine_when_the_clocks_change(
    world: World, zone: str, instants: list[str]
) -> None:
    starts = [datetime.fromisoformat(i).replace(tzinfo=UTC) for i in instants]
    customer = await world.customer(time_zone=zone)
    sub = await world.subscribe(customer, await world.price(), start_at=starts[0])
    await world.told()
    await world.advance(to=starts[0], expect=["subscription.activated", *RENEWED[1:]])
    for start in starts[1:]:
        await world.advance(to=start - timedelta(seconds=1), expect=[])
        await world.advance(to=start, expect=RENEWED)
    assert [i["period_start"] for i in await world.invoices(sub)] == starts
    await world.assert_clean()


async def test_a_day_that_the_clocks_shorten_is_billed_like_any_other(world: World) -> None:
    # In Berlin 29 March 2026 has 23 hours: from 23:00 UTC to 22:00 UTC.
    customer = await world.customer(time_zone="Europe/Berlin")
    price = await world.price("100", unit=Unit.DAY)
    sub = await world.subscribe(customer, price, start_at=at(2026, 3, 27, 23))
    await world.told()
    await world.advance(
        to=at(2026, 3, 30), expect=["subscription.activated", *RENEWED[1:], *RENEWED * 2]
    )
    lengths = [i["period_end"] - i["period_start"] for i in await world.invoices(sub)]
    assert lengths == [timedelta(hours=24), timedelta(hours=23), timedelta(hours=24)]
    assert world.charged() == [(100, "EUR")] * 3
    await world.assert_clean()


async def test_arrears_are_billed_when_the_period_is_over(world: World) -> None:
    price = await world.price("1000", timing=Timing.ARREARS)
    sub = await world.subscribe(await world.customer(), price)
    await world.expect("subscription.created")
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    [line] = await world.lines((await world.invoice(sub))["id"])
    assert (line["period_start"], line["period_end"]) == (at(2026, 1, 31, 9), at(2026, 2, 28, 9))
    # What was delivered is earned at once, nothing is deferred; the gateway keeps 1 %.
    assert await world.balance() == {"revenue": -1000, "cash": 990, "gateway_fees": 10}
    await world.assert_clean()


async def test_advance_and_arrears_share_an_invoice(world: World) -> None:
    seats = await world.price("1000")
    extras = await world.price("300", timing=Timing.ARREARS)
    sub = await world.subscribe(await world.customer(), seats, (extras, 2))
    await world.told()
    await world.advance(to=at(2026, 2, 28, 9), expect=RENEWED)
    lines = await world.lines((await world.invoice(sub))["id"])
    # 2 * 3.00 for February as it was, 10.00 for March as it will be
    assert [(line["amount"], line["period_start"].day) for line in lines] == [(600, 31), (1000, 28)]
    assert world.charged() == [(1000, "EUR"), (1600, "EUR")]
    await world.assert_clean()


async def test_a_set_up_fee_is_charged_once_with_the_first_period(world: World) -> None:
    price = await world.price("1000", setup_fee=4900)
    sub = await world.subscribe(await world.customer(), price)
    await world.told()
    await world.advance(months=1, expect=RENEWED)
    first, second = await world.invoices(sub)
    assert (first["total"], second["total"]) == (5900, 1000)
    kinds = [line["kind"] for line in await world.lines(first["id"])]
    assert kinds == ["setup_fee", "period"]
    await world.assert_clean()


async def test_after_a_trial_the_set_up_fee_comes_with_the_first_paid_period(world: World) -> None:
    price = await world.price("1000", setup_fee=4900, trial_days=10)
    sub = await world.subscribe(await world.customer(), price)
    await world.expect("subscription.created")
    await world.advance(days=10, expect=["subscription.activated", *RENEWED[1:]])
    assert (await world.invoice(sub))["total"] == 5900


async def test_an_invoice_that_is_sent_is_due_after_its_net_days(world: World) -> None:
    sub = await world.subscribe(
        await world.customer(None),
        await world.price("1000"),
        collection=Collection.SEND_INVOICE,
        net_days=30,
    )
    await world.expect("subscription.created", "invoice.finalized")
    assert await world.status(sub) == "active"
    invoice = await world.invoice(sub)
    assert invoice["due_at"] - invoice["finalized_at"] == timedelta(days=30)
    await world.advance(months=1, expect=["subscription.renewed", "invoice.finalized"])
    await world.pay_outside(invoice["id"])
    await world.expect("payment.succeeded", "invoice.paid")
    assert await world.balance() == {"receivable": 1000, "deferred_revenue": -2000, "cash": 1000}
    await world.assert_clean()


async def test_items_of_different_intervals_or_currencies_are_refused(world: World) -> None:
    customer = await world.customer()
    month, year = await world.price(), await world.price(unit=Unit.YEAR)
    dollars = await world.price(currency="USD")
    for other in (year, dollars):
        with pytest.raises(InvalidRequest, match="same currency and interval"):
            await world.subscribe(customer, month, other)
    await world.expect()
