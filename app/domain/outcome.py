"""What a gateway can answer to a charge, a refund or a look-up: values, never exceptions.

Outcome        Succeeded | Authorized | Pending | RequiresAction | Declined | Voided
               | Unknown | NotExecuted
RefundOutcome  Refunded | RefundPending | RefundDeclined | Unknown | NotExecuted
VoidOutcome    Voided | VoidDeclined | Unknown | NotExecuted
Lookup         Found | NotFound | Inconclusive, of a charge or a refund

Three of them are easily confused and must not be. `Declined` says for certain that this charge
moves no money. `NotExecuted` says for certain that this *call* did nothing: the same request may be
sent again with the same key. `Unknown` says nothing: money may have moved, and until that is known
nothing else may charge the invoice.

Amounts are whole minor units, in the gateway's own words: they are compared, never assumed.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar


class DeclineCategory(StrEnum):
    """What kind of no it was; dunning decides by this and by the advice."""

    HARD = "hard"
    """This payment method will not work again."""
    SOFT = "soft"
    """It may work another day."""
    ACTION_REQUIRED = "action_required"
    """It works when the customer is present."""
    FRAUD = "fraud"
    """Somebody takes it for fraud."""
    CONFIGURATION = "configuration"
    """The merchant's account does not allow it; the customer can do nothing about it."""


class DeclineReason(StrEnum):
    """Why, in one vocabulary for all gateways."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    EXPIRED_CARD = "expired_card"
    DO_NOT_HONOR = "do_not_honor"
    LOST_OR_STOLEN = "lost_or_stolen"
    INVALID_PAYMENT_METHOD = "invalid_payment_method"
    AUTHENTICATION_REQUIRED = "authentication_required"
    MANDATE_REVOKED = "mandate_revoked"
    LIMIT_EXCEEDED = "limit_exceeded"
    ISSUER_UNAVAILABLE = "issuer_unavailable"
    PROCESSING_ERROR = "processing_error"
    GENERIC = "generic"


class DeclineAdvice(StrEnum):
    """What the card schemes let us do next; trying against `do_not_retry` costs the merchant."""

    DO_NOT_RETRY = "do_not_retry"
    RETRY_LATER = "retry_later"
    UPDATE_PAYMENT_METHOD = "update_payment_method"


@dataclass(frozen=True, slots=True)
class DeclineInfo:
    """A refusal in our words, and in the gateway's own code for those who ask there."""

    category: DeclineCategory
    reason: DeclineReason
    gateway_code: str
    advice: DeclineAdvice
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """Money moved: exactly `amount_minor` of `currency`, whatever was asked for."""

    gateway_reference: str
    amount_minor: int
    currency: str
    network_transaction_id: str | None = None
    """The card scheme's name for it: proof of the customer's consent for later charges."""
    fee_minor: int | None = None
    """What the gateway kept, in the same currency; None when it does not say."""

    def __post_init__(self) -> None:
        assert type(self.amount_minor) is int, "amounts are whole minor units"
        assert self.amount_minor > 0, "a charge that succeeded moved something"


@dataclass(frozen=True, slots=True)
class Authorized:
    """Money is held and has not moved: `amount_minor` may be captured until `expires_at`."""

    gateway_reference: str
    amount_minor: int
    currency: str
    expires_at: datetime | None = None
    network_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """The gateway has it and will know later, by `expected_by` if it says so; nothing is to be sent
    again.
    """

    gateway_reference: str | None
    network_transaction_id: str | None = None
    expected_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class RequiresAction:
    """The customer must do something first: at `action_url` if the gateway has such a page, or in
    the shop's own page with `client_secret` if the gateway's script asks for one.
    """

    gateway_reference: str | None
    action_url: str | None = None
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Declined:
    """A definite no: this charge moves no money, now or later."""

    info: DeclineInfo
    gateway_reference: str | None = None
    network_transaction_id: str | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Anything not definite: a time-out, a reset, a 5xx, an answer that makes no sense.

    `cause` is a short word for people and metrics (`timeout`, `unreadable_answer`).
    """

    cause: str
    gateway_reference: str | None = None


@dataclass(frozen=True, slots=True)
class NotExecuted:
    """This call provably did nothing: never connected, or turned away before it was looked at.

    It speaks of this call alone. A replay that was not executed leaves an earlier `Unknown`
    exactly as unknown as it was.
    """

    cause: str
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Voided:
    """What was held or waited for the customer is given up: it moves no money, now or later."""

    gateway_reference: str


class VoidDeclineReason(StrEnum):
    """Why nothing was given up."""

    ALREADY_CAPTURED = "already_captured"
    NOT_FOUND = "not_found"
    NOT_VOIDABLE = "not_voidable"


@dataclass(frozen=True, slots=True)
class VoidDeclined:
    """A definite no: what there was stays as it is; look it up to learn how that is."""

    reason: VoidDeclineReason
    gateway_code: str


Outcome: TypeAlias = (
    Succeeded | Authorized | Pending | RequiresAction | Declined | Voided | Unknown | NotExecuted
)
VoidOutcome: TypeAlias = Voided | VoidDeclined | Unknown | NotExecuted


class RefundDeclineReason(StrEnum):
    """Why a refund was refused."""

    EXCEEDS_CAPTURED = "exceeds_captured"
    PAYMENT_NOT_FOUND = "payment_not_found"
    PAYMENT_NOT_REFUNDABLE = "payment_not_refundable"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class Refunded:
    """Money moved back: exactly `amount_minor` of `currency`."""

    gateway_reference: str
    amount_minor: int
    currency: str
    fee_minor: int | None = None

    def __post_init__(self) -> None:
        assert type(self.amount_minor) is int, "amounts are whole minor units"
        assert self.amount_minor > 0, "a refund that succeeded moved something"


@dataclass(frozen=True, slots=True)
class RefundPending:
    """The gateway has the refund and will know later."""

    gateway_reference: str | None


@dataclass(frozen=True, slots=True)
class RefundDeclined:
    """A definite no: this refund moves no money, now or later."""

    reason: RefundDeclineReason
    gateway_code: str
    gateway_reference: str | None = None


RefundOutcome: TypeAlias = Refunded | RefundPending | RefundDeclined | Unknown | NotExecuted

Answered_co = TypeVar("Answered_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Found(Generic[Answered_co]):
    """The gateway knows our reference; `outcome` is how that stands now.

    `others` names further objects that moved money under the same reference: the gateway did it
    twice, and somebody must be told.
    """

    outcome: Answered_co
    others: tuple[str, ...] = ()
    reference: str | None = None
    """Our reference as the gateway shows it; only where the look-up was by the gateway's own."""


@dataclass(frozen=True, slots=True)
class NotFound:
    """The gateway does not know our reference.

    `definitive` says that its look-up is complete, so absence is proof once the request is older
    than the look-up's freshness delay and the gateway's latest possible effect (`Capabilities`).
    """

    definitive: bool


@dataclass(frozen=True, slots=True)
class Inconclusive:
    """The look-up itself failed: nothing was learned, ask again later."""

    cause: str


PaymentLookup: TypeAlias = Found[Outcome] | NotFound | Inconclusive
RefundLookup: TypeAlias = Found[RefundOutcome] | NotFound | Inconclusive
