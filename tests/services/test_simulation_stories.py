"""A simulation is what then comes, and leaves no trace; scripts are played by the real rules."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from app.domain import simulation
from app.domain.dunning_policy import Failover, FinalAction, Step
from app.domain.errors import InvalidRequest, NotFound
from app.domain.ledger import trial_balance
from app.domain.payment import Payment
from app.domain.policy import When
from app.domain.pricing import SCALE
from app.services import payment_methods, simulations
from app.services.changes import ChangedItem, ChangeSubscription
from app.services.payment_methods import UpdatePaymentMethod
from app.services.simulations import Simulate
from tests.previews import came, shown_of
from tests.services.test_preview_stories import counts
from tests.world import World


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


async def simulate(world: World, *script: Any, **scope: Any) -> simulation.Simulation:
    given = {"subscription_id": None, "customer_id": None, "until": None, "months": 3} | scope
    return await simulations.run(world.rt, world.caller, Simulate(**given, script=script))


def told(made: simulation.Simulation) -> list[str]:
    return [str(each.event.type) for each in made.timeline if each.event is not None]


async def test_a_year_passes_as_it_then_does(world: World) -> None:
    sub = await world.subscribed("1000")
    before = await counts(world)
    made = await simulate(world, subscription_id=sub, months=12)
    assert await counts(world) == before
    assert len(made.invoices) == 12
    assert sum(month.billed for month in made.months.values()) == 12_000
    assert sum(month.collected for month in made.months.values()) == 12_000
    for month in range(1, 4):
        await world.advance_quietly(days=0)
        world.clock.set(made.invoices[month - 1].created_at)
        await world.tick()
    assert [shown_of(i, made.shop) for i in made.invoices[:3]] == await came(world, sub, after=1)


async def test_an_upgrade_in_the_middle_of_march(world: World) -> None:
    sub = await world.subscribed("3100")
    dear = await world.price("6200")
    [item] = await world.items(sub)
    change = ChangeSubscription(sub, [ChangedItem(id=item["id"], price_id=dear)], When.NOW)
    script = simulations.Change(at(2026, 3, 16, 9), change, sub)
    made = await simulate(world, script, subscription_id=sub)
    # From 28 February on 31 days; from 16 March 15 of them are left: 15/31 of 31.00 is 15.00.
    assert [i.total for i in made.invoices] == [3100, 1500, 6200, 6200]
    assert "subscription.updated" in told(made)
    world.clock.set(at(2026, 2, 28, 9))
    await world.tick()
    world.clock.set(at(2026, 3, 16, 9))
    await world.change(sub, ChangedItem(price_id=dear), when=When.NOW)
    assert (await world.invoice(sub))["total"] == 1500


async def test_declined_payments_are_dunned_by_the_merchants_policy(world: World) -> None:
    await world.policy(is_default=True)
    sub = await world.subscribed("1000")
    failing = simulation.Failing(at=at(2026, 2, 1), times=2)
    made = await simulate(world, failing, subscription_id=sub, months=1)
    # Declined on 28 February, the last instant of the month, and on 1 March; paid on 3 March.
    assert [e for e in told(made) if e.startswith("payment.")] == ["payment.failed"]
    longer = await simulate(world, failing, subscription_id=sub, months=2)
    payments = [e for e in told(longer) if e.startswith("payment.")]
    assert payments[:3] == ["payment.failed", "payment.failed", "payment.succeeded"]
    assert told(longer).count("dunning_run.recovered") == 1
    for_good = simulation.Failing(at=at(2026, 2, 1), times=99)
    made = await simulate(world, for_good, subscription_id=sub, months=2)
    assert made.shop.subscriptions[sub].status == "canceled"
    assert told(made).count("payment.failed") == 5
    assert told(made)[-1] == "dunning_run.exhausted"
    paying = simulation.Succeeding(at=at(2026, 3, 4))
    made = await simulate(world, for_good, paying, subscription_id=sub, months=2)
    assert made.shop.subscriptions[sub].status == "active"


def tried(made: simulation.Simulation) -> list[tuple[datetime, str, UUID | None]]:
    """What became of each attempt, and its method: of a failed one, that of the next."""
    return [
        (each.at, str(each.event.type), each.event.subject.payment_method_id)
        for each in made.timeline
        if each.event is not None and isinstance(each.event.subject, Payment)
    ]


async def with_backups(world: World, count: int = 1) -> tuple[UUID, UUID, list[UUID]]:
    """A paid subscription, its usual method, and so many back-ups in their order."""
    customer = await world.customer(None)
    usual = await world.attach(customer, "pm_sim_ok")
    sub = await world.subscribe(customer, await world.price("1000"))
    spare = [await world.attach(customer, "pm_sim_ok", default=False) for _ in range(count)]
    for place, method in enumerate(spare, 1):
        cmd = UpdatePaymentMethod(method, {"backup_order": place})
        await payment_methods.update(world.rt, world.caller, cmd)
    await world.told()
    return sub, usual, spare


FEBRUARY, MARCH = at(2026, 2, 28, 9), at(2026, 3, 31, 9)


async def test_where_the_usual_method_fails_the_back_up_pays_at_once_as_it_then_does(
    world: World,
) -> None:
    await world.policy(is_default=True)
    sub, usual, [spare] = await with_backups(world)
    failing = simulation.Failing(at=at(2026, 2, 1), times=1, method_id=usual)
    made = await simulate(world, failing, subscription_id=sub, months=2)
    # 28 February: declined, and made good by the back-up. 31 March: the usual one again.
    assert tried(made) == [
        (FEBRUARY, "payment.failed", spare),
        (FEBRUARY, "payment.succeeded", spare),
        (MARCH, "payment.succeeded", usual),
    ]
    recovered = ["dunning_run.started", "dunning_run.recovered"]
    assert [each for each in told(made) if each.startswith("dunning")] == recovered
    assert sum(month.collected for month in made.months.values()) == 2000
    assert world.simulator is not None
    world.simulator.set_fault("decline", count=1, decline_code="insufficient_funds")
    world.clock.set(FEBRUARY)
    await world.tick()
    await world.tick()
    assert [row["payment_method_id"] for row in (await world.attempts())[1:]] == [usual, spare]
    real = [each for each in await world.told() if each.split(".")[0] in ("payment", "dunning_run")]
    simulated = [each for each in told(made) if each.split(".")[0] in ("payment", "dunning_run")]
    assert real == simulated[: len(real)]


async def test_back_ups_are_played_in_their_order_and_then_the_usual_one_by_the_schedule(
    world: World,
) -> None:
    await world.policy(is_default=True)
    sub, usual, [first, second] = await with_backups(world, 2)
    failing = simulation.Failing(at=at(2026, 2, 1), times=3)
    made = await simulate(world, failing, subscription_id=sub, until=MARCH, months=None)
    # Three attempts on 28 February; day 1, 1 March, is the usual one's.
    assert tried(made)[:4] == [
        (FEBRUARY, "payment.failed", first),
        (FEBRUARY, "payment.failed", second),
        (FEBRUARY, "payment.failed", usual),
        (at(2026, 3, 1, 9), "payment.succeeded", usual),
    ]


async def test_a_method_that_was_lost_is_not_asked_in_the_next_month_either(world: World) -> None:
    await world.policy(is_default=True, failover=Failover.HARD)
    sub, usual, [spare] = await with_backups(world)
    lost = simulation.Failing(at=at(2026, 2, 1), times=1, method_id=usual, is_hard=True)
    made = await simulate(world, lost, subscription_id=sub, months=2)
    # In March the usual one is not asked: the back-up is, at once.
    assert [each for each in tried(made) if each[1] != "payment.failed"] == [
        (FEBRUARY, "payment.succeeded", spare),
        (MARCH, "payment.succeeded", spare),
    ]
    assert [each[1] for each in tried(made)].count("payment.failed") == 1
    soft = simulation.Failing(at=at(2026, 2, 1), times=1, method_id=usual)
    made = await simulate(world, soft, subscription_id=sub, months=2)
    # Only a hard decline leads to a back-up here: the schedule goes on with the usual one.
    assert {method for _, _, method in tried(made)} == {usual}


async def test_a_back_up_that_was_tried_before_is_not_tried_again_in_a_simulation(
    world: World,
) -> None:
    await world.policy(is_default=True)
    sub, usual, [spare] = await with_backups(world)
    assert world.simulator is not None
    world.simulator.set_fault("decline", count=2, decline_code="insufficient_funds")
    world.clock.set(FEBRUARY)
    await world.tick()
    await world.tick()
    assert [row["payment_method_id"] for row in (await world.attempts())[1:]] == [usual, spare]
    failing = simulation.Failing(at=FEBRUARY, times=1)
    made = await simulate(world, failing, subscription_id=sub, months=1)
    assert [each[2] for each in tried(made)][:2] == [usual, usual]


async def test_a_method_of_nobodys_cannot_fail(world: World) -> None:
    sub = await world.subscribed()
    failing = simulation.Failing(at=at(2026, 2, 1), method_id=UUID(int=7))
    with pytest.raises(InvalidRequest) as refused:
        await simulate(world, failing, subscription_id=sub)
    assert refused.value.code == "payment_method_not_found"


async def test_what_is_dunned_already_goes_on_in_a_simulation(world: World) -> None:
    await world.policy(steps=(Step(40),), final_action=FinalAction.UNPAID, is_default=True)
    sub = await world.subscribed("1000")
    [row] = await world.fetch("SELECT customer_id FROM subscriptions")
    await world.attach(row["customer_id"], "pm_sim_declined_do_not_honor")
    await world.advance_quietly(days=28)
    for_good = simulation.Failing(at=at(2026, 3, 1), times=99)
    made = await simulate(world, for_good, subscription_id=sub, months=3)
    assert made.shop.subscriptions[sub].status == "unpaid"
    paid = await simulate(world, subscription_id=sub, months=3)
    assert told(paid).count("dunning_run.recovered") == 1


async def test_a_dearer_price_for_everybody(world: World) -> None:
    price = await world.price("1000")
    for _ in range(3):
        await world.subscribe(await world.customer(), price)
    dearer = simulations.NewPrice(at(2026, 2, 15), price, None, 100_000, When.PERIOD_END)
    made = await simulate(world, dearer, months=2)
    assert [i.total for i in made.invoices] == [1100] * 6
    cheap = simulations.NewPrice(at(2026, 2, 15), price, 500 * SCALE, 0, When.PERIOD_END)
    made = await simulate(world, cheap, months=2)
    assert [i.total for i in made.invoices] == [500] * 6


async def test_a_cancellation_ends_it_and_what_is_refused_is_told(world: World) -> None:
    sub = await world.subscribed("1000")
    first = simulation.Canceling(at=at(2026, 3, 1), about=sub, when=When.PERIOD_END)
    again = simulation.Resuming(at=at(2026, 3, 2), about=sub)
    made = await simulate(world, first, again, subscription_id=sub, months=6)
    [refused] = [each for each in made.timeline if each.refused is not None]
    assert refused.refused is not None
    assert refused.refused.code == "subscription_not_paused"
    assert made.shop.subscriptions[sub].status == "canceled"
    assert [i.total for i in made.invoices] == [1000]


async def test_a_customer_with_several_shares_the_credit(world: World) -> None:
    customer, price = await world.customer(), await world.price("1000")
    await world.subscribe(customer, price)
    await world.subscribe(customer, price)
    await world.credit(customer, 2500)
    made = await simulate(world, customer_id=customer, months=2)
    assert sum(invoice.balance_applied for invoice in made.invoices) == 2500
    assert made.shop.balance(customer, "EUR").amount == 0
    sums = trial_balance(made.shop.entries)
    assert sum(sums.values()) == 0
    assert sums["customer_credit", "EUR"] == 2500


async def test_bounds(world: World) -> None:
    sub = await world.subscribed()
    too_late = simulation.Failing(at=at(2040, 1, 1))
    with pytest.raises(InvalidRequest):
        await simulate(world, too_late, subscription_id=sub)
    with pytest.raises(InvalidRequest):
        await simulate(world, subscription_id=sub, until=at(2031, 1, 1), months=None)
    with pytest.raises(NotFound):
        await simulate(world, subscription_id=UUID(int=5))
    other = simulation.Resuming(at=at(2026, 2, 2), about=UUID(int=6))
    with pytest.raises(InvalidRequest):
        await simulate(world, other, subscription_id=sub)
