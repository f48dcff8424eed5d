"""PayPal under the contract: our own PayPal as its double, in a process of its own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import SecretStr

from app import ids
from app.domain.currency import exponent
from app.domain.outcome import DeclineAdvice, DeclineCategory, DeclineReason, RequiresAction
from app.domain.vault import SetupStarted
from app.gateways.base import AccountMode, AccountSettings
from app.gateways.reports import EventKind, TransactionKind, WebhookDelivery
from app.gateways.requests import CustomerDetails, TimeWindow
from app.testing.harness import (
    Behaviour,
    Canned,
    Delivered,
    Entry,
    Fault,
    Kept,
    Moved,
    Secret,
    Sent,
    Trait,
    Verb,
    Verdict,
)
from tests.gateways.fakes.paypal.authority import CERTIFICATE, Authority
from tests.gateways.fakes.paypal.behaviour import behaviour_of
from tests.gateways.fakes.paypal.server import CLIENT_ID, CLIENT_SECRET
from tests.gateways.paypal import PayPalProcess, start_paypal

HARD, SOFT, FRAUD = DeclineCategory.HARD, DeclineCategory.SOFT, DeclineCategory.FRAUD
CONFIGURATION = DeclineCategory.CONFIGURATION
STOP, LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD
PRESENCE = (DeclineCategory.ACTION_REQUIRED, DeclineReason.AUTHENTICATION_REQUIRED, UPDATE)
UNUSABLE = (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE)
DECLINES: Mapping[str, Verdict] = {
    "5120": (SOFT, DeclineReason.INSUFFICIENT_FUNDS, LATER),
    "0500": (SOFT, DeclineReason.DO_NOT_HONOR, LATER),
    "5100": (SOFT, DeclineReason.GENERIC, LATER),
    "5400": (HARD, DeclineReason.EXPIRED_CARD, UPDATE),
    "9520": (HARD, DeclineReason.LOST_OR_STOLEN, STOP),
    "5180": UNUSABLE,
    "5650": PRESENCE,
    "5710": (SOFT, DeclineReason.LIMIT_EXCEEDED, LATER),
    "5910": (HARD, DeclineReason.GENERIC, STOP),
    "5920": (SOFT, DeclineReason.ISSUER_UNAVAILABLE, LATER),
    "8000": (SOFT, DeclineReason.PROCESSING_ERROR, LATER),
    "9500": (FRAUD, DeclineReason.GENERIC, STOP),
    "5700": (CONFIGURATION, DeclineReason.GENERIC, STOP),
    "PPRN": (HARD, DeclineReason.GENERIC, STOP),
    "5120-03": (HARD, DeclineReason.GENERIC, STOP),
    "5120-21": (HARD, DeclineReason.MANDATE_REVOKED, STOP),
    "5120-02": (SOFT, DeclineReason.INSUFFICIENT_FUNDS, LATER),
    "issue-INSTRUMENT_DECLINED": (SOFT, DeclineReason.GENERIC, LATER),
    "issue-TRANSACTION_REFUSED": (SOFT, DeclineReason.GENERIC, LATER),
    "issue-CARD_EXPIRED": (HARD, DeclineReason.EXPIRED_CARD, UPDATE),
    "issue-PAYER_ACCOUNT_LOCKED_OR_CLOSED": UNUSABLE,
    "issue-AGREEMENT_ALREADY_CANCELLED": (HARD, DeclineReason.MANDATE_REVOKED, UPDATE),
    "issue-TRANSACTION_LIMIT_EXCEEDED": (SOFT, DeclineReason.LIMIT_EXCEEDED, LATER),
    "issue-PAYEE_ACCOUNT_RESTRICTED": (CONFIGURATION, DeclineReason.GENERIC, STOP),
    "issue-NOT_ENABLED_FOR_CARD_PROCESSING": (CONFIGURATION, DeclineReason.GENERIC, STOP),
    "issue-COMPLIANCE_VIOLATION": (FRAUD, DeclineReason.GENERIC, STOP),
}
LACKS: Mapping[Trait, str] = {
    Trait.CUSTOMERS: "PayPal makes a customer of its own with the first payment method",
    Trait.REFUSAL_ENDS: "an order that its customer leaves says nothing until it lapses",
    Trait.WEBHOOK_TIME: "PayPal delivers for three days, and no time is too old",
    Trait.WEBHOOK_ACCOUNT: "the webhook id in the signature is the account",
}
WEBHOOK_IDS = {
    Secret.PRESENT: "7BS99082DR5470123",
    Secret.PREVIOUS: "1AB23456CD7890123",
    Secret.ANOTHER: "0ZZ00000ZZ0000000",
}
RUNNING = {"name": "RESOURCE_CONFLICT", "details": [{"issue": "PREVIOUS_REQUEST_IN_PROGRESS"}]}
WORDS = {
    ("POST", "orders", ""): Verb.CHARGE,
    ("GET", "orders", ""): Verb.LOOKUP,
    ("PATCH", "orders", ""): Verb.VOID,
    ("GET", "captures", ""): Verb.LOOKUP,
    ("GET", "authorizations", ""): Verb.LOOKUP,
    ("GET", "refunds", ""): Verb.LOOKUP,
    ("GET", "transactions", ""): Verb.LOOKUP,
    ("POST", "setup-tokens", ""): Verb.SETUP,
    ("DELETE", "payment-tokens", ""): Verb.DETACH,
    ("POST", "orders", "capture"): Verb.CAPTURE,
    ("POST", "authorizations", "capture"): Verb.CAPTURE,
    ("POST", "authorizations", "void"): Verb.VOID,
    ("POST", "captures", "refund"): Verb.REFUND,
}
AUTHORITY = Authority.make()
CERT = "CERT-contract"
MOVED = {"COMPLETED", "REFUNDED", "PARTIALLY_REFUNDED"}


@dataclass
class PayPalHarness:
    """One sandbox account, whose webhooks are proved by a trust bundle."""

    process: PayPalProcess
    gateway: str = "paypal"
    currency: str = "EUR"
    lacks: Mapping[Trait, str] = field(default_factory=lambda: LACKS)
    declines: Mapping[str, Verdict] = field(default_factory=lambda: DECLINES)
    canned: Mapping[Fault, Canned] = field(
        default_factory=lambda: {Fault.RUNNING: Canned(409, orjson.dumps(RUNNING))}
    )

    @property
    def url(self) -> str:
        return self.process.url

    def account(self, base_url: str) -> AccountSettings:
        return self._account(base_url, CLIENT_SECRET)

    def stranger(self, base_url: str) -> AccountSettings:
        return self._account(base_url, "a-canary-that-nobody-knows")

    def _account(self, base_url: str, secret: str) -> AccountSettings:
        ids_of = (WEBHOOK_IDS[Secret.PRESENT], WEBHOOK_IDS[Secret.PREVIOUS])
        return AccountSettings(
            AccountMode.TEST,
            credentials={"client_secret": SecretStr(secret)},
            options={"client_id": CLIENT_ID, "webhook_trust_bundle": AUTHORITY.bundle},
            webhook_secrets=tuple(map(SecretStr, ids_of)),
            base_url=base_url,
        )

    def verb(self, sent: Sent) -> Verb | None:
        parts = urlsplit(sent.path).path.strip("/").split("/")[2:]
        noun, _, act = (*parts, "", "")[:3]
        return WORDS.get((sent.method, noun, act))

    async def keep(self, behaviour: Behaviour) -> Kept:
        return self._keep(f"card-{behaviour.replace('_', '-')}")

    async def keep_declining(self, word: str) -> Kept:
        return self._keep(f"card-{word}")

    def _keep(self, behaves_like: str) -> Kept:
        code = ids.show("cus", ids.new_id())
        who = CustomerDetails(code, f"{code}@example.com", "Ada Example", "+15550100", "IE")
        behaviour = behaviour_of(behaves_like)
        assert behaviour is not None, behaves_like
        made = self.process.fake("POST", "tokens", {"kind": "card", "behaviour": behaviour})
        return Kept(made["id"], made["customer"], who)

    async def moved(self, our_reference: str) -> Moved:
        rows = self.process.ledger(our_reference)
        live = [row for row in rows if row["moved"] or self._is_held(row)]

        def total(kind: str) -> int:
            return sum(minor(row) for row in live if row["kind"] == kind)

        return Moved(
            charged=total("capture"),
            refunded=total("refund"),
            held=total("authorization"),
            times=len(live),
            currency=live[0]["currency"] if live else None,
        )

    def _is_held(self, row: dict[str, Any]) -> bool:
        return row["kind"] == "authorization" and row["status"] == "CREATED"

    async def books(self, window: TimeWindow) -> list[Entry]:
        kinds = {"capture": TransactionKind.CHARGE, "refund": TransactionKind.REFUND}
        return [
            Entry(row["id"], kinds[row["kind"]], minor(row), row["currency"])
            for row in self.process.fake("GET", "ledger")
            if row["moved"] and window.start <= at(row) < window.end
        ]

    async def settle(self) -> None:
        self.process.fake("POST", "settlements")

    async def customer_acts(self, waiting: RequiresAction, *, confirms: bool) -> None:
        if confirms:  # who does not simply leaves the page
            order = str(waiting.gateway_reference).removeprefix("order:")
            self.process.fake("POST", f"orders/{order}/approve")

    async def customer_sets_up(self, started: SetupStarted, *, confirms: bool) -> Mapping[str, str]:
        refusal = {} if confirms else {"declines": "1"}
        self.process.approve(started.gateway_reference, **refusal)
        return {}

    async def send_back(self, refund_reference: str) -> None:
        self.process.fake("POST", f"payments/{refund_reference}", {"status": "FAILED"})

    async def dispute(self, payment_reference: str) -> str:
        name = f"PP-R-{ids.new_id()}"
        [row] = [r for r in self.process.fake("GET", "ledger") if r["id"] == payment_reference]
        amount = {"currency_code": row["currency"], "value": row["value"]}
        opened = {
            "disputed_transactions": [{"seller_transaction_id": payment_reference}],
            "reason": "UNAUTHORISED",
            "status": "WAITING_FOR_SELLER_RESPONSE",
            "dispute_amount": amount,
            "money_movements": [movement(amount, "DEBIT")],
        }
        self.process.fake("PUT", f"disputes/{name}", opened)
        return name

    async def decide(self, dispute_reference: str, *, is_won: bool) -> None:
        code = "RESOLVED_SELLER_FAVOUR" if is_won else "RESOLVED_BUYER_FAVOUR"
        ended: dict[str, Any] = {"status": "RESOLVED", "dispute_outcome": {"outcome_code": code}}
        if is_won:
            amount = self.process.fake("GET", f"disputes/{dispute_reference}")["dispute_amount"]
            movements = [movement(amount, "DEBIT"), movement(amount, "CREDIT")]
            ended["money_movements"] = movements
        self.process.fake("PUT", f"disputes/{dispute_reference}", ended)

    def delivery(self, wanted: Delivered) -> WebhookDelivery:
        kinds = {EventKind.PAYMENT: "PAYMENT.CAPTURE.COMPLETED"}
        body = orjson.dumps(
            {
                "id": wanted.event_id,
                "event_version": "1.0",
                "event_type": kinds.get(wanted.kind, "PAYMENT.CAPTURE.REFUNDED"),
                "create_time": wanted.at.isoformat(),
                "resource": {"id": wanted.reference, "invoice_id": wanted.our_reference},
            }
        )
        webhook_id = WEBHOOK_IDS[wanted.signed_with]
        headers = AUTHORITY.leaf.headers(body, webhook_id, certificate=CERT)
        if wanted.is_live:
            live = CERTIFICATE.replace("api.sandbox.", "api.")
            headers["paypal-cert-url"] = live + CERT
        return WebhookDelivery(headers, body, wanted.at)


def movement(amount: Mapping[str, str], kind: str) -> dict[str, Any]:
    """Money that moved for a dispute."""
    return {
        "affected_party": "SELLER",
        "type": kind,
        "reason": "DISPUTE_SETTLEMENT",
        "amount": dict(amount),
    }


def minor(row: Mapping[str, Any]) -> int:
    """The amount of a row in minor units."""
    return int(Decimal(row["value"]).scaleb(exponent(row["currency"])))


def at(row: Mapping[str, Any]) -> datetime:
    """When a row came into the books."""
    return datetime.fromisoformat(row["created"])


@asynccontextmanager
async def paypal(tmp_path: Path) -> AsyncIterator[PayPalHarness]:
    """A sandbox of our own."""
    with start_paypal(tmp_path) as process:
        process.put_certificate(CERT, AUTHORITY.leaf.pem)
        yield PayPalHarness(process)
        assert process.violations() == []
