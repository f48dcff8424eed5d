"""Mending a difference between our books and a gateway's, by one call, once.

What moves money is written down first: a refund has its key by the difference's id, so that however
often it is asked for the gateway makes it once. What only our books lack is recorded by the same
decisions as anything else.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from app import log
from app.db import accounts, balances, decisions, inbox_subjects, invoices, payments, policies
from app.db import reconciliations as rows
from app.db.base import Row, Tx
from app.domain import balance as balance_rules
from app.domain import collection, refunding, settling
from app.domain.collection import PAYABLE, Bill
from app.domain.decision import Decision
from app.domain.errors import BillingError, Conflict, InvalidRequest
from app.domain.ledger import Account, Entry, Source, cash
from app.domain.outcome import (
    Found,
    NotFound,
    RefundDeclined,
    RefundDeclineReason,
    Refunded,
    RefundOutcome,
    Succeeded,
)
from app.domain.payment import IN_FLIGHT, RETRYABLE, Attempt, Payment, schedule
from app.domain.policy import LatePayments
from app.domain.reconciling import REPAIRS, Kind, Repair, reversal_of
from app.gateways.capabilities import NativeKey
from app.gateways.requests import RefundQuery, RefundRequest
from app.ids import new_id, show
from app.runtime import Runtime
from app.services import deeds, idempotency, look_ups, refund_calls, refunds
from app.services import payments as paying
from app.services.caller import Caller
from app.services.differences import resolved
from app.services.opening import open_for_caller
from app.services.reconciliation import check_open, missing

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class RepairDifference:
    """How a difference is mended; None: in the usual way for its kind."""

    id: UUID
    repair: Repair | None = None


async def repair(rt: Runtime, caller: Caller, cmd: RepairDifference) -> UUID:
    """Mend a difference. Raises NotFound, Conflict, InvalidRequest."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        row = await rows.lock(tx, cmd.id)
        if row is None:
            raise missing()
        check_open(row)
        way = _way(row, cmd.repair)
        _check_spare(row)
        await deeds.note(tx, caller, "reconciliation_difference.repaired", cmd.id, now, way=way)
        if way is Repair.REFUND and row["status"] == "open":
            await rows.begin_refund(tx, cmd.id, now)
        elif way in RECORDED:
            await RECORDED[way](tx, row, await _now_of(tx, row, now))
            await rows.mark(tx, cmd.id, "repaired", now, repair=way)
            await resolved(tx, caller.merchant_id, cmd.id, now)
        await idempotency.answered(tx, caller, show("diff", cmd.id))
    if way is Repair.REFUND:
        await _give_back(rt, row, now, first=row["status"] == "open")
    elif way is Repair.SETTLE:
        await _settle(rt, row, now)
    return cmd.id


async def dismiss(rt: Runtime, caller: Caller, id: UUID, note: str) -> UUID:
    """A person has looked at it and says why nothing is to be done. Raises NotFound, Conflict."""
    now = rt.clock.now()
    async with rt.db.begin(caller.merchant_id) as tx:
        row = await rows.lock(tx, id)
        if row is None:
            raise missing()
        check_open(row)
        if row["status"] == "repairing":
            raise Conflict("Its refund is on its way.", code="difference_repairing")
        await rows.mark(tx, id, "dismissed", now, note=note)
        await deeds.note(tx, caller, "reconciliation_difference.dismissed", id, now, note=note)
        await resolved(tx, caller.merchant_id, id, now)
        await idempotency.answered(tx, caller, show("diff", id))
    return id


async def go_on(rt: Runtime) -> int:
    """Find out about repairs whose answer did not come; how many."""
    async with rt.db.begin_system() as tx:
        waiting = await rows.repairing(tx, rt.clock.now())
    for one in waiting:
        try:
            async with rt.db.begin(one["merchant_id"]) as tx:
                row = await rows.lock(tx, one["id"])
            if row is not None and row["status"] == "repairing":
                await _give_back(rt, row, rt.clock.now(), first=False)
        except Exception:  # one account that does not open is in nobody else's way
            logger.exception("reconcile.not_repaired", difference=show("diff", one["id"]))
    return len(waiting)


async def by_policy(rt: Runtime) -> int:
    """Mend late money as its merchant's settings say, without anybody's doing; how many."""
    async with rt.db.begin_system() as tx:
        waiting = await rows.late_money(tx, rt.clock.now())
        settings = await policies.load(tx, {row["merchant_id"] for row in waiting})
    mended = 0
    for row in waiting:
        late = settings[row["merchant_id"]].late_payments
        if late is LatePayments.REVIEW:
            continue
        way = Repair.REFUND if late is LatePayments.REFUND else Repair.APPLY
        is_live = row["mode"] == "live"
        caller = Caller(row["merchant_id"], is_live, None, frozenset(), "reconciliation")
        try:
            await repair(rt, caller, RepairDifference(row["id"], way))
            mended += 1
        except BillingError as refused:  # it stays open, for a person
            logger.warning("reconcile.not_repaired", difference=str(row["id"]), code=refused.code)
        except Exception:
            logger.exception("reconcile.not_repaired", difference=show("diff", row["id"]))
    return mended


def _way(row: Row, wanted: Repair | None) -> Repair:
    ways = REPAIRS[Kind(row["kind"])]
    if row["status"] == "repairing":
        return Repair.REFUND
    if not ways:
        raise Conflict(
            "Nothing here mends it: correct it at the gateway, then dismiss it.",
            code="difference_not_repairable",
        )
    if wanted is not None and wanted not in ways:
        raise InvalidRequest(f"This is repaired by {' or '.join(ways)}.", param="repair")
    return wanted or ways[0]


async def _now_of(tx: Tx, row: Row, now: datetime) -> datetime:
    """What time it is for whoever paid; `now`: by the wall clock."""
    if row["payment_id"] is None:
        return now
    return await inbox_subjects.now_of_payment(tx, row["payment_id"]) or now


def _check_spare(row: Row) -> None:
    """Refuse to touch one of two charges while that may be the one that counts. Raises Conflict."""
    if row["kind"] != Kind.CHARGED_TWICE or row["status"] == "repairing":
        return
    if row["attempt_status"] in IN_FLIGHT:
        raise Conflict(
            "Which of its charges counts is not settled yet; settle that first.",
            code="difference_not_settled",
        )
    if row["attempt_reference"] == row["gateway_reference"]:
        raise Conflict("This charge is the one that counts.", code="difference_outdated")


# ── what only our books lack ──────────────────────────────────────────────────────────────────────


async def _apply(tx: Tx, row: Row, now: datetime) -> None:
    """Money that was taken pays the invoice it was for, or a part of that; where less is owed, it
    becomes the customer's credit. Raises Conflict while another payment of it is in flight.
    """
    about = await invoices.subscriptions_of(tx, row["invoice_id"])
    subs = await accounts.load_many(tx, [(row["merchant_id"], one) for one in about])
    attempt, paid = await _attempt(tx, row)
    invoice = await invoices.lock(tx, attempt.invoice_id)
    amount: int = row["amount_there"]
    is_other_money = row["currency"] != invoice.order.currency
    if is_other_money or invoice.status not in PAYABLE or amount > invoice.amount_remaining:
        await _to_balance(tx, row, paid.customer_id, amount, now)
        return
    live = await payments.live_of_invoice(tx, invoice.id)
    if live is not None and live.status not in RETRYABLE:
        raise Conflict(
            "A payment of its invoice is in flight, or its outcome is not known yet.",
            code="payment_in_flight",
        )
    payment = live or schedule(invoice, attempt.payment_method_id, now, new_id)
    bill = Bill(invoice, payment, None, tuple(subs.values()))
    for decision in _paid_by(bill, attempt, row, now, is_new=live is None):
        await decisions.record(tx, [decision], now)


def _paid_by(
    bill: Bill, attempt: Attempt, row: Row, now: datetime, *, is_new: bool
) -> Iterator[Decision]:
    """The invoice, paid by money that came for an attempt which was closed: by one of its own."""
    payment = bill.payment
    if is_new:
        yield Decision(payment.merchant_id, payments=(payment,))
    if attempt.gateway_reference == row["gateway_reference"]:
        # One transaction there is one attempt here: the new one bears its name.
        moved = f"the gateway took it after all, as {attempt.gateway_reference}"
        free = replace(attempt, gateway_reference=None, detail=moved, version=attempt.version + 1)
        yield Decision(payment.merchant_id, attempts=(free,))
    payment = collection.retry(payment, attempt.payment_method_id, now, row["amount_there"])
    yield Decision(payment.merchant_id, payments=(payment,))
    method = attempt.payment_method_id, attempt.gateway_account_id
    begun = collection.begin(replace(bill, payment=payment), method, now, new_id, paying.reference)
    yield begun
    [payment], [own] = begun.payments, begun.attempts
    fee = orjson.loads(row["detail"]).get("fee")
    money = Succeeded(
        row["gateway_reference"],
        row["amount_there"],
        row["currency"],
        fee_minor=None if fee is None else int(fee),
    )
    yield settling.settle(replace(bill, payment=payment, attempt=own), money, now, new_id)


async def _to_balance(tx: Tx, row: Row, customer_id: UUID, amount: int, now: datetime) -> None:
    key = row["merchant_id"], customer_id, row["currency"]
    held = (await balances.load(tx, [key]))[key]
    entry, posting = balance_rules.receive(
        held, amount, row["gateway_account_id"], row["gateway_reference"], new_id
    )
    decision = Decision(row["merchant_id"], balances=(entry,), entries=(posting,))
    await decisions.record(tx, [decision], now)


async def _record(tx: Tx, row: Row, now: datetime) -> None:
    """What has happened at the gateway is written into our books."""
    match Kind(row["kind"]):
        case Kind.FEE_DIFFERS:
            await _fee(tx, row, now)
        case Kind.CHARGE_AMOUNT_DIFFERS:
            more = row["amount_there"] - row["amount_here"]
            if more > 0:
                _, paid = await _attempt(tx, row)
                await _to_balance(tx, row, paid.customer_id, more, now)
            else:
                await _returned(tx, row, -more, "changed at the gateway", now)
        case Kind.CHARGE_MISSING_THERE | Kind.CHARGE_UNDONE_THERE:
            await _rest_returned(tx, row, now)
        case Kind.REFUND_UNDONE_THERE:
            theirs = row["gateway_reference"]
            back = RefundDeclined(RefundDeclineReason.GENERIC, "undone_at_the_gateway", theirs)
            if not await _overturned(tx, row, back, now):
                raise Conflict("The refund is none here any more.", code="difference_outdated")
        case Kind.REFUND_AFTER_CLOSING:
            out = Refunded(row["gateway_reference"], row["amount_there"], row["currency"])
            if not await _overturned(tx, row, out, now):
                await _returned(tx, row, row["amount_there"], "made at the gateway", now)
        case _:
            await _returned(tx, row, row["amount_there"], "made at the gateway", now)


async def _overturned(tx: Tx, row: Row, said: RefundOutcome, now: datetime) -> bool:
    """Whether our refund became what the gateway says of it now."""
    refund, payment = await payments.lock_refund(tx, (row["merchant_id"], row["refund_id"]))
    decision = refunding.settle(refund, payment, said, now, new_id)
    await decisions.record(tx, [decision], now)
    return bool(decision.refunds)


async def _fee(tx: Tx, row: Row, now: datetime) -> None:
    attempt, paid = await _attempt(tx, row)
    before = await rows.set_fee(tx, attempt.id, row["amount_there"])
    more = row["amount_there"] - (before or 0)
    sides = [Account.GATEWAY_FEES, cash(row["gateway_account_id"])]
    debit, credit = sides if more > 0 else sides[::-1]
    entry = Entry(
        new_id(),
        row["merchant_id"],
        Source.PAYMENT,
        paid.id,
        debit,
        credit,
        row["currency"],
        abs(more),
    )
    await decisions.record(tx, [Decision(row["merchant_id"], entries=(entry,))], now)


async def _rest_returned(tx: Tx, row: Row, now: datetime) -> None:
    """Of a charge that the gateway has let go of, what had not been refunded is not with us either.
    Raises Conflict while a refund of it is on its way.
    """
    payment = await payments.lock(tx, row["payment_id"])
    if payment.amount_refund_reserved:
        raise Conflict(
            "A refund of it is on its way; how much is left is known after that.",
            code="refund_in_flight",
        )
    left = min(row["amount_here"], payment.refundable)
    if left > 0:
        await _returned(tx, row, left, "undone at the gateway", now)


async def _returned(tx: Tx, row: Row, amount: int, why: str, now: datetime) -> None:
    """Money that is not with us any more went back: a refund that nobody has to be asked for."""
    if row["payment_id"] is None:
        raise Conflict(
            "No payment of ours is what it was returned of; dismiss it.",
            code="difference_not_repairable",
        )
    payment = await payments.lock(tx, row["payment_id"])
    captured = await payments.captured_attempt(tx, payment)
    if captured is None:
        raise Conflict(f"The payment is {payment.status}.", code=f"payment_{payment.status}")
    asked = refunding.request(payment, captured, amount, why, now, new_id, paying.reference)
    await decisions.record(tx, [asked], now)
    [refund], [reserved] = asked.refunds, asked.payments
    reference = row["gateway_reference"] or row["our_reference"]
    if Kind(row["kind"]) not in REFUNDS:
        reference = reversal_of(reference)
    money = Refunded(reference, amount, row["currency"])
    await decisions.record(tx, [refunding.settle(refund, reserved, money, now, new_id)], now)


async def _attempt(tx: Tx, row: Row) -> tuple[Attempt, Payment]:
    key = row["merchant_id"], row["payment_attempt_id"]
    [found] = await payments.lock_attempts(tx, [key])
    return found


REFUNDS: Final = frozenset({Kind.REFUND_UNKNOWN_HERE, Kind.REFUND_AFTER_CLOSING})
RECORDED: Final[Mapping[Repair, Callable[[Tx, Row, datetime], Awaitable[None]]]] = {
    Repair.APPLY: _apply,
    Repair.RECORD: _record,
}
NEVER_MADE: Final = RefundDeclined(RefundDeclineReason.GENERIC, "never_executed")


# ── what is asked of the gateway ──────────────────────────────────────────────────────────────────


async def _give_back(rt: Runtime, row: Row, now: datetime, *, first: bool) -> None:
    """Refund, at the gateway, money that is not ours: once, whatever becomes of the answer.

    Only whoever wrote down that it is on its way may send it first; after that it is looked for,
    and sent again only where its key makes that safe.
    """
    gateway = open_for_caller(rt, row)
    request = RefundRequest(
        refund_code=paying.reference(row["id"]),
        idempotency_key=f"perennial-{row['id'].hex}",
        payment_reference=row["gateway_reference"],
        amount_minor=row["amount_there"],
        currency=row["currency"],
        payment_amount_minor=row["amount_there"],
    )
    if first:
        await _given_back(rt, row, await refund_calls.send(gateway, request), now)
        return
    found = await gateway.find_refund(
        RefundQuery(
            request.refund_code,
            payment_reference=request.payment_reference,
            amount_minor=request.amount_minor,
            currency=request.currency,
        )
    )
    if isinstance(found, Found):
        await _given_back(rt, row, found.outcome, now)
        return
    key, age = (
        gateway.capabilities.refund_repeatability,
        int((now - row["sent_at"]).total_seconds()),
    )
    if isinstance(found, NotFound) and isinstance(key, NativeKey) and key.covers(age):
        outcome = await refund_calls.send(gateway, request, again=True)
        await _given_back(rt, row, outcome, now)
    elif found == NotFound(definitive=True) and gateway.capabilities.absence_is_proof(age):
        await _given_back(rt, row, NEVER_MADE, now)


async def _given_back(rt: Runtime, row: Row, outcome: RefundOutcome, now: datetime) -> None:
    async with rt.db.begin(row["merchant_id"]) as tx:
        fresh = await rows.lock(tx, row["id"])
        if fresh is None or fresh["status"] != "repairing":
            return
        match outcome:
            case Refunded():
                await rows.mark(tx, row["id"], "repaired", now)
                await resolved(tx, row["merchant_id"], row["id"], now)
            case RefundDeclined(gateway_code=code):
                is_refused = outcome != NEVER_MADE
                await rows.not_refunded(tx, row["id"], code, is_refused=is_refused)
            case _:
                await rows.mark(tx, row["id"], "repairing", now, note="the answer is not known")


async def _settle(rt: Runtime, row: Row, now: datetime) -> None:
    """What is in flight here is asked for, by the same way as ever."""
    async with rt.db.begin_system() as tx:
        await rows.hasten(tx, row["merchant_id"], row["gateway_account_id"], now)
    await look_ups.resolve_due(rt)
    await refunds.resolve_due(rt)
    async with rt.db.begin(row["merchant_id"]) as tx:
        for one in await rows.settled_meanwhile(tx, row, now):
            await resolved(tx, row["merchant_id"], one, now)
