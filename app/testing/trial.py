"""One adapter on trial: the double, the line to it, an open account, and the usual steps."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, TypeVar

import pytest

from app import ids
from app.clock import SystemClock
from app.domain.outcome import (
    Authorized,
    Found,
    Outcome,
    PaymentLookup,
    Pending,
    RefundLookup,
    RefundOutcome,
    RefundPending,
    Succeeded,
)
from app.gateways.base import AccountSettings, Gateway
from app.gateways.capabilities import Capabilities, NativeKey, PerOrder
from app.gateways.registry import open_gateway
from app.gateways.requests import (
    ChargeRequest,
    PaymentQuery,
    RefundQuery,
    RefundRequest,
    Sequence,
    TimeWindow,
)
from app.testing.harness import Behaviour, Fault, Harness, Kept, Trait
from app.testing.line import Line

CODE_CHARS: Final = 20
"""What the engine's references are long, whatever the gateway."""
LOOK_SECONDS: Final = 0.02
LOOKS_MAX: Final = 500
PATIENCE_SECONDS: Final = 30
HASTE_SECONDS: Final = 1
WINDOW: Final = timedelta(minutes=30)
AMOUNT: Final = 1_999

Looked = TypeVar("Looked")


@dataclass(slots=True)
class Trial:
    """What every case is given."""

    harness: Harness
    line: Line
    gateway: Gateway
    """Patient: a busy machine is not taken for a time-out."""
    hasty: Gateway
    """The same account, giving up after a second: for answers that never come."""

    def facing(self, fault: Fault) -> Gateway:
        """The account that meets this fault."""
        is_silent = fault in {Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER}
        return self.hasty if is_silent else self.gateway

    @property
    def can(self) -> Capabilities:
        """What the adapter declares of this account."""
        return self.gateway.capabilities

    @property
    def is_repeatable(self) -> bool:
        """Whether a charge may be sent again after its answer was lost."""
        return isinstance(self.can.charge_repeatability, NativeKey | PerOrder)

    @property
    def is_repeatable_at_once(self) -> bool:
        """Whether it may be sent again while the first one is still under way: an order is found
        again only once look-ups show it.
        """
        by_order = isinstance(self.can.charge_repeatability, PerOrder)
        return self.is_repeatable and not (by_order and self.can.lookup_freshness_seconds)

    def needs(self, trait: Trait) -> None:
        """Leave the case, aloud, when the gateway has no such thing."""
        if trait in self.harness.lacks:
            self.leave(self.harness.lacks[trait])

    def leave(self, reason: str) -> None:
        """The case does not apply to this gateway, for this reason."""
        pytest.skip(f"does not apply to {self.harness.gateway}: {reason}")

    async def charge_of(
        self,
        kept: Kept | None = None,
        amount_minor: int = AMOUNT,
        currency: str | None = None,
        *,
        is_captured: bool = True,
    ) -> ChargeRequest:
        """A charge that nobody has made before; without `kept`, of a method that works. Where
        charges are announced first, this one has been, for long enough.
        """
        method = kept or await self.harness.keep(Behaviour.OK)
        request = self.unannounced(method, amount_minor, currency, is_captured=is_captured)
        if self.lead_time_seconds(request):
            announced = await self.gateway.charge(request)
            if isinstance(announced, Pending):
                await self.harness.settle()
        return request

    def unannounced(
        self,
        kept: Kept,
        amount_minor: int = AMOUNT,
        currency: str | None = None,
        *,
        is_captured: bool = True,
    ) -> ChargeRequest:
        """A charge of which the gateway has heard nothing."""
        code = new_code()
        return ChargeRequest(
            attempt_code=code,
            idempotency_key=f"contract-{code}",
            amount_minor=amount_minor,
            currency=currency or self.harness.currency,
            payment_method_reference=kept.reference,
            invoice_number=f"INV-{code[-8:]}",
            description="Team plan, May",
            sequence=Sequence.SUBSEQUENT,
            customer_reference=kept.customer_reference,
            customer=kept.customer,
            is_captured=is_captured,
        )

    def lead_time_seconds(self, request: ChargeRequest) -> int:
        """How long before its moment a charge is announced; 0: it is not."""
        return self.can.lead_time_seconds(request.method_type, request.currency)

    def refund_of(
        self, charge: ChargeRequest, paid: Succeeded, amount_minor: int | None = None
    ) -> RefundRequest:
        """A refund that nobody has asked for before; without an amount, of all of it."""
        code = new_code()
        return RefundRequest(
            refund_code=code,
            idempotency_key=f"contract-{code}",
            payment_reference=paid.gateway_reference,
            amount_minor=charge.amount_minor if amount_minor is None else amount_minor,
            currency=charge.currency,
            payment_amount_minor=charge.amount_minor,
            last_four="4242",
        )

    async def find(self, charge: ChargeRequest, named: str | None = None) -> PaymentLookup:
        """The look-up of a charge, as the engine makes it."""
        query = PaymentQuery(
            reference=charge.attempt_code,
            created_at=SystemClock().now() - timedelta(minutes=1),
            gateway_reference=named,
            customer_reference=charge.customer_reference,
            payment_method_reference=charge.payment_method_reference,
            amount_minor=charge.amount_minor,
            currency=charge.currency,
        )
        return await self.gateway.find_payment(query)

    async def find_refund(self, refund: RefundRequest) -> RefundLookup:
        """The look-up of a refund, as the engine makes it."""
        query = RefundQuery(
            reference=refund.refund_code,
            created_at=SystemClock().now() - timedelta(minutes=1),
            payment_reference=refund.payment_reference,
            amount_minor=refund.amount_minor,
            currency=refund.currency,
        )
        return await self.gateway.find_refund(query)

    async def ended(self, charge: ChargeRequest, outcome: Outcome) -> Outcome:
        """What a charge comes to, where the gateway takes its time."""
        if not isinstance(outcome, Pending):
            return outcome
        await self.harness.settle()
        return await self.found(charge, lambda found: not isinstance(found, Pending))

    async def ended_refund(self, refund: RefundRequest, outcome: RefundOutcome) -> RefundOutcome:
        """What a refund comes to, where the gateway takes its time."""
        if not isinstance(outcome, RefundPending):
            return outcome
        await self.harness.settle()

        async def look() -> RefundOutcome | None:
            found = await self.find_refund(refund)
            if not isinstance(found, Found) or isinstance(found.outcome, RefundPending):
                return None
            return found.outcome

        return await eventually(look)

    async def found(
        self, charge: ChargeRequest, wanted: Callable[[Outcome], bool], named: str | None = None
    ) -> Outcome:
        """The outcome that look-ups find, once it is a wanted one."""

        async def look() -> Outcome | None:
            found = await self.find(charge, named)
            is_wanted = isinstance(found, Found) and wanted(found.outcome)
            return found.outcome if isinstance(found, Found) and is_wanted else None

        return await eventually(look)

    async def paid(
        self, behaviour: Behaviour = Behaviour.OK, amount_minor: int = AMOUNT
    ) -> tuple[ChargeRequest, Succeeded]:
        """A charge that succeeded, settled as far as the gateway settles."""
        request = await self.charge_of(await self.harness.keep(behaviour), amount_minor)
        outcome = await self.ended(request, await self.gateway.charge(request))
        assert isinstance(outcome, Succeeded), outcome
        await self.harness.settle()
        return request, outcome

    async def held(self) -> tuple[ChargeRequest, Authorized]:
        """Money that is only held."""
        if not self.can.manual_capture:
            self.leave("money cannot be held there")
        request = await self.charge_of(is_captured=False)
        outcome = await self.ended(request, await self.gateway.charge(request))
        assert isinstance(outcome, Authorized), outcome
        return request, outcome

    async def held_and_voidable(self) -> tuple[ChargeRequest, Authorized]:
        """Money that is only held, and can be given up."""
        if not self.can.void:
            self.leave("what is held there goes back by itself, and not before")
        return await self.held()

    async def charged(self, request: ChargeRequest) -> int:
        """What the ledger says was taken for a charge."""
        return (await self.harness.moved(request.attempt_code)).charged

    @asynccontextmanager
    async def account(self, settings: AccountSettings) -> AsyncIterator[Gateway]:
        """Another account, open for as long as the block lasts."""
        gateway = open_gateway(self.harness.gateway, settings)
        try:
            yield gateway
        finally:
            await gateway.aclose()

    def settings(self, **changes: object) -> AccountSettings:
        """The settings of the account on trial, with changes."""
        return replace(patient(self.harness, self.line), **changes)  # type: ignore[arg-type]

    def window(self) -> TimeWindow:
        """From half an hour ago to half an hour from now."""
        now = SystemClock().now()
        return TimeWindow(now - WINDOW, now + WINDOW)


def patient(harness: Harness, line: Line) -> AccountSettings:
    """The harness's account over this line, with time to spare."""
    return replace(harness.account(line.url), total_timeout_seconds=PATIENCE_SECONDS)


def new_code() -> str:
    """A reference of ours that nobody has used."""
    return ids.show("x", ids.new_id())[-CODE_CHARS:]


async def eventually(look: Callable[[], Awaitable[Looked | None]]) -> Looked:
    """What `look` sees once it sees something; fails past the deadline."""
    for _ in range(LOOKS_MAX):
        seen = await look()
        if seen is not None:
            return seen
        await asyncio.sleep(LOOK_SECONDS)
    raise AssertionError(f"it did not happen within {LOOKS_MAX} looks")
