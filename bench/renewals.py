"""Renewals: the clock as it is, against one ORM transaction each, and against plain COPY.

Every way starts from a clone of the same database, and they take turns, so that what else the
machine is doing falls on all of them alike. Ratios are made of neighbours in one round.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from bench import processes, report, seed
from bench.processes import Ran
from bench.seed import DUE, Size
from bench.servers import Server, connected

ROUNDS: Final = 3
NAIVE_RENEWALS: Final = 400
NOW: Final = DUE.isoformat()


@dataclass
class Measured:
    """All runs of each way, in the order of the rounds."""

    runs: dict[str, list[Ran]] = field(default_factory=dict)
    wal_bytes: list[float] = field(default_factory=list)

    def add(self, way: str, ran: Ran) -> None:
        self.runs.setdefault(way, []).append(ran)
        report.say(
            f"{way:<28} {ran.per_second:7,.0f}/s   CPU {ran.micros('python'):6,.0f} + "
            f"{ran.micros('server'):5,.0f} µs   elsewhere {ran.elsewhere:4.0%}"
        )

    def middle(self, way: str, of: Callable[[Ran], float]) -> float:
        return median(of(ran) for ran in self.runs[way])

    def rate(self, way: str) -> float:
        return self.middle(way, lambda ran: ran.per_second)

    @property
    def middle_wal(self) -> float:
        """Bytes of write-ahead log for each renewal."""
        return median(self.wal_bytes)

    def ratio(self, way: str, to: str) -> float:
        """The median over the rounds of the two rates of one round."""
        pairs = zip(self.runs[way], self.runs[to], strict=True)
        return median(one.per_second / other.per_second for one, other in pairs)


async def measure(server: Server, size: Size, rounds: int = ROUNDS) -> Measured:
    """Renew everything, every way, round after round."""
    template = await seeded(server, size)
    measured = Measured()
    for number in range(rounds):
        report.say(f"round {number + 1} of {rounds}")
        ours = await server.clone("ours", template)
        async with connected(ours) as watch:
            before = await watch.fetchval("SELECT pg_current_wal_insert_lsn()")
            ran = await processes.run("bench.worker", ours, NOW)
            wal = "SELECT pg_current_wal_insert_lsn() - $1::pg_lsn"
            measured.wal_bytes.append(float(await watch.fetchval(wal, before)) / ran.renewals)
        measured.add("clock", ran)
        check(ran, size)
        url = await server.clone("copied", template)
        measured.add("copy", await processes.run("bench.copying", ours, url, NOW))
        url = await server.clone("other", template)
        naive = await processes.run("bench.naive", url, NOW, str(NAIVE_RENEWALS))
        measured.add("naive", naive)
        for way, workers in (("one lane", 1), ("two workers, one lane", 2)):
            url = await server.clone("other", template)
            ran = await processes.run("bench.worker", url, NOW, "1", processes=workers)
            measured.add(way, ran)
            check(ran, size)
    return measured


async def grow(server: Server, size: Size) -> Ran:
    """The clock alone, on more."""
    template = await seeded(server, size)
    ran = await processes.run("bench.worker", server.url(template), NOW)
    check(ran, size)
    return ran


async def seeded(server: Server, size: Size) -> str:
    name = f"seeded_{size.subscriptions}_{size.merchants}"
    report.say(f"seeding {size.subscriptions:,} subscriptions of {size.merchants} merchant(s)")
    url = await server.clone(name, "migrated")
    async with connected(url) as connection:
        await seed.seed(connection, size)
    return name


def check(ran: Ran, size: Size) -> None:
    """Whoever is fast by leaving something out is not fast."""
    assert ran.renewals == size.subscriptions, f"{ran.renewals} of {size.subscriptions} renewed"
