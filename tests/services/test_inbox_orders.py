"""Six events of one payment, in any order and more than once: the end is always the same.

The gateway goes its own way meanwhile: what a delivery is about may have moved on since, and the
worker may look after each of them, or only after several.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import pytest

from app.services import inbox_settling
from tests.gateway_events import Post, charge_of, event, post_of
from tests.world import World

pytestmark = pytest.mark.anyio

TOLD = (
    "charge.requires_action",
    "charge.pending",
    "charge.ended",
    "charge.ended",
    "charge.requires_action",
    "charge.again",  # the very event of the first end, delivered once more
)
ORDERS = sorted(set(permutations(range(len(TOLD)))))
SAMPLED = 16


@dataclass
class Life:
    """One payment's life: what the gateway tells of it, and how it ends there."""

    world: World
    post: Post
    ends_well: bool
    chance: random.Random

    async def lived(self, order: Sequence[int]) -> dict[str, Any]:
        """What our books say in the end."""
        world, told = self.world, [TOLD[place] for place in order]
        sub = await world.subscribe(
            await world.customer("pm_sim_requires_action"), await world.price("1000")
        )
        attempt = await world.last_attempt()
        charge = charge_of(world.simulator, attempt.reference)
        first_end = next(n for n, name in enumerate(told) if name in TOLD[2:4] + TOLD[5:])
        acts_at = self.chance.randint(0, first_end)
        ended = event("charge.ended", charge)
        for place, name in enumerate(told):
            if place == acts_at:
                self.customer_acts(charge)
            await self.post.bring(
                ended if name == "charge.again" or place == first_end else event(name, charge)
            )
            if self.chance.random() < 0.5:
                await inbox_settling.settle_due(world.rt)
        await inbox_settling.settle_due(world.rt)
        return await self.state(sub, charge["id"])

    def customer_acts(self, charge: dict[str, Any]) -> None:
        body = {"client_secret": charge["client_secret"]}
        if not self.ends_well:
            body["decline_code"] = "insufficient_funds"
        self.world.simulator.request("POST", f"/actions/{charge['id']}/confirm", json=body)

    async def state(self, sub: Any, charge: str) -> dict[str, Any]:
        fetch = self.world.fetch
        [invoice] = await fetch("SELECT * FROM invoices WHERE subscription_id = $1", sub)
        [payment] = await fetch("SELECT * FROM payments WHERE invoice_id = $1", invoice["id"])
        attempts = await fetch(
            "SELECT * FROM payment_attempts WHERE invoice_id = $1", invoice["id"]
        )
        entries = await fetch("SELECT * FROM ledger_entries WHERE source_id = $1", payment["id"])
        events = await fetch(
            "SELECT type FROM events WHERE object_id = ANY ($1)",
            [sub, invoice["id"], payment["id"]],
        )
        inbound = await fetch("SELECT status FROM inbound_events WHERE reference = $1", charge)
        return {
            "subscription": await self.world.status(sub),
            "invoice": (invoice["status"], invoice["amount_paid"]),
            "payment": (payment["status"], payment["amount_captured"], payment["failure_code"]),
            "attempts": [(a["status"], a["gateway_reference"] == charge) for a in attempts],
            "entries": sorted((e["debit"], e["credit"], e["amount"]) for e in entries),
            "events": Counter(row["type"] for row in events),
            "inbound": {row["status"] for row in inbound},
        }


async def same_end(world: World, orders: Sequence[Sequence[int]], seed: int) -> None:
    post = await post_of(world)
    for ends_well in (True, False):
        life = Life(world, post, ends_well, random.Random(seed))
        expected = await life.lived(range(len(TOLD)))
        status = "succeeded" if ends_well else "requires_payment_method"
        assert expected["payment"][0] == status
        assert expected["inbound"] == {"settled"}
        for order in orders:
            assert await life.lived(order) == expected, (order, ends_well)
    await world.assert_clean()


async def test_some_orders_end_in_the_same_state(world: World) -> None:
    chance = random.Random(11)
    await same_end(world, chance.sample(ORDERS, SAMPLED), 11)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
async def test_every_order_ends_in_the_same_state(world: World) -> None:
    await same_end(world, ORDERS, 12)
