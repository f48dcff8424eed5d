"""Invoices, their lines, and what was taken off and added to each line, as rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias
from uuid import UUID

from app.db import bulk, tables
from app.db.base import Tx
from app.domain.invoice import Invoice

Number: TypeAlias = tuple[int, str]
"""The place of an invoice in its series, and how that reads: (42, "INV-000042")."""

COLUMNS: Final = (
    "merchant_id",
    "id",
    "customer_id",
    "subscription_id",
    "status",
    "series",
    "series_number",
    "number",
    "currency",
    "billing_reason",
    "cycle_start",
    "period_start",
    "period_end",
    "collection_method",
    "subtotal",
    "discount_total",
    "tax_total",
    "tax_added",
    "total",
    "balance_applied",
    "amount_due",
    "amount_paid",
    "due_at",
    "created_at",
    "finalized_at",
    "paid_at",
    "test_clock_id",
    "version",
)
CHANGES: Final = (
    "merchant_id",
    "id",
    "status",
    "amount_paid",
    "paid_at",
    "voided_at",
    "version",
)
LINE_COLUMNS: Final = (
    "merchant_id",
    "id",
    "invoice_id",
    "position",
    "kind",
    "subscription_item_id",
    "price_id",
    "description",
    "quantity",
    "period_start",
    "period_end",
    "amount",
    "discount_amount",
    "tax_amount",
)
LINE_DISCOUNT_COLUMNS: Final = ("merchant_id", "line_id", "discount_id", "amount")
LINE_TAX_COLUMNS: Final = (
    "merchant_id",
    "line_id",
    "tax_rate_id",
    "rate_ppm",
    "inclusive",
    "taxable_amount",
    "amount",
)


def _invoice(i: Invoice, number: Number | tuple[None, None]) -> bulk.Row:
    o = i.order
    return (
        o.merchant_id,
        i.id,
        o.customer_id,
        o.subscription_id,
        i.status,
        o.series,
        *number,
        o.currency,
        o.reason,
        o.cycle_start,
        o.period.start,
        o.period.end,
        o.collection,
        i.subtotal,
        i.discount_total,
        i.tax_total,
        i.tax_added,
        i.total,
        i.balance_applied,
        i.amount_due,
        i.amount_paid,
        i.due_at,
        i.created_at,
        i.finalized_at,
        i.paid_at,
        o.test_clock_id,
        i.version,
    )


async def write(tx: Tx, invoices: Sequence[Invoice], numbers: Mapping[UUID, Number]) -> None:
    """Insert what is new, with its lines and number; update what has changed. Raises Stale."""
    changed = [
        (i.merchant_id, i.id, i.status, i.amount_paid, i.paid_at, i.voided_at, i.version)
        for i in invoices
        if i.version > 1
    ]
    await bulk.update(tx, tables.invoices, CHANGES, changed)
    fresh = [i for i in invoices if i.version == 1]
    if not fresh:
        return
    none = (None, None)
    rows = [_invoice(i, numbers.get(i.id, none)) for i in fresh]
    await bulk.insert(tx, tables.invoices, COLUMNS, rows)
    await _write_lines(tx, fresh)


async def _write_lines(tx: Tx, invoices: Iterable[Invoice]) -> None:
    lines: list[bulk.Row] = []
    discounts: list[bulk.Row] = []
    taxes: list[bulk.Row] = []
    for invoice in invoices:
        merchant = invoice.order.merchant_id
        for line in invoice.lines:
            charge = line.charge
            lines.append(
                (
                    merchant,
                    line.id,
                    invoice.id,
                    line.position,
                    charge.kind,
                    charge.item_id,
                    charge.price_id,
                    charge.description,
                    charge.quantity,
                    charge.period.start,
                    charge.period.end,
                    charge.amount,
                    line.discount_amount,
                    line.tax_amount,
                )
            )
            discounts.extend(
                (merchant, line.id, off.discount_id, off.amount) for off in line.discounts
            )
            for tax in line.taxes:
                rate = tax.rate
                taxes.append(
                    (
                        merchant,
                        line.id,
                        rate.id,
                        rate.rate_ppm,
                        rate.inclusive,
                        tax.taxable,
                        tax.amount,
                    )
                )
    await bulk.insert(tx, tables.invoice_lines, LINE_COLUMNS, lines)
    await bulk.insert(tx, tables.invoice_line_discounts, LINE_DISCOUNT_COLUMNS, discounts)
    await bulk.insert(tx, tables.invoice_line_taxes, LINE_TAX_COLUMNS, taxes)
