"""The simulator over HTTP: routes, the bearer secret, and faults on the way in and out."""

import asyncio
import hmac
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from app.clock import Clock, SystemClock
from app.simulator.bank import PLAIN, Bank, Execution, Twist
from app.simulator.faults import (
    BEFORE_EFFECT,
    Fault,
    Kind,
    Operation,
    Plan,
    Strike,
    Weather,
)
from app.simulator.ledger import Ledger
from app.simulator.requests import (
    KEY_LENGTH_MAX,
    ChargeBody,
    PaymentMethodBody,
    RefundBody,
    Refusal,
    validated,
)

DEFAULT_SECRET: Final = "sk_sim_test"  # noqa: S105  opens a toy ledger, and docs/simulator.md prints it
SECRET_VARIABLE: Final = "PERENNIAL_SIMULATOR_SECRET"  # noqa: S105  the name of a variable
SHUTDOWN_SECONDS: Final = 1
"""Hanging requests are the point of some faults; they are not waited for."""
KEEPALIVE_SECONDS: Final = 75
"""Longer than any client keeps idle connections, so that none meets one that is closing."""
HANG_SECONDS: Final = 120
PAGE_MAX: Final = 1_000
RETRY_AFTER_SECONDS: Final = 1

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


class CutResponse(Response):
    """Promises the whole body, sends half of it, and lets the server close the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak half the truth."""
        del scope, receive
        head = {"type": "http.response.start", "status": self.status_code}
        await send(head | {"headers": self.raw_headers})
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


def json(status: int, content: dict[str, Any]) -> Response:
    """A JSON answer."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def failure(status: int, code: str, message: str, param: str | None = None) -> Response:
    """An error answer; 429 says when to come back."""
    answer = json(status, {"error": {"code": code, "message": message, "param": param}})
    if status == 429:  # noqa: PLR2004  Too Many Requests
        answer.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer


async def hang(request: Request) -> Response:
    """Say nothing until the caller goes away, or has waited longer than any client does."""
    try:
        async with asyncio.timeout(HANG_SECONDS):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        pass
    return failure(504, "timeout", "Too late.")


async def spoil(request: Request, fault: Fault | None, response: Response) -> Response:
    """What the caller sees of `response` through a fault."""
    match fault.kind if fault else None:
        case Kind.TIMEOUT_BEFORE_EFFECT | Kind.TIMEOUT_AFTER_EFFECT:
            return await hang(request)
        case Kind.ERROR_500_BEFORE | Kind.ERROR_500_AFTER | Kind.LATE_EFFECT:
            return failure(500, "internal_error", "A fault was asked for.")
        case Kind.ERROR_429:
            return failure(429, "rate_limited", "A fault was asked for.")
        case Kind.CUT_BODY:
            return CutResponse(response.body, response.status_code, media_type=response.media_type)
        case Kind.LATENCY | Kind.DUPLICATE | Kind.DECLINE | None:
            return response


@dataclass(frozen=True, slots=True)
class Call:
    """One request that wants to move money."""

    key: str
    signed: bytes
    """Path and body: what a repetition must equal."""
    execute: Callable[[Twist], Execution]


class Simulator:
    """The gateway's front door: one ledger, one secret, one weather."""

    def __init__(self, ledger: Ledger, secret: str, clock: Clock) -> None:
        self._ledger = ledger
        self._bank = Bank(ledger, clock)
        self._authorization = f"Bearer {secret}".encode()
        self._weather = Weather()
        self._running: set[str] = set()
        self._late: set[asyncio.Task[None]] = set()

    def guarded(self, handler: Handler) -> Handler:
        """`handler` behind the secret, with refusals turned into answers."""

        async def guard(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, self._authorization):
                return failure(401, "unauthorized", "Send the secret as a bearer token.")
            try:
                return await handler(request)
            except Refusal as refusal:
                return failure(refusal.status, refusal.code, refusal.message, refusal.param)

        return guard

    async def create_charge(self, request: Request) -> Response:
        """POST /v1/charges."""
        raw = await request.body()
        body, key = validated(ChargeBody, raw), idempotency_key(request)
        strike = self._weather.strike(Operation.CHARGE, key, body.payment_method)
        fault = self._bank.behaviour(body.payment_method).fault
        if fault and strike.fault is None and not self._bank.is_answered(key):
            strike = Strike(fault=Fault(kind=Kind(fault)), delay_ms=strike.delay_ms)
        call = Call(key, b"charge\n" + raw, lambda twist: self._bank.charge(body, key, twist))
        return await self._perform(request, call, strike)

    async def create_refund(self, request: Request) -> Response:
        """POST /v1/refunds."""
        raw = await request.body()
        body, key = validated(RefundBody, raw), idempotency_key(request)
        strike = self._weather.strike(Operation.REFUND, key, None)
        call = Call(key, b"refund\n" + raw, lambda twist: self._bank.refund(body, key, twist))
        return await self._perform(request, call, strike)

    async def _perform(self, request: Request, call: Call, strike: Strike) -> Response:
        """Execute a call once, through whatever the weather brings."""
        if call.key in self._running:
            message = "A request with this Idempotency-Key is still running."
            return failure(409, "idempotency_key_in_use", message)
        fault, response = strike.fault, Response()
        self._running.add(call.key)
        try:
            if strike.delay_ms:
                await asyncio.sleep(strike.delay_ms / 1000)
            if fault is None or fault.kind not in BEFORE_EFFECT:
                response = await self._execute(call, fault)
        finally:
            self._running.discard(call.key)
        if fault is not None and fault.kind is Kind.LATE_EFFECT:
            self._running.add(call.key)
            task = asyncio.create_task(self._execute_later(call, fault))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        return await spoil(request, fault, response)

    async def _execute(self, call: Call, fault: Fault | None) -> Response:
        twist = PLAIN
        if fault is not None:
            copies = 2 if fault.kind is Kind.DUPLICATE else 1
            twist = Twist(decline_code=fault.decline_code, copies=copies)
        answer, replayed = self._bank.once(call.key, call.signed, lambda: call.execute(twist))
        await self._ledger.committed()
        response = Response(answer.body, answer.status, media_type="application/json")
        if replayed:
            response.headers["Idempotent-Replayed"] = "true"
        return response

    async def _execute_later(self, call: Call, fault: Fault) -> None:
        try:
            await asyncio.sleep(fault.delay_ms / 1000)
            with suppress(Refusal):
                await self._execute(call, None)
        finally:
            self._running.discard(call.key)

    async def stop(self) -> None:
        """Forget late effects and close the books."""
        for task in self._late:
            task.cancel()
        self._ledger.close()

    def get(self, kind: str) -> Handler:
        """GET /v1/charges/{id} and /v1/refunds/{id}."""

        async def handler(request: Request) -> Response:
            own_id = request.path_params["id"]
            rows = await self._look_up(kind, lambda: self._ledger.by_id(kind, own_id))
            if not rows:
                raise Refusal(404, "not_found", f"No such {kind}.")
            return await self._through_weather(request, own_id, json(200, rows[0]))

        return handler

    def find(self, kind: str) -> Handler:
        """GET /v1/charges?reference= and /v1/refunds?reference=."""

        async def handler(request: Request) -> Response:
            reference = request.query_params.get("reference")
            if reference is None:
                raise Refusal(400, "invalid_request", "Say which reference.", "reference")
            rows = await self._look_up(kind, lambda: self._ledger.by_reference(kind, reference))
            content = {"object": "list", "data": rows}
            return await self._through_weather(request, reference, json(200, content))

        return handler

    async def _look_up(
        self, kind: str, read: Callable[[], list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        self._ledger.settle_due(self._bank.now_ms())
        rows = self._bank.found(kind, read())
        await self._ledger.committed()
        return rows

    async def _through_weather(self, request: Request, key: str, response: Response) -> Response:
        strike = self._weather.strike(Operation.LOOKUP, key, None)
        if strike.delay_ms:
            await asyncio.sleep(strike.delay_ms / 1000)
        return await spoil(request, strike.fault, response)

    async def create_payment_method(self, request: Request) -> Response:
        """POST /v1/payment_methods."""
        body = validated(PaymentMethodBody, await request.body())
        shown = self._bank.vault(body)
        await self._ledger.committed()
        return json(201, shown)

    async def detach_payment_method(self, request: Request) -> Response:
        """DELETE /v1/payment_methods/{id}."""
        if not self._ledger.detach(request.path_params["id"]):
            raise Refusal(404, "not_found", "No such payment method.")
        await self._ledger.committed()
        return Response(status_code=204)

    async def ledger(self, request: Request) -> Response:
        """GET /v1/ledger: totals, duplicates and transactions; the oracle."""
        after, limit = number(request, "after", 0), number(request, "limit", 100)
        reference = request.query_params.get("reference")
        limit = max(1, min(limit, PAGE_MAX))
        self._ledger.settle_due(self._bank.now_ms())
        rows = self._ledger.page(after, limit + 1, reference)
        page, has_more = rows[:limit], len(rows) > limit
        content = {
            "object": "ledger",
            "totals": self._ledger.totals(reference),
            "duplicates": self._ledger.duplicates(reference),
            "transactions": {
                "object": "list",
                "data": page,
                "has_more": has_more,
                "next_cursor": str(page[-1]["seq"]) if has_more else None,
            },
        }
        await self._ledger.committed()
        return json(200, content)

    async def faults(self, request: Request) -> Response:
        """GET, PUT (replaces them all) and DELETE /v1/faults."""
        if request.method == "PUT":
            self._weather.set(validated(Plan, await request.body()))
        if request.method == "DELETE":
            self._weather.set(Plan())
        return json(200, self._weather.plan.model_dump(mode="json"))

    async def account(self, request: Request) -> Response:
        """GET /v1/account: whether the secret is right."""
        del request
        return json(200, {"object": "account", "mode": "test"})


def idempotency_key(request: Request) -> str:
    """The key that every request that moves money must carry."""
    key = request.headers.get("idempotency-key", "")
    if not 1 <= len(key) <= KEY_LENGTH_MAX:
        message = f"Send an Idempotency-Key of 1 to {KEY_LENGTH_MAX} characters."
        raise Refusal(400, "idempotency_key_required", message, "Idempotency-Key")
    return key


def number(request: Request, name: str, default: int) -> int:
    """A whole number from the query."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit()):
        raise Refusal(400, "invalid_request", "Not a whole number.", name)
    return int(text)


async def livez(request: Request) -> Response:
    """GET /livez: the process answers."""
    del request
    return json(200, {"status": "ok"})


def create_app(
    path: Path | None, *, secret: str = DEFAULT_SECRET, clock: Clock | None = None
) -> Starlette:
    """The simulator as an ASGI app; its ledger lives at `path`, or in memory without one."""
    simulator = Simulator(Ledger(path), secret, clock or SystemClock())

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        yield
        await simulator.stop()

    def route(path: str, handler: Handler, *methods: str) -> Route:
        return Route(path, simulator.guarded(handler), methods=methods)

    routes = [
        route("/v1/charges", simulator.create_charge, "POST"),
        route("/v1/charges", simulator.find("charge"), "GET"),
        route("/v1/charges/{id}", simulator.get("charge"), "GET"),
        route("/v1/refunds", simulator.create_refund, "POST"),
        route("/v1/refunds", simulator.find("refund"), "GET"),
        route("/v1/refunds/{id}", simulator.get("refund"), "GET"),
        route("/v1/payment_methods", simulator.create_payment_method, "POST"),
        route("/v1/payment_methods/{id}", simulator.detach_payment_method, "DELETE"),
        route("/v1/ledger", simulator.ledger, "GET"),
        route("/v1/faults", simulator.faults, "GET", "PUT", "DELETE"),
        route("/v1/account", simulator.account, "GET"),
        Route("/livez", livez),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def serve(path: Path | None, *, host: str, port: int) -> None:
    """Serve the simulator in this process until it is told to stop."""
    uvicorn.run(
        create_app(path, secret=os.environ.get(SECRET_VARIABLE, DEFAULT_SECRET)),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=KEEPALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
