"""`python -m app.simulator`: serve the simulator on the loopback interface."""

import argparse
import os
from pathlib import Path
from typing import Final

import uvicorn

from app.simulator.server import DEFAULT_SECRET, create_app

DEFAULT_PORT: Final = 8127
SHUTDOWN_SECONDS: Final = 1
"""Hanging requests are the point of some faults; they are not waited for."""
KEEPALIVE_SECONDS: Final = 75
"""Longer than any client keeps idle connections, so that none meets one that is closing."""


def main() -> None:
    """Serve until told to stop; `--ledger` names the file that holds the books."""
    parser = argparse.ArgumentParser(prog="python -m app.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument(
        "--ledger", type=Path, help="SQLite file; without it the books are in memory"
    )
    arguments = parser.parse_args()
    secret = os.environ.get("PERENNIAL_SIMULATOR_SECRET", DEFAULT_SECRET)
    uvicorn.run(
        create_app(arguments.ledger, secret=secret),
        host="127.0.0.1",
        port=arguments.port,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=KEEPALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


if __name__ == "__main__":
    main()
