"""Events on their way to merchants' endpoints: signed, posted once, and what came of it.

Endpoints are other people's: nothing of an answer is believed but its status, little of it is kept,
no redirect is followed, and no address inside the own network is called unless the deployment says
so.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from app import addresses, redaction, signing
from app.domain.delivery import Reply
from app.http import Answer, HttpClient

CONNECT_SECONDS_MAX: Final = 3
EXCERPT_BYTES: Final = 2_000
EXCERPT_CHARS: Final = 500
"""Of an answer that is no success: enough to see what went wrong at the other end."""
HEADERS: Final = {
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "perennial-webhooks",
}
RETRY_AFTER_DIGITS_MAX: Final = 9


@dataclass(frozen=True, slots=True)
class Target:
    """Where an endpoint is, and the keys it knows us by: one, or two while they are exchanged."""

    url: str
    keys: Sequence[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """An event as it is told: however often, under the same identifier."""

    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of an attempt, how long it took, and the beginning of what was answered."""

    reply: Reply
    duration_ms: int
    excerpt: str | None


class Courier:
    """The connections to everybody's endpoints."""

    def __init__(self, *, private: bool, total_timeout_seconds: int) -> None:
        self._private = private
        self._client = HttpClient(
            "",
            headers=HEADERS,
            connect_timeout_seconds=min(CONNECT_SECONDS_MAX, total_timeout_seconds),
            total_timeout_seconds=total_timeout_seconds,
            resolver=None if private else addresses.CheckingResolver(),
            sockets=None if private else addresses.public_socket,
            excerpt_bytes=EXCERPT_BYTES,
        )

    async def send(self, target: Target, message: Message, at: datetime) -> Sent:
        """One attempt at `at`. Never raises for what the network or the endpoint does."""
        began = time.monotonic()
        try:
            addresses.check(target.url, private=self._private)
        except addresses.AddressRefused:
            return Sent(Reply(None, "address_not_allowed"), 0, None)
        signed = signing.headers(target.keys, message.id, at, message.body)
        exchange = await self._client.send("POST", target.url, headers=signed, content=message.body)
        took = int((time.monotonic() - began) * 1000)
        if not isinstance(exchange, Answer):
            return Sent(Reply(None, exchange.cause), took, None)
        reply = Reply(exchange.status, None, _retry_after(exchange.headers))
        if reply.is_success:
            return Sent(reply, took, None)
        return Sent(reply, took, _excerpt(exchange.body))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()


def _retry_after(headers: Mapping[str, str]) -> int | None:
    """The seconds an endpoint asks to be left alone for (RFC 9110, 10.2.3); dates are ignored."""
    text = headers.get("retry-after", "").strip()
    plain = text.isascii() and text.isdigit() and len(text) <= RETRY_AFTER_DIGITS_MAX
    return int(text) if plain else None


def _excerpt(body: bytes) -> str | None:
    """What can be read of it, in one line, without anything that looks like a card number."""
    text = " ".join(body.decode("utf-8", "replace").split())
    readable = "".join(char if char.isprintable() else "·" for char in text)
    return redaction.masked(readable)[:EXCERPT_CHARS] or None
