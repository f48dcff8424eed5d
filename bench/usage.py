"""`python -m bench.usage`: usage events taken a second, and what it takes to bill them.

Events are told in batches of a thousand, through the service and over HTTP, into a table that
holds a million of them already; then the periods of a thousand subscriptions with a thousand
events each are added up, as one chunk of renewals would. Under a minute.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from pydantic import SecretStr

from app import ids
from app.bell import Silent
from app.db import usage
from app.db.usage import Billed, Wanted
from app.domain.metering import Aggregation, Reported
from app.runtime import Runtime, open_runtime
from app.services import customers, merchants, meters, usage_events
from app.services.api_keys import CreateKey
from app.services.caller import Caller
from app.services.customers import CreateCustomer
from app.services.meters import CreateMeter
from app.settings import Settings
from bench import report
from bench.api import _served
from bench.servers import connected, started

SUBSCRIPTIONS = 1_000
EVENTS_EACH = 1_000
BATCH = 1_000
BATCHES = 20
LANES = 2
SINGLES = 500
PERIOD = timedelta(days=30)
ROUNDS = 3

SEED = """
    SET session_replication_role = replica;
    INSERT INTO customers (merchant_id, id, created_at)
    SELECT $1, ('00000000-0000-7000-8000-' || lpad(to_hex(c), 12, '0'))::uuid, $3
      FROM generate_series(1, $4::int) AS c;
    INSERT INTO usage_events (merchant_id, id, event_id, meter_id, customer_id, happened_at, value,
                              properties, received_at, delayed)
    SELECT $1, ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid, 'seed-' || n, $2,
           ('00000000-0000-7000-8000-' || lpad(to_hex(1 + n % $4::int), 12, '0'))::uuid, at,
           n % 1000, json_build_object('value', n % 1000), at + interval '1 second', false
      FROM (SELECT n, $3::timestamptz + n * ($5::interval / ($4::bigint * $6::bigint)) AS at
              FROM generate_series(0, $4::int * $6::int - 1) AS n) AS moments;
    RESET session_replication_role
"""
"""Events in the order of their time, each customer's scattered over all of the table."""


async def main(events_each: int) -> None:
    """Measure on a server of its own."""
    async with started() as server:
        url = await server.create("usage")
        settings = Settings(database_url=SecretStr(url), pool_size=8, log_level="warning")
        async with open_runtime(settings, bell=Silent()) as rt:
            opened = await merchants.create(
                rt, merchants.CreateMerchant(name="Bench", key=CreateKey()), "bench"
            )
            caller = Caller(opened.merchant["id"], False, None, frozenset({"*"}), "req_bench")
            made = {kind: await _meter(rt, caller, kind) for kind in Aggregation}
            end = datetime.now(UTC).replace(microsecond=0)
            async with connected(url) as look:
                await _seed(look, caller.merchant_id, made[Aggregation.SUM], end, events_each)
                await _size(look)
            await _ingest(rt, caller)
            assert opened.secret is not None
            async with _served("app.main:app", {"DATABASE_URL": url}) as port:
                await _over_http(port, opened.secret)
            await _bill(rt, caller.merchant_id, made[Aggregation.SUM], end)


async def _meter(rt: Runtime, caller: Caller, kind: Aggregation) -> UUID:
    key = "user" if kind is Aggregation.UNIQUE else None
    cmd = CreateMeter(name=kind, event_name=kind, aggregation=kind, unique_key=key)
    made: UUID = (await meters.create(rt, caller, cmd))["id"]
    return made


async def _seed(
    look: asyncpg.Connection, merchant: UUID, meter: UUID, end: datetime, events_each: int
) -> None:
    begun = time.perf_counter()
    script = SEED
    places = (merchant, meter, end - PERIOD, SUBSCRIPTIONS, PERIOD, events_each)
    for place, value in enumerate(places, 1):
        script = script.replace(f"${place}", str(value) if isinstance(value, int) else f"'{value}'")
    await look.execute(script)
    await look.execute("VACUUM ANALYZE")
    await look.execute("CHECKPOINT")
    seconds = time.perf_counter() - begun
    report.say(f"{SUBSCRIPTIONS * events_each:,} events seeded in {seconds:.0f} s")


async def _size(look: asyncpg.Connection) -> None:
    rows = await look.fetch(
        "SELECT relname, pg_relation_size(oid) / 1e6 AS mb FROM pg_class"
        " WHERE relname LIKE '%usage_events%' AND relkind IN ('r', 'i') ORDER BY 2 DESC"
    )
    report.say(", ".join(f"{row['relname']} {row['mb']:.0f} MB" for row in rows))


def _batch(numbers: Iterator[int], name: str, customer: UUID | str) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{name}-{next(numbers)}",
            "event_name": "sum",
            "customer_id": customer,
            "properties": {"value": 12, "region": "eu"},
        }
        for _ in range(BATCH)
    ]


async def _ingest(rt: Runtime, caller: Caller) -> None:
    who = [(await customers.create(rt, caller, CreateCustomer()))["id"] for _ in range(100)]
    numbers = itertools.count()
    batches = [
        [
            Reported(**event | {"customer_id": who[place % len(who)]})
            for place, event in enumerate(_batch(numbers, "service", ""))
        ]
        for _ in range(BATCHES * LANES)
    ]
    for lanes in (1, LANES):
        todo = iter([batches.pop() for _ in range(BATCHES)])

        async def lane(todo: Any = todo) -> None:
            for batch in todo:
                receipt = await usage_events.record(rt, caller, batch)
                assert len(receipt.accepted) == BATCH

        begun = time.perf_counter()
        await asyncio.gather(*(lane() for _ in range(lanes)))
        rate = BATCHES * BATCH / (time.perf_counter() - begun)
        report.tell(f"usage.events_per_second_by_service_{lanes}_lanes", rate)


async def _over_http(port: int, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        customer = (await client.post("/v1/customers", json={})).json()["id"]
        numbers = itertools.count()

        async def batch() -> None:
            body = {"events": _batch(numbers, "http", customer)}
            answer = await client.post("/v1/usage_events/batch", json=body)
            assert len(answer.json()["accepted"]) == BATCH, answer.text[:500]

        async def single() -> None:
            body = _batch(numbers, "single", customer)[0]
            answer = await client.post("/v1/usage_events", json=body)
            assert answer.status_code == 201, answer.text

        await batch()
        report.tell(
            "usage.events_per_second_by_http", BATCH * await _rate(batch, BATCHES, at_once=LANES)
        )
        report.tell("usage.single_events_per_second_by_http", await _rate(single, SINGLES, 8))


async def _rate(work: Callable[[], Awaitable[None]], times: int, at_once: int) -> float:
    turns = iter(range(times))

    async def lane() -> None:
        for _ in turns:
            await work()

    begun = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(at_once)))
    return times / (time.perf_counter() - begun)


async def _bill(rt: Runtime, merchant: UUID, meter: UUID, end: datetime) -> None:
    wanted = [
        Wanted(
            merchant,
            ids.new_id(),
            UUID(f"00000000-0000-7000-8000-{customer:012x}"),
            ids.new_id(),
            meter,
            end - PERIOD,
            end,
        )
        for customer in range(1, SUBSCRIPTIONS + 1)
    ]
    adding, looking = [], []
    for _ in range(ROUNDS):
        async with rt.db.begin_system() as tx:
            begun = time.perf_counter()
            found = await usage.quantities(tx, wanted)
            adding.append(1e3 * (time.perf_counter() - begun))
            billed = [Billed(w, found[w.merchant_id, w.item_id].quantity, end) for w in wanted]
            begun = time.perf_counter()
            assert await usage.late(tx, billed) == {}
            looking.append(1e3 * (time.perf_counter() - begun))
    events = sum(metered.events for metered in found.values())
    report.say(f"{len(wanted):,} subscriptions with {events:,} events")
    report.tell("usage.quantities_ms", median(adding))
    report.tell("usage.late_ms", median(looking))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS_EACH))
