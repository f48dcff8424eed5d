"""The oracle refuses what Razorpay would: a judge that accepts anything proves nothing."""

import base64
import json
from typing import Any

import pytest

from tests.gateways import specs
from tests.gateways.oracles.razorpay import objections

AUTH = {"authorization": "Basic " + base64.b64encode(b"rzp_test_FakeKey000001:secret").decode()}
JSON = AUTH | {"content-type": "application/json"}
ORDER_ID, PAYMENT_ID = "order_Ia5nABHSOWXg0Q", "pay_Ia5nRCnwjqXGxv"
ORDER: dict[str, Any] = {
    "amount": 49900,
    "currency": "INR",
    "receipt": "att_1",
    "payment_capture": True,
    "notification": {"token_id": "token_Ia5ip8Ix07JDRm", "payment_after": 1_900_000_000},
    "notes": {"a": "b"},
}
DEBIT: dict[str, Any] = {
    "email": "gaurav.kumar@example.com",
    "contact": "+919876543567",
    "amount": 49900,
    "currency": "INR",
    "order_id": ORDER_ID,
    "customer_id": "cust_DzYEzfJLV03rkp",
    "token": "token_Ia5ip8Ix07JDRm",
    "recurring": True,
    "notes": {},
    "description": "Invoice 1",
}
CHARGE = "/v1/payments/create/recurring"
REFUND = f"/v1/payments/{PAYMENT_ID}/refund"


def judged(
    method: str, target: str, body: Any = None, headers: dict[str, str] | None = None
) -> list[str]:
    content = b"" if body is None else json.dumps(body).encode()
    return objections(method, target, headers or (AUTH if body is None else JSON), content)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/v1/orders", ORDER),
        ("POST", CHARGE, DEBIT),
        ("POST", CHARGE, DEBIT | {"recurring": "1"}),
        ("GET", "/v1/orders?receipt=att_1&count=100", None),
        ("GET", f"/v1/orders/{ORDER_ID}/payments", None),
        ("GET", "/v1/payments?from=1700000000&to=1700003600&count=100&skip=0", None),
        ("POST", f"/v1/payments/{PAYMENT_ID}/capture", {"amount": 100, "currency": "INR"}),
        ("DELETE", "/v1/customers/cust_DzYEzfJLV03rkp/tokens/token_Ia5ip8Ix07JDRm", {}),
        ("PUT", "/v1/customers/cust_DzYEzfJLV03rkp/tokens/token_Ia5ip8Ix07JDRm/cancel", {}),
    ],
)
def test_right_requests_are_accepted(method: str, target: str, body: Any) -> None:
    assert judged(method, target, body) == []


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("amount", {"amount": "49900"}),
        ("amount", {"amount": 499.0}),
        ("amount", {"amount": -1}),
        ("currency", {"currency": "inr"}),
        ("receipt", {"receipt": "x" * 41}),
        ("payment_capture", {"payment_capture": "1"}),
        ("invoice", {"invoice": "INV-1"}),
        ("notification", {"notification": {"token": "token_Ia5ip8Ix07JDRm"}}),
        ("payment_after", {"notification": ORDER["notification"] | {"payment_after": "soon"}}),
        ("notes", {"notes": {f"key_{n}": "x" for n in range(16)}}),
        ("notes", {"notes": {"long": "x" * 257}}),
        ("token", {"token": {"max_amount": 100, "frequency": "now_and_then"}}),
    ],
)
def test_a_wrong_order_is_refused(what: str, change: dict[str, Any]) -> None:
    found = judged("POST", "/v1/orders", ORDER | change)
    assert any(what in one for one in found), found


@pytest.mark.parametrize("missing", ["email", "contact", "amount", "order_id", "token"])
def test_a_debit_without_what_it_needs_is_refused(missing: str) -> None:
    body = {name: value for name, value in DEBIT.items() if name != missing}
    assert any(missing in one for one in judged("POST", CHARGE, body))


@pytest.mark.parametrize(
    ("method", "target", "body", "headers"),
    [
        ("POST", "/v1/order", ORDER, JSON),
        ("PUT", "/v1/orders", ORDER, JSON),
        ("POST", "/v1/orders?amount=1", ORDER, JSON),
        ("POST", "/v1/orders", ORDER, AUTH | {"content-type": "text/plain"}),
        ("POST", "/v1/orders", ORDER, {"content-type": "application/json"}),
        ("GET", "/v1/orders?receipts=att_1", None, AUTH),
        ("GET", "/v1/payments?count=101", None, AUTH),
        ("GET", f"/v1/payments/{PAYMENT_ID}", {"amount": 1}, AUTH),
        ("GET", f"/v1/payments/{PAYMENT_ID}", None, JSON),
        ("POST", REFUND, {"amount": 0}, JSON),
        ("POST", REFUND, {"amount": 1, "speed": "quick"}, JSON),
        ("POST", REFUND, {"amount": 1}, JSON | {"x-refund-idempotency": "short"}),
        ("POST", REFUND, {"amount": 1}, JSON | {"x-refund-idempotency": "with space in it"}),
        ("POST", CHARGE, DEBIT | {"order_id": "att_1"}, JSON),
        ("POST", CHARGE, DEBIT | {"contact": "call me"}, JSON),
        ("POST", f"/v1/payments/{PAYMENT_ID}/capture", {"amount": 100}, JSON),
        ("POST", f"/v1/payments/{PAYMENT_ID}/void", {}, JSON),
        ("DELETE", "/v1/customers/cust_DzYEzfJLV03rkp/tokens/token_Ia5ip8Ix07JDRm", None, AUTH),
    ],
)
def test_wrong_requests_are_refused(
    method: str, target: str, body: Any, headers: dict[str, str]
) -> None:
    assert judged(method, target, body, headers)


def test_what_is_no_json_is_refused() -> None:
    assert objections("POST", "/v1/orders", JSON, b"amount=100&currency=INR")


def test_the_official_example_of_a_debit_is_accepted() -> None:
    official = specs.load("razorpay", "mocks", "init_create_recurring.json")
    assert judged("POST", CHARGE, official) == []


def test_a_second_connector_sends_the_same_shapes() -> None:
    """What another open connector was seen to send for capture, refund and look-up."""
    golden = specs.load("thirdparty", "juspay-golden-requests.json")["razorpayv2"]
    order = json.loads(golden["create_order/default"]["body"])
    assert judged("POST", "/v1/orders", order) == []
    for name in ("refund/default", "get/default"):
        call = golden[name]
        path = call["url"].removeprefix("https://api.razorpay.com")
        path = path.replace("probe_connector_txn_001", PAYMENT_ID)
        body = json.loads(call["body"]) if call["body"] else None
        if body is not None:
            assert judged(call["method"].upper(), path, body) == []
