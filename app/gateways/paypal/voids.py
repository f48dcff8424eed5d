"""Giving up: a hold is voided; an order that waits for its customer is marked as given up.

PayPal has no way to cancel an order. It moves no money unless we capture it, and lapses by itself;
so the mark, in its `custom_id`, is for ourselves: whatever the customer still agrees to, the order
is found voided, and is never captured.
"""

from typing import Final

import orjson

from app.domain.outcome import (
    Authorized,
    Declined,
    Inconclusive,
    NotExecuted,
    NotFound,
    Pending,
    RequiresAction,
    Succeeded,
    Unknown,
    VoidDeclined,
    VoidDeclineReason,
    Voided,
    VoidOutcome,
)
from app.gateways.paypal import lookups, outcomes
from app.gateways.paypal.charges import NOT_HELD_ANY_MORE, TAKEN_ALREADY
from app.gateways.paypal.problems import BAD_REQUEST, MISSING, Refusal, read, refusal
from app.gateways.paypal.references import Kind, Reference, request_id
from app.gateways.paypal.session import NO_CONTENT, SUCCESSES, Call, Session
from app.gateways.paypal.words import Authorization
from app.gateways.requests import VoidRequest
from app.http import Answer

MARKED: Final = "/purchase_units/@reference_id=='default'/custom_id"
OVER: Final = NOT_HELD_ANY_MORE | {"AUTHORIZATION_EXPIRED"}


async def void(session: Session, request: VoidRequest) -> VoidOutcome:
    """Give up what was held or waits for the customer."""
    reference = Reference.parse(request.payment_reference)
    if reference.kind is Kind.AUTHORIZATION:
        return await _void_held(session, request.idempotency_key, reference)
    found = await lookups.fetch_payment(session, reference)
    if isinstance(found, NotFound):
        return VoidDeclined(VoidDeclineReason.NOT_FOUND, "RESOURCE_NOT_FOUND")
    if isinstance(found, Inconclusive):
        return NotExecuted(found.cause)
    match found.outcome:
        case Succeeded():
            return VoidDeclined(VoidDeclineReason.ALREADY_CAPTURED, "COMPLETED")
        case Authorized(gateway_reference=held) if held != str(reference):
            return await _void_held(session, request.idempotency_key, Reference.parse(held))
        case Authorized() | RequiresAction():
            return await _mark(session, reference, found.reference)
        case Voided() | Unknown() | NotExecuted() as told:
            return told
        case Pending() | Declined():
            return VoidDeclined(VoidDeclineReason.NOT_VOIDABLE, "NOT_AUTHORIZED")


async def _void_held(session: Session, key: str, reference: Reference) -> VoidOutcome:
    call = Call(
        "authorizations.void",
        "POST",
        f"{reference.path}/void",
        request_id=request_id(key, "void"),
    )
    return await _done(session, call, reference)


async def _mark(session: Session, reference: Reference, code: str | None) -> VoidOutcome:
    """Write down at PayPal that the order is given up. Doing it again changes nothing."""
    patch = [{"op": "replace", "path": MARKED, "value": outcomes.GIVEN_UP + (code or "")}]
    call = Call("orders.patch", "PATCH", reference.path, content=orjson.dumps(patch))
    return await _done(session, call, reference)


async def _done(session: Session, call: Call, reference: Reference) -> VoidOutcome:
    """Voided by an answer without content, or by one that shows the hold as voided."""
    answer = await session.send(call)
    if not isinstance(answer, Answer):
        return answer
    if answer.status == NO_CONTENT:
        return Voided(str(reference))
    if answer.status in SUCCESSES:
        held = read(Authorization, answer)
        is_voided = held is not None and held.status == "VOIDED"
        return Voided(str(reference)) if is_voided else Unknown("unreadable_answer")
    refused = refusal(call.verb, answer)
    return _refused(refused, reference) if isinstance(refused, Refusal) else refused


def _refused(refused: Refusal, reference: Reference) -> VoidOutcome:
    """A refused void; raises InvalidRequestError when the fault is ours."""
    issues = frozenset(refused.issues)
    if refused.status == MISSING:
        return VoidDeclined(VoidDeclineReason.NOT_FOUND, refused.code)
    if issues & TAKEN_ALREADY:
        return VoidDeclined(VoidDeclineReason.ALREADY_CAPTURED, refused.code)
    if issues & OVER:
        return Voided(str(reference))
    if refused.status == BAD_REQUEST:
        raise refused.error()
    return VoidDeclined(VoidDeclineReason.NOT_VOIDABLE, refused.code)
