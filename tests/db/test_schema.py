"""The migrations lead there and back, say what the tables say, and wait for nobody for long."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine

from app.db.tables import metadata
from app.domain.errors import Conflict
from app.embedded import Embedded
from migrations import schema
from migrations.schema import Part, Schema
from tests.conftest import Servers
from tests.world import World, open_world

ROOT = Path(__file__).parents[2]


@pytest.fixture
def spare(servers: Servers) -> Iterator[str]:
    """An empty database to migrate."""
    yield Embedded(servers.root).create_database(f"spare_{servers.number}")


async def alembic(url: str, name: str, *words: str, **options: bool) -> str:
    """Run a command of Alembic as `perennial migrate` does, and return what it printed."""
    printed = io.StringIO()
    config = Config(ROOT / "alembic.ini", output_buffer=printed)
    config.attributes["url"] = url
    # Its environment runs an event loop of its own.
    await asyncio.to_thread(getattr(command, name), config, *words, **options)
    return printed.getvalue()


@pytest.fixture
async def built(servers: Servers) -> Schema:
    """What the tables in `app/db/tables` make of an empty database."""
    url = Embedded(servers.root).create_database(f"built_{servers.number}")
    engine = create_async_engine(url.replace("postgresql", "postgresql+asyncpg", 1))
    async with engine.begin() as connection:
        await schema.build(connection)
    await engine.dispose()
    return schema.from_tables(await schema.read(url))


async def test_there_and_back_and_there_again(spare: str) -> None:
    await alembic(spare, "upgrade", "head")
    there = await schema.read(spare)
    assert len(there) > 500
    await alembic(spare, "downgrade", "base")
    assert await schema.read(spare) == {}
    await alembic(spare, "upgrade", "head")
    assert schema.differences(await schema.read(spare), there) == []


async def test_each_revision_leads_back_to_the_one_before(spare: str) -> None:
    await alembic(spare, "upgrade", "head")
    await alembic(spare, "downgrade", "base")
    revisions = [
        script.revision for script in ScriptDirectory(str(ROOT / "migrations")).walk_revisions()
    ]
    for revision in reversed(revisions):
        before = await schema.read(spare)
        await alembic(spare, "upgrade", revision)
        await alembic(spare, "downgrade", "-1")
        assert schema.differences(await schema.read(spare), before) == []
        await alembic(spare, "upgrade", revision)


async def test_the_migrations_make_what_the_tables_say(spare: str, built: Schema) -> None:
    await alembic(spare, "upgrade", "head")
    migrated = schema.from_tables(await schema.read(spare))
    found = schema.differences(migrated, built)
    assert not found, "\n".join(["A table changed: make migration-refresh (or migration).", *found])
    await alembic(spare, "check")


async def test_no_table_is_without_its_guards(spare: str) -> None:
    await alembic(spare, "upgrade", "head")
    found = await schema.read(spare)
    append_only, deletable = schema.rights()
    assert append_only | deletable <= set(metadata.tables)
    for table in metadata.tables:
        assert found[Part("table", table, "")] == "p, row security t, forced t", table
        policies = {part.name for part in found if part[:2] == ("policy", table)}
        assert policies == {"merchant", "system"}, table
        for role in schema.ROLES:
            verbs = set(found[Part("grant", table, role)].split(", "))
            assert verbs >= {"SELECT", "INSERT"}, table
            assert ("UPDATE" in verbs) == (table not in append_only), table
            assert ("DELETE" in verbs) == (table in deletable), table
        if table in append_only:
            assert Part("trigger", table, f"{table}_append_only") in found


async def test_every_connection_has_its_limits(world: World) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    expected = ["30s", "5s", "30s", "UTC"]
    query = "SELECT " + ", ".join(f"current_setting('{n}')" for n in (*names, "timezone"))
    async with world.rt.db.begin(world.caller.merchant_id) as tx:
        [row] = await tx.fetch(query)
        assert list(row) == expected
    async with world.rt.db.read(world.caller.merchant_id) as reader:
        [row] = await reader.fetch(query)
        assert list(row) == expected


async def test_a_lock_is_waited_for_and_then_said_to_be_held(clean_database: str) -> None:
    async with open_world(clean_database, lock_timeout_ms=100) as world:
        customer = await world.customer(None)
        holder = await asyncpg.connect(clean_database)
        transaction = holder.transaction()
        await transaction.start()
        try:
            await holder.execute("SELECT 1 FROM customers WHERE id = $1 FOR UPDATE", customer)
            with pytest.raises(Conflict, match="try again") as refused:
                await asyncio.wait_for(world.credit(customer, 5), 5)
            assert refused.value.code == "lock_timeout"
        finally:
            await transaction.rollback()
            await holder.close()
        await world.credit(customer, 5)


async def test_migrations_set_a_lock_time_out_before_they_touch_anything() -> None:
    sql = await alembic("postgresql://nobody@localhost/nothing", "upgrade", "head", sql=True)
    first = next(line for line in sql.splitlines() if line.strip() and line != "BEGIN;")
    assert "lock_timeout" in first


async def test_migrations_can_be_had_as_sql_in_both_directions() -> None:
    url = "postgresql://nobody@localhost/nothing"
    there = await alembic(url, "upgrade", "head", sql=True)
    back = await alembic(url, "downgrade", "head:base", sql=True)
    for table in metadata.tables:
        assert f"CREATE TABLE {table} (" in there
        assert f"CREATE POLICY merchant ON {table} " in there
        assert f"DROP TABLE {table};" in back
