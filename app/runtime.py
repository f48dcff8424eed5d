"""The wired, frozen set that services work with: one per process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.bell import Bell, RedisBell
from app.clock import Clock, SystemClock
from app.db.base import Database
from app.gateways.accounts import Gateways
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Runtime:
    """Settings, database, time, gateways and the doorbell."""

    settings: Settings
    db: Database
    clock: Clock
    gateways: Gateways
    bell: Bell


@asynccontextmanager
async def open_runtime(
    settings: Settings, *, clock: Clock | None = None, bell: Bell | None = None
) -> AsyncIterator[Runtime]:
    """A runtime for as long as the block lasts; everything it opened is closed after."""
    db = Database(settings)
    await db.open()
    rt = Runtime(settings, db, clock or SystemClock(), Gateways(), bell or RedisBell(settings))
    try:
        yield rt
    finally:
        await rt.bell.close()
        await rt.gateways.aclose()
        await rt.db.close()
