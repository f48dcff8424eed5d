"""Webhooks under many hands: workers together, workers killed, late commits, chance."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.clock import SystemClock
from app.db import events as event_rows
from app.db import outbox, views
from app.domain.event import Type
from app.ids import show
from app.services import customers, events, fan_out, webhook_calls, webhook_endpoints
from app.services.customers import CreateCustomer, UpdateCustomer
from app.services.webhook_endpoints import CreateEndpoint, UpdateEndpoint
from tests.simulator import SimulatorProcess
from tests.webhooks import Receiver, receiver
from tests.world import SECRET_KEY, World, open_world

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0


@pytest.fixture
async def shop(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    """A shop whose endpoints may be on loopback."""
    async with open_world(clean_database, simulator, private_addresses_allowed=True) as world:
        yield world


@pytest.fixture
async def today(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    """The same, by the machine's clock."""
    clock = SystemClock()
    async with open_world(
        clean_database, simulator, clock=clock, private_addresses_allowed=True
    ) as world:
        world.clock.at = clock.now()
        yield world


async def listening(world: World, hook: Receiver, *types: str) -> UUID:
    cmd = CreateEndpoint(url=hook.url, event_types=types or ("*",))
    row, _ = await webhook_endpoints.create(world.rt, world.caller, cmd)
    return row["id"]


async def customer(world: World, name: str = "0") -> UUID:
    row = await customers.create(world.rt, world.caller, CreateCustomer(name=name))
    return row["id"]


async def rename(world: World, whom: UUID, name: str) -> None:
    await customers.update(world.rt, world.caller, UpdateCustomer(whom, {"name": name}))


async def renamed(world: World, whom: Sequence[UUID], times: int) -> None:
    for n in range(1, times + 1):
        for each in whom:
            await rename(world, each, str(n))


def in_order(hook: Receiver) -> None:
    """Of each object, what was taken came in the order of its versions; repetitions aside."""
    first: dict[str, list[int]] = defaultdict(list)
    seen = set()
    for event in hook.events:
        if event["id"] not in seen:
            seen.add(event["id"])
            first[event["object_id"]].append(event["object_version"])
    for versions in first.values():
        assert versions == sorted(versions)


async def followed(world: World) -> list[dict[str, Any]]:
    """Everything that whoever follows sees, from the first."""
    found, seen = [], 0
    while page := await events.after(world.rt, world.caller, seen, None, 50):
        found += page
        seen = page[-1]["sequence"]
    assert [event["sequence"] for event in found] == list(range(1, len(found) + 1))
    return found


async def eventually(condition: Callable[[], bool], seconds: float = DEADLINE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        await asyncio.sleep(0.02)


# ── nothing is passed by ──────────────────────────────────────────────────────────────────────────


async def test_what_commits_late_is_numbered_late_and_nobody_misses_it(shop: World) -> None:
    """Its identifier is older than that of an event which was numbered and seen long before."""
    async with receiver() as hook:
        await listening(shop, hook)
        early, late = await customer(shop, "early"), await customer(shop, "late")
        await fan_out.fan_out_due(shop.rt)
        async with shop.rt.db.begin(shop.caller.merchant_id) as tx:
            row = await views.one(tx, views.CUSTOMER, shop.caller.merchant_id, late)
            await event_rows.append(
                tx, shop.caller.merchant_id, Type.CUSTOMER_UPDATED, views.CUSTOMER, row, shop.now
            )
            await rename(shop, early, "seen")
            seen = (await followed(shop))[-1]
            await fan_out.fan_out_due(shop.rt)
        rest = await events.after(shop.rt, shop.caller, seen["sequence"], None, 10)
        assert [(e["sequence"], e["data"]["object"]["name"]) for e in rest] == [(4, "late")]
        assert rest[0]["id"] < seen["id"]
        await webhook_calls.deliver_due(shop.rt)
        names = [event["data"]["object"]["name"] for event in hook.events]
        assert sorted(names) == ["early", "late", "late", "seen"]
        await shop.assert_clean()


async def test_what_rolls_back_was_never_told(shop: World) -> None:
    kept = await customer(shop)
    with pytest.raises(RuntimeError):
        async with shop.rt.db.begin(shop.caller.merchant_id) as tx:
            row = await views.one(tx, views.CUSTOMER, shop.caller.merchant_id, kept)
            await event_rows.append(
                tx, shop.caller.merchant_id, Type.CUSTOMER_UPDATED, views.CUSTOMER, row, shop.now
            )
            raise RuntimeError
    assert len(await followed(shop)) == 1
    await shop.assert_clean()


async def test_many_that_number_at_once_number_each_once(shop: World) -> None:
    made = [await customer(shop) for _ in range(5)]

    async def busy(whom: UUID) -> None:
        for n in range(8):
            await rename(shop, whom, str(n))
            await fan_out.fan_out_due(shop.rt)

    await asyncio.gather(*map(busy, made))
    found = await followed(shop)
    assert len(found) == 45
    for whom in made:
        versions = [e["object_version"] for e in found if e["object_id"] == show("cus", whom)]
        assert versions == list(range(1, 10))
    await shop.assert_clean()


async def test_a_merchant_that_is_being_numbered_holds_up_no_other(
    shop: World, clean_database: str
) -> None:
    async with open_world(clean_database) as other:
        await customer(shop)
        async with shop.rt.db.begin(shop.caller.merchant_id) as tx:
            await outbox.hold(tx, shop.caller.merchant_id)
            await customer(other)
            began = time.monotonic()
            done = await fan_out.fan_out_due(other.rt)
            assert (done.events, time.monotonic() - began < 3) == (1, True)
        assert (await fan_out.fan_out_due(other.rt)).events == 1
        await other.assert_clean()


# ── workers together ──────────────────────────────────────────────────────────────────────────────


async def test_workers_that_run_together_call_each_endpoint_once_for_each_event(
    shop: World,
) -> None:
    async with receiver(slow_seconds=0.01) as one, receiver() as two:
        for hook in (one, two):
            await listening(shop, hook)
        made = [await customer(shop) for _ in range(20)]
        await renamed(shop, made, 3)
        await asyncio.gather(*(fan_out.fan_out_due(shop.rt) for _ in range(4)))
        await asyncio.gather(*(webhook_calls.deliver_due(shop.rt) for _ in range(4)))
        for hook in (one, two):
            assert len(hook.got) == len({got.id for got in hook.got}) == 80
            assert hook.most <= shop.rt.settings.webhooks_per_endpoint
            in_order(hook)
    await shop.assert_clean()


@contextmanager
def worker(database: str, redis: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A real worker process, killed at the end if it still lives."""
    environment = os.environ | {
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "PERENNIAL_SECRET_KEYS": SECRET_KEY,
        "PERENNIAL_PRIVATE_ADDRESSES_ALLOWED": "true",
        "PERENNIAL_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "app.cli", "worker", "--no-supervise"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


@dataclass(frozen=True)
class Later:
    """The machine's clock, ahead by a while: leases of those who died are over."""

    ahead: timedelta

    def now(self) -> datetime:
        return SystemClock().now() + self.ahead


async def test_a_worker_that_nobody_rings_tells_by_its_timetable_and_its_death_loses_nothing(
    today: World, clean_database: str, clean_redis: str
) -> None:
    async with receiver(slow_seconds=0.3) as slow, receiver() as fast:
        for hook in (slow, fast):
            await listening(today, hook)
        made = [await customer(today) for _ in range(30)]
        await renamed(today, made, 2)
        with worker(clean_database, clean_redis) as process:
            await eventually(lambda: len(slow.got) >= 15 and len(fast.got) >= 15)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert len(slow.events) < 90  # it died in the middle
        slow.slow_seconds = 0
        later = replace(today.rt, clock=Later(webhook_calls.LEASE + timedelta(minutes=1)))
        await fan_out.fan_out_due(later)
        await webhook_calls.deliver_due(later)
        told = {event["id"] for event in await followed(today)}
        for hook in (slow, fast):
            times = Counter(event["id"] for event in hook.events)
            assert set(times) == told
            assert len(told) == 90
            # What was under way or not written down came again, and under the same identifier.
            again = sum(n - 1 for n in times.values())
            assert again <= 2 * today.rt.settings.webhooks_per_endpoint + webhook_calls.SETTLED_MAX
            in_order(hook)
    await today.assert_clean()


# ── by chance ─────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Chance:
    """A shop with three endpoints, to which things happen by chance."""

    shop: World
    hooks: Sequence[Receiver]
    draw: random.Random

    async def change(self, made: Sequence[UUID]) -> None:
        for n in range(15):
            await rename(self.shop, self.draw.choice(made), f"{n}")

    async def tell(self) -> None:
        """Run, refuse, dawdle, and be cut off."""
        for _ in range(12):
            hook = self.draw.choice(self.hooks)
            hook.refusals = [self.draw.choice([500, 503, 429, 302])] * self.draw.randrange(3)
            hook.slow_seconds = self.draw.choice([0, 0, 0.02])
            run = asyncio.create_task(run_once(self.shop))
            if self.draw.random() < 0.3:
                await asyncio.sleep(self.draw.random() / 20)
                run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            self.shop.clock.advance(timedelta(seconds=self.draw.choice([1, 11, 40, 300])))

    async def tinker(self, endpoint: UUID) -> None:
        for enabled in (False, True) * 3:
            await asyncio.sleep(self.draw.random() / 10)
            cmd = UpdateEndpoint(endpoint, {"enabled": enabled})
            await webhook_endpoints.update(self.shop.rt, self.shop.caller, cmd)

    async def settle(self) -> None:
        """Fair weather, until nothing is left to tell."""
        for hook in self.hooks:
            hook.refusals, hook.slow_seconds = [], 0
        for _ in range(40):
            self.shop.clock.advance(timedelta(hours=13))
            if not (await run_once(self.shop)).attempts:
                break


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_each_endpoint_gets_everything_in_order(
    shop: World, seed: int
) -> None:
    """Changes, refusals, runs cut off, an endpoint disabled and enabled again, all at once."""
    async with receiver() as one, receiver() as two, receiver() as three:
        await listening(shop, one)
        await listening(shop, two, "customer.updated")
        tinkered = await listening(shop, three, "customer.*")
        chance = Chance(shop, (one, two, three), random.Random(seed))
        made = [await customer(shop) for _ in range(6)]
        await asyncio.gather(
            *(chance.change(made) for _ in range(3)),
            chance.tell(),
            chance.tell(),
            chance.tinker(tinkered),
        )
        await chance.settle()
        told = await followed(shop)
        assert {event["id"] for event in one.events} == {event["id"] for event in told}
        updates = {event["id"] for event in told if event["type"] == "customer.updated"}
        assert {event["id"] for event in two.events} == updates
        for hook in chance.hooks:
            in_order(hook)
    await shop.assert_clean()


async def run_once(world: World) -> webhook_calls.Told:
    await fan_out.fan_out_due(world.rt)
    return await webhook_calls.deliver_due(world.rt)
