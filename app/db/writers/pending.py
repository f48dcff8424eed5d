"""Pending items as rows."""

from collections.abc import Sequence
from typing import Final

from app.db import bulk, tables
from app.db.base import Tx, dumps
from app.domain.invoicing import Credit
from app.domain.pending import PendingItem
from app.domain.tax import TaxPart

CHANGES: Final = (
    "merchant_id",
    "id",
    "invoice_id",
    "deleted_at",
    "description",
    "quantity",
    "amount",
    "metadata",
    "version",
)
COLUMNS: Final = (
    *CHANGES,
    "customer_id",
    "subscription_id",
    "currency",
    "kind",
    "period_start",
    "period_end",
    "subscription_item_id",
    "price_id",
    "share_part",
    "share_whole",
    "reverses_line_id",
    "discounts",
    "taxes",
    "created_at",
    "tax_code",
    "tax_behaviour",
    "inline",
)


def _change(p: PendingItem) -> bulk.Row:
    charge = p.charge
    return (
        p.merchant_id,
        p.id,
        p.invoice_id,
        p.deleted_at,
        charge.description,
        charge.quantity,
        charge.amount,
        dumps(dict(p.metadata)),
        p.version,
    )


def _row(p: PendingItem) -> bulk.Row:
    charge = p.charge
    discounts, taxes = "[]", "[]"
    if isinstance(p.line, Credit):
        discounts = dumps([[str(d.discount_id), d.amount] for d in p.line.discounts])
        taxes = dumps([tax(part) for part in p.line.taxes])
    return (
        *_change(p),
        p.customer_id,
        p.subscription_id,
        p.currency,
        charge.kind,
        charge.period.start,
        charge.period.end,
        charge.item_id,
        charge.price_id,
        *charge.share,
        charge.reverses_line_id,
        discounts,
        taxes,
        p.created_at,
        p.tax_code,
        p.tax_behaviour,
        p.is_inline,
    )


def tax(part: TaxPart) -> list[object]:
    """A tax as it was charged, as it is kept in a document."""
    rate = part.rate
    return [str(rate.id), part.taxable, part.amount, rate.rate_ppm, rate.inclusive, rate.reason]


async def write(tx: Tx, items: Sequence[PendingItem]) -> None:
    """Insert what is new; note which invoice took an item, or that it was deleted. Raises Stale."""
    changed = [_change(p) for p in items if p.version > 1]
    await bulk.update(tx, tables.pending_items, CHANGES, changed)
    fresh = [_row(p) for p in items if p.version == 1]
    await bulk.insert(tx, tables.pending_items, COLUMNS, fresh)
