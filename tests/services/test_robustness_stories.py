"""One thing is wrong and the rest goes on, told as stories: rows that are set aside, and why."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.domain.calendar import Unit
from app.domain.errors import Conflict
from app.services import audit, renewals, subscriptions
from tests.world import RENEWED, START, World

MANY = 24
ON = START + timedelta(days=1)


async def many(world: World, count: int = MANY) -> list:
    """Subscriptions of one customer that all start tomorrow; nothing of them is told."""
    customer, price = await world.customer(), await world.price("1000")
    subs = [await world.subscribe(customer, price, start_at=ON) for _ in range(count)]
    await world.told()
    return subs


async def statuses(world: World) -> dict[str, int]:
    rows = await world.fetch(
        "SELECT CASE WHEN parked_at IS NULL THEN status ELSE 'parked' END AS status, count(*) AS n"
        " FROM subscriptions GROUP BY 1"
    )
    return {row["status"]: row["n"] for row in rows}


async def test_a_row_that_cannot_be_decided_is_set_aside_and_the_others_go_on(
    world: World, administrator: asyncpg.Connection
) -> None:
    subs = await many(world)
    # More than a person could owe: the decision refuses to make such an invoice.
    await administrator.execute(
        "UPDATE subscription_items SET quantity = 1000000000 WHERE subscription_id = $1", subs[7]
    )
    dear = await world.price("999999999999999")
    await administrator.execute(
        "UPDATE subscription_items SET price_id = $2 WHERE subscription_id = $1", subs[7], dear
    )
    world.clock.set(ON)
    ran = await renewals.renew_due(world.rt)
    assert (ran.invoices, ran.parked) == (MANY - 1, 1)
    assert await statuses(world) == {"active": MANY - 1, "parked": 1}
    row = await world.subscription(subs[7])
    assert row["parked_reason"] == "This adds up to more than can be billed."
    # Mended and put back, it is billed as of its own day.
    await administrator.execute(
        "UPDATE subscription_items SET quantity = 1 WHERE subscription_id = $1", subs[7]
    )
    await subscriptions.unpark(world.rt, world.caller, subs[7])
    assert (await renewals.renew_due(world.rt)).invoices == 1
    assert (await world.invoice(subs[7]))["period_start"] == ON


async def test_a_row_that_cannot_even_be_read_is_set_aside_and_the_others_go_on(
    world: World, administrator: asyncpg.Connection
) -> None:
    subs = await many(world)
    await administrator.execute(
        "UPDATE subscriptions SET zone = 'Atlantis/Capital' WHERE id = $1", subs[3]
    )
    await administrator.execute(
        "DELETE FROM subscription_items WHERE subscription_id = $1", subs[11]
    )
    world.clock.set(ON)
    ran = await renewals.renew_due(world.rt)
    assert (ran.invoices, ran.parked) == (MANY - 2, 2)
    assert await statuses(world) == {"active": MANY - 2, "parked": 2}


async def test_a_row_that_the_database_refuses_is_found_and_set_aside(
    world: World, administrator: asyncpg.Connection
) -> None:
    subs = await many(world)
    world.clock.set(ON)
    await renewals.renew_due(world.rt)
    # Somebody set one back to before it was billed: the period has its invoice already.
    await administrator.execute(
        "UPDATE subscriptions SET period_start = NULL, period_end = NULL, period_index = -1,"
        " status = 'scheduled', next_action_at = start_at WHERE id = $1",
        subs[5],
    )
    world.clock.set(ON + timedelta(days=31))
    ran = await renewals.renew_due(world.rt)
    assert (ran.invoices, ran.parked) == (MANY - 1, 1)
    reason = (await world.subscription(subs[5]))["parked_reason"]
    assert reason == "This period of the subscription already has an invoice."
    # Every other one was billed once, and the numbers have no gap although a chunk was refused.
    numbers = await world.fetch("SELECT series_number FROM invoices ORDER BY series_number")
    assert [row["series_number"] for row in numbers] == list(range(1, 2 * MANY))
    report = await audit.run(world.rt, world.caller.merchant_id)
    assert {f.name for f in report.findings if f.exceptions} == {"nothing_parked"}


async def test_what_is_too_far_behind_is_set_aside_rather_than_billed_in_one_go(
    world: World,
) -> None:
    price = await world.price("100", unit=Unit.DAY)
    sub = await world.subscribe(await world.customer(), price)
    await world.told()
    world.clock.set(START + timedelta(days=402))
    ran = await renewals.renew_due(world.rt)
    assert (ran.invoices, ran.parked) == (0, 1)
    assert "400 periods behind" in (await world.subscription(sub))["parked_reason"]
    assert len(await world.invoices(sub)) == 1


async def test_a_subscription_set_aside_is_left_alone_until_it_is_put_back(
    world: World, administrator: asyncpg.Connection
) -> None:
    sub = await world.subscribed("1000")
    await administrator.execute(
        "UPDATE subscriptions SET parked_at = $2, parked_reason = 'A look.' WHERE id = $1",
        sub,
        world.now,
    )
    await world.advance(months=1, expect=[])
    await subscriptions.unpark(world.rt, world.caller, sub)
    with pytest.raises(Conflict, match="not parked"):
        await subscriptions.unpark(world.rt, world.caller, sub)
    await world.advance(minutes=1, expect=RENEWED)
    assert (await world.invoice(sub))["period_start"] == datetime(2026, 2, 28, 9, tzinfo=UTC)
    await world.assert_clean()


async def test_chunks_of_one_bill_the_same_as_one_chunk(world: World, clean_database: str) -> None:
    await many(world, 5)
    small = world.rt.settings.model_copy(update={"chunk_size": 1})
    world.clock.set(ON)
    ran = await renewals.renew_due(replace(world.rt, settings=small))
    assert ran.invoices == 5
    await world.assert_clean()
