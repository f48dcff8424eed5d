"""What the contract suite must know about a gateway to test its adapter; one harness for each.

A harness names the tokens that make each outcome, switches faults on, and asks the gateway's own
books, past the adapter, what really moved. A new adapter is tested by writing one of these.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pydantic import SecretStr

from app import ids
from app.domain.outcome import DeclineAdvice, DeclineCategory, DeclineReason
from app.gateways.base import AccountMode, AccountSettings, Gateway
from app.gateways.registry import open_gateway
from app.gateways.requests import ChargeRequest, RefundRequest
from tests.simulator import SimulatorProcess, free_port

Verdict = tuple[DeclineCategory, DeclineReason, DeclineAdvice]


class Harness(Protocol):
    """One gateway, ready to be tried."""

    tokens: Mapping[str, str]
    """For `ok`, `requires_action`, `pending_then_succeeds`, `pending_then_fails`, `refund_fails`,
    `refund_pending`: the payment method that does it."""
    declines: Mapping[str, Verdict]
    """Payment method → how the adapter must judge its decline."""

    def account(self) -> AccountSettings: ...
    def open(self, account: AccountSettings | None = None) -> Gateway: ...
    def set_fault(self, kind: str, **fields: Any) -> None: ...
    def clear_faults(self) -> None: ...
    def charged(self, reference: str) -> int: ...
    def refunded(self, reference: str) -> int: ...
    def charged_currencies(self, reference: str) -> set[str]: ...


HARD, SOFT = DeclineCategory.HARD, DeclineCategory.SOFT
STOP, LATER = DeclineAdvice.DO_NOT_RETRY, DeclineAdvice.RETRY_LATER
UPDATE = DeclineAdvice.UPDATE_PAYMENT_METHOD
SIMULATOR_DECLINES: dict[str, Verdict] = {
    "pm_sim_declined_insufficient_funds": (SOFT, DeclineReason.INSUFFICIENT_FUNDS, LATER),
    "pm_sim_declined_expired": (HARD, DeclineReason.EXPIRED_CARD, UPDATE),
    "pm_sim_declined_lost_or_stolen": (HARD, DeclineReason.LOST_OR_STOLEN, STOP),
    "pm_sim_declined_do_not_honor": (SOFT, DeclineReason.DO_NOT_HONOR, LATER),
    "pm_sim_declined_fraud": (DeclineCategory.FRAUD, DeclineReason.GENERIC, STOP),
    "pm_sim_declined_invalid_payment_method": (
        HARD,
        DeclineReason.INVALID_PAYMENT_METHOD,
        UPDATE,
    ),
    "pm_no_such_token": (HARD, DeclineReason.INVALID_PAYMENT_METHOD, UPDATE),
    "pm_sim_declined_authentication_required": (
        DeclineCategory.ACTION_REQUIRED,
        DeclineReason.AUTHENTICATION_REQUIRED,
        UPDATE,
    ),
    "pm_sim_declined_mandate_revoked": (HARD, DeclineReason.MANDATE_REVOKED, UPDATE),
    "pm_sim_declined_limit_exceeded": (SOFT, DeclineReason.LIMIT_EXCEEDED, LATER),
    "pm_sim_declined_issuer_unavailable": (SOFT, DeclineReason.ISSUER_UNAVAILABLE, LATER),
    "pm_sim_declined_processing_error": (SOFT, DeclineReason.PROCESSING_ERROR, LATER),
    "pm_sim_declined_account_not_enabled": (
        DeclineCategory.CONFIGURATION,
        DeclineReason.GENERIC,
        STOP,
    ),
    "pm_sim_declined_generic": (SOFT, DeclineReason.GENERIC, LATER),
}


@dataclass
class SimulatorHarness:
    """The simulator, as its own process."""

    process: SimulatorProcess
    tokens: Mapping[str, str]
    declines: Mapping[str, Verdict]

    @classmethod
    def of(cls, process: SimulatorProcess) -> "SimulatorHarness":
        names = "ok requires_action pending_then_succeeds pending_then_fails refund_fails"
        tokens = {name: f"pm_sim_{name}" for name in [*names.split(), "refund_pending"]}
        return cls(process, tokens, SIMULATOR_DECLINES)

    def account(self) -> AccountSettings:
        return AccountSettings(
            AccountMode.TEST,
            credentials={"secret_key": SecretStr("sk_sim_test")},
            base_url=self.process.url,
            total_timeout_seconds=20,
        )

    def open(self, account: AccountSettings | None = None) -> Gateway:
        return open_gateway("simulator", account or self.account())

    def set_fault(self, kind: str, **fields: Any) -> None:
        self.process.set_fault(kind, **fields)

    def clear_faults(self) -> None:
        self.process.clear_faults()

    def charged(self, reference: str) -> int:
        return self.process.charged(reference)

    def refunded(self, reference: str) -> int:
        return self.process.refunded(reference)

    def charged_currencies(self, reference: str) -> set[str]:
        return set(self.process.ledger(reference)["totals"])


def impatient(harness: Harness) -> AccountSettings:
    """An account that gives up after a second: for faults that never answer."""
    return replace(harness.account(), total_timeout_seconds=1)


def unreachable(harness: Harness) -> AccountSettings:
    """An account at an address where nothing listens."""
    return replace(harness.account(), base_url=f"http://127.0.0.1:{free_port()}")


def charge_of(token: str, amount_minor: int = 1999, currency: str = "EUR") -> ChargeRequest:
    """A charge that nobody has made before."""
    code = ids.show("att", ids.new_id())
    return ChargeRequest(
        attempt_code=code,
        idempotency_key=code,
        amount_minor=amount_minor,
        currency=currency,
        payment_method_reference=token,
        invoice_number="INV-000042",
        description="Team plan, May",
        customer_reference="cus_4711",
    )


def refund_of(payment: str, amount_minor: int, currency: str = "EUR") -> RefundRequest:
    """A refund that nobody has asked for before."""
    code = ids.show("re", ids.new_id())
    return RefundRequest(
        refund_code=code,
        idempotency_key=code,
        payment_reference=payment,
        amount_minor=amount_minor,
        currency=currency,
    )
