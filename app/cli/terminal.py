"""How commands speak to a person."""

import sys
import traceback
from types import TracebackType
from typing import NoReturn

import typer


def fail(message: str) -> NoReturn:
    """Say what went wrong, on stderr, and end the command with exit code 1."""
    from app.log import redact

    typer.secho(redact(message), fg=typer.colors.RED, err=True)
    raise typer.Exit(1)


def show_masked(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print what ended a command unforeseen, without card numbers and secrets; for
    `sys.excepthook`.
    """
    from app.log import redact

    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))
