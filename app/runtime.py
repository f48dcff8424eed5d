"""The wired, frozen set that services work with: one per process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.bell import Bell, RedisBell
from app.clock import Clock, SystemClock
from app.db.base import Database
from app.gateways.accounts import Gateways
from app.secrets import Secrets, read_ring
from app.settings import Settings


@dataclass(frozen=True, slots=True)
class Runtime:
    """Settings, database, time, gateways, the doorbell, and the keys that secrets are kept with."""

    settings: Settings
    db: Database
    clock: Clock
    gateways: Gateways
    bell: Bell
    secrets: Secrets


@asynccontextmanager
async def open_runtime(
    settings: Settings, *, clock: Clock | None = None, bell: Bell | None = None
) -> AsyncIterator[Runtime]:
    """A runtime for as long as the block lasts; everything it opened is closed after. Raises
    BadKeys.
    """
    secrets = ring_of(settings)
    db = Database(settings)
    await db.open()
    rung = bell or RedisBell(settings)
    rt = Runtime(settings, db, clock or SystemClock(), Gateways(), rung, secrets)
    try:
        yield rt
    finally:
        await rt.bell.close()
        await rt.gateways.aclose()
        await rt.db.close()


def ring_of(settings: Settings) -> Secrets:
    """The keys that this deployment keeps secrets with. Raises BadKeys."""
    keys = settings.secret_keys
    text = None if keys is None else keys.get_secret_value()
    return read_ring(text, settings.secret_keys_file)
