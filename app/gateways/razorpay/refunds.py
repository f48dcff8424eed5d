"""Refunds: sent with an idempotency key, and found again in the list of their payment."""

import re
from datetime import timedelta
from typing import Final

from app.domain.outcome import (
    Found,
    Inconclusive,
    NotFound,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundLookup,
    RefundOutcome,
    Unknown,
)
from app.gateways.base import AuthenticationError, InvalidRequestError
from app.gateways.razorpay import lists, outcomes
from app.gateways.razorpay.account import Keys
from app.gateways.razorpay.wire import Wire, refuse, unfound
from app.gateways.razorpay.words import REFUND, Page, Problem, Refund, read
from app.gateways.requests import RefundQuery, RefundRequest
from app.http import Answer

KEY: Final = re.compile(r"[A-Za-z0-9_-]{10,}")
CLOCKS_APART: Final = timedelta(days=1)
"""How far our clock may be from Razorpay's, generously."""
REFUSALS: Final = (
    ("greater than", RefundDeclineReason.EXCEEDS_CAPTURED),
    ("fully refunded", RefundDeclineReason.EXCEEDS_CAPTURED),
    ("enough balance", RefundDeclineReason.INSUFFICIENT_BALANCE),
    ("insufficient balance", RefundDeclineReason.INSUFFICIENT_BALANCE),
    ("should be captured", RefundDeclineReason.PAYMENT_NOT_REFUNDABLE),
    ("not captured", RefundDeclineReason.PAYMENT_NOT_REFUNDABLE),
    ("is not a valid id", RefundDeclineReason.PAYMENT_NOT_FOUND),
    ("does not exist", RefundDeclineReason.PAYMENT_NOT_FOUND),
)
"""Refusals of refunds have no reason of their own: the description tells them apart."""


async def refund(wire: Wire, keys: Keys, request: RefundRequest) -> RefundOutcome:
    """Give money back, once per key."""
    outcomes.check_amount(request.amount_minor, request.currency)
    if not KEY.fullmatch(request.idempotency_key):
        raise InvalidRequestError("This is no idempotency key.", code="idempotency_key")
    body = {
        "amount": request.amount_minor,
        "speed": keys.refund_speed,
        "receipt": request.refund_code,
        "notes": {REFUND: request.refund_code},
    }
    reply = await wire.call(
        "POST",
        f"/payments/{request.payment_reference}/refund",
        body,
        headers={"X-Refund-Idempotency": request.idempotency_key},
    )
    match reply:
        case Answer():
            found = read(Refund, reply)
            if found is None:
                return Unknown("unreadable_answer")
            if (found.payment_id, found.amount, found.currency, found.our_reference) != (
                request.payment_reference,
                request.amount_minor,
                request.currency,
                request.refund_code,
            ):
                return Unknown("answer_for_another_refund", found.id)
            return outcomes.of_refund(found)
        case Problem():
            return await _refused(wire, request, reply)
        case _:
            return reply


async def _refused(wire: Wire, request: RefundRequest, problem: Problem) -> RefundOutcome:
    """A repetition is also refused because the first one left nothing to give back, or because its
    key is known and its speed is another by now. So the list is asked before a refusal is believed.
    """
    query = RefundQuery(request.refund_code, payment_reference=request.payment_reference)
    try:
        match await find_refund(wire, query):
            case Found(outcome=Refunded(amount_minor=minor)) if minor != request.amount_minor:
                raise refuse(problem)  # the code was used for another amount
            case Found(outcome=outcome):
                return outcome
            case Inconclusive(cause):
                return Unknown(f"look_up_{cause}")
            case NotFound():
                return _reason(problem)
    except AuthenticationError:  # that would say that nothing was executed
        return Unknown("credentials_refused")


def _reason(problem: Problem) -> RefundDeclined:
    said = problem.description.lower()
    for words, reason in REFUSALS:
        if words in said:
            return RefundDeclined(reason, problem.reason or problem.code)
    raise refuse(problem)


async def find_refund(wire: Wire, query: RefundQuery) -> RefundLookup:
    """How the refund with our reference stands, from its payment's list; without the payment, from
    the account's own list.
    """
    path, params = "/refunds", {}
    if query.payment_reference is not None:
        path = f"/payments/{query.payment_reference}/refunds"
    elif query.created_at is not None:
        params = {"from": str(int((query.created_at - CLOCKS_APART).timestamp()))}
    try:
        listed = lists.entries(wire, path, params, Page[Refund])
        ours = [one async for one in listed if one.our_reference == query.reference]
    except lists.NoList:
        return NotFound(definitive=True)  # there is no such payment
    except lists.BrokenOff as error:
        return Inconclusive(error.cause)
    ranked = sorted(ours, key=_rank)
    if not ranked:
        return NotFound(definitive=True)
    others = tuple(one.id for one in ranked[1:] if one.status != "failed")
    return Found(outcomes.of_refund(ranked[0]), others)


def _rank(refund: Refund) -> tuple[int, int, str]:
    return int(refund.status == "failed"), refund.created_at, refund.id


async def fetch_refund(wire: Wire, gateway_reference: str) -> RefundLookup:
    """How a refund stands, by Razorpay's own name of it."""
    reply = await wire.look(f"/refunds/{gateway_reference}")
    match reply:
        case Answer():
            found = read(Refund, reply)
            if found is None or found.id != gateway_reference:
                return Inconclusive("unreadable_answer")
            return Found(outcomes.of_refund(found), reference=found.our_reference)
        case Problem():
            return unfound(reply)
        case Inconclusive():
            return reply
