"""A tax engine on loopback: it checks signatures, answers from a table, and fails when told to."""

import asyncio
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Engine:
    """A running engine; `rates` has an answer for each country."""

    url: str = ""
    secret: str | None = None
    """None: it takes calls from anybody."""
    rates: dict[str, dict[str, Any]] = field(default_factory=dict)
    fault: str | None = None
    """`500`, `redirect`, `garbage`, `silent` (no answer at all), `forgetful` (an empty one)."""
    calls: list[list[dict[str, Any]]] = field(default_factory=list)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Every question that was signed well, in order."""
        return [question for call in self.calls for question in call]

    def charges(self, country: str, percentage: str, name: str = "VAT") -> None:
        rate = {"name": name, "jurisdiction": country, "percentage": percentage}
        self.rates[country] = {"rates": [rate]}

    def knows(self, request: web.Request, body: bytes) -> bool:
        """Whether the call is signed by our secret, as Standard Webhooks are."""
        if self.secret is None:
            return True
        key = b64decode(self.secret.removeprefix("whsec_"))
        head = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        said = b".".join((*(text.encode() for text in head), body))
        signature = "v1," + b64encode(hmac.digest(key, said, hashlib.sha256)).decode()
        return hmac.compare_digest(signature, request.headers["webhook-signature"])

    async def answer(self, request: web.Request) -> web.Response:
        if not self.knows(request, await request.read()):
            return web.Response(status=401)
        match self.fault:
            case "500":
                return web.Response(status=500)
            case "redirect":
                return web.Response(status=307, headers={"Location": self.url})
            case "garbage":
                return web.Response(body=b'{"answers": [', content_type="application/json")
            case "silent":
                await self.closing.wait()
        questions = (await request.json())["questions"]
        self.calls.append(questions)
        if self.fault == "forgetful":
            return web.json_response({"answers": []})
        return web.json_response({"answers": [self.one(question) for question in questions]})

    def one(self, question: dict[str, Any]) -> dict[str, Any]:
        known = self.rates.get(question["buyer"]["country"])
        return {"id": question["id"]} | (known or {"error": "We know nothing of this country."})


@asynccontextmanager
async def tax_engine(**options: Any) -> AsyncIterator[Engine]:
    """An engine that answers for as long as the block lasts."""
    engine = Engine(**options)
    app = web.Application()
    app.router.add_post("/rates", engine.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    engine.url = f"http://{host}:{port}/rates"
    try:
        yield engine
    finally:
        engine.closing.set()
        await runner.cleanup()
