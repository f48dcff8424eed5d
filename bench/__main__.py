"""`make bench`: everything that is measured, in one run, told as ratios. Under ten minutes."""

import asyncio
import time

from bench import api, renewals, report
from bench.renewals import Measured
from bench.seed import Size
from bench.servers import Server, started

SMALL = Size(10_000)
LARGE = Size(100_000)
API = Size(5_000)
WAYS = ("clock", "copy", "naive", "one lane", "two workers, one lane")


async def main() -> None:
    """Measure, tell, and keep the tables in docs/performance.md."""
    began = time.monotonic()
    async with started() as server:
        await server.create("migrated")
        await measure_renewals(server)
        await measure_api(server)
    report.say(f"all of it took {time.monotonic() - began:.0f} seconds")


async def measure_renewals(server: Server) -> None:
    report.say("renewals")
    m = await renewals.measure(server, SMALL)
    large = await renewals.grow(server, LARGE)
    small_cost = m.middle("clock", lambda r: r.micros("python") + r.micros("server"))
    large_cost = large.micros("python") + large.micros("server")
    report.tell("renewals.per_second", m.rate("clock"))
    report.tell("renewals.per_second_at_100000", large.per_second)
    report.tell("renewals.ratio", m.ratio("clock", "naive"))
    report.tell("renewals.copy_share", m.ratio("clock", "copy"))
    report.tell("renewals.two_workers", m.ratio("two workers, one lane", "one lane"))
    report.tell("renewals.growth", large_cost / small_cost)
    report.tell("renewals.rss_mb", large.total("rss_mb"))
    report.tell("renewals.wal_bytes", m.middle_wal)
    report.publish("renewals", renewals_table(m))


def renewals_table(m: Measured) -> str:
    rows: list[list[float | str]] = [
        [
            way,
            m.rate(way),
            m.ratio(way, "naive"),
            m.middle(way, lambda r: r.micros("python")),
            m.middle(way, lambda r: r.micros("server")),
        ]
        for way in WAYS
    ]
    heads = ["way", "renewals/s", "times naive", "CPU in Python, µs", "CPU in PostgreSQL, µs"]
    return report.table(heads, rows)


async def measure_api(server: Server) -> None:
    report.say("API")
    database = await renewals.seeded(server, API)
    m = await api.measure(server, database)
    report.tell("api.read_share", m.read_share)
    report.tell("api.reads_per_second", m.middle("read", "per_second"))
    report.tell("api.lists_per_second", m.middle("list of 20", "per_second"))
    report.tell("api.creates_per_second", m.middle("create", "per_second"))
    report.tell("api.p99_ms", m.middle("mixed writes", "p99_ms"))
    rows: list[list[float | str]] = [
        [way, *(m.middle(way, what) for what in ("per_second", "p50_ms", "p99_ms"))]
        for way in m.runs
    ]
    report.publish("api", report.table(["requests", "a second", "p50, ms", "p99, ms"], rows))


asyncio.run(main())
