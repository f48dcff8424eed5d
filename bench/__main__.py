"""`make bench`: everything that is measured, in one run, told as ratios. A quarter of an hour.

`python -m bench inbox` measures that alone, and so with the others: renewals, api, collection.
"""

import argparse
import asyncio
import time

from bench import api, collection, inbox, renewals, report
from bench.renewals import Measured
from bench.seed import Size
from bench.servers import Server, started

SMALL = Size(10_000)
LARGE = Size(100_000)
API = Size(5_000)
WAYS = ("clock", "copy", "naive", "one lane", "two workers, one lane")


async def main(only: str | None) -> None:
    """Measure, tell, and keep the tables in docs/performance.md."""
    began = time.monotonic()
    for part in [only] if only else PARTS:
        report.say(part)
        async with started() as server:
            await server.create("migrated")
            await PARTS[part](server)
    report.say(f"it took {time.monotonic() - began:.0f} seconds")


async def measure_renewals(server: Server) -> None:
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


async def measure_collection(server: Server) -> None:
    runs = await collection.measure_all(server)
    report.tell("collection.share", runs[-1].share)
    report.tell("collection.per_second", runs[-1].per_second)
    report.tell("collection.rss_mb", runs[-1].after_mb)
    rows: list[list[float | str]] = [
        [
            f"{ran.in_flight} in flight",
            ran.per_second,
            ran.share,
            ran.python_micros,
            ran.server_micros,
            ran.before_mb,
            ran.after_mb,
        ]
        for ran in runs
    ]
    heads = ["calls", "charges/s", "of the ideal", "CPU in Python, µs", "CPU in PostgreSQL, µs"]
    heads += ["MB before", "MB after"]
    report.publish("collection", report.table(heads, rows))


async def measure_inbox(server: Server) -> None:
    rows: list[list[float | str]] = []
    for way, redis_url in (("with Redis", None), ("without", inbox.NOWHERE)):
        taken = await inbox.measure(server, inbox.RATE, inbox.SECONDS, redis_url)
        assert taken.is_whole, f"events were lost or refused: {taken}"
        report.tell(f"inbox.p99_ms.{way.replace(' ', '_')}", taken.p99_ms)
        lost = taken.events - taken.rows
        rows.append([way, taken.sent, lost, taken.p50_ms, taken.p99_ms, taken.max_ms])
    heads = ["500 deliveries a second", "answered", "lost", "p50, ms", "p99, ms", "longest, ms"]
    report.publish("inbox", report.table(heads, rows))


PARTS = {
    "renewals": measure_renewals,
    "api": measure_api,
    "collection": measure_collection,
    "inbox": measure_inbox,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("only", nargs="?", choices=[*PARTS], help="measure this alone")
    asyncio.run(main(parser.parse_args().only))
