"""The worker as it really runs: woken by the bell, swept by its timetable, calm without Redis."""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.bell import RING_SECONDS_MAX, RedisBell, deserialize, serialize
from app.clock import SystemClock
from app.domain.calendar import Unit
from app.embedded import Embedded
from app.settings import Settings
from tests.simulator import SimulatorProcess, free_port
from tests.world import RENEWED, STARTED, World, open_world
from workers import jobs
from workers.main import WorkerSettings

ROOT = Path(__file__).parents[2]
DEADLINE = 60.0


async def eventually(condition: Callable[[], Any], seconds: float = DEADLINE) -> None:
    """Wait for what another process does."""
    deadline = monotonic() + seconds
    while not await condition():
        assert monotonic() < deadline, "it does not happen"
        await asyncio.sleep(0.05)


@pytest.fixture
async def today(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    """A shop that lives by the machine's clock."""
    clock = SystemClock()
    async with open_world(clean_database, simulator, clock=clock) as opened:
        opened.clock.at = clock.now()
        yield opened


@pytest.fixture
async def overdue(today: World) -> World:
    """The same with ten daily subscriptions that nobody has looked after for four days."""
    price = await today.price("100", unit=Unit.DAY)
    customer = await today.customer()
    await today.subscribe(customer, price)  # the way of the gateway is trodden
    sooner = timedelta(days=3, hours=12)
    for _ in range(10):
        await today.subscribe(customer, price, start_at=today.now - sooner)
    return today


@contextmanager
def worker(database: str, redis: str, simulator: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A real worker process, killed at the end if it still lives."""
    environment = os.environ | {
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "PERENNIAL_SIMULATOR_URL": simulator,
        "PERENNIAL_LOG_LEVEL": "warning",
        "PERENNIAL_CHUNK_SIZE": "7",
        "PERENNIAL_CHARGES_IN_FLIGHT": "3",
    }
    command = [sys.executable, "-m", "app.cli", "worker", "--no-supervise"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()


def bell(redis: str) -> RedisBell:
    return RedisBell(Settings(redis_url=SecretStr(redis)))


async def paid(world: World) -> int:
    rows = await world.fetch("SELECT count(*) AS n FROM invoices WHERE status = 'paid'")
    return rows[0]["n"]


async def test_a_ring_wakes_the_worker_and_everything_due_is_billed_and_paid(
    overdue: World, clean_database: str, clean_redis: str, simulator: SimulatorProcess
) -> None:
    ringer = bell(clean_redis)
    await ringer.ring("renew")
    with worker(clean_database, clean_redis, simulator.url):

        async def done() -> bool:
            return await paid(overdue) == 41  # 1, and ten times the four days that have begun

        await eventually(done)
    await ringer.close()
    assert overdue.charged() == [(100, "EUR")] * 41
    await overdue.assert_clean()


async def test_a_dead_redis_fails_nobody_and_is_found_again_when_it_is_back(
    tmp_path: Path, clean_database: str, simulator: SimulatorProcess
) -> None:
    servers = Embedded(tmp_path)
    url = servers.start_valkey()
    ringer = bell(url)
    await ringer.ring("renew")
    assert await waiting(url) == 1
    assert servers._valkey is not None
    servers._valkey.process.kill()
    servers._valkey.process.wait()
    try:
        async with open_world(clean_database, simulator, bell=ringer) as world:
            began = monotonic()
            await ringer.ring("renew")
            assert monotonic() - began < 5 * RING_SECONDS_MAX  # busy machines are slower
            customer = await world.customer()
            await world.subscribe(customer, await world.price("1000"))
            await world.expect(*STARTED)
            await world.advance(months=1, expect=RENEWED)
            await world.assert_clean()
        servers.start_valkey()
        again = bell(url)
        await again.ring("collect")
        assert await waiting(url) == 1 + 1  # what waited before the death, and this
        await again.close()
    finally:
        await ringer.close()
        servers.stop()


async def test_many_rings_in_a_moment_are_one_and_wait_for_nobody(clean_redis: str) -> None:
    ringer = bell(clean_redis)
    began = monotonic()
    for _ in range(1_000):
        ringer.ring_soon("settle_inbound")
    assert monotonic() - began < RING_SECONDS_MAX
    await eventually(lambda: waiting(clean_redis))
    assert await waiting(clean_redis) == 1
    await ringer.close()


async def test_rings_that_nobody_hears_cost_nothing(unused_tcp_port_url: str) -> None:
    ringer = bell(unused_tcp_port_url)
    await ringer.ring("settle_inbound")
    assert ringer._deaf_until > monotonic()
    ringer.ring_soon("settle_inbound")
    assert not ringer._ringing
    await ringer.close()


@pytest.fixture
def unused_tcp_port_url() -> str:
    """A Redis where there is none."""
    return f"redis://127.0.0.1:{free_port()}/0"


async def waiting(url: str) -> int:
    """How many jobs wait in the queue."""
    client = Redis.from_url(url)
    try:
        return int(await client.zcard("arq:queue"))
    finally:
        await client.aclose()


async def test_the_jobs_do_what_is_due(world: World) -> None:
    context = {"rt": world.rt}
    # On a 31 January of years to come, when the gateway has seen nobody else.
    world.clock.set(world.now + timedelta(days=1096))
    await world.subscribed("1000")
    world.clock.set(world.now + timedelta(days=28))
    for job in jobs.ALL:
        await job(context)
    await world.expect(*RENEWED, "reconciliation.completed")
    await world.assert_clean()


def test_every_job_is_swept_even_if_nobody_rings() -> None:
    swept = {job.coroutine for job in WorkerSettings.cron_jobs}
    assert swept == set(jobs.ALL)
    assert {function.name for function in WorkerSettings.functions} == {
        job.__name__ for job in jobs.ALL
    }
    for job in WorkerSettings.cron_jobs:
        assert job.max_tries == 1
        assert job.keep_result_s == 0
        assert job.timeout_s is not None


def test_jobs_travel_as_json_and_nothing_is_unpickled() -> None:
    job = {"t": 1, "f": "renew", "a": [], "k": {}, "et": 1_700_000_000_000}
    assert deserialize(serialize(job)) == job
    with pytest.raises(orjson.JSONDecodeError):
        deserialize(pickle.dumps(job))


@pytest.mark.campaign
@pytest.mark.timeout(600)
async def test_workers_killed_and_redis_flushed_lose_and_double_nothing(
    overdue: World, clean_database: str, clean_redis: str, simulator: SimulatorProcess
) -> None:
    """Real workers, real timetable: killed in the middle, the bell's queue flushed each time."""
    ringer = bell(clean_redis)
    client = Redis.from_url(clean_redis)
    simulator.set_fault("latency", delay_ms=120)

    async def some_more(than: int) -> bool:
        """More is paid, or all the rest is in flight, where a killed worker left it."""
        [left] = await overdue.fetch(
            "SELECT (SELECT count(*) FROM payments WHERE status = 'scheduled') AS waiting,"
            " (SELECT count(*) FROM subscriptions WHERE next_action_at <= now()) AS due"
        )
        return await paid(overdue) > than or left["waiting"] + left["due"] == 0

    for _ in range(4):
        before = await paid(overdue)
        await ringer.ring("renew")
        with worker(clean_database, clean_redis, simulator.url):
            await eventually(lambda: some_more(before))  # noqa: B023  awaited at once
        await client.flushdb()
        if await paid(overdue) == 41:
            break
    simulator.clear_faults()
    with worker(clean_database, clean_redis, simulator.url):

        async def done() -> bool:
            return await paid(overdue) == 41

        await eventually(done, 400)  # nobody rings: the timetable, and leases of three minutes
    await client.aclose()
    await ringer.close()
    assert overdue.charged() == [(100, "EUR")] * 41
    await overdue.assert_clean()
