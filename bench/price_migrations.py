"""`python -m bench.price_migrations`: subscriptions estimated and moved to another price a second.

Two thousand with two items, a discount and a tax, in the middle of their period: moved at renewal,
which schedules a change of each, and moved now, which credits, charges and invoices each.
"""

import asyncio
import time
from datetime import timedelta
from uuid import UUID

from pydantic import SecretStr

from app.bell import Silent
from app.clock import ManualClock
from app.domain.migrating import Moment
from app.runtime import Runtime, open_runtime
from app.services import price_migrations, price_moves, prices
from app.services.caller import Caller
from app.services.price_migrations import CreatePriceMigration
from app.services.prices import CreatePrice
from app.settings import Settings
from bench import report, seed
from bench.seed import DUE, Size
from bench.servers import connected, started

SIZE = Size(2_000)
ROUNDS = 3


async def main() -> None:
    """Measure on a server of its own, each round on a fresh copy."""
    async with started() as server:
        url = await server.create("seeded")
        async with connected(url) as connection:
            await seed.seed(connection, SIZE)
        for _ in range(ROUNDS):
            for moment in (Moment.RENEWAL, Moment.NOW):
                copy = await server.clone("round", "seeded")
                await _round(copy, moment)


async def _round(url: str, moment: Moment) -> None:
    settings = Settings(database_url=SecretStr(url), log_level="warning")
    clock = ManualClock(DUE - timedelta(days=14))
    async with open_runtime(settings, clock=clock, bell=Silent()) as rt:
        async with connected(url) as look:
            merchant, seat, plan = await look.fetchrow(
                "SELECT merchant_id, id, plan_id FROM prices WHERE nickname = 'seats'"
            )
        caller = Caller(merchant, False, None, frozenset({"*"}), "req_bench")
        dearer = CreatePrice(
            plan_id=plan,
            currency="EUR",
            interval_unit="month",
            model="per_unit",
            unit_amount_decimal="1200",
        )
        price = (await prices.create(rt, caller, dearer))["id"]
        await _measure(rt, caller, seat, price, moment)


async def _measure(rt: Runtime, caller: Caller, old: UUID, new: UUID, moment: Moment) -> None:
    begun = time.perf_counter()
    wanted = CreatePriceMigration(from_price_id=old, to_price_id=new, moment=moment)
    made = await price_migrations.create(rt, caller, wanted)
    await price_moves.run_due(rt)
    estimated = time.perf_counter()
    await price_migrations.execute(rt, caller, made)
    ran = await price_moves.run_due(rt)
    moved = time.perf_counter()
    assert ran.moved == SIZE.subscriptions, ran
    report.tell(f"price_migrations.{moment}.estimated", SIZE.subscriptions / (estimated - begun))
    report.tell(f"price_migrations.{moment}.moved", SIZE.subscriptions / (moved - estimated))


if __name__ == "__main__":
    asyncio.run(main())
