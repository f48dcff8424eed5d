"""Refunds: reserve, call the gateway, settle. Never more than was captured, ever."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app import ids, log
from app.db import balances, decisions, disputes, payments, sends
from app.db.base import Row
from app.db.scope import Scope
from app.domain import disputing, refunding
from app.domain.collection import SEND_LEASE
from app.domain.errors import Conflict, InvalidRequest
from app.domain.outcome import (
    Found,
    NotFound,
    RefundDeclined,
    RefundDeclineReason,
    RefundPending,
)
from app.domain.payment import Status
from app.domain.refund import Destination, Refund
from app.domain.refunding import Elsewhere
from app.gateways.base import ConfigurationError
from app.gateways.capabilities import Capabilities, NativeKey
from app.ids import new_id
from app.runtime import Runtime
from app.services import deeds, differences, idempotency, refund_calls
from app.services import subscriptions as subscribing
from app.services.caller import Caller
from app.services.look_ups import missing_since
from app.services.opening import open_account
from app.services.payments import WALL, reference

LOOK_UPS_AT_ONCE: Final = 100
ABSENT: Final = "the gateway does not show it yet"
logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class CreateRefund:
    """Give back `amount` minor units of a payment; None: all that is left of it."""

    payment_id: UUID
    amount: int | None = None
    reason: str | None = None
    destination: Destination | None = None
    """None: by the gateway that brought it."""


async def create(rt: Runtime, caller: Caller, cmd: CreateRefund) -> UUID:
    """Refund a payment, in whole or in part. Raises NotFound, Conflict, InvalidRequest."""
    if cmd.destination not in (None, Destination.GATEWAY):
        return await _give(rt, caller, cmd, cmd.destination)
    refund, now = await reserve(rt, caller, cmd)
    await refund_calls.carry_out(rt, [refund], now)
    return refund.id


async def reserve(rt: Runtime, caller: Caller, cmd: CreateRefund) -> tuple[Refund, datetime]:
    """The refund, reserved and not yet sent; and when that was, for the customer."""
    async with rt.db.begin(caller.merchant_id) as tx:
        payment = await payments.lock(tx, cmd.payment_id)
        now = await subscribing.now_of_customer(rt, tx, payment.customer_id)
        captured = await payments.captured_attempt(tx, payment)
        if payment.offline is not None:
            raise InvalidRequest(
                "No gateway brought it: refund it outside, or to the balance.",
                code="refund_destination_required",
                param="destination",
            )
        if captured is None:
            raise Conflict(f"The payment is {payment.status}.", code=f"payment_{payment.status}")
        withdrawn = await disputes.withdrawn_of(tx, payment.id)
        amount = disputing.refundable(payment, withdrawn, cmd.amount)
        decision = refunding.request(payment, captured, amount, cmd.reason, now, new_id, reference)
        await decisions.record(tx, [decision], now)
        refund = decision.refunds[0]
        await deeds.note(tx, caller, "refund.created", refund.id, now, amount=refund.amount)
        await idempotency.answered(tx, caller, ids.show("re", refund.id))
    return refund, now


async def _give(rt: Runtime, caller: Caller, cmd: CreateRefund, destination: Destination) -> UUID:
    """Write down a refund that no gateway makes. Raises NotFound, Conflict, InvalidRequest."""
    async with rt.db.begin(caller.merchant_id) as tx:
        payment = await payments.lock(tx, cmd.payment_id)
        now = await subscribing.now_of_customer(rt, tx, payment.customer_id)
        if payment.status is not Status.SUCCEEDED:
            raise Conflict(f"The payment is {payment.status}.", code=f"payment_{payment.status}")
        withdrawn = await disputes.withdrawn_of(tx, payment.id)
        amount = disputing.refundable(payment, withdrawn, cmd.amount)
        key = payment.merchant_id, payment.customer_id, payment.currency
        balance = (await balances.load(tx, [key]))[key]
        wanted = Elsewhere(destination, balance, amount, cmd.reason)
        decision = refunding.give(payment, wanted, now, new_id, reference)
        await decisions.record(tx, [decision], now)
        [refund] = decision.refunds
        detail = {"amount": refund.amount, "destination": destination.value}
        await deeds.note(tx, caller, "refund.created", refund.id, now, **detail)
        await idempotency.answered(tx, caller, ids.show("re", refund.id))
    return refund.id


async def resolve_due(rt: Runtime, scope: Scope = WALL, now: datetime | None = None) -> int:
    """Find out about refunds whose answer did not come; the number looked into."""
    begun = rt.clock.now()
    now = now or begun
    async with rt.db.begin_system() as tx:
        due = await payments.claim_refund_look_ups(
            tx, scope, now, now + SEND_LEASE, LOOK_UPS_AT_ONCE
        )
        calls = await payments.refund_calls(tx, [(r.merchant_id, r.id) for r in due])
    async with asyncio.TaskGroup() as group:
        for refund in due:
            call = calls[refund.merchant_id, refund.id]
            group.create_task(_resolve(rt, refund, call, (now, begun)))
    return len(due)


async def _resolve(
    rt: Runtime, refund: Refund, call: Row, claimed: tuple[datetime, datetime]
) -> None:
    """Look one refund up; `claimed` is when it was, for its customer and by the wall clock. A fault
    in it is a look-up that taught nothing, of which a person hears in the end; where even that
    cannot be written down, the lease brings it back.
    """
    try:
        try:
            await _find_out(rt, refund, call, *claimed)
        except ConfigurationError as error:
            logger.error("resolve.account_unusable", refund=str(refund.id), reason=str(error))
            await _wait(rt, refund, f"the account cannot be used: {error}", claimed[0])
        except Exception as error:
            logger.exception("resolve.fault", refund=str(refund.id))
            await _wait(rt, refund, f"fault_{type(error).__name__}", claimed[0])
    except Exception:
        logger.exception("resolve.unsettled", refund=str(refund.id))


async def _find_out(rt: Runtime, refund: Refund, call: Row, now: datetime, begun: datetime) -> None:
    if refund.request is None:  # it was never sent
        await refund_calls.carry_out(rt, [refund], now)
        return
    gateway = open_account(rt, call)
    can = gateway.capabilities
    age = now - refund.created_at
    found = await gateway.find_refund(refund_calls.query_of(refund, call))
    match found:
        case Found(outcome=RefundPending()) if age.total_seconds() > can.pending_seconds_max:
            await _hand_over(rt, refund, now)
        case Found(outcome=outcome, others=others):
            await refund_calls.settle(rt, refund, outcome, now)
            if others:
                cause = f"the gateway has it more than once: {others}"
                await refund_calls.review(rt, refund, cause, now)
                paid = call["payment_reference"]
                await differences.refunded_again(rt, gateway, refund, paid, others)
        case NotFound() if _may_repeat(can, refund, age):
            async with rt.db.begin_system() as tx:
                is_open = await sends.mark_refund_sent(tx, (refund.merchant_id, refund.id), now)
            outcome = refund_calls.TOO_LATE
            if is_open and rt.clock.now() - begun <= refund_calls.BEGIN_WITHIN:
                request = refund_calls.request_again(refund)
                outcome = await refund_calls.send(gateway, request, again=True)
            await refund_calls.settle(rt, refund, outcome, now)
        case NotFound(definitive=True):
            await _absent(rt, refund, can, now)
        case NotFound():
            await _wait(rt, refund, ABSENT, now)
        case _:
            await _wait(rt, refund, f"look-up failed: {found.cause}", now)


async def _absent(rt: Runtime, refund: Refund, can: Capabilities, now: datetime) -> None:
    """The gateway has nothing of it: never executed, once that is proved; until then wait."""
    sent_by = (refund.last_sent_at or refund.created_at) + refund_calls.SEND_WITHIN
    absent_since = await missing_since(rt, "refunds", refund, now)
    age, absent = (int((now - each).total_seconds()) for each in (sent_by, absent_since))
    if can.absence_is_proof(age, absent):
        never = RefundDeclined(RefundDeclineReason.GENERIC, "never_executed")
        await refund_calls.settle(rt, refund, never, now)
        return
    proven_after = max(can.lookup_freshness_seconds, can.effect_latest_seconds) + 1
    until = max(
        sent_by + timedelta(seconds=proven_after),
        absent_since + timedelta(seconds=can.absence_gap_seconds),
    )
    await _wait(rt, refund, ABSENT, now, until)


def _may_repeat(can: Capabilities, refund: Refund, age: timedelta) -> bool:
    key = can.refund_repeatability
    is_keyed = isinstance(key, NativeKey) and key.covers(int(age.total_seconds()))
    return is_keyed and refund.gateway_reference is None


async def _hand_over(rt: Runtime, refund: Refund, now: datetime) -> None:
    """A person has to say what becomes of it; nobody asks any more."""
    logger.error("refund.overdue", refund=str(refund.id))
    async with rt.db.begin(refund.merchant_id) as tx:
        fresh, _ = await payments.lock_refund(tx, (refund.merchant_id, refund.id))
        decision = refunding.hand_over(fresh, "the gateway has not decided it in time")
        await decisions.record(tx, [decision], now)


async def _wait(
    rt: Runtime, refund: Refund, detail: str, now: datetime, until: datetime | None = None
) -> None:
    async with rt.db.begin(refund.merchant_id) as tx:
        fresh, _ = await payments.lock_refund(tx, (refund.merchant_id, refund.id))
        await decisions.record(tx, [refunding.look_again(fresh, detail, now, until)], now)
