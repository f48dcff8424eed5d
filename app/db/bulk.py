"""Many rows in one statement: by COPY where that is allowed, else as arrays that are unnested.

PostgreSQL refuses COPY to a role that row-level security binds; the system role can be freed of
it (see `migrations/initial_guards.py`). UNNEST does the same work everywhere, a little slower.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from app.db.base import Tx
from app.domain.errors import Stale

Row: TypeAlias = tuple[Any, ...]
KEY: Final = ("merchant_id", "id")


COPY_ROWS_MIN: Final = 50
"""Below this an INSERT, prepared once, is quicker than COPY, which is planned each time."""


@lru_cache(maxsize=256)
def _types(table: Table, columns: tuple[str, ...]) -> tuple[str, ...]:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return tuple(table.c[name].type.compile(dialect) for name in columns)


def _arrays(table: Table, columns: tuple[str, ...]) -> str:
    types = _types(table, columns)
    return ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(types, 1))


@lru_cache(maxsize=256)
def _insert(table: Table, columns: tuple[str, ...], on_conflict: str) -> str:
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) "
        f"SELECT * FROM unnest({_arrays(table, columns)}) {on_conflict}"
    )


@lru_cache(maxsize=256)
def _update(table: Table, columns: tuple[str, ...]) -> str:
    changed = ", ".join(f"{name} = v.{name}" for name in columns if name not in KEY)
    return (
        f"UPDATE {table.name} AS t SET {changed} "
        f"FROM unnest({_arrays(table, columns)}) AS v ({', '.join(columns)}) "
        "WHERE t.merchant_id = v.merchant_id AND t.id = v.id AND t.version = v.version - 1"
    )


async def insert(
    tx: Tx,
    table: Table,
    columns: tuple[str, ...],
    rows: Sequence[Row],
    on_conflict: str = "",
) -> int:
    """Insert `rows`, tuples in the order of `columns`; the number inserted."""
    if not rows:
        return 0
    if tx.may_copy and not on_conflict and len(rows) >= COPY_ROWS_MIN:
        await tx.driver.copy_records_to_table(table.name, records=rows, columns=columns)
        return len(rows)
    return await tx.run(_insert(table, columns, on_conflict), *map(list, zip(*rows, strict=True)))


async def update(tx: Tx, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Update rows by key, each from the version before its own. Raises Stale on any other.

    `columns` contains `merchant_id`, `id` and `version`.
    """
    if not rows:
        return
    touched = await tx.run(_update(table, columns), *map(list, zip(*rows, strict=True)))
    if touched != len(rows):
        raise Stale("It was changed by another request in the meantime; read it again.")
