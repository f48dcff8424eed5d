"""Which tax a supply carries: by who sells, who buys, where, what, and on which day.

The rules are those of services supplied electronically. In the EU (Council Directive 2006/112/EC)
a business in another member state accounts for the tax itself (articles 44 and 196); a consumer
pays the rate of where they live (article 58), once the seller declares it there, itself or through
the one-stop shop, and before that the seller's own (article 59c).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, tzinfo
from enum import StrEnum
from typing import Final

from app.domain.errors import InvalidRequest
from app.domain.places import Place, locate
from app.domain.tax import TaxRate


class Treatment(StrEnum):
    """What a supply is to the tax office."""

    TAXABLE = "taxable"
    ZERO_RATED = "zero_rated"
    REVERSE_CHARGE = "reverse_charge"
    EXEMPT = "exempt"
    NOT_REGISTERED = "not_registered"
    OUTSIDE_SCOPE = "outside_scope"

    @property
    def category(self) -> str:
        """The VAT category code of an electronic invoice (EN 16931, UNCL 5305)."""
        return CATEGORIES[self]


CATEGORIES: Final = {
    Treatment.TAXABLE: "S",
    Treatment.ZERO_RATED: "Z",
    Treatment.REVERSE_CHARGE: "AE",
    Treatment.EXEMPT: "E",
    Treatment.NOT_REGISTERED: "O",
    Treatment.OUTSIDE_SCOPE: "O",
}


class Reason(StrEnum):
    """Why a treatment was chosen, where its name alone does not say it."""

    CUSTOMER_EXEMPT = "customer_exempt"
    SMALL_BUSINESS = "small_business"
    REVERSE_CHARGE = "reverse_charge"
    NOT_REGISTERED = "not_registered"
    OUTSIDE_SCOPE = "outside_scope"
    ZERO_RATED = "zero_rated"
    NO_RATE = "no_rate"
    """Tax is due there, but the merchant's table has no rate for it."""
    LOCATION_UNKNOWN = "location_unknown"
    """The buyer's country is not known, so it is taken to be the seller's."""


NOTES: Final = {
    Reason.REVERSE_CHARGE: "VATEX-EU-AE",
    Reason.OUTSIDE_SCOPE: "VATEX-EU-O",
    Reason.NOT_REGISTERED: "VATEX-EU-O",
}
"""The reasons that the EU's list of VAT exemption reason codes (VATEX) has a code for."""


class Scheme(StrEnum):
    """On which terms a merchant is registered."""

    STANDARD = "standard"
    OSS = "oss"
    SMALL_BUSINESS = "small_business"
    NONE = "none"
    """Not registered, said outright."""


class TaxExempt(StrEnum):
    """What a merchant says of a customer, whatever its address and numbers say."""

    NONE = "none"
    EXEMPT = "exempt"
    REVERSE = "reverse"


class Level(StrEnum):
    """Whose tax it is, from the widest: taxes of different levels add up."""

    COUNTRY = "country"
    REGION = "region"
    COUNTY = "county"
    CITY = "city"
    DISTRICT = "district"


LEVELS: Final = tuple(Level)


@dataclass(frozen=True, slots=True)
class TableRate:
    """A rate and what it applies to: an empty set or None means everything."""

    rate: TaxRate
    country: str
    region: str | None = None
    level: Level = Level.COUNTRY
    priority: int = 0
    """Rates of one level compete; those with different priorities add up."""
    postal_codes: tuple[str, ...] = ()
    """How postal codes begin."""
    tax_codes: frozenset[str] = frozenset()
    valid_from: date | None = None
    valid_until: date | None = None

    def holds(self, day: date) -> bool:
        """Whether it is in force on `day`."""
        return _holds(self.valid_from, self.valid_until, day)

    def reaches(self, place: Place) -> bool:
        """Whether it is a tax of `place`."""
        if self.country != place.country:
            return False
        if self.region is None:
            return not place.detached and self._has(place.postal_code)
        return self.region == place.region and self._has(place.postal_code)

    def taxes_code(self, tax_code: str | None) -> bool:
        """Whether it is a tax on products of that code."""
        return not self.tax_codes or tax_code in self.tax_codes

    def _has(self, postal_code: str) -> bool:
        return not self.postal_codes or postal_code.startswith(self.postal_codes)

    @property
    def detail(self) -> tuple[bool, bool, int, date, int]:
        """How specific it is: of several that compete the greatest wins, and of equals the newer.

        What is sold counts before where, and a younger validity before an older one.
        """
        return (
            bool(self.tax_codes),
            self.region is not None,
            max(map(len, self.postal_codes), default=0),
            self.valid_from or date.min,
            self.rate.id.int,
        )


@dataclass(frozen=True, slots=True)
class Registration:
    """Where a merchant owes tax; `home` is where it is established."""

    country: str
    region: str | None = None
    scheme: Scheme = Scheme.STANDARD
    home: bool = False
    valid_from: date | None = None
    valid_until: date | None = None

    def holds(self, day: date) -> bool:
        """Whether it is in force on `day`."""
        return _holds(self.valid_from, self.valid_until, day)

    def covers(self, place: Place) -> bool:
        """Whether `place` is where it was made for."""
        if self.country != place.country or self.scheme is Scheme.OSS:
            return False
        return not place.detached if self.region is None else self.region == place.region

    @property
    def binds_in_the_eu(self) -> bool:
        """Whether it makes the EU's tax the merchant's affair: at home there, or registered."""
        return _place_of(self).is_eu and (self.home or self.scheme is not Scheme.NONE)

    def charges(self, rate: TableRate) -> bool:
        """Whether it obliges to charge `rate`: one of a region does so for that region's only."""
        return self.region is None or rate.region == self.region


@dataclass(frozen=True, slots=True)
class Seller:
    """A merchant, by its registrations."""

    registrations: tuple[Registration, ...] = ()

    @property
    def home_countries(self) -> set[str]:
        """Where it is or was established, and will be."""
        return {one.country for one in self.registrations if one.home}

    def on(self, day: date) -> tuple[Registration, ...]:
        """The registrations in force on `day`, the newest first."""
        held = [one for one in self.registrations if one.holds(day)]
        return tuple(sorted(held, key=lambda one: one.valid_from or date.min, reverse=True))


@dataclass(frozen=True, slots=True)
class Buyer:
    """A customer: where it is, what it is said to be, and the countries of its valid tax ids.

    `vat_countries` are the member states of its EU VAT numbers, `id_countries` the countries of
    its other numbers; invalid ones are in neither.
    """

    place: Place | None = None
    tax_exempt: TaxExempt = TaxExempt.NONE
    vat_countries: frozenset[str] = frozenset()
    id_countries: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Resolved:
    """What is charged, and why. A tax that is spared stands there as zero, naming the reason."""

    rates: tuple[TaxRate, ...]
    treatment: Treatment
    reason: Reason | None = None
    country: str | None = None
    """Where the supply is taxed."""

    @property
    def note(self) -> str | None:
        """The VATEX code for invoices, where the EU's list has one."""
        return None if self.reason is None else NOTES.get(self.reason)


BUSINESSES_PAY_THEMSELVES: Final = frozenset({"AU", "GB", "IN", "NO", "NZ", "SG"})
"""Outside the EU: where a foreign supplier, though registered, charges consumers only."""


def resolve(
    seller: Seller,
    buyer: Buyer,
    rates: Sequence[TableRate],
    tax_code: str | None,
    at: date,
) -> Resolved:
    """The tax on what `seller` supplies to `buyer` on the day `at`, its tax point."""
    held = seller.on(at)
    home = next((one for one in held if one.home), None)
    in_force = [rate for rate in rates if rate.holds(at) and rate.taxes_code(tax_code)]
    supply = _Supply(held, home, buyer, in_force)
    if buyer.place is not None:
        return supply.in_place(buyer.place)
    if home is None:
        return Resolved((), Treatment.NOT_REGISTERED, Reason.LOCATION_UNKNOWN)
    assumed = supply.in_place(_place_of(home))
    return replace(assumed, reason=assumed.reason or Reason.LOCATION_UNKNOWN)


@dataclass(frozen=True, slots=True, eq=False)
class Taxation:
    """What buyers of one kind are charged, worked out once for each product and day.

    Instances are shared by all buyers who are alike, so what one asks the others know.
    """

    seller: Seller
    buyer: Buyer
    table: Sequence[TableRate]
    zone: tzinfo
    """Where the merchant's days begin: a tax point is a day there."""
    _known: dict[tuple[str | None, date], Resolved] = field(default_factory=dict)

    def resolved(self, tax_code: str | None, at: datetime) -> Resolved:
        """The tax on products of `tax_code` whose tax point is `at`, and why."""
        key = tax_code, at.astimezone(self.zone).date()
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = resolve(self.seller, self.buyer, self.table, *key)
        return known

    def rates(self, tax_code: str | None, at: datetime) -> tuple[TaxRate, ...]:
        """The rates for a line, from the widest jurisdiction; zero ones say why they are.

        Raises InvalidRequest where tax is due at a rate that nobody knows.
        """
        return billable(self.resolved(tax_code, at), self.buyer.place, tax_code)

    def treatment(self, tax_code: str | None, at: datetime) -> Treatment:
        """What the line is to the tax office."""
        return self.resolved(tax_code, at).treatment


def billable(found: Resolved, place: Place | None, tax_code: str | None) -> tuple[TaxRate, ...]:
    """The rates to bill at. Raises InvalidRequest where tax is due and there is no rate for it: to
    charge nothing would make it the merchant's to pay.
    """
    if found.reason is not Reason.NO_RATE:
        return found.rates
    where = found.country
    if place is not None and place.country == where:
        where = place.region or where
    what = "" if tax_code is None else f" on products of the tax code {tax_code}"
    raise InvalidRequest(
        f"Tax is due in {where}{what}, and there is no tax rate for it: add the rate first.",
        code="tax_rate_missing",
    )


@dataclass(frozen=True, slots=True)
class _Supply:
    """One supply; the rates are those of its day and its product."""

    held: tuple[Registration, ...]
    home: Registration | None
    buyer: Buyer
    rates: Sequence[TableRate]

    def in_place(self, place: Place) -> Resolved:
        """The tax on it where the buyer is at `place`."""
        match self.buyer.tax_exempt:
            case TaxExempt.EXEMPT:
                return self._zero(place, Treatment.EXEMPT, Reason.CUSTOMER_EXEMPT)
            case TaxExempt.REVERSE:
                return self._zero(place, Treatment.REVERSE_CHARGE, Reason.REVERSE_CHARGE)
            case TaxExempt.NONE:
                pass
        local = next((one for one in self.held if one.covers(place)), None)
        home = None if self.home is None else _place_of(self.home)
        if home is not None and home.is_taxed_with(place):
            return self._under(local, place)
        if place.is_eu and any(one.binds_in_the_eu for one in self.held):
            return self._within_the_eu(local, home, place)
        if local is None:
            return self._elsewhere(place)
        if place.country in BUSINESSES_PAY_THEMSELVES & self.buyer.id_countries:
            return self._zero(place, Treatment.REVERSE_CHARGE, Reason.REVERSE_CHARGE)
        return self._under(local, place)

    def _within_the_eu(
        self, local: Registration | None, home: Place | None, place: Place
    ) -> Resolved:
        """Across a border into the EU, or inside it."""
        own = home.country if home is not None and home.is_eu else None
        if self.buyer.vat_countries - {own}:
            return self._zero(place, Treatment.REVERSE_CHARGE, Reason.REVERSE_CHARGE)
        if local is not None and local.scheme is not Scheme.NONE:
            return self._under(local, place)
        if any(one.scheme is Scheme.OSS for one in self.held):
            return self._charge(place, self.rates)
        if home is not None and home.is_eu:
            return self._under(self.home, home)
        return self._under(None, place)

    def _elsewhere(self, place: Place) -> Resolved:
        """Abroad, without a registration there: no affair of the tax office at home, if any."""
        liable = self.home is not None and self.home.scheme is not Scheme.NONE
        if liable and not place.is_eu:
            return self._zero(place, Treatment.OUTSIDE_SCOPE, Reason.OUTSIDE_SCOPE)
        return self._under(None, place)

    def _under(self, registration: Registration | None, place: Place) -> Resolved:
        """On the terms of a registration for `place`; None: there is none."""
        match None if registration is None else registration.scheme:
            case Scheme.STANDARD:
                covering = [one for one in self.held if one.covers(place)]
                due = [rate for rate in self.rates if any(one.charges(rate) for one in covering)]
                return self._charge(place, due)
            case Scheme.SMALL_BUSINESS:
                return self._zero(place, Treatment.EXEMPT, Reason.SMALL_BUSINESS)
            case Scheme.NONE | Scheme.OSS | None:
                return Resolved((), Treatment.NOT_REGISTERED, Reason.NOT_REGISTERED, place.country)

    def _charge(self, place: Place, rates: Sequence[TableRate]) -> Resolved:
        charged = tuple(one.rate for one in _most_specific(rates, place))
        if not charged:
            return Resolved((), Treatment.TAXABLE, Reason.NO_RATE, place.country)
        if not any(rate.rate_ppm for rate in charged):
            return Resolved(charged, Treatment.ZERO_RATED, Reason.ZERO_RATED, place.country)
        return Resolved(charged, Treatment.TAXABLE, None, place.country)

    def _zero(self, place: Place, treatment: Treatment, reason: Reason) -> Resolved:
        """A tax that is spared: the rates there, or else those at home, as zero."""
        spared = _most_specific(self.rates, place)
        if not spared and self.home is not None:
            spared = _most_specific(self.rates, _place_of(self.home))
        zeros = tuple(replace(one.rate, rate_ppm=0, reason=reason.value) for one in spared)
        return Resolved(zeros, treatment, reason, place.country)


def _most_specific(rates: Iterable[TableRate], place: Place) -> list[TableRate]:
    """One rate for each level and priority, from the widest level."""
    best: dict[tuple[int, int], TableRate] = {}
    for rate in rates:
        if rate.reaches(place):
            slot = (LEVELS.index(rate.level), rate.priority)
            if slot not in best or rate.detail > best[slot].detail:
                best[slot] = rate
    return [best[slot] for slot in sorted(best)]


def _place_of(registration: Registration) -> Place:
    """The place of a registration, as that of an address."""
    return locate(registration.country, registration.region)


def _holds(valid_from: date | None, valid_until: date | None, day: date) -> bool:
    return (valid_from is None or valid_from <= day) and (valid_until is None or day < valid_until)
