"""The command that brings the database's schema up to date."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.cli.terminal import fail

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS: Final = Path(__file__).parents[2] / "migrations"
LOCK: Final = int.from_bytes(b"perennia")
"""The advisory lock under which migrations run: our name in 64 bits."""
LOCK_SECONDS_MAX: Final = 300
CONNECT_SECONDS_MAX: Final = 10

commands = typer.Typer()


@commands.command()
def migrate(
    to: Annotated[str, typer.Option(help="The revision to stop at.")] = "head",
    sql: Annotated[
        bool, typer.Option("--sql", help="Print the statements instead of running them.")
    ] = False,
) -> None:
    """Bring the database's schema up to date.

    Run it once before each deployment. Several at once are safe: they take turns, and all but the
    first find nothing to do.
    """
    from app.settings import settings

    url = settings().database_url.get_secret_value()
    if sql:
        from alembic import command

        command.upgrade(_config(url), to, sql=True)
        return
    import asyncpg

    try:
        upgrade(url, to)
    except asyncpg.LockNotAvailableError:
        fail(f"Another migration has been running for {LOCK_SECONDS_MAX} seconds. Try again later.")
    except (OSError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        fail(f"The database does not let us in. Check DATABASE_URL. ({error})")


def upgrade(url: str, to: str = "head") -> None:
    """Migrate the database at `url`; others that want to are made to wait until it is done."""
    asyncio.run(_upgrade(url, to))


async def _upgrade(url: str, to: str) -> None:
    """The session that holds the lock does nothing else; its end gives the lock back."""
    import asyncpg
    from alembic import command

    session = await asyncpg.connect(
        url.replace("postgresql+asyncpg:", "postgresql:", 1), timeout=CONNECT_SECONDS_MAX
    )
    try:
        await session.execute(f"SET lock_timeout = '{LOCK_SECONDS_MAX}s'")
        await session.execute(f"SELECT pg_advisory_lock({LOCK})")
        # Alembic is synchronous, and its environment runs an event loop of its own.
        await asyncio.to_thread(command.upgrade, _config(url), to)
    finally:
        await session.close()


def _config(url: str) -> "Config":
    from alembic.config import Config

    config = Config(attributes={"url": url})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
