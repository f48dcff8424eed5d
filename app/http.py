"""The one client for calls to others: it says what became of a request, not only what failed.

`send` returns an `Answer` (any status), or `NotSent` (no byte of the request left: repeating it is
safe), or `Lost` (it may have been executed). The boundary between the last two is not read off
exception classes: the transport's own table turns a connection reset *after* the request was
written into `ConnectTimeout`, and believing that would charge somebody twice. Instead a trace marks
the moment a live connection is handed to the request; before it nothing can have been written.

httpx speaks through aiohttp because its own pool collapses beyond about 50 requests in flight.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Protocol, TypeAlias

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from httpx_aiohttp import AiohttpTransport

ANSWER_BYTES_MAX: Final = 4_194_304
"""4 MiB: far beyond any gateway's list page; more than this is not an answer."""
CONNECTIONS_MAX: Final = 500
"""As many as a worker may have charges in flight, so that none waits for a connection."""
TOO_MANY: Final = 429
WAIT_SECONDS: Final = 1
"""How long whoever turns us away is left alone when it does not say for how long."""
RETRY_DIGITS_MAX: Final = 7
"""Four months: more is nonsense, and no moment could be reckoned from it."""
KEEPALIVE_SECONDS: Final = 4
"""Servers keep idle connections for 5 s and more: a request must not meet one that is closing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The other side answered, whole and readable; what it means is the adapter's affair."""

    status: int
    headers: Mapping[str, str]
    """Looked up without regard to case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request was written; `cause` is a short word."""

    cause: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The request was or may have been written, and there is no usable answer."""

    cause: str


Exchange: TypeAlias = Answer | NotSent | Lost
SocketFactory: TypeAlias = Callable[[Any], socket.socket]
"""Makes the socket for an address as `socket.getaddrinfo` describes it; may refuse: OSError."""


class AnswerTooLarge(Exception):
    """More bytes arrived than any answer has."""


@dataclass(slots=True)
class Wire:
    """Whether the request in hand was given a live connection."""

    connected: bool = False


WIRE: ContextVar[Wire] = ContextVar("wire")


class Pacing(Protocol):
    """Whose turn it is to send."""

    async def admitted(self) -> bool:
        """Wait for one's turn; False: it is too far away."""
        ...

    def hold(self, seconds: int) -> None:
        """The other side wants no request for so long."""
        ...


PACE: ContextVar[Pacing | None] = ContextVar("pace", default=None)
"""What paces the requests of the call in hand; None: nothing does."""

TRANSPORT_FAILURES: Final = (httpx.HTTPError, aiohttp.ClientError, OSError, AnswerTooLarge)
"""Everything a request can die of on its way; OSError includes time-outs and TLS errors."""


class HttpClient:
    """One account's connections, used as bare transport: one request in, one answer out.

    So there is nothing to switch off: no redirects, cookies, or proxies and netrc from the
    environment; and no retries, but that aiohttp sends a GET, PUT or DELETE once more when the
    connection it kept turns out to be dead. What is sent by those must mean the same twice.
    """

    def __init__(  # noqa: PLR0913  what a client is made of
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        connect_timeout_seconds: int,
        total_timeout_seconds: int,
        resolver: AbstractResolver | None = None,
        sockets: SocketFactory | None = None,
        excerpt_bytes: int | None = None,
    ) -> None:
        """`resolver` and `sockets` take the place of the system's own. With `excerpt_bytes` no more
        is read of an answer's body, as it was sent: packed if it was packed.
        """
        self._base_url = base_url.rstrip("/")
        # Said explicitly, or aiohttp would offer encodings that httpx may not be able to read.
        self._headers = {"User-Agent": "perennial", "Accept-Encoding": "gzip", **headers}
        self._total_timeout_seconds = total_timeout_seconds
        self._excerpt_bytes = excerpt_bytes
        connect = {"connect": connect_timeout_seconds, "pool": connect_timeout_seconds}
        self._extensions = {"timeout": connect | {"read": total_timeout_seconds}}
        self._transport = AiohttpTransport(
            verify=trusted(), client=lambda: session(trusted(), resolver, sockets)
        )

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Exchange:
        """One request, once. Never raises for what the network or the gateway does."""
        request = httpx.Request(
            method,
            self._base_url + path,
            params=params,
            headers={**self._headers, **(headers or {})},
            content=content,
            extensions=self._extensions,
        )
        pace = PACE.get()
        if pace is not None and not await pace.admitted():
            return NotSent("rate_limited")
        exchange = await self._attempted(request)
        if pace is not None and isinstance(exchange, Answer) and exchange.status == TOO_MANY:
            pace.hold(seconds_to_wait(exchange.headers))
        return exchange

    async def _attempted(self, request: httpx.Request) -> Exchange:
        wire = Wire()
        token = WIRE.set(wire)
        try:
            async with asyncio.timeout(self._total_timeout_seconds):
                return await self._exchange(request)
        except TRANSPORT_FAILURES as failure:
            return Lost(cause(failure)) if wire.connected else NotSent(cause(failure))
        finally:
            WIRE.reset(token)

    async def _exchange(self, request: httpx.Request) -> Answer:
        response = await self._transport.handle_async_request(request)
        try:
            body = await self._body(response)
            return Answer(response.status_code, response.headers, body)
        finally:
            await response.aclose()

    async def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        if self._excerpt_bytes is not None:
            # Unpacked by nobody: a few kilobytes can unpack to gigabytes.
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) >= self._excerpt_bytes:
                    break
            return bytes(body[: self._excerpt_bytes])
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                raise AnswerTooLarge
        return bytes(body)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()


@cache
def trusted() -> ssl.SSLContext:
    """The certificates that are believed: read once, which takes as long as many a request."""
    return httpx.create_ssl_context(trust_env=False)


def seconds_to_wait(headers: Mapping[str, str]) -> int:
    """What `Retry-After` asks for, in whole seconds; a moment where it asks for nothing."""
    asked = retry_after_seconds(headers)
    return WAIT_SECONDS if asked is None else asked


def retry_after_seconds(headers: Mapping[str, str]) -> int | None:
    """What `Retry-After` asks for; a date or nonsense counts as nothing said."""
    given = headers.get("Retry-After", "")
    is_number = given.isdecimal() and given.isascii() and len(given) <= RETRY_DIGITS_MAX
    return int(given) if is_number else None


async def mark_connected(*_: Any) -> None:
    """The trace: from here on bytes may have left."""
    WIRE.get().connected = True


def session(
    context: ssl.SSLContext,
    resolver: AbstractResolver | None = None,
    sockets: SocketFactory | None = None,
) -> aiohttp.ClientSession:
    """An aiohttp session that traces connections; made on the first request, inside the loop.

    `resolver` finds the addresses of names, `sockets` opens them, in place of the system's own.
    """
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(mark_connected)
    trace.on_connection_reuseconn.append(mark_connected)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=CONNECTIONS_MAX,
            keepalive_timeout=KEEPALIVE_SECONDS,
            ssl=context,
            resolver=resolver,
            socket_factory=sockets,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[trace],
        trust_env=False,
    )


def cause(failure: BaseException) -> str:
    """A short word for logs and metrics; never the exception's text, which may hold a URL."""
    if isinstance(failure, AnswerTooLarge):
        return "answer_too_large"
    # What httpx makes of aiohttp's errors misleads; ask for what was raised first.
    origin = failure.__cause__ if isinstance(failure, httpx.HTTPError) else failure
    if isinstance(origin, TimeoutError):
        return "timeout"
    if isinstance(origin, ssl.SSLError | aiohttp.ClientSSLError):
        return "tls_failed"
    if isinstance(origin, aiohttp.ClientConnectorError | ConnectionRefusedError):
        refused = isinstance(origin, aiohttp.ClientConnectorError) and origin.os_error.errno
        return "address_not_allowed" if refused == errno.EACCES else "connect_failed"
    if isinstance(origin, aiohttp.ClientConnectionError | ConnectionError):
        return "connection_lost"
    return "unreadable_answer"
