"""The commands about the keys that secrets are kept with."""

from typing import TYPE_CHECKING

import typer

from app.cli.terminal import fail

if TYPE_CHECKING:
    from app.runtime import Runtime
    from app.services.sealing import Rotated

secrets = typer.Typer(help="The keys that secrets are kept with.", no_args_is_help=True)
commands = typer.Typer()
commands.add_typer(secrets, name="secrets")


@secrets.command()
def key() -> None:
    """Print a new key, for the front of PERENNIAL_SECRET_KEYS."""
    from app.secrets import new_key

    typer.echo(new_key())


@secrets.command()
def rotate() -> None:
    """Seal every secret with the newest key; afterwards the older ones may leave the ring.

    Exit code 1 when a secret does not open with any key: its row is named.
    """
    from app import ids
    from app.cli import session

    done = session.with_runtime(_rotate)
    for field, merchant, row in done.unreadable:
        typer.echo(f"Does not open: {field} of {row}, {ids.show('mer', merchant)}.", err=True)
    typer.echo(
        f"{done.renewed} sealed anew, {done.current} were already, "
        f"{len(done.unreadable)} do not open."
    )
    if done.unreadable:
        raise typer.Exit(1)


async def _rotate(rt: "Runtime") -> "Rotated":
    from rich.console import Console
    from rich.progress import Progress

    from app.domain.errors import Conflict
    from app.services import sealing

    try:
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("Sealing anew", total=await sealing.count(rt))
            return await sealing.rotate(
                rt, lambda sofar: progress.update(task, completed=sofar.looked)
            )
    except Conflict:
        fail("There is no key to seal with: set PERENNIAL_SECRET_KEYS.")
