"""Authorize.net's answers as they are read: leniently about what we do not use, exactly otherwise.

Amounts are Decimal from the first moment: the JSON has bare numbers.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from app.domain import currency as currencies

BOM: Final = "utf-8-sig"
"""Every answer starts with a byte order mark, which JSON has no place for."""
NOBODY: Final = "0"
"""The transaction id of what made no transaction."""


class Unreadable(Exception):
    """An answer that makes no sense."""


def utc(moment: datetime) -> datetime:
    """A moment with its zone; the gateway's UTC fields sometimes leave the Z out."""
    return moment if moment.tzinfo else moment.fromisoformat(f"{moment.isoformat()}+00:00")


Moment = Annotated[datetime, AfterValidator(utc)]


class Part(BaseModel):
    """Some object in an answer."""

    model_config = ConfigDict(coerce_numbers_to_str=True, frozen=True)


class Order(Part):
    """What was said of the order; the invoice number is our reference."""

    invoice: str = Field("", alias="invoiceNumber")


class ProfileIds(Part):
    """Which customer and payment method a transaction was of."""

    customer: str = Field("", alias="customerProfileId")
    method: str = Field("", alias="customerPaymentProfileId")


class Fault(Part):
    """Why a transaction was declined, or could not be."""

    code: str = Field(alias="errorCode")


class Note(Part):
    """What is said of a transaction that was approved."""

    code: str = ""


class PrePaid(Part):
    """A card with a balance, which may have paid only a part."""

    approved: Decimal | None = Field(None, alias="approvedAmount")


class Transacted(Part):
    """The answer to a transaction; it does not repeat the amount."""

    response: str = Field(alias="responseCode")
    id: str = Field("", alias="transId")
    is_test: str = Field("0", alias="testRequest")
    errors: tuple[Fault, ...] = ()
    messages: tuple[Note, ...] = ()
    profile: ProfileIds | None = None
    prepaid: PrePaid | None = Field(None, alias="prePaidCard")
    network_id: str | None = Field(None, alias="networkTransId")

    @property
    def reference(self) -> str | None:
        """The gateway's name of it, if there is one."""
        return None if self.id in ("", NOBODY) else self.id

    @property
    def moved_nothing(self) -> bool:
        """Approved in test mode, which makes no transaction and says so. An approval that merely
        leaves its transaction out says nothing.
        """
        return self.is_test == "1" or self.id == NOBODY

    @property
    def code(self) -> str:
        """The first reason given; of what was approved, what is said of it."""
        said = [*(fault.code for fault in self.errors), *(note.code for note in self.messages)]
        return said[0] if said else f"response_{self.response}"


class Card(Part):
    """A card, masked."""

    number: str = Field("", alias="cardNumber")
    expiry: str = Field("", alias="expirationDate")
    brand: str | None = Field(None, alias="cardType")


class BankAccount(Part):
    """A bank account, masked."""

    type: str = Field("", alias="accountType")
    routing: str = Field("", alias="routingNumber")
    number: str = Field("", alias="accountNumber")
    holder: str = Field("", alias="nameOnAccount")
    bank: str | None = Field(None, alias="bankName")


class Payment(Part):
    """What paid."""

    card: Card | None = Field(None, alias="creditCard")
    bank_account: BankAccount | None = Field(None, alias="bankAccount")


class ReturnedItem(Part):
    """A bank debit that came back."""

    returned_at: Moment | None = Field(None, alias="dateUTC")
    code: str = ""


class Details(Part):
    """One transaction as it stands now."""

    id: str = Field(alias="transId")
    origin: str | None = Field(None, alias="refTransId")
    submitted_at: Moment = Field(alias="submitTimeUTC")
    type: str = Field(alias="transactionType")
    status: str = Field(alias="transactionStatus")
    reason: str = Field("", alias="responseReasonCode")
    order: Order = Order()
    authorized: Decimal = Field(Decimal(), alias="authAmount")
    settling: Decimal = Field(Decimal(), alias="settleAmount")
    payment: Payment = Payment()
    profile: ProfileIds | None = None
    returned: tuple[ReturnedItem, ...] = Field((), alias="returnedItems")
    network_id: str | None = Field(None, alias="networkTransId")

    @property
    def amount(self) -> Decimal:
        """What it is of: settling, or authorised when nothing settles."""
        return self.settling or self.authorized


class Summary(Part):
    """One transaction in a list."""

    id: str = Field(alias="transId")
    submitted_at: Moment = Field(alias="submitTimeUTC")
    status: str = Field(alias="transactionStatus")
    invoice: str = Field("", alias="invoiceNumber")
    amount: Decimal = Field(Decimal(), alias="settleAmount")
    has_returned: bool = Field(False, alias="hasReturnedItems")


class Statistic(Part):
    """How often something happened in a batch, for one brand of cards."""

    returned: int = Field(0, alias="returnedItemCount")
    charged_back: int = Field(0, alias="chargebackCount")
    reversed: int = Field(0, alias="chargeChargeBackCount")
    charges_returned: int = Field(0, alias="chargeReturnedItemsCount")

    @property
    def has_disputes(self) -> bool:
        """Whether a bank took something back."""
        return bool(self.returned + self.charged_back + self.reversed + self.charges_returned)


class Batch(Part):
    """Transactions that were settled together."""

    id: str = Field(alias="batchId")
    statistics: tuple[Statistic, ...] | None = None

    @property
    def may_have_disputes(self) -> bool:
        """Whether its list must be read to know of disputes."""
        return self.statistics is None or any(one.has_disputes for one in self.statistics)


class Method(Part):
    """A payment method in the vault."""

    id: str = Field(alias="customerPaymentProfileId")
    customer: str = Field("", alias="customerProfileId")
    payment: Payment = Payment()
    network_id: str | None = Field(None, alias="originalNetworkTransId")


class Customer(Part):
    """A customer in the vault, with every payment method."""

    id: str = Field(alias="customerProfileId")
    code: str = Field("", alias="merchantCustomerId")
    methods: tuple[Method, ...] = Field((), alias="paymentProfiles")


Read = TypeVar("Read", bound=BaseModel)


def parse(body: bytes) -> Mapping[str, Any]:
    """The JSON of an answer, its numbers exact. Raises Unreadable."""
    try:
        whole = json.loads(body.decode(BOM), parse_float=Decimal)
    except ValueError:  # it holds what it could not read
        raise Unreadable from None
    if not isinstance(whole, dict):
        raise Unreadable
    return whole


def read(model: type[Read], part: object) -> Read:
    """A part of an answer as a `model`. Raises Unreadable, and never quotes what it read."""
    try:
        return model.model_validate(part)
    except ValidationError:
        raise Unreadable from None


def minor_units(amount: Decimal, currency: str) -> int:
    """An amount in whole minor units, exactly. Raises Unreadable."""
    try:
        scaled = abs(amount).scaleb(currencies.exponent(currency))
        whole = int(scaled)
    except (InvalidOperation, OverflowError, ValueError) as error:
        raise Unreadable from error
    if whole != scaled:
        raise Unreadable
    return whole
