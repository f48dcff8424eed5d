"""The fake's own books: what there is, what is due by its clock, and what really moved.

Time is the machine's, plus whatever `advance` added. An order with a notice tells the customer at
once; a payment on it is refused until the notice is 36 hours 5 minutes (cards) or 25 hours (UPI)
old, and before `payment_after`. Payments are debited `settle_seconds` after they were created.
"""

import heapq
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.clock import SystemClock

CARD_NOTICE = 36 * 3600 + 300
UPI_NOTICE = 25 * 3600
CAPTURE_WITHIN = 3 * 86_400
LATE_AFTER = 2 * 86_400
NAME = re.compile(r"[A-Za-z0-9 .'/@()]{3,50}")
"""razorpay.com/docs, customers, create."""
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789"
ACCOUNT = "acc_FakeMerchant01"


def real() -> float:
    return SystemClock().now().timestamp()


class Refused(Exception):
    """A request that Razorpay turns down, in its own words."""

    def __init__(
        self,
        description: str,
        *,
        reason: str = "input_validation_failed",
        status: int = 400,
        field: str | None = None,
        payment_id: str | None = None,
        code: str = "BAD_REQUEST_ERROR",
    ) -> None:
        super().__init__(description)
        self.status = status
        self.body = {
            "error": {
                "code": code,
                "description": description,
                "source": "business",
                "step": "payment_initiation",
                "reason": reason,
                "metadata": {"payment_id": payment_id} if payment_id else {},
                **({"field": field} if field else {}),
            }
        }


@dataclass
class Books:
    """Everything the fake knows; one thread touches it."""

    settle_seconds: float = 0.0
    tells_customers: bool = True
    """Whether notices are delivered."""
    unlisted_seconds: int = 0
    """How old an order is before the list of orders shows it."""
    offset: float = 0.0
    customers: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    disputes: dict[str, dict[str, Any]] = field(default_factory=dict)
    behaviours: dict[str, str] = field(default_factory=dict)
    """Token → what a charge on it does."""
    keys: dict[str, tuple[Any, str]] = field(default_factory=dict)
    """Idempotency key of a refund → the request and the refund."""
    moved: list[dict[str, Any]] = field(default_factory=list)
    """Money, one entry each time it moved: nothing here is ever taken back."""
    events: list[dict[str, Any]] = field(default_factory=list)
    due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    counter: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    # ── time ──────────────────────────────────────────────────────────────────────────────────────

    def now(self) -> float:
        return real() + self.offset

    def seconds(self) -> int:
        return int(self.now())

    def at(self, moment: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self.due, (moment, next(self.counter), happen))

    def catch_up(self) -> None:
        """Whatever is due by now happens, in its order."""
        while self.due and self.due[0][0] <= self.now():
            heapq.heappop(self.due)[2]()

    def advance(self, seconds: float) -> None:
        """Time passes: each thing that becomes due on the way sees its own moment."""
        target = self.now() + seconds
        while self.due and self.due[0][0] <= target:
            moment, _, happen = heapq.heappop(self.due)
            self.offset = max(self.offset, moment - real())
            happen()
        self.offset = target - real()

    def id(self, prefix: str) -> str:
        number, text = next(self.counter), ""
        while number:
            number, place = divmod(number, len(ALPHABET))
            text = ALPHABET[place] + text
        return f"{prefix}_{'Fk' + text.rjust(12, '0')}"

    # ── what is told ──────────────────────────────────────────────────────────────────────────────

    def tell(self, event: str, **entities: dict[str, Any]) -> None:
        self.events.append(
            {
                "entity": "event",
                "account_id": ACCOUNT,
                "event": event,
                "contains": list(entities),
                "payload": {name: {"entity": dict(one)} for name, one in entities.items()},
                "created_at": self.seconds(),
            }
        )

    # ── customers and tokens ──────────────────────────────────────────────────────────────────────

    def customer(self, body: dict[str, Any]) -> dict[str, Any]:
        name = body.get("name")
        if name is not None and not NAME.fullmatch(name):
            raise Refused("The name format is invalid.", field="name")
        if len(body.get("email") or "") > 64 or len(body.get("contact") or "") > 15:
            raise Refused("It is too long.")
        same = [
            one
            for one in self.customers.values()
            if (one["email"], one["contact"]) == (body.get("email"), body.get("contact"))
        ]
        if same and body.get("fail_existing") != "0":
            raise Refused("Customer already exists for the merchant")
        if same:
            return same[0]
        made = {
            "id": self.id("cust"),
            "entity": "customer",
            "name": body.get("name"),
            "email": body.get("email"),
            "contact": body.get("contact"),
            "gstin": None,
            "notes": body.get("notes") or [],
            "created_at": self.seconds(),
        }
        self.customers[made["id"]] = made
        return made

    def token(self, customer_id: str, method: str, behaviour: str, **more: Any) -> dict[str, Any]:
        """A payment method that is kept."""
        card = {
            "entity": "card",
            "name": "Gaurav Kumar",
            "last4": "4366",
            "network": "Visa",
            "type": "credit",
            "issuer": "UTIB",
            "international": False,
            "emi": True,
            "sub_type": "consumer",
            "token_iin": None,
            "expiry_month": 12,
            "expiry_year": 2031,
            "flows": {"otp": True, "recurring": True},
        }
        made = {
            "id": self.id("token"),
            "entity": "token",
            "token": self.id("t")[2:],
            "bank": "HDFC" if method == "emandate" else None,
            "wallet": None,
            "method": method,
            **({"card": card} if method == "card" else {}),
            "recurring": True,
            "recurring_details": {"status": "confirmed", "failure_reason": None},
            "auth_type": None,
            "mrn": None,
            "used_at": self.seconds(),
            "created_at": self.seconds(),
            "expired_at": self.seconds() + 10 * 365 * 86_400,
            "notes": [],
            "dcc_enabled": False,
            **more,
        }
        self.tokens[made["id"]] = made | {"customer_id": customer_id}
        self.behaviours[made["id"]] = behaviour
        return self.tokens[made["id"]]

    def held(self, customer_id: str, token_id: str) -> dict[str, Any]:
        token = self.tokens.get(token_id)
        if token is None or token["customer_id"] != customer_id or token.get("deleted"):
            raise Refused("The id provided does not exist")
        return token

    def stand(self, token_id: str, status: str, why: str | None = None) -> None:
        """The customer or their bank changes a mandate."""
        token = self.tokens[token_id]
        token["recurring_details"] = {"status": status, "failure_reason": why}
        self.tell(f"token.{status}", token=public_token(token))

    # ── orders ────────────────────────────────────────────────────────────────────────────────────

    def order(self, body: dict[str, Any]) -> dict[str, Any]:
        least = 0 if body.get("method") in {"emandate", "nach"} else 100
        if body["amount"] < least:
            raise Refused("The amount must be at least INR 1.00", field="amount")
        notice = body.get("notification")
        if notice is not None:
            if self.tokens.get(notice["token_id"], {"deleted": True}).get("deleted"):
                raise Refused("The id provided does not exist")
            notice = {
                **notice,
                "id": self.id("notification"),
                "status": "delivered" if self.tells_customers else "failed",
                "delivered_at": self.seconds(),
            }
        if body.get("customer_id") and body["customer_id"] not in self.customers:
            raise Refused("The id provided does not exist")
        made = {
            "id": self.id("order"),
            "entity": "order",
            "amount": body["amount"],
            "amount_paid": 0,
            "amount_due": body["amount"],
            "currency": body["currency"],
            "receipt": body.get("receipt"),
            "offer_id": None,
            "status": "created",
            "attempts": 0,
            "notes": body.get("notes") or [],
            "created_at": self.seconds(),
        }
        for name in ("customer_id", "method", "token"):
            if body.get(name) is not None:
                made[name] = body[name]
        if notice is not None:
            made["notification"] = notice
        self.orders[made["id"]] = made | {"captures": body.get("payment_capture", True)}
        if notice is not None:
            told = {name: notice.get(name) for name in ("id", "token_id", "payment_after")}
            entity = {**told, "entity": "notification", "order_id": made["id"]}
            entity |= {name: notice[name] for name in ("status", "delivered_at")}
            self.tell(f"order.notification.{notice['status']}", notification=entity)
        return self.orders[made["id"]]

    def found(self, kind: str, id: str) -> dict[str, Any]:
        held: dict[str, dict[str, Any]] = getattr(self, kind)
        if id not in held:
            raise Refused("The id provided does not exist")
        return held[id]

    # ── payments ──────────────────────────────────────────────────────────────────────────────────

    def payment(self, order: dict[str, Any], body: dict[str, Any], method: str) -> dict[str, Any]:
        made = {
            "id": self.id("pay"),
            "entity": "payment",
            "amount": order["amount"],
            "currency": order["currency"],
            "status": "created",
            "order_id": order["id"],
            "invoice_id": None,
            "international": False,
            "method": method,
            "amount_refunded": 0,
            "refund_status": None,
            "captured": False,
            "description": body.get("description"),
            "card_id": None,
            "bank": None,
            "wallet": None,
            "vpa": "gaurav.kumar@exampleupi" if method == "upi" else None,
            "email": body.get("email"),
            "contact": body.get("contact"),
            "customer_id": body.get("customer_id"),
            "token_id": body.get("token"),
            "notes": body.get("notes") or [],
            "fee": None,
            "tax": None,
            "error_code": None,
            "error_description": None,
            "error_source": None,
            "error_step": None,
            "error_reason": None,
            "acquirer_data": {},
            "created_at": self.seconds(),
        }
        self.payments[made["id"]] = made
        order["attempts"] += 1
        if order["status"] == "created":
            order["status"] = "attempted"
        return made

    def succeed(self, payment: dict[str, Any], *, holds: bool = False) -> None:
        """The bank pays. One success an order: another one is given back at once."""
        order = self.orders[payment["order_id"]]
        payment |= {"status": "authorized", "acquirer_data": {"rrn": f"{next(self.counter):012}"}}
        for name in ("code", "description", "source", "step", "reason"):
            payment[f"error_{name}"] = None
        self.tell("payment.authorized", payment=payment)
        if order["status"] == "paid":
            payment |= {"status": "refunded", "refund_status": "full"}
            payment["amount_refunded"] = payment["amount"]
        elif holds or not order["captures"]:
            self.at(self.now() + CAPTURE_WITHIN, lambda: self.release(payment))
        else:
            self.capture(payment)

    def capture(self, payment: dict[str, Any]) -> None:
        order = self.orders[payment["order_id"]]
        fee = payment["amount"] // 50
        payment |= {"status": "captured", "captured": True, "fee": fee, "tax": fee * 18 // 118}
        order |= {"status": "paid", "amount_paid": payment["amount"], "amount_due": 0}
        if payment["amount"]:
            self.moved.append(
                {
                    "kind": "charge",
                    "id": payment["id"],
                    "reference": order["receipt"],
                    "amount": payment["amount"],
                    "currency": payment["currency"],
                    "created_at": payment["created_at"],
                }
            )
        self.tell("payment.captured", payment=payment)
        self.tell("order.paid", payment=payment, order=public_order(order))

    def release(self, payment: dict[str, Any]) -> None:
        """Nobody captured it: it goes back by itself."""
        if payment["status"] == "authorized":
            payment |= {"status": "refunded", "refund_status": "full"}
            payment["amount_refunded"] = payment["amount"]

    def fail(self, payment: dict[str, Any], reason: str) -> None:
        payment |= {
            "status": "failed",
            "error_code": "SERVER_ERROR" if reason == "server_error" else "BAD_REQUEST_ERROR",
            "error_description": "Your payment could not be completed.",
            "error_source": "customer",
            "error_step": "payment_authorization",
            "error_reason": reason,
        }
        self.tell("payment.failed", payment=payment)


def public_order(order: dict[str, Any]) -> dict[str, Any]:
    """As it is shown."""
    return {name: value for name, value in order.items() if name != "captures"}


def public_token(token: dict[str, Any]) -> dict[str, Any]:
    """As it is shown."""
    return {name: value for name, value in token.items() if name not in {"customer_id", "deleted"}}
