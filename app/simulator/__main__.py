"""`python -m app.simulator`: serve the simulator on the loopback interface."""

import argparse
from pathlib import Path
from typing import Final

from app.simulator.application import serve

DEFAULT_PORT: Final = 8127


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m app.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--ledger", type=Path, help="where the books are; absent: in memory")
    arguments = parser.parse_args()
    serve(arguments.ledger, host=arguments.host, port=arguments.port)


if __name__ == "__main__":
    main()
