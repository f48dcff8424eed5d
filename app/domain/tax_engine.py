"""Taxes by the word of an outside engine: what it is asked, what it said, and what is billed by it.

An engine knows rates; amounts stay our own arithmetic. What it said is kept, and decisions read
what is kept: they ask nobody. What is not known yet they say by `Unanswered`, and whoever holds no
transaction asks, keeps the answer, and decides again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final, TypeAlias
from uuid import UUID

from app.domain.errors import Unavailable
from app.domain.pending import Taxation as AnyTaxation
from app.domain.places import Place
from app.domain.tax import TaxRate
from app.domain.taxation import Reason, Resolved, Seller, Taxation, TaxExempt, Treatment, billable


class FailPolicy(StrEnum):
    """What becomes of a bill while the engine gives no answer."""

    BLOCK = "block"
    """It waits: a request is refused for now, a renewal stays due."""
    USE_TABLE = "use_table"
    """It is taxed by the merchant's own table of rates."""


class FailureKind(StrEnum):
    """How an engine failed to answer."""

    UNREACHABLE = "unreachable"
    """It is away, too slow, or broken."""
    REFUSED = "refused"
    """It does not accept our call, or we do not call such an address."""
    UNREADABLE = "unreadable"
    """What it said is not an answer."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Who sells to whom."""

    merchant_id: UUID
    seller: Seller
    place: Place
    tax_exempt: TaxExempt = TaxExempt.NONE
    tax_ids: tuple[tuple[str, str], ...] = ()
    """The buyer's numbers that passed their check, as (type, compact form), in order."""

    def fingerprint(self) -> str:
        """The same for all whom an engine can but answer alike."""
        place = self.place
        parts = [
            [
                [one.country, one.region, one.scheme, one.home, one.valid_from, one.valid_until]
                for one in self.seller.registrations
            ],
            [place.country, place.region, place.postal_code, place.detached],
            self.tax_exempt,
            self.tax_ids,
        ]
        return sha256(json.dumps(parts, default=str).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Question:
    """Which taxes `subject` has on products of a tax code whose tax point is on `day`."""

    subject: Subject
    tax_code: str | None
    day: date


@dataclass(frozen=True, slots=True)
class SaidRate:
    """One tax of one jurisdiction, on top of the price unless the price says otherwise."""

    name: str
    jurisdiction: str
    percentage_ppm: int


REASONS: Final[Mapping[Reason, Treatment]] = {
    Reason.CUSTOMER_EXEMPT: Treatment.EXEMPT,
    Reason.SMALL_BUSINESS: Treatment.EXEMPT,
    Reason.REVERSE_CHARGE: Treatment.REVERSE_CHARGE,
    Reason.NOT_REGISTERED: Treatment.NOT_REGISTERED,
    Reason.OUTSIDE_SCOPE: Treatment.OUTSIDE_SCOPE,
    Reason.ZERO_RATED: Treatment.ZERO_RATED,
}
"""Why an engine may say that nothing is charged, and what the supply then is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The taxes, from the widest jurisdiction; `reason` says why rates of zero are zero."""

    rates: tuple[SaidRate, ...]
    reason: Reason | None = None

    def __post_init__(self) -> None:
        assert self.reason is None or self.reason in REASONS
        assert self.rates or self.reason is not None, "nothing is charged for a reason only"


@dataclass(frozen=True, slots=True)
class Failure:
    """There is no answer; `detail` is a short word for people."""

    kind: FailureKind
    detail: str


@dataclass(frozen=True, slots=True)
class Away:
    """The engine gave no answer; until then it is not asked again."""

    until: datetime


Kept: TypeAlias = Resolved | Away
Topic: TypeAlias = tuple[str | None, date]
"""A tax code and a day."""

RETRY_SECONDS: Final = 60
"""How long an engine that failed is left alone."""


class Unanswered(Unavailable):
    """What is to be billed depends on an answer that is not there; nothing was changed.

    With `away` the engine has just failed to give it; otherwise nobody has asked yet.
    """

    code = "tax_engine_unavailable"
    retry_after_seconds = RETRY_SECONDS

    def __init__(self, question: Question, away: Away | None) -> None:
        super().__init__("The tax engine gives no answer at the moment; try again later.")
        self.question = question
        self.away = away


@dataclass(frozen=True, slots=True, eq=False)
class EngineTaxation:
    """What a buyer is charged, by what the engine said; shared by all buyers who are alike."""

    subject: Subject
    policy: FailPolicy
    table: Taxation
    kept: Mapping[Topic, Kept]
    last_day: date | None = None
    """No day after it is asked about: what is foreseen is taxed as of that day."""

    def resolved(self, tax_code: str | None, at: datetime) -> Resolved:
        """The tax on products of `tax_code` whose tax point is `at`, and why. Raises Unanswered."""
        topic = self.topic(tax_code, at)
        kept = self.kept.get(topic)
        if isinstance(kept, Resolved):
            return kept
        if kept is not None and self.policy is FailPolicy.USE_TABLE:
            return self.table.resolved(tax_code, at)
        raise Unanswered(Question(self.subject, *topic), kept)

    def rates(self, tax_code: str | None, at: datetime) -> tuple[TaxRate, ...]:
        """The rates for a line; zero ones say why they are. Raises Unanswered, InvalidRequest."""
        return billable(self.resolved(tax_code, at), self.subject.place, tax_code)

    def topic(self, tax_code: str | None, at: datetime) -> Topic:
        """What the engine is asked about for such a tax point."""
        day = at.astimezone(self.table.zone).date()
        return tax_code, day if self.last_day is None else min(day, self.last_day)

    def question(self, tax_code: str | None, at: datetime) -> Question | None:
        """What is still to be asked for such a tax point."""
        topic = self.topic(tax_code, at)
        return None if topic in self.kept else Question(self.subject, *topic)

    def foreseen(self, now: datetime) -> "EngineTaxation":
        """The same for a look ahead: a future day is taxed as today is."""
        return replace(self, last_day=now.astimezone(self.table.zone).date())


def foreseen(taxation: AnyTaxation | None, now: datetime) -> AnyTaxation | None:
    """How taxes are found in a look ahead: an engine is not asked about days to come."""
    return taxation.foreseen(now) if isinstance(taxation, EngineTaxation) else taxation


def resolved(rates: tuple[TaxRate, ...], reason: Reason | None, country: str) -> Resolved:
    """What an answer means for a line; its rates carry their names in our books."""
    said = tuple(
        rate if rate.rate_ppm or reason is None else replace(rate, reason=reason.value)
        for rate in rates
    )
    if any(rate.rate_ppm for rate in said):
        return Resolved(said, Treatment.TAXABLE, None, country)
    why = reason or Reason.ZERO_RATED
    return Resolved(said, REASONS[why], why, country)
