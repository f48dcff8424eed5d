"""One worker process of the clock, as it runs in production: `renew_due` until nothing is due.

It says when it is ready, waits to be told to go, and answers with what it did, as JSON lines.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from datetime import datetime

from pydantic import SecretStr

from app import process
from app.bell import Silent
from app.clock import ManualClock
from app.runtime import Runtime, open_runtime
from app.services.renewals import LANES, Run, renew_due
from app.settings import Settings
from bench.meter import Meter


async def main(url: str, now: datetime, lanes: int, profile: str | None) -> None:
    settings = Settings(database_url=SecretStr(url), log_level="error")
    async with open_runtime(settings, clock=ManualClock(now), bell=Silent()) as rt:
        pids = await connect(rt, lanes)
        process.settle()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        meter = Meter(*pids)
        run = await (profiled(rt, lanes, profile) if profile else renew_due(rt, lanes=lanes))
        answer = {"renewals": run.invoices, "parked": run.parked, **meter.read()}
        print(json.dumps(answer), flush=True)


async def connect(rt: Runtime, lanes: int) -> list[int]:
    """Fill the pool; the processes that serve us there."""
    pids = []
    async with AsyncExitStack() as open_at_once:
        for _ in range(lanes):
            tx = await open_at_once.enter_async_context(rt.db.begin_system())
            pids.append(await tx.fetchval("SELECT pg_backend_pid()"))
    return pids


async def profiled(rt: Runtime, lanes: int, path: str) -> Run:
    """The same under cProfile, which makes it two to three times slower."""
    import cProfile

    profiler = cProfile.Profile()
    profiler.enable()
    run = await renew_due(rt, lanes=lanes)
    profiler.disable()
    profiler.dump_stats(path)
    return run


if __name__ == "__main__":
    url, now, *rest = sys.argv[1:]
    lanes, path = (*rest, str(LANES))[0], (*rest, None, None)[1]
    asyncio.run(main(url, datetime.fromisoformat(now), int(lanes), path))
