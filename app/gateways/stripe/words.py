"""Stripe's words: of each object the fields that we act on, strict wherever money or a state is.

An answer with a state that is not listed here is unreadable, and so proves nothing: it is better to
ask a person than to guess. What cannot be expanded in every place is an object or its name.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from app.http import Answer

Readable = TypeVar("Readable", bound=BaseModel)


class Words(BaseModel):
    """What every object here has in common: unknown fields are passed over, and an input that does
    not fit is never repeated in an error.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class Listed(Words):
    """An object of a list, as far as paging needs it."""

    id: str


class BalanceTransaction(Words):
    """What an event did to the merchant's balance, in the currency of settlement."""

    object: Literal["balance_transaction"]
    id: str
    amount: int
    fee: int
    currency: str


class CardWords(Words):
    """A card that is kept."""

    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    fingerprint: str | None = None


class BankWords(Words):
    """A bank account or wallet, as far as any kind of them says the same things."""

    bank_name: str | None = None
    last4: str | None = None
    fingerprint: str | None = None


class PaymentMethod(Words):
    """A payment method; without a customer nobody can charge it any more."""

    object: Literal["payment_method"]
    id: str
    livemode: bool
    type: str
    customer: str | None = None
    card: CardWords | None = None
    us_bank_account: BankWords | None = None
    sepa_debit: BankWords | None = None
    bacs_debit: BankWords | None = None
    au_becs_debit: BankWords | None = None
    acss_debit: BankWords | None = None
    nz_bank_account: BankWords | None = None


class ChargedCard(Words):
    """A card as it was charged."""

    brand: str | None = None
    network: str | None = None
    network_transaction_id: str | None = None
    capture_before: int | None = None


class ChargedMethod(Words):
    """What was charged."""

    type: str
    card: ChargedCard | None = None


class ChargeOutcome(Words):
    """What Stripe's risk check and the network said."""

    advice_code: str | None = None
    network_advice_code: str | None = None
    network_decline_code: str | None = None
    reason: str | None = None


class BareIntent(Words):
    """The payment intent of a charge, expanded within it."""

    object: Literal["payment_intent"]
    id: str
    status: str
    latest_charge: str | None = None


class Charge(Listed):
    """One try to move money."""

    object: Literal["charge"]
    livemode: bool
    status: Literal["succeeded", "pending", "failed"]
    amount: int
    amount_captured: int
    amount_refunded: int
    captured: bool
    currency: str
    created: int
    payment_intent: BareIntent | str | None = None
    balance_transaction: BalanceTransaction | str | None = None
    metadata: Mapping[str, str]
    payment_method_details: ChargedMethod | None = None
    outcome: ChargeOutcome | None = None
    failure_code: str | None = None


class ErrorMethod(Words):
    """The payment method that an error is about."""

    id: str
    card: CardWords | None = None


class PaymentError(Words):
    """Why Stripe, a network or an issuer said no."""

    type: str
    code: str | None = None
    decline_code: str | None = None
    advice_code: str | None = None
    network_advice_code: str | None = None
    network_decline_code: str | None = None
    message: str | None = None
    param: str | None = None
    payment_method: ErrorMethod | None = None


class RedirectPage(Words):
    """A page of Stripe's or a bank's."""

    url: str | None = None


class NextAction(Words):
    """What the customer must do."""

    type: str
    redirect_to_url: RedirectPage | None = None


class CustomerNotice(Words):
    """A notice that must reach the customer before the money moves (cards of India)."""

    completes_at: int | None = None


class ProcessingCard(Words):
    """Why a card is still being processed."""

    customer_notification: CustomerNotice | None = None


class Processing(Words):
    """Why a payment is still being processed."""

    type: str
    card: ProcessingCard | None = None


class PaymentIntent(Listed):
    """A payment with all its tries."""

    object: Literal["payment_intent"]
    livemode: bool
    status: Literal[
        "canceled",
        "processing",
        "requires_action",
        "requires_capture",
        "requires_confirmation",
        "requires_payment_method",
        "succeeded",
    ]
    amount: int
    amount_capturable: int
    amount_received: int
    currency: str
    created: int
    metadata: Mapping[str, str]
    client_secret: SecretStr | None = None
    latest_charge: Charge | str | None = None
    last_payment_error: PaymentError | None = None
    next_action: NextAction | None = None
    processing: Processing | None = None


class Refund(Listed):
    """Money on its way back."""

    object: Literal["refund"]
    status: Literal["pending", "requires_action", "succeeded", "failed", "canceled"]
    amount: int
    currency: str
    created: int
    payment_intent: str | None = None
    charge: str | None = None
    balance_transaction: BalanceTransaction | str | None = None
    metadata: Mapping[str, str] | None = None
    failure_reason: str | None = None


class Mandate(Words):
    """The customer's consent to be debited."""

    object: Literal["mandate"]
    id: str
    livemode: bool
    status: Literal["active", "inactive", "pending"]
    type: str
    payment_method_details: Mapping[str, Any]


class SetupAttempt(Words):
    """One try to keep a payment method."""

    object: Literal["setup_attempt"]
    id: str
    livemode: bool
    payment_method_details: Mapping[str, Any]


class SetupIntent(Words):
    """A payment method that is to be kept."""

    object: Literal["setup_intent"]
    id: str
    livemode: bool
    status: Literal[
        "canceled",
        "processing",
        "requires_action",
        "requires_confirmation",
        "requires_payment_method",
        "succeeded",
    ]
    metadata: Mapping[str, str]
    customer: str | None = None
    client_secret: SecretStr | None = None
    payment_method: PaymentMethod | str | None = None
    mandate: Mandate | str | None = None
    latest_attempt: SetupAttempt | str | None = None
    last_setup_error: PaymentError | None = None
    cancellation_reason: str | None = None


class EvidenceDetails(Words):
    """By when a dispute wants an answer."""

    due_by: int | None = None


class Dispute(Listed):
    """A charge that a bank asks about, or takes back."""

    object: Literal["dispute"]
    livemode: bool
    status: Literal[
        "appeal_needs_response",
        "appeal_under_review",
        "lost",
        "needs_response",
        "prevented",
        "under_review",
        "warning_closed",
        "warning_needs_response",
        "warning_under_review",
        "won",
    ]
    amount: int
    currency: str
    created: int
    charge: str
    payment_intent: str | None = None
    reason: str | None = None
    balance_transactions: list[BalanceTransaction]
    evidence_details: EvidenceDetails


class Customer(Listed):
    """A customer of the merchant."""

    object: Literal["customer"]
    livemode: bool
    metadata: Mapping[str, str]


class ErrorBody(PaymentError):
    """An error as it travels; it may bring the payment along as it stands now."""

    payment_intent: PaymentIntent | None = None


class ErrorAnswer(Words):
    """An error, wrapped."""

    error: ErrorBody


class EventObject(Words):
    """What an event is about: only names are taken from it, never a state or an amount. It may be
    anything that Stripe has, so nothing of its shape is relied on.
    """

    object: Any = None
    id: Any = None
    payment_intent: Any = None
    charge: Any = None
    payment_method: Any = None
    metadata: Any = None

    def name(self, field: str) -> str | None:
        """The name that stands in `field`, if one does."""
        value = getattr(self, field)
        return value if isinstance(value, str) else None

    def ours(self, key: str | None) -> str | None:
        """Our reference of this key, if the object carries it."""
        value = self.metadata.get(key) if isinstance(self.metadata, dict) else None
        return value if isinstance(value, str) else None


class EventData(Words):
    """The wrapping of an event's object."""

    object: EventObject


class Event(Listed):
    """Something that happened at Stripe."""

    object: Literal["event"]
    type: str
    livemode: bool
    created: int
    account: str | None = None
    data: EventData


class Page(Words):
    """A page of a list, the newest first."""

    object: Literal["list"]
    has_more: bool
    data: Sequence[Listed]


class PaymentIntentPage(Page):
    """Payment intents."""

    data: list[PaymentIntent]


class RefundPage(Page):
    """Refunds."""

    data: list[Refund]


class ChargePage(Page):
    """Charges."""

    data: list[Charge]


class DisputePage(Page):
    """Disputes."""

    data: list[Dispute]


class EventPage(Page):
    """Events."""

    data: list[Event]


class CustomerPage(Page):
    """Customers."""

    data: list[Customer]


def read(model: type[Readable], answer: Answer) -> Readable | None:
    """The answer as a `model`, or None when it makes no sense."""
    try:
        return model.model_validate_json(answer.body, strict=True)
    except ValidationError:
        return None
