"""The fake Authorize.net and an account at it; after each test the oracle must have had no word."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from pydantic import SecretStr

from app.gateways.authorizenet.adapter import AuthorizeNetGateway
from app.gateways.base import AccountMode, AccountSettings
from tests.gateways.authorizenet.terms import Shop
from tests.gateways.fakes.authorizenet.process import FakeAuthorizeNet, start_fake
from tests.gateways.fakes.authorizenet.secrets import CLIENT_KEY, KEY, LOGIN, SIGNATURE_KEY

Open = Callable[..., AuthorizeNetGateway]


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeAuthorizeNet]:
    with start_fake(tmp_path_factory.mktemp("authorizenet")) as fake:
        yield fake


@pytest.fixture
def fake(process: FakeAuthorizeNet) -> Iterator[FakeAuthorizeNet]:
    """The session's fake, as new. Every request of the test was as the schema wants it."""
    process.reset()
    yield process
    assert process.do("complaints") == {"refused": [], "flaws": []}


@pytest.fixture
def settings(process: FakeAuthorizeNet) -> AccountSettings:
    return AccountSettings(
        AccountMode.TEST,
        credentials={"transaction_key": SecretStr(KEY)},
        options={"api_login_id": LOGIN, "client_key": CLIENT_KEY, "currency": "USD"},
        webhook_secrets=(SecretStr(SIGNATURE_KEY),),
        base_url=process.url,
        total_timeout_seconds=20,
    )


@pytest.fixture
async def gateway(
    settings: AccountSettings, anyio_backend: str
) -> AsyncIterator[AuthorizeNetGateway]:
    gateway = AuthorizeNetGateway(settings)
    yield gateway
    await gateway.aclose()


@pytest.fixture
def shop(fake: FakeAuthorizeNet, gateway: AuthorizeNetGateway) -> Shop:
    return Shop(fake, gateway)
