"""How dunning ends, told as stories: what becomes of the subscription, and by whose policy."""

from collections.abc import AsyncIterator
from datetime import time

import pytest

from app.domain.dunning_policy import FinalAction, Step, UnpaidInvoice
from app.domain.errors import InvalidRequest
from app.services import (
    dunning_policies,
)
from app.services.dunning_policies import UpdateDunningPolicy
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
