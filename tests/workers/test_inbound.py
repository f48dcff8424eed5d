"""Webhooks in as they really travel: the gateway's own process, the API's, the worker's."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from app.ids import show
from app.services import inbox_settling
from tests.gateway_events import SECRET, event, post_of
from tests.simulator import SimulatorProcess, free_port, stop
from tests.workers.test_worker import DEADLINE, ROOT, bell, eventually, worker
from tests.workers.test_worker import today as today  # noqa: PLC0414  a fixture
from tests.world import PAID, SECRET_KEY, STARTED, World, open_world

pytestmark = pytest.mark.anyio

PENDING = ("subscription.created", "invoice.finalized", "payment.processing")


@contextmanager
def served(database: str, redis: str) -> Iterator[str]:
    """A real API process, as long as the block lasts; where it answers."""
    port = free_port()
    environment = os.environ | {
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "PERENNIAL_SECRET_KEYS": SECRET_KEY,
        "PERENNIAL_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "app.cli", "api", f"--port={port}"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


async def test_the_gateway_tells_and_the_worker_settles_without_anybody_asking(
    today: World, clean_database: str, clean_redis: str, simulator: SimulatorProcess, monkeypatch
) -> None:
    post = await post_of(today)
    monkeypatch.setenv("PERENNIAL_SECRET_KEYS", SECRET_KEY)
    with served(clean_database, clean_redis) as api:

        async def answers() -> bool:
            async with httpx.AsyncClient(trust_env=False) as client:
                try:
                    return (await client.get(f"{api}/livez")).is_success
                except httpx.TransportError:
                    return False

        await eventually(answers)
        path = f"/v1/gateways/simulator/{show('gwa', post.account)}/webhooks"
        endpoint = {"url": api + path, "secret": SECRET}
        simulator.request("PUT", "/v1/webhook_endpoint", json=endpoint)
        try:
            with worker(clean_database, clean_redis, simulator.url):
                customer = await today.customer("pm_sim_pending_then_succeeds")
                await today.subscribe(customer, await today.price("1000"))

                async def paid() -> bool:
                    rows = await today.fetch("SELECT status FROM payments")
                    return rows[0]["status"] == "succeeded"

                await eventually(paid, 25)  # a look-up would come after thirty seconds
        finally:
            simulator.request("DELETE", "/v1/webhook_endpoint")
    assert "settled" in await post.statuses()
    assert sorted(await today.told()) == sorted([*PENDING, *PAID, "subscription.activated"])
    await today.assert_clean()


async def test_without_redis_deliveries_are_taken_all_the_same_and_the_sweep_settles_them(
    clean_database: str, simulator: SimulatorProcess
) -> None:
    deaf = bell(f"redis://127.0.0.1:{free_port()}/0")
    async with open_world(clean_database, simulator, bell=deaf) as world:
        post = await post_of(world)
        await world.subscribe(await world.customer(), await world.price("1000"))
        await world.expect(*STARTED)
        charge = {"object": "charge", "id": (await world.last_attempt()).gateway_reference}
        async with asyncio.timeout(DEADLINE):
            told = [event("charge.succeeded", charge) for _ in range(200)]
            taken = await asyncio.gather(*(post.bring(each) for each in told))
        assert sum(each.stored for each in taken) == 200
        assert (await inbox_settling.settle_due(world.rt)).settled == 200
        await world.expect()
    await deaf.close()
