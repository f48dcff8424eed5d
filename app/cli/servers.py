"""Which PostgreSQL and Valkey a command talks to: those of the settings, or those running here."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import typer

from app.cli.terminal import show_masked

DATA: Final = Path(".perennial")
"""Where `perennial dev` keeps the embedded servers' data."""
KEYS: Final = "secrets.keys"
"""In that directory: the keys that `perennial dev` keeps secrets with."""


def named() -> set[str]:
    """Which of the servers, and of the keys of secrets, the environment or `.env` sets."""
    from app.settings import Settings

    ours = {"database_url", "redis_url", "secret_keys", "secret_keys_file"}
    return Settings().model_fields_set & ours


def key_file(data: Path) -> Path:
    """The file of the directory's own key of secrets, made on first need, for our eyes only."""
    from app.secrets import new_key

    file = data / KEYS
    with suppress(FileExistsError):
        made = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(made, "w") as out:
            out.write(f"{new_key()}\n")
    return file.resolve()


def use_what_runs_here(context: typer.Context) -> None:
    """Without a DATABASE_URL, commands use the servers that `perennial dev` runs in this folder."""
    sys.excepthook = show_masked
    starts_its_own = context.invoked_subcommand == "dev"
    if starts_its_own or "DATABASE_URL" in os.environ or not DATA.is_dir():
        return
    from app.embedded import Embedded

    running = Embedded(DATA).running()
    if running and "database_url" not in named():
        os.environ["DATABASE_URL"] = running.database
        os.environ.setdefault("REDIS_URL", running.redis)
        if not named() & {"secret_keys", "secret_keys_file"}:
            os.environ["PERENNIAL_SECRET_KEYS_FILE"] = str(key_file(DATA))
