"""The simulator under the contract: as each kind of gateway that it can be."""

import base64
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
from tests.simulator import SECRET, SimulatorProcess, start_simulator

HARD, SOFT = DeclineCategory.HARD, DeclineCategory.SOFT
STOP, LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD
DECLINES: Mapping[str, Verdict] = {
    "insufficient_funds": (SOFT, DeclineReason.INSUFFICIENT_FUNDS, LATER),
    "expired": (HARD, DeclineReason.EXPIRED_CARD, UPDATE),
    "lost_or_stolen": (HARD, DeclineReason.LOST_OR_STOLEN, STOP),
    "do_not_honor": (SOFT, DeclineReason.DO_NOT_HONOR, LATER),
    "fraud": (DeclineCategory.FRAUD, DeclineReason.GENERIC, STOP),
    "invalid_payment_method": (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE),
    "authentication_required": (
        DeclineCategory.ACTION_REQUIRED,
        DeclineReason.AUTHENTICATION_REQUIRED,
        UPDATE,
    ),
    "mandate_revoked": (HARD, DeclineReason.MANDATE_REVOKED, UPDATE),
    "limit_exceeded": (SOFT, DeclineReason.LIMIT_EXCEEDED, LATER),
    "issuer_unavailable": (SOFT, DeclineReason.ISSUER_UNAVAILABLE, LATER),
    "processing_error": (SOFT, DeclineReason.PROCESSING_ERROR, LATER),
    "account_not_enabled": (DeclineCategory.CONFIGURATION, DeclineReason.GENERIC, STOP),
    "generic": (SOFT, DeclineReason.GENERIC, LATER),
}
SECRETS = {
    Secret.PRESENT: "whsec_" + base64.b64encode(b"the present secret of tests").decode(),
    Secret.PREVIOUS: "whsec_" + base64.b64encode(b"the secret before that one!").decode(),
    Secret.ANOTHER: "whsec_" + base64.b64encode(b"somebody else has this one!").decode(),
}
RUNNING = {"error": {"code": "idempotency_key_in_use", "message": "Still running.", "param": None}}
OBJECTS = {EventKind.PAYMENT: "charge", EventKind.REFUND: "refund"}
WORDS = {
    ("POST", "customers"): Verb.CUSTOMER,
    ("POST", "setups"): Verb.SETUP,
    ("DELETE", "payment_methods"): Verb.DETACH,
    ("POST", "charges"): Verb.CHARGE,
    ("POST", "refunds"): Verb.REFUND,
    ("GET", "charges"): Verb.LOOKUP,
    ("GET", "refunds"): Verb.LOOKUP,
}


@dataclass
class SimulatorHarness:
    """The simulator, as its own process; `repeating` says what kind of gateway it is to be."""

    process: SimulatorProcess
    repeating: str = "native_key"
    gateway: str = "simulator"
    currency: str = "EUR"
    lacks: Mapping[Trait, str] = field(default_factory=dict)
    declines: Mapping[str, Verdict] = field(default_factory=lambda: DECLINES)
    canned: Mapping[Fault, Canned] = field(
        default_factory=lambda: {Fault.RUNNING: Canned(409, orjson.dumps(RUNNING))}
    )

    @property
    def url(self) -> str:
        return self.process.url

    def account(self, base_url: str) -> AccountSettings:
        return AccountSettings(
            AccountMode.TEST,
            credentials={"secret_key": SecretStr(SECRET)},
            options={"repeating": self.repeating},
            webhook_secrets=(
                SecretStr(SECRETS[Secret.PRESENT]),
                SecretStr(SECRETS[Secret.PREVIOUS]),
            ),
            base_url=base_url,
        )

    def stranger(self, base_url: str) -> AccountSettings:
        wrong = {"secret_key": SecretStr("sk_sim_a_canary_that_nobody_knows")}
        return AccountSettings(AccountMode.TEST, credentials=wrong, base_url=base_url)

    def verb(self, sent: Sent) -> Verb | None:
        parts = urlsplit(sent.path).path.strip("/").split("/")
        if parts[-1] in {"capture", "void"}:
            return Verb(parts[-1])
        return WORDS.get((sent.method, parts[1] if len(parts) > 1 else ""))

    async def keep(self, behaviour: Behaviour) -> Kept:
        return self._keep(f"pm_sim_{behaviour}")

    async def keep_declining(self, word: str) -> Kept:
        return self._keep(f"pm_sim_declined_{word}")

    def _keep(self, behaves_like: str) -> Kept:
        code = ids.show("cus", ids.new_id())
        who = CustomerDetails(code, f"{code}@example.com", "Ada Example", "+15550100", "IE")
        customer = self._post("/v1/customers", {"reference": code})["id"]
        body = {"behaves_like": behaves_like, "customer": customer}
        return Kept(self._post("/v1/payment_methods", body)["id"], customer, who)

    async def moved(self, our_reference: str) -> Moved:
        rows = self.process.ledger(our_reference)["transactions"]
        live = [row for row in rows if row["status"] in {"succeeded", "authorized"}]

        def total(kind: str, status: str) -> int:
            wanted = (r for r in live if (r["kind"], r["status"]) == (kind, status))
            return sum(row["amount"] for row in wanted)

        return Moved(
            charged=total("charge", "succeeded"),
            refunded=total("refund", "succeeded"),
            held=total("charge", "authorized"),
            times=len(live),
            currency=live[0]["currency"] if live else None,
        )

    async def books(self, window: TimeWindow) -> list[Entry]:
        start, end = (at.timestamp() * 1_000 for at in (window.start, window.end))
        return [
            Entry(row["id"], TransactionKind(row["kind"]), row["amount"], row["currency"])
            for row in self.process.ledger()["transactions"]
            if row["status"] == "succeeded" and start <= row["created_at"] < end
        ]

    async def settle(self) -> None:
        """Its pending things end by themselves, within half a second."""

    async def customer_acts(self, waiting: RequiresAction, *, confirms: bool) -> None:
        path = f"/actions/{waiting.gateway_reference}/confirm"
        self._confirm(path, waiting.client_secret, confirms)

    async def customer_sets_up(self, started: SetupStarted, *, confirms: bool) -> Mapping[str, str]:
        path = f"/setups/{started.gateway_reference}/confirm"
        self._confirm(path, started.client_secret, confirms)
        return {}

    def _confirm(self, path: str, secret: str | None, confirms: bool) -> None:
        refusal = {} if confirms else {"decline_code": "authentication_required"}
        self._post(path, {"client_secret": secret, **refusal})

    async def send_back(self, refund_reference: str) -> None:
        self._post(f"/v1/refunds/{refund_reference}/return", {})

    async def dispute(self, payment_reference: str) -> str:
        dispute: str = self._post("/v1/disputes", {"charge": payment_reference})["id"]
        return dispute

    async def decide(self, dispute_reference: str, *, is_won: bool) -> None:
        status = {"status": "won" if is_won else "lost"}
        self._post(f"/v1/disputes/{dispute_reference}", status)

    def delivery(self, wanted: Delivered) -> WebhookDelivery:
        kind = OBJECTS[wanted.kind]
        body = orjson.dumps(
            {
                "id": wanted.event_id,
                "type": f"{kind}.succeeded",
                "account": "acct_other" if wanted.is_of_another_account else "acct_sim",
                "livemode": wanted.is_live,
                "created_at": int(wanted.at.timestamp() * 1_000),
                "data": {
                    "object": kind,
                    "id": wanted.reference,
                    "reference": wanted.our_reference,
                },
            }
        )
        return signed(wanted.event_id, wanted.at, body, SECRETS[wanted.signed_with])

    def _post(self, path: str, body: Mapping[str, object]) -> Any:
        key = {"Idempotency-Key": ids.show("key", ids.new_id())}
        return self.process.request("POST", path, json=body, headers=key)


def signed(event_id: str, at: datetime, body: bytes, secret: str) -> WebhookDelivery:
    """A delivery as Standard Webhooks signs it, reckoned here anew."""
    stamp = str(int(at.astimezone(UTC).timestamp()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{event_id}.{stamp}.".encode() + body, "sha256")
    headers = {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
    return WebhookDelivery(headers, body, at)


@asynccontextmanager
async def simulator(tmp_path: Path) -> AsyncIterator[SimulatorHarness]:
    """Native keys, kept for ever."""
    with start_simulator(tmp_path) as process:
        yield SimulatorHarness(process)


@asynccontextmanager
async def simulator_per_order(tmp_path: Path) -> AsyncIterator[SimulatorHarness]:
    """One success per order, and no keys for charges."""
    with start_simulator(tmp_path) as process:
        yield SimulatorHarness(process, "per_order")


@asynccontextmanager
async def simulator_without_keys(tmp_path: Path) -> AsyncIterator[SimulatorHarness]:
    """Whatever comes again is done again."""
    with start_simulator(tmp_path) as process:
        yield SimulatorHarness(process, "none")
