"""Dunning told as stories: what is tried again when, by what method, and what must not be."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from app.db import payments as payment_rows
from app.domain.dunning_policy import Step
from app.domain.outcome import Succeeded
from app.domain.shop_paying import SOFT
from app.services import (
    customers,
    dunning,
    payment_methods,
    payments,
    subscriptions,
)
from app.services.customers import UpdateCustomer
from app.services.payment_methods import UpdatePaymentMethod
from app.services.subscriptions import UpdateSubscription
from tests.dunned import (
    AGAIN,
    GIVEN_UP,
    RECOVERED,
    at,
    dunned_world,
    late,
)
from tests.simulator import SimulatorProcess
from tests.world import DECLINED, World


@pytest.fixture
async def world(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    async with dunned_world(clean_database, simulator) as opened:
        yield opened


async def test_a_soft_decline_is_tried_again_on_days_1_3_5_and_7_and_then_it_is_canceled(
    world: World,
) -> None:
    case = await late(world)
    run = await case.run()
    assert (run["status"], run["next_attempt_at"]) == ("active", at(2026, 3, 1, 9))
    for day in (1, 3, 5):
        await case.after(day, *AGAIN)
    await case.after(7, *DECLINED, *GIVEN_UP)
    assert await world.status(case.sub) == "canceled"
    run = await case.run()
    assert (run["status"], run["final_action"], run["attempts"]) == ("exhausted", "cancel", 5)
    tried = [row["created_at"].day for row in (await world.attempts())[1:]]
    assert tried == [28, 1, 3, 5, 7]
    assert (await world.invoice(case.sub))["status"] == "open"
    await world.advance(days=60, expect=[])
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


async def test_a_retry_that_succeeds_recovers_it(world: World) -> None:
    case = await late(world, "pm_sim_succeeds_after_3_declines")
    await case.after(1, *AGAIN)
    await case.after(3, *AGAIN)
    await case.after(5, *RECOVERED)
    run = await case.run()
    assert (run["status"], run["end_reason"]) == ("recovered", "paid")
    # 28 February, then days 1, 3 and 5: the fourth attempt.
    assert (run["amount_recovered"], run["recovered_by_attempt"]) == (1000, 4)
    assert await world.status(case.sub) == "active"
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_a_hard_decline_is_not_tried_again_and_ends_in_time_all_the_same(
    world: World,
) -> None:
    case = await late(world, "pm_sim_declined_lost_or_stolen")
    run = await case.run()
    assert (run["waiting_for"], run["next_attempt_at"]) == ("payment_method", None)
    for day in (1, 3, 5):
        await case.after(day, "dunning_run.reminder")
    await case.after(7, *GIVEN_UP)
    # The signup and the one renewal: nothing was asked of the card again.
    assert len(world.charges()) == 2
    await world.assert_clean()


@pytest.mark.parametrize(
    "token",
    [
        "pm_sim_declined_expired",
        "pm_sim_declined_mandate_revoked",
        "pm_sim_declined_fraud",
        "pm_sim_declined_authentication_required",
    ],
)
async def test_what_only_the_customer_can_mend_waits_for_another_method(
    world: World, token: str
) -> None:
    case = await late(world, token)
    await case.after(1, "dunning_run.reminder")
    await world.attach(case.customer, "pm_sim_ok")
    await world.advance(minutes=1, expect=("dunning_run.retry_scheduled", *RECOVERED))
    assert world.charged() == [(1000, "EUR")] * 2
    assert (await case.run())["status"] == "recovered"
    await world.assert_clean()


async def test_a_new_default_method_is_tried_at_once_and_counts_no_step(world: World) -> None:
    case = await late(world)
    await world.attach(case.customer, "pm_sim_declined_do_not_honor")
    await world.advance(minutes=5, expect=("dunning_run.retry_scheduled", *AGAIN))
    run = await case.run()
    # Tried on 28 February at 9:00 and 9:05; the schedule is as it was.
    assert (run["attempts"], run["next_attempt_at"]) == (2, at(2026, 3, 1, 9))
    await case.after(1, *AGAIN)
    await world.assert_clean()


async def test_a_method_that_is_attached_without_being_the_default_changes_nothing(
    world: World,
) -> None:
    case = await late(world)
    await world.attach(case.customer, "pm_sim_ok", default=False)
    await world.advance(hours=1, expect=[])
    await case.after(1, *AGAIN)
    await world.assert_clean()


async def test_a_subscription_that_is_given_another_method_is_tried_with_it_at_once(
    world: World,
) -> None:
    case = await late(world, "pm_sim_declined_lost_or_stolen")
    other = await world.attach(case.customer, "pm_sim_ok", default=False)
    cmd = UpdateSubscription(case.sub, {"payment_method_id": other})
    await subscriptions.update(world.rt, world.caller, cmd)
    await world.advance(
        minutes=1,
        expect=("subscription.updated", "dunning_run.retry_scheduled", *RECOVERED),
    )
    await world.assert_clean()


async def test_a_customer_who_chooses_another_default_is_tried_with_it_at_once(
    world: World,
) -> None:
    case = await late(world, "pm_sim_declined_expired")
    other = await world.attach(case.customer, "pm_sim_ok", default=False)
    changes = {"default_payment_method_id": other}
    await customers.update(world.rt, world.caller, UpdateCustomer(case.customer, changes))
    await world.advance(minutes=1, expect=("dunning_run.retry_scheduled", *RECOVERED))
    await world.assert_clean()


async def test_a_card_whose_expiry_is_corrected_is_tried_at_once(world: World) -> None:
    case = await late(world, "pm_sim_declined_expired")
    [method] = await world.fetch("SELECT * FROM payment_methods WHERE refused_at IS NOT NULL")
    assert method["gateway_reference"].startswith("pm_sim_declined_expired")
    cmd = UpdatePaymentMethod(method["id"], {"expiry_month": 1, "expiry_year": 2040})
    await payment_methods.update(world.rt, world.caller, cmd)
    await world.advance(
        minutes=1, expect=("dunning_run.retry_scheduled", *DECLINED, "dunning_run.waiting")
    )
    assert (await case.run())["attempts"] == 2
    await world.assert_clean()


async def test_the_merchants_own_fault_is_tried_again_but_ends_nothing(world: World) -> None:
    case = await late(world, "pm_sim_declined_account_not_enabled")
    for day in (1, 3, 5):
        await case.after(day, *AGAIN)
    await case.after(7, *DECLINED, "dunning_run.exhausted")
    run = await case.run()
    assert (run["end_reason"], run["final_action"]) == ("configuration", "keep")
    assert await world.status(case.sub) == "past_due"
    await world.assert_clean()


async def test_a_first_payment_is_not_dunned(world: World) -> None:
    customer = await world.customer("pm_sim_declined_insufficient_funds")
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.expect("subscription.created", "invoice.finalized", *DECLINED)
    await world.advance(hours=23, expect=["invoice.voided", "subscription.incomplete_expired"])
    assert await world.status(sub) == "incomplete_expired"
    assert await world.fetch("SELECT * FROM dunning_runs") == []
    await world.assert_clean()


async def test_nothing_is_tried_or_ended_while_an_outcome_is_not_known(world: World) -> None:
    await world.policy(steps=(Step(1),), is_default=True)
    case = await late(world)
    other = await world.attach(case.customer, "pm_sim_pending_forever", default=False)
    await world.pay(case.invoice, other)
    await world.expect("payment.processing")
    await case.after(1)
    await case.after(2)
    assert await world.status(case.sub) == "past_due"
    assert (await case.run())["status"] == "active"
    assert len([c for c in world.charges() if c["status"] == "pending"]) == 1


async def test_an_answer_that_was_lost_is_settled_before_anything_else_is_tried(
    world: World,
) -> None:
    case = await late(world)
    lost = await world.attach(case.customer, "pm_sim_timeout")
    await world.advance(minutes=1, expect=["dunning_run.retry_scheduled", "payment.unknown"])
    assert lost
    await world.advance(minutes=5, expect=RECOVERED)
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_no_more_attempts_than_the_policy_allows(world: World) -> None:
    await world.policy(steps=tuple(Step(n) for n in range(1, 8)), attempts_max=3, is_default=True)
    case = await late(world)
    await case.after(1, *AGAIN)
    # The first one and two more; then steps are reminders, up to the end on day 7.
    await case.after(2, *DECLINED)
    for day in (3, 4, 5, 6):
        await case.after(day, "dunning_run.reminder")
    await case.after(7, *GIVEN_UP)
    assert len(await world.attempts()) == 4
    await world.assert_clean()


async def test_the_schemes_limit_counts_the_same_amount_on_the_same_card(world: World) -> None:
    # Twelve hourly steps: the default limit of the schemes is 15 of one amount in 30 days, for two
    # subscriptions at one price together.
    steps = tuple(Step(0, hours) for hours in range(1, 13))
    await world.policy(steps=steps, is_default=True)
    customer = await world.customer()
    price = await world.price("1000")
    for _ in range(2):
        await world.subscribe(customer, price)
    await world.attach(customer, "pm_sim_declined_do_not_honor")
    await world.advance_quietly(days=28)
    for _ in range(13):
        await world.advance_quietly(hours=1)
    declined = [c for c in world.charges() if c["status"] == "declined"]
    assert len(declined) == 15
    assert {r["status"] for r in await world.fetch("SELECT status FROM dunning_runs")} == {
        "exhausted"
    }
    await world.assert_clean()


@pytest.mark.parametrize("day", [0, 1])
async def test_money_that_came_after_all_stops_further_attempts_until_somebody_has_looked(
    world: World, day: int
) -> None:
    case = await late(world)
    if day:  # between two attempts, or with the next one planned
        await case.after(1, *AGAIN)
    attempt = (await world.attempts())[-1]
    [(known, _)] = await attempts_of(world, attempt["id"])
    captured = Succeeded("ch_late", 1000, "EUR")
    await payments.settle_all(world.rt, [(known, captured)], world.now, heard=True)
    assert await world.told() == ["dunning_run.paused"]
    assert (await case.run())["status"] == "paused"
    made = len(await world.attempts())
    await world.advance_quietly(days=20)
    assert len(await world.attempts()) == made
    assert await world.status(case.sub) == "past_due"


async def test_money_that_came_while_another_attempt_was_under_way_stops_what_would_follow(
    world: World, simulator: SimulatorProcess
) -> None:
    case = await late(world)
    first = (await world.attempts())[-1]
    simulator.set_faults({"kind": "timeout_before_effect", "count": 2})
    await case.after(1, "payment.unknown")
    [(known, _)] = await attempts_of(world, first["id"])
    captured = Succeeded("ch_late", 1000, "EUR")
    await payments.settle_all(world.rt, [(known, captured)], world.now, heard=True)
    assert await world.told() == []
    [(second, _)] = await attempts_of(world, (await world.attempts())[-1]["id"])
    await payments.settle_all(world.rt, [(second, SOFT)], world.now)
    assert await world.told() == [*DECLINED, "dunning_run.paused"]
    made = len(await world.attempts())
    await world.advance_quietly(days=20)
    assert len(await world.attempts()) == made


@pytest.mark.parametrize("meanwhile", ["paused", "stopped", "canceled", "paid_late"])
async def test_what_was_never_executed_is_not_made_up_for_once_nothing_is_to_be_tried(
    world: World, simulator: SimulatorProcess, meanwhile: str
) -> None:
    """The gateway knows no keys: only its absence proves that the first retry took no money."""
    case = await late(world)
    first = (await world.attempts())[-1]
    await world.speak_as("none")
    simulator.set_faults({"kind": "error_500_before", "count": 1})
    await case.after(1, "payment.unknown")
    match meanwhile:
        case "paused":
            await dunning.pause(world.rt, world.caller, (await case.run())["id"])
        case "stopped":
            await dunning.stop(world.rt, world.caller, (await case.run())["id"])
        case "canceled":
            await world.cancel(case.sub)
        case _:
            [(known, _)] = await attempts_of(world, first["id"])
            captured = Succeeded("ch_late", 1000, "EUR")
            await payments.settle_all(world.rt, [(known, captured)], world.now, heard=True)
    for _ in range(5):
        await world.advance_quietly(minutes=10)
    assert [a["status"] for a in await world.attempts()] == ["succeeded", "failed", "canceled"]
    [payment] = [p for p in await world.payments() if p["invoice_id"] == case.invoice]
    assert payment["status"] == "requires_payment_method"


async def attempts_of(world: World, attempt_id: UUID) -> Any:
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        return await payment_rows.lock_attempts(tx, [(world.caller.merchant_id, attempt_id)])
