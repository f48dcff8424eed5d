"""The adapter of the simulator: the shape that every adapter follows, on the simplest gateway."""

from typing import Final

from app.gateways.base import AccountSettings
from app.gateways.simulator.account import CAPABILITIES, FIELDS
from app.gateways.simulator.adapter import SimulatorGateway

__all__ = ["SIMULATOR", "SimulatorGateway"]


class SimulatorFactory:
    """Opens accounts; what may be relied on at one depends on how it was set up."""

    name = SimulatorGateway.name
    capabilities = CAPABILITIES
    fields = FIELDS

    def __call__(self, account: AccountSettings) -> SimulatorGateway:
        """An open account, without any I/O yet."""
        return SimulatorGateway(account)


SIMULATOR: Final = SimulatorFactory()
