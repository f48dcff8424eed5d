"""The world that stories are told in."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.simulator import SimulatorProcess, start_simulator
from tests.world import World, open_world


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One simulator process a worker; its ledger grows over the run."""
    with start_simulator(Path(tmp_path_factory.mktemp("simulator"))) as process:
        yield process


@pytest.fixture
async def world(clean_database: str, simulator: SimulatorProcess) -> AsyncIterator[World]:
    """An empty shop on 31 January 2026, nine in the morning."""
    simulator.clear_faults()
    async with open_world(clean_database, simulator) as opened:
        yield opened
    simulator.clear_faults()
