"""What a stuck attempt came to, said by a person: believed as far as the gateway does not disagree.

Only an attempt that no look-up will settle any more is decided so, and never against the gateway's
own books: it is asked once more, here and now. Each verdict is in the audit log.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final
from uuid import UUID

from app import ids
from app.db import decisions, inbox_subjects, payments
from app.db.base import Tx
from app.domain import reconciling, settling
from app.domain.collection import Bill
from app.domain.errors import Conflict, InvalidRequest, Unavailable
from app.domain.outcome import (
    Authorized,
    Declined,
    Found,
    Inconclusive,
    NotFound,
    Outcome,
    PaymentLookup,
    Pending,
    RequiresAction,
    Succeeded,
    Voided,
)
from app.domain.payment import IN_FLIGHT, Attempt, Status
from app.domain.reconciling import Kind
from app.gateways.base import Gateway
from app.ids import new_id
from app.runtime import Runtime
from app.services import charging, deeds, differences, idempotency
from app.services.caller import Caller
from app.services.opening import open_for_caller
from app.services.payment_actions import SILENT, Waiting, load
from app.services.payments import SEND_WITHIN, settle_all

WAITS: Final = frozenset({Status.REQUIRES_PAYMENT_METHOD, Status.SCHEDULED})


class Verdict(StrEnum):
    """What a person found out."""

    SUCCEEDED = "succeeded"
    OTHER_AMOUNT = "other_amount"
    """The gateway took money for it, but not what was asked for: that is a difference to mend."""
    NOT_EXECUTED = "not_executed"


@dataclass(frozen=True, slots=True)
class ResolvePayment:
    """A payment's stuck attempt, and what it came to; money with the gateway's name of it."""

    payment_id: UUID
    verdict: Verdict
    gateway_reference: str | None = None


async def resolve(rt: Runtime, caller: Caller, cmd: ResolvePayment) -> UUID:
    """Say what a stuck attempt came to.

    Raises NotFound; InvalidRequest; Conflict where it is not stuck, or the gateway says otherwise;
    Unavailable where the gateway does not answer.
    """
    if (cmd.verdict is Verdict.NOT_EXECUTED) != (cmd.gateway_reference is None):
        raise InvalidRequest(
            "A payment that took money has the gateway's own reference, and only that.",
            param="gateway_reference",
        )
    waiting = await load(rt, caller, cmd.payment_id, IN_FLIGHT)
    _check_stuck(waiting.attempt)
    gateway = open_for_caller(rt, waiting.method)
    if cmd.gateway_reference is None:
        ended = await _found_absent(gateway, waiting)
        if ended is not None:
            await settle_all(rt, [(waiting.attempt, ended)], waiting.now)
        return await _conclude(rt, caller, cmd, waiting, close=ended is None)
    taken = await _found_taken(gateway, waiting.attempt, cmd.gateway_reference)
    if cmd.verdict is Verdict.SUCCEEDED:
        _check_amount(waiting.attempt, taken)
        await settle_all(rt, [(waiting.attempt, taken)], waiting.now)
        return await _conclude(rt, caller, cmd, waiting)
    await _check_other_amount(rt, waiting.attempt, taken)
    await _conclude(rt, caller, cmd, waiting, close=True, taken=taken)
    place = waiting.attempt.merchant_id, waiting.attempt.gateway_account_id
    money = reconciling.money_of(Kind.CHARGE_AFTER_CLOSING, waiting.attempt, taken)
    await differences.noticed(rt, place, [money])  # the nightly list finds it too
    return cmd.payment_id


def _check_stuck(attempt: Attempt) -> None:
    """Refuse while a look-up may settle it, or send it again. Raises Conflict."""
    if attempt.look_up_at is not None:
        raise Conflict(
            "The gateway is still being asked about it; wait for that.",
            code="payment_being_looked_up",
        )


async def _found_taken(gateway: Gateway, attempt: Attempt, reference: str) -> Succeeded:
    """The charge that is said to be this attempt's, as the gateway knows it."""
    found = await gateway.fetch_payment(reference)
    match found:
        case Inconclusive():
            raise Unavailable(SILENT, code="gateway_unavailable")
        case Found(outcome=Succeeded() as paid, reference=ours):
            if ours not in {None, attempt.reference}:
                raise disagrees("The gateway has that charge under another reference of ours.")
            return paid
        case _:
            raise disagrees("The gateway knows no such charge that succeeded.")


def _check_amount(attempt: Attempt, taken: Succeeded) -> None:
    if not _is_what_was_asked(attempt, taken):
        raise disagrees(
            f"The gateway took {taken.amount_minor} {taken.currency}, not "
            f"{attempt.amount} {attempt.currency}."
        )


async def _check_other_amount(rt: Runtime, attempt: Attempt, taken: Succeeded) -> None:
    if _is_what_was_asked(attempt, taken):
        raise disagrees("The gateway took exactly what was asked for.")
    place = attempt.merchant_id, attempt.gateway_account_id
    async with rt.db.begin(attempt.merchant_id) as tx:
        known = await inbox_subjects.attempt_of(tx, *place, None, taken.gateway_reference)
    if known is not None and known[0].id != attempt.id:
        raise disagrees("Another payment of yours has that charge.")


def _is_what_was_asked(attempt: Attempt, taken: Succeeded) -> bool:
    return (taken.amount_minor, taken.currency) == (attempt.amount, attempt.currency)


async def _found_absent(gateway: Gateway, waiting: Waiting) -> Outcome | None:
    """How the gateway knows it to have ended without money; None: it knows nothing of it."""
    attempt = waiting.attempt
    looks: list[PaymentLookup] = [
        await gateway.find_payment(charging.query_of(attempt, waiting.method))
    ]
    if attempt.gateway_reference is not None:
        looks.append(await gateway.fetch_payment(attempt.gateway_reference))
    for found in looks:
        match found:
            case Inconclusive():
                raise Unavailable(SILENT, code="gateway_unavailable")
            case Found(outcome=Declined() | Voided() as ended):
                return ended
            case Found(outcome=Succeeded() | Authorized() | Pending() | RequiresAction()):
                raise disagrees("The gateway has this charge: it was executed.")
            case NotFound() | Found():
                pass
    sent_at = attempt.last_sent_at or attempt.created_at
    age = int((waiting.now - sent_at - SEND_WITHIN).total_seconds())
    if not gateway.capabilities.absence_is_proof(age):
        raise Conflict("It may still have its effect; wait longer.", code="payment_too_recent")
    return None


def disagrees(message: str) -> Conflict:
    """What is said is not what the gateway says."""
    return Conflict(message, code="gateway_disagrees")


async def _conclude(
    rt: Runtime,
    caller: Caller,
    cmd: ResolvePayment,
    waiting: Waiting,
    *,
    close: bool = False,
    taken: Succeeded | None = None,
) -> UUID:
    """Close it where that is the verdict; write down who said so, if it came to that."""
    is_paid = cmd.verdict is Verdict.SUCCEEDED
    async with rt.db.begin(caller.merchant_id) as tx:
        if close:
            await _close(tx, waiting, taken)
        payment = await payments.lock(tx, cmd.payment_id)
        if payment.status not in ({Status.SUCCEEDED} if is_paid else WAITS):
            raise Conflict(f"The payment is {payment.status}.", code=f"payment_{payment.status}")
        await deeds.note(
            tx,
            caller,
            "payment.resolved",
            payment.id,
            waiting.now,
            verdict=cmd.verdict,
            gateway_reference=cmd.gateway_reference,
            attempt=ids.show("att", waiting.attempt.id),
        )
        await idempotency.answered(tx, caller, ids.show("pay", payment.id))
    return cmd.payment_id


async def _close(tx: Tx, waiting: Waiting, taken: Succeeded | None) -> None:
    """It is in flight no more; with what was `taken` for it, nothing is charged in its place."""
    key = (waiting.attempt.merchant_id, waiting.attempt.id)
    [(fresh, payment)] = await payments.lock_attempts(tx, [key])
    _check_stuck(fresh)
    if fresh.last_sent_at != waiting.attempt.last_sent_at:
        raise Conflict("It was sent again meanwhile.", code="payment_too_recent")
    if fresh.status not in IN_FLIGHT:
        return
    [bill] = await payments.load_bills(tx, [payment])
    decision = settling.closed_by_hand(replace(bill, attempt=fresh), waiting.now, new_id)
    await decisions.record(tx, [decision], waiting.now)
    if taken is None:
        return
    [(closed, payment)] = await payments.lock_attempts(tx, [key])
    late = Bill(bill.invoice, payment, closed)
    await decisions.record(tx, [settling.settle(late, taken, waiting.now, new_id)], waiting.now)
