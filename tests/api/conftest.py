"""An API on this worker's own database, and callers with keys to it."""

import hashlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.bell import Silent
from app.clock import ManualClock
from app.domain.dunning_policy import DEFAULT, document
from app.ids import new_id, new_token, parse, show
from app.main import create_app
from app.runtime import Runtime, open_runtime
from app.services import merchants
from app.services.merchants import CreateMerchant
from app.settings import Settings
from tests import gateway_events
from tests.simulator import SimulatorProcess, start_simulator
from tests.world import SECRET_KEY

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
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One simulator process a worker."""
    with start_simulator(Path(tmp_path_factory.mktemp("simulator"))) as process:
        yield process


@pytest.fixture(scope="session")
async def shared_runtime(database_url: str) -> AsyncIterator[Runtime]:
    settings = Settings(
        database_url=SecretStr(database_url),
        admin_key=SecretStr(ADMIN_KEY),
        secret_keys=SecretStr(SECRET_KEY),
        pool_size=8,
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


@dataclass(frozen=True)
class Shop:
    """A merchant that has one of everything."""

    api: Api
    ids: dict[str, str]

    def __getitem__(self, noun: str) -> str:
        return self.ids[noun]


async def billed_by_hand(api: Api, customer: str, invoice: str) -> dict[str, str]:
    """A draft with an item, and a credit note on an invoice: what is what by its noun."""
    note = await api.new("credit_notes", invoice_id=invoice, amount=1)
    work = {"amount": 1500, "description": "Work"}
    whose = {"customer_id": customer, "currency": "EUR"}
    draft = await api.new("invoices", **whose, items=[work], auto_finalize=False)
    pending = await api.get(f"/v1/pending_items?invoice_id={draft['id']}")
    return {
        "credit_note": note["id"],
        "draft": draft["id"],
        "invoice_line": note["lines"][0]["invoice_line_id"],
        "pending_item": pending.json()["data"][0]["id"],
    }


async def planned_for(api: Api, subscription: dict) -> dict[str, str]:
    """A schedule of one phase, and a change that waits beside it."""
    address = f"/v1/subscriptions/{subscription['id']}"
    [item] = subscription["items"]
    phase = {"items": [{"price_id": item["price_id"], "quantity": item["quantity"]}]}
    await api.call("PUT", f"{address}/schedule", json={"phases": [phase]}, status=200)
    change = {"items": [{"id": item["id"], "quantity": 3}], "at": "2100-01-01T00:00:00Z"}
    changed = (await api.post(f"{address}/change", change, 200)).json()
    return {
        "scheduled_change": changed["scheduled_changes"][0]["id"],
        "subscription_item": item["id"],
    }


async def at_the_gateway(api: Api, account: str, customer: str) -> dict[str, str]:
    """An event that the account's gateway told, and a set-up that is open there."""
    path = f"/v1/gateway_accounts/{account}"
    secret = {"secret": gateway_events.SECRET}
    await api.call("PUT", f"{path}/webhook_secret", json=secret, status=200)
    told = gateway_events.event("charge.succeeded", {"object": "charge", "id": "ch_stock"})
    raw = json.dumps(told).encode()
    signed = gateway_events.headers(raw, told["id"], NOW)
    address = f"/v1/gateways/simulator/{account}/webhooks"
    assert (await api.client.post(address, content=raw, headers=signed)).is_success
    [event] = (await api.get(f"{path}/inbound_events")).json()["data"]
    setup = await api.new("setup_sessions", customer_id=customer)
    return {"inbound_event": event["id"], "setup_session": setup["id"]}


async def disputed(administrator, payment: str) -> str:
    """A dispute of a payment, put there by hand; its id."""
    row = await administrator.fetchrow(
        "INSERT INTO disputes (merchant_id, id, gateway_account_id, gateway_reference, payment_id,"
        " invoice_id, customer_id, status, currency, amount, withdrawn, asked_at, created_at,"
        " version) SELECT p.merchant_id, $2, a.gateway_account_id, 'dp_stock', p.id, p.invoice_id,"
        " p.customer_id, 'needs_response', p.currency, 1, 0, p.created_at, p.created_at, 1"
        " FROM payments p JOIN payment_attempts a ON a.payment_id = p.id WHERE p.id = $1"
        " RETURNING id",
        parse("pay", payment),
        new_id(),
    )
    return show("dp", row["id"])


async def dunned(api: Api, administrator, invoice: str, plan: str) -> dict[str, str]:
    """A policy for the plan, and the dunning of an invoice, put there by hand."""
    policy = await api.new("dunning_policies", code="soft", name="Soft", plan_ids=[plan])
    row = await administrator.fetchrow(
        "INSERT INTO dunning_runs (merchant_id, id, invoice_id, customer_id, collection_method,"
        " currency, amount, paid_before, terms, zone, status, failed_at, step, attempts,"
        " amount_recovered, ended_at, end_reason, created_at, version)"
        " SELECT i.merchant_id, $2, i.id, i.customer_id, i.collection_method, i.currency, 1, 0,"
        " $3, 'UTC', 'stopped', i.created_at, 0, 1, 0, i.created_at, 'by_hand', i.created_at, 1"
        " FROM invoices i WHERE i.id = $1 RETURNING id",
        parse("inv", invoice),
        new_id(),
        json.dumps(document(DEFAULT)),
    )
    return {"dunning_policy": policy["id"], "dunning_run": show("dun", row["id"])}


async def linked(administrator, invoice: str) -> dict[str, str]:
    """A link to an invoice, put there by hand, whatever state that is in; and its token."""
    row = await administrator.fetchrow(
        "SELECT merchant_id FROM invoices WHERE id = $1", parse("inv", invoice)
    )
    link, token = new_id(), f"{show('pl', row['merchant_id'])}_{new_token()}"
    await administrator.execute(
        "INSERT INTO payment_links (merchant_id, id, invoice_id, token_hash, last_four, expires_at,"
        " created_at) VALUES ($1, $2, $3, $4, $5, '2100-01-01', '2026-01-01')",
        row["merchant_id"],
        link,
        parse("inv", invoice),
        hashlib.sha256(token.encode()).digest(),
        token[-4:],
    )
    return {"payment_link": show("plink", link), "token": token}


async def compared(api: Api, administrator, account: str) -> dict[str, str]:
    """A comparison, and a difference that it could have found."""
    made, found = await api.new("reconciliations", gateway_account_id=account), new_id()
    await administrator.execute(
        """
        INSERT INTO reconciliation_differences
            (merchant_id, id, reconciliation_id, gateway_account_id, difference_key, kind, status,
             currency, amount_there, gateway_reference, created_at, seen_at)
        SELECT r.merchant_id, $1, r.id, r.gateway_account_id, 'x', 'charge_unknown_here', 'open',
               'EUR', 5, 'ch_elsewhere', r.created_at, r.created_at
          FROM reconciliations r WHERE r.id = $2
        """,
        found,
        parse("rec", made["id"]),
    )
    return {"reconciliation": made["id"], "reconciliation_difference": show("diff", found)}


async def listened_to(api: Api) -> dict[str, str]:
    """A webhook endpoint, and what it is to be told."""
    where = {"url": "https://shop.example.com/webhooks", "event_types": ["*"]}
    endpoint = await api.new("webhook_endpoints", **where)
    await api.new(f"webhook_endpoints/{endpoint['id']}/ping")
    await api.get("/v1/events?after_sequence=0")  # numbers it
    [delivery, *_] = (await api.get("/v1/deliveries")).json()["data"]
    return {
        "delivery": delivery["id"],
        "event": delivery["event_id"],
        "webhook_endpoint": endpoint["id"],
    }


async def stock(api: Api, administrator, simulator: SimulatorProcess) -> Shop:
    """Sell something, so that there is one of everything."""
    await administrator.execute(
        "UPDATE gateway_accounts SET settings = json_build_object('base_url', $1::text)",
        simulator.url,
    )
    clock = await api.new("test_clocks", frozen_at="2031-01-01T00:00:00Z")
    feature = await api.new("features", key="seats", name="Seats", type="limit")
    plan = await api.new("plans", code="pro", name="Pro", features=[{"key": "seats", "value": 5}])
    monthly = {"plan_id": plan["id"], "currency": "EUR", "interval": "month"}
    price = await api.new("prices", **monthly, unit_amount=1000)
    coupon = await api.new("coupons", code="HI", name="Hi", percent_off="10")
    tax_rate = await api.new("tax_rates", display_name="VAT", percentage="19", country="DE")
    registration = await api.new("tax_registrations", country="DE", home=True)
    seller = {"address": {"country": "DE"}, "tax_id": "DE123456788"}
    await api.patch("/v1/document_settings", seller)
    customer = await api.new("customers", name="Ada", address={"country": "DE"})
    tax_id = await api.new(
        f"customers/{customer['id']}/tax_ids", type="eu_vat", value="DE136695976"
    )
    card = await api.new(
        "payment_methods",
        customer_id=customer["id"],
        gateway_reference="pm_sim_ok",
        make_default=True,
    )
    code = await api.new("promotion_codes", coupon_id=coupon["id"], code="SHOP10")
    later = {"promotion_code": "SHOP10", "start_at": "2100-01-01T00:00:00Z"}
    discount = await api.new(f"customers/{customer['id']}/discounts", **later)
    redemption = (await api.get("/v1/redemptions")).json()["data"][0]
    offer = await api.new("offers", name="Come back", coupon_id=coupon["id"], trial_days=14)
    link = await api.new(f"offers/{offer['id']}/links", max_redemptions=None)
    moves = f"customers/{customer['id']}/balance_transactions"
    await api.new(moves, amount=100, currency="EUR")
    meter = await api.new("meters", name="Calls", event_name="call", aggregation="count")
    await api.new("usage_events", id="call-1", event_name="call", customer_id=customer["id"])
    subscription = await api.new(
        "subscriptions",
        customer_id=customer["id"],
        items=[{"price_id": price["id"], "quantity": 2}],
        coupon_ids=[coupon["id"]],
        tax_rate_ids=[tax_rate["id"]],
    )
    phases = {"phases": [{"items": [{"price_id": price["id"], "quantity": 2}]}]}
    path = f"/v1/subscriptions/{subscription['id']}/schedule"
    await api.call("PUT", path, json=phases, status=200)  # as it is: nothing is changed by it
    planned = await planned_for(api, subscription)
    invoice = (await api.get(f"/v1/invoices/{subscription['latest_invoice_id']}")).json()
    dearer = await api.new("prices", **monthly, unit_amount=1200)
    moves_to = {"from_price_id": price["id"], "to_price_id": dearer["id"]}
    migration = await api.new("price_migrations", **moves_to)
    payment = (await api.get("/v1/payments")).json()["data"][0]
    refund = await api.new("refunds", payment_id=payment["id"], amount=1)
    by_hand = await billed_by_hand(api, customer["id"], payment["invoice_id"])
    key = await api.new("api_keys")
    account = (await api.get("/v1/gateway_accounts")).json()["data"][0]
    told = await listened_to(api)
    return Shop(
        api,
        {
            **by_hand,
            **planned,
            **await compared(api, administrator, account["id"]),
            **told,
            "api_key": key["id"],
            "coupon": coupon["id"],
            "customer": customer["id"],
            "discount": discount["id"],
            "feature": feature["id"],
            "gateway_account": account["id"],
            "dispute": await disputed(administrator, payment["id"]),
            **await dunned(api, administrator, invoice["id"], plan["id"]),
            **await linked(administrator, invoice["id"]),
            **await at_the_gateway(api, account["id"], customer["id"]),
            "invoice": invoice["id"],
            "line": invoice["lines"][0]["id"],
            "meter": meter["id"],
            "offer": offer["id"],
            "offer_link": link["id"],
            "offer_token": link["token"],
            "payment": payment["id"],
            "payment_method": card["id"],
            "plan": plan["id"],
            "price": price["id"],
            "price_migration": migration["id"],
            "promotion_code": code["id"],
            "redemption": redemption["id"],
            "refund": refund["id"],
            "subscription": subscription["id"],
            "tax_id": tax_id["id"],
            "tax_rate": tax_rate["id"],
            "tax_registration": registration["id"],
            "test_clock": clock["id"],
        },
    )


@pytest.fixture
async def shop(api: Api, administrator, simulator: SimulatorProcess) -> Shop:
    simulator.clear_faults()
    return await stock(api, administrator, simulator)
