"""The open gateway accounts of one process: each is opened once and kept with its connections."""

from uuid import UUID

from app.gateways.base import AccountSettings, Gateway
from app.gateways.registry import open_gateway


class Gateways:
    """Opens accounts on first use; close them all with `aclose`."""

    def __init__(self) -> None:
        self._open: dict[UUID, tuple[str, AccountSettings, Gateway]] = {}
        self._replaced: list[Gateway] = []

    def account(self, account_id: UUID, name: str, settings: AccountSettings) -> Gateway:
        """The open account; opened anew when its settings changed. Raises ConfigurationError."""
        known = self._open.get(account_id)
        if known is not None:
            if known[:2] == (name, settings):
                return known[2]
            self._replaced.append(known[2])  # calls may still be under way on it
        gateway = open_gateway(name, settings)
        self._open[account_id] = (name, settings, gateway)
        return gateway

    async def aclose(self) -> None:
        """Close every account."""
        for gateway in [*self._replaced, *(known[2] for known in self._open.values())]:
            await gateway.aclose()
        self._replaced.clear()
        self._open.clear()
