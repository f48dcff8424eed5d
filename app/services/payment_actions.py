"""Payments that wait for their customer: what the customer is to do, and giving up on it."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from app import ids
from app.db import payments
from app.db.base import Row
from app.domain.errors import Conflict, Unavailable
from app.domain.outcome import (
    Found,
    NotFound,
    Outcome,
    RequiresAction,
    Unknown,
    VoidDeclined,
    Voided,
)
from app.domain.payment import Attempt, AttemptStatus, Payment, Status
from app.gateways.base import Gateway
from app.runtime import Runtime
from app.services import charging, deeds, idempotency
from app.services.caller import Caller
from app.services.moments import now_of_customer
from app.services.opening import open_for_caller
from app.services.payments import settle_all

SILENT: Final = "The gateway does not answer just now; nothing was changed."
UNNAMED: Final = "The gateway has not named this payment yet; ask again in a while."


@dataclass(frozen=True, slots=True)
class Action:
    """What the customer is to do: go to `action_url`, or confirm with `client_secret` where the
    gateway's own script asks for one; neither, where the payment waits for something else.
    """

    payment_id: UUID
    status: Status
    action_url: str | None = None
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A payment in flight, its attempt, and how its gateway is called."""

    payment: Payment
    attempt: Attempt
    method: Row
    now: datetime


async def action(rt: Runtime, caller: Caller, payment_id: UUID) -> Action:
    """What the customer is to do now, as the gateway says; it is never kept here.

    Raises NotFound, Unavailable.
    """
    try:
        waiting = await load(rt, caller, payment_id)
    except Conflict:
        return await _nothing_to_do(rt, caller, payment_id)
    gateway = open_for_caller(rt, waiting.method)
    outcome = await _ask(gateway, waiting)
    if not isinstance(outcome, RequiresAction):
        await settle_all(rt, [(waiting.attempt, outcome)], waiting.now)
        return await _nothing_to_do(rt, caller, payment_id)
    found = (outcome.action_url, outcome.client_secret)
    return Action(payment_id, waiting.payment.status, *found)


async def cancel(rt: Runtime, caller: Caller, payment_id: UUID) -> UUID:
    """Give up on a payment that waits for its customer: it waits for a method or a retry then.

    Raises NotFound, Conflict (it does not wait, or the customer was quicker), Unavailable.
    """
    waiting = await load(rt, caller, payment_id)
    await give_up(rt, waiting)
    async with rt.db.begin(caller.merchant_id) as tx:
        payment = await payments.lock(tx, payment_id)
        if payment.status is not Status.REQUIRES_PAYMENT_METHOD:
            raise Conflict(f"The payment is {payment.status}.", code=f"payment_{payment.status}")
        detail = {"attempt": ids.show("att", waiting.attempt.id)}
        await deeds.note(tx, caller, "payment.voided", payment_id, waiting.now, **detail)
        await idempotency.answered(tx, caller, ids.show("pay", payment_id))
    return payment_id


async def give_up(rt: Runtime, waiting: Waiting) -> None:
    """Void it at the gateway, and settle by what that says. Raises Unavailable."""
    gateway, attempt = open_for_caller(rt, waiting.method), waiting.attempt
    outcome: Outcome
    if attempt.gateway_reference is None:
        outcome = await _ask(gateway, waiting)  # which gives it a name, or its end
        await settle_all(rt, [(attempt, outcome)], waiting.now)
        raise Unavailable(UNNAMED, code="gateway_unavailable")
    match await charging.void(gateway, attempt):
        case Voided() as outcome:
            pass
        case VoidDeclined():
            outcome = await _ask(gateway, waiting)
        case _:
            raise Unavailable(SILENT, code="gateway_unavailable")
    await settle_all(rt, [(attempt, outcome)], waiting.now)


async def load(
    rt: Runtime,
    caller: Caller,
    payment_id: UUID,
    statuses: Collection[AttemptStatus] = frozenset({AttemptStatus.REQUIRES_ACTION}),
) -> Waiting:
    """A payment whose attempt in flight has one of these statuses. Raises NotFound, Conflict."""
    async with rt.db.begin(caller.merchant_id) as tx:
        payment = await payments.lock(tx, payment_id)
        now = await now_of_customer(rt, tx, payment.customer_id)
        attempt = await payments.in_flight(tx, payment)
        if attempt is None or attempt.status not in statuses:
            raise Conflict(f"The payment is {payment.status}.", code=f"payment_{payment.status}")
        key = (attempt.merchant_id, attempt.payment_method_id)
        [method] = (await payments.methods(tx, [key], usable=False)).values()
    return Waiting(payment, attempt, method, now)


async def _ask(gateway: Gateway, waiting: Waiting) -> Outcome:
    """How it stands at the gateway. Raises Unavailable."""
    found = await gateway.find_payment(charging.query_of(waiting.attempt, waiting.method))
    match found:
        case Found(outcome=outcome):
            return outcome
        case NotFound():
            return Unknown("the gateway does not show it")
        case _:
            raise Unavailable(SILENT, code="gateway_unavailable")


async def _nothing_to_do(rt: Runtime, caller: Caller, payment_id: UUID) -> Action:
    async with rt.db.begin(caller.merchant_id) as tx:
        payment = await payments.lock(tx, payment_id)
    return Action(payment_id, payment.status)
