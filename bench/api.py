"""The API in one process over loopback: reads, lists, creations a second, and their times.

The share is of the same query, through bare asyncpg in FastAPI; the two take turns in one run.
"""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from pydantic import SecretStr

from app import ids
from app.bell import Silent
from app.runtime import open_runtime
from app.services import merchants
from app.services.api_keys import CreateKey
from app.settings import Settings
from bench import report
from bench.servers import Server, connected

ROUNDS = 3
SECONDS = 4.0
CONNECTIONS = 16
WRITES_PER_SECOND = 150
WRITE_SECONDS = 10.0
SUBSCRIPTIONS_ASKED = 500
START_SECONDS_MAX = 60.0
NOT_DUE = """
    SET session_replication_role = replica;
    UPDATE subscriptions SET anchor = now(), period_index = 0, period_start = now(),
           period_end = now() + interval '31 days', next_action_at = now() + interval '31 days';
    RESET session_replication_role;
    ANALYZE
"""
"""The seed's subscriptions are due for renewal; here they are not, or each change would renew."""


@dataclass
class Measured:
    """Each way's answers, in the order of the rounds."""

    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, way: str, answer: dict[str, Any]) -> None:
        self.runs.setdefault(way, []).append(answer)
        report.say(
            f"{way:<28} {answer['per_second']:7,.0f}/s   p50 {answer['p50_ms']:6.1f} ms   "
            f"p99 {answer['p99_ms']:6.1f} ms   {answer['statuses']}"
        )

    def middle(self, way: str, what: str) -> float:
        return median(answer[what] for answer in self.runs[way])

    @property
    def read_share(self) -> float:
        """Our reads against bare ones, the median over neighbours in one round."""
        pairs = zip(self.runs["read"], self.runs["bare read"], strict=True)
        return median(ours["per_second"] / bare["per_second"] for ours, bare in pairs)


async def measure(server: Server, database: str) -> Measured:
    """Measure on a seeded database: the first merchant's subscriptions."""
    url = server.url(database)
    async with connected(url) as look:
        await look.execute(NOT_DUE)
        shop = await _shop(look)
        key = await _key(url, shop["merchant"])
        measured = Measured()
        environment = {
            "DATABASE_URL": url,
            "BENCH_MERCHANT": str(shop["merchant"]),
            "PERENNIAL_LOG_LEVEL": "error",
        }
        reads = [("GET", f"/v1/subscriptions/{sub}", "") for sub in shop["subscriptions"]]
        async with _served("app.main:app", environment) as ours:
            async with _served("bench.bare:app", environment) as bare:
                for number in range(ROUNDS):
                    report.say(f"round {number + 1} of {ROUNDS}")
                    measured.add("read", await _load(ours, key, reads))
                    measured.add("bare read", await _load(bare, key, reads))
            lists = [("GET", "/v1/subscriptions?limit=20", "")]
            measured.add("list of 20", await _load(ours, key, lists))
            creations = [("POST", "/v1/subscriptions", body) for body in _creations(shop)]
            measured.add("create", await _load(ours, key, creations))
            measured.add("mixed writes", await _load(ours, key, _writes(shop), WRITES_PER_SECOND))
    return measured


def _creations(shop: dict[str, Any]) -> list[str]:
    return [
        json.dumps(
            {
                "customer_id": customer,
                "items": [{"price_id": shop["price"]}],
                "collection_method": "send_invoice",
                "net_days": 14,
            }
        )
        for customer in shop["customers"]
    ]


def _writes(shop: dict[str, Any]) -> list[tuple[str, str, str]]:
    """A third each: a new customer, a new subscription with its invoice, a changed subscription."""
    writes = []
    total = int(WRITES_PER_SECOND * WRITE_SECONDS)
    creations = _creations(shop)
    for number in range(total):
        sub = shop["subscriptions"][number % len(shop["subscriptions"])]
        match number % 3:
            case 0:
                writes.append(("POST", "/v1/customers", json.dumps({"name": f"Customer {number}"})))
            case 1:
                writes.append(("POST", "/v1/subscriptions", creations[number % len(creations)]))
            case _:
                body = json.dumps({"metadata": {"seat": str(number)}})
                writes.append(("PATCH", f"/v1/subscriptions/{sub}", body))
    return writes


async def _load(
    port: int, key: str, requests: list[tuple[str, str, str]], rate: float = 0.0
) -> dict[str, Any]:
    plan = {
        "port": port,
        "key": key,
        "requests": requests,
        "seconds": WRITE_SECONDS if rate else SECONDS,
        "connections": CONNECTIONS,
        "rate": rate,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.client"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(json.dumps(plan).encode())
    assert process.returncode == 0, "the load failed"
    answer: dict[str, Any] = json.loads(out)
    assert all(status.startswith("2") for status in answer["statuses"]), answer
    return answer


@asynccontextmanager
async def _served(application: str, environment: dict[str, str]) -> AsyncIterator[int]:
    """One uvicorn process of `application`, as long as the block lasts; yields its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", application, "--port", str(port)),
        *("--log-level", "warning", "--no-access-log"),
        env=os.environ | environment,
    )
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        async with httpx.AsyncClient() as client:
            while not await _lives(client, port):
                assert time.monotonic() < deadline, f"{application} does not start"
                assert process.returncode is None, f"{application} ended"
                await asyncio.sleep(0.1)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _lives(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/livez")).is_success
    except httpx.TransportError:
        return False


async def _shop(look: asyncpg.Connection) -> dict[str, Any]:
    """The first merchant of the seed, with some of what it has."""
    merchant: UUID = await look.fetchval("SELECT id FROM merchants ORDER BY id LIMIT 1")
    subs = await look.fetch(
        "SELECT id, customer_id FROM subscriptions WHERE merchant_id = $1 ORDER BY id LIMIT $2",
        merchant,
        SUBSCRIPTIONS_ASKED,
    )
    price = await look.fetchval(
        "SELECT id FROM prices WHERE merchant_id = $1 ORDER BY id LIMIT 1", merchant
    )
    return {
        "merchant": merchant,
        "subscriptions": [ids.show("sub", row["id"]) for row in subs],
        "customers": [ids.show("cus", row["customer_id"]) for row in subs],
        "price": ids.show("price", price),
    }


async def _key(url: str, merchant: UUID) -> str:
    chosen = Settings(database_url=SecretStr(url))
    async with open_runtime(chosen, bell=Silent()) as rt:
        return await merchants.add_key(rt, merchant, CreateKey(name="bench"), "bench")
