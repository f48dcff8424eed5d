"""What became of a request, against servers that misbehave in every way a socket can."""

import asyncio
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from app.http import (
    ANSWER_BYTES_MAX,
    Answer,
    Exchange,
    HttpClient,
    Lost,
    NotSent,
    retry_after_seconds,
)
from tests.gateways.sockets import Talk, heard, saying, server
from tests.simulator import free_port


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hear the request and say nothing until the caller gives up."""
    await heard(reader)
    await reader.read()


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hear the request, then RST."""
    await heard(reader)
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def client_of(url: str, total_timeout_seconds: int = 5) -> HttpClient:
    return HttpClient(
        url,
        headers={"Authorization": "Bearer secret"},
        connect_timeout_seconds=1,
        total_timeout_seconds=total_timeout_seconds,
    )


async def post(url: str, total_timeout_seconds: int = 5) -> Exchange:
    client = client_of(url, total_timeout_seconds)
    try:
        return await client.send("POST", "/v1/charges", content=b'{"amount":1}')
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    ("talk", "cause"),
    [
        (saying(b""), "connection_lost"),
        (reset, "connection_lost"),
        (silence, "timeout"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), "unreadable_answer"),
        (
            saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha"),
            "unreadable_answer",
        ),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Le"), "connection_lost"),
        (saying(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "unreadable_answer"),
        (
            saying(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnot!"),
            "unreadable_answer",
        ),
    ],
    ids=["hung_up", "reset", "silence", "cut", "cut_chunk", "cut_head", "not_http", "not_gzip"],
)
async def test_once_a_connection_was_had_every_failure_is_lost(talk: Talk, cause: str) -> None:
    async with server(talk) as url:
        assert await post(url, total_timeout_seconds=1) == Lost(cause)


async def test_a_refused_connection_was_not_sent() -> None:
    assert await post(f"http://127.0.0.1:{free_port()}") == NotSent("connect_failed")


async def test_a_failed_tls_handshake_was_not_sent() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 No TLS here\r\n\r\n")

    async with server(talk) as url:
        exchange = await post(url.replace("http://", "https://"))
    assert exchange == NotSent("tls_failed")


async def test_a_host_that_never_accepts_was_not_sent() -> None:
    # The kernel queues one connection for a backlog of 0 and leaves further ones unanswered.
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        for early in (first, second):
            early.setblocking(False)
            early.connect_ex(("127.0.0.1", port))
        assert await post(f"http://127.0.0.1:{port}") == NotSent("timeout")


async def test_a_kept_connection_that_dies_under_a_second_charge_is_lost() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await heard(reader)

    async with server(talk) as url:
        client = client_of(url)
        try:
            assert isinstance(await client.send("POST", "/", content=b"1"), Answer)
            assert await client.send("POST", "/", content=b"2") == Lost("connection_lost")
        finally:
            await client.aclose()


async def test_an_endless_answer_is_cut_off() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(ANSWER_BYTES_MAX // 65_536 + 2):
            writer.write(b"10000\r\n" + bytes(65_536) + b"\r\n")
            await writer.drain()

    async with server(talk) as url:
        assert await post(url) == Lost("answer_too_large")


async def test_a_redirect_is_an_answer_and_nobody_follows_it() -> None:
    visits = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(await heard(reader))

    async with server(elsewhere) as target:
        away = f"HTTP/1.1 307 Away\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
        async with server(saying(away.encode())) as url:
            exchange = await post(url)

    assert isinstance(exchange, Answer)
    assert exchange.status == 307
    assert not visits


async def test_proxies_of_the_environment_and_cookies_are_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    requests = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            requests.append(await heard(reader))
            writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\n{}")

    async with server(talk) as url:
        client = client_of(url)
        for _ in range(2):
            assert isinstance(await client.send("GET", "/"), Answer)
        await client.aclose()

    assert len(requests) == 2
    assert b"cookie" not in requests[1].lower()
    assert b"Bearer secret" in requests[1]
    # No encoding is offered that httpx could not read.
    assert b"accept-encoding: gzip\r\n" in requests[1].lower()


async def test_headers_are_read_without_regard_to_case() -> None:
    answer = b"HTTP/1.1 200 OK\r\nrEtRy-AfTeR: 7\r\nContent-Length: 2\r\n\r\n{}"
    async with server(saying(answer)) as url:
        exchange = await post(url)
    assert isinstance(exchange, Answer)
    assert exchange.headers["Retry-After"] == "7"
    assert exchange.body == b"{}"


CLOSING = """
import asyncio, sys
from app.gateways.base import AccountMode, AccountSettings
from app.gateways.registry import open_gateway

async def main():
    account = AccountSettings(AccountMode.TEST, base_url=sys.argv[1])
    used, unused = open_gateway("simulator", account), open_gateway("simulator", account)
    print(await used.check_credentials())
    await used.aclose()
    await unused.aclose()

asyncio.run(main())
"""


def test_closing_leaves_nothing_behind(simulator) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-c", CLOSING, simulator.url],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.stdout, run.stderr) == ("valid\n", "")


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7), ("0", 0), ("", None), ("-1", None), ("4111111111111111", None), ("9" * 5_000, None)],
)
def test_a_wait_beyond_all_measure_counts_as_nothing_said(said: str, seconds: int | None) -> None:
    assert retry_after_seconds({"Retry-After": said}) == seconds
