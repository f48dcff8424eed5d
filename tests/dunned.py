"""What stories of dunning need: a shop that duns, and a customer whose renewal was declined."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from tests.simulator import SimulatorProcess
from tests.world import DECLINED, PAID, World, open_world

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


@asynccontextmanager
async def dunned_world(database_url: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    """A shop whose customers are dunned as a new merchant's are, in fair weather."""
    simulator.clear_faults()
    options = {"dunned": True, "gateway_timeout_seconds": 1}
    async with open_world(database_url, simulator, **options) as opened:
        yield opened
    simulator.clear_faults()


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


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
