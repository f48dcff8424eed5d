"""`python -m tests.gateways.fakes.authorizenet PORT`, with the official bindings on its path."""

import sys

from tests.gateways.fakes.authorizenet.server import serve

serve(int(sys.argv[1]))
