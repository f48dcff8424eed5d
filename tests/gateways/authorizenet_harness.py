"""Authorize.net under the contract: the fake with its own ledger, judged by the oracle.

After the cases the oracle must have had no complaint: every request was as the schema wants it,
every answer as the real server's are.
"""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from tests.gateways.fakes.authorizenet.process import FakeAuthorizeNet, start_fake
from tests.gateways.fakes.authorizenet.secrets import CLIENT_KEY, KEY, LOGIN, SIGNATURE_KEY

HARD, SOFT = DeclineCategory.HARD, DeclineCategory.SOFT
STOP, LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD
DECLINES: Mapping[str, Verdict] = {
    "2": (SOFT, DeclineReason.DO_NOT_HONOR, LATER),
    "4": (HARD, DeclineReason.LOST_OR_STOLEN, STOP),
    "6": (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE),
    "8": (HARD, DeclineReason.EXPIRED_CARD, UPDATE),
    "13": (DeclineCategory.CONFIGURATION, DeclineReason.GENERIC, STOP),
    "19": (SOFT, DeclineReason.PROCESSING_ERROR, LATER),
    "27": (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE),
    "44": (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE),
    "49": (SOFT, DeclineReason.LIMIT_EXCEEDED, LATER),
    "209": (SOFT, DeclineReason.ISSUER_UNAVAILABLE, LATER),
    "251": (DeclineCategory.FRAUD, DeclineReason.GENERIC, STOP),
    "317": (HARD, DeclineReason.EXPIRED_CARD, UPDATE),
}
BEHAVIOURS = {
    Behaviour.OK: "ok",
    Behaviour.PENDING_THEN_SUCCEEDS: "held_then_succeeds",
    Behaviour.PENDING_THEN_FAILS: "held_then_fails",
    Behaviour.REFUND_PENDING: "refund_held",
    Behaviour.REFUND_FAILS: "refund_declined_2",
}
LACKS = {
    Trait.REQUIRES_ACTION: "off-session charges there never ask the customer for anything",
    Trait.REFUND_COMES_BACK: "a credit that was taken is final in its lists",
    Trait.WEBHOOK_TIME: "its deliveries are signed without a time",
    Trait.WEBHOOK_ACCOUNT: "its deliveries name no account: the Signature Key is the account's",
    Trait.WEBHOOK_MODE: "its deliveries name no mode: sandbox and live have keys of their own",
}
KEYS = {
    Secret.PRESENT: SIGNATURE_KEY,
    Secret.PREVIOUS: "A1B2C3D4" * 16,
    Secret.ANOTHER: "0F0E0D0C" * 16,
}
TYPES = {
    EventKind.PAYMENT: "net.authorize.payment.authcapture.created",
    EventKind.REFUND: "net.authorize.payment.refund.created",
}
LOOKUPS = {
    "getTransactionDetailsRequest",
    "getUnsettledTransactionListRequest",
    "getTransactionListRequest",
    "getTransactionListForCustomerRequest",
    "getSettledBatchListRequest",
}
TRANSACTIONS = {
    "authCaptureTransaction": Verb.CHARGE,
    "authOnlyTransaction": Verb.CHARGE,
    "priorAuthCaptureTransaction": Verb.CAPTURE,
    "refundTransaction": Verb.REFUND,
}


@dataclass
class AuthorizeNetHarness:
    """The fake, as its own process."""

    fake: FakeAuthorizeNet
    gateway: str = "authorizenet"
    currency: str = "USD"
    lacks: Mapping[Trait, str] = field(default_factory=lambda: LACKS)
    declines: Mapping[str, Verdict] = field(default_factory=lambda: DECLINES)
    canned: Mapping[Fault, Canned] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.fake.url

    def account(self, base_url: str) -> AccountSettings:
        return self._opened(base_url, KEY)

    def stranger(self, base_url: str) -> AccountSettings:
        return self._opened(base_url, "CANARY0000000000")

    def _opened(self, base_url: str, key: str) -> AccountSettings:
        return AccountSettings(
            AccountMode.TEST,
            credentials={"transaction_key": SecretStr(key)},
            options={"api_login_id": LOGIN, "client_key": CLIENT_KEY, "currency": self.currency},
            webhook_secrets=(SecretStr(KEYS[Secret.PRESENT]), SecretStr(KEYS[Secret.PREVIOUS])),
            base_url=base_url,
        )

    def verb(self, sent: Sent) -> Verb | None:
        ((name, body),) = json.loads(sent.body).items()
        if name in LOOKUPS:
            return Verb.LOOKUP
        if name == "createTransactionRequest":
            asked = body["transactionRequest"]
            if asked["transactionType"] == "voidTransaction":
                return Verb.VOID if body["refId"] == asked["refTransId"] else Verb.REFUND
            return TRANSACTIONS[asked["transactionType"]]
        if name == "createCustomerProfileRequest" and "paymentProfiles" not in body["profile"]:
            return Verb.CUSTOMER
        return Verb.DETACH if name == "deleteCustomerPaymentProfileRequest" else None

    async def keep(self, behaviour: Behaviour) -> Kept:
        return self._keep(BEHAVIOURS[behaviour])

    async def keep_declining(self, word: str) -> Kept:
        return self._keep(f"declined_{word}")

    def _keep(self, behaves: str) -> Kept:
        customer, method = self.fake.do("method", behaves=behaves)
        code = ids.show("cus", ids.new_id())
        return Kept(method, customer, CustomerDetails(code, f"{code}@example.com", "Ada Example"))

    async def moved(self, our_reference: str) -> Moved:
        return Moved(**self.fake.do("moved", reference=our_reference))

    async def books(self, window: TimeWindow) -> list[Entry]:
        start, end = window.start.isoformat(), window.end.isoformat()
        return [
            Entry(reference, TransactionKind(kind), amount, self.currency)
            for reference, kind, amount in self.fake.do("books", start=start, end=end)
        ]

    async def settle(self) -> None:
        self.fake.do("end_reviews")
        self.fake.do("settle")

    async def customer_acts(self, waiting: RequiresAction, *, confirms: bool) -> None:
        raise AssertionError(f"nothing waits for a customer there: {waiting}")

    async def customer_sets_up(self, started: SetupStarted, *, confirms: bool) -> Mapping[str, str]:
        assert started.parameters["clientKey"] == CLIENT_KEY
        token = self.fake.do("token", behaves="ok" if confirms else "setup_declined_2")
        return {"dataDescriptor": "COMMON.ACCEPT.INAPP.PAYMENT", "dataValue": token}

    async def send_back(self, refund_reference: str) -> None:
        raise AssertionError(f"a credit that is settled stays there: {refund_reference}")

    async def dispute(self, payment_reference: str) -> str:
        self.fake.do("dispute", id=payment_reference, status="chargeback")
        return payment_reference

    async def decide(self, dispute_reference: str, *, is_won: bool) -> None:
        # A chargeback that is lost stays as it is; what is final at once is a returned debit.
        status = "chargebackReversal" if is_won else "returnedItem"
        self.fake.do("dispute", id=dispute_reference, status=status)

    def delivery(self, wanted: Delivered) -> WebhookDelivery:
        payload: dict[str, Any] = {
            "entityName": "transaction",
            "id": wanted.reference,
            "responseCode": 1,
            "authAmount": 19.99,
        }
        if wanted.our_reference:
            payload["merchantReferenceId"] = wanted.our_reference
        notification = {
            "notificationId": wanted.event_id,
            "eventType": TYPES[wanted.kind],
            "eventDate": wanted.at.isoformat(),
            "webhookId": "849eb87e-078a-4169-a34b-c0bded5019a8",
            "payload": payload,
        }
        body = json.dumps(notification).encode()
        digest = hmac.new(KEYS[wanted.signed_with].encode(), body, hashlib.sha512).hexdigest()
        headers = {"x-anet-signature": f"sha512={digest.upper()}"}
        return WebhookDelivery(headers, body, wanted.at)


@asynccontextmanager
async def authorizenet(tmp_path: Path) -> AsyncIterator[AuthorizeNetHarness]:
    """With the official bindings as the judge."""
    with start_fake(tmp_path) as fake:
        yield AuthorizeNetHarness(fake)
        assert fake.do("complaints") == {"refused": [], "flaws": []}
