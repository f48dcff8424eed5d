"""Draft invoices as the clock sees them: claimed when they are due, loaded whole, set aside."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from app.db import accounts, balances, invoices
from app.db.base import Row, Tx
from app.db.scope import Scope
from app.domain.balance import Balance
from app.domain.finalizing import Draft
from app.domain.invoice import Invoice, Order

Key = tuple[UUID, UUID]


async def claim_due(
    tx: Tx, scope: Scope, now: datetime, limit: int, only: Sequence[UUID] | None = None
) -> list[Row]:
    """Lock up to `limit` drafts that are to be finalized, oldest first, leaving locked ones.

    `only` narrows it to some ids: the retry of a chunk in smaller parts. A draft whose
    subscription somebody else has locked is left as well: nobody waits, so nothing locks up.
    """
    args: list[object] = [now, limit, only]
    where = "i.test_clock_id IS NULL"
    if scope.test_clock_id is not None:
        where = "i.merchant_id = $4 AND i.test_clock_id = $5"
        args += [scope.merchant_id, scope.test_clock_id]
    rows = await tx.fetch(
        f"""
        SELECT {invoices.COLUMNS} FROM invoices i
         WHERE {where} AND i.status = 'draft' AND i.finalize_at <= $1
           AND i.parked_at IS NULL AND ($3::uuid[] IS NULL OR i.id = ANY ($3::uuid[]))
         ORDER BY i.finalize_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
        """,
        *args,
    )
    about = [row for row in rows if row["subscription_id"] is not None]
    locked = await tx.fetch(
        """
        SELECT s.merchant_id, s.id
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN subscriptions s USING (merchant_id, id)
         ORDER BY s.id FOR NO KEY UPDATE OF s SKIP LOCKED
        """,
        [row["merchant_id"] for row in about],
        [row["subscription_id"] for row in about],
    )
    free = {(row["merchant_id"], row["id"]) for row in locked}
    return [
        row
        for row in rows
        if row["subscription_id"] is None or (row["merchant_id"], row["subscription_id"]) in free
    ]


async def load(tx: Tx, rows: Sequence[Row]) -> list[Draft]:
    """Everything that finalizing these rows depends on, in a fixed number of queries."""
    lines = await invoices.load_lines(tx, [(row["merchant_id"], row["id"]) for row in rows])
    found = [invoices.invoice(row, lines.get((row["merchant_id"], row["id"]), ())) for row in rows]
    return await of_invoices(tx, found)


async def of_invoices(tx: Tx, found: Sequence[Invoice]) -> list[Draft]:
    """The same for drafts that are loaded and locked already."""
    orders = [invoice.order for invoice in found]
    subs = await accounts.load_many(
        tx, [(o.merchant_id, o.subscription_id) for o in orders if o.subscription_id is not None]
    )
    methods = await default_methods(tx, ((o.merchant_id, o.customer_id) for o in orders))
    held = await balances.load(tx, ((o.merchant_id, o.customer_id, o.currency) for o in orders))
    drafts = []
    for invoice, order in zip(found, orders, strict=True):
        sub = None
        if order.subscription_id is not None:
            sub = subs[order.merchant_id, order.subscription_id]
        own = None if sub is None else sub.payment_method_id
        drafts.append(
            Draft(
                invoice,
                held[order.merchant_id, order.customer_id, order.currency],
                own or methods.get((order.merchant_id, order.customer_id)),
                sub,
            )
        )
    return drafts


async def payer(tx: Tx, order: Order) -> tuple[Balance, UUID | None]:
    """What an invoice that no subscription is behind is paid with: credit, then a method."""
    customer = order.merchant_id, order.customer_id
    key = (*customer, order.currency)
    methods = await default_methods(tx, [customer])
    return (await balances.load(tx, [key]))[key], methods.get(customer)


async def default_methods(tx: Tx, customers: Iterable[Key]) -> dict[Key, UUID]:
    """The customers' default payment methods, where one is set."""
    wanted = sorted(set(customers))
    rows = await tx.fetch(
        """
        SELECT c.merchant_id, c.id, c.default_payment_method_id
          FROM unnest($1::uuid[], $2::uuid[]) AS k (merchant_id, id)
          JOIN customers c USING (merchant_id, id)
         WHERE c.default_payment_method_id IS NOT NULL
        """,
        [key[0] for key in wanted],
        [key[1] for key in wanted],
    )
    return {(row["merchant_id"], row["id"]): row["default_payment_method_id"] for row in rows}


async def next_due(tx: Tx, scope: Scope) -> datetime | None:
    """When the next draft of a test clock is finalized."""
    due: datetime | None = await tx.fetchval(
        """
        SELECT min(finalize_at) FROM invoices
         WHERE merchant_id = $1 AND test_clock_id = $2 AND status = 'draft'
           AND parked_at IS NULL
        """,
        scope.merchant_id,
        scope.test_clock_id,
    )
    return due


async def park(tx: Tx, key: Key, reason: str, now: datetime) -> None:
    """Set a draft aside with a reason, for a person to look at; the clock leaves it alone."""
    await tx.run(
        """
        UPDATE invoices SET parked_at = $3, parked_reason = $4
         WHERE merchant_id = $1 AND id = $2 AND status = 'draft' AND parked_at IS NULL
        """,
        *key,
        now,
        reason[:500],
    )


async def unpark(tx: Tx, key: Key) -> None:
    """Whoever finalizes or changes a draft by hand has looked at it."""
    await tx.run(
        """
        UPDATE invoices SET parked_at = NULL, parked_reason = NULL
         WHERE merchant_id = $1 AND id = $2 AND parked_at IS NOT NULL
        """,
        *key,
    )


def spent(draft: Draft, left: int | None) -> Draft:
    """The draft with what others before it left of its customer's credit."""
    if left is None:
        return draft
    return replace(draft, balance=replace(draft.balance, amount=left))
