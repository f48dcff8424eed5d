"""Collecting what is due from a gateway that takes its time, as close to the ideal as it gets.

`python -m bench.collection` starts a PostgreSQL of its own (durable), renews ten thousand
subscriptions, and lets one worker collect their invoices over loopback from a gateway that answers
after 200 ms. The ideal is what the calls in flight could do if nothing but the gateway took time:
so many in flight ÷ the latency. In the end the gateway's own books are looked at: everybody was
charged once.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from bench import processes, report, seed
from bench.processes import Ran
from bench.seed import DUE, Size
from bench.servers import Server, connected, started

CHARGES: Final = 10_000
LATENCY_MS: Final = 200
IN_FLIGHT: Final = (50, 200)
ROUNDS: Final = 3
NOW: Final = DUE.isoformat()


@dataclass(frozen=True)
class Collected:
    """What one worker did with so many calls in flight."""

    in_flight: int
    latency_ms: int
    charges: int
    seconds: float
    python_micros: float
    server_micros: float
    before_mb: float
    after_mb: float
    elsewhere: float

    @property
    def per_second(self) -> float:
        return self.charges / self.seconds

    @property
    def share(self) -> float:
        """Of the ideal."""
        return self.per_second / (1000 * self.in_flight / self.latency_ms)

    @property
    def line(self) -> str:
        cpu = f"CPU {self.python_micros:,.0f} + {self.server_micros:,.0f} µs"
        rss = f"RSS {self.before_mb:.0f} to {self.after_mb:.0f} MB"
        return (
            f"{self.in_flight:>4} in flight {self.per_second:7,.0f}/s, {self.share:.2f} of the"
            f" ideal   {cpu}   {rss}   elsewhere {self.elsewhere:.0%}"
        )


async def measure_all(server: Server) -> list[Collected]:
    """For each number in flight the middle of some rounds."""
    middles = []
    for in_flight in IN_FLIGHT:
        runs = []
        for _ in range(ROUNDS):
            runs.append(await measure(server, CHARGES, in_flight, LATENCY_MS))
            report.say(runs[-1].line)
        middles.append(sorted(runs, key=lambda ran: ran.per_second)[ROUNDS // 2])
    return middles


async def measure(
    server: Server, charges: int, in_flight: int, latency_ms: int, profile: str | None = None
) -> Collected:
    """Collect everything once, on a database of its own."""
    template = await due(server, charges)
    url = await server.clone("collected", template)
    async with gateway(latency_ms) as (port, books):
        words = (url, f"http://127.0.0.1:{port}", str(in_flight), NOW)
        ran = await processes.run("bench.collector", *words, *([profile] if profile else []))
    check(ran, books, charges)
    async with connected(url) as look:
        paid = await look.fetchval("SELECT count(*) FROM payments WHERE succeeded_at >= $1", DUE)
    assert paid == charges, f"{paid} of {charges} are paid"
    [answer] = ran.answers
    return Collected(
        in_flight,
        latency_ms,
        charges,
        ran.seconds,
        1e6 * answer["python_seconds"] / charges,
        1e6 * answer["server_seconds"] / charges,
        answer["before_mb"],
        answer["after_mb"],
        ran.elsewhere,
    )


async def due(server: Server, charges: int) -> str:
    """A database whose subscriptions have just been renewed: so many payments are due."""
    name = f"due_{charges}"
    if await server.exists(name):
        return name
    report.say(f"seeding and renewing {charges:,} subscriptions")
    url = await server.create(name)
    async with connected(url) as connection:
        await seed.seed(connection, Size(charges))
    await processes.run("bench.worker", url, NOW)
    async with connected(url) as connection:
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    return name


@asynccontextmanager
async def gateway(latency_ms: int) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    """A gateway in a process of its own: its port, and at the end what its books say."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.gateway", str(latency_ms)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    books: dict[str, Any] = {}
    try:
        port = int(await process.stdout.readline())
        yield port, books
    finally:
        out, _ = await process.communicate(b"")  # which ends its standard input
        books |= json.loads(out)


def check(ran: Ran, books: dict[str, Any], charges: int) -> None:
    """Whoever is fast by leaving something out, or by doing it twice, is not fast."""
    assert ran.total("succeeded") == charges, f"{ran.total('succeeded')} of {charges} collected"
    assert books["charges"] == books["references"] == charges, f"the gateway says {books}"


async def main(charges: int, in_flight: int, latency_ms: int, profile: str | None) -> None:
    async with started() as server:
        report.say((await measure(server, charges, in_flight, latency_ms, profile)).line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.collection", description=__doc__)
    parser.add_argument("--charges", type=int, default=CHARGES)
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT[-1])
    parser.add_argument("--latency-ms", type=int, default=LATENCY_MS)
    parser.add_argument("--profile", help="where to write what cProfile finds")
    given = parser.parse_args()
    asyncio.run(main(given.charges, given.in_flight, given.latency_ms, given.profile))
