"""The command that runs the whole service on one machine, with nothing else installed."""

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import serve, servers
from app.cli.terminal import fail

if TYPE_CHECKING:
    from app.embedded import Embedded

commands = typer.Typer()


@commands.command()
def dev(
    port: serve.Port = serve.API_PORT,
    simulator_port: serve.Port = serve.SIMULATOR_PORT,
    data: Annotated[
        Path, typer.Option(help="Where the embedded servers keep their data.")
    ] = servers.DATA,
) -> None:
    """Run everything here: database, API, worker and the simulated gateway.

    PostgreSQL and Valkey come from the installed packages, unless DATABASE_URL (and REDIS_URL)
    name yours. Other `perennial` commands in this folder find them while this one runs. Ctrl-C
    stops everything; the data stays, and the next start takes it up again.
    """
    from app.embedded import Embedded, EmbeddedError

    with Embedded(data) as embedded:
        try:
            code = _run(embedded, port, simulator_port)
        except EmbeddedError as error:
            fail(str(error))
    raise typer.Exit(code)


def _run(embedded: "Embedded", port: int, simulator_port: int) -> int:
    """Start the servers that are not given, migrate, then run the programs until told to stop."""
    from app.cli.supervise import Program, run
    from app.embedded import die_with_parent

    named = servers.named()
    simulator = f"http://127.0.0.1:{simulator_port}"
    environment = {
        "PERENNIAL_SIMULATOR_URL": simulator,
        "PERENNIAL_LOG_FORMAT": os.environ.get("PERENNIAL_LOG_FORMAT", "console"),
    }
    if "database_url" not in named:
        environment["DATABASE_URL"] = embedded.start_postgres()
    if "redis_url" not in named:
        environment["REDIS_URL"] = embedded.start_valkey()
    if not named & {"secret_keys", "secret_keys_file"}:
        embedded.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        environment["PERENNIAL_SECRET_KEYS_FILE"] = str(servers.key_file(embedded.root))
    migrate = [*die_with_parent(signal.SIGTERM), *serve.perennial("migrate")]
    code = subprocess.run(migrate, env=os.environ | environment, check=False).returncode
    if code:
        return code
    ledger = embedded.root / "simulator.sqlite"
    typer.echo(f"API http://127.0.0.1:{port}   simulated gateway {simulator}   Ctrl-C stops")
    return run(
        [
            Program(
                "simulator",
                serve.perennial("simulator", f"--port={simulator_port}", f"--ledger={ledger}"),
            ),
            Program("api", serve.perennial("api", f"--port={port}")),
            Program(
                "worker",
                serve.perennial("worker", "--no-supervise"),
                restarts=True,
                before=embedded.start_valkey if "REDIS_URL" in environment else None,
            ),
        ],
        environment,
    )
