"""The command that writes the OpenAPI document into the repository, or checks that it is there."""

from pathlib import Path
from typing import Annotated, Final

import typer

from app.cli.terminal import fail

DOCUMENT: Final = Path(__file__).parents[2] / "openapi" / "openapi.json"

openapi = typer.Typer(help="The API's description.", no_args_is_help=True)
commands = typer.Typer()
commands.add_typer(openapi, name="openapi")


@openapi.callback()
def group() -> None:
    """The API's description."""


@openapi.command()
def export(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if the file is out of date.")
    ] = False,
    to: Annotated[Path, typer.Option(help="The file.")] = DOCUMENT,
) -> None:
    """Write the OpenAPI document, the same bytes for the same code."""
    made = render()
    if check:
        if not to.exists() or to.read_text() != made:
            fail(f"{to} is out of date: run perennial openapi export.")
        typer.echo(f"{to} is up to date.")
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    to.write_text(made)
    typer.echo(f"Wrote {to}.")


def render() -> str:
    """The document as text."""
    import orjson

    from app.api.application import create_app
    from app.settings import Settings

    app = create_app(Settings())
    return orjson.dumps(app.openapi(), option=orjson.OPT_INDENT_2).decode() + "\n"
