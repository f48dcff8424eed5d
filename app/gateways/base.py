"""What every payment gateway adapter promises.

An adapter turns one gateway's words into the values of app.domain.outcome, vault and dispute. It
holds no billing rule, opens no transaction, and retries nothing: what to do about an uncertain
answer is the engine's decision, driven by `Capabilities`, never by a gateway's name. One verb may
take several requests (an order, then its payment), as long as repeating it is no more dangerous
than its declared repeatability says.

Declines, unknowns and refused refunds are values. Exceptions are for what no retry will mend, and
one raised by a verb that moves money or changes the vault promises that the call was not executed:

GatewayError
├── ConfigurationError    this account cannot be opened with these settings
├── AuthenticationError   the gateway does not accept the credentials
├── InvalidRequestError   the gateway cannot accept what we sent: a fault in our code or settings
├── ListingFailed         its books cannot be read to the end just now; ask again later
├── WebhookRefused        a delivery that is not the gateway's, or not for this account
└── WebhookUnverifiable   whether it is cannot be told just now: let the gateway deliver it again
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from pydantic import SecretStr

from app.domain.dispute import DisputeLookup, DisputeReport
from app.domain.outcome import (
    Outcome,
    PaymentLookup,
    RefundLookup,
    RefundOutcome,
    VoidOutcome,
)
from app.domain.vault import CustomerOutcome, DetachOutcome, MethodLookup, SetupOutcome
from app.gateways.capabilities import Capabilities
from app.gateways.reports import GatewayEvent, GatewayTransaction, WebhookDelivery
from app.gateways.requests import (
    CaptureRequest,
    ChargeRequest,
    CustomerRequest,
    MethodReference,
    PaymentQuery,
    RefundQuery,
    RefundRequest,
    SetupCompletion,
    SetupRequest,
    TimeWindow,
    VoidRequest,
)

CONNECT_TIMEOUT_SECONDS: Final = 5
"""Beyond this a gateway is down, and a connection that was never made is safely not executed."""
TOTAL_TIMEOUT_SECONDS: Final = 80
"""Longer than any gateway's own limit: giving up early makes unknowns out of slow successes."""


class GatewayError(Exception):
    """Configuration or programming is at fault; the message is safe to show to an operator."""


class ConfigurationError(GatewayError):
    """This account cannot be opened with these settings."""


class AuthenticationError(GatewayError):
    """The gateway does not accept the credentials."""


class InvalidRequestError(GatewayError):
    """The gateway cannot accept what we sent; `code` and `param` are the gateway's own words."""

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class ListingFailed(GatewayError):
    """The gateway's books cannot be read to the end just now; nothing may be concluded from what
    was read.
    """


class WebhookRefused(GatewayError):
    """The delivery is not this gateway's, not for this account, or not of this mode."""


class WebhookUnverifiable(GatewayError):
    """What would prove the delivery cannot be reached just now."""


class AccountMode(StrEnum):
    """Whether an account moves real money."""

    TEST = "test"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """One merchant's account at one gateway, as an adapter needs it."""

    mode: AccountMode
    credentials: Mapping[str, SecretStr] = field(default_factory=dict)
    """By the name of a `CredentialField`."""
    options: Mapping[str, str] = field(default_factory=dict)
    """What is set and is no secret, by the name of a `CredentialField`."""
    webhook_secrets: tuple[SecretStr, ...] = ()
    """What deliveries are verified by: the present one, then the one before it while it counts."""
    base_url: str | None = None
    """Where to speak to instead of the usual address; refused for a live account."""
    connect_timeout_seconds: int = CONNECT_TIMEOUT_SECONDS
    total_timeout_seconds: int = TOTAL_TIMEOUT_SECONDS


@dataclass(frozen=True, slots=True)
class CredentialField:
    """One thing that an account needs to be opened; the API asks for it by `name`.

    A value that begins with one of the other mode's prefixes is refused: a live key never serves a
    test account, nor the other way about.
    """

    name: str
    description: str
    is_secret: bool = True
    is_required: bool = True
    test_prefixes: tuple[str, ...] = ()
    live_prefixes: tuple[str, ...] = ()
    pattern: str | None = None
    """A regular expression that the whole value matches."""
    is_about_lead_time: bool = False
    """Whether it says how early the account's charges must be submitted."""


class CredentialCheck(StrEnum):
    """What the gateway says to our credentials."""

    VALID = "valid"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


class Gateway(Protocol):
    """One open account at one gateway. Safe for any number of calls at once on one event loop."""

    @property
    def name(self) -> str:
        """The word by which accounts choose this gateway."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the engine may rely on at this account."""
        ...

    # ── the customer and the vault ────────────────────────────────────────────────────────────────

    async def create_customer(self, request: CustomerRequest) -> CustomerOutcome:
        """Make the customer known at the gateway; one who is known already is found."""
        ...

    async def start_setup(self, request: SetupRequest) -> SetupOutcome:
        """Begin to keep a payment method: what the storefront needs for the customer's part."""
        ...

    async def complete_setup(self, request: SetupCompletion) -> SetupOutcome:
        """What became of a set-up, and whatever is left to do of it. May be called at any time and
        again: a set-up leads to one payment method.
        """
        ...

    async def get_payment_method(self, method: MethodReference) -> MethodLookup:
        """How the gateway keeps it now; changes nothing."""
        ...

    async def detach_payment_method(
        self, method: MethodReference, *, idempotency_key: str
    ) -> DetachOutcome:
        """Let go of it: nothing can charge it any more. One that is gone is `Detached`."""
        ...

    # ── money ─────────────────────────────────────────────────────────────────────────────────────

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Take money off-session, or hold it, once per idempotency key."""
        ...

    async def capture(self, request: CaptureRequest) -> Outcome:
        """Take what was held, once per idempotency key."""
        ...

    async def void(self, request: VoidRequest) -> VoidOutcome:
        """Give up what was held or waits for the customer; captured money is not touched."""
        ...

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """Give money back, once per idempotency key."""
        ...

    # ── finding out; none of it changes anything ──────────────────────────────────────────────────

    async def find_payment(self, query: PaymentQuery) -> PaymentLookup:
        """How the charge with our reference stands now."""
        ...

    async def fetch_payment(self, gateway_reference: str) -> PaymentLookup:
        """How the charge that the gateway calls so stands now, with our reference in `Found`."""
        ...

    async def find_refund(self, query: RefundQuery) -> RefundLookup:
        """How the refund with our reference stands now."""
        ...

    async def fetch_refund(
        self, gateway_reference: str, payment_reference: str | None = None
    ) -> RefundLookup:
        """How the refund that the gateway calls so stands now, with our reference in `Found`."""
        ...

    async def fetch_dispute(self, gateway_reference: str) -> DisputeLookup:
        """How a dispute stands now."""
        ...

    def list_transactions(self, window: TimeWindow) -> AsyncIterator[GatewayTransaction]:
        """Every charge and refund made in the window, in any order, each once. Raises
        ListingFailed where the list breaks off.
        """
        ...

    def list_disputes(self, window: TimeWindow) -> AsyncIterator[DisputeReport]:
        """Every dispute opened or changed in the window. Raises ListingFailed."""
        ...

    async def check_credentials(self) -> CredentialCheck:
        """Whether the gateway accepts this account's credentials."""
        ...

    # ── what the gateway tells ────────────────────────────────────────────────────────────────────

    async def verify_webhook(self, delivery: WebhookDelivery) -> tuple[GatewayEvent, ...]:
        """What a delivery is about, once it is proved to be the gateway's and for this account.

        Raises WebhookRefused, WebhookUnverifiable. Nothing is parsed before the proof.
        """
        ...

    async def aclose(self) -> None:
        """Close every connection; the gateway is not used afterwards."""
        ...


class GatewayFactory(Protocol):
    """What an adapter offers to the registry. Opening does no I/O; raises ConfigurationError."""

    @property
    def name(self) -> str:
        """The word by which accounts choose this gateway."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What the engine may rely on at any account."""
        ...

    @property
    def fields(self) -> tuple[CredentialField, ...]:
        """What an account needs to be opened."""
        ...

    def __call__(self, account: AccountSettings) -> Gateway: ...
