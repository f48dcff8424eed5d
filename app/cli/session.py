"""What commands share that talk to the database: a runtime for their while, and plain refusals."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from app.cli.terminal import fail

if TYPE_CHECKING:
    from app.runtime import Runtime

T = TypeVar("T")


def with_runtime(work: "Callable[[Runtime], Awaitable[T]]") -> T:
    """What `work` returns, given a runtime for as long as it takes; it rings no bell."""
    import asyncpg

    from app import log
    from app.bell import Silent
    from app.db.errors import Refused
    from app.runtime import open_runtime
    from app.secrets import BadKeys
    from app.settings import settings

    chosen = settings()
    log.configure("error", "console", chosen.secrets)

    async def run() -> T:
        async with open_runtime(chosen, bell=Silent()) as rt:
            return await work(rt)

    try:
        return asyncio.run(run())
    except BadKeys as error:
        fail(str(error))
    except OSError as error:
        fail(f"The database cannot be reached. Check DATABASE_URL. ({error})")
    except (asyncpg.PostgresError, Refused) as error:
        fail(f"The database refuses. Is it migrated (perennial migrate)? ({error})")


def merchant(text: str | None) -> UUID | None:
    """The merchant that an option names, None for all."""
    from app import ids

    if text is None:
        return None
    try:
        return ids.parse("mer", text)
    except ids.InvalidId:
        fail(f"{text} is not a merchant's id: mer_ and 26 digits.")
