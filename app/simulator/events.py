"""What the simulator tells by itself: events, signed as Standard Webhooks, delivered until heard.

Events are written with what they are about, in one transaction, while an endpoint is set. They
arrive at least once and in no promised order, as every gateway's do.
"""

import asyncio
import base64
import hmac
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any, Final

import httpx
import orjson

from app import ids
from app.simulator.books import Row
from app.simulator.ledger import Ledger
from app.simulator.requests import EndpointBody

ACCOUNT: Final = "acct_sim"
"""The simulator's one account, as events name it."""
LOOK_SECONDS: Final = 0.05
"""How often the books are looked through for what is to be delivered."""
ANSWER_SECONDS: Final = 10
FIRST_DELAY_MS: Final = 200
DELAY_MS_MAX: Final = 10_000
ATTEMPTS_MAX: Final = 12
AT_ONCE: Final = 50


def signature(secret: str, event_id: str, at_seconds: int, body: bytes) -> str:
    """The header `webhook-signature` (https://www.standardwebhooks.com, version 1)."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{event_id}.{at_seconds}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


class Events:
    """Writes events down, and delivers them for as long as it runs."""

    def __init__(self, ledger: Ledger, now_ms: Callable[[], int]) -> None:
        self._ledger = ledger
        self._now_ms = now_ms
        self._endpoint: EndpointBody | None = None

    @property
    def endpoint(self) -> EndpointBody | None:
        """Where events go; None: nowhere, and none are kept."""
        return self._endpoint

    def set_endpoint(self, endpoint: EndpointBody | None) -> None:
        """Deliver to this one from now on; without one, what waits is dropped."""
        self._endpoint = endpoint
        if endpoint is None:
            self._ledger.write("UPDATE events SET due_at = NULL WHERE due_at IS NOT NULL", ())

    def tell(self, type: str, about: dict[str, Any]) -> None:
        """Something happened to this object."""
        if self._endpoint is None:
            return
        now = self._now_ms()
        event_id = ids.show("evt", ids.new_id())
        body = {
            "id": event_id,
            "type": type,
            "account": ACCOUNT,
            "livemode": False,
            "created_at": now,
            "data": about,
        }
        row = {"id": event_id, "body": orjson.dumps(body), "due_at": now, "created_at": now}
        self._ledger.insert("events", row)

    async def deliver(self, settle: Callable[[], None]) -> None:
        """Deliver what is due, over and over; `settle` brings pending things to their end."""
        async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_SECONDS) as client:
            for _ in count():  # as long as the simulator runs
                await asyncio.sleep(LOOK_SECONDS)
                if self._endpoint is None:
                    continue
                settle()
                due = self._ledger.read(
                    "SELECT * FROM events WHERE due_at <= ? ORDER BY seq LIMIT ?",
                    (self._now_ms(), AT_ONCE),
                )
                await self._ledger.committed()
                await asyncio.gather(*(self._send(client, self._endpoint, row) for row in due))

    async def _send(self, client: httpx.AsyncClient, endpoint: EndpointBody, row: Row) -> None:
        at = self._now_ms() // 1_000
        headers = {
            "content-type": "application/json",
            "webhook-id": row["id"],
            "webhook-timestamp": str(at),
            "webhook-signature": signature(endpoint.secret, row["id"], at, row["body"]),
        }
        heard = False
        with suppress(httpx.HTTPError):
            answer = await client.post(endpoint.url, content=row["body"], headers=headers)
            heard = answer.is_success
        attempts = row["attempts"] + 1
        delay = min(FIRST_DELAY_MS * 2**attempts, DELAY_MS_MAX)
        again = None if heard or attempts >= ATTEMPTS_MAX else self._now_ms() + delay
        self._ledger.change("events", row["id"], attempts=attempts, due_at=again)
