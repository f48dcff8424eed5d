"""Razorpay under the contract: the fake with its own books, judged by the SDK's oracle.

Once as an account in India, whose charges are announced to the customer before they are asked for;
and once as one outside India, which announces nothing.
"""

import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import SecretStr

from app import ids
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
from tests.gateways.fakes.razorpay.books import ACCOUNT
from tests.gateways.fakes.razorpay.server import KEY_ID, SECRET
from tests.gateways.razorpay import WEBHOOK_SECRET, RazorpayFake, start_razorpay

HARD, SOFT = DeclineCategory.HARD, DeclineCategory.SOFT
STOP, LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD
PRESENCE = (DeclineCategory.ACTION_REQUIRED, DeclineReason.AUTHENTICATION_REQUIRED, UPDATE)
UNUSABLE = (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE)
REVOKED = (HARD, DeclineReason.MANDATE_REVOKED, UPDATE)
DECLINES: Mapping[str, Verdict] = {
    "insufficient_funds": (SOFT, DeclineReason.INSUFFICIENT_FUNDS, LATER),
    "at_once:insufficient_funds": (SOFT, DeclineReason.INSUFFICIENT_FUNDS, LATER),
    "card_declined": (SOFT, DeclineReason.DO_NOT_HONOR, LATER),
    "payment_failed": (SOFT, DeclineReason.DO_NOT_HONOR, LATER),
    "transaction_daily_limit_exceeded": (SOFT, DeclineReason.LIMIT_EXCEEDED, LATER),
    "mandate_already_executed": (SOFT, DeclineReason.LIMIT_EXCEEDED, LATER),
    "bank_not_available": (SOFT, DeclineReason.ISSUER_UNAVAILABLE, LATER),
    "payment_declined_due_to_high_traffic": (SOFT, DeclineReason.PROCESSING_ERROR, LATER),
    "a_word_of_next_year": (SOFT, DeclineReason.GENERIC, LATER),
    "card_expired": (HARD, DeclineReason.EXPIRED_CARD, UPDATE),
    "debit_instrument_blocked": (HARD, DeclineReason.LOST_OR_STOLEN, STOP),
    "card_number_invalid": UNUSABLE,
    "invalid_vpa": UNUSABLE,
    "at_once:account_changed": UNUSABLE,
    "mandate_cancelled": REVOKED,
    "mandate_not_active": REVOKED,
    "amount_exceeds_mandate": (HARD, DeclineReason.LIMIT_EXCEEDED, UPDATE),
    "authentication_failed": PRESENCE,
    "customer_action_required": PRESENCE,
    "payment_risk_check_failed": (DeclineCategory.FRAUD, DeclineReason.GENERIC, STOP),
    "recurring_payment_not_enabled": (DeclineCategory.CONFIGURATION, DeclineReason.GENERIC, STOP),
}
BEHAVIOURS = {
    Behaviour.OK: "ok",
    Behaviour.PENDING_THEN_SUCCEEDS: "waits",
    Behaviour.PENDING_THEN_FAILS: "waits:insufficient_funds",
    Behaviour.REFUND_PENDING: "refund_pending",
    Behaviour.REFUND_FAILS: "refund_fails",
}
LACKS = {
    Trait.REQUIRES_ACTION: "a bank asks its customer by itself; the charge is pending meanwhile",
    Trait.REFUND_COMES_BACK: "a refund that was processed is final there",
    Trait.WEBHOOK_TIME: "its deliveries are signed without the time of sending",
    Trait.WEBHOOK_MODE: "its deliveries name no mode: test and live have secrets of their own",
}
SECRETS = {
    Secret.PRESENT: WEBHOOK_SECRET,
    Secret.PREVIOUS: "the_secret_before",
    Secret.ANOTHER: "a_secret_of_somebody_else",
}
TYPES = {EventKind.PAYMENT: "payment.captured", EventKind.REFUND: "refund.processed"}
NOTES = {EventKind.PAYMENT: "perennial_attempt", EventKind.REFUND: "perennial_refund"}
VERBS = (
    ("POST", r"/customers", Verb.CUSTOMER),
    ("DELETE", r"/customers/[^/]+/tokens/[^/]+", Verb.DETACH),
    ("PUT", r"/customers/[^/]+/tokens/[^/]+/cancel", Verb.DETACH),
    ("POST", r"/payments/create/recurring", Verb.CHARGE),
    ("POST", r"/payments/[^/]+/capture", Verb.CAPTURE),
    ("POST", r"/payments/[^/]+/refund", Verb.REFUND),
    ("GET", r"/(orders|payments|refunds)(/.*)?", Verb.LOOKUP),
)


def canned(status: int, code: str, description: str, **headers: str) -> Canned:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = orjson.dumps({"error": {"code": code, "description": description}})
    return Canned(status, body, {"Content-Type": "application/json", **named})


FAILED = canned(500, "SERVER_ERROR", "We are facing some trouble completing your request.")
LIMITED = canned(429, "BAD_REQUEST_ERROR", "Request failed. Please try again.", Retry_After="7")


@dataclass
class RazorpayHarness:
    """The fake, as its own process."""

    fake: RazorpayFake
    pre_debit_notice: str
    gateway: str = "razorpay"
    currency: str = "INR"
    lacks: Mapping[Trait, str] = field(default_factory=lambda: LACKS)
    declines: Mapping[str, Verdict] = field(default_factory=lambda: DECLINES)
    canned: Mapping[Fault, Canned] = field(
        default_factory=lambda: {
            Fault.RATE_LIMITED: LIMITED,
            Fault.ERROR_BEFORE: FAILED,
            Fault.ERROR_AFTER: FAILED,
            Fault.LATE: FAILED,
        }
    )

    @property
    def url(self) -> str:
        return self.fake.url

    def account(self, base_url: str) -> AccountSettings:
        return self._opened(base_url, SECRET)

    def stranger(self, base_url: str) -> AccountSettings:
        return self._opened(base_url, "a-canary-that-nobody-knows")

    def _opened(self, base_url: str, secret: str) -> AccountSettings:
        known = (SECRETS[Secret.PRESENT], SECRETS[Secret.PREVIOUS])
        return AccountSettings(
            AccountMode.TEST,
            credentials={"key_secret": SecretStr(secret)},
            options={
                "key_id": KEY_ID,
                "account_id": ACCOUNT,
                "pre_debit_notice": self.pre_debit_notice,
            },
            webhook_secrets=tuple(map(SecretStr, known)),
            base_url=base_url,
        )

    def verb(self, sent: Sent) -> Verb | None:
        path = urlsplit(sent.path).path.removeprefix("/v1")
        if (sent.method, path) == ("POST", "/orders"):  # of a set-up: with a mandate's terms
            return Verb.SETUP if "token" in orjson.loads(sent.body) else None
        return next(
            (
                verb
                for method, pattern, verb in VERBS
                if method == sent.method and re.fullmatch(pattern, path)
            ),
            None,
        )

    async def keep(self, behaviour: Behaviour) -> Kept:
        return self._keep(BEHAVIOURS[behaviour])

    async def keep_declining(self, word: str) -> Kept:
        return self._keep(word)

    def _keep(self, behaves: str) -> Kept:
        customer, code = self.fake.customer(), ids.show("cus", ids.new_id())
        who = CustomerDetails(code, f"{code}@example.com", "Gaurav Kumar", "+919876543210", "IN")
        return Kept(self.fake.token(customer, behaves), customer, who)

    async def moved(self, our_reference: str) -> Moved:
        entries = [one for one in self.fake.ask("moved") if one["reference"] == our_reference]
        orders = {one["id"] for one in self.fake.ask("orders") if one["receipt"] == our_reference}
        held = [
            one
            for one in self.fake.ask("payments")
            if one["order_id"] in orders and one["status"] == "authorized"
        ]

        def total(kind: str) -> int:
            return sum(one["amount"] for one in entries if one["kind"] == kind)

        live = [*entries, *held]
        return Moved(
            charged=total("charge"),
            refunded=total("refund"),
            held=sum(one["amount"] for one in held),
            times=len(live),
            currency=live[0]["currency"] if live else None,
        )

    async def books(self, window: TimeWindow) -> list[Entry]:
        return [
            Entry(one["id"], TransactionKind(one["kind"]), one["amount"], one["currency"])
            for one in self.fake.ask("moved")
            if window.start.timestamp() <= one["created_at"] < window.end.timestamp()
        ]

    async def settle(self) -> None:
        self.fake.tell("settle")

    async def customer_acts(self, waiting: RequiresAction, *, confirms: bool) -> None:
        raise AssertionError(f"nothing waits for a customer there: {waiting}")

    async def customer_sets_up(self, started: SetupStarted, *, confirms: bool) -> Mapping[str, str]:
        assert started.parameters["order_id"] == started.gateway_reference
        ends = {} if confirms else {"ends": "rejected", "reason": "authentication_failed"}
        answer: dict[str, str] = self.fake.tell(
            "checkout", order_id=started.gateway_reference, **ends
        )
        return answer

    async def send_back(self, refund_reference: str) -> None:
        raise AssertionError(f"a refund that was processed stays there: {refund_reference}")

    async def dispute(self, payment_reference: str) -> str:
        opened: str = self.fake.tell("dispute", payment_id=payment_reference)["id"]
        return opened

    async def decide(self, dispute_reference: str, *, is_won: bool) -> None:
        self.fake.tell("dispute", id=dispute_reference, status="won" if is_won else "lost")

    def delivery(self, wanted: Delivered) -> WebhookDelivery:
        kind = wanted.kind.value
        about: dict[str, Any] = {
            "id": wanted.reference,
            "entity": kind,
            "notes": {NOTES[wanted.kind]: wanted.our_reference} if wanted.our_reference else [],
            # No two events have one body: the id that tells them apart is not signed.
            "acquirer_data": {"rrn": wanted.event_id},
        }
        event = {
            "entity": "event",
            "account_id": "acc_OfSomebodyElse" if wanted.is_of_another_account else ACCOUNT,
            "event": TYPES[wanted.kind],
            "contains": [kind],
            "payload": {kind: {"entity": about}},
            "created_at": int(wanted.at.timestamp()),
        }
        body = orjson.dumps(event) + b"\n"
        signature = hmac.new(SECRETS[wanted.signed_with].encode(), body, hashlib.sha256)
        headers = {
            "content-type": "application/json",
            "x-razorpay-event-id": wanted.event_id,
            "x-razorpay-signature": signature.hexdigest(),
        }
        return WebhookDelivery(headers, body, wanted.at)


@asynccontextmanager
async def razorpay(tmp_path: Path) -> AsyncIterator[RazorpayHarness]:
    """Rupees on Indian cards: an order with a notice, and its debit once that is old enough."""
    with start_razorpay(tmp_path) as fake:
        yield RazorpayHarness(fake, "required")
        assert fake.violations() == []


@asynccontextmanager
async def razorpay_unannounced(tmp_path: Path) -> AsyncIterator[RazorpayHarness]:
    """An order and its debit at once."""
    with start_razorpay(tmp_path) as fake:
        yield RazorpayHarness(fake, "none")
        assert fake.violations() == []
