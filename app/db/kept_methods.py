"""Payment methods as gateways keep them: what they are now there, and what is still to be told."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.db.base import Row, Tx, dumps
from app.db.gateway_accounts import OPENING
from app.db.scope import Scope
from app.domain.vault import SavedMethod

SHOWN: Final = """
    m.merchant_id, m.id, m.customer_id, m.gateway_account_id, m.gateway_reference,
    m.gateway_customer_reference, m.type, m.brand, m.last_four, m.expiry_month, m.expiry_year,
    m.network_transaction_id, m.fingerprint, m.mandate, m.is_usable, m.refreshed_at,
    m.detached_at, m.version
"""


async def of_token(
    tx: Tx, merchant_id: UUID, account_id: UUID, customer_id: UUID, reference: str
) -> Row | None:
    """A customer's method with this token, attached or not, locked."""
    return await tx.fetchrow(
        f"""
        SELECT {SHOWN} FROM payment_methods m
         WHERE m.merchant_id = $1 AND m.gateway_account_id = $2 AND m.customer_id = $3
           AND m.gateway_reference = $4 FOR NO KEY UPDATE
        """,
        merchant_id,
        account_id,
        customer_id,
        reference,
    )


async def attached(tx: Tx, merchant_id: UUID, account_id: UUID, reference: str) -> list[Row]:
    """Every attached method with this token, locked in order of id."""
    return await tx.fetch(
        f"""
        SELECT {SHOWN} FROM payment_methods m
         WHERE m.merchant_id = $1 AND m.gateway_account_id = $2 AND m.gateway_reference = $3
           AND m.detached_at IS NULL ORDER BY m.id FOR NO KEY UPDATE
        """,
        merchant_id,
        account_id,
        reference,
    )


async def attach_again(tx: Tx, merchant_id: UUID, id: UUID) -> None:
    """Let a locked method that was detached be charged again."""
    await tx.run(
        """
        UPDATE payment_methods
           SET detached_at = NULL, detach_due_at = NULL, detached_at_gateway = NULL,
               is_usable = true, refused_at = NULL, version = version + 1
         WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
    )


async def renew(tx: Tx, row: Row, saved: SavedMethod, asked_at: datetime) -> bool:
    """Write how the gateway keeps a locked method, unless it was asked later than `asked_at`
    already; whether anything that is shown changed. What the gateway does not say stays.
    """
    if row["refreshed_at"] is not None and row["refreshed_at"] > asked_at:
        return False
    fields = {
        "brand": saved.brand or row["brand"],
        "last_four": saved.last_four or row["last_four"],
        "expiry_month": saved.expiry_month or row["expiry_month"],
        "expiry_year": saved.expiry_year or row["expiry_year"],
        "network_transaction_id": saved.network_transaction_id or row["network_transaction_id"],
        "fingerprint": saved.fingerprint or row["fingerprint"],
        "mandate": dumps(saved.mandate) if saved.mandate else row["mandate"],
        "is_usable": saved.is_usable,
    }
    is_changed = any(row[name] != value for name, value in fields.items())
    await tx.run(
        """
        UPDATE payment_methods
           SET brand = $3, last_four = $4, expiry_month = $5, expiry_year = $6,
               network_transaction_id = $7, fingerprint = $8, mandate = $9, is_usable = $10,
               refreshed_at = $11, version = version + $12,
               refused_at = CASE WHEN $12 > 0 THEN NULL ELSE refused_at END
         WHERE merchant_id = $1 AND id = $2
        """,
        row["merchant_id"],
        row["id"],
        *fields.values(),
        asked_at,
        int(is_changed),
    )
    return is_changed


async def claim_detaching(tx: Tx, now: datetime, lease: datetime, limit: int) -> list[Row]:
    """Detached methods that their gateway is to let go of now; nobody else tells it before
    `lease`. One that a charge is under way on, or that is attached to somebody all the same, waits.
    """
    return await tx.fetch(
        f"""
        WITH due AS MATERIALIZED (
            SELECT d.merchant_id, d.id FROM payment_methods d
             WHERE d.detach_due_at <= $1
               AND NOT EXISTS (
                   SELECT FROM payment_attempts a
                    WHERE a.merchant_id = d.merchant_id AND a.payment_method_id = d.id
                      AND a.status IN ('processing', 'unknown', 'requires_action'))
               AND NOT EXISTS (
                   SELECT FROM payment_methods o
                    WHERE o.merchant_id = d.merchant_id
                      AND o.gateway_account_id = d.gateway_account_id
                      AND o.gateway_reference = d.gateway_reference AND o.detached_at IS NULL)
             ORDER BY d.detach_due_at LIMIT $3 FOR NO KEY UPDATE OF d SKIP LOCKED)
        UPDATE payment_methods m SET detach_due_at = $2 FROM due
         JOIN gateway_accounts g ON g.merchant_id = due.merchant_id
         WHERE m.merchant_id = due.merchant_id AND m.id = due.id AND g.id = m.gateway_account_id
        RETURNING {SHOWN}, m.detach_look_ups, {OPENING}
        """,
        now,
        lease,
        limit,
    )


async def let_go(tx: Tx, merchant_id: UUID, id: UUID, now: datetime) -> None:
    """The gateway keeps a detached method no longer."""
    await tx.run(
        """
        UPDATE payment_methods SET detach_due_at = NULL, detached_at_gateway = $3
         WHERE merchant_id = $1 AND id = $2 AND detached_at IS NOT NULL
        """,
        merchant_id,
        id,
        now,
    )


async def let_go_later(tx: Tx, merchant_id: UUID, id: UUID, due_at: datetime | None) -> None:
    """The gateway did not answer: tell it again then, or never."""
    await tx.run(
        """
        UPDATE payment_methods
           SET detach_due_at = $3, detach_look_ups = detach_look_ups + 1
         WHERE merchant_id = $1 AND id = $2 AND detached_at IS NOT NULL
        """,
        merchant_id,
        id,
        due_at,
    )


async def claim_refreshing(
    tx: Tx, gateways: Sequence[str], now: datetime, before: datetime, limit: int
) -> list[Row]:
    """Attached methods at these gateways that were last asked about before then, the longest ago
    first; from now on they count as asked about.
    """
    return await tx.fetch(
        f"""
        WITH due AS MATERIALIZED (
            SELECT d.merchant_id, d.id FROM payment_methods d
              JOIN gateway_accounts a
                ON a.merchant_id = d.merchant_id AND a.id = d.gateway_account_id
             WHERE d.detached_at IS NULL AND a.disabled_at IS NULL AND a.gateway = ANY ($1)
               AND coalesce(d.refreshed_at, d.created_at) < $3
             ORDER BY coalesce(d.refreshed_at, d.created_at) LIMIT $4
               FOR NO KEY UPDATE OF d SKIP LOCKED)
        UPDATE payment_methods m SET refreshed_at = $2 FROM due
         JOIN gateway_accounts g ON g.merchant_id = due.merchant_id
         WHERE m.merchant_id = due.merchant_id AND m.id = due.id AND g.id = m.gateway_account_id
        RETURNING {SHOWN}, {OPENING}
        """,
        list(gateways),
        now,
        before,
        limit,
    )


async def claim_expiring(
    tx: Tx, scope: Scope, now: datetime, notice: timedelta, limit: int
) -> list[Row]:
    """Attached methods whose month of expiry ends within `notice` from now, and has not ended;
    each month of a method once.
    """
    return await tx.fetch(
        f"""
        WITH due AS MATERIALIZED (
            SELECT d.merchant_id, d.id, d.expiry_year * 12 + d.expiry_month AS month
              FROM payment_methods d
              JOIN customers c ON c.merchant_id = d.merchant_id AND c.id = d.customer_id
             WHERE d.detached_at IS NULL AND d.is_usable
               AND d.expiry_month IS NOT NULL AND d.expiry_year IS NOT NULL
               AND c.test_clock_id IS NOT DISTINCT FROM $3
               AND ($4::uuid IS NULL OR d.merchant_id = $4)
               AND d.expiry_notice IS DISTINCT FROM d.expiry_year * 12 + d.expiry_month
               AND d.expiry_year BETWEEN extract(year FROM $1::timestamptz)
                   AND extract(year FROM $1::timestamptz + $2::interval)
               AND $1::timestamptz + $2::interval >= make_timestamptz(
                   d.expiry_year, d.expiry_month, 1, 0, 0, 0, 'UTC') + interval '1 month'
               AND $1::timestamptz < make_timestamptz(
                   d.expiry_year, d.expiry_month, 1, 0, 0, 0, 'UTC') + interval '1 month'
             ORDER BY d.id LIMIT $5 FOR NO KEY UPDATE OF d SKIP LOCKED)
        UPDATE payment_methods m SET expiry_notice = due.month FROM due
         WHERE m.merchant_id = due.merchant_id AND m.id = due.id
        RETURNING {SHOWN}
        """,
        now,
        notice,
        scope.test_clock_id,
        scope.merchant_id,
        limit,
    )
