"""/v1/tax_engine over HTTP, with a real engine on loopback."""

from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr

from app.bell import Silent
from app.clock import ManualClock
from app.main import create_app
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from tests.api.conftest import NOW, Api, open_merchant
from tests.tax_engine import Engine, tax_engine

pytestmark = pytest.mark.anyio

NONE = {
    "object": "tax_engine",
    "kind": None,
    "url": None,
    "fail_policy": None,
    "ttl_seconds": None,
    "created_at": None,
    "version": 0,
}
GERMAN = {"buyer": {"country": "DE"}}
TEST = "/v1/tax_engine/test"


@pytest.fixture
async def rt(clean_database: str) -> AsyncIterator[Runtime]:
    """A runtime of a deployment that lets engines be on its own network."""
    settings = Settings(
        database_url=SecretStr(clean_database),
        tax_engine_secret=SecretStr("thirty-two characters are enough here"),
        private_addresses_allowed=True,
        pool_size=4,
    )
    async with open_runtime(settings, clock=ManualClock(NOW), bell=Silent()) as runtime:
        yield runtime


@pytest.fixture
async def engine(anyio_backend: str) -> AsyncIterator[Engine]:
    async with tax_engine() as running:
        running.charges("DE", "19")
        yield running


async def put(api: Api, url: str, status: int = 200, headers=None, **options) -> dict:
    body = {"url": url} | options
    answer = await api.call("PUT", "/v1/tax_engine", json=body, status=status, headers=headers)
    return answer.json()


async def test_an_engine_is_set_seen_and_taken_away(api, engine) -> None:
    assert (await api.get("/v1/tax_engine")).json() == NONE
    made = await put(api, engine.url, fail_policy="use_table", ttl_seconds=3600)
    secret = made.pop("signing_secret")
    assert secret.startswith("whsec_")
    assert made == NONE | {
        "kind": "http",
        "url": engine.url,
        "fail_policy": "use_table",
        "ttl_seconds": 3600,
        "created_at": "2030-01-31T12:00:00Z",
        "version": 1,
    }
    assert (await api.get("/v1/tax_engine")).json() == made
    # set again it keeps its secret; deleted and set again it has another
    assert (await put(api, engine.url))["signing_secret"] == secret
    gone = await api.call("DELETE", "/v1/tax_engine", status=200)
    assert gone.json() == NONE == (await api.get("/v1/tax_engine")).json()
    await api.call("DELETE", "/v1/tax_engine", status=200)
    assert (await put(api, engine.url))["signing_secret"] != secret


async def test_a_change_heeds_the_version(api, engine) -> None:
    await put(api, engine.url, 412, {"If-Match": '"1"'})
    await put(api, engine.url, 200, {"If-Match": '"0"'})
    await put(api, engine.url, 200, {"If-Match": '"1"'})
    headers = {"If-Match": '"1"'}
    await api.call("DELETE", "/v1/tax_engine", status=412, headers=headers)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": "tax.example.com"},
        {"url": "ftp://tax.example.com/"},
        {"url": "https://u:p@tax.example.com/"},
        {"url": "https://tax.example.com/", "kind": "soap"},
        {"url": "https://tax.example.com/", "ttl_seconds": 59},
        {"url": "https://tax.example.com/", "fail_policy": "hope"},
    ],
)
async def test_what_makes_no_engine_is_refused(api, body) -> None:
    await api.call("PUT", "/v1/tax_engine", json=body, status=422)


async def test_a_test_shows_the_answer_or_the_failure_and_keeps_nothing(api, engine) -> None:
    assert (await api.post(TEST, GERMAN, status=409)).json()["code"] == "tax_engine_not_set"
    engine.secret = (await put(api, engine.url))["signing_secret"]
    shown = {"object": "tax_engine_test", "day": "2030-01-31", "tax_code": None, "reason": None}
    rates = [{"name": "VAT", "jurisdiction": "DE", "percentage": "19"}]
    for _ in range(2):
        found = (await api.post(TEST, GERMAN, status=200)).json()
        assert found == shown | {"rates": rates, "failure": None}
    assert len(engine.asked) == 2
    engine.secret = "whsec_AAAA"
    failure = {"kind": "refused", "detail": "status_401"}
    found = (await api.post(TEST, GERMAN, status=200)).json()
    assert found == shown | {"rates": [], "failure": failure}


async def test_whatever_bills_asks_first(api, engine) -> None:
    await put(api, engine.url)
    body = GERMAN | {"currency": "EUR", "lines": [{"amount": 1000}]}
    found = (await api.post("/v1/tax/calculate", body, status=200)).json()
    assert (found["tax_total"], found["lines"][0]["treatment"]) == (190, "taxable")
    [rate] = (await api.get("/v1/tax_rates", params={"source": "tax_engine"})).json()["data"]
    assert (rate["percentage"], rate["country"], rate["type"]) == ("19", "DE", "tax")
    plan = await api.new("plans", code="pro", name="Pro")
    price = await api.new(
        "prices", plan_id=plan["id"], currency="EUR", interval="month", unit_amount=1000
    )
    german = await api.new("customers", address={"country": "DE"})
    wanted = {
        "customer_id": german["id"],
        "items": [{"price_id": price["id"]}],
        "automatic_tax": True,
        "collection_method": "send_invoice",
    }
    key = {"Idempotency-Key": "once"}
    made = (await api.post("/v1/subscriptions", wanted, headers=key)).json()
    again = (await api.post("/v1/subscriptions", wanted, headers=key)).json()
    assert made["id"] == again["id"]
    [invoice] = (await api.get("/v1/invoices")).json()["data"]
    assert (invoice["total"], len(engine.asked)) == (1190, 1)


async def test_an_engine_that_is_away_makes_it_unavailable_for_now(rt, api, engine) -> None:
    engine.fault = "500"
    await put(api, engine.url)
    body = GERMAN | {"currency": "EUR", "lines": [{"amount": 1000}]}
    key = {"Idempotency-Key": "once"}
    away = await api.post("/v1/tax/calculate", body, status=503, headers=key)
    assert (away.json()["code"], away.headers["retry-after"]) == ("tax_engine_unavailable", "60")
    engine.fault = None
    rt.clock.at = NOW.replace(minute=1)
    await api.post("/v1/tax/calculate", body, status=200, headers=key)


async def test_merchants_engines_are_their_own(api, other, engine) -> None:
    mine = await put(api, engine.url)
    assert (await other.get("/v1/tax_engine")).json() == NONE
    theirs = await put(other, engine.url)
    assert theirs["signing_secret"] != mine["signing_secret"]
    await other.call("DELETE", "/v1/tax_engine", status=200)
    assert (await api.get("/v1/tax_engine")).json()["url"] == engine.url


async def test_tax_without_a_rate_is_refused_and_shown(api) -> None:
    await api.new("tax_registrations", country="DE", home=True)
    plan = await api.new("plans", code="pro", name="Pro")
    price = await api.new(
        "prices", plan_id=plan["id"], currency="EUR", interval="month", unit_amount=1000
    )
    german = await api.new("customers", address={"country": "DE"})
    wanted = {
        "customer_id": german["id"],
        "items": [{"price_id": price["id"]}],
        "automatic_tax": True,
    }
    refused = (await api.post("/v1/subscriptions", wanted, status=422)).json()
    assert refused["code"] == "tax_rate_missing"
    body = GERMAN | {"currency": "EUR", "lines": [{"amount": 1000}]}
    found = (await api.post("/v1/tax/calculate", body, status=200)).json()
    assert (found["tax_total"], found["lines"][0]["reason"]) == (0, "no_rate")


async def test_a_deployment_without_the_secret_has_no_engines(clean_database) -> None:
    settings = Settings(database_url=SecretStr(clean_database), pool_size=2)
    async with open_runtime(settings, clock=ManualClock(NOW), bell=Silent()) as runtime:
        transport = httpx.ASGITransport(create_app(runtime))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            api = await open_merchant(runtime, client, "First")
            refused = await put(api, "https://tax.example.com/", 409)
    assert refused["code"] == "tax_engines_off"
