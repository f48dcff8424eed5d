"""What a quantity costs: prices, their tiers, and the one rounding from exact sums to money."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from app.domain import decimals
from app.domain.calendar import Interval
from app.domain.currency import EXPONENTS
from app.domain.errors import Problem
from app.domain.money import Money, Rounding, divide

SCALE_PLACES: Final = 12
SCALE: Final = 10**SCALE_PLACES
"""Unit amounts count 10**-12 of a minor unit, so that prices far below a cent stay exact."""
TIERS_MAX: Final = 100
"""More is a mistake in an import, not a price list; and explanations must stay readable."""


class PriceModel(StrEnum):
    """How a quantity becomes an amount."""

    FLAT = "flat"
    """One amount, whatever the quantity."""
    PER_UNIT = "per_unit"
    """Quantity times unit amount."""
    GRADUATED = "graduated"
    """Each unit at the price of the tier it falls into, plus the flat amount of each tier used."""
    VOLUME = "volume"
    """Every unit at the price of the tier the whole quantity falls into, plus its flat amount."""
    PACKAGE = "package"
    """Whole packages of `package_size` units, each begun one in full, at the unit amount."""


class Timing(StrEnum):
    """Which end of a period it is billed at."""

    ADVANCE = "advance"
    ARREARS = "arrears"


class TaxBehaviour(StrEnum):
    """Whether tax comes on top of the amount or is inside it."""

    EXCLUSIVE = "exclusive"
    INCLUSIVE = "inclusive"


class Usage(StrEnum):
    """Where the quantity comes from: the subscription, or what was used in the period."""

    LICENSED = "licensed"
    METERED = "metered"


@dataclass(frozen=True, slots=True)
class Tier:
    """The units up to and including `up_to` (None: all above) that an earlier tier does not take.

    `flat_amount` is in minor units and due once when the tier is used at all.
    """

    up_to: int | None
    unit_amount_scaled: int = 0
    flat_amount: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One version of what a plan costs; it never changes, a new price is a new version."""

    id: UUID
    plan_id: UUID
    version: int
    currency: str
    interval: Interval
    model: PriceModel
    unit_amount_scaled: int = 0
    tiers: tuple[Tier, ...] = ()
    package_size: int = 1
    timing: Timing = Timing.ADVANCE
    usage: Usage = Usage.LICENSED
    tax_behaviour: TaxBehaviour = TaxBehaviour.EXCLUSIVE
    setup_fee_minor: int = 0
    trial_days: int = 0
    description: str = ""
    """What an invoice line calls it: the plan's name, with the nickname where there is one."""
    nickname: str | None = None
    lookup_key: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of a calculation: `units` times unit amount, plus flat amount, exactly.

    `first_unit` and `last_unit` say which of the quantity's units, counted from 1, it prices.
    """

    first_unit: int
    last_unit: int
    units: int
    unit_amount_scaled: int
    flat_amount: int = 0

    @property
    def amount_scaled(self) -> int:
        """The exact amount, in 10**-12 of a minor unit."""
        return self.units * self.unit_amount_scaled + self.flat_amount * SCALE


def amount(price: Price, quantity: int, rounding: Rounding = Rounding.HALF_AWAY) -> Money:
    """What `quantity` units cost for one full period: the exact sum, rounded once."""
    return Money(divide(amount_scaled(price, quantity), SCALE, rounding), price.currency)


def amount_scaled(price: Price, quantity: int) -> int:
    """The exact cost of `quantity` units for one full period, in 10**-12 of a minor unit."""
    assert quantity >= 0
    match price.model:
        case PriceModel.FLAT:
            return price.unit_amount_scaled
        case PriceModel.PER_UNIT:
            return price.unit_amount_scaled * quantity
        case PriceModel.GRADUATED | PriceModel.VOLUME | PriceModel.PACKAGE:
            return sum(step.amount_scaled for step in steps(price, quantity))


def steps(price: Price, quantity: int) -> tuple[Step, ...]:
    """How the amount for `quantity` comes about, tier by tier; their sum is `amount_scaled`.

    No units use no tier: a quantity of zero costs nothing under every model but flat.
    """
    assert quantity >= 0
    unit = price.unit_amount_scaled
    match price.model:
        case PriceModel.FLAT:
            return (Step(1, quantity, 1, unit),)
        case _ if quantity == 0:
            return ()
        case PriceModel.PER_UNIT:
            return (Step(1, quantity, quantity, unit),)
        case PriceModel.PACKAGE:
            return (Step(1, quantity, -(-quantity // price.package_size), unit),)
        case PriceModel.GRADUATED:
            return tuple(_graduated(price.tiers, quantity))
        case PriceModel.VOLUME:
            tier = _tier_of(price.tiers, quantity)
            return (Step(1, quantity, quantity, tier.unit_amount_scaled, tier.flat_amount),)


def parse_unit_amount(text: str, *, param: str | None = "unit_amount") -> int:
    """Minor units written with up to 12 decimals, "0.0125", as `unit_amount_scaled`, exactly."""
    return decimals.parse(text, SCALE_PLACES, param=param)


def show_unit_amount(unit_amount_scaled: int) -> str:
    """`unit_amount_scaled` as minor units: "1250", "0.0125"."""
    return decimals.show(unit_amount_scaled, SCALE_PLACES)


def problems(price: Price) -> list[Problem]:
    """Everything that keeps `price` from being offered; none when it is sound."""
    return [*_problems_of_fields(price), *_problems_of_model(price)]


def _graduated(tiers: tuple[Tier, ...], quantity: int) -> Iterator[Step]:
    done = 0
    for tier in tiers:
        last = quantity if tier.up_to is None else min(quantity, tier.up_to)
        yield Step(done + 1, last, last - done, tier.unit_amount_scaled, tier.flat_amount)
        if last == quantity:
            return
        done = last
    raise AssertionError("the last tier has no end")


def _tier_of(tiers: tuple[Tier, ...], quantity: int) -> Tier:
    return next(tier for tier in tiers if tier.up_to is None or quantity <= tier.up_to)


def _problems_of_fields(price: Price) -> Iterator[Problem]:
    if price.currency not in EXPONENTS:
        yield Problem(f"{price.currency!r} is not an active ISO 4217 currency code.", "currency")
    for param, value in (
        ("unit_amount", price.unit_amount_scaled),
        ("setup_fee", price.setup_fee_minor),
        ("trial_days", price.trial_days),
    ):
        if value < 0:
            yield Problem(f"{param} cannot be negative.", param)
    if price.usage is Usage.METERED and price.timing is Timing.ADVANCE:
        yield Problem(
            "Metered usage is known only at the end of a period: bill in arrears.", "timing"
        )


def _problems_of_model(price: Price) -> Iterator[Problem]:
    match price.model:
        case PriceModel.GRADUATED | PriceModel.VOLUME:
            if price.unit_amount_scaled:
                yield Problem(f"A {price.model} price has its amounts in its tiers.", "unit_amount")
            yield from _problems_of_tiers(price.tiers)
        case PriceModel.FLAT | PriceModel.PER_UNIT | PriceModel.PACKAGE:
            if price.tiers:
                yield Problem(f"A {price.model} price has no tiers.", "tiers")
    if price.model is PriceModel.PACKAGE and price.package_size < 1:
        yield Problem("A package holds at least one unit.", "package_size")
    if price.model is not PriceModel.PACKAGE and price.package_size != 1:
        yield Problem("Only a package price has a package_size.", "package_size")


def _problems_of_tiers(tiers: tuple[Tier, ...]) -> Iterator[Problem]:
    if not tiers:
        yield Problem("A tiered price needs at least one tier.", "tiers")
        return
    if len(tiers) > TIERS_MAX:
        yield Problem(f"At most {TIERS_MAX} tiers are allowed.", "tiers")
    below = 0
    for place, tier in enumerate(tiers):
        is_last = place == len(tiers) - 1
        if tier.up_to is None and not is_last:
            yield Problem("Only the last tier may be without an end.", f"tiers[{place}].up_to")
        elif tier.up_to is not None and is_last:
            yield Problem("The last tier must be without an end.", f"tiers[{place}].up_to")
        if tier.up_to is not None:
            if tier.up_to <= below:
                yield Problem(
                    f"A tier must end above {below}, where the one before it ends.",
                    f"tiers[{place}].up_to",
                )
            below = max(below, tier.up_to)
        if tier.unit_amount_scaled < 0:
            yield Problem("A unit amount cannot be negative.", f"tiers[{place}].unit_amount")
        if tier.flat_amount < 0:
            yield Problem("A flat amount cannot be negative.", f"tiers[{place}].flat_amount")
