"""The simulator over HTTP: what moves money or changes the vault, through whatever weather."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from app.clock import Clock
from app.simulator.bank import PLAIN, Bank, Execution, Repeating, Terms, Twist
from app.simulator.disputes import Disputes
from app.simulator.events import Events
from app.simulator.faults import BEFORE_EFFECT, Fault, Kind, Operation, Plan, Strike, Weather
from app.simulator.ledger import Ledger
from app.simulator.requests import (
    KEY_LENGTH_MAX,
    CaptureBody,
    ChargeBody,
    CustomerBody,
    OrderBody,
    RefundBody,
    Refusal,
    SetupBody,
    VoidBody,
    validated,
)
from app.simulator.vault import Vault
from app.simulator.weather import failure, json, spoil

REPEATING_HEADER: Final = "simulator-repeating"
"""What kind of gateway the caller wants to speak to: a word of `Repeating`."""

LEAD_TIME_HEADER: Final = "simulator-lead-time"
"""For how many seconds charges are announced before they are made."""
LEAD_TIME_DIGITS_MAX: Final = 6

Handler: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request that wants to change something."""

    key: str
    signed: bytes
    """Path and body: what a repetition must equal."""
    execute: Callable[[Twist], Execution]
    is_keyed: bool = True
    """False: a repetition is done again."""


class Simulator:
    """One ledger, one secret, one weather."""

    def __init__(self, ledger: Ledger, secret: str, clock: Clock, url: str) -> None:
        self.ledger = ledger
        self.events = Events(ledger, self._now_ms)
        self.vault = Vault(ledger, self.events, self._now_ms)
        self.bank = Bank(ledger, self.vault, self.events, clock, url)
        self.disputes = Disputes(ledger, self.events, self._now_ms)
        self.weather = Weather()
        self._authorization = f"Bearer {secret}".encode()
        self._running: set[str] = set()
        self._late: set[asyncio.Task[None]] = set()
        self._delivering: asyncio.Task[None] | None = None

    def _now_ms(self) -> int:
        return self.bank.now_ms()

    def guarded(self, handler: Handler) -> Handler:
        """`handler` behind the secret, with refusals turned into answers."""

        async def guard(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, self._authorization):
                return failure(401, "unauthorized", "Send the secret as a bearer token.")
            return await refusing(handler)(request)

        return guard

    def start(self) -> None:
        """Begin to deliver events."""
        self._delivering = asyncio.create_task(self.events.deliver(self.bank.settle_due))

    async def stop(self) -> None:
        """Forget late effects and close the books."""
        for task in (*self._late, *([self._delivering] if self._delivering else [])):
            task.cancel()
        self.ledger.close()

    async def create_charge(self, request: Request) -> Response:
        """POST /v1/charges."""
        raw = await request.body()
        body, key = validated(ChargeBody, raw), idempotency_key(request)
        terms = terms_of(request)
        strike = self.weather.strike(Operation.CHARGE, key, body.payment_method)
        fault = self.vault.behaviour(body.payment_method).fault
        if fault and strike.fault is None and not self.bank.is_answered(key):
            strike = Strike(fault=Fault(kind=Kind(fault)), delay_ms=strike.delay_ms)
        call = Call(
            key,
            b"charge\n" + raw,
            lambda twist: self.bank.charge(body, key, twist, terms),
            is_keyed=terms.repeating is Repeating.NATIVE_KEY,
        )
        return await self._perform(request, call, strike)

    async def create_order(self, request: Request) -> Response:
        """POST /v1/orders."""
        body = validated(OrderBody, await request.body())
        call = Call(body.receipt, b"", lambda _: self.bank.order(body), is_keyed=False)
        strike = self.weather.strike(Operation.ORDER, body.receipt, None)
        return await self._perform(request, call, strike)

    async def create_refund(self, request: Request) -> Response:
        """POST /v1/refunds."""
        raw = await request.body()
        body, key = validated(RefundBody, raw), idempotency_key(request)
        return await self._act(
            request, Operation.REFUND, raw, lambda twist: self.bank.refund(body, key, twist)
        )

    async def capture(self, request: Request) -> Response:
        """POST /v1/charges/{id}/capture."""
        raw, charge = await request.body(), request.path_params["id"]
        body = validated(CaptureBody, raw)
        return await self._act(
            request, Operation.CAPTURE, raw, lambda _: self.bank.capture(charge, body)
        )

    async def void(self, request: Request) -> Response:
        """POST /v1/charges/{id}/void."""
        raw, charge = await request.body(), request.path_params["id"]
        validated(VoidBody, raw)
        return await self._act(request, Operation.VOID, raw, lambda _: self.bank.void(charge))

    async def create_customer(self, request: Request) -> Response:
        """POST /v1/customers."""
        raw = await request.body()
        body = validated(CustomerBody, raw)
        return await self._act(
            request, Operation.CUSTOMER, raw, lambda _: self.vault.create_customer(body)
        )

    async def start_setup(self, request: Request) -> Response:
        """POST /v1/setups."""
        raw = await request.body()
        body = validated(SetupBody, raw)
        return await self._act(
            request, Operation.SETUP, raw, lambda _: self.vault.start_setup(body)
        )

    async def detach_payment_method(self, request: Request) -> Response:
        """DELETE /v1/payment_methods/{id}."""
        token = request.path_params["id"]
        call = Call(token, b"", lambda _: self.vault.detach(token), is_keyed=False)
        strike = self.weather.strike(Operation.DETACH, token, None)
        return await self._perform(request, call, strike)

    async def _act(
        self,
        request: Request,
        operation: Operation,
        raw: bytes,
        execute: Callable[[Twist], Execution],
    ) -> Response:
        """Do what a request asks for; its path and body are what a repetition must equal."""
        key = idempotency_key(request)
        is_keyed = repeating_of(request) in {Repeating.NATIVE_KEY, Repeating.PER_ORDER}
        call = Call(key, f"{request.url.path}\n".encode() + raw, execute, is_keyed)
        return await self._perform(request, call, self.weather.strike(operation, key, None))

    async def _perform(self, request: Request, call: Call, strike: Strike) -> Response:
        """Execute a call once, through whatever the weather brings."""
        if call.is_keyed and call.key in self._running:
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
        if not call.is_keyed:
            status, body = call.execute(twist)
            await self.ledger.committed()
            return Response(body, status, media_type="application/json")
        answer, replayed = self.bank.once(call.key, call.signed, lambda: call.execute(twist))
        await self.ledger.committed()
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

    async def seen(
        self, request: Request, key: str, look: Callable[[], dict[str, Any]]
    ) -> Response:
        """What a look-up finds, once it is on disk, through the weather."""
        strike = self.weather.strike(Operation.LOOKUP, key, None)
        if strike.delay_ms:
            await asyncio.sleep(strike.delay_ms / 1000)
        self.bank.settle_due()
        try:
            response = json(200, look())
        except Refusal as refusal:
            response = refusal_of(refusal)
        await self.ledger.committed()
        return await spoil(request, strike.fault, response)

    async def faults(self, request: Request) -> Response:
        """GET, PUT (replaces them all) and DELETE /v1/faults; with the effects still to come."""
        if request.method == "PUT":
            self.weather.set(validated(Plan, await request.body()))
        if request.method == "DELETE":
            self.weather.set(Plan())
        plan = self.weather.plan.model_dump(mode="json")
        return json(200, plan | {"late_effects": len(self._late)})


def refusing(handler: Handler) -> Handler:
    """`handler`, with refusals turned into answers."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Refusal as refusal:
            return refusal_of(refusal)

    return answer


def refusal_of(refusal: Refusal) -> Response:
    """A refusal as an answer."""
    return failure(refusal.status, refusal.code, refusal.message, refusal.param)


def idempotency_key(request: Request) -> str:
    """The key that every request that changes something must carry."""
    key = request.headers.get("idempotency-key", "")
    if not 1 <= len(key) <= KEY_LENGTH_MAX:
        message = f"Send an Idempotency-Key of 1 to {KEY_LENGTH_MAX} characters."
        raise Refusal(400, "idempotency_key_required", message, "Idempotency-Key")
    return key


def terms_of(request: Request) -> Terms:
    """What kind of gateway the caller wants this to be."""
    seconds = request.headers.get(LEAD_TIME_HEADER, "0")
    if not (seconds.isascii() and seconds.isdigit()) or len(seconds) > LEAD_TIME_DIGITS_MAX:
        raise Refusal(400, "invalid_request", "Not a number of seconds.", LEAD_TIME_HEADER)
    return Terms(repeating_of(request), int(seconds) * 1000)


def repeating_of(request: Request) -> Repeating:
    """What the caller wants to become of a request that comes again."""
    word = request.headers.get(REPEATING_HEADER, Repeating.NATIVE_KEY)
    try:
        return Repeating(word)
    except ValueError:
        raise Refusal(400, "invalid_request", "No such kind.", REPEATING_HEADER) from None
