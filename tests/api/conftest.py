"""An API on this worker's own database, and callers with keys to it."""

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest
from pydantic import SecretStr

from app.bell import Silent
from app.clock import ManualClock
from app.main import create_app
from app.runtime import Runtime, open_runtime
from app.services import merchants
from app.services.merchants import CreateMerchant
from app.settings import Settings

ADMIN_KEY = "admin-key-of-the-tests"
NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Api:
    """A caller: an HTTP client that carries one merchant's key."""

    client: httpx.AsyncClient
    merchant: str
    key: str

    async def get(self, path: str, status: int = 200, **options) -> httpx.Response:
        return await self.call("GET", path, status=status, **options)

    async def post(self, path: str, body=None, status: int = 201, **options) -> httpx.Response:
        return await self.call("POST", path, json=body or {}, status=status, **options)

    async def patch(self, path: str, body, status: int = 200, **options) -> httpx.Response:
        return await self.call("PATCH", path, json=body, status=status, **options)

    async def call(self, method: str, path: str, *, status: int, headers=None, **options):
        """Send a request that must be answered with `status`."""
        given = {"Authorization": f"Bearer {self.key}"} | (headers or {})
        answer = await self.client.request(method, path, headers=given, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.text}"
        return answer

    async def new(self, noun: str, **body) -> dict:
        """A new object of `noun`, with whatever it needs made first."""
        return (await self.post(f"/v1/{noun}", body)).json()


@pytest.fixture(scope="session")
async def shared_runtime(database_url: str) -> AsyncIterator[Runtime]:
    settings = Settings(
        database_url=SecretStr(database_url), admin_key=SecretStr(ADMIN_KEY), pool_size=8
    )
    async with open_runtime(settings, clock=ManualClock(NOW), bell=Silent()) as runtime:
        yield runtime


@pytest.fixture
async def rt(shared_runtime: Runtime, clean_database: str) -> Runtime:
    """A runtime whose database is empty and whose clock stands at NOW."""
    shared_runtime.clock.at = NOW
    return shared_runtime


@pytest.fixture
def app(rt: Runtime):
    return create_app(rt)


@pytest.fixture
async def client(app) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


async def open_merchant(rt: Runtime, client: httpx.AsyncClient, name: str) -> Api:
    """A test-mode merchant's caller."""
    opened = await merchants.create(rt, CreateMerchant(name), actor="test")
    return Api(client, str(opened.merchant["id"]), opened.secret)


@pytest.fixture
async def api(rt: Runtime, client: httpx.AsyncClient) -> Api:
    return await open_merchant(rt, client, "First")


@pytest.fixture
async def other(rt: Runtime, client: httpx.AsyncClient) -> Api:
    """Another merchant's caller."""
    return await open_merchant(rt, client, "Second")
