"""Dunning and people, told as stories: paused, stopped, paid in another way, looked at."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from app.db import dunning_due
from app.domain.dunning_policy import Step
from app.domain.errors import Conflict
from app.domain.payment import OfflineMethod
from app.services import (
    dunning,
    offline_payments,
    recovery,
    status,
)
from tests.dunned import (
    AGAIN,
    FAILED,
    GIVEN_UP,
    RECOVERED,
    at,
    dunned_world,
    late,
)
from tests.simulator import SimulatorProcess
from tests.world import DECLINED, START, World


@pytest.fixture
async def world(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    async with dunned_world(clean_database, simulator) as opened:
        yield opened


async def test_somebody_pauses_it_and_its_days_stand_still(world: World) -> None:
    case = await late(world)
    await case.after(1, *AGAIN)
    run = await case.run()
    await dunning.pause(world.rt, world.caller, run["id"])
    await world.expect("dunning_run.paused")
    await world.advance(days=10, expect=[])
    await dunning.resume(world.rt, world.caller, run["id"])
    await world.expect("dunning_run.resumed")
    # Day 3 would have been 3 March; it was paused for ten days on 1 March.
    assert (await case.run())["next_attempt_at"] == at(2026, 3, 13, 9)
    await world.advance(to=at(2026, 3, 13, 9), expect=AGAIN)
    await world.assert_clean()


async def test_somebody_stops_it_for_good(world: World) -> None:
    case = await late(world)
    run = await case.run()
    await dunning.stop(world.rt, world.caller, run["id"])
    await world.expect("dunning_run.stopped")
    await world.advance(days=20, expect=[])
    assert await world.status(case.sub) == "past_due"
    assert (await case.run())["end_reason"] == "by_hand"
    with pytest.raises(Conflict):
        await dunning.resume(world.rt, world.caller, run["id"])
    # What is declined later does not begin it again.
    await world.pay(case.invoice)
    await world.expect(*DECLINED)
    await world.advance(days=5, expect=[])
    await world.assert_clean()


async def test_a_method_that_comes_while_it_is_paused_is_tried_when_it_goes_on(
    world: World,
) -> None:
    case = await late(world, "pm_sim_declined_expired")
    run = await case.run()
    await dunning.pause(world.rt, world.caller, run["id"])
    await world.attach(case.customer, "pm_sim_ok")
    await world.advance(hours=1, expect=["dunning_run.paused"])
    await dunning.resume(world.rt, world.caller, run["id"])
    await world.tick()
    await world.expect("dunning_run.resumed", *RECOVERED)
    await world.assert_clean()


async def test_a_payment_by_hand_in_between_leaves_the_schedule_as_it_was(world: World) -> None:
    case = await late(world)
    await world.advance(hours=5, expect=[])
    await world.pay(case.invoice)
    await world.expect(*AGAIN)
    run = await case.run()
    assert (run["attempts"], run["next_attempt_at"]) == (2, at(2026, 3, 1, 9))
    await case.after(1, *AGAIN)
    await world.assert_clean()


async def test_a_payment_by_hand_that_succeeds_ends_it(world: World) -> None:
    case = await late(world)
    good = await world.attach(case.customer, "pm_sim_ok", default=False)
    await world.pay(case.invoice, good)
    await world.expect(*RECOVERED)
    await world.advance(days=20, expect=[])
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_a_refused_card_is_charged_by_hand_all_the_same(world: World) -> None:
    case = await late(world, "pm_sim_declined_lost_or_stolen")
    await world.pay(case.invoice)
    await world.expect(*DECLINED, "dunning_run.waiting")
    assert len(world.charges()) == 3
    await world.assert_clean()


async def test_a_card_that_was_refused_by_hand_is_not_what_the_schedule_tries(
    world: World,
) -> None:
    case = await late(world)
    [_, usual] = [row["payment_method_id"] for row in await world.attempts()]
    lost = await world.attach(case.customer, "pm_sim_declined_lost_or_stolen", default=False)
    await world.pay(case.invoice, lost)
    await world.expect(*AGAIN)
    await case.after(1, *AGAIN)
    used = [row["payment_method_id"] for row in await world.attempts()][1:]
    assert used == [usual, lost, usual]
    await world.assert_clean()


async def test_a_card_that_wants_its_customer_still_does_after_another_was_refused(
    world: World,
) -> None:
    case = await late(world, "pm_sim_declined_authentication_required")
    lost = await world.attach(case.customer, "pm_sim_declined_lost_or_stolen", default=False)
    await world.pay(case.invoice, lost)
    await world.told()
    await case.after(1, "dunning_run.reminder")
    assert len(await world.attempts()) == 3
    await world.assert_clean()


async def test_attempts_by_hand_count_for_the_limit_too(world: World) -> None:
    await world.policy(steps=(Step(1), Step(2), Step(3)), attempts_max=3, is_default=True)
    case = await late(world)
    await world.pay(case.invoice)
    await world.expect(*AGAIN)
    await case.after(1, *DECLINED)
    await case.after(2, "dunning_run.reminder")
    await case.after(3, *GIVEN_UP)
    assert len(await world.attempts()) == 4
    await world.assert_clean()


async def test_what_cannot_be_decided_is_set_aside_and_put_back_by_hand(world: World) -> None:
    case = await late(world, "pm_sim_declined_expired")
    run = await case.run()
    key = world.caller.merchant_id, run["id"]
    async with world.rt.db.begin_system() as tx:
        await dunning_due.park(tx, key, "for a reason", world.now)
    await case.after(1)
    [parked] = (await status.look(world.rt, world.caller.merchant_id)).parked.first
    assert (parked.kind, parked.reason) == ("dunning", "for a reason")
    await dunning.resume(world.rt, world.caller, run["id"])
    await world.advance(minutes=1, expect=["dunning_run.reminder"])
    await world.assert_clean()


async def test_one_sweep_by_hand_does_what_the_workers_do(world: World) -> None:
    await world.policy(steps=(Step(1),), is_default=True)
    case = await late(world)
    world.clock.set(FAILED + timedelta(days=1))
    swept = await status.sweep(world.rt)
    assert swept.attempts == 1
    assert await world.status(case.sub) == "canceled"
    await world.assert_clean()


async def test_recovery_is_told_in_figures(world: World) -> None:
    await world.policy(steps=(Step(1), Step(2)), is_default=True)
    lost = await late(world)
    customer = await world.customer()
    later = await world.subscribe(customer, await world.price("3000"))
    await world.attach(customer, "pm_sim_succeeds_after_1_declines")
    await world.told()
    await lost.after(1, *AGAIN)
    await world.advance_quietly(days=1)
    await world.advance_quietly(days=26)
    await world.advance_quietly(days=2)
    assert await world.status(later) == "active"
    found = await recovery.report(world.rt, world.caller, START, at(2026, 5, 1))
    [euro] = found.by_currency
    # One of 1000 was lost, one of 3000 came back at the second attempt: three quarters.
    assert (euro["runs"], euro["amount"]) == (2, 4000)
    assert (euro["recovered_runs"], euro["recovered_amount"]) == (1, 3000)
    assert (euro["lost_runs"], euro["open_runs"], euro["recovery_rate"]) == (1, 0, "75")
    assert [(row["category"], row["runs"]) for row in found.by_category] == [("soft", 2)]
    assert [(row["attempt"], row["amount"]) for row in found.by_attempt] == [(2, 3000)]
    assert [(row["month"], row["runs"]) for row in found.by_month] == [
        ("2026-02", 1),
        ("2026-03", 1),
    ]


async def test_what_was_paid_outside_is_dunned_no_more(world: World) -> None:
    case = await late(world)
    await world.pay_outside(case.invoice)
    await world.expect(*RECOVERED)
    run = await case.run()
    assert (run["amount_recovered"], run["recovered_by_attempt"]) == (1000, None)
    await world.advance(days=20, expect=[])
    await world.assert_clean()


async def test_a_voided_invoice_is_dunned_no_more(world: World) -> None:
    case = await late(world)
    await world.void(case.invoice)
    await world.expect("invoice.voided", "dunning_run.stopped")
    assert (await case.run())["end_reason"] == "voided"
    await world.advance(days=20, expect=[])
    assert await world.status(case.sub) == "past_due"
    await world.assert_clean()


async def test_an_invoice_that_is_written_off_is_dunned_no_more(world: World) -> None:
    case = await late(world)
    await world.write_off(case.invoice)
    await world.expect("invoice.marked_uncollectible", "dunning_run.stopped")
    assert (await case.run())["end_reason"] == "written_off"
    await world.advance(days=20, expect=[])
    await world.assert_clean()


async def test_a_canceled_subscription_is_dunned_no_more(world: World) -> None:
    case = await late(world)
    await world.cancel(case.sub)
    await world.expect("subscription.canceled", "dunning_run.stopped")
    [_, payment] = await world.payments()
    assert (payment["status"], payment["due_at"]) == ("requires_payment_method", None)
    assert (await case.run())["end_reason"] == "subscription_ended"
    await world.advance(days=20, expect=[])
    await world.assert_clean()


async def test_a_part_that_is_paid_leaves_the_rest_to_be_dunned(world: World) -> None:
    case = await late(world)
    cmd = offline_payments.RecordPayment(case.invoice, OfflineMethod.BANK_TRANSFER, 400)
    await offline_payments.record(world.rt, world.caller, cmd)
    await world.expect("payment.succeeded", "invoice.partially_paid")
    await world.attach(case.customer, "pm_sim_ok")
    await world.advance(minutes=1, expect=("dunning_run.retry_scheduled", *RECOVERED))
    # 400 by transfer, the other 600 by the card that came.
    assert world.charged()[-1] == (600, "EUR")
    assert (await case.run())["amount_recovered"] == 1000
    await world.assert_clean()
