"""The migrations lead there and back, say what the tables say, and wait for nobody for long."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from alembic.config import Config

from app.domain.errors import Conflict
from app.embedded import Embedded
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


async def shape(url: str) -> list[str]:
    """Everything that the schema consists of, in words."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            """
            SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' '
                   || is_nullable || ' ' || coalesce(column_default, '') AS line
              FROM information_schema.columns WHERE table_schema = 'public'
            UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
            UNION ALL SELECT 'constraint ' || conrelid::regclass || ' '
                   || pg_get_constraintdef(oid) FROM pg_constraint
             WHERE connamespace = 'public'::regnamespace
            UNION ALL SELECT 'policy ' || tablename || ' ' || policyname FROM pg_policies
            UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger
             WHERE NOT tgisinternal
            UNION ALL SELECT 'function ' || proname FROM pg_proc
             WHERE pronamespace = 'public'::regnamespace
            ORDER BY 1
            """
        )
    finally:
        await connection.close()
    return [row["line"] for row in rows]


async def test_there_and_back_and_there_again(spare: str) -> None:
    await alembic(spare, "upgrade", "head")
    there = await shape(spare)
    assert len(there) > 500
    await alembic(spare, "check")
    await alembic(spare, "downgrade", "base")
    back = await shape(spare)
    assert [line for line in back if "alembic_version" not in line] == []
    await alembic(spare, "upgrade", "head")
    assert await shape(spare) == there


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
