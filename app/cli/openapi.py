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
    """Write the OpenAPI document, the same bytes for the same code; and beside it one without
    webhooks, for generators of clients.
    """
    made = render()
    files = {to: made, to.with_suffix(".sdk.json"): for_clients(made)}
    stale = [path for path, text in files.items() if _read(path) != text]
    if check:
        if stale:
            fail(f"{stale[0]} is out of date: run perennial openapi export.")
        typer.echo(f"{to} is up to date.")
        return
    to.parent.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text)
    typer.echo(f"Wrote {to}.")


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def render() -> str:
    """The document as text."""
    from app.api.application import create_app
    from app.settings import Settings

    return _text(create_app(Settings()).openapi())


def for_clients(document: str) -> str:
    """The same without webhooks; their schemas stay."""
    import orjson

    from app.api.event_schemas import without_webhooks

    return _text(without_webhooks(orjson.loads(document)))


def _text(document: object) -> str:
    import orjson

    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode() + "\n"
