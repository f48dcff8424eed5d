"""Written migrations see every difference, lead there and back, and refuse what rows forbid."""

from collections.abc import Callable
from textwrap import dedent
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from alembic.autogenerate import render_python_code
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, Index, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.embedded import Embedded
from migrations import operations, schema
from tests.conftest import Servers

Change = Callable[[Table], object]
Item = Column | sa.Constraint | Index


class Databases(NamedTuple):
    """One to migrate, and one to hold against it."""

    migrated: str
    wanted: str


@pytest.fixture
async def databases(servers: Servers) -> Databases:
    """Two databases, empty."""
    names = (f"migrated_{servers.number}", f"wanted_{servers.number}")
    urls = Databases(*map(Embedded(servers.root).create_database, names))
    for url in urls:
        engine = connect(url)
        async with engine.begin() as connection:
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
        await engine.dispose()
    return urls


def connect(url: str) -> AsyncEngine:
    return create_async_engine(url.replace("postgresql", "postgresql+asyncpg", 1))


def shop() -> MetaData:
    metadata = MetaData(naming_convention={"ck": "ck_%(table_name)s_%(constraint_name)s"})
    Table("owners", metadata, Column("id", Integer, primary_key=True))
    Table(
        "things",
        metadata,
        Column("id", Integer),
        Column("owner", Integer, nullable=False),
        Column("kind", Text, nullable=False, server_default=text("'plain'")),
        Column("note", Text),
        sa.PrimaryKeyConstraint("id", name="pk_things"),
        sa.ForeignKeyConstraint(["owner"], ["owners.id"], name="fk_things_owners"),
        sa.UniqueConstraint("owner", "note", name="uq_things_note"),
        sa.CheckConstraint("kind IN ('plain', 'fancy')", name="kind"),
        sa.CheckConstraint("owner > 0", name="owner"),
        Index("ix_things_kind", "kind", postgresql_where=text("note IS NULL")),
        postgresql_with={"fillfactor": 80},
    )
    return metadata


def without(table: Table, name: str) -> None:
    for group in (table.constraints, table.indexes):
        group -= {item for item in group if item.name == name}


def attach(table: Table, item: Item) -> None:
    match item:
        case Column():
            table.append_column(item)
        case sa.Constraint():
            table.append_constraint(item)
        case Index():
            item._set_parent(table)


def added(item: Item) -> Change:
    return lambda table: attach(table, item)


def replaced(name: str, item: Item) -> Change:
    def change(table: Table) -> None:
        without(table, name)
        attach(table, item)

    return change


def stored(**options: object) -> Change:
    return lambda table: table.dialect_options["postgresql"].update({"with": options})


def column(name: str, **attributes: object) -> Change:
    def change(table: Table) -> None:
        for attribute, value in attributes.items():
            setattr(table.columns[name], attribute, value)

    return change


def longer_key(table: Table) -> None:
    table.columns.owner.primary_key = True
    attach(table, sa.PrimaryKeyConstraint("id", "owner", name="pk_things"))


def two_that_point_at_each_other(table: Table) -> None:
    for mine, other in (("left", "right"), ("right", "left")):
        Table(
            mine,
            table.metadata,
            Column("id", Integer, primary_key=True),
            Column("other", Integer),
            sa.ForeignKeyConstraint(
                ["other"], [f"{other}.id"], name=f"fk_{mine}", use_alter=mine == "left"
            ),
        )


CHANGES: dict[str, Change] = {
    "check of more": replaced(
        "ck_things_kind",
        sa.CheckConstraint("kind IN ('plain', 'fancy', 'it''s')", name="kind"),
    ),
    "check gone": lambda table: without(table, "ck_things_owner"),
    "check new": added(sa.CheckConstraint("note <> '' OR kind ~ '^[a-z]+$'", name="note")),
    "default": column("kind", server_default=sa.DefaultClause("fancy")),
    "default gone": column("kind", server_default=None),
    "default new": column("note", server_default=sa.DefaultClause("none")),
    "may be null": column("owner", nullable=True),
    "may not be null": column("note", nullable=False),
    "type": column("owner", type=sa.BigInteger()),
    "predicate": replaced(
        "ix_things_kind", Index("ix_things_kind", "kind", postgresql_where=text("note <> ''"))
    ),
    "predicate gone": replaced("ix_things_kind", Index("ix_things_kind", "kind")),
    "index gone": lambda table: without(table, "ix_things_kind"),
    "index of an expression": added(Index("ix_things_lower", text("lower(kind)"), unique=True)),
    "index that includes": replaced(
        "ix_things_kind",
        Index(
            "ix_things_kind", "kind", postgresql_include=["id"], postgresql_where=text("note <> ''")
        ),
    ),
    "unique of another": replaced(
        "uq_things_note", sa.UniqueConstraint("owner", "kind", name="uq_things_note")
    ),
    "unique nulls": replaced(
        "uq_things_note",
        sa.UniqueConstraint(
            "owner", "note", name="uq_things_note", postgresql_nulls_not_distinct=True
        ),
    ),
    "key": longer_key,
    "reference that cascades": replaced(
        "fk_things_owners",
        sa.ForeignKeyConstraint(
            ["owner"], ["owners.id"], name="fk_things_owners", ondelete="CASCADE"
        ),
    ),
    "storage": stored(fillfactor=70, autovacuum_enabled="off"),
    "storage gone": stored(),
    "column with default": added(Column("size", Integer, nullable=False, server_default="7")),
    "column that is computed": added(Column("twice", Integer, sa.Computed("owner * 2"))),
    "tables in a circle": two_that_point_at_each_other,
}


async def create(url: str, metadata: MetaData) -> schema.Schema:
    engine = connect(url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    return await schema.read(url)


async def migrate(url: str, metadata: MetaData, before: schema.Schema, after: schema.Schema):
    """Write the migration, and yield what each direction of it makes of the database."""

    def run(code: str, connection: Connection) -> None:
        context = MigrationContext.configure(connection, opts={"target_metadata": metadata})
        exec(dedent(f"    {code}"), {"op": Operations(context), "sa": sa, "postgresql": postgresql})

    def write(connection: Connection) -> tuple[str, str]:
        context = MigrationContext.configure(
            connection, opts={"target_metadata": metadata, "compare_type": True}
        )
        there = operations.between(context, metadata, before, after)
        return (
            render_python_code(there, migration_context=context),
            render_python_code(there.reverse(), migration_context=context),
        )

    engine = connect(url)
    async with engine.connect() as connection:
        directions = await connection.run_sync(write)
    for code in directions:
        async with engine.begin() as connection:
            await connection.run_sync(lambda sync, code=code: run(code, sync))
        yield await schema.read(url)
    await engine.dispose()


@pytest.mark.parametrize("name", CHANGES)
async def test_every_change_is_seen_and_taken_back(databases: Databases, name: str) -> None:
    before = await create(databases.migrated, shop())
    changed = shop()
    CHANGES[name](changed.tables["things"])
    after = await create(databases.wanted, changed)
    assert schema.differences(before, after)
    there, back = [found async for found in migrate(databases.migrated, changed, before, after)]
    assert schema.differences(there, after) == []
    assert schema.differences(back, before) == []


async def test_nothing_is_written_where_nothing_changed(databases: Databases) -> None:
    before = await create(databases.migrated, shop())
    engine = connect(databases.migrated)
    async with engine.connect() as connection:
        found = await connection.run_sync(
            lambda sync: operations.between(
                MigrationContext.configure(sync), shop(), before, before
            )
        )
    await engine.dispose()
    assert found.ops == []


async def test_a_column_that_old_rows_cannot_fill_is_refused(databases: Databases) -> None:
    before = await create(databases.migrated, shop())
    changed = shop()
    added(Column("size", Integer, nullable=False))(changed.tables["things"])
    after = await create(databases.wanted, changed)
    with pytest.raises(operations.Unwritable, match=r"things\.size: NOT NULL, .* server_default"):
        async for _ in migrate(databases.migrated, changed, before, after):
            raise AssertionError("nothing may run")
