"""`python -m tests.gateways.fakes.razorpay PORT`: the fake, listening on loopback."""

import sys

import uvicorn

from tests.gateways.fakes.razorpay.server import app

uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", date_header=False)
