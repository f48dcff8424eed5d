"""A gateway to collect from: it speaks the simulator's words about charges, slowly and cheaply.

`python -m bench.gateway LATENCY_MS` says where it listens, takes every charge after that time, and
when its standard input ends it says how many it took and under how many references: as many, if
nobody was charged twice. It costs a tenth of what the simulator does, so that what is measured is
the other side.
"""

import asyncio
import json
import sys
import time

CHARGE = b"POST /v1/charges "
BREAK = b"\r\n\r\n"
HEAD = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: "


class Books:
    """What was charged, and under which names."""

    def __init__(self) -> None:
        self.charges = 0
        self.references: set[str] = set()
        self.now = 0
        self.most = 0

    def take(self, body: bytes) -> bytes:
        """Charge what `body` asks for; the answer's body."""
        asked = json.loads(body)
        self.charges += 1
        self.references.add(asked["reference"])
        given = {
            "object": "charge",
            "id": f"ch_{self.charges:026d}",
            "status": "succeeded",
            "fee": asked["amount"] // 100,
            "network_transaction_id": f"nti{self.charges:012d}",
            "created_at": int(time.time() * 1000),
        }
        same = ("reference", "amount", "currency", "payment_method", "customer", "invoice_number")
        answer = given | {name: asked[name] for name in same}
        answer |= {"amount_authorized": None, "amount_refunded": 0, "decline_code": None}
        return json.dumps(answer | {"action_url": None, "client_secret": None}).encode()


class Caller(asyncio.Protocol):
    """One connection; its requests come one after the other."""

    def __init__(self, books: Books, latency_seconds: float) -> None:
        self._books = books
        self._latency_seconds = latency_seconds
        self._read = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(BREAK)
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        assert head.startswith(CHARGE), "only charges are taken"
        self._read = b""
        books = self._books
        books.now += 1
        books.most = max(books.most, books.now)
        asyncio.get_running_loop().call_later(self._latency_seconds, self._answer, body)

    def _answer(self, body: bytes) -> None:
        self._books.now -= 1
        answer = self._books.take(body)
        assert self._transport is not None
        self._transport.write(HEAD + str(len(answer)).encode() + BREAK + answer)


async def main(latency_seconds: float) -> None:
    books = Books()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Caller(books, latency_seconds), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    told = {"charges": books.charges, "references": len(books.references), "most": books.most}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) / 1000))
