"""The fake answers as Razorpay does: its answers have the shape of the official examples."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from app.gateways.razorpay import RazorpayGateway
from app.gateways.razorpay.wire import redacted
from app.gateways.razorpay.words import Dispute, Order, Page, Payment, Refund, Token, read
from app.http import Answer
from tests.gateways import specs
from tests.gateways.fakes.razorpay.server import KEY_ID, SECRET
from tests.gateways.razorpay import RazorpayFake, charge_of, refund_of

ODD = {"card", "upi", "token", "method", "notification", "vpa", "bank_details", "max_amount"}
"""Fields that are there for some methods only."""


def examples(entity: str) -> Iterator[dict[str, Any]]:
    """Every official example of an entity, wherever it stands: alone, in lists, in deliveries."""
    sections = specs.load("razorpay", "sdk-doc-examples.json")
    mocks = [specs.load("razorpay", "mocks", path.name) for path in MOCKS]
    yield from _within([*sections.values(), *mocks], entity)


MOCKS = sorted((specs.FOLDER / "razorpay" / "mocks").glob("*.json"))


def _within(value: Any, entity: str) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("entity") == entity:
            yield value
        for inner in value.values():
            yield from _within(inner, entity)
    elif isinstance(value, list):
        for inner in value:
            yield from _within(inner, entity)


def kinds(found: list[dict[str, Any]]) -> dict[str, set[type]]:
    """Each field that examples show, with the types it was seen to have."""
    seen: dict[str, set[type]] = {}
    for one in found:
        for name, value in one.items():
            seen.setdefault(name.strip(), set()).add(type(value))
    return seen


async def everything(razorpay: RazorpayFake) -> dict[str, list[dict[str, Any]]]:
    """One of each, in each state, as the fake shows it."""
    gateway = RazorpayGateway(razorpay.account(options=razorpay.account().options | NO_NOTICE))
    customer = razorpay.customer()
    for behaviour in ("ok", "card_declined", "slow"):
        await gateway.charge(charge_of(customer, razorpay.token(customer, behaviour)))
    await gateway.charge(charge_of(customer, razorpay.token(customer), is_captured=False))
    paid = next(p for p in reversed(razorpay.ask("payments")) if p["status"] == "captured")
    await gateway.refund(refund_of(paid["id"], 1_000))
    dispute = razorpay.tell("dispute", payment_id=paid["id"])
    await gateway.aclose()
    auth = (KEY_ID, SECRET)

    def get(path: str) -> dict[str, Any]:
        answer = razorpay.client.get(path, auth=auth)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    tokens = [razorpay.token(customer, method=method) for method in ("card", "upi", "emandate")]
    return {
        "order": get("/v1/orders?count=100")["items"],
        "payment": get("/v1/payments?count=100")["items"],
        "refund": get("/v1/refunds?count=100")["items"],
        "token": [get(f"/v1/customers/{customer}/tokens/{token}") for token in tokens],
        "customer": [get(f"/v1/customers/{customer}")],
        "dispute": [get(f"/v1/disputes/{dispute['id']}")],
    }


NO_NOTICE = {"pre_debit_notice": "none"}


async def test_what_the_fake_shows_has_the_fields_and_types_of_the_official_examples(
    razorpay: RazorpayFake, anyio_backend: str
) -> None:
    shown = await everything(razorpay)
    for entity, found in shown.items():
        official = kinds(list(examples(entity)))
        for one in found:
            unknown = set(one) - set(official) - ODD
            assert not unknown, f"{entity}: no example shows {unknown}"
            for name in set(one) & set(official):
                seen = official[name]
                value = one[name]
                fits = value is None or type(value) in seen or seen == {type(None)}
                assert fits, f"{entity}.{name} is {value!r}; the examples show {seen}"


@pytest.mark.parametrize(
    ("entity", "model"),
    [
        ("order", Order),
        ("payment", Payment),
        ("refund", Refund),
        ("token", Token),
        ("dispute", Dispute),
    ],
)
def test_every_official_example_can_be_read(entity: str, model: type) -> None:
    found = [one for one in examples(entity) if "created_at" in one]
    assert found
    for one in found:
        assert read(model, Answer(200, {}, orjson.dumps(one))) is not None, one


def test_a_page_is_read_whole_or_not_at_all() -> None:
    body = b'{"entity":"collection","count":2,"items":[{"id":"pay_1"}]}'
    assert read(Page[Payment], Answer(200, {}, body)) is None


@pytest.mark.parametrize(
    "personal",
    ["gaurav.kumar@example.com", "gaurav@upi", "+91 98765 43210", "4111111111111111", "9876543210"],
)
def test_whatever_names_a_person_is_taken_out_of_what_razorpay_says(personal: str) -> None:
    said = redacted(f"The contact {personal} is invalid, try order_Ia5nABHSOWXg0Q again.")
    assert personal not in said
    assert "order_Ia5nABHSOWXg0Q" in said
