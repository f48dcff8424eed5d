"""Razorpay's answers, as far as we read them; amounts are whole minor units, times Unix seconds."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from app.http import Answer

ATTEMPT: Final = "perennial_attempt"
"""The note that carries our code of a charge."""
REFUND: Final = "perennial_refund"
"""The note that carries our code of a refund."""
SETUP: Final = "perennial_setup"
"""The note that carries our code of a set-up."""
WORD: Final = re.compile(r"[a-z_]{1,60}")


def _mapping(value: Any) -> Any:
    """Nothing to note is an empty list there."""
    return {} if value is None or value == [] else value


Notes: TypeAlias = Annotated[dict[str, Any], BeforeValidator(_mapping)]
Known: TypeAlias = Annotated[str, Field(min_length=1, max_length=64)]


def spoken(word: str) -> str:
    """A word of Razorpay's as it may be part of one of ours; whatever is none is not repeated."""
    said = word.lower()
    return said if WORD.fullmatch(said) else "unlisted"


def moment(seconds: int) -> datetime:
    """Unix seconds as a moment."""
    return datetime.fromtimestamp(seconds, UTC)


class Listed(BaseModel):
    """Anything that lists are made of."""

    id: Known
    created_at: int


class Customer(BaseModel):
    """A customer."""

    id: Known
    email: str | None = None
    contact: str | None = None


class Notification(BaseModel):
    """The notice that is given to the customer before a debit."""

    payment_after: int | None = None
    delivered_at: int | None = None


class Order(Listed):
    """What payments are made for: one of them may succeed."""

    amount: int
    currency: str
    receipt: str | None = None
    status: str
    attempts: int = 0
    customer_id: str | None = None
    notification: Notification | None = None
    notes: Notes = {}


class Payment(Listed):
    """A payment on an order."""

    amount: int
    currency: str
    status: str
    order_id: str | None = None
    method: str | None = None
    captured: bool | None = None
    amount_refunded: int = 0
    customer_id: str | None = None
    token_id: str | None = None
    notes: Notes = {}
    fee: int | None = None
    base_currency: str | None = None
    error_code: str | None = None
    error_reason: str | None = None
    acquirer_data: Notes = {}

    @property
    def attempt(self) -> str | None:
        """Our code of the charge that it was made for."""
        noted = self.notes.get(ATTEMPT)
        return noted if isinstance(noted, str) and noted else None

    @property
    def our_reference(self) -> str | None:
        """Our code of the charge or of the set-up that it was made for."""
        noted = self.attempt or self.notes.get(SETUP)
        return noted if isinstance(noted, str) else None

    @property
    def fee_minor(self) -> int | None:
        """What Razorpay kept, where that is in the payment's own currency."""
        if self.fee is None or (self.base_currency or self.currency) != self.currency:
            return None
        return self.fee

    @property
    def bank_reference(self) -> str | None:
        """What the customer's bank calls it."""
        for name in ("rrn", "upi_transaction_id", "bank_transaction_id"):
            value = self.acquirer_data.get(name)
            if isinstance(value, str) and value:
                return value
        return None


class Refund(Listed):
    """Money that goes back."""

    amount: int
    currency: str
    payment_id: str
    receipt: str | None = None
    notes: Notes = {}
    status: str | None = None

    @property
    def our_reference(self) -> str | None:
        """Our code of it."""
        noted = self.notes.get(REFUND)
        return noted if isinstance(noted, str) else self.receipt


class Card(BaseModel):
    """The card behind a token; months and years come as numbers or as text."""

    last4: str | None = None
    network: str | None = None
    expiry_month: int | str | None = None
    expiry_year: int | str | None = None


class Recurring(BaseModel):
    """How a mandate stands."""

    status: str | None = None
    failure_reason: str | None = None


class Token(BaseModel):
    """A payment method that is kept, and the mandate to charge it."""

    id: Known
    method: str
    bank: str | None = None
    wallet: str | None = None
    card: Card | None = None
    recurring_details: Recurring | None = None
    mrn: str | None = None
    max_amount: int | None = None
    expired_at: int | None = None
    notes: Notes = {}

    @property
    def standing(self) -> str:
        """`initiated`, `confirmed`, `rejected`, `cancelled` or `paused`."""
        said = None if self.recurring_details is None else self.recurring_details.status
        return said or "initiated"


class Dispute(Listed):
    """A charge that the customer's bank takes back."""

    payment_id: str
    amount: int
    currency: str
    amount_deducted: int = 0
    reason_code: str | None = None
    respond_by: int | None = None
    status: str


class Charged(BaseModel):
    """The answer to a recurring payment: it exists, and what becomes of it is not known yet."""

    razorpay_payment_id: Known
    razorpay_order_id: str | None = None
    razorpay_signature: str | None = None


Entry = TypeVar("Entry", bound=Listed)


class Page(BaseModel, Generic[Entry]):
    """A page of a list."""

    items: list[Entry]


class Problem(BaseModel):
    """Why nothing was done."""

    code: str
    description: str = ""
    field: str | None = None
    reason: str | None = None
    metadata: Notes = {}

    @property
    def payment_id(self) -> str | None:
        """The payment that failed, where there is one."""
        found = self.metadata.get("payment_id")
        return found if isinstance(found, str) else None


class Refused(BaseModel):
    """A problem, wrapped as it travels."""

    error: Problem


Readable = TypeVar("Readable", bound=BaseModel)


def read(model: type[Readable], answer: Answer) -> Readable | None:
    """The answer as a `model`, or None when it makes no sense."""
    try:
        return model.model_validate_json(answer.body, strict=True)
    except ValidationError:
        return None
