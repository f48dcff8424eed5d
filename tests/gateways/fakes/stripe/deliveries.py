"""What this Stripe sends to an endpoint, signed by its own SDK's function."""

import asyncio
from typing import Any

import httpx
import orjson

import stripe
from tests.gateways.fakes.stripe.books import Books
from tests.gateways.fakes.stripe.objects import Object

TRIES_MAX = 3
WAIT_SECONDS = 0.2
SIGN = stripe.WebhookSignature.generate_signature_header


class Deliveries:
    """Events on their way, at least once and in any order."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._secrets: list[str] = []
        self._sent = 0
        self._task: asyncio.Task[None] | None = None

    def deliver_to(self, url: str | None, secrets: list[str]) -> None:
        """From now on; the newest secret last, as while one is being replaced."""
        self._secrets = secrets
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if url is not None:
            self._task = asyncio.create_task(self._deliver(url))

    def _signed(self, event: Object, at: int) -> Object:
        shown = self._books.shown(event)
        body = orjson.dumps(shown).decode()
        parts = [SIGN(body, secret, at) for secret in self._secrets]
        signatures = [part.partition(",")[2] for part in parts]
        header = ",".join([f"t={at}", *signatures, "v0=6ffbb59b2300aae63f27240606a9788b"])
        return {"body": body, "headers": {"stripe-signature": header}}

    def signed(self, query: dict[str, str]) -> list[Any]:
        """Everything that happened, as it would be delivered at `at`."""
        at = int(query.get("at", self._books.now()))
        return [self._signed(event, at) for event in self._books.events]

    async def _deliver(self, url: str) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            while True:
                events, self._sent = self._books.events[self._sent :], len(self._books.events)
                for event in events:
                    await self._try(client, url, event)
                await asyncio.sleep(WAIT_SECONDS)

    async def _try(self, client: httpx.AsyncClient, url: str, event: Object) -> None:
        for _ in range(TRIES_MAX):
            said = self._signed(event, self._books.now())
            headers = said["headers"] | {"content-type": "application/json"}
            try:
                response = await client.post(url, content=said["body"], headers=headers)
            except httpx.HTTPError:
                await asyncio.sleep(WAIT_SECONDS)
                continue
            if response.is_success:
                return
            await asyncio.sleep(WAIT_SECONDS)
