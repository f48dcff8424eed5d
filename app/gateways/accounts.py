"""The open gateway accounts of one process: each is opened once and kept with its connections."""

from collections.abc import Callable, Hashable
from uuid import UUID

from app.gateways.base import AccountSettings, ConfigurationError, Gateway, GatewayError
from app.gateways.discreet import Discreet, Discretion
from app.gateways.pace import Paced
from app.gateways.registry import open_gateway


class Gateways:
    """Opens accounts on first use; close them all with `aclose`."""

    def __init__(self) -> None:
        self._open: dict[UUID, tuple[Hashable, Gateway]] = {}
        self._discretions: dict[UUID, Discretion] = {}
        self._replaced: list[Gateway] = []

    def account(
        self, account_id: UUID, state: Hashable, settings: Callable[[], tuple[str, AccountSettings]]
    ) -> Gateway:
        """The open account; opened anew when its `state` is another than before.

        `settings` says which gateway it is at, and how; it is asked at opening only. Raises
        ConfigurationError.
        """
        known = self._open.get(account_id)
        if known is not None and known[0] == state:
            return known[1]
        name, given = settings()
        discretion = Discretion.of(given)
        gateway = _opened(name, given, discretion)
        if known is not None:
            self._replaced.append(known[1])  # calls may still be under way on it
        self._open[account_id] = (state, gateway)
        self._discretions[account_id] = discretion
        return gateway

    def discretion(self, account_id: UUID) -> Discretion:
        """What is never repeated of an account that is open."""
        return self._discretions[account_id]

    async def aclose(self) -> None:
        """Close every account."""
        for gateway in [*self._replaced, *(known[1] for known in self._open.values())]:
            await gateway.aclose()
        self._replaced.clear()
        self._open.clear()
        self._discretions.clear()


def _opened(name: str, settings: AccountSettings, discretion: Discretion) -> Gateway:
    """Whatever an adapter raises when it is opened is one account's trouble, and no caller's. What
    it says is not repeated: it may name a secret. Raises ConfigurationError.
    """
    try:
        return Paced(Discreet(open_gateway(name, settings), discretion))
    except GatewayError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"The adapter of “{name}” cannot open this account: {type(error).__name__}."
        ) from error
