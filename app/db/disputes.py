"""Disputes as decisions need them, and which accounts are to be asked about theirs."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db.base import Row, Tx
from app.db.gateway_accounts import OPENING
from app.domain.dispute import Dispute, DisputeStatus

COLUMNS: Final = """
    d.merchant_id, d.id, d.gateway_account_id, d.gateway_reference, d.payment_id, d.invoice_id,
    d.customer_id, d.status, d.currency, d.amount, d.withdrawn, d.fee, d.reason, d.opened_at,
    d.evidence_due_by, d.closed_at, d.asked_at, d.created_at, d.version
"""


async def lock(tx: Tx, merchant_id: UUID, account_id: UUID, reference: str) -> Dispute | None:
    """The dispute that the gateway calls so, locked. The payment is locked by the caller, so no
    second one of the same name comes to be meanwhile.
    """
    row = await tx.fetchrow(
        f"""
        SELECT {COLUMNS} FROM disputes d
         WHERE d.merchant_id = $1 AND d.gateway_account_id = $2 AND d.gateway_reference = $3
           FOR NO KEY UPDATE
        """,
        merchant_id,
        account_id,
        reference,
    )
    return None if row is None else _dispute(row)


async def withdrawn_of(tx: Tx, payment_id: UUID) -> int:
    """What disputes hold of a payment of the transaction's merchant, in minor units."""
    found: int = await tx.fetchval(
        """
        SELECT coalesce(sum(withdrawn), 0)::bigint FROM disputes
         WHERE merchant_id = current_setting('app.merchant_id')::uuid AND payment_id = $1
        """,
        payment_id,
    )
    return found


async def withdrawn_of_each(tx: Tx, merchant_id: UUID, paid: Sequence[UUID]) -> dict[UUID, int]:
    """What disputes hold of each of a merchant's payments, in minor units, where they do."""
    rows = await tx.fetch(
        """
        SELECT payment_id, sum(withdrawn)::bigint AS withdrawn FROM disputes
         WHERE merchant_id = $1 AND payment_id = ANY ($2::uuid[]) AND withdrawn > 0
         GROUP BY payment_id
        """,
        merchant_id,
        list(paid),
    )
    return {row["payment_id"]: row["withdrawn"] for row in rows}


async def claim_polling(
    tx: Tx,
    gateways: Sequence[str],
    asked: tuple[datetime, datetime],
    limit: int,
    but: Collection[UUID] = (),
) -> list[Row]:
    """Accounts at these gateways, without some, that were last asked about disputes before the
    second of `asked`; from the first on they count as asked. `since` is when they were asked
    before.
    """
    return await tx.fetch(
        f"""
        WITH due AS MATERIALIZED (
            SELECT a.merchant_id, a.id, a.disputes_polled_at, a.created_at FROM gateway_accounts a
             WHERE a.gateway = ANY ($1) AND coalesce(a.disputes_polled_at, a.created_at) < $3
               AND a.id <> ALL ($5::uuid[])
             ORDER BY a.disputes_polled_at NULLS FIRST LIMIT $4 FOR NO KEY UPDATE SKIP LOCKED)
        UPDATE gateway_accounts g SET disputes_polled_at = $2 FROM due
         WHERE g.merchant_id = due.merchant_id AND g.id = due.id
        RETURNING g.merchant_id, g.id AS gateway_account_id,
                  coalesce(due.disputes_polled_at, due.created_at) AS since, {OPENING}
        """,
        list(gateways),
        *asked,
        limit,
        list(but),
    )


async def poll_again(tx: Tx, merchant_id: UUID, account_id: UUID, since: datetime) -> None:
    """The account's disputes could not be read to the end: they are asked for again."""
    await tx.run(
        """
        UPDATE gateway_accounts SET disputes_polled_at = $3
         WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        account_id,
        since,
    )


def _dispute(row: Row) -> Dispute:
    return Dispute(**dict(row) | {"status": DisputeStatus(row["status"])})
