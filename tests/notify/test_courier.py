"""One call to an endpoint: what is sent, what is made of the answer, and who is not called."""

import asyncio
import gzip
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver
from standardwebhooks.webhooks import Webhook

from app import signing
from app.addresses import CheckingResolver, public_socket
from app.clock import SystemClock
from app.domain.delivery import Reply
from app.http import HttpClient, NotSent
from app.notify.webhooks import EXCERPT_CHARS, Courier, Message, Sent, Target
from tests.gateways.sockets import Talk, heard, saying, server
from tests.simulator import free_port
from tests.webhooks import receiver

pytestmark = pytest.mark.anyio

AT = datetime(2026, 1, 31, 9, tzinfo=UTC)
SECRET = signing.new_secret()
MESSAGE = Message("evt_1", b'{"type":"invoice.paid"}')


@asynccontextmanager
async def courier(*, private: bool = True, seconds: int = 5) -> AsyncIterator[Courier]:
    opened = Courier(private=private, total_timeout_seconds=seconds)
    try:
        yield opened
    finally:
        await opened.aclose()


async def send(url: str, *secrets: str, at: datetime = AT, **options: Any) -> Sent:
    keys = [signing.key_of(secret) for secret in secrets or (SECRET,)]
    async with courier(**options) as one:
        return await one.send(Target(url, keys), MESSAGE, at)


async def answered(answer: bytes, **options: Any) -> Sent:
    async with server(saying(answer)) as url:
        return await send(url, **options)


async def test_it_is_posted_once_with_what_standard_webhooks_ask_for() -> None:
    other = signing.new_secret()
    async with receiver() as hook:
        sent = await send(hook.url, SECRET, other, at=SystemClock().now())
    assert sent.reply == Reply(200)
    [got] = hook.got
    assert (got.body, got.id) == (MESSAGE.body, "evt_1")
    assert got.headers["content-type"] == "application/json"
    for secret in (SECRET, other):
        assert Webhook(secret).verify(got.body, got.headers) == {"type": "invoice.paid"}


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_any_success_is_one(status: int) -> None:
    sent = await answered(b"HTTP/1.1 %d Fine\r\nContent-Length: 0\r\n\r\n" % status)
    assert sent.reply.is_success


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_a_failure_and_is_not_followed(status: int) -> None:
    async with receiver() as elsewhere, receiver(always=status) as hook:
        hook.answer_headers = {"Location": elsewhere.url}
        sent = await send(hook.url)
    assert (sent.reply.status, sent.reply.is_success) == (status, False)
    assert len(hook.got) == 1
    assert elsewhere.got == []


async def test_what_was_answered_is_kept_in_brief_without_card_numbers() -> None:
    body = "No\x00t\x1b[31m today:\n 4242 4242 4242 4242 " + "ä" * 3_000
    async with receiver(always=500, answer_body=body) as hook:
        sent = await send(hook.url)
    assert sent.excerpt is not None
    assert sent.excerpt.startswith("No·t·[31m today: [redacted] ää")
    assert len(sent.excerpt) == EXCERPT_CHARS
    async with receiver(answer_body=body) as hook:
        assert (await send(hook.url)).excerpt is None


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10_000):
            writer.write(b"10000\r\n" + bytes(65_536) + b"\r\n")
            await writer.drain()

    began = time.monotonic()
    async with server(endless) as url:
        assert (await send(url)).reply == Reply(200)
    assert time.monotonic() - began < 4


async def test_a_packed_answer_is_unpacked_by_nobody() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    head = b"HTTP/1.1 500 No\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    sent = await answered(head + bomb)
    assert sent.reply.status == 500


async def test_an_endpoint_that_says_nothing_is_given_up_in_time() -> None:
    async with receiver(silent=True) as hook:
        sent = await send(hook.url, seconds=1)
    assert sent.reply == Reply(None, "timeout")
    assert 900 < sent.duration_ms < 3_000


async def test_one_that_answers_drop_by_drop_is_given_up_in_time() -> None:
    async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)

    async with server(dripping) as url:
        assert (await send(url, seconds=1)).reply == Reply(None, "timeout")


async def test_nobody_there_is_a_failure_with_a_short_word() -> None:
    sent = await send(f"http://127.0.0.1:{free_port()}/")
    assert sent.reply == Reply(None, "connect_failed")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120), ("0", 0), ("", None), ("-5", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)
async def test_the_time_an_endpoint_asks_for_is_read(header: str, seconds: int | None) -> None:
    async with receiver(always=503) as hook:
        hook.answer_headers = {"Retry-After": header}
        assert (await send(hook.url)).reply == Reply(503, None, seconds)


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path) -> None:
    context = self_signed(tmp_path)
    heard_of = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard_of.append(await reader.read(1))
        writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        sent = await send(f"https://localhost:{port}/")
    assert sent.reply == Reply(None, "tls_failed")
    assert [byte for byte in heard_of if byte] == []


def self_signed(folder: Any) -> ssl.SSLContext:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2099, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


# ── who is not called ─────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def unvisited() -> AsyncIterator[int]:
    """A port on loopback on which nobody may knock."""
    knocks = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        knocks.append(1)

    talk: Talk = note
    async with server(talk) as url:
        yield int(url.rpartition(":")[2])
    assert not knocks


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1%25lo]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "%31%32%37.0.0.1",
    ],
)
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_nothing_inside_a_network_is_called(host: str, scheme: str) -> None:
    async with unvisited() as port:
        sent = await send(f"{scheme}://{host}:{port}/", private=False, seconds=2)
    assert sent.reply.status is None
    # Some are nobody's name, on this machine or on all.
    assert sent.reply.failure in {"address_not_allowed", "connect_failed"}


@pytest.mark.parametrize("host", ["shop..example.com", "xn--", f"{'a' * 64}.example.com"])
async def test_a_name_that_nobody_can_bear_is_a_failure_like_any(host: str) -> None:
    sent = await send(f"https://{host}/", private=False)
    assert sent == Sent(Reply(None, "address_not_allowed"), 0, None)


class Says(AbstractResolver):
    """A name server that says one thing after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
        addresses = self.answers.pop(0)
        return [
            {"hostname": host, "host": a, "port": port, "family": 2, "proto": 6, "flags": 0}
            for a in addresses
        ]

    async def close(self) -> None:
        pass


def checking(*answers: list[str]) -> CheckingResolver:
    resolver = CheckingResolver()
    resolver._resolver = Says(*answers)
    return resolver


async def call(port: int, resolver: AbstractResolver) -> Any:
    client = HttpClient(
        f"https://rebinding.example.com:{port}",
        headers={},
        connect_timeout_seconds=1,
        total_timeout_seconds=1,
        resolver=resolver,
        sockets=public_socket,
    )
    try:
        return await client.send("POST", "/", content=b"{}")
    finally:
        await client.aclose()


async def test_a_name_with_one_bad_address_among_good_ones_is_not_called() -> None:
    async with unvisited() as port:
        found = await call(port, checking(["93.184.216.34", "127.0.0.1"]))
    assert found == NotSent("address_not_allowed")


async def test_a_name_that_says_something_else_the_second_time_is_asked_once() -> None:
    """The address that was checked is the one that is called: there is no second question."""
    resolver = checking(["93.184.216.34"], ["127.0.0.1"])
    async with unvisited() as port:
        found = await call(port, resolver)
    assert isinstance(found, NotSent)
    assert resolver._resolver.answers == [["127.0.0.1"]]


async def test_the_socket_itself_looks_again_at_where_it_goes() -> None:
    """Even past a resolver that checks nothing."""
    async with unvisited() as port:
        found = await call(port, Says(["127.0.0.1"]))
    assert found == NotSent("address_not_allowed")
