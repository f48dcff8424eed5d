"""One contract, every adapter: the public suite, over each of the harnesses in turn."""

from collections.abc import AsyncIterator

import pytest

from app.testing.gateway_contract import *  # noqa: F403  the cases, and the fixture they share
from app.testing.harness import Harness
from tests.gateways.harnesses import HARNESSES


@pytest.fixture(scope="session", params=HARNESSES)
async def harness(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Harness]:
    """Every gateway's double in turn, for as long as cases need it."""
    folder = tmp_path_factory.mktemp(str(request.param))
    async with HARNESSES[request.param](folder) as opened:
        yield opened
