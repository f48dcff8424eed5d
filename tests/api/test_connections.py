"""What a connection may send before there is a request, and how long it may take over it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from app.api.connections import HEAD_BYTES_MAX, BoundedProtocol
from tests.world import until

pytestmark = pytest.mark.anyio

SENT_MAX = 16 * 1_048_576
"""What a header without end is given up after."""


class Hurried(BoundedProtocol):
    request_seconds_max = 0.5


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with how long the body was, once it is read."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    headers = [(b"content-length", str(len(str(size))).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": str(size).encode()})


@pytest.fixture(params=[BoundedProtocol])
async def port(request: Any) -> AsyncIterator[int]:
    config = uvicorn.Config(
        echo, port=0, http=request.param, lifespan="off", log_level="error", ws="none"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    await until(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def send_without_end(
    port: int, beginning: bytes, more: bytes = b"a" * 65_536
) -> tuple[int, bytes]:
    """Send on and on until the other side ends it: how much that was, and what it said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(beginning)
    sent = 0
    async with asyncio.timeout(30):
        try:
            while sent < SENT_MAX and not reader.at_eof():
                writer.write(more)
                sent += len(more)
                await writer.drain()
            said = await reader.read(100)
        except ConnectionError:
            said = b""
    writer.close()
    return sent, said


HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"


@pytest.mark.parametrize(
    "beginning",
    [b"GET /", HEAD + b"X: ", HEAD, CHUNKED + b"X: "],
    ids=["url", "one", "name", "end"],
)
async def test_what_comes_before_a_request_or_after_it_has_an_end(
    port: int, beginning: bytes
) -> None:
    sent, said = await send_without_end(port, beginning)
    assert sent < SENT_MAX
    assert said == b"" or b" 431 " in said or b" 400 " in said


async def test_many_small_headers_have_an_end(port: int) -> None:
    sent, _ = await send_without_end(port, HEAD, b"X-Small: a\r\n" * 5_000)
    assert sent < SENT_MAX


@pytest.mark.parametrize("port", [Hurried], indirect=True)
@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET / HT", HEAD, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"],
    ids=["nothing", "line", "head", "body"],
)
async def test_a_request_that_is_not_finished_is_not_waited_for(
    port: int, beginning: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(beginning)
    async with asyncio.timeout(20):
        said = await reader.read()
    assert said == b"" or b" 408 " in said
    writer.close()


@pytest.mark.parametrize("port", [Hurried], indirect=True)
async def test_what_is_sent_in_time_is_answered_one_after_the_other(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    size = HEAD_BYTES_MAX * 3
    for _ in range(3):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(b"a" * size)
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(6) == str(size).encode()
    writer.close()
