"""Customers' credit, locked where there is any: two invoices never spend the same cent."""

from collections.abc import Iterable
from uuid import UUID

from app.db.base import Tx
from app.domain.balance import Balance

Key = tuple[UUID, UUID, str]


async def load(tx: Tx, keys: Iterable[Key]) -> dict[Key, Balance]:
    """The balance of each (merchant, customer, currency), zero where there is none, locked."""
    wanted = set(keys)
    rows = await tx.fetch(
        """
        SELECT b.merchant_id, b.customer_id, b.currency, b.balance
          FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS k (merchant_id, customer_id, currency)
          JOIN customer_balances b USING (merchant_id, customer_id, currency)
         WHERE b.balance > 0
         ORDER BY b.customer_id, b.currency FOR NO KEY UPDATE OF b
        """,
        [k[0] for k in wanted],
        [k[1] for k in wanted],
        [k[2] for k in wanted],
    )
    amounts = {(r["merchant_id"], r["customer_id"], r["currency"]): r["balance"] for r in rows}
    return {key: Balance(*key, amounts.get(key, 0)) for key in wanted}
