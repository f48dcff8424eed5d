"""The fake over HTTP: every request is judged by the oracle before it is looked at.

`/v1` is Razorpay's API; `/fake` is ours: what moved, faults, time, the customer's part in Checkout,
tokens, disputes, events. A request that the oracle objects to is refused and remembered.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import re
from email.utils import formatdate
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.gateways.fakes.razorpay import bank
from tests.gateways.fakes.razorpay.books import Books, Refused, public_order, public_token
from tests.gateways.oracles.razorpay import objections

KEY_ID, SECRET = "rzp_test_FakeKey000001", "fake_key_secret"
HANG_SECONDS = 120
OPERATIONS = (
    ("POST", r"/v1/payments/create/recurring", "charge"),
    ("POST", r"/v1/payments/[^/]+/refund", "refund"),
    ("POST", r"/v1/payments/[^/]+/capture", "capture"),
    ("POST", r"/v1/orders", "order"),
    ("POST", r"/v1/customers", "customer"),
    ("(DELETE|PUT)", r"/v1/customers/.*", "detach"),
    ("GET", r"/v1/.*", "lookup"),
)
USUAL = ("charge", "refund")


def operation(method: str, path: str) -> str:
    return next(
        name
        for verb, pattern, name in OPERATIONS
        if re.fullmatch(verb, method) and re.fullmatch(pattern, path)
    )


class Fake:
    """The application and all of its state."""

    def __init__(self) -> None:
        self.books = Books()
        self.faults: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self.calls: list[str] = []
        self.webhook: dict[str, str] = {"secret": "fake_webhook_secret"}
        self.told = 0
        self.busy: set[str] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.app = Starlette(
            routes=[
                Route("/livez", self.live),
                Route("/fake/{what}", self.control, methods=["GET", "POST", "DELETE"]),
                Route("/{path:path}", self.api, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
            ]
        )

    async def live(self, _: Request) -> Response:
        return JSONResponse({"status": "ok"})

    # ── Razorpay's own API ────────────────────────────────────────────────────────────────────────

    async def api(self, request: Request) -> Response:
        body = await request.body()
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        wrong = objections(request.method, target, dict(request.headers), body)
        if wrong:
            self.violations += [f"{request.method} {target}: {one}" for one in wrong]
            return self.answer(Refused(f"{wrong[0]}").body, 400)
        self.calls.append(f"{request.method} {request.url.path}")
        given = base64.b64decode(request.headers["authorization"].partition(" ")[2]).decode()
        if given != f"{KEY_ID}:{SECRET}":
            refused = Refused("Authentication failed", reason="NA", status=401)
            return self.answer(refused.body, 401)
        self.books.catch_up()
        return await self.stormy(request, json.loads(body) if body else {})

    async def stormy(self, request: Request, body: dict[str, Any]) -> Response:
        """The answer, or what a fault makes of it."""
        fault = self.strike(operation(request.method, request.url.path))
        kind = None if fault is None else fault["kind"]
        if fault is not None and kind == "latency":
            await asyncio.sleep(fault.get("delay_ms", 0) / 1000)
        turned_away = self.turned_away(fault or {})
        if turned_away is not None:
            return turned_away
        match kind:
            case "timeout_before_effect":
                await asyncio.sleep(HANG_SECONDS)
            case "late_effect":
                assert fault is not None
                loop = asyncio.get_running_loop()
                loop.call_later(fault.get("delay_ms", 0) / 1000, self.effect, request, body)
                return self.broken(502)
        response = await self.once_at_a_time(request, body)
        match kind:
            case "duplicate":
                self.double(json.loads(response.body))
            case "timeout_after_effect":
                await asyncio.sleep(HANG_SECONDS)
            case "error_500_after":
                return self.broken(500)
            case "refused_after":
                said = {"code": "BAD_REQUEST_ERROR", "description": fault["description"]}
                return self.answer({"error": said | fault.get("more", {})}, fault["status"])
            case "cut_body":
                headers = {"content-length": str(len(response.body)), "date": self.date()}
                half = bytes(response.body)[: len(response.body) // 2]
                return Response(half, 200, headers=headers, media_type="application/json")
        return response

    def turned_away(self, fault: dict[str, Any]) -> Response | None:
        """What is answered without any effect."""
        match fault.get("kind"):
            case "error_500_before":
                return self.broken(502)
            case "error_429":
                return self.answer({"error": {"code": "BAD_REQUEST_ERROR"}}, 429)
            case "refused":
                said = {"code": "BAD_REQUEST_ERROR", "description": fault["description"]}
                return self.answer({"error": said | fault.get("more", {})}, fault["status"])
        return None

    async def once_at_a_time(self, request: Request, body: dict[str, Any]) -> JSONResponse:
        """A refund whose key is still at work is answered 409; the first takes its time."""
        key = request.headers.get("x-refund-idempotency")
        if key is None or key in self.books.keys:
            return self.effect(request, body)
        if key in self.busy:
            said = "Please wait: your earlier request has not come to an end."
            return self.answer(Refused(said, reason="NA").body, 409)
        self.busy.add(key)
        try:
            await asyncio.sleep(0.005)
            return self.effect(request, body)
        finally:
            self.busy.discard(key)

    def effect(self, request: Request, body: dict[str, Any]) -> JSONResponse:
        """What the request does, with no fault in the way."""
        books = self.books
        books.catch_up()
        parts = request.url.path.strip("/").split("/")[1:]
        query = dict(request.query_params)
        try:
            said = self.route(request, parts, query, body)
        except Refused as refused:
            return self.answer(refused.body, refused.status)
        books.catch_up()
        self.push()
        return self.answer(said, 200)

    def route(
        self, request: Request, parts: list[str], query: dict[str, str], body: dict[str, Any]
    ) -> Any:
        books = self.books
        match [request.method, *parts]:
            case ["POST", "customers"]:
                return books.customer(body)
            case ["GET", "customers", id]:
                return books.found("customers", id)
            case ["GET", "customers", owner, "tokens", id]:
                return public_token(books.held(owner, id))
            case ["DELETE", "customers", owner, "tokens", id]:
                books.held(owner, id)["deleted"] = True
                return {"deleted": True}
            case ["PUT", "customers", owner, "tokens", id, "cancel"]:
                books.held(owner, id)
                books.stand(id, "cancelled")
                return {"status": "cancellation_initiated"}
            case ["POST", "orders"]:
                return public_order(books.order(body))
            case ["GET", "orders"]:
                until = books.now() - books.unlisted_seconds
                orders = [
                    public_order(o) for o in books.orders.values() if o["created_at"] <= until
                ]
                wanted = query.pop("receipt", None)
                return listed([o for o in orders if wanted in (None, o["receipt"])], query)
            case ["GET", "orders", id]:
                return public_order(books.found("orders", id))
            case ["GET", "orders", id, "payments"]:
                books.found("orders", id)
                return collection([p for p in books.payments.values() if p["order_id"] == id])
            case _:
                return self.money(request, parts, query, body)

    def money(
        self, request: Request, parts: list[str], query: dict[str, str], body: dict[str, Any]
    ) -> Any:
        books = self.books
        match [request.method, *parts]:
            case ["POST", "payments", "create", "recurring"]:
                return bank.recurring(books, body, SECRET)
            case ["POST", "payments", id, "capture"]:
                return bank.capture(books, id, body)
            case ["POST", "payments", id, "refund"]:
                key = request.headers.get("x-refund-idempotency")
                return bank.refund(books, id, body, key)
            case ["GET", "payments", id, "refunds"]:
                books.found("payments", id)
                return listed([r for r in books.refunds.values() if r["payment_id"] == id], query)
            case ["GET", ("payments" | "refunds" | "disputes") as kind]:
                return listed(list(getattr(books, kind).values()), query)
            case ["GET", ("payments" | "refunds" | "disputes") as kind, id]:
                return books.found(kind, id)
        raise Refused("The requested URL was not found on the server.")

    def answer(self, said: Any, status: int) -> JSONResponse:
        headers = {"date": self.date()}
        if status == 429:
            headers["retry-after"] = "1"
        return JSONResponse(said, status, headers=headers)

    def broken(self, status: int) -> Response:
        body = {"error": {"code": "SERVER_ERROR", "description": "We are facing some trouble."}}
        return self.answer(body, status)

    def date(self) -> str:
        return formatdate(self.books.now(), usegmt=True)

    def strike(self, wanted: str) -> dict[str, Any] | None:
        for fault in self.faults:
            if wanted not in fault.get("operations", USUAL) or fault.get("count") == 0:
                continue
            if fault.get("count") is not None:
                fault["count"] -= 1
            return fault
        return None

    def double(self, said: dict[str, Any]) -> None:
        """A broken gateway: the payment that was just made, once more."""
        first = self.books.payments.get(said.get("razorpay_payment_id", ""))
        if first is None:
            return
        second = {**first, "id": self.books.id("pay"), "status": "authorized"}
        self.books.payments[second["id"]] = second
        self.books.capture(second)

    # ── ours ──────────────────────────────────────────────────────────────────────────────────────

    async def control(self, request: Request) -> Response:
        raw = await request.body()
        body: dict[str, Any] = json.loads(raw) if raw else {}
        books = self.books
        books.catch_up()
        what = request.path_params["what"]
        said = self.shown(what) if request.method == "GET" else self.done(what, body)
        self.push()
        return JSONResponse(said)

    def shown(self, what: str) -> Any:
        books = self.books
        match what:
            case "moved" | "orders" | "payments":
                held = getattr(books, what)
                return list(held.values()) if isinstance(held, dict) else held
            case "violations" | "calls":
                return getattr(self, what)
            case "events":
                return [self.delivery(event, n) for n, event in enumerate(books.events)]
            case "time":
                return books.now()
        raise KeyError(what)

    def done(self, what: str, body: dict[str, Any]) -> Any:
        books = self.books
        match what:
            case "faults":
                self.faults = body["faults"]
            case "settings":
                books.settle_seconds = body.get("settle_seconds", books.settle_seconds)
                books.tells_customers = body.get("tells_customers", books.tells_customers)
                books.unlisted_seconds = body.get("unlisted_seconds", books.unlisted_seconds)
                self.webhook |= body.get("webhook", {})
            case "advance":
                books.advance(body["seconds"])
            case "settle":
                bank.settle(books)
            case "forget" | "forget_keys":
                self.forget(what)
            case "token":
                return public_token(books.token(**body))
            case "standing":
                books.stand(**body)
            case "checkout":
                return bank.checkout(books, body, SECRET)
            case "dispute":
                return bank.dispute(books, body)
            case _:
                raise KeyError(what)
        return {}

    def forget(self, what: str) -> None:
        if what == "forget_keys":
            self.books.keys.clear()
            return
        self.books.events.clear()
        self.calls.clear()
        self.told = 0

    def delivery(self, event: dict[str, Any], number: int) -> dict[str, Any]:
        """An event as it travels: the body ends with a newline, and that is signed too."""
        body = json.dumps(event, indent=2) + "\n"
        signature = hmac.new(self.webhook["secret"].encode(), body.encode(), hashlib.sha256)
        headers = {
            "content-type": "application/json",
            "x-razorpay-event-id": f"evt_Fake{number:010}",
            "x-razorpay-signature": signature.hexdigest(),
        }
        return {"headers": headers, "body": body}

    def push(self) -> None:
        """Deliver what has happened since, if anybody wants it."""
        url = self.webhook.get("url")
        if url is None:
            return
        fresh = range(self.told, len(self.books.events))
        self.told = len(self.books.events)
        for number in fresh:
            delivery = self.delivery(self.books.events[number], number)
            task = asyncio.create_task(self.deliver(url, delivery))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def deliver(self, url: str, delivery: dict[str, Any]) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            await client.post(url, content=delivery["body"], headers=delivery["headers"])


def collection(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"entity": "collection", "count": len(items), "items": items}


def listed(items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
    """A page of a list, the newest first."""
    since, until = int(query.get("from", 0)), int(query.get("to", 10**11))
    found = [one for one in reversed(items) if since <= one["created_at"] <= until]
    skip, count = int(query.get("skip", 0)), int(query.get("count", 10))
    return collection(found[skip : skip + count])


app = Fake().app
