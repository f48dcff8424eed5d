"""One worker process that collects, as it runs in production: `collect_due` until nothing is due.

It says when it is ready, waits to be told to go, and answers with what it did, as JSON lines.
"""

import asyncio
import json
import sys
import time
from datetime import datetime, timedelta

from pydantic import SecretStr

from app import process
from app.bell import Silent
from app.runtime import Runtime, open_runtime
from app.services.payments import Collected, collect_due
from app.settings import Settings
from bench.meter import Meter, rss_mb
from bench.worker import connect


class Passing:
    """Time that stands at a moment in the past, and passes from there."""

    def __init__(self, at: datetime) -> None:
        self._at, self._begun = at, time.monotonic()

    def now(self) -> datetime:
        return self._at + timedelta(seconds=time.monotonic() - self._begun)


async def main(url: str, gateway_url: str, in_flight: int, now: str, profile: str | None) -> None:
    settings = Settings(
        database_url=SecretStr(url),
        simulator_url=gateway_url,
        charges_in_flight=in_flight,
        log_level="error",
    )
    clock = Passing(datetime.fromisoformat(now))
    async with open_runtime(settings, clock=clock, bell=Silent()) as rt:
        pids = await connect(rt, 3)
        process.settle()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        meter, before = Meter(*pids), rss_mb()
        collected = await (profiled(rt, profile) if profile else collect_due(rt))
        answer = {"attempts": collected.attempts, "succeeded": collected.succeeded}
        spent = meter.read()
        print(json.dumps(answer | spent | {"before_mb": before, "after_mb": rss_mb()}), flush=True)


async def profiled(rt: Runtime, path: str) -> Collected:
    """The same under cProfile, which makes it two to three times slower."""
    import cProfile

    profiler = cProfile.Profile()
    profiler.enable()
    collected = await collect_due(rt)
    profiler.disable()
    profiler.dump_stats(path)
    return collected


if __name__ == "__main__":
    url, gateway_url, in_flight, now, *path = sys.argv[1:]
    asyncio.run(main(url, gateway_url, int(in_flight), now, (*path, None)[0]))
