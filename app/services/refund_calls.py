"""Refunds on their way: what is asked is written down, sent, and its answer settled."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from app import log
from app.db import decisions, payments, sends
from app.db.base import Row
from app.domain import refunding
from app.domain.outcome import (
    NotExecuted,
    RefundDeclined,
    RefundDeclineReason,
    RefundOutcome,
    Unknown,
)
from app.domain.refund import Refund
from app.gateways.base import (
    AuthenticationError,
    ConfigurationError,
    Gateway,
    InvalidRequestError,
)
from app.gateways.pace import WAIT_SECONDS_MAX
from app.gateways.requests import RefundQuery, RefundRequest
from app.ids import new_id
from app.runtime import Runtime
from app.services.opening import open_account

AT_ONCE: Final = 20
"""Refunds of one decision that are sent at the same time."""
SEND_WITHIN: Final = timedelta(seconds=60)
"""A request that has not left by then is not sent: whoever looks it up later may rely on that."""
BEGIN_WITHIN: Final = SEND_WITHIN - timedelta(seconds=2 * WAIT_SECONDS_MAX)
"""A call that has not begun by then is not made: it may wait for a place, and for its turn."""
TOO_LATE: Final = NotExecuted("the gateway was too slow for the calls before it")
logger = log.get(__name__)


async def carry_out(rt: Runtime, reserved: Sequence[Refund], now: datetime) -> None:
    """Send refunds that are reserved and committed, and settle what the gateway answers.

    Those that somebody else is sending are left to them.
    """
    if not reserved:
        return
    # Before the rows are claimed: whoever looks it up counts from then.
    begun, places = rt.clock.now(), asyncio.Semaphore(AT_ONCE)
    async with rt.db.begin_system() as tx:
        calls = await payments.refund_calls(tx, [(r.merchant_id, r.id) for r in reserved])
        asked = {(r.merchant_id, r.id): request_of(r, calls[r.merchant_id, r.id]) for r in reserved}
        mine = await sends.freeze_refunds(tx, [(key, frozen(r)) for key, r in asked.items()], now)

    async def one(refund: Refund) -> None:
        key = refund.merchant_id, refund.id
        async with places:
            late = rt.clock.now() - begun > BEGIN_WITHIN
            outcome = TOO_LATE if late else await _first(rt, calls[key], asked[key])
            await settle(rt, refund, outcome, now)
            if isinstance(outcome, NotExecuted):
                async with rt.db.begin(refund.merchant_id) as tx:
                    await sends.thaw_refund(tx, key, now)

    async def apart(refund: Refund) -> None:
        try:
            await one(refund)
        except Exception:  # the others' calls are under way; this one is looked up later
            logger.exception("refund.unsettled", refund=str(refund.id))

    async with asyncio.TaskGroup() as group:
        for refund in reserved:
            if (refund.merchant_id, refund.id) in mine:
                group.create_task(apart(refund))


async def _first(rt: Runtime, call: Row, request: RefundRequest) -> RefundOutcome:
    try:
        gateway = open_account(rt, call)
    except ConfigurationError as error:
        logger.error("refund.account_unusable", refund=request.refund_code, reason=str(error))
        return NotExecuted("account_unusable")
    return await send(gateway, request)


async def send(gateway: Gateway, request: RefundRequest, *, again: bool = False) -> RefundOutcome:
    """One call. A repetition (`again`) that is refused says nothing about the call before it."""
    try:
        return await gateway.refund(request)
    except InvalidRequestError as error:
        logger.error("refund.invalid_request", gateway=gateway.name, reason=str(error))
        if again:
            return NotExecuted("invalid_request")
        return RefundDeclined(RefundDeclineReason.GENERIC, error.code or "invalid_request")
    except AuthenticationError as error:
        logger.error("refund.credentials_refused", gateway=gateway.name, reason=str(error))
        return NotExecuted("credentials_refused")
    except Exception as error:
        # A fault in an adapter says nothing about the money: the outcome is not known.
        logger.exception("refund.adapter_fault", gateway=gateway.name)
        return Unknown(f"adapter_fault_{type(error).__name__}")


def request_of(refund: Refund, call: Row) -> RefundRequest:
    """The request of a refund that was never sent; `call` is a row of `payments.refund_calls`."""
    return RefundRequest(
        refund_code=refund.reference,
        idempotency_key=refund.idempotency_key,
        payment_reference=call["payment_reference"],
        amount_minor=refund.amount,
        currency=refund.currency,
        payment_amount_minor=call["payment_amount"],
        last_four=call["last_four"],
    )


def frozen(request: RefundRequest) -> str:
    """All of a request, as JSON."""
    return orjson.dumps(asdict(request)).decode()


def request_again(refund: Refund) -> RefundRequest:
    """The request exactly as it was first sent."""
    assert refund.request is not None
    given: dict[str, Any] = orjson.loads(refund.request)
    return RefundRequest(**given)


def query_of(refund: Refund, call: Row) -> RefundQuery:
    """How a refund is looked for: by our reference, with all that may narrow the search."""
    return RefundQuery(
        reference=refund.reference,
        created_at=refund.created_at,
        gateway_reference=refund.gateway_reference,
        payment_reference=call["payment_reference"],
        amount_minor=refund.amount,
        currency=refund.currency,
    )


async def review(rt: Runtime, refund: Refund, cause: str, now: datetime) -> None:
    """Leave word for a person, whatever became of the refund."""
    async with rt.db.begin(refund.merchant_id) as tx:
        fresh, _ = await payments.lock_refund(tx, (refund.merchant_id, refund.id))
        await decisions.record(tx, [refunding.review(fresh, cause)], now)


async def settle(
    rt: Runtime, refund: Refund, outcome: RefundOutcome, now: datetime, *, heard: bool = False
) -> Refund:
    """Make true what the gateway answered, or (`heard`) told by itself; the refund after it."""
    decide = refunding.heard if heard else refunding.settle
    async with rt.db.begin(refund.merchant_id) as tx:
        fresh, payment = await payments.lock_refund(tx, (refund.merchant_id, refund.id))
        decision = decide(fresh, payment, outcome, now, new_id)
        await decisions.record(tx, [decision], now)
    return decision.refunds[0] if decision.refunds else fresh
