"""What every table shares: the naming of constraints, the tenant key, and column shorthands.

Every key of every table begins with `merchant_id`, so a row can neither collide with nor point to
another merchant's, and the schema can be distributed by that column.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Constraint,
    ForeignKeyConstraint,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, TIMESTAMP, UUID


def _reference(key: Constraint, _table: Table) -> str:
    """What a foreign key is called after its table: the other table, or the column where that does
    not say which table it is.
    """
    assert isinstance(key, ForeignKeyConstraint)
    column = key.column_keys[-1]
    table = key.elements[0].target_fullname.partition(".")[0]
    is_plain = column == "merchant_id" or column.removesuffix("_id") + "s" == table
    return table if is_plain else column


metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "reference": _reference,
        "fk": "fk_%(table_name)s_%(reference)s",
        "pk": "pk_%(table_name)s",
    }
)

INSTANT: Final = TIMESTAMP(timezone=True)
HOT: Final = 80
"""Fill factor of tables whose rows are updated in place: room for heap-only updates."""

Item = Any


def tenant_table(name: str, *items: Item, key: tuple[str, ...] = ("id",), **options: Any) -> Table:
    """A table that belongs to merchants: `merchant_id` first, in the columns and in the key."""
    owner = (
        [] if name == "merchants" else [Column("merchant_id", UUID(as_uuid=True), nullable=False)]
    )
    first = () if name == "merchants" else ("merchant_id",)
    return Table(name, metadata, *owner, *items, PrimaryKeyConstraint(*first, *key), **options)


def uid(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, UUID(as_uuid=True), nullable=null)


def string(name: str, *, null: bool = False, default: str | None = None) -> Column[Any]:
    return Column(
        name, Text, nullable=null, server_default=None if default is None else text(f"'{default}'")
    )


def minor(name: str, *, null: bool = False) -> Column[Any]:
    """An amount in minor units of the row's currency."""
    return Column(name, BigInteger, nullable=null)


def number(name: str, *, null: bool = False, default: int | None = None) -> Column[Any]:
    return Column(
        name,
        BigInteger,
        nullable=null,
        server_default=None if default is None else text(str(default)),
    )


def small(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, SmallInteger, nullable=null)


def instant(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, INSTANT, nullable=null)


def document(name: str, *, null: bool = False, default: str | None = "{}") -> Column[Any]:
    """Written once and read whole, so `json`: exact text in and out, nothing parsed between."""
    return Column(
        name, JSON, nullable=null, server_default=None if default is None else text(f"'{default}'")
    )


def one_of(
    column: str, values: type[StrEnum] | Iterable[str], name: str | None = None
) -> CheckConstraint:
    """The column holds one of the values; NULL passes."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=name or column)


def check(name: str, condition: str) -> CheckConstraint:
    return CheckConstraint(condition, name=name)


def currency_check() -> CheckConstraint:
    return CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency")


def belongs_to(table: str, column: str, *, ondelete: str | None = None) -> ForeignKeyConstraint:
    """A reference inside the same merchant: `(merchant_id, column)` to the table's key."""
    return ForeignKeyConstraint(
        ["merchant_id", column],
        [f"{table}.merchant_id", f"{table}.id"],
        ondelete=ondelete,
    )


def of_merchant() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["merchant_id"], ["merchants.id"])
