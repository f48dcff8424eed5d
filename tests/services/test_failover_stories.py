"""Back-up payment methods, told as stories: what is charged where the usual method is declined."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.domain.dunning_policy import Failover, Policy, Step
from app.services import dunning_policies, gateway_accounts, payment_methods
from app.services.dunning_policies import CreateDunningPolicy
from app.services.gateway_accounts import CreateGatewayAccount
from app.services.payment_methods import AttachPaymentMethod, UpdatePaymentMethod
from tests.simulator import SimulatorProcess
from tests.world import DECLINED, PAID, World, open_world

BEHIND = ("subscription.renewed", "invoice.finalized", *DECLINED, "subscription.past_due")
AGAIN = (*DECLINED, "dunning_run.retry_scheduled")
RECOVERED = (*PAID, "subscription.activated", "dunning_run.recovered")
FAILED = datetime(2026, 2, 28, 9, tzinfo=UTC)
SOFT = "pm_sim_declined_insufficient_funds"
HARD = "pm_sim_declined_lost_or_stolen"


@pytest.fixture
async def world(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    """A shop whose customers are dunned as a new merchant's are."""
    simulator.clear_faults()
    async with open_world(clean_database, simulator, dunned=True) as opened:
        yield opened
    simulator.clear_faults()


@dataclass
class Late:
    """A customer whose renewal on 28 February was declined by the usual method."""

    world: World
    customer: UUID
    sub: UUID
    usual: UUID

    async def used(self) -> list[UUID]:
        """What was tried since the sign-up, in order."""
        return [row["payment_method_id"] for row in (await self.world.attempts())[1:]]

    async def after(self, days: int, *expect: str) -> None:
        await self.world.advance(to=FAILED + timedelta(days=days), expect=expect)


async def backup(world: World, customer: UUID, token: str, place: int = 1) -> UUID:
    method = await world.attach(customer, token, default=False)
    return await rank(world, method, place)


async def rank(world: World, method: UUID, place: int | None) -> UUID:
    cmd = UpdatePaymentMethod(method, {"backup_order": place})
    await payment_methods.update(world.rt, world.caller, cmd)
    return method


async def dial(world: World, failover: Failover) -> None:
    policy = Policy(steps=(Step(1), Step(3)), failover=failover)
    cmd = CreateDunningPolicy(code="dial", name="Dial", policy=policy, is_default=True)
    await dunning_policies.create(world.rt, world.caller, cmd)


async def shop(world: World, usual: str, *backups: str) -> tuple[Late, list[UUID]]:
    """A customer who signed up with a good card, and pays with `usual` from then on."""
    customer = await world.customer()
    sub = await world.subscribe(customer, await world.price("1000"))
    method = await world.attach(customer, usual)
    spare = [await backup(world, customer, token, n) for n, token in enumerate(backups, 1)]
    await world.told()
    return Late(world, customer, sub, method), spare


async def test_a_decline_is_made_good_by_the_back_up_at_once(world: World) -> None:
    case, [spare] = await shop(world, SOFT, "pm_sim_ok")
    await world.advance(months=1, expect=[*BEHIND, "dunning_run.started"])
    await world.tick()
    await world.expect(*RECOVERED)
    assert await case.used() == [case.usual, spare]
    assert world.charged() == [(1000, "EUR")] * 2
    # The next month is asked of the usual method again: it is still the customer's own.
    await world.advance(months=1, expect=[*BEHIND, "dunning_run.started"])
    assert (await case.used())[-1] == case.usual
    await world.assert_clean()


async def test_back_ups_come_in_their_order_and_then_the_usual_one_by_the_schedule(
    world: World,
) -> None:
    case, [first, second] = await shop(world, SOFT, SOFT, HARD)
    await rank(world, first, 9)  # the second comes before it now
    await world.advance(months=1, expect=[*BEHIND, "dunning_run.started"])
    await world.tick()
    await world.expect(*AGAIN)
    await world.tick()
    await world.expect(*AGAIN)
    await world.tick()
    await world.expect()
    assert await case.used() == [case.usual, second, first]
    await case.after(1, *AGAIN)
    assert await case.used() == [case.usual, second, first, case.usual]
    # Four attempts of one budget; nothing was charged but the sign-up.
    [run] = await world.fetch("SELECT attempts FROM dunning_runs")
    assert run["attempts"] == 4
    assert world.charged() == [(1000, "EUR")]
    await world.assert_clean()


@pytest.mark.parametrize(
    ("failover", "usual", "is_tried"),
    [
        (Failover.ANY, SOFT, True),
        (Failover.HARD, SOFT, False),
        (Failover.HARD, HARD, True),
        (Failover.HARD, "pm_sim_declined_authentication_required", True),
        (Failover.NEVER, HARD, False),
    ],
)
async def test_the_policy_says_after_which_declines(
    world: World, failover: Failover, usual: str, is_tried: bool
) -> None:
    await dial(world, failover)
    case, [spare] = await shop(world, usual, "pm_sim_ok")
    await world.advance_quietly(days=28)
    await world.tick()
    assert (spare in await case.used()) is is_tried
    assert len(world.charged()) == (2 if is_tried else 1)
    await world.assert_clean()


async def test_a_back_up_is_asked_within_its_own_schemes_limit(world: World) -> None:
    # Eleven subscriptions at one price fail at once: of that amount Mastercard bears 10 in a day.
    customer, price = await world.customer(), await world.price("1000")
    for _ in range(11):
        await world.subscribe(customer, price)
    usual = await world.attach(customer, SOFT)
    spare = await backup(world, customer, SOFT)
    await world.fetch("UPDATE payment_methods SET brand = 'mastercard' WHERE id = $1", spare)
    await world.advance_quietly(days=28)
    await world.tick()
    used = [row["payment_method_id"] for row in await world.attempts()][11:]
    assert (used.count(usual), used.count(spare)) == (11, 10)
    await world.assert_clean()


@pytest.mark.parametrize("token", ["pm_sim_requires_action", "pm_sim_pending_then_succeeds"])
async def test_no_back_up_is_charged_while_anything_is_under_way(world: World, token: str) -> None:
    case, [spare] = await shop(world, token, "pm_sim_ok")
    await world.advance_quietly(days=28)
    for _ in range(3):
        await world.tick()
    assert spare not in await case.used()


async def test_no_back_up_is_charged_while_nobody_knows(world: World) -> None:
    case, [spare] = await shop(world, "pm_sim_ok", "pm_sim_ok")
    assert world.simulator is not None
    world.simulator.set_fault("error_500_after", count=1)
    await world.advance(
        months=1, expect=["subscription.renewed", "invoice.finalized", "payment.unknown"]
    )
    await world.tick()
    assert await case.used() == [case.usual]
    await world.advance_quietly(minutes=10)  # it is looked up, and was taken
    assert spare not in await case.used()
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_a_back_up_that_is_named_later_is_tried_then(world: World) -> None:
    case, _ = await shop(world, HARD)
    await world.advance(months=1, expect=[*BEHIND, "dunning_run.started"])
    spare = await backup(world, case.customer, "pm_sim_ok")
    await world.tick()
    await world.told()
    await world.tick()
    assert await case.used() == [case.usual, spare]
    assert world.charged() == [(1000, "EUR")] * 2
    await world.assert_clean()


async def test_a_back_up_may_be_at_another_gateway_account(world: World) -> None:
    case, _ = await shop(world, SOFT)
    account = CreateGatewayAccount("simulator", name="Second")
    second = (await gateway_accounts.create(world.rt, world.caller, account))["id"]
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        await tx.run(
            "UPDATE gateway_accounts a SET settings = o.settings FROM gateway_accounts o"
            " WHERE a.id = $1 AND o.id <> $1",
            second,
        )
    cmd = AttachPaymentMethod(case.customer, "pm_sim_ok_elsewhere", gateway_account_id=second)
    spare = (await payment_methods.attach(world.rt, world.caller, cmd))["id"]
    await rank(world, spare, 1)
    await world.told()
    await world.advance(months=1, expect=[*BEHIND, "dunning_run.started"])
    await world.tick()
    await world.expect(*RECOVERED)
    last = (await world.attempts())[-1]
    assert (last["gateway_account_id"], last["status"]) == (second, "succeeded")
    await world.assert_clean()


async def test_what_is_detached_or_no_back_up_any_more_is_left_alone(world: World) -> None:
    case, [gone, dropped] = await shop(world, SOFT, "pm_sim_ok", "pm_sim_ok")
    await payment_methods.detach(world.rt, world.caller, gone)
    await rank(world, dropped, None)
    await world.advance_quietly(days=28)
    await world.tick()
    assert await case.used() == [case.usual]
    await world.assert_clean()
