"""Six events of one payment, in any order and more than once: the end is always the same.

The gateway goes its own way meanwhile: what a delivery is about may have moved on since, and the
worker may look after each of them, or only after several.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import pytest

from app.services import inbox_settling
from tests.gateway_events import Post, charge_of, event, post_of
from tests.world import World

pytestmark = pytest.mark.anyio

SAMPLED = 8
# What is told, and how far the gateway must have come for that.
PAID = (
    ("charge.requires_action", 0),
    ("charge.pending", 0),
    ("charge.ended", 1),
    ("charge.ended", 1),
    ("charge.requires_action", 0),
    ("again:charge.ended", 1),  # the very same event, delivered once more
)
DISPUTED = (
    ("charge.requires_action", 0),
    ("charge.ended", 1),
    ("dispute.opened", 2),
    ("again:dispute.opened", 2),
    ("dispute.under_review", 3),
    ("dispute.lost", 4),
)
ENDS = {"succeeds": PAID, "is declined": PAID, "is disputed": DISPUTED}


@dataclass
class Life:
    """One payment's life at the gateway, and what is told of it here."""

    world: World
    post: Post
    ending: str
    chance: random.Random
    step: int = 0
    charge: dict[str, Any] = field(default_factory=dict)
    dispute: dict[str, Any] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def lived(self, order: Sequence[int]) -> dict[str, Any]:
        """What our books say in the end."""
        world, events = self.world, ENDS[self.ending]
        sub = await world.subscribe(
            await world.customer("pm_sim_requires_action"), await world.price("1000")
        )
        attempt = await world.last_attempt()
        self.charge = charge_of(world.simulator, attempt.reference)
        last = max(step for _, step in events)
        for place in order:
            name, needs = events[place]
            ahead = self.chance.randint(needs, last) if self.chance.random() < 0.3 else needs
            while self.step < max(needs, ahead):
                self.go_on()
            await self.post.bring(self.delivery(name))
            if self.chance.random() < 0.5:
                await inbox_settling.settle_due(world.rt)
        await inbox_settling.settle_due(world.rt)
        return await self.state(sub)

    def go_on(self) -> None:
        """The next thing that happens at the gateway."""
        self.step += 1
        ask = self.world.simulator.request
        if self.step == 1:
            body = {"client_secret": self.charge["client_secret"]}
            if self.ending == "is declined":
                body["decline_code"] = "insufficient_funds"
            ask("POST", f"/actions/{self.charge['id']}/confirm", json=body)
        elif self.step == 2:
            self.dispute = ask("POST", "/v1/disputes", json={"charge": self.charge["id"]})
        else:
            status = {3: "under_review", 4: "lost"}[self.step]
            ask("POST", f"/v1/disputes/{self.dispute['id']}", json={"status": status})

    def delivery(self, name: str) -> dict[str, Any]:
        again, _, plain = name.rpartition(":")
        about = self.dispute if plain.startswith("dispute") else self.charge
        if again and plain in self.told:
            return self.told[plain]
        told = event(plain, about)
        return self.told.setdefault(plain, told) if again else self.told.get(plain) or told

    async def state(self, sub: Any) -> dict[str, Any]:
        fetch, charge = self.world.fetch, self.charge["id"]
        [invoice] = await fetch("SELECT * FROM invoices WHERE subscription_id = $1", sub)
        [payment] = await fetch("SELECT * FROM payments WHERE invoice_id = $1", invoice["id"])
        attempts = await fetch(
            "SELECT * FROM payment_attempts WHERE invoice_id = $1", invoice["id"]
        )
        disputes = await fetch("SELECT * FROM disputes WHERE payment_id = $1", payment["id"])
        about = [payment["id"], *(row["id"] for row in disputes)]
        entries = await fetch("SELECT * FROM ledger_entries WHERE source_id = ANY ($1)", about)
        ledger: Counter[str] = Counter()
        for entry in entries:
            ledger[entry["debit"]] += entry["amount"]
            ledger[entry["credit"]] -= entry["amount"]
        events = await fetch(
            "SELECT type FROM events WHERE object_id = ANY ($1)",
            [sub, invoice["id"], payment["id"]],
        )
        inbound = await fetch(
            "SELECT status FROM inbound_events WHERE reference = ANY ($1)",
            [charge, *(row["gateway_reference"] for row in disputes)],
        )
        return {
            "subscription": await self.world.status(sub),
            "invoice": (invoice["status"], invoice["amount_paid"]),
            "payment": (payment["status"], payment["amount_captured"], payment["failure_code"]),
            "attempts": [(a["status"], a["gateway_reference"] == charge) for a in attempts],
            "disputes": [(d["status"], d["amount"], d["withdrawn"], d["fee"]) for d in disputes],
            "ledger": {account: amount for account, amount in ledger.items() if amount},
            "events": Counter(row["type"] for row in events),
            "inbound": {row["status"] for row in inbound},
        }


async def same_end(world: World, sampled: int | None, seed: int) -> int:
    """Live every order, or so many of them, for each ending; how many lives that were."""
    post, chance, lives = await post_of(world), random.Random(seed), 0
    for ending, events in ENDS.items():
        orders = list(permutations(range(len(events))))
        expected = await Life(world, post, ending, chance).lived(orders[0])
        paid = ending != "is declined"
        assert expected["payment"][0] == ("succeeded" if paid else "requires_payment_method")
        assert expected["inbound"] == {"settled"}
        assert [d[0] for d in expected["disputes"]] == ["lost"] * (ending == "is disputed")
        for order in orders if sampled is None else chance.sample(orders, sampled):
            found = await Life(world, post, ending, chance).lived(order)
            assert found == expected, (ending, order)
            lives += 1
    await world.assert_clean()
    return lives


async def test_some_orders_end_in_the_same_state(world: World) -> None:
    assert await same_end(world, SAMPLED, 11) == 3 * SAMPLED


@pytest.mark.campaign
@pytest.mark.timeout(3600)
async def test_every_order_ends_in_the_same_state(world: World) -> None:
    assert await same_end(world, None, 12) == 3 * 720
