"""A process may die at any step: no charge is made twice, none is lost, and the books stay whole.

The worker's real code runs in a child that SIGKILLs itself at the n-th turn of its event loop, for
every n there is, under every fault a gateway has. The judge is the gateway's own ledger.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.domain.calendar import Interval, Unit
from tests.campaigns.mortal import Mortal, mortals
from tests.simulator import SimulatorProcess
from tests.world import START, World

FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "error_500_before": {},
    "error_500_after": {},
    "error_429": {},
    "cut_body": {},
    "late_effect": {"delay_ms": 40},
    "timeout_before_effect": {},
    "timeout_after_effect": {},
    "decline": {"decline_code": "insufficient_funds"},
}
QUICK = ("error_500_after", "late_effect")
RECOVERIES_MAX = 12


@pytest.fixture(scope="session")
def mortal(database_url: str, simulator: SimulatorProcess) -> Iterator[Mortal]:
    with mortals(database_url, simulator.url, gateway_timeout_seconds=1) as process:
        yield process


def due(period: int) -> Any:
    return Interval(Unit.MONTH).after(START, period)


async def recover(world: World) -> None:
    """What the next worker does: sweeps, further and further apart, until nothing is open."""
    for n in range(RECOVERIES_MAX):
        world.clock.advance(timedelta(minutes=min(5 * 2**n, 360)))
        await world.tick()
        rows = await world.fetch(
            "SELECT 1 FROM payments WHERE status IN ('processing', 'unknown')"
            " OR (status = 'scheduled' AND due_at <= $1)"
            " UNION ALL SELECT 1 FROM subscriptions WHERE next_action_at <= $1"
            " UNION ALL SELECT 1 FROM refunds WHERE status IN ('processing', 'unknown')",
            world.now,
        )
        if not rows:
            return
    raise AssertionError("it does not recover")


async def die_at_every_step(
    world: World, mortal: Mortal, simulator: SimulatorProcess, fault: str, stride: int
) -> int:
    """Renew, charge and die at step 0, 1, 2, …; returns in how many steps nobody dies any more."""
    sub = await world.subscribed("1000")
    period, steps = 0, 0
    while True:
        period += 1
        world.clock.set(due(period))
        if fault != "none":
            simulator.set_fault(fault, count=1, **FAULTS[fault])
        fate = mortal.run(world.now, steps=steps)
        await charged_once(world, simulator, sub, period, fault)
        if not fate.died:
            await world.assert_clean()
            return fate.steps
        steps += stride


async def die_finding_out(
    world: World, mortal: Mortal, simulator: SimulatorProcess, fault: str, stride: int
) -> int:
    """Charge without an answer; look it up, perhaps send it again, and die at step 0, 1, 2, …"""
    sub = await world.subscribed("1000")
    period, steps = 0, 0
    while True:
        period += 1
        world.clock.set(due(period))
        simulator.set_faults({"kind": fault, "count": 1}, {"kind": "error_500_after", "count": 1})
        await world.tick()
        world.clock.advance(timedelta(minutes=1))
        fate = mortal.run(world.now, work=["resolve", "collect"], steps=steps)
        await charged_once(world, simulator, sub, period, fault)
        if not fate.died:
            await world.assert_clean()
            return fate.steps
        steps += stride


async def charged_once(
    world: World, simulator: SimulatorProcess, sub: UUID, period: int, fault: str
) -> None:
    """After the next workers' sweeps every period so far has one bill, charged one time."""
    simulator.clear_faults()
    await recover(world)
    invoices = await world.invoices(sub)
    assert len(invoices) == period + 1
    if invoices[-1]["status"] == "open":  # only a definite decline leaves it so
        assert fault == "decline"
        await world.pay(invoices[-1]["id"])
    assert world.charged() == [(1000, "EUR")] * (period + 1)


@pytest.mark.parametrize("fault", QUICK)
async def test_a_death_at_any_of_some_steps_charges_once(
    world: World, mortal: Mortal, simulator: SimulatorProcess, fault: str
) -> None:
    assert await die_at_every_step(world, mortal, simulator, fault, stride=41) > 50


async def test_a_death_while_finding_out_charges_once(
    world: World, mortal: Mortal, simulator: SimulatorProcess
) -> None:
    assert await die_finding_out(world, mortal, simulator, "error_500_before", stride=41) > 50


@pytest.mark.campaign
@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.timeout(1800)
async def test_a_death_at_every_step_charges_once(
    world: World, mortal: Mortal, simulator: SimulatorProcess, fault: str
) -> None:
    assert await die_at_every_step(world, mortal, simulator, fault, stride=1) > 50


@pytest.mark.campaign
@pytest.mark.parametrize("fault", ["error_500_before", "error_500_after", "cut_body"])
@pytest.mark.timeout(1800)
async def test_a_death_at_every_step_of_finding_out_charges_once(
    world: World, mortal: Mortal, simulator: SimulatorProcess, fault: str
) -> None:
    assert await die_finding_out(world, mortal, simulator, fault, stride=1) > 50
