"""What the contract suite must know about a gateway to try its adapter: one `Harness` for each.

A harness stands for a *double* of the gateway: a server of your own that speaks its protocol and
keeps a ledger. The suite judges by that ledger, past the adapter, what really moved. You do **not**
write fault injection: between adapter and double the suite puts a `Line` (app.testing.line) that
loses, cuts, delays and spoils requests and answers; the harness only says which requests are which.

To add a gateway in this repository: write `tests/gateways/NAME_harness.py` with a class of this
shape and an async context manager that starts the double and yields the harness, and add one line
to `HARNESSES` in `tests/gateways/harnesses.py`. In a package of your own: a test module with

    from app.testing.gateway_contract import *

and a fixture `harness` that returns (or yields) your Harness; docs/gateways.md has it whole.

What a gateway cannot do is taken from its adapter's `Capabilities`, never asked here: without
`manual_capture` the suite demands that holding money is refused before anything is sent, and so on.
What its *double* cannot show stands in `lacks`, with a reason, and is reported as such.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

from app.domain.outcome import DeclineAdvice, DeclineCategory, DeclineReason, RequiresAction
from app.domain.vault import SetupStarted
from app.gateways.base import AccountSettings
from app.gateways.reports import EventKind, TransactionKind, WebhookDelivery
from app.gateways.requests import CustomerDetails, TimeWindow

Verdict: TypeAlias = tuple[DeclineCategory, DeclineReason, DeclineAdvice]


class Behaviour(StrEnum):
    """How charges on a payment method go."""

    OK = "ok"
    """They succeed, at once or (where the gateway works like that) after `settle`."""
    REQUIRES_ACTION = "requires_action"
    """They wait for the customer."""
    PENDING_THEN_SUCCEEDS = "pending_then_succeeds"
    PENDING_THEN_FAILS = "pending_then_fails"
    REFUND_PENDING = "refund_pending"
    """They succeed; refunds of them are pending until `settle`, then done."""
    REFUND_FAILS = "refund_fails"
    """They succeed; refunds of them are refused."""


class Trait(StrEnum):
    """What a double may be unable to show, because the gateway has no such thing."""

    REQUIRES_ACTION = "requires_action"
    REFUSAL_ENDS = "refusal_ends"
    """A customer who refuses to confirm a charge has ended it: it can be confirmed no more."""
    PENDING = "pending"
    REFUND_PENDING = "refund_pending"
    REFUND_FAILS = "refund_fails"
    REFUND_COMES_BACK = "refund_comes_back"
    """A refund that succeeded may be sent back by the customer's bank."""
    CUSTOMERS = "customers"
    """`create_customer` makes a request of its own."""
    SETUP_FAILS = "setup_fails"
    """A set-up that the customer fails can be told from one that is not finished."""
    WEBHOOK_TIME = "webhook_time"
    """What is signed bears a time, so that a recording can be refused."""
    WEBHOOK_SECRETS = "webhook_secrets"
    """Deliveries are signed with a secret shared with us, and there may be two of them."""
    WEBHOOK_ACCOUNT = "webhook_account"
    """A delivery says, beyond its signature, which account it is for."""
    WEBHOOK_MODE = "webhook_mode"
    """A delivery says whether it is of live mode."""


class Verb(StrEnum):
    """What one request on the wire is for; of a verb that takes several, the one that acts."""

    CUSTOMER = "customer"
    SETUP = "setup"
    """What begins a set-up."""
    DETACH = "detach"
    CHARGE = "charge"
    """The request by which money moves, not what prepares it."""
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    LOOKUP = "lookup"
    """`find_payment`, `fetch_payment`, `find_refund`, `fetch_refund`: any request of theirs."""


class Fault(StrEnum):
    """What goes wrong on the line, and whether the gateway did what it was asked all the same."""

    TIMEOUT_BEFORE = "timeout_before"
    """No effect, and no answer."""
    TIMEOUT_AFTER = "timeout_after"
    """The effect, and no answer."""
    RESET_BEFORE = "reset_before"
    """No effect; the connection is reset once the request is read."""
    RESET_AFTER = "reset_after"
    """The effect; then the connection is reset."""
    ERROR_BEFORE = "error_before"
    """No effect, and 500."""
    ERROR_AFTER = "error_after"
    """The effect, and 500."""
    CUT = "cut"
    """The effect, and half of its answer."""
    UNREADABLE = "unreadable"
    """The effect, and a page in place of its answer, with the answer's status."""
    LATE = "late"
    """500 now; the effect comes later."""
    RATE_LIMITED = "rate_limited"
    """No effect: turned away, to come back after `RETRY_AFTER_SECONDS`."""
    RUNNING = "running"
    """No effect of this request: one with the same key is still being worked on."""


HAPPENED = frozenset({Fault.TIMEOUT_AFTER, Fault.RESET_AFTER, Fault.ERROR_AFTER, Fault.CUT}) | {
    Fault.UNREADABLE
}
"""The faults after which the gateway has done what it was asked."""
RETRY_AFTER_SECONDS = 7


@dataclass(frozen=True, slots=True)
class Canned:
    """An answer as this gateway words it."""

    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it was on the wire; header names in lower case."""

    method: str
    path: str
    """With its query."""
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """A payment method that the double keeps, and its customer."""

    reference: str
    customer_reference: str | None
    customer: CustomerDetails


@dataclass(frozen=True, slots=True)
class Moved:
    """What the ledger says of one reference of ours: the truth."""

    charged: int = 0
    """Minor units that were taken."""
    refunded: int = 0
    """Minor units that went back (asked with a refund's reference)."""
    held: int = 0
    """Minor units authorised and neither captured nor given up."""
    times: int = 0
    """How many charges or refunds moved or hold money: more than one is the disaster."""
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One charge or refund in the ledger that moved money."""

    reference: str
    """The gateway's own."""
    kind: TransactionKind
    amount_minor: int
    currency: str


class Secret(StrEnum):
    """What a delivery is signed with."""

    PRESENT = "present"
    """The first of the account's `webhook_secrets`."""
    PREVIOUS = "previous"
    """The second."""
    ANOTHER = "another"
    """None of this account's."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """The delivery that the double is asked to make."""

    event_id: str
    kind: EventKind
    reference: str
    """The gateway's own name of what it is about."""
    our_reference: str | None
    at: datetime
    """When it is signed."""
    signed_with: Secret = Secret.PRESENT
    is_live: bool = False
    is_of_another_account: bool = False


class Harness(Protocol):
    """One gateway's double, ready to be tried. It serves any number of cases, one after another:
    each uses references and payment methods of its own.
    """

    @property
    def gateway(self) -> str:
        """The gateway's name in the registry: accounts are opened by `open_gateway`."""
        ...

    @property
    def url(self) -> str:
        """Where the double listens, on loopback."""
        ...

    @property
    def currency(self) -> str:
        """What the suite charges in where it does not matter."""
        ...

    @property
    def lacks(self) -> Mapping[Trait, str]:
        """What cannot be shown, and why."""
        ...

    @property
    def declines(self) -> Mapping[str, Verdict]:
        """Each of the gateway's words for a no that the double can speak, and how the adapter must
        judge it.
        """
        ...

    @property
    def canned(self) -> Mapping[Fault, Canned]:
        """How this gateway words RATE_LIMITED (usual: 429 with Retry-After), ERROR_BEFORE,
        ERROR_AFTER and LATE (500), RUNNING (no usual way: without one the case does not apply).
        """
        ...

    def account(self, base_url: str) -> AccountSettings:
        """A test account at the double, spoken to at `base_url`, with two `webhook_secrets` (the
        present one and the one before) where there are such things. The suite sets time-outs.
        """
        ...

    def stranger(self, base_url: str) -> AccountSettings:
        """An account whose credentials are well formed, and which the double does not accept."""
        ...

    def verb(self, sent: Sent) -> Verb | None:
        """What a request is for; None: for something else (a token, an order, a list)."""
        ...

    async def keep(self, behaviour: Behaviour) -> Kept:
        """A new payment method, of a new customer, on which charges go so."""
        ...

    async def keep_declining(self, word: str) -> Kept:
        """A new payment method on which every charge is declined with this word of `declines`."""
        ...

    async def moved(self, our_reference: str) -> Moved:
        """What the ledger says of a charge or refund with this reference."""
        ...

    async def books(self, window: TimeWindow) -> list[Entry]:
        """Every charge and refund of the window that moved money, from the ledger."""
        ...

    async def settle(self) -> None:
        """Let everything that takes its time at the gateway come to its end now: what is pending,
        the day's settlement, a look-up's delay, the time between a notice and its debit.
        """
        ...

    async def customer_acts(self, waiting: RequiresAction, *, confirms: bool) -> None:
        """The customer of a waiting charge confirms it, or refuses."""
        ...

    async def customer_sets_up(self, started: SetupStarted, *, confirms: bool) -> Mapping[str, str]:
        """The customer does their part of a set-up, or fails to; what the storefront gets back."""
        ...

    async def send_back(self, refund_reference: str) -> None:
        """The customer's bank sends a refund back that succeeded: its money is here again."""
        ...

    async def dispute(self, payment_reference: str) -> str:
        """The customer's bank takes a charge back; the gateway's reference of the dispute."""
        ...

    async def decide(self, dispute_reference: str, *, is_won: bool) -> None:
        """The dispute ends."""
        ...

    def delivery(self, wanted: Delivered) -> WebhookDelivery:
        """A delivery as the gateway makes it, rightly signed with the secret asked for."""
        ...
