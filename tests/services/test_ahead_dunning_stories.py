"""Dunning of bills that were made before their period, told as stories.

28.00 a month from 31 January at 9:00: the period from 28 February at 9:00 is billed on 26 February
at 7:00. The debit is refused on 26 February at 12:00, long before it was promised, and that is what
the days of its dunning count from: 1, 3, 5 and 7 days are 27 February, 1, 3 and 5 March at 12:00.
What is tried again is announced again: it is decided two days later, and not before the boundary.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.dunning_policy import FinalAction, Step
from app.domain.policy import When
from app.services import dunning, gateway_accounts, payment_methods
from app.services.changes import ChangedItem
from app.services.gateway_accounts import CreateGatewayAccount
from app.services.payment_methods import AttachPaymentMethod
from tests.ahead import BILLED, EARLY, announced, go_to, standing
from tests.dunned import at, dunned_world, run_of
from tests.simulator import SimulatorProcess
from tests.terms import totals
from tests.world import DECLINED, PAID, World

BOUNDARY = at(2026, 2, 28, 9)
NOON = at(2026, 2, 26, 12)
SOFT = "pm_sim_declined_insufficient_funds"
HARD = "pm_sim_declined_lost_or_stolen"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ASKED = ("payment.processing",)
AGAIN = (*DECLINED, "dunning_run.retry_scheduled")
BEHIND = ("subscription.renewed", "subscription.past_due")


@pytest.fixture
async def world(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    async with dunned_world(clean_database, simulator) as opened:
        yield opened
    simulator.request("DELETE", "/v1/clock")


@dataclass
class Refused:
    """A subscription whose next period was billed, and whose debit was refused, before it began."""

    world: World
    sub: UUID
    customer: UUID
    invoice: UUID

    async def to(self, when: datetime, *expect: str) -> None:
        await go_to(self.world, when, *expect)

    async def run(self) -> Any:
        return await run_of(self.world, self.invoice)

    async def bill(self) -> Any:
        [row] = await self.world.fetch("SELECT * FROM invoices WHERE id = $1", self.invoice)
        return row

    async def status(self) -> str:
        return await self.world.status(self.sub)


async def refused(world: World, token: str = SOFT) -> Refused:
    """The debit of the period to come is refused two days before that begins."""
    sub = await announced(world, "2800")
    customer = (await world.subscription(sub))["customer_id"]
    await world.attach(customer, token)
    await go_to(world, BOUNDARY - EARLY, *BILLED)
    await answer(world, BOUNDARY)
    await world.expect(*DECLINED, "dunning_run.started")
    return Refused(world, sub, customer, (await world.invoice(sub))["id"])


async def answer(world: World, decided: datetime, now: datetime = NOON) -> None:
    """The bank decides the debit under way sooner than it was promised: it is known `now`."""
    assert world.simulator is not None
    ahead, here = (int(when.timestamp() * 1000) for when in (decided, now))
    world.simulator.request("PUT", "/v1/clock", json={"at": ahead})
    world.clock.set(now)
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await tx.run("UPDATE payment_attempts SET look_up_at = $1 WHERE settled_at IS NULL", now)
    await world.tick()
    world.simulator.request("PUT", "/v1/clock", json={"at": here})


async def test_a_soft_refusal_is_tried_again_and_announced_again(world: World) -> None:
    case = await refused(world)
    run = await case.run()
    assert (run["failed_at"], run["next_attempt_at"]) == (NOON, NOON + DAY)
    await case.to(NOON + DAY, *ASKED)
    # Announced on 27 February at 12:00 it is decided on 1 March at 12:00, day 3: day 5 is next.
    await case.to(BOUNDARY, "subscription.renewed")
    assert await case.status() == "active"
    assert standing(world)[-1] == (2800, "pending")
    await case.to(NOON + 3 * DAY, *AGAIN, "subscription.past_due")
    run = await case.run()
    assert (run["attempts"], run["next_attempt_at"]) == (2, NOON + 5 * DAY)
    # Announced on the 3rd, decided on the 5th, which was the last day: it is over.
    await case.to(NOON + 5 * DAY, *ASKED)
    await case.to(NOON + 7 * DAY, *DECLINED)
    await case.to(NOON + 7 * DAY + HOUR, "subscription.canceled", "dunning_run.exhausted")
    assert world.charged() == [(2800, "EUR")]
    await world.assert_clean()


async def test_what_is_tried_again_moves_no_money_before_the_promised_day(world: World) -> None:
    """Two hours after the failure is 43 hours before the boundary: that is what is promised."""
    await world.policy(steps=(Step(0, 2), Step(9)), is_default=True)
    case = await refused(world, "pm_sim_succeeds_after_1_declines")
    assert world.simulator is not None
    await case.to(NOON + 2 * HOUR, *ASKED)
    request = (await world.last_attempt()).request
    assert request is not None
    assert BOUNDARY.isoformat() in request
    # The notice is of two days: 28 February at 14:00, five hours after the period began.
    await case.to(BOUNDARY, "subscription.renewed")
    assert world.charged() == [(2800, "EUR")]
    await case.to(NOON + 2 * HOUR + 2 * DAY, *PAID, "dunning_run.recovered")
    assert world.charged() == [(2800, "EUR")] * 2
    assert await case.status() == "active"
    await world.assert_clean()


async def test_a_hard_refusal_waits_for_a_method_and_leaves_it_behind_as_it_begins(
    world: World,
) -> None:
    case = await refused(world, HARD)
    assert (await case.run())["waiting_for"] == "payment_method"
    await case.to(NOON + DAY, "dunning_run.reminder")
    assert await case.status() == "active"
    await case.to(BOUNDARY, *BEHIND)
    for days in (3, 5):
        await case.to(NOON + days * DAY, "dunning_run.reminder")
    await case.to(NOON + 7 * DAY, "subscription.canceled", "dunning_run.exhausted")
    assert len(standing(world)) == 2
    await world.assert_clean()


@pytest.mark.parametrize("token", [SOFT, HARD])
async def test_a_method_that_comes_meanwhile_is_asked_at_once_and_debited_in_its_time(
    world: World, token: str
) -> None:
    case = await refused(world, token)
    await world.attach(case.customer, "pm_sim_ok")
    await case.to(NOON + HOUR, "dunning_run.retry_scheduled", *ASKED)
    # 28 February at 9:00 is too soon after the notice of 26 February at 13:00: at 13:00 it is made.
    await case.to(BOUNDARY, "subscription.renewed")
    await case.to(NOON + HOUR + 2 * DAY, *PAID, "dunning_run.recovered")
    run = await case.run()
    assert (run["amount_recovered"], run["recovered_by_attempt"]) == (2800, 2)
    assert world.charged() == [(2800, "EUR")] * 2
    assert await totals(world, case.sub) == [2800, 2800]
    await world.assert_clean()


async def test_who_wants_it_to_end_with_the_period_is_not_asked_again_for_the_next(
    world: World,
) -> None:
    case = await refused(world)
    await world.cancel(case.sub, at_period_end=True)
    await world.expect("subscription.updated")
    await case.to(NOON + HOUR, "invoice.voided", "dunning_run.stopped")
    assert (await case.run())["end_reason"] == "voided"
    await case.to(NOON + DAY)
    await case.to(BOUNDARY, "subscription.canceled")
    await case.to(NOON + 10 * DAY)
    assert len(standing(world)) == 2
    await world.assert_clean()


async def test_who_stays_after_all_is_billed_as_the_period_begins(world: World) -> None:
    case = await refused(world)
    await world.cancel(case.sub, at_period_end=True)
    await case.to(NOON + HOUR, "subscription.updated", "invoice.voided", "dunning_run.stopped")
    await world.keep(case.sub)
    await world.attach(case.customer, "pm_sim_ok")
    await case.to(NOON + DAY, "subscription.updated")
    await case.to(BOUNDARY, "subscription.renewed", *BILLED)
    await case.to(BOUNDARY + 2 * DAY, *PAID)
    assert [row["status"] for row in await world.invoices(case.sub)] == ["paid", "void", "paid"]
    assert world.charged() == [(2800, "EUR")] * 2
    await world.assert_clean()


async def test_who_ends_it_at_once_owes_nothing_of_a_period_that_does_not_begin(
    world: World,
) -> None:
    case = await refused(world)
    await world.cancel(case.sub)
    await world.expect("subscription.canceled", "dunning_run.stopped")
    await case.to(NOON + HOUR, "invoice.voided")
    await case.to(NOON + 10 * DAY)
    assert len(standing(world)) == 2
    await world.assert_clean()


async def test_an_upgrade_meanwhile_is_charged_beside_what_is_dunned(world: World) -> None:
    case = await refused(world)
    change = ChangedItem(price_id=await world.price("5600"))
    await world.change(case.sub, change, when=When.PERIOD_END)
    await world.told()
    await world.attach(case.customer, "pm_sim_ok")
    await case.to(NOON + HOUR, "dunning_run.retry_scheduled", *ASKED)
    # At the boundary -28.00 + 56.00: 28.00 more, announced then, beside the 28.00 under way.
    await case.to(BOUNDARY, "subscription.renewed", *BILLED)
    await case.to(NOON + HOUR + 2 * DAY, *PAID, "dunning_run.recovered")
    await case.to(BOUNDARY + 2 * DAY, *PAID)
    assert await totals(world, case.sub) == [2800, 2800, 2800]
    assert world.charged() == [(2800, "EUR")] * 3
    assert await case.status() == "active"
    await world.assert_clean()


async def test_a_downgrade_meanwhile_is_given_back_of_what_is_dunned(world: World) -> None:
    case = await refused(world)
    change = ChangedItem(price_id=await world.price("1000"))
    await world.change(case.sub, change, when=When.PERIOD_END)
    await world.told()
    await world.attach(case.customer, "pm_sim_ok")
    await case.to(NOON + HOUR, "dunning_run.retry_scheduled", *ASKED)
    # The debit of 28.00 under way cannot be recalled. -28.00 + 10.00: 18.00 are credit.
    await case.to(BOUNDARY, "subscription.renewed", "invoice.finalized", "invoice.paid")
    await case.to(NOON + HOUR + 2 * DAY, *PAID, "dunning_run.recovered")
    assert await totals(world, case.sub) == [2800, 2800, -1800]
    assert await world.credit_left(case.customer) == 1800
    assert world.charged() == [(2800, "EUR")] * 2
    await world.assert_clean()


async def test_a_downgrade_of_what_is_never_paid_leaves_the_bill_and_the_credit(
    world: World,
) -> None:
    """As of any bill that is not paid: 28.00 are owed, 18.00 stand to the customer's credit."""
    case = await refused(world, HARD)
    change = ChangedItem(price_id=await world.price("1000"))
    await world.change(case.sub, change, when=When.PERIOD_END)
    await world.told()
    await world.advance_quietly(days=1)
    await world.advance_quietly(days=8)
    assert await case.status() == "canceled"
    bill = await case.bill()
    assert (bill["status"], bill["total"], bill["amount_paid"]) == ("open", 2800, 0)
    assert await world.credit_left(case.customer) == 1800
    await world.assert_clean()


async def test_a_method_at_an_account_that_announces_nothing_is_asked_as_the_period_begins(
    world: World,
) -> None:
    case = await refused(world)
    plain = CreateGatewayAccount("simulator", name="Plain")
    account = (await gateway_accounts.create(world.rt, world.caller, plain))["id"]
    cmd = AttachPaymentMethod(case.customer, "pm_sim_ok_plain", account, make_default=True)
    await payment_methods.attach(world.rt, world.caller, cmd)
    await case.to(NOON + HOUR, "dunning_run.retry_scheduled")
    await case.to(BOUNDARY - HOUR)
    assert len(standing(world)) == 2
    recovered = (*PAID, "subscription.activated", "dunning_run.recovered")
    await case.to(BOUNDARY, *BEHIND, *recovered)
    assert await case.status() == "active"
    assert world.charged() == [(2800, "EUR")] * 2
    await world.assert_clean()


async def test_days_stand_still_while_its_dunning_is_paused(world: World) -> None:
    case = await refused(world)
    run = await case.run()
    await dunning.pause(world.rt, world.caller, run["id"])
    await world.expect("dunning_run.paused")
    await case.to(NOON + DAY)
    await case.to(BOUNDARY, *BEHIND)
    await case.to(NOON + 4 * DAY)
    await dunning.resume(world.rt, world.caller, run["id"])
    await world.expect("dunning_run.resumed")
    # Four days were not counted: day 1 is 26 February + 4 + 1, 3 March.
    assert (await case.run())["next_attempt_at"] == NOON + 5 * DAY
    await case.to(NOON + 5 * DAY, *ASKED)
    await case.to(NOON + 7 * DAY, *AGAIN)
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
async def test_it_does_not_end_before_the_period_it_is_about_has_begun(
    world: World, action: FinalAction, status: str, told: list[str]
) -> None:
    """The one step comes on 27 February; until the 28th nobody is behind with anything."""
    step = Step(1, is_attempt=False)
    await world.policy(steps=(step,), final_action=action, is_default=True)
    case = await refused(world)
    await case.to(NOON + DAY, "dunning_run.reminder")
    await case.to(BOUNDARY - HOUR)
    assert ((await case.run())["status"], await case.status()) == ("active", "active")
    await case.to(BOUNDARY, *BEHIND, *told, "dunning_run.exhausted")
    assert await case.status() == status
    assert (await case.run())["final_action"] == action
    assert (await case.bill())["status"] == "open"
    await case.to(NOON + 10 * DAY)
    assert len(standing(world)) == 2
    await world.assert_clean()


async def test_a_method_that_comes_after_the_last_step_and_before_the_period_is_asked(
    world: World,
) -> None:
    await world.policy(steps=(Step(1, is_attempt=False),), is_default=True)
    case = await refused(world, HARD)
    await case.to(NOON + DAY, "dunning_run.reminder")
    await world.attach(case.customer, "pm_sim_ok")
    await case.to(NOON + DAY + HOUR, "dunning_run.retry_scheduled", *ASKED)
    await case.to(BOUNDARY, "subscription.renewed")
    await case.to(NOON + 3 * DAY + HOUR, *PAID, "dunning_run.recovered")
    assert await case.status() == "active"
    await world.assert_clean()


async def test_money_that_comes_after_dunning_ended_makes_it_good(world: World) -> None:
    await world.policy(steps=(Step(1),), final_action=FinalAction.UNPAID, is_default=True)
    case = await refused(world)
    # Announced on 27 February, refused on 1 March: there is no step left.
    await case.to(NOON + DAY, *ASKED)
    await case.to(BOUNDARY, "subscription.renewed")
    await case.to(NOON + 3 * DAY, *DECLINED, "subscription.past_due")
    await case.to(NOON + 3 * DAY + HOUR, "subscription.unpaid", "dunning_run.exhausted")
    good = await world.attach(case.customer, "pm_sim_ok", default=False)
    await world.pay(case.invoice, good)
    await world.expect(*ASKED)
    await case.to(NOON + 5 * DAY + HOUR, *PAID, "subscription.activated")
    assert ((await case.run())["status"], await case.status()) == ("exhausted", "active")
    assert world.charged() == [(2800, "EUR")] * 2
    await world.assert_clean()


async def test_a_debit_under_way_when_somebody_stops_it_is_taken_all_the_same(
    world: World,
) -> None:
    case = await refused(world)
    await world.attach(case.customer, "pm_sim_ok")
    await case.to(NOON + HOUR, "dunning_run.retry_scheduled", *ASKED)
    await dunning.stop(world.rt, world.caller, (await case.run())["id"])
    await world.expect("dunning_run.stopped")
    await case.to(BOUNDARY, "subscription.renewed")
    await case.to(NOON + HOUR + 2 * DAY, *PAID)
    assert ((await case.run())["end_reason"], await case.status()) == ("by_hand", "active")
    assert world.charged() == [(2800, "EUR")] * 2
    await world.assert_clean()
