"""Rows of `payment_links`, and what a link's page shows beside the invoice."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from app.db.base import Row, Tx
from app.db.views.base import Source

CHOICES_MAX: Final = 20
"""Methods, and accounts, that a page offers: more than anybody looks through."""


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link to be stored, by the hash of its token."""

    id: UUID
    invoice_id: UUID
    token_hash: bytes
    last_four: str
    return_url: str | None
    expires_at: datetime


async def insert(tx: Tx, merchant_id: UUID, link: NewLink, now: datetime) -> None:
    """Store a link."""
    await tx.run(
        """
        INSERT INTO payment_links
            (merchant_id, id, invoice_id, token_hash, last_four, return_url, expires_at, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        merchant_id,
        link.id,
        link.invoice_id,
        link.token_hash,
        link.last_four,
        link.return_url,
        link.expires_at,
        now,
    )


async def revoke(tx: Tx, merchant_id: UUID, id: UUID, now: datetime) -> bool:
    """End a link, for good; False when there is none. A revoked one stays as it is."""
    found = await tx.fetchval(
        """
        UPDATE payment_links SET revoked_at = coalesce(revoked_at, $3), version = version + 1
         WHERE merchant_id = $1 AND id = $2 RETURNING true
        """,
        merchant_id,
        id,
        now,
    )
    return found is not None


async def by_token(source: Source, merchant_id: UUID, token_hash: bytes) -> Row | None:
    """The link whose token has this hash, with what its merchant and its customer are."""
    return await source.fetchrow(
        """
        SELECT l.id, l.invoice_id, l.token_hash, l.return_url, l.setup_session_id, l.expires_at,
               l.revoked_at, i.customer_id, i.currency, m.mode, m.name AS merchant_name
          FROM payment_links l
          JOIN invoices i ON i.merchant_id = l.merchant_id AND i.id = l.invoice_id
          JOIN merchants m ON m.id = l.merchant_id
         WHERE l.merchant_id = $1 AND l.token_hash = $2
        """,
        merchant_id,
        token_hash,
    )


async def count_act(tx: Tx, merchant_id: UUID, id: UUID, now: datetime, since: datetime) -> int:
    """Count something that was done by a link; how often it was since `since`, at the least."""
    done: int = await tx.fetchval(
        """
        UPDATE payment_links
           SET acts = CASE WHEN acts_since > $4 THEN acts + 1 ELSE 1 END,
               acts_since = CASE WHEN acts_since > $4 THEN acts_since ELSE $3 END
         WHERE merchant_id = $1 AND id = $2 RETURNING acts
        """,
        merchant_id,
        id,
        now,
        since,
    )
    return done


async def set_up(tx: Tx, merchant_id: UUID, id: UUID, session_id: UUID | None) -> None:
    """Remember the set-up session that a link began, which no other may ask about; or forget it."""
    await tx.run(
        "UPDATE payment_links SET setup_session_id = $3, version = version + 1 "
        "WHERE merchant_id = $1 AND id = $2",
        merchant_id,
        id,
        session_id,
    )


async def invoice(source: Source, merchant_id: UUID, id: UUID) -> Row | None:
    """The figures of an invoice."""
    return await source.fetchrow(
        """
        SELECT id, number, status, currency, total, amount_due, amount_paid, amount_credited,
               amount_due - amount_paid - amount_credited AS amount_remaining, due_at,
               finalized_at, paid_at
          FROM invoices WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
    )


async def payment(source: Source, merchant_id: UUID, invoice_id: UUID) -> Row | None:
    """The payment of an invoice that stands now: the one that is not over, else the latest."""
    return await source.fetchrow(
        """
        SELECT id, status, amount, action_url, failure_code, failure_category
          FROM payments
         WHERE merchant_id = $1 AND invoice_id = $2
         ORDER BY status IN ('succeeded', 'canceled', 'failed', 'reversed'), id DESC LIMIT 1
        """,
        merchant_id,
        invoice_id,
    )


async def methods(source: Source, merchant_id: UUID, customer_id: UUID) -> list[Row]:
    """What a customer may pay with: what is kept and can be charged, the default first."""
    return await source.fetch(
        f"""
        SELECT m.id, m.type, m.brand, m.last_four, m.expiry_month, m.expiry_year,
               m.id = c.default_payment_method_id AS is_default
          FROM payment_methods m
          JOIN customers c ON c.merchant_id = m.merchant_id AND c.id = m.customer_id
          JOIN gateway_accounts g
            ON g.merchant_id = m.merchant_id AND g.id = m.gateway_account_id
         WHERE m.merchant_id = $1 AND m.customer_id = $2 AND m.detached_at IS NULL
           AND m.is_usable AND g.disabled_at IS NULL
         ORDER BY m.id = c.default_payment_method_id DESC NULLS LAST, m.id DESC LIMIT {CHOICES_MAX}
        """,
        merchant_id,
        customer_id,
    )


async def accounts(source: Source, merchant_id: UUID) -> list[Row]:
    """The gateway accounts that a new method can be kept at, the default first."""
    return await source.fetch(
        f"""
        SELECT id, gateway, name, is_default FROM gateway_accounts
         WHERE merchant_id = $1 AND disabled_at IS NULL
         ORDER BY is_default DESC, id LIMIT {CHOICES_MAX}
        """,
        merchant_id,
    )
