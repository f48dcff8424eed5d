"""Numbering series: what numbers look like, and which comes next."""

from typing import Final
from uuid import UUID

from app.db.base import Row, Tx
from app.db.views.base import Source
from app.domain.errors import InvalidRequest

COLUMNS: Final = "series, prefix, digits, first_number, next_number"


async def check(tx: Tx, name: str) -> None:
    """Refuse a series that the transaction's merchant does not have. Raises InvalidRequest."""
    known = await tx.fetchval(
        "SELECT true FROM invoice_series "
        "WHERE merchant_id = current_setting('app.merchant_id')::uuid AND series = $1",
        name,
    )
    if not known:
        raise InvalidRequest(
            "There is no such numbering series.", code="series_not_found", param="series"
        )


async def every(source: Source, merchant_id: UUID) -> list[Row]:
    """A merchant's series, by name."""
    return await source.fetch(
        f"SELECT {COLUMNS} FROM invoice_series WHERE merchant_id = $1 ORDER BY series", merchant_id
    )


async def lock(tx: Tx, merchant_id: UUID, name: str, prefix: str) -> Row:
    """A series, locked to be changed; made with this prefix where it is new."""
    await tx.run(
        """
        INSERT INTO invoice_series (merchant_id, series, prefix) VALUES ($1, $2, $3)
        ON CONFLICT DO NOTHING
        """,
        merchant_id,
        name,
        prefix,
    )
    row = await tx.fetchrow(
        f"SELECT {COLUMNS} FROM invoice_series WHERE merchant_id = $1 AND series = $2 "
        "FOR NO KEY UPDATE",
        merchant_id,
        name,
    )
    assert row is not None, "it was made just now"
    return row


async def change(
    tx: Tx, merchant_id: UUID, name: str, prefix: str, digits: int, next_number: int
) -> Row:
    """Change a series. Where the next number is another, its numbers begin anew from there."""
    row = await tx.fetchrow(
        f"""
        UPDATE invoice_series
           SET prefix = $3, digits = $4, next_number = $5,
               first_number = CASE WHEN next_number = $5 THEN first_number ELSE $5 END
         WHERE merchant_id = $1 AND series = $2 RETURNING {COLUMNS}
        """,
        merchant_id,
        name,
        prefix,
        digits,
        next_number,
    )
    assert row is not None, "whoever asks has locked it"
    return row
