"""Gateways' events taken in: so many a second for so long, without losing one.

`python -m bench.inbox` starts a PostgreSQL of its own (durable), one API process, and a load in a
process of its own over loopback. Deliveries leave on the tick and their time counts from there. A
tenth of them is delivered twice. In the end the rows are counted: one for each event, no more and
no less. `--without-redis` lets the doorbell ring nowhere.
"""

import argparse
import asyncio
import base64
import hmac
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from app import ids
from app.bell import Silent
from app.runtime import open_runtime
from app.secrets import new_key
from app.services import gateway_accounts, merchants
from app.services.caller import Caller
from app.services.gateway_accounts import CreateGatewayAccount
from app.settings import Settings
from bench import report
from bench.api import _served as served
from bench.servers import Server, connected, started

RATE = 500
SECONDS = 60
SECONDS_MAX = 300
CONNECTIONS = 32
EVENTS_PER_PAYMENT = 5
WORK_MS_MAX = 50
SECRET = "whsec_" + base64.b64encode(b"what the bench signs by, 32 byte").decode()
NOWHERE = "redis://127.0.0.1:9/0"


@dataclass(frozen=True)
class Taken:
    """What the load was told, and what was found afterwards."""

    sent: int
    events: int
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float
    max_ms: float
    seconds: float
    rows: int

    @property
    def is_whole(self) -> bool:
        return self.rows == self.events and set(self.statuses) == {"200"}


async def measure(server: Server, rate: int, seconds: int, redis_url: str | None) -> Taken:
    """Take in `rate` deliveries a second for so many seconds, in a database without statistics."""
    await server.drop("inbox")
    url = await server.create("inbox")
    key = new_key()
    path = await _account(url, key)
    environment = {
        "DATABASE_URL": url,
        "REDIS_URL": redis_url or server.embedded.start_valkey(),
        "PERENNIAL_SECRET_KEYS": key,
        "PERENNIAL_LOG_LEVEL": "error",
    }
    async with served("app.main:app", environment) as port:
        plan = {"port": port, "path": path, "rate": rate, "seconds": seconds}
        told = await _load(plan)
    async with connected(url) as look:
        rows = await look.fetchval("SELECT count(*) FROM inbound_events")
    return Taken(rows=rows, **told)


async def alone(rate: int, seconds: int, redis_url: str | None) -> Taken:
    """`measure` on a server of its own."""
    async with started() as server:
        return await measure(server, rate, seconds, redis_url)


async def _account(url: str, key: str) -> str:
    """A merchant's account with a webhook secret; the path of its address."""
    chosen = Settings(database_url=SecretStr(url), secret_keys=SecretStr(key))
    async with open_runtime(chosen, bell=Silent()) as rt:
        made = await merchants.create(rt, merchants.CreateMerchant("Bench"), "bench")
        caller = Caller(made.merchant["id"], False, None, frozenset({"*"}), "req_bench")
        cmd = CreateGatewayAccount("simulator", webhook_secret=SECRET)
        account = await gateway_accounts.create(rt, caller, cmd)
    return f"/v1/gateways/simulator/{ids.show('gwa', account['id'])}/webhooks"


async def _load(plan: dict[str, Any]) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.inbox", "--load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate(json.dumps(plan).encode())
    assert process.returncode == 0, "the load failed"
    told: dict[str, Any] = json.loads(out)
    return told


def _delivery(path: str, number: int, at: int) -> bytes:
    """The request of one delivery; every tenth is the one before, again."""
    event = number - 1 if number % 10 == 9 else number
    payment = event // EVENTS_PER_PAYMENT
    event_id = f"evt_{event:012d}"
    body = json.dumps(
        {
            "id": event_id,
            "type": "charge.succeeded",
            "account": "acct_sim",
            "livemode": False,
            "created_at": at * 1_000,
            "data": {"object": "charge", "id": f"ch_{payment:012d}", "note": "x" * 600},
        }
    ).encode()
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = f"{event_id}.{at}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nwebhook-id: {event_id}\r\nwebhook-timestamp: {at}\r\n"
        f"webhook-signature: v1,{signature}\r\n\r\n"
    )
    return head.encode() + body


async def load(port: int, path: str, rate: int, seconds: int) -> dict[str, Any]:
    """Deliver on the tick over connections that stay open; what became of it."""
    links = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    turn = iter(range(rate * seconds))
    begun = time.perf_counter() + 0.2
    times: list[float] = []
    statuses: dict[str, int] = {}

    async def keep_delivering(link: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        reader, writer = link
        for number in turn:
            request = _delivery(path, number, int(time.time()))
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            times.append(time.perf_counter() - due)
            status = head[9:12].decode()
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()

    await asyncio.gather(*map(keep_delivering, links))
    times.sort()
    total = rate * seconds
    return {
        "sent": len(times),
        "events": total - total // 10,
        "statuses": statuses,
        "p50_ms": 1e3 * times[len(times) // 2],
        "p99_ms": 1e3 * times[int(len(times) * 0.99)],
        "max_ms": 1e3 * times[-1],
        "seconds": time.perf_counter() - begun,
    }


def main() -> None:
    """Read the command line, measure, tell; ends with 1 if an event was lost or refused."""
    parser = argparse.ArgumentParser(prog="python -m bench.inbox", description=__doc__)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--without-redis", action="store_true")
    parser.add_argument("--load", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.load:
        print(json.dumps(asyncio.run(load(**json.loads(sys.stdin.read())))))
        return
    redis_url = NOWHERE if given.without_redis else None
    taken = asyncio.run(alone(given.rate, min(given.seconds, SECONDS_MAX), redis_url))
    report.say(
        f"{taken.sent:,} deliveries of {taken.events:,} events in {taken.seconds:.1f} s, "
        f"answered {taken.statuses}; {taken.rows:,} rows; "
        f"p50 {taken.p50_ms:.1f} ms, p99 {taken.p99_ms:.1f} ms, max {taken.max_ms:.1f} ms"
    )
    sys.exit(0 if taken.is_whole else 1)


if __name__ == "__main__":
    main()
