"""A merchant's endpoint on loopback: it keeps what it was sent, and behaves as it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web


@dataclass(frozen=True)
class Got:
    """One call."""

    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def event(self) -> dict[str, Any]:
        return orjson.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """A running endpoint. `refusals` are the statuses of the next calls; then all is well."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    always: int = 200
    """What it answers otherwise."""
    bad_types: set[str] = field(default_factory=set)
    """Events that it never takes."""
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer_body: str = ""
    slow_seconds: float = 0.0
    silent: bool = False
    """It takes the call and never answers."""
    now: int = 0
    most: int = 0
    """The most calls there ever were at once."""
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it took, in the order it came."""
        return [got.event for got in self.got if got.status == 200]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    async def answer(self, request: web.Request) -> web.Response:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await self._answer(request)
        finally:
            self.now -= 1

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self.silent:
            await self.closing.wait()
        if self.slow_seconds:
            await asyncio.sleep(self.slow_seconds)
        status = self.refusals.pop(0) if self.refusals else self.always
        headers = {name.lower(): value for name, value in request.headers.items()}
        got = Got(headers, body, status)
        if got.event["type"] in self.bad_types:
            got = Got(headers, body, 500)
        self.got.append(got)
        return web.Response(status=got.status, headers=self.answer_headers, text=self.answer_body)


@asynccontextmanager
async def receiver(**options: Any) -> AsyncIterator[Receiver]:
    """An endpoint that answers for as long as the block lasts."""
    running = Receiver(**options)
    app = web.Application()
    app.router.add_post("/hook", running.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    running.url = f"http://{host}:{port}/hook"
    try:
        yield running
    finally:
        running.closing.set()
        await runner.cleanup()
