"""What every payment gateway adapter promises, and what the engine may know about it.

An adapter turns one gateway's words into the values of app.domain.outcome. It holds no billing
rule, opens no transaction, and retries nothing: each call is one request, and what to do about an
uncertain answer is the engine's decision, driven by `Capabilities` and never by a gateway's name.

Declines, unknowns and refused refunds are values. Exceptions are for what no retry will mend, and
one raised by `charge` or `refund` promises that this call was not executed:

GatewayError
├── ConfigurationError    this account cannot be opened with these settings
├── AuthenticationError   the gateway does not accept the credentials
└── InvalidRequestError   the gateway cannot accept what we sent: a fault in our code or settings
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final, Protocol, TypeAlias

from pydantic import SecretStr

from app.domain.outcome import Outcome, PaymentLookup, RefundLookup, RefundOutcome

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


class AccountMode(StrEnum):
    """Whether an account moves real money."""

    TEST = "test"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """One merchant's account at one gateway, as an adapter needs it."""

    mode: AccountMode
    credentials: Mapping[str, SecretStr] = field(default_factory=dict)
    base_url: str | None = None
    """Where to speak to instead of the usual address; refused for a live account."""
    connect_timeout_seconds: int = CONNECT_TIMEOUT_SECONDS
    total_timeout_seconds: int = TOTAL_TIMEOUT_SECONDS


@dataclass(frozen=True, slots=True)
class NativeKey:
    """The gateway answers a repeated key with the first answer, while it remembers the key."""

    ttl_seconds: int
    margin_seconds: int
    """How long before the end of that life we stop trusting it."""

    def covers(self, age_seconds: int) -> bool:
        """Whether a request first sent `age_seconds` ago may be sent again, byte for byte."""
        return 0 <= age_seconds < self.ttl_seconds - self.margin_seconds


@dataclass(frozen=True, slots=True)
class PerOrder:
    """One success per order object: look the order up, then repeat only on that same order."""


@dataclass(frozen=True, slots=True)
class FuzzyWindow:
    """The gateway may refuse a lookalike within the window: a belt, never a licence to repeat."""

    window_seconds: int


@dataclass(frozen=True, slots=True)
class NoKey:
    """A repetition is a second execution: look up only, never send again."""


Repeatability: TypeAlias = NativeKey | PerOrder | FuzzyWindow | NoKey


class AmountFormat(StrEnum):
    """How amounts travel to the gateway."""

    MINOR_INTEGER = "minor_integer"
    DECIMAL_STRING = "decimal_string"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the engine must know about a gateway, as data."""

    charge_repeatability: Repeatability
    refund_repeatability: Repeatability
    lookup_freshness_seconds: int
    """A payment this old is visible to a look-up, if it exists."""
    effect_latest_seconds: int
    """A request sent this long ago has had its effect by now, or never will."""
    reference_length_max: int
    amount_format: AmountFormat
    currencies: frozenset[str] | None = None
    """None means whatever ISO 4217 knows."""
    requires_lead_time_seconds: int = 0
    """How long before the due moment a charge must be submitted."""
    moves_real_money: bool = True
    """False for a gateway that only pretends: it is refused for live accounts."""

    def absence_is_proof(self, age_seconds: int) -> bool:
        """Whether a definitive "not found" of a request this old means it was never executed."""
        return age_seconds > max(self.lookup_freshness_seconds, self.effect_latest_seconds)


class Sequence(StrEnum):
    """Where a charge stands in the series that the customer agreed to."""

    INITIAL = "initial"
    SUBSEQUENT = "subsequent"


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """One off-session charge, complete: equal requests make byte-identical calls."""

    attempt_code: str
    """Our reference, by which `find_payment` finds it again; unique for ever."""
    idempotency_key: str
    amount_minor: int
    currency: str
    payment_method_reference: str
    invoice_number: str
    description: str
    sequence: Sequence = Sequence.SUBSEQUENT
    customer_reference: str | None = None


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """One refund of a charge that succeeded, in whole or in part."""

    refund_code: str
    """Our reference, by which `find_refund` finds it again; unique for ever."""
    idempotency_key: str
    payment_reference: str
    """The gateway's own reference of the charge (`Succeeded.gateway_reference`)."""
    amount_minor: int
    currency: str


class CredentialCheck(StrEnum):
    """What the gateway says to our credentials."""

    VALID = "valid"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


class Gateway(Protocol):
    """One open account at one gateway. Safe for any number of calls at once on one event loop."""

    name: ClassVar[str]
    capabilities: ClassVar[Capabilities]

    async def charge(self, request: ChargeRequest) -> Outcome:
        """Take money off-session, once per idempotency key."""
        ...

    async def refund(self, request: RefundRequest) -> RefundOutcome:
        """Give money back, once per idempotency key."""
        ...

    async def find_payment(self, reference: str) -> PaymentLookup:
        """How the charge with our `reference` stands now; changes nothing."""
        ...

    async def find_refund(self, reference: str) -> RefundLookup:
        """How the refund with our `reference` stands now; changes nothing."""
        ...

    async def check_credentials(self) -> CredentialCheck:
        """Whether the gateway accepts this account's credentials; changes nothing."""
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
        """What the engine may rely on."""
        ...

    def __call__(self, account: AccountSettings) -> Gateway: ...
