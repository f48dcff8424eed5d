"""Whatever is done, in whatever order, under whatever weather: the audit finds nothing."""

from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from app.domain.calendar import Unit
from app.domain.discount import Duration
from app.domain.errors import BillingError
from app.domain.invoice import Collection
from app.domain.pricing import Timing
from tests.campaigns.test_crashes import recover
from tests.simulator import SimulatorProcess
from tests.world import World

TOKENS = (
    *("pm_sim_ok", "pm_sim_ok", "pm_sim_ok", "pm_sim_declined_do_not_honor"),
    *("pm_sim_declined_expired", "pm_sim_succeeds_after_2_declines", "pm_sim_refund_fails"),
)
FAULTS = ("error_500_before", "error_500_after", "cut_body", "error_429")


class Life:
    """A shop in which things happen by chance, from one seed."""

    def __init__(self, world: World, simulator: SimulatorProcess, seed: int) -> None:
        self.world, self.simulator, self.random = world, simulator, Random(seed)
        self.customers: list[UUID] = []
        self.subs: list[UUID] = []
        self.prices: list[UUID] = []
        self.rates: list[UUID] = []
        self.coupons: list[UUID] = []
        self.done = 0

    async def open(self) -> None:
        """What is on offer: one currency, so that all customers may buy all of it."""
        w = self.world
        self.prices = [
            await w.price("1000"),
            await w.price("333.333", setup_fee=700),
            await w.price("250", unit=Unit.WEEK, trial_days=3),
            await w.price("4999", timing=Timing.ARREARS),
            await w.price("0"),
        ]
        self.rates = [await w.tax_rate("19"), await w.tax_rate("7", inclusive=True)]
        self.coupons = [
            await w.coupon(percent_off="33.3", duration=Duration.FOREVER),
            await w.coupon(
                amount_off=500,
                currency="EUR",
                duration=Duration.REPEATING,
                duration_in_periods=2,
            ),
            await w.coupon(percent_off="100", duration=Duration.ONCE),
        ]
        self.customers = [await w.customer(token) for token in TOKENS[2:]]

    def some(self, things: list[UUID]) -> list[UUID]:
        return self.random.sample(things, self.random.randint(0, min(2, len(things))))

    async def any_row(self, table: str) -> UUID | None:
        rows = await self.world.fetch(f"SELECT id FROM {table} ORDER BY id")
        return self.random.choice(rows)["id"] if rows else None

    # ── what may happen ───────────────────────────────────────────────────────────────────────────

    async def subscribe(self) -> None:
        options: dict[str, Any] = {
            "coupon_ids": self.some(self.coupons),
            "tax_rate_ids": self.some(self.rates),
        }
        if self.random.random() < 0.2:
            options |= {"collection": Collection.SEND_INVOICE, "net_days": 14}
        if self.random.random() < 0.2:
            options["start_at"] = self.world.now - timedelta(days=self.random.randint(-9, 70))
        if self.random.random() < 0.2:
            options["cancel_at_period_end"] = True
        items = [(self.random.choice(self.prices), self.random.randint(0, 5))]
        customer = self.random.choice(self.customers)
        self.subs.append(await self.world.subscribe(customer, *items, **options))

    async def pass_time(self) -> None:
        step = timedelta(minutes=self.random.choice((1, 10, 300, 1440, 9000)))
        self.world.clock.advance(step)
        await self.world.tick()

    async def new_card(self) -> None:
        customer, token = self.random.choice(self.customers), self.random.choice(TOKENS)
        await self.world.attach(customer, token)

    async def grant(self) -> None:
        await self.world.credit(
            self.random.choice(self.customers), self.random.choice((-400, 99, 1500))
        )

    async def cancel(self) -> None:
        if self.subs:
            later = self.random.random() < 0.5
            await self.world.cancel(self.random.choice(self.subs), at_period_end=later)

    async def keep(self) -> None:
        if self.subs:
            await self.world.keep(self.random.choice(self.subs))

    async def settle(self) -> None:
        invoice = await self.any_row("invoices")
        if invoice is not None:
            w = self.world
            await self.random.choice((w.pay, w.pay, w.pay_outside, w.void, w.write_off))(invoice)

    async def refund(self) -> None:
        payment = await self.any_row("payments")
        if payment is not None:
            amount = self.random.choice((None, 1, 100, 777))
            await self.world.refund(payment, amount)

    async def weather(self) -> None:
        kinds = self.random.sample(FAULTS, self.random.randint(0, 2))
        self.simulator.set_faults(
            *({"kind": kind, "probability": 0.4} for kind in kinds), seed=self.done
        )

    async def go_on(self, steps: int) -> None:
        acts = (
            *(self.subscribe, self.pass_time, self.pass_time, self.pass_time, self.new_card),
            *(self.grant, self.cancel, self.keep, self.settle, self.settle, self.refund),
            *(self.weather,),
        )
        for _ in range(steps):
            self.done += 1
            with suppress(BillingError):  # refused with a reason, and nothing has changed
                await self.random.choice(acts)()

    async def end(self) -> None:
        self.simulator.clear_faults()
        await recover(self.world)
        await self.world.assert_clean()


async def live(world: World, simulator: SimulatorProcess, seed: int, steps: int) -> None:
    life = Life(world, simulator, seed)
    await life.open()
    await life.go_on(steps)
    await life.end()


@pytest.mark.parametrize("seed", range(6))
async def test_a_short_life_ends_in_clean_books(
    world: World, simulator: SimulatorProcess, seed: int
) -> None:
    await live(world, simulator, seed, steps=45)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(1000, 1100))
async def test_a_long_life_ends_in_clean_books(
    world: World, simulator: SimulatorProcess, seed: int
) -> None:
    await live(world, simulator, seed, steps=300)
