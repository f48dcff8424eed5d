"""`python -m tests.gateways.fakes.paypal --port N`: serve the fake on the loopback interface."""

import argparse
import sys

import uvicorn

from tests.gateways.fakes.paypal.server import Server
from tests.gateways.oracles import paypal_spec


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    if not paypal_spec.are_present():
        sys.stderr.write(paypal_spec.ABSENT + "\n")
    uvicorn.run(
        Server(),
        host="127.0.0.1",
        port=arguments.port,
        log_level="warning",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
