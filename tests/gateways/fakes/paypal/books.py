"""What the fake knows: orders, payments, tokens, disputes, and the request ids it remembers."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from app.clock import SystemClock

LETTERS = "0123456789ABCDEFGHJKLMNPRSTUVWXY"
WHOLE = {"HUF", "JPY", "TWD"}
CODES = "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD ILS MXN MYR NOK NZD PHP PLN SEK SGD THB USD"
CURRENCIES = WHOLE | set(CODES.split())
PENDING_SECONDS = 0.5
HOLD_LASTS = timedelta(days=29)
HONORED_FOR = timedelta(days=3)
APPROVAL_LASTS = timedelta(hours=3)


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, issue: str | None = None, **more: Any) -> None:
        super().__init__(issue)
        self.status = status
        self.issue = issue
        self.more = more


def new_id() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(17))


def money(amount: Decimal, currency: str) -> dict[str, str]:
    places = Decimal(1) if currency in WHOLE else Decimal("0.01")
    return {"currency_code": currency, "value": str(amount.quantize(places))}


def amount_of(said: dict[str, str]) -> tuple[Decimal, str]:
    """An amount that PayPal takes; anything else is refused."""
    value, currency = Decimal(said["value"]), said["currency_code"]
    if currency not in CURRENCIES:
        raise Refused(422, "INVALID_CURRENCY_CODE")
    if value <= 0:
        raise Refused(422, "CANNOT_BE_ZERO_OR_NEGATIVE")
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if -exponent > (0 if currency in WHOLE else 2):
        issue = "DECIMALS_NOT_SUPPORTED" if currency in WHOLE else "DECIMAL_PRECISION"
        raise Refused(422, issue)
    return value, currency


def shown(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Payment:
    """A capture, an authorization or a refund."""

    id: str
    kind: str
    order: str
    status: str
    amount: Decimal
    currency: str
    created: datetime
    invoice_id: str | None = None
    custom_id: str | None = None
    of: str | None = None
    """Of a refund its capture; of a capture its authorization."""
    reason: str | None = None
    processor: dict[str, str] | None = None
    network_id: str | None = None
    settles_at: datetime | None = None
    settles_to: str | None = None
    renewal_of: str | None = None
    fee: Decimal = Decimal(0)
    behaviour: dict[str, Any] = field(default_factory=dict)


@dataclass
class Order:
    """An order with its one purchase unit."""

    id: str
    intent: str
    status: str
    amount: Decimal
    currency: str
    created: datetime
    source: str
    token: str
    invoice_id: str | None = None
    custom_id: str | None = None
    description: str | None = None
    behaviour: dict[str, Any] = field(default_factory=dict)


@dataclass
class Setup:
    """A setup token."""

    id: str
    kind: str
    customer: str
    status: str
    created: datetime
    return_url: str
    cancel_url: str
    token: str | None = None
    declines: bool = False
    request: dict[str, Any] = field(default_factory=dict)


@dataclass
class Token:
    """A payment token."""

    id: str
    kind: str
    customer: str
    behaviour: dict[str, Any] = field(default_factory=dict)


@dataclass
class Settings:
    """What a test may turn."""

    reporting_delay_seconds: int = 0
    reporting_permitted: bool = True
    payments_permitted: bool = True
    """Whether the app may pay at all: asked at the door, before any request id is looked up."""
    invoice_ids_unique: bool = True
    answers_are_minimal: bool = False
    vault_repeats: bool = True
    """Whether a used request id is answered with its token, or refused as used; PayPal's pages say
    either (developer.paypal.com/api/payment-tokens/v3/errors/paypal_request_id_previously_used).
    """
    token_seconds: int = 32_400
    result_max: int = 10_000
    page_max: int = 500
    card_processing: bool = True


class Books:
    """Everything, in memory."""

    def __init__(self) -> None:
        self.offset = timedelta(0)
        self.settings = Settings()
        self.orders: dict[str, Order] = {}
        self.payments: dict[str, Payment] = {}
        self.setups: dict[str, Setup] = {}
        self.tokens: dict[str, Token] = {}
        self.customers: dict[str, str] = {}
        self.disputes: dict[str, dict[str, Any]] = {}
        self.rows: list[dict[str, Any]] = []
        self.remembered: dict[tuple[str, str], tuple[datetime, str, str]] = {}
        """(API, request id) → when, and which object it made."""

    def now(self) -> datetime:
        return SystemClock().now() + self.offset

    def settle(self) -> None:
        """What was pending long enough is decided."""
        now = self.now()
        for payment in self.payments.values():
            if payment.settles_at is not None and payment.settles_at <= now:
                assert payment.settles_to is not None
                payment.status, payment.settles_at = payment.settles_to, None
                payment.reason = None

    def recall(self, api: str, request_id: str, lasts: timedelta) -> tuple[str, str] | None:
        """Which object a request id made, while it is remembered."""
        known = self.remembered.get((api, request_id))
        if known is None or known[0] + lasts <= self.now():
            return None
        return known[1:]

    def remember(self, api: str, request_id: str, kind: str, id: str) -> None:
        self.remembered[api, request_id] = (self.now(), kind, id)

    def of(self, order: str, kind: str) -> list[Payment]:
        return [p for p in self.payments.values() if p.order == order and p.kind == kind]

    def refunds(self, capture: str) -> list[Payment]:
        return [p for p in self.payments.values() if p.of == capture and p.kind == "refund"]

    def refunded(self, capture: str) -> Decimal:
        """What of a capture went back or is about to."""
        live = {"COMPLETED", "PENDING"}
        return sum((p.amount for p in self.refunds(capture) if p.status in live), Decimal(0))

    def ledger(self, reference: str | None) -> list[dict[str, Any]]:
        """Every movement of money, or those under one code of ours."""
        self.settle()
        return [
            {
                "id": p.id,
                "kind": p.kind,
                "status": p.status,
                "value": str(p.amount),
                "currency": p.currency,
                "invoice_id": p.invoice_id,
                "created": shown(p.created),
                "moved": p.kind != "authorization"
                and p.status in {"COMPLETED", "REFUNDED", "PARTIALLY_REFUNDED"},
            }
            for p in self.payments.values()
            if reference is None or p.invoice_id == reference
        ]
