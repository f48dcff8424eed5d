"""Rows of `payment_methods`: a gateway's reference and what may be shown of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.base import Row, Tx, dumps


@dataclass(frozen=True, slots=True)
class NewPaymentMethod:
    """A payment method to be stored."""

    id: UUID
    customer_id: UUID
    gateway_account_id: UUID
    gateway_reference: str
    gateway_customer_reference: str | None
    type: str
    brand: str | None
    last_four: str | None
    expiry_month: int | None
    expiry_year: int | None
    metadata: Mapping[str, str]
    network_transaction_id: str | None = None
    fingerprint: str | None = None
    mandate: Mapping[str, str] = field(default_factory=dict)


async def insert(tx: Tx, merchant_id: UUID, method: NewPaymentMethod, now: datetime) -> None:
    """Store a payment method."""
    await tx.run(
        """
        INSERT INTO payment_methods
            (merchant_id, id, customer_id, gateway_account_id, gateway_reference,
             gateway_customer_reference, type, brand, last_four, expiry_month, expiry_year,
             metadata, created_at, network_transaction_id, fingerprint, mandate)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
        """,
        merchant_id,
        method.id,
        method.customer_id,
        method.gateway_account_id,
        method.gateway_reference,
        method.gateway_customer_reference,
        method.type,
        method.brand,
        method.last_four,
        method.expiry_month,
        method.expiry_year,
        dumps(method.metadata),
        now,
        method.network_transaction_id,
        method.fingerprint,
        dumps(method.mandate),
    )


async def default_gateway_account(tx: Tx, merchant_id: UUID) -> UUID | None:
    """The account new payment methods belong to unless another is named."""
    found: UUID | None = await tx.fetchval(
        """
        SELECT id FROM gateway_accounts
        WHERE merchant_id = $1 AND is_default AND disabled_at IS NULL
        """,
        merchant_id,
    )
    return found


async def is_open_account(tx: Tx, merchant_id: UUID, id: UUID) -> bool:
    """Whether the merchant has this gateway account and may use it."""
    found = await tx.fetchval(
        """
        SELECT true FROM gateway_accounts
        WHERE merchant_id = $1 AND id = $2 AND disabled_at IS NULL
        """,
        merchant_id,
        id,
    )
    return found is not None


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> Row | None:
    """An attached payment method, locked."""
    return await tx.fetchrow(
        """
        SELECT id, customer_id, version FROM payment_methods
        WHERE merchant_id = $1 AND id = $2 AND detached_at IS NULL FOR NO KEY UPDATE
        """,
        merchant_id,
        id,
    )


async def update(tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, Any]) -> None:
    """Write a locked payment method's expiry, place among the back-ups and metadata as they are
    now, and count the version on.
    """
    await tx.run(
        """
        UPDATE payment_methods
        SET expiry_month = $3, expiry_year = $4, metadata = $5, backup_order = $6,
            version = version + 1,
            refused_at = CASE WHEN (expiry_month, expiry_year) IS DISTINCT FROM ($3, $4)
                              THEN NULL ELSE refused_at END
        WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        fields["expiry_month"],
        fields["expiry_year"],
        dumps(fields["metadata"]),
        fields["backup_order"],
    )


async def detach(tx: Tx, merchant_id: UUID, id: UUID, now: datetime) -> None:
    """End a locked payment method; it is the default of nobody any more, and the gateway is to let
    go of it too.
    """
    await tx.run(
        """
        UPDATE payment_methods
        SET detached_at = $3, detach_due_at = $3, detach_look_ups = 0, version = version + 1
        WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        now,
    )
    await tx.run(
        """
        UPDATE customers SET default_payment_method_id = NULL, version = version + 1
        WHERE merchant_id = $1 AND default_payment_method_id = $2
        """,
        merchant_id,
        id,
    )
