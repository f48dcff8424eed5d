"""What a stuck refund came to, said by a person: believed as far as the gateway does not disagree.

As with payments (`verdicts`): only a refund that no look-up will settle any more is decided so, and
never against the gateway's own books, which are asked here and now. What follows and the row in the
audit log are one transaction.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from app import ids
from app.db import decisions, inbox_subjects, payments
from app.db.base import Row, Tx
from app.domain import reconciling, refunding
from app.domain.decision import Decision
from app.domain.errors import Conflict, InvalidRequest, Unavailable
from app.domain.outcome import (
    Found,
    Inconclusive,
    NotFound,
    RefundDeclined,
    Refunded,
    RefundLookup,
    RefundPending,
)
from app.domain.payment import Payment
from app.domain.refund import OPEN, Refund
from app.ids import new_id
from app.runtime import Runtime
from app.services import deeds, differences, idempotency, refund_calls
from app.services.caller import Caller
from app.services.moments import now_of_customer
from app.services.opening import open_for_caller
from app.services.payment_actions import SILENT
from app.services.verdicts import Verdict, disagrees


@dataclass(frozen=True, slots=True)
class ResolveRefund:
    """A stuck refund, and what it came to; money with the gateway's name of the refund."""

    refund_id: UUID
    verdict: Verdict
    gateway_reference: str | None = None


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A stuck refund, and how its gateway is called."""

    refund: Refund
    call: Row
    now: datetime


async def resolve(rt: Runtime, caller: Caller, cmd: ResolveRefund) -> UUID:
    """Say what a stuck refund came to.

    Raises NotFound; InvalidRequest; Conflict where it is not stuck, or the gateway says otherwise;
    Unavailable where the gateway does not answer.
    """
    if (cmd.verdict is Verdict.NOT_EXECUTED) != (cmd.gateway_reference is None):
        raise InvalidRequest(
            "A refund that moved money has the gateway's own reference, and only that.",
            param="gateway_reference",
        )
    waiting = await _load(rt, caller, cmd.refund_id)
    outcome: Refunded | RefundDeclined | None
    if cmd.gateway_reference is None:
        outcome = await _found_absent(rt, waiting)
    else:
        outcome = await _found_made(rt, waiting, cmd.verdict, cmd.gateway_reference)
    await _conclude(rt, caller, cmd, waiting, outcome)
    return cmd.refund_id


async def _load(rt: Runtime, caller: Caller, refund_id: UUID) -> _Waiting:
    key = caller.merchant_id, refund_id
    async with rt.db.begin(caller.merchant_id) as tx:
        refund, payment = await payments.lock_refund(tx, key)
        now = await now_of_customer(rt, tx, payment.customer_id)
        _check_open(refund)
        if refund.look_up_at is not None:
            raise _being_asked()
        call = (await payments.refund_calls(tx, [key]))[key]
    return _Waiting(refund, call, now)


def _check_open(refund: Refund) -> None:
    if refund.status not in OPEN:
        raise Conflict(f"The refund is {refund.status}.", code=f"refund_{refund.status}")


def _being_asked() -> Conflict:
    return Conflict(
        "The gateway is still being asked about it; wait for that.", code="refund_being_looked_up"
    )


async def _found_made(rt: Runtime, waiting: _Waiting, verdict: Verdict, name: str) -> Refunded:
    """The refund that is said to be this one, as the gateway knows it."""
    refund, gateway = waiting.refund, open_for_caller(rt, waiting.call)
    match await gateway.fetch_refund(name, waiting.call["payment_reference"]):
        case Inconclusive():
            raise Unavailable(SILENT, code="gateway_unavailable")
        case Found(outcome=Refunded() as made, reference=ours):
            if ours not in {None, refund.reference}:
                raise disagrees("The gateway has that refund under another reference of ours.")
        case _:
            raise disagrees("The gateway knows no such refund that succeeded.")
    is_all = (made.amount_minor, made.currency) == (refund.amount, refund.currency)
    if is_all and verdict is Verdict.OTHER_AMOUNT:
        raise disagrees("The gateway returned exactly what was asked for.")
    if not is_all and verdict is Verdict.SUCCEEDED:
        raise disagrees(
            f"The gateway returned {made.amount_minor} {made.currency}, not "
            f"{refund.amount} {refund.currency}."
        )
    return made


async def _found_absent(rt: Runtime, waiting: _Waiting) -> RefundDeclined | None:
    """How the gateway refused it; None: it knows nothing of it, or was never asked for it."""
    refund, call = waiting.refund, waiting.call
    if refund.request is None:
        return None
    gateway = open_for_caller(rt, call)
    looks: list[RefundLookup] = [await gateway.find_refund(refund_calls.query_of(refund, call))]
    if refund.gateway_reference is not None:
        name = refund.gateway_reference
        looks.append(await gateway.fetch_refund(name, call["payment_reference"]))
    refused: RefundDeclined | None = None
    for found in looks:
        match found:
            case Inconclusive():
                raise Unavailable(SILENT, code="gateway_unavailable")
            case Found(outcome=Refunded() | RefundPending()):
                raise disagrees("The gateway has this refund: it was executed.")
            case Found(outcome=RefundDeclined() as refused):
                pass
            case NotFound() | Found():
                pass
    sent_by = (refund.last_sent_at or refund.created_at) + refund_calls.SEND_WITHIN
    age = int((waiting.now - sent_by).total_seconds())
    if refused is None and not gateway.capabilities.absence_is_proof(age):
        raise Conflict("It may still have its effect; wait longer.", code="refund_too_recent")
    return refused


async def _conclude(
    rt: Runtime,
    caller: Caller,
    cmd: ResolveRefund,
    waiting: _Waiting,
    outcome: Refunded | RefundDeclined | None,
) -> None:
    """Settle what the gateway answered, or close it by the person's word; and who said so."""
    key = caller.merchant_id, cmd.refund_id
    async with rt.db.begin(caller.merchant_id) as tx:
        fresh, payment = await payments.lock_refund(tx, key)
        _check_open(fresh)
        if isinstance(outcome, Refunded):
            await _check_nobody_else_s(tx, fresh, outcome)
        if outcome is not None and cmd.verdict is not Verdict.OTHER_AMOUNT:
            decision = refunding.settle(fresh, payment, outcome, waiting.now, new_id)
        else:
            decision = _closed(waiting, fresh, payment, is_elsewhere=outcome is not None)
        await decisions.record(tx, [decision], waiting.now)
        if isinstance(outcome, Refunded) and cmd.verdict is Verdict.OTHER_AMOUNT:
            place = fresh.merchant_id, waiting.call["gateway_account_id"]
            money = reconciling.returned_after_closing(fresh, outcome)
            await differences.found(tx, place, None, [money], rt.clock.now())
        await deeds.note(
            tx,
            caller,
            "refund.resolved",
            fresh.id,
            waiting.now,
            verdict=cmd.verdict,
            gateway_reference=cmd.gateway_reference,
        )
        await idempotency.answered(tx, caller, ids.show("re", fresh.id))


def _closed(waiting: _Waiting, fresh: Refund, payment: Payment, *, is_elsewhere: bool) -> Decision:
    """It has failed, unless anything happened to it since it was loaded. Raises Conflict."""
    if fresh != waiting.refund:
        raise _being_asked()
    if is_elsewhere:  # the name is for what records the money that did go back
        fresh = replace(fresh, gateway_reference=None)
    return refunding.closed_by_hand(fresh, payment, waiting.now, new_id)


async def _check_nobody_else_s(tx: Tx, refund: Refund, made: Refunded) -> None:
    assert refund.gateway_account_id is not None, "it was found at a gateway"
    place = refund.merchant_id, refund.gateway_account_id
    known = await inbox_subjects.refund_of(tx, *place, None, made.gateway_reference)
    if known is not None and known[0].id != refund.id:
        raise disagrees("Another refund of yours has that name at the gateway.")
