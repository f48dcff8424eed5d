"""Reminders as stories: at which time of day, by what channels, of what is sent and overdue."""

from collections.abc import AsyncIterator
from datetime import time
from typing import Any
from uuid import UUID

import pytest

from app.domain.dunning_policy import FinalAction, Step
from app.domain.invoice import Collection
from app.services import (
    dunning,
)
from tests.dunned import (
    AGAIN,
    GIVEN_UP,
    RECOVERED,
    at,
    dunned_world,
    late,
    run_of,
)
from tests.simulator import SimulatorProcess
from tests.world import DECLINED, PAID, World


@pytest.fixture
async def world(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    async with dunned_world(clean_database, simulator) as opened:
        yield opened


async def test_steps_come_at_a_time_of_day_where_the_customer_lives(world: World) -> None:
    await world.policy(steps=(Step(1, at=time(8)), Step(30, at=time(8))), is_default=True)
    case = await late(world, time_zone="America/New_York")
    # Failed at 9:00 UTC, 4:00 there; at 8:00 on 1 March it is 13:00 UTC, five hours behind.
    assert (await case.run())["next_attempt_at"] == at(2026, 3, 1, 13)
    await world.advance(to=at(2026, 3, 1, 13), expect=AGAIN)
    # By 30 March the clocks there have gone forward: four hours behind.
    assert (await case.run())["next_attempt_at"] == at(2026, 3, 30, 12)


async def test_reminders_between_attempts_name_their_channels(world: World) -> None:
    steps = (Step(1), Step(2, is_attempt=False, channels=("sms", "letter")), Step(3))
    await world.policy(steps=steps, channels=("email",), is_default=True)
    case = await late(world)
    await case.after(1, *DECLINED)
    await case.after(2, "dunning_run.reminder")
    rows = await world.fetch(
        "SELECT data FROM events WHERE type = 'dunning_run.reminder' ORDER BY id"
    )
    assert '"channels":["sms","letter"]' in rows[0]["data"]
    await case.after(3, *DECLINED, *GIVEN_UP)
    await world.assert_clean()


async def test_on_a_test_clock_it_goes_as_on_the_walls(world: World) -> None:
    clock = await world.test_clock()
    customer = await world.customer(test_clock_id=clock)
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.attach(customer, "pm_sim_declined_do_not_honor")
    await world.turn(clock, at(2026, 3, 20))
    assert await world.status(sub) == "canceled"
    days = [row["created_at"].date().isoformat() for row in (await world.attempts())[1:]]
    # A clock goes a day at a time: what falls due at nine happens at the next midnight.
    assert days == ["2026-03-01", "2026-03-02", "2026-03-04", "2026-03-06", "2026-03-08"]
    await world.assert_clean()


async def test_a_method_that_comes_on_a_test_clock_that_stands_still_is_tried_at_once(
    world: World,
) -> None:
    clock = await world.test_clock()
    customer = await world.customer(test_clock_id=clock)
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.attach(customer, "pm_sim_declined_expired")
    await world.turn(clock, at(2026, 3, 2))
    assert await world.status(sub) == "past_due"
    await world.attach(customer, "pm_sim_ok")
    await dunning.look_on_test_clocks(world.rt)
    assert await world.status(sub) == "active"
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_who_must_act_is_reminded_and_has_a_day_after_the_last_step(world: World) -> None:
    await world.policy(steps=(Step(1), Step(3)), is_default=True)
    asked = ("subscription.renewed", "invoice.finalized", "payment.action_required")
    case = await late(world, "pm_sim_requires_action", (*asked, "dunning_run.started"))
    assert (await case.run())["waiting_for"] == "customer"
    await case.after(1, "dunning_run.reminder")
    await case.after(3, "dunning_run.reminder")
    # Nobody charges it meanwhile; a day later it ends, and what waited is given up.
    await case.after(4, "dunning_run.exhausted", "subscription.canceled", "payment.voided")
    assert len(world.charges()) == 2
    await world.assert_clean()


async def sent(world: World, **options: Any) -> tuple[UUID, UUID]:
    """A subscription whose invoices are sent, due after ten days: it, and its first invoice."""
    customer = await world.customer(None)
    terms = {"collection": Collection.SEND_INVOICE, "net_days": 10}
    sub = await world.subscribe(customer, await world.price("1000"), **terms, **options)
    await world.told()
    return sub, (await world.invoice(sub))["id"]


async def test_an_invoice_that_was_sent_and_is_overdue_is_reminded_of(world: World) -> None:
    sub, invoice = await sent(world)
    # Sent on 31 January, due on 10 February; reminded of on days 1 and 7, and kept.
    await world.advance(days=9, expect=[])
    await world.advance(days=1, expect=["subscription.past_due", "dunning_run.started"])
    await world.advance(days=1, expect=["dunning_run.reminder"])
    await world.advance(days=6, expect=["dunning_run.exhausted"])
    assert await world.status(sub) == "past_due"
    assert (await run_of(world, invoice))["final_action"] == "keep"
    await world.pay_outside(invoice)
    await world.expect(*PAID, "subscription.activated")
    await world.assert_clean()


async def test_a_transfer_that_comes_late_ends_the_reminders(world: World) -> None:
    sub, invoice = await sent(world)
    await world.advance_quietly(days=11)
    await world.pay_outside(invoice)
    await world.expect(*RECOVERED)
    await world.advance(days=10, expect=[])
    assert await world.status(sub) == "active"
    await world.assert_clean()


async def test_who_never_pays_what_was_sent_is_ended_as_the_policy_says(world: World) -> None:
    await world.policy(
        reminders=(Step(3, is_attempt=False, channels=("letter",)), Step(5, is_attempt=False)),
        overdue_action=FinalAction.CANCEL,
        is_default=True,
    )
    sub, _ = await sent(world)
    await world.advance_quietly(days=10)
    await world.advance(days=3, expect=["dunning_run.reminder"])
    await world.advance(days=2, expect=GIVEN_UP)
    assert await world.status(sub) == "canceled"
    await world.assert_clean()


async def test_what_was_sent_is_overdue_on_a_test_clock_too(world: World) -> None:
    clock = await world.test_clock()
    customer = await world.customer(None, test_clock_id=clock)
    terms = {"collection": Collection.SEND_INVOICE, "net_days": 10}
    sub = await world.subscribe(customer, await world.price("1000"), **terms)
    await world.turn(clock, at(2026, 2, 20))
    assert await world.status(sub) == "past_due"
    run = await run_of(world, (await world.invoice(sub))["id"])
    assert (run["status"], run["step"]) == ("exhausted", 2)
    await world.assert_clean()
