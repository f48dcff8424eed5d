"""The fake's objects as PayPal shows them."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.gateways.fakes.paypal.books import (
    HOLD_LASTS,
    Books,
    Order,
    Payment,
    Setup,
    Token,
    money,
    shown,
)

API = "https://api-m.sandbox.paypal.com"


def link(path: str, rel: str, method: str = "GET") -> dict[str, str]:
    return {"href": f"{API}{path}", "rel": rel, "method": method}


def present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def capture(books: Books, one: Payment, *, within: bool = False) -> dict[str, Any]:
    """A capture; `within` an order it does not say which."""
    path = f"/v2/payments/captures/{one.id}"
    up = f"/v2/payments/authorizations/{one.of}" if one.of else f"/v2/checkout/orders/{one.order}"
    fees = {
        "gross_amount": money(one.amount, one.currency),
        "paypal_fee": money(one.fee, one.currency),
        "net_amount": money(one.amount - one.fee, one.currency),
    }
    moved = one.status in {"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"}
    related = present(order_id=one.order, authorization_id=one.of)
    network = {"id": one.network_id, "network": "VISA"} if one.network_id else None
    return present(
        id=one.id,
        status=one.status,
        status_details={"reason": one.reason} if one.reason else None,
        amount=money(one.amount, one.currency),
        invoice_id=one.invoice_id,
        custom_id=one.custom_id,
        final_capture=True,
        network_transaction_reference=network if moved else None,
        processor_response=one.processor,
        seller_protection={"status": "NOT_ELIGIBLE"},
        seller_receivable_breakdown=fees if moved else None,
        links=[link(path, "self"), link(f"{path}/refund", "refund", "POST"), link(up, "up")],
        supplementary_data=None if within else {"related_ids": related},
        create_time=shown(one.created),
        update_time=shown(one.created),
    )


def authorization(one: Payment, *, within: bool = False) -> dict[str, Any]:
    path = f"/v2/payments/authorizations/{one.id}"
    order = link(f"/v2/checkout/orders/{one.order}", "up")
    return present(
        id=one.id,
        status=one.status,
        amount=money(one.amount, one.currency),
        invoice_id=one.invoice_id,
        custom_id=one.custom_id,
        network_transaction_reference={"id": one.network_id} if one.network_id else None,
        processor_response=one.processor if within else None,
        seller_protection={"status": "NOT_ELIGIBLE"},
        expiration_time=shown(one.created + HOLD_LASTS),
        links=[link(path, "self"), link(f"{path}/capture", "capture", "POST"), order],
        supplementary_data=None if within else {"related_ids": {"order_id": one.order}},
        create_time=shown(one.created),
        update_time=shown(one.created),
    )


def refund(books: Books, one: Payment) -> dict[str, Any]:
    assert one.of is not None
    return present(
        id=one.id,
        status=one.status,
        status_details={"reason": "ECHECK"} if one.status == "PENDING" else None,
        amount=money(one.amount, one.currency),
        invoice_id=one.invoice_id,
        custom_id=one.custom_id,
        seller_payable_breakdown={
            "gross_amount": money(one.amount, one.currency),
            "paypal_fee": money(Decimal(0), one.currency),
            "net_amount": money(one.amount, one.currency),
            "total_refunded_amount": money(books.refunded(one.of), one.currency),
        },
        links=[
            link(f"/v2/payments/refunds/{one.id}", "self"),
            link(f"/v2/payments/captures/{one.of}", "up"),
        ],
        create_time=shown(one.created),
        update_time=shown(one.created),
    )


def order(books: Books, one: Order) -> dict[str, Any]:
    path = f"/v2/checkout/orders/{one.id}"
    payments = present(
        captures=[capture(books, p, within=True) for p in books.of(one.id, "capture")] or None,
        authorizations=[authorization(p, within=True) for p in books.of(one.id, "authorization")]
        or None,
        refunds=[refund(books, p) for p in books.of(one.id, "refund")] or None,
    )
    card = {"brand": "VISA", "last_digits": "1111"}
    links = [link(path, "self")]
    if one.status == "PAYER_ACTION_REQUIRED":
        page = f"https://www.sandbox.paypal.com/checkoutnow?token={one.id}"
        links.append({"href": page, "rel": "payer-action", "method": "GET"})
    unit = present(
        reference_id="default",
        amount=money(one.amount, one.currency),
        invoice_id=one.invoice_id,
        custom_id=one.custom_id,
        description=one.description,
        payments=payments or None,
    )
    return present(
        id=one.id,
        intent=one.intent,
        status=one.status,
        payment_source={one.source: card if one.source == "card" else {}},
        purchase_units=[unit],
        links=links,
        create_time=shown(one.created),
        update_time=shown(one.created + timedelta(seconds=1)),
    )


def setup(one: Setup) -> dict[str, Any]:
    path = f"/v3/vault/setup-tokens/{one.id}"
    page = f"https://www.sandbox.paypal.com/agreements/approve?approval_session_id={one.id}"
    links = [link(path, "self")]
    if one.status == "PAYER_ACTION_REQUIRED":
        links.append({"href": page, "rel": "approve", "method": "GET"})
    return {
        "id": one.id,
        "status": one.status,
        "customer": {"id": one.customer},
        "payment_source": {one.kind: {}},
        "links": links,
    }


def token(one: Token) -> dict[str, Any]:
    path = f"/v3/vault/payment-tokens/{one.id}"
    source: dict[str, Any] = {
        "paypal": {
            "usage_type": "MERCHANT",
            "customer_type": "CONSUMER",
            "email_address": "payer@example.com",
            "payer_id": "QYR5Z8XDVJNXQ",
            "name": {"given_name": "John", "surname": "Doe"},
        },
        "card": {
            "name": "John Doe",
            "brand": "VISA",
            "last_digits": "1111",
            "expiry": "2031-02",
        },
    }
    return {
        "id": one.id,
        "customer": {"id": one.customer},
        "payment_source": {one.kind: source[one.kind]},
        "links": [link(path, "self"), link(path, "delete", "DELETE")],
    }
