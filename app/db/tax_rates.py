"""Rows of `tax_rates`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from app.db import bulk, tables
from app.db.base import Row, Tx, dumps
from app.domain.tax import TaxRate
from app.domain.taxation import Level, TableRate

COLUMNS: Final = (
    "merchant_id",
    "id",
    "display_name",
    "rate_ppm",
    "inclusive",
    "type",
    "country",
    "region",
    "jurisdiction",
    "level",
    "priority",
    "valid_from",
    "valid_until",
    "metadata",
    "created_at",
)
TABLE_RATES_MAX: Final = 10_000
"""Active rates of one merchant: some for every county of the United States, three times over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTaxRate:
    """A tax rate to be stored."""

    id: UUID
    display_name: str
    rate_ppm: int
    inclusive: bool = False
    type: str = "vat"
    country: str | None = None
    region: str | None = None
    jurisdiction: str | None = None
    level: Level = Level.COUNTRY
    priority: int = 0
    postal_codes: Sequence[str] = ()
    tax_codes: Sequence[str] = ()
    valid_from: date | None = None
    valid_until: date | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


async def insert(tx: Tx, merchant_id: UUID, rate: NewTaxRate, now: datetime) -> None:
    """Store a tax rate."""
    await tx.run(
        """
        INSERT INTO tax_rates
            (merchant_id, id, display_name, rate_ppm, inclusive, type, country, region,
             jurisdiction, level, priority, valid_from, valid_until, metadata, created_at,
             postal_codes, tax_codes)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
        """,
        *_values(merchant_id, rate, now),
        list(rate.postal_codes),
        list(rate.tax_codes),
    )


async def insert_general(
    tx: Tx, merchant_id: UUID, rates: Sequence[NewTaxRate], now: datetime
) -> None:
    """Store tax rates on all products in whole regions, in one statement."""
    assert not any(rate.postal_codes or rate.tax_codes for rate in rates)
    rows = [_values(merchant_id, rate, now) for rate in rates]
    await bulk.insert(tx, tables.tax_rates, COLUMNS, rows)


async def countries_with_general_rates(tx: Tx, merchant_id: UUID) -> set[str]:
    """The countries that have an active rate on all products in the whole country."""
    rows = await tx.fetch(
        """
        SELECT DISTINCT country FROM tax_rates
        WHERE merchant_id = $1 AND active AND source = 'merchant'
          AND level = 'country' AND country IS NOT NULL
          AND region IS NULL AND tax_codes = '{}' AND postal_codes = '{}'
        """,
        merchant_id,
    )
    return {row["country"] for row in rows}


async def lock(tx: Tx, merchant_id: UUID, id: UUID) -> Row | None:
    """What may change of a tax rate, locked, with its version."""
    return await tx.fetchrow(
        """
        SELECT version, display_name, valid_from, valid_until, metadata, active FROM tax_rates
        WHERE merchant_id = $1 AND id = $2 FOR NO KEY UPDATE
        """,
        merchant_id,
        id,
    )


async def update(tx: Tx, merchant_id: UUID, id: UUID, fields: Mapping[str, Any]) -> None:
    """Write what may change of a locked tax rate, and count its version on."""
    await tx.run(
        """
        UPDATE tax_rates
        SET display_name = $3, valid_until = $4, metadata = $5, active = $6, version = version + 1
        WHERE merchant_id = $1 AND id = $2
        """,
        merchant_id,
        id,
        fields["display_name"],
        fields["valid_until"],
        dumps(fields["metadata"]),
        fields["active"],
    )


async def count(tx: Tx, merchant_id: UUID) -> int:
    """How many active rates a merchant has in its own table."""
    found = await tx.fetchval(
        "SELECT count(*) FROM tax_rates WHERE merchant_id = $1 AND active AND source = 'merchant'",
        merchant_id,
    )
    return int(found)


async def tables_of(
    tx: Tx, merchants: Sequence[UUID], countries: Collection[str]
) -> dict[UUID, tuple[TableRate, ...]]:
    """Each merchant's active rates that apply somewhere in those countries."""
    rows = await tx.fetch(
        """
        SELECT merchant_id, id, rate_ppm, inclusive, jurisdiction, display_name, country, region,
               level, priority, postal_codes, tax_codes, valid_from, valid_until
          FROM tax_rates
         WHERE merchant_id = ANY($1::uuid[]) AND active AND country = ANY($2::text[])
           AND source = 'merchant'
         ORDER BY merchant_id, id
        """,
        list(merchants),
        list(countries),
    )
    found: dict[UUID, list[TableRate]] = {merchant: [] for merchant in merchants}
    for row in rows:
        found[row["merchant_id"]].append(_table_rate(row))
    return {merchant: tuple(rates) for merchant, rates in found.items()}


def _values(merchant_id: UUID, rate: NewTaxRate, now: datetime) -> bulk.Row:
    return (
        merchant_id,
        rate.id,
        rate.display_name,
        rate.rate_ppm,
        rate.inclusive,
        rate.type,
        rate.country,
        rate.region,
        rate.jurisdiction,
        rate.level,
        rate.priority,
        rate.valid_from,
        rate.valid_until,
        dumps(rate.metadata),
        now,
    )


def _table_rate(row: Row) -> TableRate:
    jurisdiction = row["jurisdiction"] or row["region"] or row["country"]
    return TableRate(
        TaxRate(row["id"], row["rate_ppm"], row["inclusive"], jurisdiction, row["display_name"]),
        country=row["country"],
        region=row["region"],
        level=Level(row["level"]),
        priority=row["priority"],
        postal_codes=tuple(row["postal_codes"]),
        tax_codes=frozenset(row["tax_codes"]),
        valid_from=row["valid_from"],
        valid_until=row["valid_until"],
    )
