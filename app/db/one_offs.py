"""Invoices made by hand, as rows: what they are taxed and discounted by, and what they carry."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson

from app.db import coupons, pending
from app.db.base import Tx, dumps
from app.domain.discount import Discount
from app.domain.invoice import BillingReason, Invoice
from app.domain.invoicing import discount_ids
from app.domain.tax import TaxRate


class Described(NamedTuple):
    """How an invoice made by hand is taxed, and what it carries for its merchant."""

    automatic_tax: bool
    tax_rate_ids: tuple[UUID, ...]
    metadata: Mapping[str, str]


async def describe(tx: Tx, invoice_id: UUID, what: Described) -> None:
    """Write down how an invoice of the transaction's merchant is taxed and what it carries."""
    await tx.run(
        """
        UPDATE invoices SET automatic_tax = $2, tax_rate_ids = $3, metadata = $4
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        invoice_id,
        what.automatic_tax,
        dumps([str(rate_id) for rate_id in what.tax_rate_ids]),
        dumps(what.metadata),
    )


async def described(tx: Tx, invoice_id: UUID) -> Described:
    """How an invoice of the transaction's merchant is taxed, and what it carries."""
    row = await tx.fetchrow(
        """
        SELECT automatic_tax, tax_rate_ids, metadata FROM invoices
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        invoice_id,
    )
    assert row is not None, "whoever asks has locked it"
    ids = tuple(UUID(rate_id) for rate_id in orjson.loads(row["tax_rate_ids"]))
    return Described(row["automatic_tax"], ids, orjson.loads(row["metadata"]))


async def set_metadata(tx: Tx, invoice_id: UUID, metadata: Mapping[str, str]) -> None:
    """Replace what an invoice carries for its merchant; the version is the caller's affair."""
    await tx.run(
        """
        UPDATE invoices SET metadata = $2
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND id = $1
        """,
        invoice_id,
        dumps(metadata),
    )


async def rates(tx: Tx, merchant_id: UUID, ids: Sequence[UUID]) -> tuple[TaxRate, ...]:
    """Tax rates in the order of their ids, whether they are still active or not."""
    found = await pending.rates_of(tx, [(merchant_id, rate_id) for rate_id in ids])
    return tuple(found[merchant_id, rate_id] for rate_id in ids)


async def discounts(tx: Tx, invoice: Invoice) -> tuple[Discount, ...]:
    """What is taken off a draft: its own discounts; of a subscription's, those on its lines."""
    own = invoice.order.reason is BillingReason.MANUAL
    rows = await tx.fetch(
        f"""
        SELECT d.id, d.periods_remaining, d.item_id, d.customer_id, d.promotion_code_id,
               d.offer_id, d.start_at, d.end_at, {coupons.COLUMNS}
          FROM discounts d JOIN coupons c ON c.merchant_id = d.merchant_id AND c.id = d.coupon_id
         WHERE d.merchant_id = $1 AND ((d.invoice_id = $2 AND d.ended_at IS NULL)
               OR d.id = ANY ($3::uuid[]))
         ORDER BY d.position, d.id
        """,
        invoice.merchant_id,
        invoice.id,
        [] if own else list(discount_ids(invoice)),
    )
    return tuple(
        Discount(
            row["id"],
            coupons.coupon(row),
            row["periods_remaining"],
            row["item_id"],
            row["customer_id"],
            row["promotion_code_id"],
            row["offer_id"],
            row["start_at"],
            row["end_at"],
        )
        for row in rows
    )


async def insert_discounts(
    tx: Tx, invoice: Invoice, given: Sequence[Discount], now: datetime
) -> None:
    """Write down what is taken off an invoice made by hand."""
    for place, discount in enumerate(given):
        await tx.run(
            """
            INSERT INTO discounts (merchant_id, id, invoice_id, coupon_id, promotion_code_id,
                                   periods_remaining, position, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            """,
            invoice.merchant_id,
            discount.id,
            invoice.id,
            discount.coupon.id,
            discount.promotion_code_id,
            discount.periods_remaining,
            place,
            now,
        )


async def end_discounts(tx: Tx, invoice: Invoice, now: datetime) -> None:
    """The discounts of a draft that is thrown away are no more."""
    await tx.run(
        """
        UPDATE discounts SET ended_at = $3
         WHERE merchant_id = $1 AND invoice_id = $2 AND ended_at IS NULL
        """,
        invoice.merchant_id,
        invoice.id,
        now,
    )
