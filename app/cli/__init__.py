"""The command `perennial`: one file per group of commands, joined here, one line each.

Commands import what they need when they run, so that `--help` answers at once.
"""

import typer

from app.cli import (
    audit,
    clock,
    db,
    dev,
    import_,
    keys,
    openapi,
    reconcile,
    secrets,
    serve,
    servers,
)

app = typer.Typer(
    name="perennial",
    help="Headless subscription billing. Start with: perennial dev",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # plain tracebacks suit logs, and show no values
)
app.callback()(servers.use_what_runs_here)

app.add_typer(dev.commands)
app.add_typer(serve.commands)
app.add_typer(db.commands)
app.add_typer(import_.commands)
app.add_typer(audit.commands)
app.add_typer(clock.commands)
app.add_typer(reconcile.commands)
app.add_typer(keys.commands)
app.add_typer(secrets.commands)
app.add_typer(openapi.commands)
