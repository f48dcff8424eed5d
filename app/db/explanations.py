"""What a line of an invoice was made from, as it is stored: read for its explanation."""

from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from app.db import coupons, discounts, invoices, prices, usage
from app.db.base import Row, Tx
from app.db.usage import Wanted
from app.domain import crediting, proration
from app.domain.calendar import Interval, Period, Unit
from app.domain.crediting import Charged, Returned
from app.domain.discount import Discount
from app.domain.errors import NotFound
from app.domain.explain import Facts
from app.domain.invoice import Invoice, Line, LineKind
from app.domain.invoicing import Credit
from app.domain.pricing import Price, Usage
from app.domain.proration import FULL

EVENTS_MAX: Final = 20
"""Events that are named as causes: an invoice and its subscription have a handful at one moment."""


async def load(tx: Tx, invoice_id: UUID, line_id: UUID) -> Facts:
    """The facts of a line of the transaction's merchant. Raises NotFound."""
    invoice = await invoices.lock(tx, invoice_id)
    line = next((line for line in invoice.lines if line.id == line_id), None)
    if line is None:
        raise NotFound("The invoice has no such line.", code="invoice_line_not_found")
    charge = line.charge
    price = None
    if charge.price_id is not None:
        key = invoice.merchant_id, charge.price_id
        price = (await prices.load(tx, [key]))[key]
    about = line.subscription_id or invoice.order.subscription_id
    sub = await _subscription(tx, about)
    metered = price is not None and charge.kind is LineKind.USAGE
    return Facts(
        invoice,
        line,
        "UTC" if sub is None else sub["zone"],
        price,
        await _discounts(tx, invoice, about),
        await _events(tx, invoice, line, price) if metered else None,
        None if sub is None else _full(invoice, line, sub),
        await _reversed(tx, invoice, line),
        await _billed_before(tx, about, line) if metered and about is not None else None,
    )


async def causes(tx: Tx, invoice: Invoice) -> list[Row]:
    """The events of the invoice, and those of its subscriptions at the moment it was made."""
    return await tx.fetch(
        """
        SELECT id, type, created_at FROM events
         WHERE merchant_id = current_setting('app.merchant_id')::uuid
           AND (object_id = $1 OR (object_id = ANY ($2::uuid[]) AND created_at = $3))
         ORDER BY id LIMIT $4
        """,
        invoice.id,
        await invoices.subscriptions_of(tx, invoice.id),
        invoice.created_at,
        EVENTS_MAX,
    )


async def _subscription(tx: Tx, about: UUID | None) -> Row | None:
    return await tx.fetchrow(
        """
        SELECT zone, anchor, interval_unit, interval_count, customer_id FROM subscriptions
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        about,
    )


def _full(invoice: Invoice, line: Line, sub: Row) -> Period | None:
    """The anchored period in which the line begins; None where the anchor has moved since."""
    start, share, policy = line.charge.period.start, line.charge.share, invoice.policy
    if share == FULL:
        return line.charge.period
    interval = Interval(Unit(sub["interval_unit"]), sub["interval_count"])
    index = interval.index(sub["anchor"], start, sub["zone"])
    full = interval.period(sub["anchor"], index, sub["zone"])
    of = proration.units(full.start, full.end, policy.proration_basis, sub["zone"])
    return full if of == share.whole else None


async def _discounts(tx: Tx, invoice: Invoice, about: UUID | None) -> tuple[Discount, ...]:
    """The discounts that were there when the invoice was made, in their order."""
    rows = await tx.fetch(
        f"""
        SELECT {discounts.COLUMNS}, {coupons.COLUMNS} FROM discounts d
          JOIN coupons c ON c.merchant_id = d.merchant_id AND c.id = d.coupon_id
         WHERE d.merchant_id = current_setting('app.merchant_id')::uuid
           AND (d.id = ANY ($1::uuid[])
                OR ((d.subscription_id = $2 OR d.customer_id = $3) AND d.created_at <= $4
                    AND (d.ended_at IS NULL OR d.ended_at >= $5)))
         ORDER BY d.customer_id NULLS FIRST, d.position, d.id
        """,
        list({part.discount_id for line in invoice.lines for part in line.discounts}),
        about,
        invoice.order.customer_id,
        invoice.created_at,
        invoice.order.period.start,
    )
    return tuple(discounts.discount(row, coupons.coupon(row)) for row in rows)


async def _events(tx: Tx, invoice: Invoice, line: Line, price: Price | None) -> int | None:
    """How many events the quantity comes from, as the meter counts them now."""
    charge, about = line.charge, line.subscription_id or invoice.order.subscription_id
    if price is None or price.usage is not Usage.METERED or price.meter_id is None:
        return None
    if charge.item_id is None or about is None:
        return None
    ids = invoice.merchant_id, charge.item_id, invoice.order.customer_id, about, price.meter_id
    wanted = Wanted(*ids, charge.period.start, charge.period.end)
    found = await usage.quantities(tx, [wanted])
    return found[invoice.merchant_id, charge.item_id].events


async def _billed_before(tx: Tx, about: UUID, line: Line) -> tuple[int, int] | None:
    """What the same usage of a subscription was billed with on earlier lines."""
    row = await tx.fetchrow(
        f"""
        SELECT sum(l.quantity)::bigint AS quantity, sum(l.amount)::bigint AS amount
          FROM {invoices.BILLS} b
          JOIN invoices i ON i.merchant_id = b.merchant_id AND i.id = b.invoice_id
          JOIN invoice_lines l ON l.merchant_id = i.merchant_id AND l.invoice_id = i.id
         WHERE b.merchant_id = current_setting('app.merchant_id')::uuid
           AND b.subscription_id = $5 AND i.status <> 'void'
           AND l.subscription_item_id = $2 AND l.kind = 'usage' AND l.period_start = $3
           AND l.period_end = $4 AND l.reverses_line_id IS NULL AND l.id < $1
        """,
        line.id,
        line.charge.item_id,
        line.charge.period.start,
        line.charge.period.end,
        about,
    )
    if row is None or row["quantity"] is None:
        return None
    return row["quantity"], row["amount"]


async def _reversed(tx: Tx, invoice: Invoice, line: Line) -> Charged | None:
    """The line that a credit takes back of, with what had been given back of it before."""
    back = line.charge.reverses_line_id
    if back is None:
        return None
    rows = await tx.fetch(
        f"""
        SELECT {invoices.LINES} FROM invoice_lines l
          JOIN invoices i ON i.merchant_id = l.merchant_id AND i.id = l.invoice_id
               {invoices.OF_LINES}
         WHERE l.merchant_id = current_setting('app.merchant_id')::uuid
           AND (l.id = $1 OR (l.reverses_line_id = $1 AND l.id < $2 AND i.status <> 'void'))
         ORDER BY l.reverses_line_id NULLS FIRST, l.id
        """,
        back,
        line.id,
    )
    first, *before = await invoices.lines_of(tx, rows)
    found = Charged(first, rows[0]["invoice_id"], first.charge.period.end)
    for credit in before:
        mirrored = Credit(credit.charge, credit.discounts, credit.taxes)
        found = crediting.returned_after(found, mirrored)
    return await _less_notes(tx, found, invoice.created_at)


async def _less_notes(tx: Tx, charged: Charged, until: datetime) -> Charged:
    """The line with what credit notes had taken back of it by then."""
    rows = await tx.fetch(
        """
        SELECT n.amount, n.discounts, n.taxes, n.period_start, n.period_end
          FROM credit_note_lines n
          JOIN credit_notes c ON c.merchant_id = n.merchant_id AND c.id = n.credit_note_id
         WHERE n.merchant_id = current_setting('app.merchant_id')::uuid
           AND n.invoice_line_id = $1 AND c.status <> 'void' AND c.created_at < $2
        """,
        charged.line.id,
        until,
    )
    for row in rows:
        charged = replace(charged, returned=_plus(charged.returned, row))
        if row["period_start"] is not None and row["period_end"] >= charged.until:
            charged = replace(charged, until=min(charged.until, row["period_start"]))
    return charged


def _plus(before: Returned, note: Row) -> Returned:
    off, taxes, taxables = dict(before.discounts), dict(before.taxes), dict(before.taxables)
    for discount_id, amount in orjson.loads(note["discounts"]):
        key = UUID(discount_id)
        off[key] = off.get(key, 0) + amount
    for rate_id, taxable, amount, *_ in orjson.loads(note["taxes"]):
        key = UUID(rate_id)
        taxes[key] = taxes.get(key, 0) + amount
        taxables[key] = taxables.get(key, 0) + taxable
    return Returned(before.amount + note["amount"], off, taxes, taxables)
