"""Rows of `customer_tax_ids`."""

from datetime import datetime
from uuid import UUID

from app.db.base import Row, Tx
from app.domain.tax_id import Checked


async def insert(  # noqa: PLR0913  what a row says
    tx: Tx,
    merchant_id: UUID,
    id: UUID,
    customer_id: UUID,
    value: str,
    checked: Checked,
    now: datetime,
) -> None:
    """Store a number of a customer's, as it was written and in its compact form."""
    await tx.run(
        """
        INSERT INTO customer_tax_ids
            (merchant_id, id, customer_id, type, value, normalized_value, country, status,
             created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        merchant_id,
        id,
        customer_id,
        checked.type,
        value,
        checked.normalized,
        checked.country,
        checked.status,
        now,
    )


async def count(tx: Tx, merchant_id: UUID, customer_id: UUID) -> int:
    """How many numbers a customer has."""
    found = await tx.fetchval(
        "SELECT count(*) FROM customer_tax_ids WHERE merchant_id = $1 AND customer_id = $2",
        merchant_id,
        customer_id,
    )
    return int(found)


async def delete(tx: Tx, merchant_id: UUID, id: UUID) -> None:
    """Take a number out."""
    await tx.run("DELETE FROM customer_tax_ids WHERE merchant_id = $1 AND id = $2", merchant_id, id)


async def delete_all(tx: Tx, merchant_id: UUID, customer_id: UUID) -> None:
    """Forget every number of a customer's."""
    await tx.run(
        "DELETE FROM customer_tax_ids WHERE merchant_id = $1 AND customer_id = $2",
        merchant_id,
        customer_id,
    )


async def of_customer(tx: Tx, merchant_id: UUID, customer_id: UUID) -> list[Row]:
    """A customer's numbers, oldest first, as invoices state them."""
    return await tx.fetch(
        """
        SELECT type, value, normalized_value, country, status FROM customer_tax_ids
        WHERE merchant_id = $1 AND customer_id = $2 ORDER BY id
        """,
        merchant_id,
        customer_id,
    )
