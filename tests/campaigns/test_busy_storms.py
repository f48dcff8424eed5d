"""A storm over all that goes on at once: renewals, charges, refunds, set-ups and what the gateway
tells, by workers and callers that are killed at random, while the gateway fails and dies too.

In the end every bill is charged once, every refund is made once, every session kept one method,
every event is in the inbox once and settled, and the books are clean.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest

from tests.campaigns.mortal import About, Mortal
from tests.campaigns.test_deaths import (
    AMOUNT,
    Shop,
    ask_again,
    confirm_all,
    deliver_again,
)
from tests.campaigns.test_storms import Chore, own_simulator, storm, sweep, workers
from tests.gateway_events import charge_of, event, post_of
from tests.simulator import SimulatorProcess
from tests.world import START, open_world

__all__ = ["own_simulator", "workers"]
LATEST = "SELECT id FROM payments WHERE status = 'succeeded' ORDER BY id DESC LIMIT 20"


@dataclass
class Business:
    """What callers, customers and the gateway want of a shop, one thing after the other."""

    shop: Shop
    customers: list[UUID]
    asked: dict[UUID, About] = field(default_factory=dict)
    """Payments somebody wanted back, and how it was asked for."""

    async def chore(self, random: Random) -> Chore:
        wishes: tuple[Callable[[Random], Awaitable[Chore]], ...] = (
            sweep,
            sweep,
            self.refund,
            self.set_up,
            self.confirm,
            self.tell,
        )
        return await random.choice(wishes)(random)

    async def refund(self, random: Random) -> Chore:
        paid = await self.shop.world.fetch(LATEST)
        if not paid:
            return await sweep(random)
        chosen = random.choice(paid)["id"]
        about = self.asked.setdefault(chosen, self.shop.about(payment=chosen))
        return ("refund", "refunds"), about

    async def set_up(self, random: Random) -> Chore:
        about = self.shop.about(customer=random.choice(self.customers))
        return ("begin_setup", "setups"), about

    async def confirm(self, random: Random) -> Chore:
        """Customers go on with what they began, where the gateway lets them."""
        del random
        self.shop.simulator.clear_faults()
        await confirm_all(self.shop)
        return ("setups", "refunds"), {}

    async def tell(self, random: Random) -> Chore:
        """The gateway tells of some charges: how they stand, in any order, and some of it twice."""
        self.shop.simulator.clear_faults()
        made = self.shop.world.charges()
        references = random.sample([one["reference"] for one in made], min(3, len(made)))
        some = [charge_of(self.shop.simulator, one) for one in references]
        signed = [self.shop.signed(event(f"charge.{one['status']}", one)) for one in some]
        self.shop.deliveries += signed
        told = [*signed, *random.sample(signed, len(signed) // 2)]
        about = self.shop.about(account=self.shop.post.account)
        return ("take", "inbox"), {**about, "deliveries": told}


async def weather(
    database: str, gateway: SimulatorProcess, workers: list[Mortal], subs: int, seed: int
) -> None:
    async with open_world(database, gateway) as world:
        shop = Shop(world, await post_of(world), world.now)
        price = await world.price(f"{AMOUNT}")
        customers = [await world.customer() for _ in range(subs)]
        for customer in customers:
            await world.subscribe(customer, price, start_at=START + timedelta(days=1))
        world.clock.set(START + timedelta(days=33))  # the first period and the second are due
        business = Business(shop, customers)
        rounds = 8 + subs // 4
        deaths = await storm(world, gateway, workers, rounds, seed, business.chore)
        gateway.clear_faults()
        await shop.recover(is_over=False)
        await confirm_all(shop)
        await ask_again(shop, list(business.asked.values()))
        await deliver_again(shop, [])
        await shop.recover(is_over=True)
        await everything_came_to_its_end(business, subs)
        assert deaths > 0


async def everything_came_to_its_end(business: Business, subs: int) -> None:
    shop = business.shop
    world = shop.world
    assert world.charged() == [(AMOUNT, "EUR")] * 2 * subs
    assert world.refunded() == [AMOUNT] * len(business.asked)
    given = {row["id"]: row["amount_refunded"] for row in await world.payments()}
    assert {payment for payment, amount in given.items() if amount} == business.asked.keys()
    assert Counter(given.values())[AMOUNT] == len(business.asked)
    rows = await shop.post.rows()
    assert len(rows) == len(shop.deliveries)
    assert {row["gateway_event_id"]: row["status"] for row in rows} == {
        json.loads(told["body"])["id"]: "settled" for told in shop.deliveries
    }
    sessions = await world.fetch("SELECT status, payment_method_id FROM setup_sessions")
    assert {row["status"] for row in sessions} <= {"completed"}
    assert len({row["payment_method_id"] for row in sessions}) == len(sessions)
    assert Counter(await world.told())["setup_session.completed"] == len(sessions)
    await world.assert_clean()


async def test_a_small_storm_over_everything_does_all_of_it_once(
    clean_database: str, own_simulator: SimulatorProcess, workers: list[Mortal]
) -> None:
    await weather(clean_database, own_simulator, workers, subs=12, seed=1)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2, 10))
async def test_a_long_storm_over_everything_does_all_of_it_once(
    clean_database: str, own_simulator: SimulatorProcess, workers: list[Mortal], seed: int
) -> None:
    await weather(clean_database, own_simulator, workers, subs=200, seed=seed)
