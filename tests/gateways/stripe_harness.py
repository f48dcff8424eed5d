"""Stripe under the contract: our Stripe as its double, judged by what Stripe publishes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import stripe as sdk
from pydantic import SecretStr

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
from tests.gateways.stripe import KEY, StripeFake, minor, start_stripe

HARD, SOFT = DeclineCategory.HARD, DeclineCategory.SOFT
STOP, LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD
PRESENT = (
    DeclineCategory.ACTION_REQUIRED,
    DeclineReason.AUTHENTICATION_REQUIRED,
    UPDATE,
)
DECLINES: Mapping[str, Verdict] = {
    "insufficient_funds": (SOFT, DeclineReason.INSUFFICIENT_FUNDS, LATER),
    "generic_decline": (SOFT, DeclineReason.GENERIC, LATER),
    "do_not_honor": (SOFT, DeclineReason.DO_NOT_HONOR, LATER),
    "call_issuer": (SOFT, DeclineReason.DO_NOT_HONOR, LATER),
    "card_velocity_exceeded": (SOFT, DeclineReason.LIMIT_EXCEEDED, LATER),
    "withdrawal_count_limit_exceeded": (SOFT, DeclineReason.LIMIT_EXCEEDED, LATER),
    "issuer_not_available": (SOFT, DeclineReason.ISSUER_UNAVAILABLE, LATER),
    "processing_error": (SOFT, DeclineReason.PROCESSING_ERROR, LATER),
    "reenter_transaction": (SOFT, DeclineReason.PROCESSING_ERROR, LATER),
    "try_again_later": (SOFT, DeclineReason.PROCESSING_ERROR, LATER),
    "a_word_of_next_year": (SOFT, DeclineReason.GENERIC, LATER),
    "expired_card": (HARD, DeclineReason.EXPIRED_CARD, UPDATE),
    "incorrect_number": (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE),
    "invalid_account": (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE),
    "restricted_card": (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE),
    "transaction_not_allowed": (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE),
    "lost_card": (HARD, DeclineReason.LOST_OR_STOLEN, STOP),
    "stolen_card": (HARD, DeclineReason.LOST_OR_STOLEN, STOP),
    "pickup_card": (HARD, DeclineReason.LOST_OR_STOLEN, STOP),
    "do_not_try_again": (HARD, DeclineReason.DO_NOT_HONOR, STOP),
    "revocation_of_authorization": (HARD, DeclineReason.MANDATE_REVOKED, STOP),
    "revocation_of_all_authorizations": (HARD, DeclineReason.MANDATE_REVOKED, STOP),
    "stop_payment_order": (HARD, DeclineReason.MANDATE_REVOKED, STOP),
    "fraudulent": (DeclineCategory.FRAUD, DeclineReason.GENERIC, STOP),
    "merchant_blacklist": (DeclineCategory.FRAUD, DeclineReason.GENERIC, STOP),
    "mobile_device_authentication_required": PRESENT,
}
BEHAVIOURS = {
    Behaviour.OK: "pm_card_visa",
    Behaviour.REQUIRES_ACTION: "pm_card_authenticationRequired",
    Behaviour.PENDING_THEN_SUCCEEDS: "pm_usBankAccount_success",
    Behaviour.PENDING_THEN_FAILS: "pm_usBankAccount_insufficientFunds",
    Behaviour.REFUND_PENDING: "pm_card_pendingRefund",
    Behaviour.REFUND_FAILS: "pm_card_refundFail",
}
SECRETS = {
    Secret.PRESENT: "whsec_present",
    Secret.PREVIOUS: "whsec_before",
    Secret.ANOTHER: "whsec_of_somebody_else",
}
VERBS = {
    ("POST", "customers", ""): Verb.CUSTOMER,
    ("POST", "setup_intents", ""): Verb.SETUP,
    ("POST", "payment_methods", "detach"): Verb.DETACH,
    ("POST", "payment_intents", ""): Verb.CHARGE,
    ("POST", "payment_intents", "capture"): Verb.CAPTURE,
    ("POST", "payment_intents", "cancel"): Verb.VOID,
    ("POST", "refunds", ""): Verb.REFUND,
}
LOOKED_UP = frozenset({"payment_intents", "refunds", "charges"})
RUNNING = {"type": "idempotency_error", "code": "idempotency_key_in_use", "message": "Running."}
LIMITED = {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many."}
FAILED = {"type": "api_error", "message": "Sorry."}
TYPES = {EventKind.PAYMENT: "payment_intent", EventKind.REFUND: "refund"}
METADATA = {EventKind.PAYMENT: "perennial_attempt", EventKind.REFUND: "perennial_refund"}


def canned(status: int, error: Mapping[str, str], **headers: str) -> Canned:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = orjson.dumps({"error": error})
    return Canned(status, body, {"Content-Type": "application/json", **named})


@dataclass
class StripeHarness:
    """Our Stripe, as its own process."""

    fake: StripeFake
    gateway: str = "stripe"
    currency: str = "EUR"
    lacks: Mapping[Trait, str] = field(
        default_factory=lambda: {
            Trait.SETUP_FAILS: "a card that is refused leaves a set-up open for another one",
            Trait.REFUSAL_ENDS: "whoever has a payment's secret may try again until it is voided",
        }
    )
    declines: Mapping[str, Verdict] = field(default_factory=lambda: DECLINES)
    canned: Mapping[Fault, Canned] = field(
        default_factory=lambda: {
            Fault.RUNNING: canned(409, RUNNING),
            Fault.RATE_LIMITED: canned(429, LIMITED, Retry_After="7"),
            Fault.ERROR_BEFORE: canned(500, FAILED),
            Fault.ERROR_AFTER: canned(500, FAILED),
            Fault.LATE: canned(500, FAILED),
        }
    )

    @property
    def url(self) -> str:
        return self.fake.url

    def account(self, base_url: str) -> AccountSettings:
        return AccountSettings(
            AccountMode.TEST,
            credentials={"secret_key": SecretStr(KEY)},
            webhook_secrets=(
                SecretStr(SECRETS[Secret.PRESENT]),
                SecretStr(SECRETS[Secret.PREVIOUS]),
            ),
            base_url=base_url,
        )

    def stranger(self, base_url: str) -> AccountSettings:
        wrong = {"secret_key": SecretStr("sk_test_aCanaryThatNobodyKnows")}
        return AccountSettings(AccountMode.TEST, credentials=wrong, base_url=base_url)

    def verb(self, sent: Sent) -> Verb | None:
        _, _, resource, *rest = urlsplit(sent.path).path.split("/")
        if sent.method == "GET":
            return Verb.LOOKUP if resource in LOOKED_UP else None
        if len(rest) == 1:
            return None  # an update: what a payment is marked by
        return VERBS.get((sent.method, resource, rest[-1] if rest else ""))

    async def keep(self, behaviour: Behaviour) -> Kept:
        return self._keep(BEHAVIOURS[behaviour])

    async def keep_declining(self, word: str) -> Kept:
        return self._keep(f"pm_fake_declined_{word}")

    def _keep(self, behaves_like: str) -> Kept:
        customer = self.fake.customer()
        who = CustomerDetails(customer, "ada@example.com", "Ada Example", "+15550100", "IE")
        return Kept(self.fake.method(behaves_like, customer), customer, who)

    async def moved(self, our_reference: str) -> Moved:
        entries = [e for e in self.fake.ask("moved") if e["reference"] == our_reference]
        held = [
            one
            for one in self.fake.ask("objects", kind="payment_intent")
            if one["metadata"].get("perennial_attempt") == our_reference
            and one["status"] == "requires_capture"
        ]

        def total(kind: str) -> int:
            return sum(minor(e["amount"], e["currency"]) for e in entries if e["kind"] == kind)

        names = {entry["id"] for entry in entries} | {one["id"] for one in held}
        currencies = [one["currency"].upper() for one in [*entries, *held]]
        return Moved(
            charged=total("charge"),
            refunded=total("refund"),
            held=sum(minor(one["amount_capturable"], one["currency"]) for one in held),
            times=len(names),
            currency=currencies[0] if currencies else None,
        )

    async def books(self, window: TimeWindow) -> list[Entry]:
        return [
            Entry(
                e["id"],
                TransactionKind(e["kind"]),
                minor(e["amount"], e["currency"]),
                e["currency"].upper(),
            )
            for e in self.fake.ask("moved")
            if window.start.timestamp() <= e["created"] < window.end.timestamp()
        ]

    async def settle(self) -> None:
        self.fake.tell("settle")

    async def customer_acts(self, waiting: RequiresAction, *, confirms: bool) -> None:
        said = {"id": waiting.gateway_reference, "client_secret": waiting.client_secret}
        self.fake.tell("act", **said, verdict="begin")
        self.fake.tell("act", **said, verdict="accept" if confirms else "refuse")

    async def customer_sets_up(self, started: SetupStarted, *, confirms: bool) -> Mapping[str, str]:
        card = "pm_card_visa" if confirms else "pm_card_visa_chargeDeclined"
        self.fake.tell(
            "confirm_setup",
            id=started.gateway_reference,
            client_secret=started.client_secret,
            behaves_like=card,
        )
        return {"setup_intent": started.gateway_reference, "redirect_status": "succeeded"}

    async def send_back(self, refund_reference: str) -> None:
        self.fake.tell("fail_refund", id=refund_reference)

    async def dispute(self, payment_reference: str) -> str:
        [intent] = [
            one
            for one in self.fake.ask("objects", kind="payment_intent")
            if one["id"] == payment_reference
        ]
        opened: str = self.fake.tell("dispute", charge=intent["latest_charge"])["id"]
        return opened

    async def decide(self, dispute_reference: str, *, is_won: bool) -> None:
        status = "won" if is_won else "lost"
        self.fake.tell("change_dispute", id=dispute_reference, status=status)

    def delivery(self, wanted: Delivered) -> WebhookDelivery:
        kind = TYPES[wanted.kind]
        about: dict[str, Any] = {"object": kind, "id": wanted.reference}
        about["metadata"] = {METADATA[wanted.kind]: wanted.our_reference}
        event = {
            "id": wanted.event_id,
            "object": "event",
            "api_version": sdk.api_version,
            "created": int(wanted.at.timestamp()),
            "livemode": wanted.is_live,
            "type": f"{kind}.updated",
            "data": {"object": about},
        }
        if wanted.is_of_another_account:
            event["account"] = "acct_of_somebody_else"
        body = orjson.dumps(event).decode()
        secret, at = SECRETS[wanted.signed_with], int(wanted.at.timestamp())
        header = sdk.WebhookSignature.generate_signature_header(body, secret, at)
        return WebhookDelivery({"stripe-signature": header}, body.encode(), wanted.at)


@asynccontextmanager
async def stripe(tmp_path: Path) -> AsyncIterator[StripeHarness]:
    """Keys that are kept for a day, a look-up that is complete; no oracle may find fault."""
    with start_stripe(tmp_path) as fake:
        yield StripeHarness(fake)
        assert fake.faults_found() == []
