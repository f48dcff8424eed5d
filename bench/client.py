"""A load from a process of its own: plain sockets kept open, bounded in requests and in time.

Reads a list of requests as JSON from standard input, writes what became of them. Without a rate,
each connection asks again as soon as it was answered; with one, requests leave on the tick and
their time counts from there, so that a server that falls behind cannot hide it.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What to ask, and how hard."""

    port: int
    key: str
    requests: list[tuple[str, str, str]]
    """(method, path, body), taken in turn."""
    seconds: float
    connections: int
    rate: float = 0.0
    """Requests a second over all connections; zero: as many as it takes."""


class Connection:
    """One connection that asks one thing at a time."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.statuses: dict[str, int] = {}

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.plan.port)

    def encoded(self, request: tuple[str, str, str]) -> bytes:
        method, path, body = request
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Authorization: Bearer {self.plan.key}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n"
        return f"{head}\r\n{body}".encode()

    async def ask(self, request: bytes) -> None:
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = head[9:12].decode()
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await self.reader.readexactly(int(length))
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def close(self) -> None:
        self.writer.close()


async def run(plan: Plan) -> dict[str, object]:
    connections = [Connection(plan) for _ in range(plan.connections)]
    for connection in connections:
        await connection.open()
    asked = [connections[0].encoded(request) for request in plan.requests]
    begun = time.perf_counter()
    end = begun + plan.seconds
    times: list[float] = []
    turn = iter(range(10**9))

    async def keep_asking(connection: Connection) -> None:
        while (now := time.perf_counter()) < end:
            number = next(turn)
            if plan.rate:
                now = begun + number / plan.rate
                if now >= end or number >= len(asked):
                    return
                await asyncio.sleep(max(0.0, now - time.perf_counter()))
            await connection.ask(asked[number % len(asked)])
            times.append(time.perf_counter() - now)

    await asyncio.gather(*map(keep_asking, connections))
    seconds = time.perf_counter() - begun
    statuses: dict[str, int] = {}
    for connection in connections:
        connection.close()
        for status, count in connection.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    times.sort()
    return {
        "per_second": len(times) / seconds,
        "p50_ms": 1e3 * times[len(times) // 2],
        "p99_ms": 1e3 * times[int(len(times) * 0.99)],
        "statuses": statuses,
    }


if __name__ == "__main__":
    given = json.loads(sys.stdin.read())
    print(json.dumps(asyncio.run(run(Plan(**given)))))
