"""The doorbell: tells the workers to look now. The database is the queue; a lost ring costs time.

Only this file and `workers` know arq. A ring never fails its caller: without Redis the sweep, at
most a minute later, finds the same work.
"""

import asyncio
import time
from typing import Any, Final, Protocol

import orjson
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from redis.exceptions import RedisError

from app import log
from app.settings import Settings

RING_SECONDS_MAX: Final = 0.5
"""A request waits no longer than this for Redis."""
GATHER_SECONDS: Final = 0.02
"""Rings of the same job within this long are one."""
DEAF_SECONDS: Final = 1.0
"""After a ring that was not heard, those that nobody waits for are spared for so long."""
logger = log.get(__name__)


class Bell(Protocol):
    """Something that wakes the workers."""

    async def ring(self, job: str) -> None:
        """Ask for `job` to run soon; never raises."""
        ...

    def ring_soon(self, job: str) -> None:
        """The same without waiting for it; several within a moment are one ring."""
        ...

    async def close(self) -> None: ...


class Silent:
    """No workers to wake: a test, a command, or a process that does the work itself."""

    async def ring(self, job: str) -> None:
        """Nothing to wake."""

    def ring_soon(self, job: str) -> None:
        """Nothing to wake."""

    async def close(self) -> None:
        """Nothing to close."""


class RedisBell:
    """Rings through arq's queue; one waiting job of a name is enough."""

    def __init__(self, settings: Settings) -> None:
        self._settings = redis_settings(settings)
        self._pool: ArqRedis | None = None
        self._gathering: set[str] = set()
        self._deaf_until = 0.0
        self._ringing: set[asyncio.Task[None]] = set()

    async def ring(self, job: str) -> None:
        try:
            async with asyncio.timeout(RING_SECONDS_MAX):
                if self._pool is None:
                    self._pool = await create_pool(self._settings, job_serializer=serialize)
                await self._pool.enqueue_job(job, _job_id=job)
        except (RedisError, OSError, TimeoutError) as error:
            self._deaf_until = time.monotonic() + DEAF_SECONDS
            logger.warning("bell.unheard", job=job, error=type(error).__name__)

    def ring_soon(self, job: str) -> None:
        if job not in self._gathering and time.monotonic() >= self._deaf_until:
            self._gathering.add(job)
            task = asyncio.create_task(self._ring_later(job))
            self._ringing.add(task)
            task.add_done_callback(self._ringing.discard)

    async def _ring_later(self, job: str) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        self._gathering.discard(job)
        await self.ring(job)

    async def close(self) -> None:
        await asyncio.gather(*self._ringing)
        if self._pool is not None:
            await self._pool.aclose()


def redis_settings(settings: Settings) -> RedisSettings:
    """Arq's settings for our Redis, failing fast: the sweep is the net beneath."""
    found = RedisSettings.from_dsn(settings.redis_url.get_secret_value())
    found.conn_timeout = 1
    found.conn_retries = 0
    return found


def serialize(job: dict[str, Any]) -> bytes:
    """Jobs as JSON: nothing in Redis is ever unpickled."""
    return orjson.dumps(job, default=str)


def deserialize(raw: bytes) -> dict[str, Any]:
    """A job as `serialize` wrote it."""
    job: dict[str, Any] = orjson.loads(raw)
    return job
