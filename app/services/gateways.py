"""Which gateways there are, what an account at each needs, and what can be relied on there."""

from collections.abc import Iterator
from dataclasses import dataclass

from app import log
from app.gateways import registry
from app.gateways.base import ConfigurationError, GatewayFactory
from app.services.caller import Caller

logger = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Offered:
    """A gateway that an account may be opened at."""

    name: str
    factory: GatewayFactory


def offered(caller: Caller) -> Iterator[Offered]:
    """Every gateway that this merchant may open an account at, by name.

    A package that offers one and does not load is left out, and logged.
    """
    for name in registry.names():
        try:
            factory = registry.factory(name)
        except (ConfigurationError, ImportError, AttributeError) as error:
            logger.error("gateway.not_loaded", gateway=name, reason=str(error))
            continue
        if factory.capabilities.moves_real_money or not caller.livemode:
            yield Offered(name, factory)
