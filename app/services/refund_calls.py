"""Refunds on their way: a reservation that is committed is sent, and its answer settled."""

from collections.abc import Sequence
from datetime import datetime

from app import log
from app.db import decisions, payments
from app.domain import refunding
from app.domain.outcome import (
    NotExecuted,
    RefundDeclined,
    RefundDeclineReason,
    RefundOutcome,
    Unknown,
)
from app.domain.refund import Refund
from app.gateways.base import AuthenticationError, Gateway, InvalidRequestError
from app.gateways.requests import RefundRequest
from app.ids import new_id
from app.runtime import Runtime
from app.services.opening import open_account

logger = log.get(__name__)


async def carry_out(rt: Runtime, reserved: Sequence[Refund], now: datetime) -> None:
    """Send refunds that are reserved and committed, and settle what the gateway answers."""
    if not reserved:
        return
    async with rt.db.begin_system() as tx:
        calls = await payments.refund_calls(tx, [(r.merchant_id, r.id) for r in reserved])
    for refund in reserved:
        call = calls[refund.merchant_id, refund.id]
        request = request_of(refund, call["payment_reference"])
        await settle(rt, refund, await send(open_account(rt, call), request), now)


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


def request_of(refund: Refund, payment_reference: str) -> RefundRequest:
    """The request of a refund: the same one makes the same bytes, however often."""
    return RefundRequest(
        refund_code=refund.reference,
        idempotency_key=refund.idempotency_key,
        payment_reference=payment_reference,
        amount_minor=refund.amount,
        currency=refund.currency,
    )


async def settle(
    rt: Runtime, refund: Refund, outcome: RefundOutcome, now: datetime, *, heard: bool = False
) -> None:
    """Make true what the gateway answered, or (`heard`) told by itself."""
    decide = refunding.heard if heard else refunding.settle
    async with rt.db.begin(refund.merchant_id) as tx:
        fresh, payment = await payments.lock_refund(tx, (refund.merchant_id, refund.id))
        decision = decide(fresh, payment, outcome, now, new_id)
        await decisions.record(tx, [decision], now)
