"""Invoices as credit notes need them: locked with their payments, and what was returned of them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

from app.db import charged, disputes, invoices, payments
from app.db.base import Tx
from app.domain.balance import Balance
from app.domain.crediting import Charged
from app.domain.invoice import Invoice
from app.domain.issuing import Corrected
from app.domain.payment import ENDED, Payment

Key = tuple[UUID, UUID]


async def corrected(tx: Tx, invoice: Invoice, paid: Sequence[Payment]) -> Corrected:
    """The same for an invoice that is locked with its payments; its balance is not loaded."""
    captured = []
    for payment in paid:
        attempt = await payments.captured_attempt(tx, payment)
        if attempt is not None:
            captured.append((payment, attempt))
    return Corrected(
        invoice,
        await _charged(tx, invoice),
        Balance(invoice.merchant_id, invoice.order.customer_id, invoice.order.currency, 0),
        next((payment for payment in paid if payment.status not in ENDED), None),
        tuple(captured),
        await _refunded(tx, invoice, paid),
        withdrawn=await disputes.withdrawn_of_each(
            tx, invoice.merchant_id, [payment.id for payment, _ in captured]
        ),
    )


async def of_invoices(tx: Tx, keys: Iterable[Key]) -> dict[UUID, Corrected]:
    """Final invoices, by (merchant, id), with all that crediting needs, but for their balance.
    Their subscriptions are locked already.
    """
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    paid: dict[UUID, list[Payment]] = defaultdict(list)
    for payment in await payments.of_invoices(tx, wanted):
        paid[payment.invoice_id].append(payment)
    found = {}
    for invoice in await invoices.lock_many(tx, wanted):
        if invoice.number is not None:
            found[invoice.id] = await corrected(tx, invoice, paid[invoice.id])
    return found


async def _charged(tx: Tx, invoice: Invoice) -> tuple[Charged, ...]:
    rows = await tx.fetch(
        f"""
        SELECT {invoices.LINES}, i.status FROM invoice_lines l
          JOIN invoices i ON i.merchant_id = l.merchant_id AND i.id = l.invoice_id
               {invoices.OF_LINES}
         WHERE l.merchant_id = $1 AND l.invoice_id = $2 AND l.reverses_line_id IS NULL
           AND l.amount > 0
         ORDER BY l.position
        """,
        invoice.merchant_id,
        invoice.id,
    )
    return tuple(await charged.of_lines(tx, rows))


async def _refunded(tx: Tx, invoice: Invoice, paid: Sequence[Payment]) -> int:
    """What was refunded of an invoice, or is about to be, beyond what its credit notes say."""
    gone = sum(p.amount_refunded + p.amount_refund_reserved for p in paid)
    if not gone:
        return 0
    noted: int = await tx.fetchval(
        """
        SELECT coalesce(sum(to_refund), 0)::bigint FROM credit_notes
         WHERE merchant_id = $1 AND invoice_id = $2 AND status <> 'void'
        """,
        invoice.merchant_id,
        invoice.id,
    )
    return max(0, gone - noted)
