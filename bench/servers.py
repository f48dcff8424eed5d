"""A PostgreSQL to measure on: embedded, durable, with databases that can be copied in seconds."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from app.cli.db import upgrade
from app.embedded import Embedded


@dataclass(frozen=True)
class Server:
    """A running server; databases are named, and cloned from one another."""

    embedded: Embedded

    def url(self, database: str) -> str:
        return self.embedded.url(database)

    async def create(self, database: str) -> str:
        """A migrated, empty database."""
        url = self.embedded.create_database(database)
        await asyncio.to_thread(upgrade, url)
        return url

    async def clone(self, database: str, template: str) -> str:
        """The same rows, the same statistics, under another name; nobody may be connected."""
        await self.drop(database)
        await self._administer(f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.url(database)

    async def exists(self, database: str) -> bool:
        async with connected(self.url("postgres")) as connection:
            found = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)"
            return bool(await connection.fetchval(found, database))

    async def drop(self, database: str) -> None:
        await self._administer(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    async def _administer(self, statement: str) -> None:
        async with connected(self.url("postgres")) as connection:
            await connection.execute(statement)


@asynccontextmanager
async def started() -> AsyncIterator[Server]:
    """PostgreSQL as every embedded server is set, fsync on, in a directory of its own."""
    root = Path(tempfile.mkdtemp(prefix="perennial-bench-"))
    with Embedded(root) as embedded:
        embedded.start_postgres()
        yield Server(embedded)
    shutil.rmtree(root, ignore_errors=True)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, which row-level security does not bind."""
    connection = await asyncpg.connect(url, server_settings={"jit": "off", "timezone": "UTC"})
    try:
        yield connection
    finally:
        await connection.close()
