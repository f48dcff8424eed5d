"""From one schema to another as operations of Alembic: what it finds, and what it does not see.

Alembic compares tables, columns, keys and unique constraints. Check constraints, server defaults,
the predicates of indexes and storage parameters it passes over; those come from comparing what
PostgreSQL says about the old database and about one built from the metadata.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import sqlalchemy as sa
from alembic.autogenerate import api
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import conv

from app.db.tables import metadata
from migrations.schema import Part, Schema

CONSTRAINTS: Final = ("check", "unique", "foreign key", "primary key")
_DIALECT: Final = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]  # it has none
_ONE_OF: Final = re.compile(r"\((\w+) = ANY \(ARRAY\[([^\]]*)\]\)\)")


class Unwritable(Exception):
    """The tables ask for what no migration can do on a table with rows; the message says what."""


class Sql(ops.ExecuteSQLOp):
    """A statement that knows what takes it back."""

    def __init__(self, sqltext: str, back: str) -> None:
        super().__init__(sqltext)
        self.back = back

    def reverse(self) -> "Sql":
        return Sql(self.back, str(self.sqltext))


def between(context: MigrationContext, before: Schema, wanted: Schema) -> ops.UpgradeOps:
    """What leads from the connected database, which is `before`, to the metadata's `wanted`."""
    found = api.produce_migrations(context, metadata).upgrade_ops
    assert found is not None
    _refuse_columns_without_default(found.ops)
    assert context.connection is not None
    missed = _Missed(context.connection, before, wanted, frozenset(_names(found.ops)))
    late = list(_foreign_keys_of_new_tables(found.ops, {p.table for p in before}))
    return ops.UpgradeOps([*missed.drops(), *found.ops, *late, *missed.creates()])


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


def _names(found: Sequence[ops.MigrateOperation]) -> Iterator[str]:
    """The constraints and indexes that Alembic takes care of itself."""
    for op in _flat(found):
        name = getattr(op, "constraint_name", None) or getattr(op, "index_name", None)
        if name:
            yield str(name)


def _foreign_keys_of_new_tables(
    found: Sequence[ops.MigrateOperation], known: set[str]
) -> Iterator[ops.CreateForeignKeyOp]:
    """Takes those out of the new tables that point to a table which is created later."""
    for op in found:
        if not isinstance(op, ops.CreateTableOp):
            continue
        known.add(op.table_name)
        kept = []
        for item in op.columns:
            if isinstance(item, sa.ForeignKeyConstraint) and (
                item.use_alter or item.referred_table.name not in known
            ):
                yield ops.CreateForeignKeyOp.from_constraint(item)
            else:
                kept.append(item)
        op.columns = kept


class _Missed:
    """What differs between two schemas in tables that both have, and that Alembic passed over."""

    def __init__(
        self, connection: sa.Connection, before: Schema, wanted: Schema, handled: frozenset[str]
    ) -> None:
        self._connection = connection
        self._before = before
        self._wanted = wanted
        both = {p.table for p in before} & {p.table for p in wanted}
        self._changed = [
            part
            for part in sorted(before.keys() | wanted.keys())
            if part.table in both
            and part.name not in handled
            and before.get(part) != wanted.get(part)
        ]

    def drops(self) -> Iterator[ops.MigrateOperation]:
        """What has to go before columns change."""
        for part in self._changed:
            if part not in self._before:
                continue
            if part.kind == "check":
                yield _drop_check(part, self._before[part])
            elif part.kind in CONSTRAINTS:
                yield Sql(_drop(part), _add(part, self._before[part]))
            elif part.kind == "index":
                yield ops.DropIndexOp.from_index(self._reflected(part))

    def creates(self) -> Iterator[ops.MigrateOperation]:
        """What needs the new columns."""
        for part in self._changed:
            if part.kind == "storage":
                yield self._storage(part)
            elif part.kind == "default":
                if self._is_default_of_both(part):
                    yield self._default(part)
            elif part not in self._wanted:
                continue
            elif part.kind == "check":
                yield ops.CreateCheckConstraintOp(conv(part.name), part.table, _condition(part))
            elif part.kind in CONSTRAINTS:
                yield Sql(_add(part, self._wanted[part]), _drop(part))
            elif part.kind == "index":
                index = _index(metadata.tables[part.table], part.name)
                yield ops.CreateIndexOp.from_index(index)

    def _is_default_of_both(self, part: Part) -> bool:
        column = part._replace(kind="column")
        return column in self._before and column in self._wanted

    def _default(self, part: Part) -> ops.AlterColumnOp:
        column = metadata.tables[part.table].columns[part.name]
        old = self._before.get(part)
        return ops.AlterColumnOp(
            part.table,
            part.name,
            existing_type=column.type,
            existing_nullable=column.nullable,
            existing_server_default=None if old is None else sa.DefaultClause(sa.text(old)),
            modify_server_default=column.server_default,
        )

    def _storage(self, part: Part) -> Sql:
        return Sql(_set(part, self._wanted.get(part)), _set(part, self._before.get(part)))

    def _reflected(self, part: Part) -> sa.Index:
        table = sa.Table(part.table, sa.MetaData(), autoload_with=self._connection)
        return _index(table, part.name)


def _index(table: sa.Table, name: str) -> sa.Index:
    [index] = [index for index in table.indexes if index.name == name]
    return index


def _drop_check(part: Part, definition: str) -> ops.DropConstraintOp:
    condition = definition.removeprefix("CHECK (").removesuffix(")")
    back = ops.CreateCheckConstraintOp(conv(part.name), part.table, _readable(condition))
    return ops.DropConstraintOp(conv(part.name), part.table, type_="check", _reverse=back)


def _readable(condition: str) -> str:
    """PostgreSQL's words for a lone `IN` as one writes it."""
    listed = _ONE_OF.fullmatch(condition)
    return f"{listed[1]} IN ({listed[2].replace('::text', '')})" if listed else condition


def _condition(part: Part) -> str:
    """The check as the metadata words it."""
    name = _DIALECT.identifier_preparer.format_constraint
    [found] = [
        check
        for check in metadata.tables[part.table].constraints
        if isinstance(check, sa.CheckConstraint) and name(check) == part.name
    ]
    return str(found.sqltext)


def _drop(part: Part) -> str:
    return f"ALTER TABLE {part.table} DROP CONSTRAINT {part.name}"


def _add(part: Part, definition: str) -> str:
    return f"ALTER TABLE {part.table} ADD CONSTRAINT {part.name} {definition}"


def _set(part: Part, value: str | None) -> str:
    if value is None:
        return f"ALTER TABLE {part.table} RESET ({part.name})"
    return f"ALTER TABLE {part.table} SET ({part.name} = {value})"
