"""How commands speak to a person."""

from typing import NoReturn

import typer


def fail(message: str) -> NoReturn:
    """Say what went wrong, on stderr, and end the command with exit code 1."""
    typer.secho(message, fg=typer.colors.RED, err=True)
    raise typer.Exit(1)
