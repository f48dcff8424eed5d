"""Serve a Stripe of our own: `python -m tests.gateways.fakes.stripe PORT`."""

import sys

import uvicorn

from tests.gateways.fakes.stripe.server import app

uvicorn.run(
    app(),
    host="127.0.0.1",
    port=int(sys.argv[1]),
    access_log=False,
    log_level="warning",
    timeout_keep_alive=75,
    timeout_graceful_shutdown=1,
)
