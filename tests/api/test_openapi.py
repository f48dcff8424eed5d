"""The OpenAPI document: complete, in the words of the API, committed, and true of real answers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest

from app.api import event_schemas
from app.api.endpoint import Endpoint
from app.cli.openapi import DOCUMENT, for_clients, render
from app.domain.event import Type
from app.ids import parse
from app.services import inbox_settling, reconciliation, test_clocks
from tests import gateway_events

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def document() -> dict:
    return json.loads(render())


def nodes(node, path: str = "") -> Iterator[tuple[str, dict]]:
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from nodes(value, f"{path}/{key}")
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from nodes(value, f"{path}/{place}")


def operations(document: dict) -> Iterator[tuple[str, str, dict]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_the_committed_document_is_what_the_code_says() -> None:
    made = render()
    assert DOCUMENT.read_text() == made, "run: perennial openapi export"
    assert DOCUMENT.with_suffix(".sdk.json").read_text() == for_clients(made)


def test_the_check_fails_on_a_document_that_is_out_of_date(tmp_path) -> None:
    stale = tmp_path / "openapi.json"
    command = [sys.executable, "-m", "app.cli", "openapi", "export", "--to", str(stale)]
    stale.write_text("{}")

    def run(*options: str) -> int:
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, check=False)
        return done.returncode

    assert run("--check") == 1
    assert run() == 0
    assert run("--check") == 0


def test_money_is_never_a_number(document) -> None:
    assert [path for path, node in nodes(document) if node.get("type") == "number"] == []


def test_no_field_is_sometimes_a_text_and_sometimes_an_object(document) -> None:
    mixed = []
    for path, node in nodes(document):
        kinds = {
            "object" if "$ref" in choice else choice.get("type") for choice in node.get("anyOf", [])
        }
        if {"string", "object"} <= kinds:
            mixed.append(path)
    assert mixed == []


def test_operations_are_named_for_what_they_do(document) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    verbs = (
        "create get list update delete cancel keep unpark pay void mark advance attach detach "
        "repair dismiss "
        "revoke calculate seed change pause resume preview explain finalize put release "
        "execute disable enable check retry open complete reveal rotate ping replay resend "
        "resolve reverse stop"
    )
    for name in names:
        assert name.split("_")[0] in verbs.split(), name


def test_every_operation_documents_its_problems_tags_and_keys(document) -> None:
    for method, path, operation in operations(document):
        assert operation["tags"], path
        assert operation["description"], path
        assert "security" in operation, path
        if not path.startswith("/v1/"):
            continue
        expected = {"401", "403", "422", "500", "503"}
        expected |= {"404"} if "{" in path else set()
        expected |= {"400", "409", "413", "415"} if method != "get" else set()
        if not operation["security"]:
            expected = {"404", "503"}  # for gateways and holders of links, who have no key
            expected |= {"400", "413"} if method != "get" else set()
        assert expected <= set(operation["responses"]), path
        for status in expected:
            reference = operation["responses"][status]
            assert reference == {"$ref": f"#/components/responses/Problem{status}"}


def test_every_choice_says_what_is_chosen(document) -> None:
    schemas = document["components"]["schemas"]
    choices = {name: schema for name, schema in schemas.items() if "enum" in schema}
    assert [name for name, schema in choices.items() if not schema.get("description")] == []


def test_every_route_is_documented(app, document) -> None:
    documented = {(method.upper(), path) for method, path, _ in operations(document)}
    for route in app.routes:
        if isinstance(route, Endpoint):
            (method,) = route.methods
            assert (method, route.path) in documented


async def test_every_noun_answers_as_its_schema_says(shop, document) -> None:
    """Closed schemas: a field that is not documented fails as well as one that is missing."""
    components = closed(document)
    checked = set()
    for path, methods in document["paths"].items():
        if "get" not in methods or not path.startswith("/v1/") or "merchants" in path:
            continue
        address = path
        for noun, given in shop.ids.items():
            address = address.replace(f"{{{noun}_id}}", given).replace(f"{{{noun}}}", given)
        needed = [p for p in methods["get"].get("parameters", ()) if p.get("in") == "query"]
        params = {p["name"]: p["schema"]["examples"][0] for p in needed if p["required"]}
        answer = await shop.api.get(address, params=params)
        content = methods["get"]["responses"]["200"]["content"]
        if "application/json" not in content:
            assert answer.headers["content-type"].split(";")[0] in content
            continue
        reference = content["application/json"]["schema"]
        schema = reference | {"components": components}
        jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(answer.json())
        checked.add(path)
    assert len(checked) >= 30


def test_every_event_has_its_webhook_and_its_schema(document) -> None:
    assert list(document["webhooks"]) == [type_.value for type_ in Type]
    schemas = document["components"]["schemas"]
    for type_, webhook in document["webhooks"].items():
        content = webhook["post"]["requestBody"]["content"]["application/json"]
        schema = schemas[content["schema"]["$ref"].rpartition("/")[2]]
        assert schema["properties"]["type"]["const"] == type_
        about = schema["properties"]["data"]["properties"]["object"]["$ref"].rpartition("/")[2]
        assert about.endswith("Snapshot")
        assert schemas[about]["properties"]["object"]["const"] == event_schemas.noun_of(Type(type_))
    assert len(schemas["AnyEvent"]["oneOf"]) == len(Type)


def test_the_document_for_clients_has_the_schemas_and_no_webhooks(document) -> None:
    stripped = json.loads(for_clients(json.dumps(document)))
    assert "webhooks" not in stripped
    assert stripped["components"] == document["components"]


async def test_every_event_is_as_its_schema_says(
    rt, shop, document, simulator, administrator
) -> None:
    """Closed schemas, and every field there: of all that has happened in a shop."""
    await happen(shop)
    await enter_a_method(shop, simulator, administrator)
    await dispute_a_charge(rt, shop, simulator, administrator)
    await fail_to_pay(rt, shop)
    await reconciliation.run_due(rt)
    components = closed(document)
    seen, after = set(), 0
    while True:
        answer = await shop.api.get(f"/v1/events?after_sequence={after}&limit=100")
        assert "+00:00" not in answer.text, "an instant that app/services/public.py does not know"
        page = answer.json()
        for event in page["data"]:
            name = event_schemas.name_of(Type(event["type"]))
            schema = {"$ref": f"#/components/schemas/{name}", "components": components}
            jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(event)
            seen.add(event_schemas.noun_of(Type(event["type"])))
            after = event["sequence"]
        if not page["has_more"]:
            break
    assert seen == {event_schemas.noun_of(type_) for type_ in Type}


async def fail_to_pay(rt, shop) -> None:
    """A renewal that is declined, and dunned to its end."""
    clock = await shop.api.new("test_clocks", frozen_at="2031-01-31T09:00:00Z")
    customer = await shop.api.new("customers", test_clock_id=clock["id"])
    pay = {"customer_id": customer["id"], "make_default": True}
    await shop.api.new("payment_methods", gateway_reference="pm_sim_ok_dunned", **pay)
    items = [{"price_id": shop["price"]}]
    await shop.api.new("subscriptions", customer_id=customer["id"], items=items)
    bad = "pm_sim_declined_insufficient_funds_dunned"
    await shop.api.new("payment_methods", gateway_reference=bad, **pay)
    target = {"frozen_at": "2031-03-20T00:00:00Z"}
    await shop.api.post(f"/v1/test_clocks/{clock['id']}/advance", target, status=202)
    await test_clocks.advance_all(rt)


def closed(document: dict) -> dict:
    """The components, in which no schema bears a field that it does not name."""
    components = json.loads(json.dumps(document["components"]))
    for schema in components["schemas"].values():
        if schema.get("type") == "object" and "properties" in schema:
            schema["additionalProperties"] = False
    return components


async def happen(shop) -> None:
    """Change something of each kind."""
    api, sub = shop.api, f"/v1/subscriptions/{shop['subscription']}"
    item = {"currency": "EUR", "amount": 100, "description": "Extra"}
    pending = await api.new("pending_items", customer_id=shop["customer"], **item)
    await api.patch(f"/v1/pending_items/{pending['id']}", {"amount": 200})
    await api.call("DELETE", f"/v1/pending_items/{pending['id']}", status=200)
    change = {"items": [{"id": shop["subscription_item"], "quantity": 4}], "when": "now"}
    await api.post(f"{sub}/change", change, 200)
    await api.post(f"{sub}/pause", status=200)
    await api.post(f"{sub}/resume", status=200)
    await api.patch(sub, {"metadata": {"a": "b"}})
    await api.post(f"{sub}/cancel", {"when": "now"}, 200)
    await api.patch(f"/v1/customers/{shop['customer']}", {"name": "Countess"})
    await api.patch(f"/v1/plans/{shop['plan']}", {"name": "Pro!"})
    await api.patch(f"/v1/coupons/{shop['coupon']}", {"active": False})
    difference = f"/v1/reconciliation_differences/{shop['reconciliation_difference']}"
    await api.post(f"{difference}/dismiss", {"note": "Known."}, 200)


async def dispute_a_charge(rt, shop, simulator, administrator) -> None:
    """A customer's bank takes a charge back; the gateway tells, and the worker looks."""
    charge = await administrator.fetchval(
        "SELECT gateway_reference FROM payment_attempts WHERE payment_id = $1",
        parse("pay", shop["payment"]),
    )
    opened = simulator.request("POST", "/v1/disputes", json={"charge": charge})
    told = gateway_events.event("dispute.opened", opened)
    raw = json.dumps(told).encode()
    signed = gateway_events.headers(raw, told["id"], rt.clock.now())
    path = f"/v1/gateways/simulator/{shop['gateway_account']}/webhooks"
    assert (await shop.api.client.post(path, content=raw, headers=signed)).is_success
    assert (await inbox_settling.settle_due(rt)).settled == 1


async def enter_a_method(shop, simulator, administrator) -> None:
    """A customer enters a payment method at the gateway."""
    made = await shop.api.new("setup_sessions", customer_id=shop["customer"])
    reference = await administrator.fetchval(
        "SELECT gateway_reference FROM setup_sessions WHERE id = $1", parse("setup", made["id"])
    )
    secret = {"client_secret": made["client_secret"]}
    simulator.request("POST", f"/setups/{reference}/confirm", json=secret)
    await shop.api.post(f"/v1/setup_sessions/{made['id']}/complete", status=200)


async def test_everything_expands_to_what_its_schema_says(shop, document) -> None:
    from app.db import views

    for view in views.ALL:
        if not view.references or view.object == "invoice_line":
            continue
        name = "".join(word.title() for word in view.object.split("_"))
        properties = document["components"]["schemas"][name]["properties"]
        expandable = {n for n, field in properties.items() if field.get("x-expandable")}
        assert expandable == set(view.references), view.object


async def test_the_reference_page_needs_nobody_else(client, rt) -> None:
    page = await client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "https://" not in page.text
    assert "unsafe-eval" not in policy
    script = await client.get("/docs/reference.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert len(script.content) > 1_000_000
    assert (await client.get("/openapi.json")).json()["openapi"].startswith("3.1")
