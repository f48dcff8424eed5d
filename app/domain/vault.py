"""How a payment method comes to be kept at a gateway, and what may be known of it.

CustomerOutcome  CustomerSaved | Unknown | NotExecuted
SetupOutcome     SetupStarted | MethodSaved | SetupPending | SetupFailed | Unknown | NotExecuted
DetachOutcome    Detached | Unknown | NotExecuted
MethodLookup     Found | NotFound | Inconclusive, of a SavedMethod

A card number never comes here: the customer gives it to the gateway's own page or script, and what
comes back is a token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from app.domain.outcome import (
    DeclineInfo,
    Found,
    Inconclusive,
    NotExecuted,
    NotFound,
    Unknown,
)


class SetupFlow(StrEnum):
    """What the storefront does to let the customer enter a payment method."""

    CLIENT_SECRET = "client_secret"  # noqa: S105  a way of doing it, no secret
    """The gateway's script in the shop's page confirms with a secret made for this customer."""
    REDIRECT = "redirect"
    """The customer approves on the gateway's page and comes back."""
    CHECKOUT = "checkout"
    """The gateway's script opens its own form with the parameters given."""
    TOKENIZATION = "tokenization"
    """The gateway's script turns the card into a one-time token, which completes the set-up."""


class MethodType(StrEnum):
    """What kind of thing is charged."""

    CARD = "card"
    WALLET = "wallet"
    BANK_ACCOUNT = "bank_account"
    MANDATE = "mandate"


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """A payment method as the gateway keeps it; `reference` is what charges name."""

    reference: str
    customer_reference: str | None = None
    type: MethodType = MethodType.CARD
    brand: str | None = None
    last_four: str | None = None
    expiry_month: int | None = None
    expiry_year: int | None = None
    network_transaction_id: str | None = None
    """The scheme's name for the customer's first consent, where the set-up obtained one."""
    fingerprint: str | None = None
    """The same for the same card, however often it is entered; only where the gateway says."""
    mandate: Mapping[str, str] = field(default_factory=dict)
    """Of a mandate: its reference, its highest amount in minor units, its end."""
    is_usable: bool = True
    """False once it is detached, cancelled or paused at the gateway."""


@dataclass(frozen=True, slots=True)
class SetupStarted:
    """The customer's turn: what the storefront needs for this gateway's `SetupFlow`.

    `parameters` go to the gateway's script as they are; nothing in them is secret to the customer.
    """

    gateway_reference: str
    flow: SetupFlow
    customer_reference: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    redirect_url: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MethodSaved:
    """The payment method is kept at the gateway and can be charged off-session."""

    method: SavedMethod
    gateway_reference: str | None = None


@dataclass(frozen=True, slots=True)
class SetupPending:
    """The customer has not finished, or the gateway has not: ask again later."""

    gateway_reference: str


@dataclass(frozen=True, slots=True)
class SetupFailed:
    """A definite no: this set-up leads to no payment method; the customer may begin another."""

    info: DeclineInfo
    gateway_reference: str | None = None


SetupOutcome: TypeAlias = (
    SetupStarted | MethodSaved | SetupPending | SetupFailed | Unknown | NotExecuted
)


@dataclass(frozen=True, slots=True)
class CustomerSaved:
    """The gateway knows the customer as `reference`."""

    reference: str


@dataclass(frozen=True, slots=True)
class Detached:
    """The gateway keeps the payment method no longer, or never did: nothing can charge it."""


CustomerOutcome: TypeAlias = CustomerSaved | Unknown | NotExecuted
DetachOutcome: TypeAlias = Detached | Unknown | NotExecuted
MethodLookup: TypeAlias = Found[SavedMethod] | NotFound | Inconclusive
