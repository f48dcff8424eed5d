"""The servers that tests run against: one PostgreSQL and one Valkey for the whole run.

Each xdist worker has a database of its own, cloned from a migrated template, and a Valkey database
of its own. Tests really commit; `clean_database` empties the tables before a test.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
from redis.asyncio import Redis

from app.embedded import Embedded
from tests.simulator import SimulatorProcess, start_simulator

if TYPE_CHECKING:
    from tests.world import World

TEMPLATE = "perennial_template"
LOCK_WAIT = "5s"
RUNNING: pytest.StashKey[Embedded] = pytest.StashKey()


@dataclass(frozen=True)
class Servers:
    """Where this run's servers are, and which share of them is this process's."""

    root: Path
    redis: str
    number: int


def _start(config: pytest.Config) -> Embedded:
    """Start the servers, once, in the process that outlives all others."""
    if RUNNING not in config.stash:
        embedded = Embedded(Path(tempfile.mkdtemp(prefix="perennial-test-")))
        config.stash[RUNNING] = embedded
        embedded.start_postgres(durable=False, settings={"shared_buffers": "128MB"})
        embedded.start_valkey()
    return config.stash[RUNNING]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Before xdist starts a worker: the servers run first, and the worker is told where."""
    embedded = _start(node.config)
    node.workerinput["servers"] = (str(embedded.root), embedded.start_valkey())


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUNNING in config.stash:
        config.stash[RUNNING].stop()
        shutil.rmtree(config.stash[RUNNING].root, ignore_errors=True)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests and fixtures of a worker share one asyncio loop."""
    return "asyncio"


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Servers:
    """The run's servers, started on first need."""
    given = getattr(request.config, "workerinput", None)
    if given is None:
        embedded = _start(request.config)
        return Servers(embedded.root, embedded.start_valkey(), 0)
    root, redis = given["servers"]
    return Servers(Path(root), redis, int(given["workerid"].removeprefix("gw")))


@pytest.fixture(scope="session")
def database_url(servers: Servers) -> str:
    """This worker's own migrated database, as the cluster's superuser."""
    embedded = Embedded(servers.root)
    with (servers.root / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        migrated = servers.root / "template.migrated"
        if not migrated.exists():
            url = embedded.create_database(TEMPLATE)
            subprocess.run(
                [sys.executable, "-m", "app.cli", "migrate"],
                env=os.environ | {"DATABASE_URL": url},
                cwd=Path(__file__).parents[1],
                check=True,
            )
            migrated.touch()
        return embedded.create_database(f"perennial_{servers.number}", template=TEMPLATE)


@pytest.fixture(scope="session")
def redis_url(servers: Servers) -> str:
    """This worker's own Valkey database."""
    return f"{servers.redis}?db={servers.number}"


@pytest.fixture(scope="session")
async def administrator(database_url: str, anyio_backend: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, which no policy or trigger holds back."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        f"SET session_replication_role = replica; SET lock_timeout = '{LOCK_WAIT}'"
    )
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def emptying(administrator: asyncpg.Connection) -> str:
    """The statements that empty every table which the migrations left empty."""
    tables = await administrator.fetch(
        "SELECT format('%I.%I', n.nspname, c.relname) AS name"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition"
        " AND n.nspname !~ '^(pg_|information_schema)' ORDER BY 1"
    )
    statements = [
        f"DELETE FROM {table['name']}"
        for table in tables
        if not await administrator.fetchval(f"SELECT EXISTS (SELECT FROM {table['name']})")
    ]
    return ";".join(statements)


@pytest.fixture
async def clean_database(
    database_url: str, administrator: asyncpg.Connection, emptying: str
) -> str:
    """The worker's database with nothing in it but what the migrations put there."""
    await administrator.execute(emptying)
    return database_url


@pytest.fixture
async def clean_redis(redis_url: str, anyio_backend: str) -> str:
    """The worker's Valkey database with nothing in it."""
    client = Redis.from_url(redis_url)
    await client.flushdb()
    await client.aclose()
    return redis_url


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One simulator process a worker; its ledger grows over the run."""
    with start_simulator(tmp_path_factory.mktemp("simulator")) as process:
        yield process


@pytest.fixture
async def world(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator["World"]:
    """An empty shop on 31 January 2026, nine in the morning, in fair weather."""
    from tests.world import open_world  # here, so that pure tests do not import every service

    simulator.clear_faults()
    async with open_world(clean_database, simulator) as opened:
        yield opened
    simulator.clear_faults()
