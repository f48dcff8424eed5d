"""How nouns are read: one statement a noun, for one row, some rows or a page of them.

The columns of a view are its public fields, under their public names, identifiers still as UUID.
`t` is the noun's own table in every statement.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Protocol
from uuid import UUID

from app.db.base import Row


class Fields(Protocol):
    """A row, or a dictionary of the same fields."""

    def __getitem__(self, key: str, /) -> Any: ...
    def items(self) -> Iterable[tuple[str, Any]]: ...


class Source(Protocol):
    """What rows come from: a transaction, or a reader outside of any."""

    async def fetch(self, sql: str, *args: object) -> list[Row]: ...
    async def fetchrow(self, sql: str, *args: object) -> Row | None: ...


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One noun: what it is called, where its fields come from, and what lists filter by.

    `filters` are conditions with `{}` where the value goes. `references` say which fields point
    to what, so that they can be expanded: `{"customer": "customer"}` for `customer_id`.
    `children` are the prefixes of the identifiers of what lies inside (`{"lines": "il"}`).
    """

    object: str
    prefix: str
    table: str
    columns: str
    filters: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    children: Mapping[str, str] = field(default_factory=dict)
    shown: str = "true"
    """What a list leaves out; a single read shows it all the same."""


CREATED = {
    "created_gte": "t.created_at >= {}",
    "created_gt": "t.created_at > {}",
    "created_lte": "t.created_at <= {}",
    "created_lt": "t.created_at < {}",
}


@cache
def _one(view: View) -> str:
    return f"SELECT {view.columns} FROM {view.table} t WHERE t.merchant_id = $1 AND t.id = $2"


@cache
def _some(view: View) -> str:
    return (
        f"SELECT {view.columns} FROM {view.table} t "
        "WHERE t.merchant_id = $1 AND t.id = ANY($2::uuid[])"
    )


@lru_cache(maxsize=1_024)
def _page(view: View, filters: tuple[str, ...]) -> str:
    conditions = [view.filters[name].format(f"${place}") for place, name in enumerate(filters, 4)]
    return (
        f"SELECT {view.columns} FROM {view.table} t "
        "WHERE t.merchant_id = $1 AND ($2::uuid IS NULL OR t.id < $2) "
        f"AND {' AND '.join([view.shown, *conditions])} "
        "ORDER BY t.id DESC LIMIT $3"
    )


async def one(source: Source, view: View, merchant_id: UUID, id: UUID) -> Row | None:
    """The row with this id."""
    return await source.fetchrow(_one(view), merchant_id, id)


async def some(source: Source, view: View, merchant_id: UUID, ids: Sequence[UUID]) -> list[Row]:
    """The rows with these ids, in any order; those that are not there are left out."""
    return await source.fetch(_some(view), merchant_id, list(ids))


async def page(
    source: Source,
    view: View,
    merchant_id: UUID,
    filters: Mapping[str, Any],
    after: UUID | None,
    limit: int,
) -> list[Row]:
    """Up to `limit` rows older than `after`, the newest first, that pass every filter."""
    names = tuple(sorted(filters))
    values = [filters[name] for name in names]
    return await source.fetch(_page(view, names), merchant_id, after, limit, *values)
