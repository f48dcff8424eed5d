"""Connections and transactions. Every transaction acts as a role that row-level security binds.

One login may own everything; it never acts as itself. A merchant's work runs as `perennial_app`,
which sees the rows of the merchant set for that transaction and no others, and fails when none
is set. The clock and the sweeps cross merchants as `perennial_system`.

Writes go through SQLAlchemy's engine, whole statements and bulk arrays through the asyncpg
connection beneath it; hot reads take an asyncpg connection straight from a pool of their own,
which costs a third of the time.
"""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import CursorResult, Executable
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.db.errors import translate
from app.settings import Settings

CONNECT_SECONDS_MAX: Final = 10
COMMAND_SECONDS_MARGIN: Final = 5
"""The server's own time-out fires first; the client's is the net beneath it."""

APP_ROLE: Final = "perennial_app"
SYSTEM_ROLE: Final = "perennial_system"
LOOKING: Final = "ISOLATION LEVEL REPEATABLE READ, READ ONLY"

Row: TypeAlias = asyncpg.Record


@dataclass(frozen=True, slots=True)
class Reader:
    """A connection bound to one merchant for reading; parameters are `$1`, `$2`, …"""

    connection: "asyncpg.pool.PoolConnectionProxy[Row]"

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        return await self.connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        return await self.connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        return await self.connection.fetchval(sql, *args)


@dataclass(frozen=True, slots=True)
class Tx:
    """An open transaction. Services open it; functions of `app.db` take it and never commit."""

    core: AsyncConnection
    driver: "asyncpg.Connection[Row]"
    may_copy: bool = False
    """Whether COPY is allowed: only to a role that no row-level policy binds."""

    async def execute(self, statement: Executable) -> CursorResult[Any]:
        """Run a SQLAlchemy Core statement."""
        return await self.core.execute(statement)

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        return await self.driver.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        return await self.driver.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        return await self.driver.fetchval(sql, *args)

    async def run(self, sql: str, *args: object) -> int:
        """Execute and return how many rows it touched."""
        status = await self.driver.execute(sql, *args)
        tail = status.rsplit(" ", 1)[-1]
        return int(tail) if tail.isdigit() else 0


LOCKS: Final = re.compile(r"FOR (NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)( OF \w+)?( SKIP LOCKED)?")


@lru_cache(maxsize=256)
def _unlocked(sql: str) -> str:
    return LOCKS.sub("", sql)


@dataclass(frozen=True, slots=True)
class Look(Tx):
    """A transaction that only looks: the statements of the others, without the rows' locks.

    So a preview reads by the very functions that a change reads by, and holds nobody up.
    """

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        return await self.driver.fetch(_unlocked(sql), *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        return await self.driver.fetchrow(_unlocked(sql), *args)

    async def fetchval(self, sql: str, *args: object) -> Any:
        return await self.driver.fetchval(_unlocked(sql), *args)

    async def run(self, sql: str, *args: object) -> int:
        status = await self.driver.execute(_unlocked(sql), *args)
        tail = status.rsplit(" ", 1)[-1]
        return int(tail) if tail.isdigit() else 0


class Database:
    """The engine and the read pool of one process."""

    def __init__(self, settings: Settings) -> None:
        url = make_url(settings.database_url.get_secret_value())
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._settings = settings
        self._server_settings = {
            "application_name": "perennial",
            "timezone": "UTC",
            "jit": "off",
            "statement_timeout": str(settings.statement_timeout_ms),
            "lock_timeout": str(settings.lock_timeout_ms),
            "idle_in_transaction_session_timeout": str(settings.idle_in_transaction_timeout_ms),
        }
        self._command_seconds = settings.statement_timeout_ms / 1000 + COMMAND_SECONDS_MARGIN
        self.engine: AsyncEngine = create_async_engine(
            url.set(drivername="postgresql+asyncpg"),
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=CONNECT_SECONDS_MAX,
            pool_pre_ping=False,
            json_deserializer=str,  # JSON stays text until someone wants it, as on the read pool
            connect_args={
                "timeout": CONNECT_SECONDS_MAX,
                "command_timeout": self._command_seconds,
                "server_settings": self._server_settings,
            },
        )
        self._readers: asyncpg.Pool[Row] | None = None
        self._system_may_copy: bool | None = None

    async def open(self) -> None:
        """Open the read pool; reads before this are a mistake of ours."""
        self._readers = await asyncpg.create_pool(
            self._dsn,
            min_size=0,
            max_size=self._settings.pool_size,
            timeout=CONNECT_SECONDS_MAX,
            command_timeout=self._command_seconds,
            server_settings=self._server_settings,
            reset=_nothing_to_reset,
        )

    async def close(self) -> None:
        await self.engine.dispose()
        if self._readers is not None:
            await self._readers.close()

    @asynccontextmanager
    async def begin(self, merchant_id: UUID) -> AsyncIterator[Tx]:
        """A transaction that sees and writes one merchant's rows; commits at the end."""
        async with self._begin(APP_ROLE, str(merchant_id)) as tx:
            yield tx

    @asynccontextmanager
    async def look(self, merchant_id: UUID) -> AsyncIterator[Tx]:
        """One merchant's rows in one snapshot, read as by `begin`; nothing is locked or written."""
        async with self._begin(APP_ROLE, str(merchant_id), LOOKING) as tx:
            yield Look(tx.core, tx.driver)

    @asynccontextmanager
    async def begin_system(self) -> AsyncIterator[Tx]:
        """A transaction across merchants: for the clock, the sweeps, audits and administration."""
        async with self._begin(SYSTEM_ROLE, "") as tx:
            if self._system_may_copy is None:
                sql = "SELECT rolbypassrls FROM pg_roles WHERE rolname = current_user"
                self._system_may_copy = bool(await tx.fetchval(sql))
            yield replace(tx, may_copy=self._system_may_copy)

    @asynccontextmanager
    async def _begin(self, role: str, merchant: str, mode: str = "") -> AsyncIterator[Tx]:
        try:
            async with self.engine.connect() as core:
                if mode:
                    await core.exec_driver_sql(f"SET TRANSACTION {mode}")
                await core.exec_driver_sql(
                    "SELECT set_config('role', $1, true), set_config('app.merchant_id', $2, true)",
                    (role, merchant),
                )
                raw = await core.get_raw_connection()
                driver = raw.driver_connection
                assert driver is not None
                yield Tx(core, driver)
                await core.commit()
        except DBAPIError as error:
            cause = error.orig.__cause__ if error.orig is not None else None
            raise translate(cause if cause is not None else error) from error
        except asyncpg.PostgresError as error:
            raise translate(error) from error

    @asynccontextmanager
    async def read(self, merchant_id: UUID) -> AsyncIterator[Reader]:
        """A read-only look at one merchant's rows, in one snapshot."""
        assert self._readers is not None, "Database.open() first"
        connection = await self._readers.acquire()
        try:
            # A UUID's text is hex digits and dashes, so it can stand in the statement: the three
            # commands then cost one round trip.
            await connection.execute(
                f"BEGIN READ ONLY; SET LOCAL ROLE {APP_ROLE}; "
                f"SET LOCAL app.merchant_id = '{merchant_id}'"
            )
            yield Reader(connection)
            await connection.execute("COMMIT")
        except BaseException:
            connection.terminate() if connection.is_in_transaction() else None
            raise
        finally:
            await self._readers.release(connection)


async def _nothing_to_reset(_: object) -> None:
    """Readers change no session state: their settings end with their transaction."""


def dumps(value: object) -> str:
    """JSON text as PostgreSQL's `json` columns take it."""
    return orjson.dumps(value, default=str).decode()


def rows_of(records: Sequence[Row]) -> list[dict[str, Any]]:
    """Records as plain dicts, for callers that add to them."""
    return [dict(record) for record in records]
