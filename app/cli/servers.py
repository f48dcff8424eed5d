"""Which PostgreSQL and Valkey a command talks to: those of the settings, or those running here."""

import os
from pathlib import Path
from typing import Final

import typer

DATA: Final = Path(".perennial")
"""Where `perennial dev` keeps the embedded servers' data."""


def named() -> set[str]:
    """Which of `database_url` and `redis_url` the environment or `.env` sets."""
    from app.settings import Settings

    return Settings().model_fields_set & {"database_url", "redis_url"}


def use_what_runs_here(context: typer.Context) -> None:
    """Without a DATABASE_URL, commands use the servers that `perennial dev` runs in this folder."""
    starts_its_own = context.invoked_subcommand == "dev"
    if starts_its_own or "DATABASE_URL" in os.environ or not DATA.is_dir():
        return
    from app.embedded import Embedded

    running = Embedded(DATA).running()
    if running and "database_url" not in named():
        os.environ["DATABASE_URL"] = running.database
        os.environ.setdefault("REDIS_URL", running.redis)
