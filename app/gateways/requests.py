"""What is asked of a gateway: each request complete, so that equal requests make equal bytes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Sequence(StrEnum):
    """Where a charge stands in the series that the customer agreed to."""

    INITIAL = "initial"
    SUBSEQUENT = "subsequent"


@dataclass(frozen=True, slots=True)
class CustomerDetails:
    """A customer, as far as a gateway wants to know; `reference` is our public id."""

    reference: str
    email: str | None = None
    name: str | None = None
    phone: str | None = None
    country: str | None = None
    """ISO 3166, two letters."""


@dataclass(frozen=True, slots=True)
class CustomerRequest:
    """One customer to be known at the gateway."""

    idempotency_key: str
    customer: CustomerDetails


@dataclass(frozen=True, slots=True)
class SetupRequest:
    """The beginning of a set-up: a payment method is to be kept for later off-session charges."""

    setup_code: str
    """Our reference, at most 20 characters; unique for ever."""
    idempotency_key: str
    customer: CustomerDetails
    customer_reference: str | None = None
    """The gateway's own customer, if there is one already."""
    return_url: str | None = None
    """Where a page of the gateway's sends the customer afterwards."""
    cancel_url: str | None = None
    currency: str | None = None
    """In which the method will be charged, where a mandate must say so."""
    amount_max_minor: int | None = None
    """The most that one charge of a mandate may be."""
    expires_at: datetime | None = None
    """Until when a mandate lasts."""
    description: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What else this gateway's set-up may be told, in its own words; others are told nothing."""


@dataclass(frozen=True, slots=True)
class SetupCompletion:
    """A set-up that the customer has done their part of, or may have: how does it stand?

    `parameters` is what the gateway's script gave the storefront (a one-time token, an order with
    its signature); the adapter verifies whatever in it can be forged.
    """

    setup_code: str
    idempotency_key: str
    gateway_reference: str
    customer: CustomerDetails
    customer_reference: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MethodReference:
    """A payment method at the gateway."""

    reference: str
    customer_reference: str | None = None


@dataclass(frozen=True, slots=True)
class ChargeRequest:
    """One off-session charge, complete: equal requests make byte-identical calls."""

    attempt_code: str
    """Our reference, by which `find_payment` finds it again; 20 characters, unique for ever."""
    idempotency_key: str
    amount_minor: int
    currency: str
    payment_method_reference: str
    invoice_number: str
    description: str
    sequence: Sequence = Sequence.SUBSEQUENT
    customer_reference: str | None = None
    customer: CustomerDetails | None = None
    network_transaction_id: str | None = None
    """The scheme's name for the first charge of the series, where one is known."""
    original_amount_minor: int | None = None
    """What that first charge was."""
    method_type: str = "card"
    is_captured: bool = True
    """False: money is only held, for a later capture."""
    not_before: datetime | None = None
    """The moment the customer was promised; a gateway with lead time is called earlier."""


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """Take what was authorised, in whole or in part; what is left of it is given up."""

    idempotency_key: str
    payment_reference: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class VoidRequest:
    """Give up an authorisation, or a charge that waits for its customer."""

    idempotency_key: str
    payment_reference: str


@dataclass(frozen=True, slots=True)
class RefundRequest:
    """One refund of a charge that succeeded, in whole or in part."""

    refund_code: str
    """Our reference, by which `find_refund` finds it again; 20 characters, unique for ever."""
    idempotency_key: str
    payment_reference: str
    """The gateway's own reference of the charge (`Succeeded.gateway_reference`)."""
    amount_minor: int
    currency: str
    payment_amount_minor: int | None = None
    """What the charge was: some gateways give back a whole one in another way than a part."""
    last_four: str | None = None
    """Of the card that was charged, where a gateway wants it again."""


@dataclass(frozen=True, slots=True)
class PaymentQuery:
    """Which charge is looked for: by our reference, with whatever narrows the search."""

    reference: str
    created_at: datetime | None = None
    """When it was first sent, by our clock."""
    gateway_reference: str | None = None
    customer_reference: str | None = None
    payment_method_reference: str | None = None
    amount_minor: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class RefundQuery:
    """Which refund is looked for: by our reference, with whatever narrows the search."""

    reference: str
    created_at: datetime | None = None
    gateway_reference: str | None = None
    payment_reference: str | None = None
    amount_minor: int | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """From `start` on and before `end`."""

    start: datetime
    end: datetime
