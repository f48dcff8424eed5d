"""Invoices, their lines, and what was taken off and added to each line, as rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias
from uuid import UUID

from app.db import bulk, tables
from app.db.base import Tx, dumps
from app.domain import policy as policies
from app.domain.errors import Stale
from app.domain.invoice import Invoice, Status

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
    "amount_credited",
    "finalize_at",
    "voided_at",
    "billing_settings",
    "description",
    "net_days",
)
CHANGES: Final = (
    "merchant_id",
    "id",
    "status",
    "amount_paid",
    "amount_credited",
    "paid_at",
    "voided_at",
    "version",
)
FIXED: Final = ("subscription_id", "cycle_start", "created_at", "test_clock_id")
DRAFT_CHANGES: Final = tuple(name for name in COLUMNS if name not in FIXED)
"""A draft may become another in all but these."""
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
    "share_part",
    "share_whole",
    "reverses_line_id",
    "subscription_id",
)
MEMBER_COLUMNS: Final = (
    "merchant_id",
    "invoice_id",
    "subscription_id",
    "cycle_start",
    "period_start",
    "period_end",
)
LINE_DISCOUNT_COLUMNS: Final = ("merchant_id", "line_id", "discount_id", "amount")
LINE_TAX_COLUMNS: Final = (
    "merchant_id",
    "line_id",
    "tax_rate_id",
    "rate_ppm",
    "inclusive",
    "reason",
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
        i.amount_credited,
        i.finalize_at,
        i.voided_at,
        "{}" if i.policy is policies.DEFAULT else dumps(policies.said(i.policy)),
        o.description,
        o.net_days,
    )


async def write(tx: Tx, invoices: Sequence[Invoice], numbers: Mapping[UUID, Number]) -> None:
    """Insert what is new, with its lines and number; update what has changed. Raises Stale.

    A draft may change in everything and become final; where it comes with lines and stays a draft,
    they are put in the place of those it had.
    """
    none = (None, None)
    changed, drafts, fresh = [], [], []
    for i in invoices:
        if i.version == 1:
            fresh.append(i)
        elif i.number is None:
            drafts.append(i)
        else:
            changed.append(i)
    rows = [
        (
            *(i.merchant_id, i.id, i.status, i.amount_paid, i.amount_credited),
            *(i.paid_at, i.voided_at, i.version),
        )
        for i in changed
    ]
    await bulk.update(tx, tables.invoices, CHANGES, rows)
    if drafts:
        await _write_drafts(tx, drafts, numbers)
    if fresh:
        rows = [_invoice(i, numbers.get(i.id, none)) for i in fresh]
        await bulk.insert(tx, tables.invoices, COLUMNS, rows)
        await _write_lines(tx, fresh)
        members = [
            (i.merchant_id, i.id, m.subscription_id, m.cycle_start, m.period.start, m.period.end)
            for i in fresh
            for m in i.members
        ]
        if members:
            await bulk.insert(tx, tables.invoice_subscriptions, MEMBER_COLUMNS, members)


async def delete(tx: Tx, drafts: Sequence[Invoice]) -> None:
    """Delete drafts as they were read. Raises Stale."""
    if not drafts:
        return
    await _delete_lines(tx, drafts)
    touched = await tx.run(
        """
        DELETE FROM invoices i USING unnest($1::uuid[], $2::uuid[], $3::bigint[])
               AS k (merchant_id, id, version)
         WHERE i.merchant_id = k.merchant_id AND i.id = k.id AND i.version = k.version
           AND i.status = 'draft'
        """,
        [i.merchant_id for i in drafts],
        [i.id for i in drafts],
        [i.version for i in drafts],
    )
    if touched != len(drafts):
        raise Stale("It was changed by another request in the meantime; read it again.")


async def _write_drafts(tx: Tx, drafts: Sequence[Invoice], numbers: Mapping[UUID, Number]) -> None:
    redrawn = [i for i in drafts if i.status is Status.DRAFT and i.lines]
    if redrawn:
        await _delete_lines(tx, redrawn)
        await _write_lines(tx, redrawn)
    kept = [COLUMNS.index(name) for name in DRAFT_CHANGES]
    whole = [_invoice(i, numbers.get(i.id, (None, None))) for i in drafts]
    rows = [tuple(row[place] for place in kept) for row in whole]
    await bulk.update(tx, tables.invoices, DRAFT_CHANGES, rows)


async def _delete_lines(tx: Tx, drafts: Sequence[Invoice]) -> None:
    """Take the lines of drafts away; the database refuses it for any other invoice."""
    keys = [i.merchant_id for i in drafts], [i.id for i in drafts]
    for table in ("invoice_line_discounts", "invoice_line_taxes"):
        await tx.run(
            f"""
            DELETE FROM {table} AS part USING invoice_lines l,
                   unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, invoice_id)
             WHERE l.merchant_id = k.merchant_id AND l.invoice_id = k.invoice_id
               AND part.merchant_id = l.merchant_id AND part.line_id = l.id
            """,
            *keys,
        )
    await tx.run(
        """
        DELETE FROM invoice_lines l USING unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
         WHERE l.merchant_id = k.merchant_id AND l.invoice_id = k.id
        """,
        *keys,
    )


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
                    *charge.share,
                    charge.reverses_line_id,
                    line.subscription_id,
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
                        rate.reason,
                        tax.taxable,
                        tax.amount,
                    )
                )
    await bulk.insert(tx, tables.invoice_lines, LINE_COLUMNS, lines)
    await bulk.insert(tx, tables.invoice_line_discounts, LINE_DISCOUNT_COLUMNS, discounts)
    await bulk.insert(tx, tables.invoice_line_taxes, LINE_TAX_COLUMNS, taxes)
