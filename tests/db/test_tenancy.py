"""Whose rows are whose: held by the database itself, whatever our queries say."""

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from app.db.base import Database
from app.db.errors import Refused
from app.domain.errors import InvalidRequest
from app.ids import new_id
from app.services import customers
from tests.world import World, open_world

CATALOGUE = """
    SELECT c.relname AS table, c.relrowsecurity AS secured, c.relforcerowsecurity AS forced
      FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
       AND c.relname <> 'alembic_version'
"""
KEYS = """
    SELECT c.conrelid::regclass::text AS table, c.conname AS name, c.contype AS kind,
           (SELECT array_agg(a.attname ORDER BY k.n) FROM unnest(c.conkey)
              WITH ORDINALITY k (attnum, n) JOIN pg_attribute a
                ON a.attrelid = c.conrelid AND a.attnum = k.attnum) AS columns
      FROM pg_constraint c WHERE c.contype IN ('p', 'u', 'f')
       AND c.connamespace = 'public'::regnamespace
"""
UNIQUE_INDEXES = """
    SELECT i.indrelid::regclass::text AS table, i.indexrelid::regclass::text AS name,
           (SELECT a.attname FROM pg_attribute a
             WHERE a.attrelid = i.indrelid AND a.attnum = i.indkey[0]) AS first
      FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
     WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace
"""
GLOBAL = {"alembic_version", "merchants"}
BY_SECRET = {"uq_api_keys_hash"}
"""Found before it is known whose it is: a key is random, and tells nothing of its neighbours."""


@pytest.fixture
async def shops(clean_database: str) -> AsyncIterator[tuple[World, World]]:
    """Two merchants' shops on one database."""
    async with open_world(clean_database) as mine, open_world(clean_database) as theirs:
        yield mine, theirs


async def everything(administrator: asyncpg.Connection) -> list[str]:
    return [row["table"] for row in await administrator.fetch(CATALOGUE)]


async def test_every_table_is_secured_even_from_its_owner(
    administrator: asyncpg.Connection,
) -> None:
    rows = await administrator.fetch(CATALOGUE)
    assert len(rows) > 30
    assert [row["table"] for row in rows if not (row["secured"] and row["forced"])] == []
    policies = await administrator.fetch(
        "SELECT tablename, policyname, roles::text[] AS roles, qual, with_check FROM pg_policies"
    )
    held = {(p["tablename"], p["policyname"]): p for p in policies}
    for table in await everything(administrator):
        mine = held.pop((table, "merchant"))
        assert mine["roles"] == ["perennial_app"]
        assert mine["qual"] == mine["with_check"]
        assert "current_setting('app.merchant_id'::text)" in mine["qual"]
        assert held.pop((table, "system"))["roles"] == ["perennial_system"]
    assert held == {}, "a policy that nobody knows"


async def test_every_key_begins_with_the_merchant(administrator: asyncpg.Connection) -> None:
    keys = [key for key in await administrator.fetch(KEYS) if key["table"] not in GLOBAL]
    assert len(keys) > 80
    assert [key["name"] for key in keys if key["columns"][0] != "merchant_id"] == []
    indexes = await administrator.fetch(UNIQUE_INDEXES)
    odd = {i["name"] for i in indexes if i["table"] not in GLOBAL and i["first"] != "merchant_id"}
    assert odd == BY_SECRET


async def test_no_role_of_ours_can_step_over_the_policies(
    administrator: asyncpg.Connection,
) -> None:
    roles = await administrator.fetch(
        "SELECT rolname, rolsuper, rolbypassrls, rolcanlogin, rolcreaterole FROM pg_roles"
        " WHERE rolname LIKE 'perennial\\_%'"
    )
    powers = {role["rolname"]: {name for name, held in role.items() if held} for role in roles}
    assert powers.pop("perennial_app") == {"rolname"}
    # It crosses merchants by its policies; where it may do without them, it can COPY.
    assert powers.pop("perennial_system") <= {"rolname", "rolbypassrls"}
    assert powers == {}
    owned = await administrator.fetch(
        "SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) LIKE 'perennial\\_%'"
    )
    assert owned == []
    may = await administrator.fetch(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee LIKE 'perennial\\_%'"
        " AND privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE')"
    )
    assert {(row["table_name"], row["privilege_type"]) for row in may} == {
        ("addon_plans", "DELETE"),
        ("customer_tax_ids", "DELETE"),
        ("dunning_policy_plans", "DELETE"),
        ("event_batches", "DELETE"),
        ("idempotency_keys", "DELETE"),
        ("inbound_events", "DELETE"),
        # Of drafts only: triggers refuse it for whatever is final.
        ("invoice_line_discounts", "DELETE"),
        ("invoice_line_taxes", "DELETE"),
        ("invoice_lines", "DELETE"),
        ("invoices", "DELETE"),
        ("plan_features", "DELETE"),
        ("subscription_tax_rates", "DELETE"),
        ("tax_engine_rates", "DELETE"),
        ("tax_engines", "DELETE"),
        ("tax_registrations", "DELETE"),
        ("webhook_attempts", "DELETE"),
        ("webhook_deliveries", "DELETE"),
    }


async def test_a_transaction_that_says_no_merchant_fails_loudly(
    shops: tuple[World, World], administrator: asyncpg.Connection
) -> None:
    db: Database = shops[0].rt.db
    for table in await everything(administrator):
        with pytest.raises(Refused, match="invalid input syntax for type uuid"):
            async with db._begin("perennial_app", "") as tx:
                await tx.fetch(f"SELECT 1 FROM {table}")


async def test_a_connection_that_was_never_told_fails_too(
    clean_database: str, shops: tuple[World, World]
) -> None:
    connection = await asyncpg.connect(clean_database)
    try:
        await connection.execute("SET ROLE perennial_app")
        with pytest.raises(asyncpg.UndefinedObjectError, match=r"app\.merchant_id"):
            await connection.fetch("SELECT 1 FROM customers")
    finally:
        await connection.close()


async def test_another_merchant_s_rows_cannot_be_seen(
    shops: tuple[World, World], administrator: asyncpg.Connection
) -> None:
    mine, theirs = shops
    customer = await theirs.customer()
    await theirs.credit(customer, 100)
    await theirs.subscribe(customer, await theirs.price("1000"))
    for table in await everything(administrator):
        column = "id" if table == "merchants" else "merchant_id"
        seen = await mine.fetch(f"SELECT DISTINCT {column} AS merchant FROM {table}")
        assert {row["merchant"] for row in seen} <= {mine.caller.merchant_id}, table
    assert await theirs.fetch("SELECT 1 FROM invoices")


async def test_another_merchant_s_rows_cannot_be_written(
    shops: tuple[World, World],
) -> None:
    mine, theirs = shops
    customer = await theirs.customer()
    me, them = mine.caller.merchant_id, theirs.caller.merchant_id
    async with mine.rt.db.begin(me) as tx:
        assert await tx.run("UPDATE customers SET name = 'mine' WHERE id = $1", customer) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with mine.rt.db.begin(me) as tx:
            await tx.run(
                "INSERT INTO customers (merchant_id, id, created_at) VALUES ($1, $2, $3)",
                them,
                new_id(),
                mine.now,
            )
    own = await mine.customer()
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with mine.rt.db.begin(me) as tx:
            await tx.run("UPDATE customers SET merchant_id = $1 WHERE id = $2", them, own)


async def test_a_row_cannot_refer_across_merchants(shops: tuple[World, World]) -> None:
    mine, theirs = shops
    clock, price = await theirs.test_clock(), await theirs.price()
    with pytest.raises(InvalidRequest):
        cmd = customers.CreateCustomer(test_clock_id=clock)
        await customers.create(mine.rt, mine.caller, cmd)
    with pytest.raises(InvalidRequest, match="no such price"):
        await mine.subscribe(await mine.customer(), price)
    # And where no code of ours asks first, the foreign key does.
    with pytest.raises(InvalidRequest, match="does not exist"):
        async with mine.rt.db.begin(mine.caller.merchant_id) as tx:
            await tx.run(
                "INSERT INTO customers (merchant_id, id, test_clock_id, created_at)"
                " VALUES ($1, $2, $3, $4)",
                mine.caller.merchant_id,
                new_id(),
                clock,
                mine.now,
            )


async def test_the_merchant_of_one_transaction_is_forgotten_by_the_next(
    shops: tuple[World, World],
) -> None:
    mine, _ = shops
    async with mine.rt.db.begin(mine.caller.merchant_id) as tx:
        assert await tx.fetchval("SELECT current_setting('role')") == "perennial_app"
    async with mine.rt.db.engine.connect() as core:  # the same connection, out of the pool again
        row = (
            await core.exec_driver_sql(
                "SELECT current_setting('role'), current_setting('app.merchant_id', true)"
            )
        ).one()
    assert tuple(row) in {("none", ""), ("none", None)}


async def test_a_reader_sees_its_merchant_and_writes_nothing(shops: tuple[World, World]) -> None:
    mine, theirs = shops
    await theirs.customer(None)
    async with mine.rt.db.read(mine.caller.merchant_id) as reader:
        assert await reader.fetch("SELECT 1 FROM customers") == []
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with mine.rt.db.read(mine.caller.merchant_id) as reader:
            await reader.fetch("UPDATE customers SET name = 'x'")
    unknown = UUID(int=0)
    async with mine.rt.db.read(unknown) as reader:
        assert await reader.fetch("SELECT 1 FROM merchants") == []
