"""Invoices through the API: paid, voided, written off. Making them is the clock's affair."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from app import ids
from app.db import accounts, balances, billing, decisions, invoices, payments
from app.db.base import Tx
from app.domain import collection, drafting, offline
from app.domain.decision import Decision
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Event, Type
from app.domain.invoice import Invoice
from app.domain.payment import schedule
from app.domain.subscription import Subscription
from app.ids import new_id
from app.runtime import Runtime
from app.services import deeds, idempotency
from app.services import subscriptions as subscribing
from app.services.caller import Caller


@dataclass(frozen=True, slots=True)
class PayInvoice:
    """Pay an open invoice now: with a method (None: the one in use), or outside of any gateway."""

    id: UUID
    payment_method_id: UUID | None = None
    paid_outside: bool = False
    amount: int | None = None
    """Charge so much of what remains; None: all of it."""


async def pay(rt: Runtime, caller: Caller, cmd: PayInvoice) -> UUID:
    """Collect an open invoice at once, or note that all of it was paid elsewhere; the payment.

    Raises Conflict while a payment of it is in flight or its outcome is not known.
    """
    async with rt.db.begin(caller.merchant_id) as tx:
        subs, invoice = await lock(tx, cmd.id)
        now = await subscribing.now_of_customer(rt, tx, invoice.order.customer_id)
        payment = await payments.live_of_invoice(tx, invoice.id)
        if cmd.paid_outside:
            decision = offline.pay_all(invoice, payment, subs, now, new_id)
            await deeds.note(tx, caller, "invoice.paid_outside", invoice.id, now)
        else:
            if invoice.status not in collection.PAYABLE:
                raise Conflict(
                    f"The invoice is {invoice.status}.", code=f"invoice_{invoice.status}"
                )
            method_id = cmd.payment_method_id
            if method_id is not None:
                await billing.payment_method_of(tx, invoice.order.customer_id, method_id)
            if payment is None:
                payment = schedule(invoice, None, now, new_id)
                await decisions.record(tx, [Decision(caller.merchant_id, payments=(payment,))], now)
            method_id = method_id or await _usual_method(tx, subs, invoice)
            amount = _part(invoice, cmd.amount)
            retried = collection.retry(payment, method_id, now, amount)
            decision = Decision(caller.merchant_id, payments=(retried,))
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("inv", invoice.id))
    await subscribing.collect(rt, decision, now)
    return decision.payments[0].id


def _part(invoice: Invoice, amount: int | None) -> int:
    """What is to be charged of what remains. Raises InvalidRequest."""
    remaining = invoice.amount_remaining
    if amount is not None and amount > remaining:
        raise InvalidRequest(
            f"{remaining} remains to be paid.", code="payment_exceeds_remaining", param="amount"
        )
    return remaining if amount is None else amount


async def void(rt: Runtime, caller: Caller, invoice_id: UUID, *, rebill: bool = False) -> UUID:
    """Void an unpaid invoice; what it posted is reversed and the credit it used returned.

    With `rebill` its lines wait to be billed again; otherwise they are owed no more.
    """
    async with rt.db.begin(caller.merchant_id) as tx:
        subs, invoice = await lock(tx, invoice_id)
        now = await subscribing.now_of_customer(rt, tx, invoice.order.customer_id)
        payment = await payments.live_of_invoice(tx, invoice.id)
        key = (caller.merchant_id, invoice.order.customer_id, invoice.order.currency)
        held = await balances.load(tx, [key])
        decision = collection.void(invoice, payment, held[key], now, new_id)
        if rebill:
            again = drafting.owed_again(invoice, subs, now, new_id)
            told = [Event(new_id(), Type.PENDING_ITEM_CREATED, item) for item in again]
            events = (*decision.events, *told)
            decision = replace(decision, pending=again, events=events)
        await deeds.note(tx, caller, "invoice.voided", invoice.id, now)
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("inv", invoice.id))
    return invoice.id


async def mark_uncollectible(rt: Runtime, caller: Caller, invoice_id: UUID) -> UUID:
    """Give up on an unpaid invoice: the rest becomes bad debt, and can still be paid later."""
    async with rt.db.begin(caller.merchant_id) as tx:
        _, invoice = await lock(tx, invoice_id)
        now = await subscribing.now_of_customer(rt, tx, invoice.order.customer_id)
        payment = await payments.live_of_invoice(tx, invoice.id)
        decision = collection.write_off(invoice, payment, new_id)
        await deeds.note(tx, caller, "invoice.marked_uncollectible", invoice.id, now)
        await decisions.record(tx, [decision], now)
        await idempotency.answered(tx, caller, ids.show("inv", invoice.id))
    return invoice.id


async def lock(tx: Tx, invoice_id: UUID) -> tuple[list[Subscription], Invoice]:
    """The invoice and its subscriptions, locked in the order that collection locks them in."""
    about = await invoices.subscriptions_of(tx, invoice_id)
    subs = [(await accounts.lock(tx, one)).subscription for one in about]
    await payments.of_invoice(tx, invoice_id)
    return subs, await invoices.lock(tx, invoice_id)


async def _usual_method(tx: Tx, subs: Sequence[Subscription], invoice: Invoice) -> UUID | None:
    """The method of its subscriptions, which is one for all of them, or else the customer's."""
    if subs and subs[0].payment_method_id is not None:
        return subs[0].payment_method_id
    customer = await billing.customer(tx, invoice.order.customer_id)
    default: UUID | None = customer["default_payment_method_id"]
    return default
