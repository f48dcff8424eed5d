"""Gateways are opened by name, built in or installed, and the simulator never for real money."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from app.gateways.base import AccountMode, AccountSettings, ConfigurationError
from app.gateways.registry import BUILT_IN, names, open_gateway
from tests.gateways import fifth_harness
from tests.gateways.harnesses import HARNESSES

LIVE = AccountSettings(AccountMode.LIVE)
PLUGIN = """
from app.gateways.base import CredentialField
from app.gateways.simulator import SimulatorGateway
from dataclasses import replace

class AnotherGateway(SimulatorGateway):
    name = "another"
    capabilities = replace(SimulatorGateway.capabilities, moves_real_money=True)

class StrictGateway(AnotherGateway):
    name = "strict"
    fields = (
        CredentialField(
            "secret_key", "A key.", test_prefixes=("sk_test_",), live_prefixes=("sk_live_",)
        ),
    )
"""


def install(site: Path, package: str, entry_points: str) -> None:
    fifth_harness.install(site, package, entry_points, PLUGIN)


async def test_the_simulator_is_refused_for_a_live_account() -> None:
    with pytest.raises(ConfigurationError, match="moves no real money"):
        open_gateway("simulator", LIVE)


def test_every_gateway_of_ours_is_held_to_the_contract() -> None:
    assert BUILT_IN.keys() <= HARNESSES.keys()


async def test_an_unknown_gateway_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no gateway “strype”; there are .*simulator"):
        open_gateway("strype", LIVE)


async def test_an_installed_package_adds_a_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "perennial_another", "another = perennial_another:AnotherGateway")
    monkeypatch.syspath_prepend(tmp_path)

    gateway = open_gateway("another", LIVE)

    assert gateway.name == "another"
    assert names() == sorted({"another", *names()})
    await gateway.aclose()


async def test_a_live_account_cannot_be_pointed_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "perennial_detour", "detour = perennial_detour:AnotherGateway")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match="own address"):
        open_gateway("detour", AccountSettings(AccountMode.LIVE, base_url="http://127.0.0.1:1"))


async def test_a_package_cannot_replace_a_built_in_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "perennial_impostor", "simulator = perennial_impostor:AnotherGateway")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match="moves no real money"):
        open_gateway("simulator", LIVE)


async def test_two_packages_with_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "perennial_one", "both = perennial_one:AnotherGateway")
    install(tmp_path, "perennial_two", "both = perennial_two:AnotherGateway")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match="Several"):
        open_gateway("both", LIVE)


def account(mode: AccountMode = AccountMode.TEST, **given: dict[str, str]) -> AccountSettings:
    secrets = {name: SecretStr(value) for name, value in given.get("credentials", {}).items()}
    return AccountSettings(mode, secrets, given.get("options", {}))


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"credentials": {"secret_key": "sk_live_CANARY"}}, "“secret_key” is of live mode"),
        ({"credentials": {"api_key": "CANARY"}}, "no credential “api_key”"),
        ({"options": {"colour": "CANARY"}}, "no option “colour”"),
        ({"options": {"secret_key": "CANARY"}}, "no option “secret_key”"),
        ({"credentials": {"account_id": "CANARY"}}, "no credential “account_id”"),
        ({"options": {"account_id": "CANARY acct_1"}}, "“account_id” does not look like one"),
        ({"options": {"repeating": "CANARY"}}, "“repeating” does not look like one"),
    ],
)
async def test_credentials_are_judged_by_what_the_gateway_says_it_needs(
    given: dict[str, dict[str, str]], complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        open_gateway("simulator", account(**given))
    assert "CANARY" not in str(caught.value)


async def test_what_a_gateway_needs_must_be_there_and_of_the_account_s_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "perennial_strict", "strict = perennial_strict:StrictGateway")
    monkeypatch.syspath_prepend(tmp_path)
    right = {"credentials": {"secret_key": "sk_live_1"}}
    with pytest.raises(ConfigurationError, match="“secret_key” is missing"):
        open_gateway("strict", LIVE)
    with pytest.raises(ConfigurationError, match="of test mode, and the account is of live mode"):
        open_gateway("strict", account(AccountMode.LIVE, credentials={"secret_key": "sk_test_1"}))
    gateway = open_gateway("strict", account(AccountMode.LIVE, **right))
    await gateway.aclose()
