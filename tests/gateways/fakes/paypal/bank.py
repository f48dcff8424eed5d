"""What PayPal does when it is asked: every operation of its API that the adapter uses."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.gateways.fakes.paypal import show
from tests.gateways.fakes.paypal.behaviour import behaviour_of
from tests.gateways.fakes.paypal.books import (
    APPROVAL_LASTS,
    HOLD_LASTS,
    HONORED_FOR,
    PENDING_SECONDS,
    WHOLE,
    Books,
    Order,
    Payment,
    Refused,
    Setup,
    Token,
    amount_of,
    new_id,
)

ORDERS_LAST = timedelta(hours=6)
PAYMENTS_LAST = timedelta(days=45)
VAULT_LASTS = timedelta(hours=3)
FEE = Decimal("0.03")
Body = dict[str, Any]
Answer = tuple[int, Body | None]


class Bank:
    """PayPal's business."""

    def __init__(self, books: Books) -> None:
        self.books = books

    # ── orders ────────────────────────────────────────────────────────────────────────────────────

    def create_order(self, body: Body, request_id: str | None, copies: int = 1) -> Answer:
        """POST /v2/checkout/orders: with a vaulted token it is taken, or held, at once."""
        if request_id is None:
            raise Refused(400, "PAYPAL_REQUEST_ID_REQUIRED")
        known = self.books.recall("orders", request_id, ORDERS_LAST)
        if known is not None:
            return 200, self.shown(*known)
        unit = body["purchase_units"][0]
        value, currency = amount_of(unit["amount"])
        [(source, given)] = body["payment_source"].items()
        token, behaviour = self._token(source, given["vault_id"])
        if "issue" in behaviour:
            raise Refused(
                403 if behaviour["issue"] == "PERMISSION_DENIED" else 422, behaviour["issue"]
            )
        self._check_invoice(unit.get("invoice_id"))
        order = None
        for _ in range(copies):
            order = Order(
                new_id(),
                body["intent"],
                "COMPLETED",
                value,
                currency,
                self.books.now(),
                source,
                token,
                unit.get("invoice_id"),
                unit.get("custom_id"),
                unit.get("description"),
                behaviour,
            )
            self.books.orders[order.id] = order
            if behaviour.get("requires_action"):
                order.status = "PAYER_ACTION_REQUIRED"
            else:
                self._pay(order)
        assert order is not None
        self.books.remember("orders", request_id, "order", order.id)
        return 201, self.shown("order", order.id)

    def _token(self, source: str, token: str) -> tuple[str, Body]:
        magic = behaviour_of(token)
        kind = {"card": "card", "wallet": "paypal"}.get(token.partition("-")[0])
        if magic is None:
            known = self.books.tokens.get(token)
            if known is None:
                raise Refused(404, "INVALID_RESOURCE_ID")
            magic, kind = known.behaviour, known.kind
        if kind != source:
            raise Refused(422, "MISMATCHED_VAULT_ID_TO_PAYMENT_SOURCE")
        if source == "card" and not self.books.settings.card_processing:
            raise Refused(422, "NOT_ENABLED_FOR_CARD_PROCESSING")
        return token, magic

    def _check_invoice(self, invoice_id: str | None) -> None:
        """A second payment with one invoice id is refused, as accounts are set up at first."""
        live = {"COMPLETED", "PENDING", "REFUNDED", "PARTIALLY_REFUNDED"}
        used = any(
            p.invoice_id == invoice_id and p.kind == "capture" and p.status in live
            for p in self.books.payments.values()
        )
        if invoice_id and used and self.books.settings.invoice_ids_unique:
            raise Refused(422, "DUPLICATE_INVOICE_ID")

    def _pay(self, order: Order) -> Payment:
        if order.intent == "AUTHORIZE":
            return self._hold(order)
        return self._capture(order, order.amount, order.behaviour)

    def _capture(
        self, order: Order, value: Decimal, behaviour: Body, of: str | None = None
    ) -> Payment:
        now = self.books.now()
        one = Payment(new_id(), "capture", order.id, "COMPLETED", value, order.currency, now, of=of)
        one.invoice_id, one.custom_id = order.invoice_id, order.custom_id
        one.behaviour = behaviour
        one.fee = (value * FEE).quantize(Decimal(1 if order.currency in WHOLE else "0.01"))
        if order.source == "card":
            one.network_id = f"4711{one.id[:11]}"
            one.processor = {"response_code": "0000"}
        if behaviour.get("declined"):
            one.status, one.reason = "DECLINED", behaviour.get("reason")
            one.processor = behaviour.get("processor")
        elif "pending" in behaviour:
            one.status, one.reason = "PENDING", behaviour["pending"]
            if "settles_to" in behaviour:
                one.settles_at = now + timedelta(seconds=PENDING_SECONDS)
                one.settles_to = behaviour["settles_to"]
        self.books.payments[one.id] = one
        return one

    def _hold(self, order: Order) -> Payment:
        one = Payment(
            new_id(),
            "authorization",
            order.id,
            "CREATED",
            order.amount,
            order.currency,
            self.books.now(),
            order.invoice_id,
            order.custom_id,
        )
        behaviour = order.behaviour
        if order.source == "card":
            one.network_id = f"4711{one.id[:11]}"
        if behaviour.get("hold_pending"):
            one.status = "PENDING"
        if behaviour.get("hold_denied") or behaviour.get("declined"):
            one.status, one.processor = "DENIED", behaviour.get("processor")
        self.books.payments[one.id] = one
        return one

    def get_order(self, order: str) -> Answer:
        return 200, self.shown("order", order)

    def take_order(self, order_id: str, request_id: str | None, wanted: str) -> Answer:
        """POST …/capture and …/authorize of an order that its customer has approved."""
        known = self.books.recall("orders", request_id or "", ORDERS_LAST)
        if known is not None:
            return 200, self.shown(*known)
        order = self._order(order_id)
        if self.books.of(order_id, "capture"):
            raise Refused(422, "ORDER_ALREADY_CAPTURED")
        if self.books.of(order_id, "authorization"):
            raise Refused(422, "ORDER_ALREADY_AUTHORIZED")
        if order.status != "APPROVED" or order.created + 2 * APPROVAL_LASTS < self.books.now():
            raise Refused(422, "ORDER_NOT_APPROVED")
        if order.intent != wanted:
            raise Refused(422, "ACTION_DOES_NOT_MATCH_INTENT")
        self._check_invoice(order.invoice_id)
        self._pay(order)
        order.status = "COMPLETED"
        if request_id is not None:
            self.books.remember("orders", request_id, "order", order.id)
        return 201, self.shown("order", order.id)

    def patch_order(self, order_id: str, changes: list[Body]) -> Answer:
        """PATCH of an order that is not completed; of its members only the custom id."""
        order = self._order(order_id)
        if order.status == "COMPLETED":
            raise Refused(422, "ORDER_ALREADY_COMPLETED")
        for change in changes:
            if change["path"] != "/purchase_units/@reference_id=='default'/custom_id":
                raise Refused(422, "NOT_PATCHABLE")
            order.custom_id = change["value"]
        return 204, None

    def _order(self, order: str) -> Order:
        known = self.books.orders.get(order)
        if known is None:
            raise Refused(404, "INVALID_RESOURCE_ID")
        return known

    # ── payments ──────────────────────────────────────────────────────────────────────────────────

    def payment(self, kind: str, own_id: str) -> Payment:
        one = self.books.payments.get(own_id)
        if one is None or one.kind != kind:
            raise Refused(404, "INVALID_RESOURCE_ID")
        return one

    def get_payment(self, kind: str, own_id: str) -> Answer:
        self.payment(kind, own_id)
        return 200, self.shown(kind, own_id)

    def capture_held(self, own_id: str, body: Body, request_id: str | None) -> Answer:
        known = self.books.recall("payments", request_id or "", PAYMENTS_LAST)
        if known is not None:
            return 201, self.shown(*known)
        held = self.payment("authorization", own_id)
        self._check_held(held)
        value, currency = amount_of(body["amount"])
        if currency != held.currency:
            raise Refused(422, "AUTH_CAPTURE_CURRENCY_MISMATCH")
        if value > held.amount:
            raise Refused(422, "MAX_CAPTURE_AMOUNT_EXCEEDED")
        order = self.books.orders[held.order]
        lapsed = held.renewal_of is None and held.created + HONORED_FOR < self.books.now()
        if "capture_issue" in order.behaviour and lapsed:
            raise Refused(422, order.behaviour["capture_issue"])
        captured = self._capture(order, value, order.behaviour, held.id)
        if captured.status in {"COMPLETED", "PENDING"}:
            held.status = "CAPTURED" if value == held.amount else "PARTIALLY_CAPTURED"
        if request_id is not None:
            self.books.remember("payments", request_id, "capture", captured.id)
        return 201, self.shown("capture", captured.id)

    def _check_held(self, held: Payment) -> None:
        issues = {
            "VOIDED": "AUTHORIZATION_VOIDED",
            "DENIED": "AUTHORIZATION_DENIED",
            "CAPTURED": "AUTHORIZATION_ALREADY_CAPTURED",
            "PARTIALLY_CAPTURED": "AUTHORIZATION_ALREADY_CAPTURED",
        }
        if held.status in issues:
            raise Refused(422, issues[held.status])
        if held.created + HOLD_LASTS < self.books.now():
            raise Refused(422, "AUTHORIZATION_EXPIRED")

    def reauthorize(self, own_id: str, body: Body, request_id: str | None) -> Answer:
        """A second hold in place of the first, once, from the fourth day on."""
        known = self.books.recall("payments", request_id or "", PAYMENTS_LAST)
        if known is not None:
            return 201, self.shown(*known)
        held = self.payment("authorization", own_id)
        self._check_held(held)
        order = self.books.orders[held.order]
        early = held.created + HONORED_FOR > self.books.now()
        if held.renewal_of or early or not order.behaviour.get("renewable", True):
            raise Refused(422, "REAUTHORIZATION_NOT_SUPPORTED")
        value, _ = amount_of(body["amount"])
        renewed = self._hold(order)
        renewed.amount, renewed.renewal_of = value, held.id
        held.status = "VOIDED"
        if request_id is not None:
            self.books.remember("payments", request_id, "authorization", renewed.id)
        return 201, self.shown("authorization", renewed.id)

    def void(self, own_id: str) -> Answer:
        held = self.payment("authorization", own_id)
        if held.status == "VOIDED":
            raise Refused(422, "PREVIOUSLY_VOIDED")
        if held.status in {"CAPTURED", "PARTIALLY_CAPTURED"}:
            raise Refused(422, "PREVIOUSLY_CAPTURED")
        held.status = "VOIDED"
        return 200, self.shown("authorization", held.id)

    def refund(self, own_id: str, body: Body, request_id: str | None) -> Answer:
        known = self.books.recall("payments", request_id or "", PAYMENTS_LAST)
        if known is not None:
            return 201, self.shown(*known)
        taken = self.payment("capture", own_id)
        left = taken.amount - self.books.refunded(own_id)
        value, currency = amount_of(body["amount"]) if "amount" in body else (left, taken.currency)
        exceeded = "REFUND_AMOUNT_EXCEEDED" if left else "CAPTURE_FULLY_REFUNDED"
        reasons = [
            (taken.status == "PENDING", "PENDING_CAPTURE"),
            (taken.status in {"DECLINED", "FAILED"}, "REFUND_NOT_ALLOWED"),
            (currency != taken.currency, "REFUND_CAPTURE_CURRENCY_MISMATCH"),
            (value > left, exceeded),
            ("refund_issue" in taken.behaviour, taken.behaviour.get("refund_issue")),
        ]
        issue = next((issue for applies, issue in reasons if applies), None)
        if issue is not None:
            raise Refused(422, issue)
        one = Payment(
            new_id(),
            "refund",
            taken.order,
            taken.behaviour.get("refund", "COMPLETED"),
            value,
            currency,
            self.books.now(),
            body.get("invoice_id", taken.invoice_id),
            body.get("custom_id", taken.custom_id),
            of=own_id,
        )
        if one.status == "PENDING":
            one.settles_to = "COMPLETED"
            one.settles_at = self.books.now() + timedelta(seconds=PENDING_SECONDS)
        self.books.payments[one.id] = one
        if one.status != "FAILED":
            whole = self.books.refunded(own_id) == taken.amount
            taken.status = "REFUNDED" if whole else "PARTIALLY_REFUNDED"
        if request_id is not None:
            self.books.remember("payments", request_id, "refund", one.id)
        return 201, self.shown("refund", one.id)

    # ── the vault ─────────────────────────────────────────────────────────────────────────────────

    def create_setup(self, body: Body, request_id: str | None) -> Answer:
        if request_id is None:
            raise Refused(400, "MISSING_REQUIRED_PARAMETER")
        known = self.books.recall("vault", request_id, VAULT_LASTS)
        if known is not None:
            return 200, self.shown(*known)
        [(kind, source)] = body["payment_source"].items()
        context = source["experience_context"]
        one = Setup(
            new_id(),
            kind,
            self._customer(body.get("customer", {})),
            "PAYER_ACTION_REQUIRED",
            self.books.now(),
            context["return_url"],
            context["cancel_url"],
            request=body,
        )
        self.books.setups[one.id] = one
        self.books.remember("vault", request_id, "setup", one.id)
        return 201, self.shown("setup", one.id)

    def _customer(self, said: Body) -> str:
        if "id" in said:
            return str(said["id"])
        ours = said.get("merchant_customer_id", new_id())
        return self.books.customers.setdefault(ours, new_id()[:10])

    def get_setup(self, own_id: str) -> Answer:
        self._setup(own_id)
        return 200, self.shown("setup", own_id)

    def _setup(self, own_id: str) -> Setup:
        known = self.books.setups.get(own_id)
        if known is None or known.created + timedelta(days=3) < self.books.now():
            raise Refused(404, "INVALID_RESOURCE_ID")
        return known

    def create_token(self, body: Body, request_id: str | None) -> Answer:
        if request_id is None:
            raise Refused(400, "MISSING_REQUIRED_PARAMETER")
        known = self.books.recall("vault", request_id, VAULT_LASTS)
        if known is not None and not self.books.settings.vault_repeats:
            raise Refused(422, "PAYPAL_REQUEST_ID_PREVIOUSLY_USED")
        if known is not None:
            return 200, self.shown(*known)
        setup = self._setup(body["payment_source"]["token"]["id"])
        if setup.status != "APPROVED":
            raise Refused(422, "TOKEN_NOT_APPROVED")
        if setup.declines:
            raise Refused(422, "INSTRUMENT_DECLINED")
        one = Token(new_id().lower(), setup.kind, setup.customer)
        setup.status, setup.token = "VAULTED", one.id
        self.books.tokens[one.id] = one
        self.books.remember("vault", request_id, "token", one.id)
        return 201, self.shown("token", one.id)

    def get_token(self, own_id: str) -> Answer:
        magic = behaviour_of(own_id)
        if magic is None and own_id not in self.books.tokens:
            raise Refused(404, "INVALID_RESOURCE_ID")
        return 200, self.shown("token", own_id)

    def list_tokens(self, customer: str) -> Answer:
        tokens = [show.token(t) for t in self.books.tokens.values() if t.customer == customer]
        return 200, {"customer": {"id": customer}, "payment_tokens": tokens}

    def delete_token(self, own_id: str) -> Answer:
        self.books.tokens.pop(own_id, None)
        return 204, None

    # ── everything as it is shown ─────────────────────────────────────────────────────────────────

    def shown(self, kind: str, own_id: str) -> Body:
        """An object as it is now: what a repeated request id is answered with as well."""
        self.books.settle()
        match kind:
            case "order":
                return show.order(self.books, self._order(own_id))
            case "capture":
                return show.capture(self.books, self.payment(kind, own_id))
            case "authorization":
                return show.authorization(self.payment(kind, own_id))
            case "refund":
                return show.refund(self.books, self.payment(kind, own_id))
            case "setup":
                return show.setup(self.books.setups[own_id])
            case "token" if own_id in self.books.tokens:
                return show.token(self.books.tokens[own_id])
            case _:
                kind = "card" if own_id.startswith("card") else "paypal"
                return show.token(Token(own_id, kind, "MAGIC"))


Handler = Callable[..., Answer]
OWN = "([^/]+)"
ROUTES: list[tuple[str, re.Pattern[str], str]] = [
    ("POST", re.compile("/v2/checkout/orders"), "orders.create"),
    ("GET", re.compile(f"/v2/checkout/orders/{OWN}"), "orders.get"),
    ("PATCH", re.compile(f"/v2/checkout/orders/{OWN}"), "orders.patch"),
    ("POST", re.compile(f"/v2/checkout/orders/{OWN}/capture"), "orders.capture"),
    ("POST", re.compile(f"/v2/checkout/orders/{OWN}/authorize"), "orders.authorize"),
    ("GET", re.compile(f"/v2/payments/captures/{OWN}"), "captures.get"),
    ("POST", re.compile(f"/v2/payments/captures/{OWN}/refund"), "captures.refund"),
    ("GET", re.compile(f"/v2/payments/authorizations/{OWN}"), "authorizations.get"),
    ("POST", re.compile(f"/v2/payments/authorizations/{OWN}/capture"), "authorizations.capture"),
    (
        "POST",
        re.compile(f"/v2/payments/authorizations/{OWN}/reauthorize"),
        "authorizations.reauthorize",
    ),
    ("POST", re.compile(f"/v2/payments/authorizations/{OWN}/void"), "authorizations.void"),
    ("GET", re.compile(f"/v2/payments/refunds/{OWN}"), "refunds.get"),
    ("POST", re.compile("/v3/vault/setup-tokens"), "setup_tokens.create"),
    ("GET", re.compile(f"/v3/vault/setup-tokens/{OWN}"), "setup_tokens.get"),
    ("POST", re.compile("/v3/vault/payment-tokens"), "payment_tokens.create"),
    ("GET", re.compile("/v3/vault/payment-tokens"), "payment_tokens.list"),
    ("GET", re.compile(f"/v3/vault/payment-tokens/{OWN}"), "payment_tokens.get"),
    ("DELETE", re.compile(f"/v3/vault/payment-tokens/{OWN}"), "payment_tokens.delete"),
    ("GET", re.compile("/v1/reporting/transactions"), "reporting.transactions"),
    ("GET", re.compile("/v1/customer/disputes"), "disputes.list"),
    ("GET", re.compile(f"/v1/customer/disputes/{OWN}"), "disputes.get"),
    ("POST", re.compile("/v1/notifications/verify-webhook-signature"), "webhooks.verify"),
]


def route(method: str, path: str) -> tuple[str, tuple[str, ...]] | None:
    """The operation that a request asks for."""
    for verb, pattern, operation in ROUTES:
        match = pattern.fullmatch(path)
        if verb == method and match is not None:
            return operation, match.groups()
    return None


def parsed(text: str) -> datetime:
    return datetime.fromisoformat(text)
