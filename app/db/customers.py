"""Rows of `customers`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.base import Row, Tx, dumps
from app.domain.taxation import TaxExempt


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """A customer to be stored."""

    id: UUID
    external_id: str | None
    email: str | None
    name: str | None
    address: Mapping[str, str | None]
    zone: str
    test_clock_id: UUID | None
    metadata: Mapping[str, str]
    tax_exempt: TaxExempt = TaxExempt.NONE
    tax_exemption_note: str | None = None
    language: str | None = None


async def insert(tx: Tx, merchant_id: UUID, customer: NewCustomer, now: datetime) -> None:
    """Store a customer."""
    await tx.run(
        """
        INSERT INTO customers
            (merchant_id, id, external_id, email, name, country, address, zone, test_clock_id,
             metadata, created_at, tax_exempt, tax_exemption_note, language)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        """,
        merchant_id,
        customer.id,
        customer.external_id,
        customer.email,
        customer.name,
        customer.address.get("country"),
        dumps(customer.address),
        customer.zone,
        customer.test_clock_id,
        dumps(customer.metadata),
        now,
        customer.tax_exempt,
        customer.tax_exemption_note,
        customer.language,
    )


async def lock(tx: Tx, merchant_id: UUID, id: UUID, *, to_delete: bool = False) -> bool:
    """Keep a customer that is not deleted from changing until the end; False when there is none.

    `to_delete` also waits for whoever is just making something that refers to the customer.
    """
    found = await tx.fetchval(
        f"""
        SELECT true FROM customers
        WHERE merchant_id = $1 AND id = $2 AND deleted_at IS NULL
        FOR {"UPDATE" if to_delete else "NO KEY UPDATE"}
        """,
        merchant_id,
        id,
    )
    return found is not None


async def update(tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, Any]) -> None:
    """Write a locked customer's fields as they are now, and count the version on."""
    await tx.run(
        """
        UPDATE customers
        SET external_id = $3, email = $4, name = $5, country = $6, address = $7, zone = $8,
            default_payment_method_id = $9, metadata = $10, deleted_at = $11,
            tax_exempt = $12, tax_exemption_note = $13, language = $14, version = version + 1
        WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        fields["external_id"],
        fields["email"],
        fields["name"],
        fields["address"].get("country"),
        dumps(fields["address"]),
        fields["time_zone"],
        fields["default_payment_method_id"],
        dumps(fields["metadata"]),
        fields["deleted_at"],
        fields["tax_exempt"],
        fields["tax_exemption_note"],
        fields["language"],
    )


async def set_default_payment_method(
    tx: Tx, merchant_id: UUID, id: UUID, payment_method_id: UUID
) -> None:
    """Pay by this method from now on, unless a subscription names another."""
    await tx.run(
        """
        UPDATE customers SET default_payment_method_id = $3, version = version + 1
        WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        payment_method_id,
    )


async def touch(tx: Tx, merchant_id: UUID, id: UUID) -> None:
    """Count the version on: something that is shown with the customer has changed."""
    await tx.run(
        "UPDATE customers SET version = version + 1 WHERE merchant_id = $1 AND id = $2",
        merchant_id,
        id,
    )


async def has_live_subscription(tx: Tx, merchant_id: UUID, id: UUID) -> bool:
    """Whether anything still runs for this customer."""
    return bool(
        await tx.fetchval(
            """
            SELECT EXISTS (
                SELECT FROM subscriptions
                WHERE merchant_id = $1 AND customer_id = $2 AND ended_at IS NULL
            )
            """,
            merchant_id,
            id,
        )
    )


async def live_by_payment_method(tx: Tx, merchant_id: UUID, payment_method_id: UUID) -> Row | None:
    """A running subscription that names this payment method, if there is one."""
    return await tx.fetchrow(
        """
        SELECT s.id FROM subscriptions s JOIN payment_methods m
          ON m.merchant_id = s.merchant_id AND m.customer_id = s.customer_id
        WHERE s.merchant_id = $1 AND m.id = $2 AND s.payment_method_id = $2
          AND s.ended_at IS NULL
        LIMIT 1
        """,
        merchant_id,
        payment_method_id,
    )
