"""A gateway from a package that somebody else installed, under the same contract as ours.

The package is made here, as pip leaves it behind: one module and the metadata of its entry point.
"""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from app.gateways.base import AccountSettings
from tests.gateways.simulator_harness import SimulatorHarness
from tests.simulator import SECRET, start_simulator

MODULE = '''
"""One file: all that a gateway of one's own takes."""

from dataclasses import replace

from app.gateways.base import AccountSettings, CredentialField
from app.gateways.simulator import SimulatorGateway


class FifthGateway(SimulatorGateway):
    """A gateway that happens to speak the simulator's protocol, and moves real money."""

    name = "fifth"
    capabilities = replace(SimulatorGateway.capabilities, moves_real_money=True)
    fields = (
        CredentialField(
            "api_key",
            "The key from the fifth gateway's dashboard.",
            test_prefixes=("sk_sim_",),
            live_prefixes=("sk_real_",),
        ),
    )

    def __init__(self, account: AccountSettings) -> None:
        key = account.credentials["api_key"]
        super().__init__(replace(account, credentials={"secret_key": key}))
'''


@dataclass
class FifthHarness(SimulatorHarness):
    """The simulator again, by another gateway's name and key."""

    gateway: str = "fifth"

    def account(self, base_url: str) -> AccountSettings:
        return self._named(super().account(base_url), SECRET)

    def stranger(self, base_url: str) -> AccountSettings:
        return self._named(super().stranger(base_url), "sk_sim_a_canary_that_nobody_knows")

    def _named(self, settings: AccountSettings, key: str) -> AccountSettings:
        credentials: Mapping[str, SecretStr] = {"api_key": SecretStr(key)}
        return replace(settings, credentials=credentials, options={})


def install(site: Path, package: str, entry_points: str, module: str) -> None:
    """What pip leaves behind for a package with entry points."""
    metadata = site / f"{package}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[perennial.gateways]\n{entry_points}\n")
    (site / f"{package}.py").write_text(module)


@asynccontextmanager
async def fifth(tmp_path: Path) -> AsyncIterator[FifthHarness]:
    """Installed for as long as the block lasts."""
    site = tmp_path / "site-packages"
    install(site, "perennial_fifth_gateway", "fifth = perennial_fifth_gateway:FifthGateway", MODULE)
    sys.path.insert(0, str(site))
    try:
        with start_simulator(tmp_path) as process:
            yield FifthHarness(process)
    finally:
        sys.path.remove(str(site))
