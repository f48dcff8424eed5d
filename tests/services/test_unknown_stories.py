"""What becomes of charges whose answer did not come: never charged twice, always found out.

The judge is the simulator's own ledger, never what our books say they charged.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import pytest

from app.domain.errors import Conflict
from app.domain.outcome import Succeeded
from app.domain.reconciling import Repair
from app.services import (
    payment_methods,
    payments,
    reconciliation,
    reconciliation_repairs,
    renewals,
)
from app.services.reconciliation_repairs import RepairDifference
from tests.simulator import SimulatorProcess
from tests.world import DECLINED, PAID, RENEWED, START, World, open_world

UNKNOWN = ("subscription.created", "invoice.finalized", "payment.unknown")


@pytest.fixture
async def hasty(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    """A shop that waits for its gateway's answer no longer than a second."""
    simulator.clear_faults()
    async with open_world(clean_database, simulator, gateway_timeout_seconds=1) as opened:
        yield opened
    simulator.clear_faults()


@pytest.mark.parametrize(
    ("fault", "moved"),
    [
        ("timeout_before_effect", False),
        ("timeout_after_effect", True),
        ("error_500_before", False),
        ("error_500_after", True),
        ("cut_body", True),
    ],
)
async def test_an_answer_that_did_not_come_is_found_out_and_never_charged_twice(
    hasty: World, simulator: SimulatorProcess, fault: str, moved: bool
) -> None:
    simulator.set_fault(fault, count=1)
    sub = await hasty.subscribe(await hasty.customer(), await hasty.price("1000"))
    await hasty.expect(*UNKNOWN)
    assert hasty.charged() == ([(1000, "EUR")] if moved else [])
    # Until it is known nothing else may charge, void or settle the invoice.
    invoice = (await hasty.invoice(sub))["id"]
    for refused in (hasty.pay(invoice), hasty.void(invoice), hasty.pay_outside(invoice)):
        with pytest.raises(Conflict):
            await refused
    await hasty.advance(minutes=1, expect=[*PAID, "subscription.activated"])
    assert hasty.charged() == [(1000, "EUR")]
    assert len(await hasty.attempts()) == 1
    await hasty.assert_clean()


async def test_an_unknown_charge_that_was_declined_is_found_declined(
    world: World, simulator: SimulatorProcess
) -> None:
    simulator.set_fault("error_500_after", count=1)
    customer = await world.customer("pm_sim_declined_do_not_honor")
    await world.subscribe(customer, await world.price("1000"))
    await world.expect(*UNKNOWN)
    await world.advance(minutes=1, expect=DECLINED)
    assert world.charged() == []
    await world.assert_clean()


async def test_a_charge_that_was_turned_away_is_sent_again_with_its_own_key(
    world: World, simulator: SimulatorProcess
) -> None:
    simulator.set_fault("error_429", count=1)
    await world.subscribe(await world.customer(), await world.price("1000"))
    await world.expect("subscription.created", "invoice.finalized")
    [payment] = await world.payments()
    assert payment["status"] == "processing"
    await world.advance(minutes=1, expect=[*PAID, "subscription.activated"])
    assert [a["ordinal"] for a in await world.attempts()] == [1]
    await world.assert_clean()


async def test_a_gateway_that_is_down_for_hours_is_paid_once_when_it_is_back(
    world: World, simulator: SimulatorProcess
) -> None:
    sub = await world.subscribed("1000")
    simulator.kill()
    try:
        await world.advance(months=1, expect=["subscription.renewed", "invoice.finalized"])
        for _ in range(5):
            await world.advance(hours=1, expect=[])
    finally:
        simulator.restart()
    await world.advance(hours=1, expect=PAID)
    assert await world.status(sub) == "active"
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_an_effect_that_comes_late_is_waited_for(
    world: World, simulator: SimulatorProcess
) -> None:
    simulator.set_fault("late_effect", count=1, delay_ms=400)
    await world.subscribe(await world.customer(), await world.price("1000"))
    await world.expect(*UNKNOWN)
    await world.advance(seconds=30, expect=[])  # not there yet, and the key is still running
    await world.gateway_moves(1)
    await world.advance(minutes=2, expect=[*PAID, "subscription.activated"])
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


async def test_a_repetition_that_is_refused_says_nothing_about_the_first_call(
    world: World, simulator: SimulatorProcess
) -> None:
    # The first call will have its effect late; its repetition meets another refusal meanwhile.
    simulator.set_fault("late_effect", count=1, delay_ms=400)
    await world.subscribe(await world.customer(), await world.price("1000"))
    await world.expect(*UNKNOWN)
    simulator.set_fault("error_429", operations=["charge"])
    await world.advance(seconds=30, expect=[])
    [attempt] = await world.attempts()
    assert attempt["status"] == "unknown"
    await world.gateway_moves(1)
    await world.advance(minutes=2, expect=[*PAID, "subscription.activated"])
    await world.assert_clean()


async def test_a_method_detached_meanwhile_does_not_hide_what_became_of_the_charge(
    world: World, simulator: SimulatorProcess
) -> None:
    simulator.set_fault("error_500_after", count=1)
    await world.subscribe(await world.customer(), await world.price("1000"))
    [method] = await world.fetch("SELECT id FROM payment_methods")
    await payment_methods.detach(world.rt, world.caller, method["id"])
    await world.told()
    await world.advance(minutes=1, expect=[*PAID, "subscription.activated"])
    await world.assert_clean()


async def test_a_gateway_that_charged_twice_is_told_to_a_person(
    hasty: World, simulator: SimulatorProcess
) -> None:
    simulator.set_faults(
        {"kind": "latency", "delay_ms": 1300, "count": 1}, {"kind": "duplicate", "count": 1}
    )
    await hasty.subscribe(await hasty.customer(), await hasty.price("1000"))
    await hasty.expect(*UNKNOWN)
    await hasty.gateway_moves(2)
    told = [*PAID, "subscription.activated", "reconciliation_difference.found"]
    await hasty.advance(minutes=1, expect=told)
    [attempt] = await hasty.attempts()
    assert attempt["detail"].startswith("manual_review: the gateway has it more than once")
    [difference] = await hasty.fetch("SELECT * FROM reconciliation_differences")
    assert (difference["kind"], difference["amount_there"]) == ("charged_twice", 1000)
    assert await hasty.broken() == ["nothing_awaits_review"]
    await reconciliation_repairs.repair(
        hasty.rt, hasty.caller, RepairDifference(difference["id"], Repair.REFUND)
    )
    assert hasty.refunded() == [1000]
    assert await hasty.broken() == []


async def test_a_gateway_that_refunded_twice_is_told_to_a_person_at_once(
    hasty: World, simulator: SimulatorProcess
) -> None:
    await hasty.subscribed("1000")
    [payment] = await hasty.payments()
    fault = {"count": 1, "operations": ["refund"]}
    simulator.set_faults(
        {"kind": "latency", "delay_ms": 1300, **fault}, {"kind": "duplicate", **fault}
    )
    await hasty.refund(payment["id"], 400)
    await hasty.expect()
    await hasty.gateway_moves(3)
    told = ["refund.succeeded", "reconciliation_difference.found"]
    await hasty.advance(minutes=1, expect=told)
    [refund] = await hasty.fetch("SELECT * FROM refunds")
    assert refund["detail"].startswith("manual_review: the gateway has it more than once")
    [difference] = await hasty.fetch("SELECT * FROM reconciliation_differences")
    assert (difference["kind"], difference["amount_there"]) == ("refund_unknown_here", 400)
    assert await hasty.broken() == ["nothing_awaits_review"]
    await reconciliation_repairs.repair(hasty.rt, hasty.caller, RepairDifference(difference["id"]))
    assert (await hasty.payments())[0]["amount_refunded"] == 800
    assert await hasty.broken() == []


async def test_what_cannot_be_found_out_is_handed_to_a_person_and_charged_no_more(
    world: World, simulator: SimulatorProcess
) -> None:
    sub = await world.subscribed("1000")
    simulator.set_fault("error_500_before", operations=["charge", "lookup"])
    unknown = ["subscription.renewed", "invoice.finalized", "payment.unknown"]
    await world.advance(months=1, expect=unknown)
    for _ in range(14):
        await world.advance(days=1, expect=[])
    [_, attempt] = await world.attempts()
    assert attempt["look_up_at"] is None
    assert attempt["detail"].startswith("manual_review: ")
    simulator.clear_faults()
    await world.advance(days=1, expect=[])
    with pytest.raises(Conflict):
        await world.pay((await world.invoice(sub))["id"])
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean(but=["nothing_awaits_review"])


async def test_what_is_in_flight_where_an_account_opens_no_more_is_handed_to_a_person_too(
    world: World, simulator: SimulatorProcess, administrator: asyncpg.Connection
) -> None:
    await world.subscribed("1000")
    [payment] = await world.payments()
    simulator.set_fault("error_500_after", operations=["charge", "refund"])
    await world.refund(payment["id"], 400)
    await world.subscribe(await world.customer(), await world.price("1000"))
    await world.expect(*UNKNOWN)
    [before] = await administrator.fetch(
        "UPDATE gateway_accounts g SET credentials_ciphertext = 'x.unreadable'"
        "  FROM gateway_accounts o WHERE o.id = g.id RETURNING o.credentials_ciphertext"
    )
    for _ in range(14):
        await world.advance(days=1, expect=[])
    waiting = [(await world.attempts())[1], *await world.fetch("SELECT * FROM refunds")]
    assert {row["look_up_at"] for row in waiting} == {None}
    assert all(row["detail"].startswith("manual_review: the account") for row in waiting)
    # Whoever mends the account has them asked for once more.
    await administrator.execute(
        "UPDATE gateway_accounts SET credentials_ciphertext = $1", before["credentials_ciphertext"]
    )
    await reconciliation.schedule_due(world.rt)
    await reconciliation.run_due(world.rt)
    told = await world.told()
    assert {"payment.succeeded", "refund.succeeded"} <= set(told)
    assert (world.charged(), world.refunded()) == ([(1000, "EUR")] * 2, [400])


async def test_the_next_period_is_billed_and_paid_while_the_last_is_unknown(
    world: World, simulator: SimulatorProcess
) -> None:
    await world.subscribed("1000")
    simulator.set_fault("error_500_before", operations=["charge", "lookup"])
    unknown = ["subscription.renewed", "invoice.finalized", "payment.unknown"]
    await world.advance(months=1, expect=unknown)
    simulator.clear_faults()
    await world.advance(months=1, expect=RENEWED)
    await world.advance(minutes=1, expect=PAID)
    assert world.charged() == [(1000, "EUR")] * 3
    await world.assert_clean()


async def test_answers_settle_once_however_often_they_come(
    world: World, simulator: SimulatorProcess
) -> None:
    simulator.set_fault("error_500_after", count=1)
    await world.subscribe(await world.customer(), await world.price("1000"))
    await world.told()
    attempt = await world.last_attempt()
    answer = Succeeded("ch_sim_1", 1000, "EUR")
    for _ in range(3):
        await payments.settle_all(world.rt, [(attempt, answer)], world.now)
    await world.expect(*PAID, "subscription.activated")


async def test_a_wrong_amount_is_not_believed(world: World, simulator: SimulatorProcess) -> None:
    simulator.set_fault("error_500_before", count=1)
    await world.subscribe(await world.customer(), await world.price("1000"))
    await world.told()
    attempt = await world.last_attempt()
    for answer in (Succeeded("ch_1", 999, "EUR"), Succeeded("ch_1", 1000, "USD")):
        await payments.settle_all(world.rt, [(attempt, answer)], world.now)
    await world.expect()
    assert (await world.payments())[0]["status"] == "unknown"
    assert (await world.last_attempt()).detail == "manual_review: the gateway took 1000 USD"


async def test_money_that_moved_after_its_attempt_was_closed_is_told_to_a_person(
    world: World, simulator: SimulatorProcess
) -> None:
    customer = await world.customer("pm_sim_declined_do_not_honor")
    await world.subscribe(customer, await world.price("1000"))
    await world.told()
    attempt = await world.last_attempt()
    await payments.settle_all(world.rt, [(attempt, Succeeded("ch_9", 1000, "EUR"))], world.now)
    await world.expect()
    after = await world.last_attempt()
    assert (after.status, after.gateway_reference) == ("failed", attempt.gateway_reference)
    assert after.detail == "manual_review: captured as ch_9 after it was closed"
    await world.assert_clean(but=["nothing_awaits_review"])


async def test_a_run_that_takes_long_does_not_begin_attempts_in_the_past(
    clean_database: str, simulator: SimulatorProcess
) -> None:
    """An attempt that bears the time its run began would be looked up while it is being sent, be
    found absent, and be charged again under another key.
    """
    clock = Hurried(START)
    async with open_world(clean_database, simulator, clock=clock, charges_in_flight=1) as world:
        price = await world.price("100")
        for _ in range(12):  # more than one chunk of ten
            await world.subscribe(
                await world.customer(), price, start_at=START + timedelta(days=30)
            )
        clock.at = START + timedelta(days=30)
        await renewals.renew_due(world.rt)
        clock.step = timedelta(seconds=20)
        await payments.collect_due(world.rt)
        rows = await world.attempts()
        begun = sorted({row["created_at"] for row in rows})
        assert len(begun) > 1
        # Ten calls of twenty seconds each went before the second chunk.
        assert begun[1] - begun[0] >= timedelta(seconds=60)


@dataclass
class Hurried:
    """A clock that moves on by `step` whenever it is read."""

    at: datetime
    step: timedelta = timedelta(0)

    def now(self) -> datetime:
        self.at += self.step
        return self.at
