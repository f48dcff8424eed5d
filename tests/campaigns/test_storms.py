"""Workers and the gateway are killed at random while they work, again and again; in the end every
period is billed once, every bill is charged once, no number is missing, and the books are clean.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from tests.campaigns.mortal import About, Mortal, mortals
from tests.campaigns.test_crashes import recover
from tests.simulator import SimulatorProcess, start_simulator
from tests.world import SECRET_KEY, START, World, open_world

Chore = tuple[Sequence[str], About]
Chores = Callable[[Random], Awaitable[Chore]]
WORKERS = 2
SWEEPS = (
    ("renew", "collect", "resolve"),
    ("collect", "renew", "collect"),
    ("resolve", "collect"),
    ("renew",),
)
WEATHER = (
    {"kind": "latency", "delay_ms": 15, "probability": 0.5},
    {"kind": "error_500_before", "probability": 0.07, "operations": ["charge", "lookup"]},
    {"kind": "error_500_after", "probability": 0.07},
    {"kind": "cut_body", "probability": 0.05, "operations": ["charge", "lookup"]},
    {"kind": "error_429", "probability": 0.07},
    {"kind": "timeout_after_effect", "probability": 0.02},
    {"kind": "timeout_before_effect", "probability": 0.02},
    {"kind": "late_effect", "probability": 0.05, "delay_ms": 30},
)


@pytest.fixture
def own_simulator(tmp_path: Path) -> Iterator[SimulatorProcess]:
    """A gateway that may be killed without troubling other tests."""
    with start_simulator(tmp_path) as process:
        yield process


@pytest.fixture
def workers(clean_database: str, own_simulator: SimulatorProcess) -> Iterator[list[Mortal]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                mortals(
                    clean_database,
                    own_simulator.url,
                    chunk_size=17,
                    gateway_timeout_seconds=1,
                    secret_keys=SECRET_KEY,
                )
            )
            for _ in range(WORKERS)
        ]


async def kill_the_gateway(gateway: SimulatorProcess, after: float, seed: int) -> None:
    await asyncio.sleep(after)
    await asyncio.to_thread(gateway.kill)
    await asyncio.to_thread(gateway.restart)
    gateway.set_faults(*WEATHER, seed=seed)


async def sweep(random: Random) -> Chore:
    return random.choice(SWEEPS), {}


async def storm(
    world: World,
    gateway: SimulatorProcess,
    workers: list[Mortal],
    rounds: int,
    seed: int,
    chores: Chores = sweep,
) -> int:
    """Rounds of work by all workers at once, each killed at a random moment; how many died."""
    random, deaths = Random(seed), 0
    for number in range(rounds):
        world.clock.advance(timedelta(minutes=random.choice((1, 4, 11))))
        gateway.set_faults(*WEATHER, seed=seed * 1_000 + number)
        for worker in workers:
            work, about = await chores(random)
            # On a fast machine all is done in 500 ms: until somebody died, they are killed sooner.
            soon, late = (20, 500) if deaths else (5, 50)
            after = random.randint(soon, late)
            worker.send(world.now, work=work, about=about, kill_after_ms=after)
        killing = None
        if random.random() < 0.3:
            killing = asyncio.create_task(kill_the_gateway(gateway, random.random() / 4, number))
        fates = await asyncio.gather(*(asyncio.to_thread(worker.hear) for worker in workers))
        deaths += sum(fate.died for fate in fates)
        if killing is not None:
            await killing
    return deaths


async def weather(
    database: str, gateway: SimulatorProcess, workers: list[Mortal], subs: int, seed: int
) -> None:
    async with open_world(database, gateway) as world:
        price = await world.price("1000")
        for _ in range(subs):
            customer = await world.customer()
            await world.subscribe(customer, price, start_at=START + timedelta(days=1))
        world.clock.set(START + timedelta(days=33))  # the first period and the second are due
        deaths = await storm(world, gateway, workers, rounds=2 + subs // 8, seed=seed)
        gateway.clear_faults()
        await recover(world)
        rows = await world.fetch(
            "SELECT count(*) AS n, count(DISTINCT subscription_id) AS subs, max(series_number) AS"
            " last, count(*) FILTER (WHERE status = 'paid') AS paid FROM invoices"
        )
        assert dict(rows[0]) == {"n": 2 * subs, "subs": subs, "last": 2 * subs, "paid": 2 * subs}
        assert world.charged() == [(1000, "EUR")] * 2 * subs
        assert deaths > 0
        await world.assert_clean()


async def test_a_small_storm_charges_everybody_once(
    clean_database: str, own_simulator: SimulatorProcess, workers: list[Mortal]
) -> None:
    await weather(clean_database, own_simulator, workers, subs=12, seed=1)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2, 10))
async def test_a_long_storm_charges_everybody_once(
    clean_database: str, own_simulator: SimulatorProcess, workers: list[Mortal], seed: int
) -> None:
    await weather(clean_database, own_simulator, workers, subs=200, seed=seed)
