"""How fast an account may be called: so many calls at once, so many requests a second, and not at
all for as long as the gateway asked to be left alone.

All calls of a process to one account go through one `Paced`. A call that would have to wait too
long is not made, and says so in the value of its verb: nothing was executed, nothing was learned.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final, TypeVar

from app.domain.dispute import DisputeLookup, DisputeReport
from app.domain.outcome import (
    Inconclusive,
    NotExecuted,
    Outcome,
    PaymentLookup,
    RefundLookup,
    RefundOutcome,
    VoidOutcome,
)
from app.domain.vault import CustomerOutcome, DetachOutcome, MethodLookup, SetupOutcome
from app.gateways.base import CredentialCheck, Gateway, ListingFailed
from app.gateways.capabilities import Capabilities
from app.gateways.reports import GatewayEvent, GatewayTransaction, WebhookDelivery
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    CustomerRequest,
    MethodReference,
    PaymentQuery,
    RefundQuery,
    RefundRequest,
    SetupCompletion,
    SetupRequest,
    TimeWindow,
    VoidRequest,
)
from app.http import PACE

WAIT_SECONDS_MAX: Final = 15
"""A call that could not begin by then is not made; whoever looks it up later may rely on that."""
BUSY: Final = "account_busy"
LIMITED: Final = "rate_limited"
HOLD_SECONDS_MAX: Final = 3_600
"""A gateway that asks for more than an hour is asked again after one."""

LISTED_MAX: Final = 10_000_000
"""More than any account has in a window; a list that goes on is broken."""

Answered = TypeVar("Answered")


class Pace:
    """One account's turns: `admitted` before each request, `hold` when it was turned away."""

    def __init__(self, capabilities: Capabilities) -> None:
        self._places = asyncio.Semaphore(capabilities.in_flight_max)
        per_second = capabilities.requests_per_second
        self._interval_seconds = 1 / per_second if per_second else 0.0
        self._next_at = 0.0
        self._held_until = 0.0

    async def admitted(self) -> bool:
        """Wait for one's turn; False when that is too far away."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next_at, self._held_until)
        if turn - now > WAIT_SECONDS_MAX:
            return False
        if self._interval_seconds:
            self._next_at = turn + self._interval_seconds
        if turn > now:
            await asyncio.sleep(turn - now)
        return self.held_seconds() == 0

    def hold(self, seconds: int) -> None:
        """The gateway wants no request for so long."""
        now = asyncio.get_running_loop().time()
        self._held_until = max(self._held_until, now + min(seconds, HOLD_SECONDS_MAX))

    def held_seconds(self) -> int:
        """For how much longer the gateway wants no request."""
        left = self._held_until - asyncio.get_running_loop().time()
        return max(0, -int(-left // 1))

    @asynccontextmanager
    async def place(self) -> AsyncIterator[bool]:
        """One of the places in flight, and our requests in it are paced; False: there is none."""
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                await self._places.acquire()
        except TimeoutError:
            yield False
            return
        token = PACE.set(self)
        try:
            yield True
        finally:
            PACE.reset(token)
            self._places.release()


class Paced:
    """A gateway's account, called no faster than it may be."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._pace = Pace(gateway.capabilities)

    @property
    def name(self) -> str:
        """The gateway's own."""
        return self._gateway.name

    @property
    def capabilities(self) -> Capabilities:
        """The account's own."""
        return self._gateway.capabilities

    async def _act(self, call: Callable[[], Awaitable[Answered]]) -> Answered | NotExecuted:
        async with self._pace.place() as is_free:
            if not is_free:
                return NotExecuted(BUSY, retry_after_seconds=1)
            outcome = await call()
        if isinstance(outcome, NotExecuted) and outcome.cause == LIMITED:
            wait = outcome.retry_after_seconds
            if wait is not None:
                self._pace.hold(wait)  # for adapters whose answers we do not see
            return replace(outcome, retry_after_seconds=max(wait or 0, self._pace.held_seconds()))
        return outcome

    async def _look(self, call: Callable[[], Awaitable[Answered]]) -> Answered | Inconclusive:
        async with self._pace.place() as is_free:
            return await call() if is_free else Inconclusive(BUSY)

    async def _list(self, listing: AsyncIterator[Answered]) -> AsyncIterator[Answered]:
        """One step of a list is one call: what reads it may take its time between."""
        end = object()
        for _ in range(LISTED_MAX):
            async with self._pace.place() as is_free:
                if not is_free:
                    raise ListingFailed(BUSY)
                each = await anext(listing, end)
            if each is end:
                return
            yield each  # type: ignore[misc]
        raise ListingFailed("the list has no end")

    async def create_customer(self, request: CustomerRequest) -> CustomerOutcome:
        """Paced."""
        return await self._act(lambda: self._gateway.create_customer(request))

    async def start_setup(self, request: SetupRequest) -> SetupOutcome:
        """Paced."""
        return await self._act(lambda: self._gateway.start_setup(request))

    async def complete_setup(self, request: SetupCompletion) -> SetupOutcome:
        """Paced."""
        return await self._act(lambda: self._gateway.complete_setup(request))

    async def get_payment_method(self, method: MethodReference) -> MethodLookup:
        """Paced."""
        return await self._look(lambda: self._gateway.get_payment_method(method))

    async def detach_payment_method(
        self, method: MethodReference, *, idempotency_key: str
    ) -> DetachOutcome:
        """Paced."""
        return await self._act(
            lambda: self._gateway.detach_payment_method(method, idempotency_key=idempotency_key)
        )

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Paced."""
        return await self._act(lambda: self._gateway.charge(request))

    async def capture(self, request: CaptureRequest) -> Outcome:
        """Paced."""
        return await self._act(lambda: self._gateway.capture(request))

    async def void(self, request: VoidRequest) -> VoidOutcome:
        """Paced."""
        return await self._act(lambda: self._gateway.void(request))

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """Paced."""
        return await self._act(lambda: self._gateway.refund(request))

    async def find_payment(self, query: PaymentQuery) -> PaymentLookup:
        """Paced."""
        return await self._look(lambda: self._gateway.find_payment(query))

    async def fetch_payment(self, gateway_reference: str) -> PaymentLookup:
        """Paced."""
        return await self._look(lambda: self._gateway.fetch_payment(gateway_reference))

    async def find_refund(self, query: RefundQuery) -> RefundLookup:
        """Paced."""
        return await self._look(lambda: self._gateway.find_refund(query))

    async def fetch_refund(
        self, gateway_reference: str, payment_reference: str | None = None
    ) -> RefundLookup:
        """Paced."""
        return await self._look(
            lambda: self._gateway.fetch_refund(gateway_reference, payment_reference)
        )

    async def fetch_dispute(self, gateway_reference: str) -> DisputeLookup:
        """Paced."""
        return await self._look(lambda: self._gateway.fetch_dispute(gateway_reference))

    def list_transactions(self, window: TimeWindow) -> AsyncIterator[GatewayTransaction]:
        """Paced, step by step."""
        return self._list(self._gateway.list_transactions(window))

    def list_disputes(self, window: TimeWindow) -> AsyncIterator[DisputeReport]:
        """Paced, step by step."""
        return self._list(self._gateway.list_disputes(window))

    async def check_credentials(self) -> CredentialCheck:
        """Paced."""
        async with self._pace.place() as is_free:
            if not is_free:
                return CredentialCheck.UNREACHABLE
            return await self._gateway.check_credentials()

    async def verify_webhook(self, delivery: WebhookDelivery) -> tuple[GatewayEvent, ...]:
        """Not held up: what it may ask of the gateway is needed at once."""
        return await self._gateway.verify_webhook(delivery)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._gateway.aclose()
