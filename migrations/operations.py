"""From one schema to another as operations of Alembic: what it finds, and what it does not see.

Alembic compares tables, columns, keys and unique constraints. Check constraints, server defaults,
the predicates of indexes and storage parameters it passes over; those come from comparing what
PostgreSQL says about the old database and about one built from the metadata.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import sqlalchemy as sa
from alembic.autogenerate import api
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.sql.elements import conv

from migrations.schema import Part, Schema

CONSTRAINTS: Final = ("check", "unique", "foreign key", "primary key")
_NAMES: Final = PGDialect(paramstyle="named").identifier_preparer  # type: ignore[no-untyped-call]
_ONE_OF: Final = re.compile(r"\((\w+) = ANY \(ARRAY\[([^\]]*)\]\)\)")


class Change(NamedTuple):
    """What PostgreSQL says of one part of a table before and after; None where it is not there."""

    part: Part
    old: str | None
    new: str | None


class Unwritable(Exception):
    """The tables ask for what no migration can do on a table with rows; the message says what."""


class Sql(ops.ExecuteSQLOp):
    """A statement that knows what takes it back."""

    def __init__(self, sqltext: str, back: str) -> None:
        super().__init__(sqltext)
        self.back = back

    def reverse(self) -> "Sql":
        return Sql(self.back, str(self.sqltext))


def between(
    context: MigrationContext, metadata: sa.MetaData, before: Schema, wanted: Schema
) -> ops.UpgradeOps:
    """What leads from the connected database, which is `before`, to the metadata's `wanted`."""
    found = api.produce_migrations(context, metadata).upgrade_ops
    assert found is not None
    _refuse_columns_without_default(found.ops)
    assert context.connection is not None
    changed = _changed(before, wanted, frozenset(map(_name, _flat(found.ops))))
    return ops.UpgradeOps(
        [
            *(op for change in changed for op in _drop(context.connection, change)),
            *_steady(found.ops),
            *_late_foreign_keys(found.ops, {part.table for part in before}),
            *(op for c in changed for op in _create(metadata.tables[c.part.table], c)),
        ]
    )


def new_tables(upgrade: ops.UpgradeOps) -> tuple[str, ...]:
    """The tables that the operations create, in their order."""
    return tuple(op.table_name for op in upgrade.ops if isinstance(op, ops.CreateTableOp))


def _refuse_columns_without_default(found: Sequence[ops.MigrateOperation]) -> None:
    wrong = [
        f"{op.table_name}.{op.column.name}"
        for op in _flat(found)
        if isinstance(op, ops.AddColumnOp)
        and not op.column.nullable
        and not (op.column.server_default or op.column.computed or op.column.identity)
    ]
    if wrong:
        raise Unwritable(
            f"{', '.join(wrong)}: NOT NULL, added to a table that has rows, and without a "
            "server_default for them. Give one in app/db/tables, or allow NULL."
        )


def _flat(found: Sequence[ops.MigrateOperation]) -> Iterator[ops.MigrateOperation]:
    for op in found:
        if isinstance(op, ops.OpContainer):
            yield from _flat(op.ops)
        else:
            yield op


def _name(op: ops.MigrateOperation) -> str:
    """The constraint or index that the operation is about, if it is."""
    return str(getattr(op, "constraint_name", None) or getattr(op, "index_name", None) or "")


def _late_foreign_keys(
    found: Sequence[ops.MigrateOperation], known: set[str]
) -> list[ops.CreateForeignKeyOp]:
    """Takes those out of the new tables that point to a table which is created later."""
    late = []
    for op in found:
        if not isinstance(op, ops.CreateTableOp):
            continue
        known.add(op.table_name)
        early: list[sa.schema.SchemaItem] = []
        for item in op.columns:
            if isinstance(item, sa.ForeignKeyConstraint) and (
                item.use_alter or item.referred_table.name not in known
            ):
                late.append(ops.CreateForeignKeyOp.from_constraint(item))
            else:
                early.append(item)
        op.columns = early
    return sorted(late, key=_name)


def _steady(found: Sequence[ops.MigrateOperation]) -> Iterator[ops.MigrateOperation]:
    """The same in the same order each time: Alembic keeps foreign keys in sets."""
    for op in found:
        if isinstance(op, ops.ModifyTableOps):
            runs = groupby(op.ops, type)
            op.ops = [step for _, run in runs for step in sorted(run, key=_name)]
        yield op


def _changed(before: Schema, wanted: Schema, handled: frozenset[str]) -> list[Change]:
    """What differs in tables and columns that both have, but for what is handled already."""
    both = {(part.table, part.name) for part in before.keys() & wanted.keys()}
    return [
        Change(part, before.get(part), wanted.get(part))
        for part in sorted(before.keys() | wanted.keys())
        if (part.table, "") in both
        and (part.kind != "default" or (part.table, part.name) in both)
        and part.name not in handled
        and before.get(part) != wanted.get(part)
    ]


def _drop(connection: sa.Connection, change: Change) -> Iterator[ops.MigrateOperation]:
    """What has to go before columns change."""
    part = change.part
    if change.old is None:
        return
    if part.kind == "check":
        condition = _readable(change.old.removeprefix("CHECK (").removesuffix(")"))
        back = ops.CreateCheckConstraintOp(conv(part.name), part.table, condition)
        yield ops.DropConstraintOp(conv(part.name), part.table, type_="check", _reverse=back)
    elif part.kind in CONSTRAINTS:
        yield Sql(_without(part), _with(part, change.old))
    elif part.kind == "index":
        table = sa.Table(part.table, sa.MetaData(), autoload_with=connection)
        yield ops.DropIndexOp.from_index(_index(table, part.name))


def _create(table: sa.Table, change: Change) -> Iterator[ops.MigrateOperation]:
    """What needs the new columns."""
    part = change.part
    if part.kind == "grant":
        yield from _grants(part, set(_words(change.old)), set(_words(change.new)))
    elif part.kind == "storage":
        yield Sql(_set(part, change.new), _set(part, change.old))
    elif part.kind == "default":
        column = table.columns[part.name]
        old = None if change.old is None else sa.DefaultClause(sa.text(change.old))
        yield ops.AlterColumnOp(
            part.table,
            part.name,
            existing_type=column.type,
            existing_nullable=column.nullable,
            existing_server_default=old,
            modify_server_default=column.server_default,
        )
    elif change.new is None:
        return
    elif part.kind == "check":
        yield ops.CreateCheckConstraintOp(conv(part.name), part.table, _condition(table, part.name))
    elif part.kind in CONSTRAINTS:
        yield Sql(_with(part, change.new), _without(part))
    elif part.kind == "index":
        yield ops.CreateIndexOp.from_index(_index(table, part.name))


def _words(listed: str | None) -> list[str]:
    return listed.split(", ") if listed else []


def _grants(part: Part, old: set[str], new: set[str]) -> Iterator[Sql]:
    for verb in sorted(old ^ new):
        grant = f"GRANT {verb} ON {part.table} TO {part.name}"
        revoke = f"REVOKE {verb} ON {part.table} FROM {part.name}"
        yield Sql(grant, revoke) if verb in new else Sql(revoke, grant)


def _readable(condition: str) -> str:
    """PostgreSQL's words for a lone `IN` as one writes it."""
    listed = _ONE_OF.fullmatch(condition)
    return f"{listed[1]} IN ({listed[2].replace('::text', '')})" if listed else condition


def _index(table: sa.Table, name: str) -> sa.Index:
    [index] = [index for index in table.indexes if index.name == name]
    return index


def _condition(table: sa.Table, name: str) -> str:
    """The check as the metadata words it."""
    [check] = [
        check
        for check in table.constraints
        if isinstance(check, sa.CheckConstraint) and _NAMES.format_constraint(check) == name
    ]
    return str(check.sqltext)


def _without(part: Part) -> str:
    return f"ALTER TABLE {part.table} DROP CONSTRAINT {_NAMES.quote(part.name)}"


def _with(part: Part, definition: str) -> str:
    return f"ALTER TABLE {part.table} ADD CONSTRAINT {_NAMES.quote(part.name)} {definition}"


def _set(part: Part, value: str | None) -> str:
    if value is None:
        return f"ALTER TABLE {part.table} RESET ({part.name})"
    return f"ALTER TABLE {part.table} SET ({part.name} = {value})"
