"""Payments that came outside of any gateway: recorded, and taken back."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app import ids
from app.db import balances, decisions, payments
from app.db.base import Tx
from app.domain import offline
from app.domain.offline import Overpayment, Owed, Receipt
from app.domain.payment import Offline, OfflineMethod
from app.ids import new_id
from app.runtime import Runtime
from app.services import deeds, idempotency, invoices
from app.services.caller import Caller
from app.services.moments import now_of_customer


@dataclass(frozen=True, slots=True)
class RecordPayment:
    """Money that came for an invoice; without `amount` all that remains, without a time just now.

    The same `reference` is recorded once, so a bank's statement may be imported twice.
    """

    invoice_id: UUID
    method: OfflineMethod
    amount: int | None = None
    received_at: datetime | None = None
    reference: str | None = None
    note: str | None = None
    overpayment: Overpayment = Overpayment.REFUSE


async def record(rt: Runtime, caller: Caller, cmd: RecordPayment) -> UUID:
    """Write down money that came outside of any gateway; what it pays is paid with that.

    Raises NotFound, InvalidRequest, and Conflict: the reference is known, or a payment in flight
    may take what this one pays.
    """
    async with rt.db.begin(caller.merchant_id) as tx:
        about, now = await _owed(rt, tx, cmd.invoice_id)
        came = Offline(cmd.method, cmd.received_at or now, cmd.reference, cmd.note)
        receipt = Receipt(came, cmd.amount, cmd.overpayment)
        decision = offline.receive(about, receipt, now, new_id)
        await decisions.record(tx, [decision], now)
        payment = decision.payments[0]
        await deeds.note(tx, caller, "payment.recorded", payment.id, now, amount=payment.amount)
        await idempotency.answered(tx, caller, ids.show("pay", payment.id))
    return payment.id


async def reverse(rt: Runtime, caller: Caller, payment_id: UUID, reason: str | None) -> UUID:
    """Take a recorded payment back: it bounced, or was never made. Raises NotFound, Conflict."""
    async with rt.db.begin(caller.merchant_id) as tx:
        invoice_id = await payments.invoice_of(tx, payment_id)
        about, now = await _owed(rt, tx, invoice_id)
        payment = await payments.lock(tx, payment_id)
        decision = offline.reverse(about, payment, reason, now, new_id)
        await decisions.record(tx, [decision], now)
        await deeds.note(tx, caller, "payment.reversed", payment_id, now, reason=reason)
        await idempotency.answered(tx, caller, ids.show("pay", payment_id))
    return payment_id


async def _owed(rt: Runtime, tx: Tx, invoice_id: UUID) -> tuple[Owed, datetime]:
    """The invoice with what a payment of it touches, locked; and what time it is for it."""
    subs, invoice = await invoices.lock(tx, invoice_id)
    now = await now_of_customer(rt, tx, invoice.order.customer_id)
    live = await payments.live_of_invoice(tx, invoice_id)
    key = invoice.merchant_id, invoice.order.customer_id, invoice.order.currency
    balance = (await balances.load(tx, [key]))[key]
    return Owed(invoice, live, balance, tuple(subs)), now
