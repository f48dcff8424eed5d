"""Rows of `tax_registrations`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from app.db.base import Row, Tx, dumps
from app.domain.taxation import Registration, Scheme, Seller


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTaxRegistration:
    """A registration to be stored."""

    id: UUID
    country: str
    region: str | None = None
    number: str | None = None
    scheme: Scheme = Scheme.STANDARD
    home: bool = False
    valid_from: date | None = None
    valid_until: date | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


async def insert(tx: Tx, merchant_id: UUID, new: NewTaxRegistration, now: datetime) -> None:
    """Store a registration."""
    await tx.run(
        """
        INSERT INTO tax_registrations
            (merchant_id, id, country, region, number, scheme, home, valid_from, valid_until,
             metadata, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        """,
        merchant_id,
        new.id,
        new.country,
        new.region,
        new.number,
        new.scheme,
        new.home,
        new.valid_from,
        new.valid_until,
        dumps(new.metadata),
        now,
    )


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> Row | None:
    """What may change of a registration, locked, with its version."""
    return await tx.fetchrow(
        """
        SELECT version, number, valid_from, valid_until, metadata FROM tax_registrations
        WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE
        """,
        merchant_id,
        id,
    )


async def update(tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, Any]) -> None:
    """Write what may change of a locked registration, and count its version on."""
    await tx.run(
        """
        UPDATE tax_registrations
        SET number = $3, valid_until = $4, metadata = $5, version = version + 1
        WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        fields["number"],
        fields["valid_until"],
        dumps(fields["metadata"]),
    )


async def delete(tx: Tx, merchant_id: UUID, id: UUID) -> None:
    """Take a registration out, as if it had never been there."""
    await tx.run(
        "DELETE FROM tax_registrations WHERE merchant_id = $1 AND id = $2", merchant_id, id
    )


async def sellers(tx: Tx, merchants: Sequence[UUID]) -> dict[UUID, Seller]:
    """Each merchant as a seller: its registrations, past and future ones too."""
    rows = await tx.fetch(
        """
        SELECT merchant_id, country, region, scheme, home, valid_from, valid_until
          FROM tax_registrations WHERE merchant_id = ANY($1::uuid[]) ORDER BY merchant_id, id
        """,
        list(merchants),
    )
    found: dict[UUID, list[Registration]] = {merchant: [] for merchant in merchants}
    for row in rows:
        registration = Registration(
            row["country"],
            row["region"],
            Scheme(row["scheme"]),
            row["home"],
            row["valid_from"],
            row["valid_until"],
        )
        found[row["merchant_id"]].append(registration)
    return {merchant: Seller(tuple(held)) for merchant, held in found.items()}
