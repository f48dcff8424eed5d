"""While the database is away the API says so, and works again by itself when it is back."""

import asyncio
import json
import os

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from app.bell import Silent
from app.main import create_app
from app.runtime import open_runtime
from app.settings import Settings
from tests.api.conftest import Api
from tests.gateway_events import SECRET, event, headers

pytestmark = pytest.mark.anyio


class Gate:
    """A socket in front of the database's that can be shut, with every connection through it."""

    def __init__(self, folder: str, behind: str) -> None:
        self.path = os.path.join(folder, ".s.PGSQL.5432")  # noqa: PTH118  libpq's name
        self.behind = behind
        self.open: set[asyncio.StreamWriter] = set()
        self.server: asyncio.Server | None = None

    async def raise_(self) -> None:
        self.server = await asyncio.start_unix_server(self.pass_on, self.path)

    async def shut(self) -> None:
        self.server.close()
        for writer in list(self.open):
            writer.transport.abort()
        if os.path.exists(self.path):  # noqa: ASYNC240, PTH110
            os.unlink(self.path)  # noqa: PTH108

    async def pass_on(self, reader, writer) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self.behind)
        self.open |= {writer, inner_writer}
        try:
            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
        except OSError:
            return
        finally:
            for one in (writer, inner_writer):
                self.open.discard(one)
                one.transport.abort()


async def pump(reader, writer) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
    writer.close()


@pytest.fixture
async def gate(database_url, servers, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("g"))
    arguments = await asyncpg_host(database_url)
    gate = Gate(folder, f"{arguments}/.s.PGSQL.5432")
    await gate.raise_()
    yield gate, database_url.replace(arguments, folder)
    await gate.shut()


async def asyncpg_host(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return url.partition("host=")[2].partition("&")[0]
    finally:
        await connection.close()


async def test_an_outage_is_503_and_passes(gate, clean_database, api, rt) -> None:
    door, url = gate
    settings = Settings(database_url=SecretStr(url), pool_size=4)
    async with open_runtime(settings, clock=rt.clock, bell=Silent()) as runtime:
        app = create_app(runtime)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            caller = Api(client, api.merchant, api.key)
            made = await caller.new("customers", name="Ada")
            await caller.get("/readyz")
            await door.shut()
            for _ in range(3):
                for method, path in (
                    ("GET", f"/v1/customers/{made['id']}"),
                    ("GET", "/v1/customers"),
                    ("POST", "/v1/customers"),
                ):
                    answer = await caller.call(method, path, status=503)
                    assert answer.json()["code"] == "unavailable"
                    assert int(answer.headers["retry-after"]) >= 1
            assert (await caller.get("/readyz", 503)).json()["code"] == "not_ready"
            await caller.get("/livez")
            await door.raise_()
            assert (await caller.get(f"/v1/customers/{made['id']}")).json()["name"] == "Ada"
            await caller.new("customers", name="Bob")
            await caller.get("/readyz")


async def test_what_gateways_tell_is_to_come_again_while_the_database_is_away(
    gate, clean_database, api, rt, administrator
) -> None:
    door, url = gate
    body = {"gateway": "simulator", "webhook_secret": SECRET}
    account = await api.new("gateway_accounts", **body)
    path = "/v1/gateways/" + account["webhook_url"].partition("/v1/gateways/")[2]
    settings = Settings(
        database_url=SecretStr(url), secret_keys=rt.settings.secret_keys, pool_size=4
    )
    async with open_runtime(settings, clock=rt.clock, bell=Silent()) as runtime:
        transport = httpx.ASGITransport(create_app(runtime))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:

            async def bring(name: str) -> httpx.Response:
                told = event("charge.succeeded", {"object": "charge", "id": name})
                raw = json.dumps(told).encode()
                signed = headers(raw, told["id"], rt.clock.now())
                return await client.post(path, content=raw, headers=signed)

            assert (await bring("ch_1")).status_code == 200
            await door.shut()
            answers = await asyncio.gather(*(bring(f"ch_lost_{n}") for n in range(5)))
            for answer in answers:
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                assert answer.headers["retry-after"] == "1"
            await door.raise_()
            assert (await bring("ch_2")).status_code == 200
    rows = await administrator.fetch("SELECT reference FROM inbound_events ORDER BY id")
    assert [row["reference"] for row in rows] == ["ch_1", "ch_2"]
