"""What a document says, before it has a language or a form: parties, lines, taxes and totals.

Amounts are minor units of the document's currency. `total` is always lines less discounts plus the
taxes on top; what is left to pay follows from it. Everything a renderer shows stands in here, so
that the same document always gives the same bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

INSTANT = timedelta(microseconds=1)
"""Periods are half-open: their last day is the one that holds the instant before the end."""


class Kind(StrEnum):
    """What a document is."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"
    DRAFT = "draft"
    PREVIEW = "preview"


class TaxCategory(StrEnum):
    """How VAT treats an amount, by its code in UNTDID 5305."""

    STANDARD = "S"
    ZERO = "Z"
    EXEMPT = "E"
    REVERSE_CHARGE = "AE"
    INTRA_COMMUNITY = "K"
    EXPORT = "G"
    OUTSIDE = "O"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a party is; `country` is ISO 3166-1 alpha-2."""

    line1: str | None = None
    line2: str | None = None
    postal_code: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Party:
    """Who sells or who buys."""

    name: str
    address: Address = Address()
    tax_id: str | None = None
    registration_number: str | None = None
    email: str | None = None
    phone: str | None = None
    website: str | None = None


@dataclass(frozen=True, slots=True)
class Logo:
    """A picture of the seller's: PNG or SVG, checked when it was stored."""

    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Branding:
    """How the seller's documents look."""

    logo: Logo | None = None
    accent_color: str = "#1f2937"
    footer: str | None = None


@dataclass(frozen=True, slots=True)
class BankAccount:
    """Where a transfer goes."""

    iban: str
    holder: str | None = None
    bic: str | None = None


@dataclass(frozen=True, slots=True)
class Tax:
    """One tax on one line: `taxable` is the net amount it was reckoned on, `amount` the tax."""

    name: str
    rate_ppm: int
    category: TaxCategory
    taxable: int
    amount: int
    inclusive: bool = False


@dataclass(frozen=True, slots=True)
class Period:
    """A half-open interval of time."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """A priced position; below zero it gives something back. `amount` is before the discount."""

    description: str
    amount: int
    quantity: int = 1
    kind: str = "period"
    period: Period | None = None
    unit: str | None = None
    discount_amount: int = 0
    taxes: tuple[Tax, ...] = ()

    @property
    def net(self) -> int:
        """What the line comes to after its discount, without any tax."""
        inside = sum(tax.amount for tax in self.taxes if tax.inclusive)
        return self.amount - self.discount_amount - inside


@dataclass(frozen=True, slots=True)
class Corrected:
    """The invoice that a credit note corrects."""

    number: str
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Document:
    """An invoice or a credit note, as it is to be read."""

    kind: Kind
    number: str | None
    language: str
    zone: str
    currency: str
    seller: Party
    buyer: Party
    issued_at: datetime
    lines: tuple[Line, ...]
    subtotal: int
    discount_total: int
    tax_total: int
    tax_added: int
    total: int
    credit_applied: int = 0
    """What the customer's balance paid."""
    amount_credited: int = 0
    """What credit notes took off what was due."""
    amount_paid: int = 0
    due_at: datetime | None = None
    paid_at: datetime | None = None
    voided_at: datetime | None = None
    period: Period | None = None
    charged_automatically: bool = False
    corrects: Corrected | None = None
    reason: str | None = None
    branding: Branding = Branding()
    bank: BankAccount | None = None
    payment_instructions: str | None = None
    payment_link: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def amount_due(self) -> int:
        """What is still to be paid."""
        return self.total - self.credit_applied - self.amount_credited - self.amount_paid

    @property
    def is_final(self) -> bool:
        """Whether it was issued and still stands."""
        return self.kind in {Kind.INVOICE, Kind.CREDIT_NOTE} and self.voided_at is None

    @property
    def taxes(self) -> tuple[Tax, ...]:
        """Each rate and category once, summed over the lines, in order of first use."""
        return summed(tax for line in self.lines for tax in line.taxes)

    @property
    def categories(self) -> frozenset[TaxCategory]:
        """How VAT treats what is in here."""
        return frozenset(tax.category for line in self.lines for tax in line.taxes)

    def day(self, at: datetime) -> date:
        """The calendar day of an instant, in the document's time zone."""
        return at.astimezone(ZoneInfo(self.zone)).date()

    def days(self, period: Period) -> tuple[date, date]:
        """The first and the last day of a period, both inside it."""
        last = max(period.start, period.end - INSTANT)
        return self.day(period.start), self.day(last)


def summed(taxes: Iterable[Tax]) -> tuple[Tax, ...]:
    """Taxes of the same name, rate, category and kind as one, in order of first appearance."""
    totals: dict[tuple[str, int, TaxCategory, bool], Tax] = {}
    for tax in taxes:
        key = (tax.name, tax.rate_ppm, tax.category, tax.inclusive)
        known = totals.get(key)
        if known is None:
            totals[key] = tax
        else:
            totals[key] = Tax(
                *key[:3], known.taxable + tax.taxable, known.amount + tax.amount, tax.inclusive
            )
    return tuple(totals.values())
