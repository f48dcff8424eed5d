"""Runs the migrations: one connection, as the owner, with time-outs so that no table is blocked."""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from app.db.tables import metadata
from app.settings import settings

LOCK_TIMEOUT = "5s"
STATEMENT_TIMEOUT = "10min"


def _url() -> str:
    given = context.config.attributes.get("url") or settings().database_url.get_secret_value()
    return (
        make_url(given).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    )


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _online() -> None:
    engine = create_async_engine(_url(), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
        await connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'"))
        await connection.commit()
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


def _offline() -> None:
    context.configure(
        url=_url(),
        target_metadata=metadata,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        context.run_migrations()


if context.is_offline_mode():
    _offline()
elif (given := context.config.attributes.get("connection")) is not None:
    _run(given)
else:
    asyncio.run(_online())
