"""What a database's schema consists of, in PostgreSQL's own words, so that two can be compared."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.tables import metadata
from migrations import guards, initial_guards


class Part(NamedTuple):
    """One thing in a schema. Those of the database itself have an empty `table`."""

    kind: str
    table: str
    name: str


Schema = Mapping[Part, str]

BY_HAND: Final = frozenset({"function", "trigger"})
"""The kinds that only migrations make; all others follow from the tables."""

ROLES: Final = ("perennial_app", "perennial_system")

_QUERY: Final = """
    WITH ours AS (
        SELECT oid, relname AS name, reloptions, relpersistence, relrowsecurity, relforcerowsecurity
          FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
           AND relname <> 'alembic_version')
    SELECT 'table', name, '', format('%s, row security %s, forced %s',
           relpersistence, relrowsecurity, relforcerowsecurity) FROM ours
    UNION ALL
    SELECT 'storage', ours.name, split_part(o, '=', 1), split_part(o, '=', 2)
      FROM ours, unnest(reloptions) AS o
    UNION ALL
    SELECT 'column', ours.name, attname,
           format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' not null' ELSE '' END
           || CASE attgenerated::text || attidentity::text WHEN '' THEN ''
              ELSE ' ' || attgenerated::text || attidentity::text END
      FROM ours JOIN pg_attribute ON attrelid = ours.oid AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT 'default', ours.name, attname, pg_get_expr(adbin, adrelid)
      FROM ours JOIN pg_attrdef ON adrelid = ours.oid
      JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
    UNION ALL
    SELECT CASE contype WHEN 'c' THEN 'check' WHEN 'f' THEN 'foreign key' WHEN 'p' THEN 'primary key'
                        WHEN 'u' THEN 'unique' ELSE contype::text END,
           ours.name, conname, pg_get_constraintdef(pg_constraint.oid)
      FROM ours JOIN pg_constraint ON conrelid = ours.oid AND contype <> 'n'
    UNION ALL
    SELECT 'index', ours.name, c.relname, pg_get_indexdef(indexrelid)
      FROM ours JOIN pg_index ON indrelid = ours.oid JOIN pg_class c ON c.oid = indexrelid
     WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT 'policy', tablename, policyname,
           concat_ws(' ', permissive, cmd, 'TO', roles::text, 'USING', qual, 'CHECK', with_check)
      FROM ours JOIN pg_policies ON tablename = ours.name
    UNION ALL
    SELECT 'grant', table_name, grantee, string_agg(privilege_type, ', ' ORDER BY privilege_type)
      FROM ours JOIN information_schema.role_table_grants ON table_name = ours.name
     WHERE table_schema = 'public' AND grantee = ANY ($1)
     GROUP BY table_name, grantee
    UNION ALL
    SELECT 'trigger', ours.name, tgname, pg_get_triggerdef(pg_trigger.oid)
      FROM ours JOIN pg_trigger ON tgrelid = ours.oid AND NOT tgisinternal
    UNION ALL
    SELECT 'function', '', format('%s(%s)', proname, pg_get_function_identity_arguments(oid)), pg_get_functiondef(oid)
      FROM pg_proc WHERE pronamespace = 'public'::regnamespace
"""


async def read(url: str) -> dict[Part, str]:
    """Everything that the schema of the database consists of, but for Alembic's own table."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(_QUERY, list(ROLES))
    finally:
        await connection.close()
    return {Part(*row[:3]): row[3] for row in rows}


def rights() -> tuple[frozenset[str], frozenset[str]]:
    """The tables that are append-only, and those deletable, as the guards of all revisions say."""
    append_only: set[str] = set()
    deletable: set[str] = set()
    for path in Path(__file__).parent.glob("*_guards.py"):
        found = importlib.import_module(f"migrations.{path.stem}")
        append_only |= set(found.APPEND_ONLY)
        deletable |= set(found.DELETABLE)
    return frozenset(append_only), frozenset(deletable)


async def build(connection: AsyncConnection) -> None:
    """Make in an empty database what the metadata says, with every table's row-level security."""
    append_only, deletable = rights()
    await connection.run_sync(metadata.create_all)
    for statement in initial_guards.ROLES:
        await connection.exec_driver_sql(statement)
    for table in metadata.tables:
        for statement in guards.row_security(table, append_only=append_only, deletable=deletable):
            await connection.exec_driver_sql(statement)


def from_tables(schema: Schema) -> dict[Part, str]:
    """What of the schema follows from the metadata."""
    return {part: said for part, said in schema.items() if part.kind not in BY_HAND}


def differences(found: Schema, wanted: Schema) -> list[str]:
    """What to change in `found` to have `wanted`, a sentence each; empty when they are equal."""
    said = []
    for part in sorted(found.keys() | wanted.keys()):
        if found.get(part) != wanted.get(part):
            where = f" of {part.table}" if part.table else ""
            said.append(
                f"{part.kind} {part.name}{where}: "
                f"is {found.get(part, 'missing')!r}, should be {wanted.get(part, 'missing')!r}"
            )
    return said
