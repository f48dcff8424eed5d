"""A process may die at any step: no charge is made twice, none is lost, and the books stay whole.

The worker's real code runs in a child that SIGKILLs itself at the n-th turn of its event loop, for
every n there is, under every fault a gateway has. The judge is the gateway's own ledger.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

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
QUICK = ("none", "error_500_after", "late_effect")
RECOVERIES_MAX = 12


@pytest.fixture
def mortal(clean_database: str, simulator: SimulatorProcess) -> Iterator[Mortal]:
    with mortals(clean_database, simulator.url, gateway_timeout_seconds=1) as process:
        yield process


def due(period: int) -> Any:
    return Interval(Unit.MONTH).after(START, period)


async def recover(world: World) -> None:
    """What the next worker does: sweeps, further and further apart, until nothing is open."""
    for n in range(RECOVERIES_MAX):
        world.clock.advance(timedelta(minutes=min(5 * 2**n, 360)))
        await world.tick()
        rows = await world.fetch(
            "SELECT 1 FROM payments WHERE status IN ('scheduled', 'processing', 'unknown')"
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
        simulator.clear_faults()
        await recover(world)
        invoices = await world.invoices(sub)
        assert len(invoices) == period + 1
        latest = invoices[-1]
        if latest["status"] == "open":  # only a definite decline leaves it so
            assert fault == "decline"
            await world.pay(latest["id"])
        assert world.charged() == [(1000, "EUR")] * (period + 1), f"died at step {steps}"
        if not fate.died:
            await world.assert_clean()
            return steps
        steps += stride


@pytest.mark.parametrize("fault", QUICK)
async def test_a_death_at_any_of_some_steps_charges_once(
    world: World, mortal: Mortal, simulator: SimulatorProcess, fault: str
) -> None:
    assert await die_at_every_step(world, mortal, simulator, fault, stride=29) > 50


@pytest.mark.campaign
@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.timeout(900)
async def test_a_death_at_every_step_charges_once(
    world: World, mortal: Mortal, simulator: SimulatorProcess, fault: str
) -> None:
    assert await die_at_every_step(world, mortal, simulator, fault, stride=1) > 50
