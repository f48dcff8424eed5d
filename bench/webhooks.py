"""`python -m bench.webhooks`: events numbered, fanned out and delivered a second.

Two thousand events of five hundred customers, to three endpoints on loopback in a process of their
own: first what numbering and writing the deliveries takes, then sending them. Then once more with
one endpoint that never answers and one that takes its time: what the third one gets meanwhile.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import asyncpg
from aiohttp import ClientSession, web
from pydantic import SecretStr

from app import process
from app.bell import Silent
from app.runtime import Runtime, open_runtime
from app.secrets import new_key
from app.services import customers, fan_out, merchants, webhook_calls, webhook_endpoints
from app.services.caller import Caller
from app.services.customers import CreateCustomer, UpdateCustomer
from app.services.webhook_endpoints import CreateEndpoint
from app.settings import Settings
from bench import report
from bench.meter import Meter
from bench.servers import connected, started

CUSTOMERS = 500
EVENTS_EACH = 4
EVENTS = CUSTOMERS * EVENTS_EACH
ENDPOINTS = 3
ROUNDS = 3
AT_ONCE = 8
TIMEOUT_SECONDS = 5
SLOW_SECONDS = 0.5
FEW = 200
"""Events of the second part: a dead endpoint takes its time."""


async def main() -> None:
    """Measure on a server of its own, with endpoints in a process of their own."""
    async with started() as server, endpoints() as urls:
        url = await server.create("told")
        settings = Settings(
            database_url=SecretStr(url),
            log_level="warning",
            secret_keys=SecretStr(new_key()),
            private_addresses_allowed=True,
            webhook_timeout_seconds=TIMEOUT_SECONDS,
        )
        async with open_runtime(settings, bell=Silent()) as rt, connected(url) as look:
            process.settle()
            for _ in range(ROUNDS):
                await _round(rt, look, [urls.fine] * ENDPOINTS)
            await _beside(rt, urls)


@dataclass(frozen=True)
class Urls:
    """Endpoints by their manners."""

    fine: str
    slow: str
    dead: str
    count: str


async def _opened(rt: Runtime, addresses: Sequence[str]) -> Caller:
    """A new merchant with these endpoints."""
    made = await merchants.create(rt, merchants.CreateMerchant("Shop"), "bench")
    caller = Caller(made.merchant["id"], False, None, frozenset({"*"}), "req_bench")
    for url in addresses:
        cmd = CreateEndpoint(url=url, event_types=("*",))
        await webhook_endpoints.create(rt, caller, cmd)
    return caller


async def _happen(rt: Runtime, caller: Caller, count: int, each: int) -> None:
    """`each` events of every one of `count` customers."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with places:
            row = await customers.create(rt, caller, CreateCustomer(name=f"Customer {number}"))
            for version in range(1, each):
                change = {"name": f"Customer {number}, {version}"}
                await customers.update(rt, caller, UpdateCustomer(row["id"], change))

    await asyncio.gather(*(one(number) for number in range(count)))


async def _round(rt: Runtime, look: asyncpg.Connection, addresses: Sequence[str]) -> None:
    caller = await _opened(rt, addresses)
    await _happen(rt, caller, CUSTOMERS, EVENTS_EACH)
    serving = await look.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    )
    pids = [row["pid"] for row in serving]
    meter = Meter(*pids)
    done = await fan_out.fan_out_due(rt)
    numbering = meter.read()
    deliveries = EVENTS * len(addresses)
    assert (done.events, done.deliveries) == (EVENTS, deliveries), done
    meter = Meter(*pids)
    told = await webhook_calls.deliver_due(rt)
    telling = meter.read()
    assert told.delivered == told.attempts == deliveries, told
    report.tell("webhooks.numbered_per_second", EVENTS / numbering["seconds"])
    report.tell("webhooks.fanned_out_per_second", deliveries / numbering["seconds"])
    report.tell("webhooks.delivered_per_second", deliveries / telling["seconds"])
    for name, spent in (("fan_out", numbering), ("delivery", telling)):
        for side in ("python", "server"):
            micros = 1e6 * spent[f"{side}_seconds"] / deliveries
            report.tell(f"webhooks.{name}.{side}_micros", micros)
    report.tell("webhooks.rss_mb", telling["rss_mb"])


async def _beside(rt: Runtime, urls: Urls) -> None:
    """The fast one's time, alone and beside a dead and a slow one."""
    took = {}
    for name, others in (("alone", []), ("beside", [urls.dead, urls.slow])):
        caller = await _opened(rt, [*others, urls.fine])
        await _happen(rt, caller, FEW, 1)
        await fan_out.fan_out_due(rt)
        before = await _counted(urls)
        began = time.perf_counter()
        run = asyncio.create_task(webhook_calls.deliver_due(rt))
        while await _counted(urls) < before + FEW:
            assert time.perf_counter() - began < 60
            await asyncio.sleep(0.01)
        took[name] = time.perf_counter() - began
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    report.tell("webhooks.fast_alone_seconds", took["alone"])
    report.tell("webhooks.fast_beside_dead_and_slow_seconds", took["beside"])


async def _counted(urls: Urls) -> int:
    async with ClientSession() as session, session.get(urls.count) as answer:
        return int(await answer.text())


# ── the endpoints, in a process of their own ──────────────────────────────────────────────────────


@asynccontextmanager
async def endpoints() -> AsyncIterator[Urls]:
    """Endpoints for as long as the block lasts."""
    words = (sys.executable, "-m", "bench.webhooks", "serve")
    serving = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
    assert serving.stdout is not None
    base = (await serving.stdout.readline()).decode().strip()
    found = Urls("fine", "slow", "dead", "count")
    try:
        yield replace(found, **{name: f"{base}/{name}" for name in vars(found)})
    finally:
        serving.kill()
        await serving.wait()


async def serve() -> None:
    taken = 0

    async def fine(request: web.Request) -> web.Response:
        nonlocal taken
        await request.read()
        taken += 1
        return web.Response()

    async def slow(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(SLOW_SECONDS)
        return web.Response()

    async def dead(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.Event().wait()
        return web.Response()

    async def count(_: web.Request) -> web.Response:
        return web.Response(text=str(taken))

    app = web.Application()
    app.add_routes([web.post("/fine", fine), web.post("/slow", slow), web.post("/dead", dead)])
    app.router.add_get("/count", count)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1:] == ["serve"] else main())
