"""Pending items as decisions need them: those that wait, or those that a draft has taken."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

import orjson

from app.db.base import Row, Tx
from app.db.subscription_parts import rate
from app.domain.calendar import Period
from app.domain.errors import NotFound
from app.domain.invoice import Charge, DiscountPart, LineKind
from app.domain.invoicing import Credit
from app.domain.pending import PendingItem
from app.domain.pricing import PlanKind, TaxBehaviour
from app.domain.proration import Share
from app.domain.tax import TaxPart, TaxRate

Key = tuple[UUID, UUID]
COLUMNS: Final = """
    p.merchant_id, p.id, p.customer_id, p.subscription_id, p.currency, p.kind, p.description,
    p.quantity, p.period_start, p.period_end, p.amount, p.subscription_item_id, p.price_id,
    p.share_part, p.share_whole, p.reverses_line_id, p.discounts, p.taxes, p.invoice_id,
    p.created_at, p.deleted_at, p.version, pr.plan_id, pl.kind AS plan_kind, p.inline, p.metadata,
    coalesce(p.tax_code, pl.tax_code) AS tax_code,
    coalesce(p.tax_behaviour, pr.tax_behaviour) AS tax_behaviour
"""
FROM: Final = """
    LEFT JOIN prices pr ON pr.merchant_id = p.merchant_id AND pr.id = p.price_id
    LEFT JOIN plans pl ON pl.merchant_id = p.merchant_id AND pl.id = pr.plan_id
"""


async def waiting(tx: Tx, keys: Sequence[Key]) -> dict[Key, tuple[PendingItem, ...]]:
    """What waits for the next invoice of each (merchant, subscription), locked, oldest first."""
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, subscription_id)
          JOIN pending_items p USING (merchant_id, subscription_id) {FROM}
         WHERE p.invoice_id IS NULL AND p.deleted_at IS NULL ORDER BY p.id
           FOR NO KEY UPDATE OF p
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    found: dict[Key, list[PendingItem]] = defaultdict(list)
    for item in await _items(tx, rows):
        assert item.subscription_id is not None
        found[item.merchant_id, item.subscription_id].append(item)
    return {key: tuple(items) for key, items in found.items()}


async def waiting_of_customer(tx: Tx, customer_id: UUID, currency: str | None) -> list[PendingItem]:
    """What waits, without a subscription, for any invoice of a customer in that currency (None: in
    all); locked, oldest first.
    """
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM pending_items p {FROM}
         WHERE p.merchant_id = current_setting('app.merchant_id')::uuid AND p.customer_id = $1
           AND ($2::text IS NULL OR p.currency = $2) AND p.subscription_id IS NULL
           AND p.invoice_id IS NULL AND p.deleted_at IS NULL ORDER BY p.id FOR NO KEY UPDATE OF p
        """,
        customer_id,
        currency,
    )
    return await _items(tx, rows)


async def of_invoice(tx: Tx, invoice_id: UUID) -> list[PendingItem]:
    """What an invoice of the transaction's merchant has taken; locked, oldest first."""
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM pending_items p {FROM}
         WHERE p.merchant_id = current_setting('app.merchant_id')::uuid AND p.invoice_id = $1
           AND p.deleted_at IS NULL ORDER BY p.id FOR NO KEY UPDATE OF p
        """,
        invoice_id,
    )
    return await _items(tx, rows)


async def invoice_of(tx: Tx, item_id: UUID) -> UUID | None:
    """Which invoice has taken an item of the transaction's merchant, if any. Raises NotFound."""
    row = await tx.fetchrow(
        """
        SELECT invoice_id FROM pending_items
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
           AND deleted_at IS NULL
        """,
        item_id,
    )
    if row is None:
        raise NotFound("There is no such pending item.", code="pending_item_not_found")
    about: UUID | None = row["invoice_id"]
    return about


async def lock(tx: Tx, item_id: UUID) -> PendingItem:
    """One pending item of the transaction's merchant, locked. Raises NotFound."""
    rows = await tx.fetch(
        f"""
        SELECT {COLUMNS} FROM pending_items p {FROM}
         WHERE p.merchant_id = current_setting('app.merchant_id')::uuid AND p.id = $1
           AND p.deleted_at IS NULL FOR NO KEY UPDATE OF p
        """,
        item_id,
    )
    if not rows:
        raise NotFound("There is no such pending item.", code="pending_item_not_found")
    return (await _items(tx, rows))[0]


async def _items(tx: Tx, rows: Sequence[Row]) -> list[PendingItem]:
    taxes = [orjson.loads(row["taxes"]) if row["taxes"] != "[]" else [] for row in rows]
    wanted = {
        (row["merchant_id"], UUID(tax[0]))
        for row, of_row in zip(rows, taxes, strict=True)
        for tax in of_row
    }
    rates = await rates_of(tx, sorted(wanted)) if wanted else {}
    return [_item(row, of_row, rates) for row, of_row in zip(rows, taxes, strict=True)]


async def rates_of(tx: Tx, keys: Sequence[Key]) -> dict[Key, TaxRate]:
    """Tax rates by (merchant, id), whether they are active or not."""
    rows = await tx.fetch(
        """
        SELECT r.* FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN tax_rates r USING (merchant_id, id)
        """,
        [k[0] for k in keys],
        [k[1] for k in keys],
    )
    return {(row["merchant_id"], row["id"]): rate(row) for row in rows}


def _item(row: Row, taxes: list[list[Any]], rates: dict[Key, TaxRate]) -> PendingItem:
    merchant = row["merchant_id"]
    charge = Charge(
        LineKind(row["kind"]),
        row["description"],
        row["quantity"],
        Period(row["period_start"], row["period_end"]),
        row["amount"],
        row["subscription_item_id"],
        row["price_id"],
        row["plan_id"],
        Share(row["share_part"], row["share_whole"]),
        (),
        row["reverses_line_id"],
        row["plan_kind"] == PlanKind.ADDON,
    )
    line: Charge | Credit = charge
    if charge.reverses_line_id is not None:
        line = Credit(
            charge,
            tuple(DiscountPart(UUID(off[0]), off[1]) for off in orjson.loads(row["discounts"])),
            tuple(_tax(rates[merchant, UUID(tax[0])], tax) for tax in taxes),
        )
    return PendingItem(
        row["id"],
        merchant,
        row["customer_id"],
        row["subscription_id"],
        row["currency"],
        line,
        row["created_at"],
        row["invoice_id"],
        row["deleted_at"],
        row["version"],
        row["tax_code"],
        None if row["tax_behaviour"] is None else TaxBehaviour(row["tax_behaviour"]),
        row["inline"],
        orjson.loads(row["metadata"]),
    )


def _tax(known: TaxRate, parts: list[Any]) -> TaxPart:
    """The part, at the rate as it was charged: inside the amount or on top, and why it was zero."""
    _, taxable, amount, ppm, inclusive, reason = parts
    charged = replace(known, rate_ppm=ppm, inclusive=inclusive, reason=reason)
    return TaxPart(0, charged, taxable, amount)
