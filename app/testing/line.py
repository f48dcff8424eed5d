"""The line between an adapter and its gateway's double, on which anything may go wrong.

A loopback server that passes requests on, one by one and unchanged, and does to some of them what
a `Fault` says. So every double is tried with the same faults, and none has to know of them.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from app.testing.harness import HAPPENED, RETRY_AFTER_SECONDS, Canned, Fault, Harness, Sent, Verb

LATE_SECONDS: Final = 0.4
"""How long after its 500 a late effect comes."""
HEAD_BYTES_MAX: Final = 65_536
ROUNDS_MAX: Final = 100_000
"""Requests on one connection; far beyond any case."""
ERROR: Final = Canned(500)
USUAL: Final = {
    Fault.RATE_LIMITED: Canned(429, headers={"Retry-After": str(RETRY_AFTER_SECONDS)}),
    Fault.ERROR_BEFORE: ERROR,
    Fault.ERROR_AFTER: ERROR,
    Fault.LATE: ERROR,
}
PAGE: Final = b"<!doctype html><title>Sorry</title><h1>Something went wrong</h1>"


@dataclass(slots=True)
class Trouble:
    """A fault, and which requests it still meets."""

    fault: Fault
    verb: Verb
    left: int | None


class Line:
    """What was sent over it is remembered; what is to go wrong is asked for with `strike`."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._troubles: list[Trouble] = []
        self._late: set[asyncio.Task[Canned]] = set()
        self.latency_seconds = 0.0
        self.sent: list[Sent] = []
        self.connections = 0
        """How many are open at this moment."""
        self.url = ""

    def strike(self, fault: Fault, verb: Verb, count: int | None = None) -> None:
        """The next `count` requests for this verb meet this fault; None: all of them."""
        self._troubles.append(Trouble(fault, verb, count))

    def clear(self) -> None:
        """Fair weather."""
        self._troubles.clear()

    async def rest(self) -> None:
        """Return once every late effect has come."""
        if self._late:
            await asyncio.wait(self._late)

    def asked(self, verb: Verb) -> list[Sent]:
        """What was sent for this verb."""
        return [sent for sent in self.sent if self._harness.verb(sent) is verb]

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection's requests, for as long as it stands."""
        self.connections += 1
        try:
            for _ in range(ROUNDS_MAX):
                sent = await read_request(reader)
                if sent is None or not await self._carry(sent, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side went away, which is its right
        finally:
            self.connections -= 1
            writer.close()

    async def _carry(
        self, sent: Sent, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether the connection may go on."""
        self.sent.append(sent)
        fault = self._meets(sent)
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds)
        answer = Canned(200)
        if fault is None or fault in HAPPENED:
            answer = await self._pass_on(sent)
        if fault is Fault.LATE:
            task = asyncio.create_task(self._later(sent))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        match fault:
            case Fault.TIMEOUT_BEFORE | Fault.TIMEOUT_AFTER:
                await reader.read()  # until the adapter hangs up
                return False
            case Fault.RESET_BEFORE | Fault.RESET_AFTER:
                reset(writer)
                return False
            case Fault.CUT:
                head, body = spelled(answer)
                writer.write(head + body[: len(body) // 2])
                await writer.drain()
                return False
            case Fault.UNREADABLE:
                answer = Canned(answer.status, PAGE, {"Content-Type": "text/html"})
            case None:
                pass
            case _:
                answer = self._harness.canned.get(fault) or USUAL[fault]
        head, body = spelled(answer)
        writer.write(head + body)
        await writer.drain()
        return True

    def _meets(self, sent: Sent) -> Fault | None:
        if not self._troubles:
            return None
        verb = self._harness.verb(sent)
        for trouble in self._troubles:
            if trouble.verb is verb and trouble.left != 0:
                if trouble.left is not None:
                    trouble.left -= 1
                return trouble.fault
        return None

    async def _later(self, sent: Sent) -> Canned:
        await asyncio.sleep(LATE_SECONDS)
        return await self._pass_on(sent)

    async def _pass_on(self, sent: Sent) -> Canned:
        """What the double answers."""
        at = urlsplit(self._harness.url)
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        try:
            kept = {name: value for name, value in sent.headers.items() if name != "connection"}
            lines = [f"{sent.method} {sent.path} HTTP/1.1"]
            lines += [
                f"{name}: {value}" for name, value in (kept | {"connection": "close"}).items()
            ]
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + sent.body)
            await writer.drain()
            return await read_answer(reader)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> Sent | None:
    """The next request; None when the connection is closed instead."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, headers = parsed(head)
    method, path, _ = first.split(" ", 2)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Sent(method, path, headers, body)


async def read_answer(reader: asyncio.StreamReader) -> Canned:
    """The answer to a request that asked for the connection to be closed after it."""
    head = await reader.readuntil(b"\r\n\r\n")
    first, headers = parsed(head)
    raw = await reader.read(-1)
    if headers.get("transfer-encoding") == "chunked":
        raw = unchunked(raw)
    dropped = {"content-length", "transfer-encoding", "connection", "keep-alive"}
    kept = {name: value for name, value in headers.items() if name not in dropped}
    return Canned(int(first.split(" ", 2)[1]), raw, kept)


def parsed(head: bytes) -> tuple[str, Mapping[str, str]]:
    """The first line, and the headers by lower-case name."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first, {name.strip().lower(): value.strip() for name, _, value in pairs}


def unchunked(raw: bytes) -> bytes:
    """A body that came in chunks, in one piece."""
    whole, rest = b"", raw
    for _ in range(ROUNDS_MAX):
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if length == 0:
            break
        whole, rest = whole + rest[:length], rest[length + 2 :]
    return whole


def spelled(answer: Canned) -> tuple[bytes, bytes]:
    """Head and body, as they go over the wire."""
    lines = [f"HTTP/1.1 {answer.status} Answer", f"content-length: {len(answer.body)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1"), answer.body


def reset(writer: asyncio.StreamWriter) -> None:
    """RST in place of a farewell."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


@asynccontextmanager
async def open_line(harness: Harness) -> AsyncIterator[Line]:
    """A line to the harness's double, for as long as the block lasts."""
    line = Line(harness)
    server = await asyncio.start_server(line.talk, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
    line.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield line
    finally:
        server.close()
