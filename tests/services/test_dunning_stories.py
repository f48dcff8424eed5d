"""Dunning told as stories: when what fails is tried again, who is told, and how it ends."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.db import dunning_due
from app.db import payments as payment_rows
from app.domain.dunning_policy import FinalAction, Step, UnpaidInvoice
from app.domain.errors import Conflict, InvalidRequest
from app.domain.invoice import Collection
from app.domain.outcome import Succeeded
from app.domain.payment import OfflineMethod
from app.domain.shop_dunning import DECLINED as SOFT
from app.services import (
    customers,
    dunning,
    dunning_policies,
    offline_payments,
    payment_methods,
    payments,
    recovery,
    status,
    subscriptions,
)
from app.services.customers import UpdateCustomer
from app.services.dunning_policies import UpdateDunningPolicy
from app.services.payment_methods import UpdatePaymentMethod
from app.services.subscriptions import UpdateSubscription
from tests.simulator import SimulatorProcess
from tests.world import DECLINED, PAID, START, World, open_world

BEHIND = (
    "subscription.renewed",
    "invoice.finalized",
    *DECLINED,
    "subscription.past_due",
    "dunning_run.started",
)
AGAIN = (*DECLINED, "dunning_run.retry_scheduled")
GIVEN_UP = ("subscription.canceled", "dunning_run.exhausted")
RECOVERED = (*PAID, "subscription.activated", "dunning_run.recovered")


FAILED = datetime(2026, 2, 28, 9, tzinfo=UTC)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.fixture
async def world(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    """A shop whose customers are dunned as a new merchant's are."""
    simulator.clear_faults()
    options = {"dunned": True, "gateway_timeout_seconds": 1}
    async with open_world(clean_database, simulator, **options) as opened:
        yield opened
    simulator.clear_faults()


@dataclass
class Late:
    """A customer whose renewal on 28 February was declined."""

    world: World
    customer: UUID
    sub: UUID
    invoice: UUID

    async def run(self) -> Any:
        return await run_of(self.world, self.invoice)

    async def after(self, days: int, *expect: str) -> None:
        """So many days after the first failure; what was told on the way."""
        await self.world.advance(to=FAILED + timedelta(days=days), expect=expect)


async def run_of(world: World, invoice: UUID) -> Any:
    [row] = await world.fetch("SELECT * FROM dunning_runs WHERE invoice_id = $1", invoice)
    return row


async def late(
    world: World,
    token: str = "pm_sim_declined_insufficient_funds",
    expect: tuple[str, ...] = BEHIND,
    **options: Any,
) -> Late:
    """A subscription at 1000 a month whose second month cannot be charged to `token`."""
    customer = await world.customer(**options)
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.attach(customer, token)
    await world.told()
    await world.advance(months=1, expect=expect)
    return Late(world, customer, sub, (await world.invoice(sub))["id"])


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


async def test_several_renewals_that_fail_have_each_their_own_and_end_once(world: World) -> None:
    steps = (Step(20), Step(40))
    await world.policy(steps=steps, is_default=True)
    case = await late(world)
    await case.after(20, *AGAIN)
    # 31 March: the next renewal fails too, and has its own.
    await world.advance(
        to=at(2026, 3, 31, 9),
        expect=("subscription.renewed", "invoice.finalized", *DECLINED, "dunning_run.started"),
    )
    march = (await world.invoice(case.sub))["id"]
    assert march != case.invoice
    # 9 April, 40 days after the first failure: the subscription ends, and the second one with it.
    await case.after(40, *DECLINED, *GIVEN_UP, "dunning_run.stopped")
    assert (await case.run())["status"] == "exhausted"
    assert (await run_of(world, march))["end_reason"] == "subscription_ended"
    await world.advance(days=60, expect=[])
    await world.assert_clean()


async def test_what_was_paid_since_is_not_ended_for_an_older_invoice(world: World) -> None:
    await world.policy(steps=(Step(40),), is_default=True)
    case = await late(world)
    [bad] = await world.fetch(
        "SELECT id FROM payment_methods WHERE gateway_reference LIKE 'pm_sim_declined%'"
    )
    good = await world.attach(case.customer, "pm_sim_ok", default=False)
    await world.advance(
        to=at(2026, 3, 31, 9),
        expect=("subscription.renewed", "invoice.finalized", *DECLINED, "dunning_run.started"),
    )
    await world.pay((await world.invoice(case.sub))["id"], good)
    await world.expect(*RECOVERED)
    await world.pay(case.invoice, bad["id"])
    await world.expect(*AGAIN)
    await case.after(40, *DECLINED, "dunning_run.exhausted")
    assert await world.status(case.sub) == "active"
    assert (await case.run())["final_action"] == "keep"
    await world.assert_clean()


@pytest.mark.parametrize(
    ("action", "status", "told"),
    [
        (FinalAction.CANCEL, "canceled", ["subscription.canceled"]),
        (FinalAction.UNPAID, "unpaid", ["subscription.unpaid"]),
        (FinalAction.PAUSE, "paused", ["subscription.paused"]),
        (FinalAction.KEEP, "past_due", []),
    ],
)
async def test_it_ends_as_the_policy_says(
    world: World, action: FinalAction, status: str, told: list[str]
) -> None:
    await world.policy(steps=(Step(1),), final_action=action, is_default=True)
    case = await late(world)
    await case.after(1, *DECLINED, *told, "dunning_run.exhausted")
    assert await world.status(case.sub) == status
    assert (await case.run())["final_action"] == action
    await world.assert_clean()


async def test_the_invoice_can_be_written_off_in_the_end(world: World) -> None:
    await world.policy(
        steps=(Step(1),), unpaid_invoice=UnpaidInvoice.MARK_UNCOLLECTIBLE, is_default=True
    )
    case = await late(world)
    await case.after(1, *DECLINED, *GIVEN_UP, "invoice.marked_uncollectible")
    assert (await world.invoice(case.sub))["status"] == "uncollectible"
    await world.assert_clean()


async def test_an_unpaid_subscription_runs_again_once_its_invoice_is_paid(world: World) -> None:
    await world.policy(steps=(Step(1),), final_action=FinalAction.UNPAID, is_default=True)
    case = await late(world)
    await case.after(1, *DECLINED, "subscription.unpaid", "dunning_run.exhausted")
    good = await world.attach(case.customer, "pm_sim_ok")
    await world.pay(case.invoice, good)
    await world.expect(*PAID, "subscription.activated")
    assert (await case.run())["status"] == "exhausted"
    await world.assert_clean()


async def test_a_renewal_without_a_method_is_reminded_of_and_charged_when_one_comes(
    world: World,
) -> None:
    customer = await world.customer(None)
    sub = await world.subscribe(customer, await world.price("1000"), start_at=at(2026, 2, 1))
    await world.told()
    await world.advance(
        to=at(2026, 2, 1),
        expect=[
            "subscription.activated",
            "invoice.finalized",
            "subscription.past_due",
            "dunning_run.started",
        ],
    )
    await world.advance(to=at(2026, 2, 2), expect=["dunning_run.reminder"])
    await world.attach(customer, "pm_sim_ok")
    await world.advance(minutes=1, expect=("dunning_run.retry_scheduled", *RECOVERED))
    run = await run_of(world, (await world.invoice(sub))["id"])
    assert (run["first_category"], run["recovered_by_attempt"]) == (None, 1)
    await world.assert_clean()


async def test_a_card_that_was_refused_is_not_charged_for_the_next_period_either(
    world: World,
) -> None:
    await world.policy(steps=(Step(40),), is_default=True)
    case = await late(world, "pm_sim_declined_lost_or_stolen")
    asked = len(world.charges())
    await world.advance(
        to=at(2026, 3, 31, 9),
        expect=[
            "subscription.renewed",
            "invoice.finalized",
            "dunning_run.started",
            "dunning_run.waiting",
        ],
    )
    assert len(world.charges()) == asked
    # One card for both: they are tried with it at once, and the latest makes it good.
    await world.attach(case.customer, "pm_sim_ok")
    await world.advance(
        minutes=1,
        expect=["dunning_run.retry_scheduled", "dunning_run.retry_scheduled"]
        + [*PAID, "dunning_run.recovered"] * 2
        + ["subscription.activated"],
    )
    await world.assert_clean()


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


async def test_a_first_payment_is_not_dunned(world: World) -> None:
    customer = await world.customer("pm_sim_declined_insufficient_funds")
    sub = await world.subscribe(customer, await world.price("1000"))
    await world.expect("subscription.created", "invoice.finalized", *DECLINED)
    await world.advance(hours=23, expect=["invoice.voided", "subscription.incomplete_expired"])
    assert await world.status(sub) == "incomplete_expired"
    assert await world.fetch("SELECT * FROM dunning_runs") == []
    await world.assert_clean()


async def test_the_plans_policy_comes_before_the_segments_and_that_before_the_default(
    world: World,
) -> None:
    plan = await world.plan()
    price = await world.price("1000", plan=plan)
    await world.policy(steps=(Step(2),), is_default=True)
    await world.policy(steps=(Step(3),), segment="friends")
    await world.policy(steps=(Step(4),), plan_ids=[plan])
    other = await world.price("1000")
    anybody = await world.customer()
    friend = await world.customer(metadata={"segment": "friends"})
    subs = [
        await world.subscribe(anybody, other),
        await world.subscribe(friend, other),
        await world.subscribe(friend, price),
    ]
    for customer in (anybody, friend):
        await world.attach(customer, "pm_sim_declined_do_not_honor")
    await world.advance_quietly(days=28)
    found = [await run_of(world, (await world.invoice(sub))["id"]) for sub in subs]
    assert [run["next_attempt_at"].day for run in found] == [2, 3, 4]


async def test_what_runs_goes_on_as_it_began_when_the_policy_changes(world: World) -> None:
    policy = await world.policy(steps=(Step(2), Step(4)), is_default=True)
    case = await late(world)
    cmd = UpdateDunningPolicy(policy, {"steps": (Step(20),)})
    await dunning_policies.update(world.rt, world.caller, cmd)
    await case.after(2, *AGAIN)
    assert (await case.run())["next_attempt_at"] == at(2026, 3, 4, 9)
    await world.assert_clean()


async def test_a_policy_that_is_ended_is_for_nobody(world: World) -> None:
    policy = await world.policy(steps=(Step(2),), is_default=True)
    cmd = UpdateDunningPolicy(policy, {"active": False})
    await dunning_policies.update(world.rt, world.caller, cmd)
    case = await late(world)
    assert (await case.run())["policy_id"] is None
    assert (await case.run())["next_attempt_at"] == at(2026, 3, 1, 9)


async def test_a_policy_whose_steps_make_no_sense_is_refused(world: World) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await world.policy(steps=(Step(3), Step(1), Step(0), Step(9, 4, at=time(9))))
    assert {problem.param for problem in refused.value.problems} == {
        "steps[1]",
        "steps[2]",
        "steps[3]",
    }


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


async def attempts_of(world: World, attempt_id: UUID) -> Any:
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        return await payment_rows.lock_attempts(tx, [(world.caller.merchant_id, attempt_id)])
