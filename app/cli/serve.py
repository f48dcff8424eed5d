"""The commands that serve: the API, the workers, the simulated gateway."""

import sys
from pathlib import Path
from typing import Annotated, Final, cast

import typer

from app.cli.terminal import fail

API_PORT: Final = 8000
SIMULATOR_PORT: Final = 8127
FINISH_SECONDS_MAX: Final = 15
"""How long requests in flight may take when the API is asked to stop."""

Host = Annotated[str, typer.Option(help="The address to listen on.")]
Port = Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535)]

commands = typer.Typer()


def perennial(*words: str) -> list[str]:
    """The command line that runs one of our own commands in another process."""
    return [sys.executable, "-m", "app.cli", *words]


@commands.command()
def api(
    host: Host = "127.0.0.1",
    port: Port = API_PORT,
    processes: Annotated[int, typer.Option(help="How many processes share the port.", min=1)] = 1,
) -> None:
    """Serve the HTTP API."""
    import uvicorn

    from app.api.connections import BoundedProtocol
    from app.settings import settings

    uvicorn.run(
        "app.main:app",
        http=BoundedProtocol,
        ws="none",
        host=host,
        port=port,
        workers=processes,
        log_level=settings().log_level,
        access_log=False,  # addresses carry one-time links
        server_header=False,
        timeout_graceful_shutdown=FINISH_SECONDS_MAX,
    )


@commands.command()
def worker(
    processes: Annotated[int, typer.Option(help="How many workers to run.", min=1)] = 1,
    supervise: Annotated[
        bool, typer.Option(help="Start a worker again when it ends; no: let the caller do that.")
    ] = True,
) -> None:
    """Run background work: renewals, collection, deliveries, sweeps.

    A worker ends when Redis goes away, so it runs supervised: it is started again, with growing
    pauses of up to 30 seconds. No work is lost meanwhile: what is due stays due in the database.
    """
    if supervise:
        from app.cli.supervise import Program, run

        command = perennial("worker", "--no-supervise")
        names = [f"worker-{number}" for number in range(1, processes + 1)]
        raise typer.Exit(run([Program(name, command, restarts=True) for name in names]))
    import logging

    import redis
    from arq.typing import WorkerSettingsBase
    from arq.worker import run_worker

    from app.settings import settings
    from workers.main import WorkerSettings

    logging.basicConfig(level=settings().log_level.upper(), format="%(levelname)s %(message)s")
    try:
        run_worker(cast("type[WorkerSettingsBase]", WorkerSettings))
    except (redis.ConnectionError, redis.TimeoutError) as error:
        fail(f"Redis went away, and the worker with it: {error}")


@commands.command()
def simulator(
    host: Host = "127.0.0.1",
    port: Port = SIMULATOR_PORT,
    ledger: Annotated[
        Path | None, typer.Option(help="The file of its own ledger; absent: in memory.")
    ] = None,
) -> None:
    """Serve the simulated payment gateway, with its own ledger and faults to switch on.

    For development and tests: live merchants are refused.
    """
    from app.simulator.application import serve

    serve(ledger, host=host, port=port)
