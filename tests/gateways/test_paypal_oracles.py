"""The judges judged: wrong requests that they must refuse, right ones that they must let pass."""

import copy
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from tests.gateways.oracles import paypal_sdk, paypal_spec
from tests.gateways.paypal import PayPalProcess

ORDERS = "/v2/checkout/orders"
REFUND = "/v2/payments/captures/2GG279541U471931P/refund"
HEADERS = {"content-type": "application/json", "paypal-request-id": "k.order"}
ORDER: dict[str, Any] = {
    "intent": "CAPTURE",
    "purchase_units": [
        {
            "invoice_id": "attempt1",
            "custom_id": "attempt1",
            "amount": {"currency_code": "EUR", "value": "12.34"},
        }
    ],
    "payment_source": {
        "paypal": {
            "vault_id": "8kk8451t",
            "stored_credential": {
                "payment_initiator": "MERCHANT",
                "usage": "SUBSEQUENT",
                "usage_pattern": "RECURRING_PREPAID",
            },
        }
    },
}
WALLET: dict[str, Any] = {
    "usage_type": "MERCHANT",
    "experience_context": {"return_url": "https://x/r", "cancel_url": "https://x/c"},
}
Change = Callable[[dict[str, Any]], object]

needs_specs = pytest.mark.skipif(not paypal_spec.are_present(), reason=paypal_spec.ABSENT)


@pytest.fixture(scope="session")
def specs() -> paypal_spec.Specs:
    return paypal_spec.Specs()


def changed(change: Change) -> bytes:
    order = copy.deepcopy(ORDER)
    change(order)
    return orjson.dumps(order)


def by_spec(specs: paypal_spec.Specs, body: bytes, **headers: str) -> list[str]:
    return specs.request_faults("POST", ORDERS, "", HEADERS | headers, body)


def by_sdk(body: bytes) -> list[str]:
    return paypal_sdk.request_faults("POST", ORDERS, body)


@needs_specs
def test_a_right_order_passes_both(specs: paypal_spec.Specs) -> None:
    assert by_spec(specs, orjson.dumps(ORDER)) == []
    assert by_sdk(orjson.dumps(ORDER)) == []


@needs_specs
@pytest.mark.parametrize(
    "change",
    [
        lambda o: o["purchase_units"][0]["amount"].update(value=12.34),
        lambda o: o["purchase_units"][0]["amount"].update(value=1234),
        lambda o: o["purchase_units"][0]["amount"].update(value="12,34"),
        lambda o: o["purchase_units"][0]["amount"].update(value="€ 12"),
        lambda o: o["purchase_units"][0]["amount"].pop("currency_code"),
        lambda o: o["purchase_units"][0]["amount"].pop("value"),
        lambda o: o["purchase_units"][0]["amount"].update(currency_code="EURO"),
        lambda o: o["purchase_units"][0].pop("amount"),
        lambda o: o["purchase_units"][0].update(invoice_id="x" * 128),
        lambda o: o["purchase_units"][0].update(invoice_id=""),
        lambda o: o["purchase_units"][0].update(description="x" * 128),
        lambda o: o.pop("purchase_units"),
        lambda o: o.update(purchase_units=[]),
        lambda o: o.pop("intent"),
        lambda o: o.update(intent="SALE"),
        lambda o: o["payment_source"]["paypal"].update(vault_id="no spaces"),
        lambda o: o["payment_source"].update(card={"stored_credential": {"usage": "X"}}),
        lambda o: o["payment_source"].update(
            card={
                "stored_credential": {
                    "payment_initiator": "MERCHANT",
                    "payment_type": "RECURRING",
                    "previous_network_transaction_reference": {"id": "short"},
                }
            }
        ),
    ],
)
def test_the_spec_refuses(specs: paypal_spec.Specs, change: Change) -> None:
    assert by_spec(specs, changed(change))


@needs_specs
@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body"),
    [
        ("POST", ORDERS, "", {"paypal-request-id": "x" * 109}, orjson.dumps(ORDER)),
        ("POST", ORDERS, "", {"content-type": "application/x-www-form-urlencoded"}, b"a=b"),
        ("POST", ORDERS, "", {}, b"not json"),
        ("PUT", ORDERS, "", {}, orjson.dumps(ORDER)),
        ("POST", "/v2/checkout/order", "", {}, orjson.dumps(ORDER)),
        ("POST", REFUND, "", {}, orjson.dumps({"amount": "4.00"})),
        ("POST", REFUND, "", {}, orjson.dumps({"invoice_id": ""})),
        ("POST", "/v3/vault/setup-tokens", "", {"paypal-request-id": None}, b"{}"),
        (
            "POST",
            "/v3/vault/payment-tokens",
            "",
            {},
            orjson.dumps({"payment_source": {"token": {"id": "5C9", "type": "NONCE"}}}),
        ),
        ("GET", "/v1/reporting/transactions", "", {}, b""),
        ("GET", "/v1/reporting/transactions", "start_date=yesterday&end_date=today", {}, b""),
        (
            "GET",
            "/v1/reporting/transactions",
            "start_date=2026-11-01T00:00:00Z&end_date=2026-11-02T00:00:00Z&page_size=501",
            {},
            b"",
        ),
        (
            "GET",
            "/v1/reporting/transactions",
            "start_date=2026-11-01T00:00:00Z&end_date=2026-11-02T00:00:00Z&invoice_id=x",
            {},
            b"",
        ),
        ("GET", "/v1/customer/disputes", "page_size=51", {}, b""),
        ("POST", "/v1/notifications/verify-webhook-signature", "", {}, b'{"webhook_id":"X"}'),
    ],
)
def test_the_spec_refuses_what_is_around_a_body(
    specs: paypal_spec.Specs,
    method: str,
    path: str,
    query: str,
    headers: dict[str, str | None],
    body: bytes,
) -> None:
    sent = {name: value for name, value in (HEADERS | headers).items() if value is not None}
    assert specs.request_faults(method, path, query, sent, body)


@pytest.mark.parametrize(
    "change",
    [
        lambda o: o.update(bogus=1),
        lambda o: o["purchase_units"][0].update(invoiceId="x"),
        lambda o: o["purchase_units"][0]["amount"].update(currency="EUR"),
        lambda o: o["payment_source"]["paypal"].update(vaultid="x"),
        # the wallet's credential has no payment_type, though a card's has
        lambda o: o["payment_source"]["paypal"]["stored_credential"].update(
            payment_type="RECURRING"
        ),
        lambda o: o["payment_source"]["paypal"]["stored_credential"].update(usage="LATER"),
        lambda o: o["payment_source"]["paypal"]["stored_credential"].update(
            usage_pattern="MONTHLY"
        ),
        lambda o: o["payment_source"]["paypal"]["stored_credential"].update(
            payment_initiator="SHOP"
        ),
        lambda o: o.update(intent="SALE"),
    ],
)
def test_the_sdk_refuses(change: Change) -> None:
    assert by_sdk(changed(change))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (REFUND, {"amount": {"currency_code": "EUR", "value": "1.00"}, "note": "x"}),
        (REFUND, {"reason": "x"}),
        ("/v2/payments/authorizations/A/capture", {"final": True}),
        ("/v2/payments/authorizations/A/reauthorize", {"invoice_id": "x"}),
        ("/v3/vault/setup-tokens", {"payment_source": {"paypal": WALLET | {"usage": "X"}}}),
        ("/v3/vault/setup-tokens", {"payment_source": {"paypal": WALLET | {"usage_type": "ME"}}}),
        ("/v3/vault/setup-tokens", {"customer": {"reference": "x"}, "payment_source": {}}),
        ("/v3/vault/payment-tokens", {"payment_source": {"token": {"id": "5C9", "kind": "x"}}}),
        (
            "/v3/vault/payment-tokens",
            {"payment_source": {"token": {"id": "5C9", "type": "BILLING_AGREEMENT"}}},
        ),
    ],
)
def test_the_sdk_refuses_in_other_requests(path: str, body: dict[str, Any]) -> None:
    assert paypal_sdk.request_faults("POST", path, orjson.dumps(body))


@needs_specs
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (201, {"id": "O", "status": "DONE"}),
        (201, {"id": 5}),
        (201, {"purchase_units": [{"amount": {"value": 1}}]}),
        (422, {"name": "UNPROCESSABLE_ENTITY", "details": [{"issue": "MADE_UP"}]}),
        (422, {"name": "NOT_OK"}),
        (400, {"name": "INVALID_REQUEST", "message": "Something else."}),
    ],
)
def test_the_spec_refuses_wrong_answers_of_the_fake(
    specs: paypal_spec.Specs, status: int, body: dict[str, Any]
) -> None:
    assert specs.answer_faults("POST", ORDERS, status, orjson.dumps(body))


def test_the_sdk_refuses_wrong_answers_of_the_fake() -> None:
    capture = {"id": "C", "status": "COMPLETED", "fee": {"value": "1.00"}}
    assert paypal_sdk.answer_faults("GET", "/v2/payments/captures/C", orjson.dumps(capture))


@needs_specs
def test_every_pattern_of_the_files_is_a_pattern(specs: paypal_spec.Specs) -> None:
    """As published three are not, and a judge that passes over this judges nothing."""
    compiled = 0
    for spec in specs._specs:
        for name in spec.doc["components"]["schemas"]:
            spec._faults({"$ref": f"#/components/schemas/{name}"}, {}, name)
            compiled += 1
    assert compiled > 500


def test_the_fake_lets_nothing_wrong_pass(paypal: PayPalProcess) -> None:
    """What the judges object to is refused by the fake itself, and remembered."""
    if not paypal.fake("GET", "livez")["judged_by_spec"]:
        pytest.skip(paypal_spec.ABSENT)
    wrong = changed(lambda o: o["purchase_units"][0]["amount"].update(value=12.34))
    answer = paypal.client.post(ORDERS, content=wrong, headers=HEADERS)
    assert answer.status_code == 400
    assert "12.34" in answer.json()["details"][0]["issue"]
    assert len(paypal.violations()) == 1
    paypal.reset()
