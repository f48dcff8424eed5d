"""localstripe, an imitation of Stripe that others wrote (GPL-3.0): only ever a process of its own.

It knows less than Stripe, so a thin proxy stands before it, which only leaves out what localstripe
refuses although Stripe allows it (`REFUSED`), adds what its objects lack although Stripe's have it
(`_completed`), and gives its words for an error their type. Our adapter knows nothing of all this.
localstripe has no idempotency, and no disputes, events list or search.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import orjson

from app.testing.harness import Canned, Sent
from app.testing.line import read_answer, read_request, spelled
from tests.gateways.sockets import server
from tests.simulator import START_SECONDS, free_port, stop

STATE = Path("/tmp/localstripe.pickle")
"""Where it keeps everything, whoever starts it; it is started without that, and it is removed."""
REFUSED = {
    ("POST", "payment_intents"): ("description", "automatic_payment_methods"),
    ("POST", "cancel"): ("cancellation_reason",),
    ("POST", "refunds"): ("reason",),
    ("POST", "setup_intents"): ("automatic_payment_methods", "description"),
    ("GET", "payment_intents"): ("customer", "created"),
    ("GET", "charges"): ("created",),
    ("GET", "refunds"): ("created",),
    ("GET", "customers"): ("email",),
}
"""By the last word of the path: valid parameters that it refuses."""
UNKNOWN_THERE = frozenset({"mandate", "latest_attempt"})
"""What its set-ups have not, and so cannot expand."""
ROUNDS_MAX = 10_000


def adapted(sent: Sent) -> Sent:
    """The request without what localstripe refuses."""
    at = urlsplit(sent.path)
    words = [word for word in at.path.split("/") if "_" not in word or word in NAMES]
    refused = REFUSED.get((sent.method, words[-1]), ())

    def kept(text: str) -> str:
        pairs = parse_qsl(text, keep_blank_values=True)
        named = [(k.partition("[")[0], k, v) for k, v in pairs]
        return urlencode(
            [
                (k, v)
                for name, k, v in named
                if name not in refused and not (name == "expand" and v in UNKNOWN_THERE)
            ]
        )

    body = kept(sent.body.decode()).encode()
    headers = {**sent.headers, "content-length": str(len(body))}
    return replace(sent, path=f"{at.path}?{kept(at.query)}", body=body, headers=headers)


NAMES = frozenset({"payment_intents", "payment_methods", "setup_intents"})


def completed(answer: Canned) -> Canned:
    """The answer with what localstripe leaves out."""
    said = orjson.loads(answer.body)
    if "error" in said:
        card = answer.status == 402
        said["error"]["type"] = "card_error" if card else said["error"]["type"]
        missing = answer.status == 404
        said["error"]["code"] = said["error"].get("code") or ("resource_missing" if missing else "")
    _completed(said)
    return replace(answer, body=orjson.dumps(said))


def _completed(said: Any) -> None:
    if isinstance(said, list):
        for one in said:
            _completed(one)
    if not isinstance(said, dict):
        return
    for inner in said.values():
        _completed(inner)
    if said.get("object") == "payment_intent":
        charge = said.get("latest_charge") or {}
        taken = charge.get("amount_captured", 0) if charge.get("captured") else 0
        held = said["amount"] if said["status"] == "requires_capture" else 0
        said |= {"amount_received": taken, "amount_capturable": held}
        if said.get("last_payment_error"):
            said["last_payment_error"]["type"] = "card_error"
    if said.get("object") == "charge":
        taken = said["amount"] - said["amount_refunded"] if said["captured"] else 0
        said.setdefault("amount_captured", taken)


class LocalStripe:
    """A running one, and the proxy's address."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=30)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass requests on, one by one."""
        for _ in range(ROUNDS_MAX):
            sent = await read_request(reader)
            if sent is None:
                return
            head, body = spelled(completed(await self._passed_on(adapted(sent))))
            writer.write(head + body)
            await writer.drain()

    async def _passed_on(self, sent: Sent) -> Canned:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        lines = [f"{sent.method} {sent.path} HTTP/1.1"]
        headers = {**sent.headers, "connection": "close"}
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + sent.body)
        await writer.drain()
        answer = await read_answer(reader)
        writer.close()
        return answer

    def ask(self, method: str, path: str, **data: Any) -> Any:
        """What Stripe's script does in the shop's page, past the proxy."""
        auth = {"Authorization": "Bearer sk_test_localstripe"}
        answer = self.client.request(method, path, json=data, headers=auth)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None


@contextmanager
def start_localstripe(log: Path) -> Iterator[LocalStripe]:
    """One of your own, from scratch, stopped at the end."""
    port = free_port()
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [Path(sys.executable).parent / "localstripe", "--port", str(port), "--from-scratch"],
            stdout=errors,
            stderr=errors,
        )
    running = LocalStripe(port)
    try:
        _wait(running, process, log)
        yield running
    finally:
        running.client.close()
        stop(process)
        STATE.unlink(missing_ok=True)


def _wait(running: LocalStripe, process: subprocess.Popen[bytes], log: Path) -> None:
    transport = httpx.HTTPTransport(retries=START_SECONDS)
    with httpx.Client(transport=transport, trust_env=False, timeout=1) as client:
        for _ in range(START_SECONDS * 10):
            assert process.poll() is None, log.read_text()[-2000:]
            try:
                client.get(f"{running.url}/js.stripe.com/v3/").raise_for_status()
            except httpx.HTTPError:
                continue
            return
    raise AssertionError(log.read_text()[-2000:])


@asynccontextmanager
async def proxied(running: LocalStripe) -> AsyncIterator[str]:
    """The proxy's address, for as long as the block lasts."""
    async with server(running.talk) as url:
        yield url
