"""Which gateways there are: the built-in ones, and any that an installed package offers.

A package adds a gateway by an entry point in the group `perennial.gateways`; the object is a
GatewayFactory (an adapter's class will do), and the entry point's name is the gateway's name.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Final

from app.gateways.base import (
    AccountMode,
    AccountSettings,
    ConfigurationError,
    Gateway,
    GatewayFactory,
)
from app.gateways.simulator import SimulatorGateway

ENTRY_POINT_GROUP: Final = "perennial.gateways"
BUILT_IN: Final[Mapping[str, GatewayFactory]] = MappingProxyType(
    {SimulatorGateway.name: SimulatorGateway}
)


def names() -> list[str]:
    """Every gateway that can be opened, built-in or installed."""
    return sorted(BUILT_IN.keys() | entry_points(group=ENTRY_POINT_GROUP).names)


def factory(name: str) -> GatewayFactory:
    """What opens accounts at the gateway `name`; built-in ones cannot be replaced."""
    built_in = BUILT_IN.get(name)
    if built_in is not None:
        return built_in
    installed = tuple(entry_points(group=ENTRY_POINT_GROUP, name=name))
    if not installed:
        raise ConfigurationError(f"There is no gateway “{name}”; there are {', '.join(names())}.")
    if len(installed) > 1:
        raise ConfigurationError(f"Several installed packages offer a gateway “{name}”.")
    loaded: GatewayFactory = installed[0].load()
    return loaded


def open_gateway(name: str, account: AccountSettings) -> Gateway:
    """An open account at the gateway `name`, without any I/O yet. Raises ConfigurationError."""
    opens = factory(name)
    if account.mode is AccountMode.LIVE:
        if not opens.capabilities.moves_real_money:
            raise ConfigurationError(
                f"The gateway “{name}” moves no real money: a live account cannot use it."
            )
        if account.base_url is not None:
            raise ConfigurationError("A live account always speaks to the gateway's own address.")
    return opens(account)
