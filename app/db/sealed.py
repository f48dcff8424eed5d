"""Every column that holds sealed secrets, for when they are sealed anew with another key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.db.base import Row, Tx
from app.db.tables import metadata
from app.secrets import Place

SUFFIX: Final = "_ciphertext"
"""Columns of sealed secrets end so, and no others."""
START: Final = (UUID(int=0), UUID(int=0))


@dataclass(frozen=True, slots=True)
class Sealed:
    """A column of sealed texts."""

    table: str
    column: str

    @property
    def field(self) -> str:
        """Its name as the place that its texts are sealed for."""
        return f"{self.table}.{self.column}"

    def place(self, row: Row) -> Place:
        """Where the text of a row is kept."""
        return Place(row["merchant_id"], row["id"], self.field)


COLUMNS: Final = tuple(
    Sealed(table.name, column.name)
    for table in metadata.sorted_tables
    for column in table.columns
    if column.name.endswith(SUFFIX)
)


async def count(tx: Tx, sealed: Sealed) -> int:
    """How many rows hold a text there."""
    found: int = await tx.fetchval(
        f"SELECT count(*) FROM {sealed.table} WHERE {sealed.column} IS NOT NULL"
    )
    return found


async def lock(tx: Tx, sealed: Sealed, after: tuple[UUID, UUID], limit: int) -> list[Row]:
    """The next rows behind (merchant, id) that hold a text there, locked, in order."""
    return await tx.fetch(
        f"""
        SELECT merchant_id, id, {sealed.column} AS text FROM {sealed.table}
         WHERE (merchant_id, id) > ($1, $2) AND {sealed.column} IS NOT NULL
         ORDER BY merchant_id, id LIMIT $3 FOR NO KEY UPDATE
        """,
        *after,
        limit,
    )


async def replace(tx: Tx, sealed: Sealed, texts: Sequence[tuple[UUID, UUID, str]]) -> None:
    """Put (merchant, id, text) into locked rows. The secret is the same: no version moves on."""
    await tx.run(
        f"""
        UPDATE {sealed.table} t SET {sealed.column} = v.text
          FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS v (merchant_id, id, text)
         WHERE t.merchant_id = v.merchant_id AND t.id = v.id
        """,
        [merchant for merchant, _, _ in texts],
        [row for _, row, _ in texts],
        [text for _, _, text in texts],
    )
