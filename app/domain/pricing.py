"""What a quantity costs: prices, their tiers, and the one rounding from exact sums to money."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from app.domain import decimals
from app.domain.calendar import Interval
from app.domain.currency import EXPONENTS
from app.domain.errors import InvalidRequest, Problem
from app.domain.money import WHOLE_PPM, Money, Rounding, divide
from app.domain.places import COUNTRIES

SCALE_PLACES: Final = 12
SCALE: Final = 10**SCALE_PLACES
"""Unit amounts count 10**-12 of a minor unit, so that prices far below a cent stay exact."""
TIERS_MAX: Final = 100
"""More is a mistake in an import, not a price list; and explanations must stay readable."""
PPM_SCALED: Final = SCALE // WHOLE_PPM
"""One part per million of a minor unit: percentages are exact without any division."""


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
    STAIRSTEP = "stairstep"
    """The flat amount of the tier the whole quantity falls into; its units cost nothing."""
    PERCENTAGE = "percentage"
    """A share of a metered amount in minor units, and an amount for each event it came from."""


TIERED: Final = frozenset({PriceModel.GRADUATED, PriceModel.VOLUME, PriceModel.STAIRSTEP})


class PriceType(StrEnum):
    """Whether it is owed every interval, or once."""

    RECURRING = "recurring"
    ONE_TIME = "one_time"


class PlanKind(StrEnum):
    """Whether a plan can be had by itself, or beside another only."""

    PLAN = "plan"
    ADDON = "addon"


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


class TrialEnd(StrEnum):
    """What happens at the end of a trial when there is no payment method."""

    CANCEL = "cancel"
    PAUSE = "pause"
    CREATE_INVOICE = "create_invoice"


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
    interval: Interval | None
    """How often it is owed; None: once."""
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
    type: PriceType = PriceType.RECURRING
    active: bool = True
    """Whether it can be subscribed to anew; who has it keeps it either way."""
    meter_id: UUID | None = None
    min_quantity: int = 0
    max_quantity: int | None = None
    countries: frozenset[str] = frozenset()
    """Where it is offered; none: everywhere."""

    percentage_ppm: int = 0
    event_amount_minor: int = 0
    """Due for each event, on top of the percentage."""
    free_events: int = 0
    """The events of a period that cost no event amount."""
    free_amount_minor: int = 0
    """The part of a period's metered amount that no percentage is taken of."""

    trial_amount_minor: int = 0
    """Due at the start of a trial; it is free where this is zero."""
    trial_requires_payment_method: bool = False
    trial_end_without_payment_method: TrialEnd | None = None
    """None: what the merchant's billing settings say."""

    plan_kind: PlanKind = PlanKind.PLAN
    addon_for: frozenset[UUID] = frozenset()
    """The plans an add-on goes with; none: all."""
    plan_family: str | None = None
    plan_rank: int = 0
    tax_code: str | None = None
    plan_settings: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """What the plan's billing settings say otherwise than the merchant's."""

    @property
    def every(self) -> Interval:
        """The interval of a recurring price."""
        assert self.interval is not None, "a one-time price has no interval"
        return self.interval


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of a calculation: `units` times unit amount, plus flat amount, exactly.

    `first_unit` and `last_unit` say which of the quantity's units, counted from 1, it prices;
    `events` how many events the flat amount is for, where it is due for each.
    """

    first_unit: int
    last_unit: int
    units: int
    unit_amount_scaled: int
    flat_amount: int = 0
    events: int = 0

    @property
    def amount_scaled(self) -> int:
        """The exact amount, in 10**-12 of a minor unit."""
        return self.units * self.unit_amount_scaled + self.flat_amount * SCALE


def amount(
    price: Price,
    quantity: int,
    rounding: Rounding = Rounding.HALF_AWAY,
    *,
    events: int | None = None,
) -> Money:
    """What `quantity` units cost for one full period: the exact sum, rounded once."""
    return Money(divide(amount_scaled(price, quantity, events), SCALE, rounding), price.currency)


def amount_scaled(price: Price, quantity: int, events: int | None = None) -> int:
    """The exact cost of `quantity` units for one full period, in 10**-12 of a minor unit.

    `events` is how many events the quantity came from, which only percentage prices ask: where
    it is not known, some quantity is taken for one event.
    """
    assert quantity >= 0
    match price.model:
        case PriceModel.FLAT:
            return price.unit_amount_scaled
        case PriceModel.PER_UNIT:
            return price.unit_amount_scaled * quantity
        case _:
            return sum(step.amount_scaled for step in steps(price, quantity, events))


def steps(price: Price, quantity: int, events: int | None = None) -> tuple[Step, ...]:
    """How the amount for `quantity` comes about, tier by tier; their sum is `amount_scaled`.

    A quantity of zero falls into the first tier, whose flat amount is thus always due, as at
    Stripe, Lago and OpenMeter.
    """
    assert quantity >= 0
    unit = price.unit_amount_scaled
    match price.model:
        case PriceModel.FLAT:
            return (Step(1, quantity, 1, unit),)
        case PriceModel.GRADUATED:
            return tuple(_graduated(price.tiers, quantity))
        case PriceModel.VOLUME:
            tier = _tier_of(price.tiers, quantity)
            return (Step(1, quantity, quantity, tier.unit_amount_scaled, tier.flat_amount),)
        case PriceModel.STAIRSTEP:
            return (Step(1, quantity, 0, 0, _tier_of(price.tiers, quantity).flat_amount),)
        case PriceModel.PERCENTAGE:
            return tuple(_percentage(price, quantity, events))
        case _ if quantity == 0:
            return ()
        case PriceModel.PER_UNIT:
            return (Step(1, quantity, quantity, unit),)
        case PriceModel.PACKAGE:
            return (Step(1, quantity, -(-quantity // price.package_size), unit),)


def is_offered_in(price: Price, country: str | None) -> bool:
    """Whether customers of `country` may have it; where no country is known, everywhere counts."""
    return not price.countries or country in price.countries


def check_offered(price: Price, country: str | None, *, param: str = "price_id") -> None:
    """Refuse to sell what is archived, or not sold there. Raises InvalidRequest."""
    if not price.active:
        raise InvalidRequest("This price is not offered.", code="price_inactive", param=param)
    if not is_offered_in(price, country):
        where = "without a country" if country is None else f"in {country}"
        raise InvalidRequest(
            f"This price is not offered to customers {where}.",
            code="price_not_in_country",
            param=param,
        )


def check_quantity(price: Price, quantity: int, *, param: str = "quantity") -> None:
    """Refuse a quantity that the price is not sold in. Raises InvalidRequest."""
    if price.usage is Usage.METERED:  # what was used was used
        return
    least, most = price.min_quantity, price.max_quantity
    if quantity < least or (most is not None and quantity > most):
        allowed = f"at least {least}" if most is None else f"from {least} to {most}"
        raise InvalidRequest(
            f"This price is sold in quantities {allowed}.",
            code="quantity_out_of_range",
            param=param,
        )


def check_together(prices: Sequence[Price], *, param: str = "items") -> None:
    """Refuse add-ons without a plan that they go with. Raises InvalidRequest.

    One subscription's prices are looked at together; a plan that another subscription of the
    customer has does not count.
    """
    plans = {price.plan_id for price in prices if price.plan_kind is PlanKind.PLAN}
    for place, price in enumerate(prices):
        if price.plan_kind is not PlanKind.ADDON:
            continue
        if not plans or (price.addon_for and not price.addon_for & plans):
            raise InvalidRequest(
                "An add-on needs a plan beside it that it goes with.",
                code="addon_without_plan",
                param=f"{param}[{place}].price_id",
            )


def parse_unit_amount(text: str, *, param: str | None = "unit_amount") -> int:
    """Minor units written with up to 12 decimals, "0.0125", as `unit_amount_scaled`, exactly."""
    return decimals.parse(text, SCALE_PLACES, param=param)


def show_unit_amount(unit_amount_scaled: int) -> str:
    """`unit_amount_scaled` as minor units: "1250", "0.0125"."""
    return decimals.show(unit_amount_scaled, SCALE_PLACES)


def problems(price: Price) -> list[Problem]:
    """Everything that keeps `price` from being offered; none when it is sound."""
    return [
        *_problems_of_fields(price),
        *_problems_of_usage(price),
        *_problems_of_type(price),
        *_problems_of_model(price),
    ]


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


def _percentage(price: Price, quantity: int, events: int | None) -> Iterator[Step]:
    """The free part, the part that a share is taken of, and the events."""
    free = min(quantity, price.free_amount_minor)
    if free:
        yield Step(1, free, free, 0)
    if quantity > free:
        yield Step(free + 1, quantity, quantity - free, price.percentage_ppm * PPM_SCALED)
    count = (1 if quantity else 0) if events is None else events
    paid = max(0, count - price.free_events)
    if paid and price.event_amount_minor:
        yield Step(1, quantity, 0, 0, paid * price.event_amount_minor, paid)


def _problems_of_fields(price: Price) -> Iterator[Problem]:
    if price.currency not in EXPONENTS:
        yield Problem(f"{price.currency!r} is not an active ISO 4217 currency code.", "currency")
    for param, value in (
        ("unit_amount", price.unit_amount_scaled),
        ("setup_fee", price.setup_fee_minor),
        ("trial_days", price.trial_days),
        ("trial_amount", price.trial_amount_minor),
        ("min_quantity", price.min_quantity),
        ("percentage", price.percentage_ppm),
        ("event_amount", price.event_amount_minor),
        ("free_events", price.free_events),
        ("free_amount", price.free_amount_minor),
    ):
        if value < 0:
            yield Problem(f"{param} cannot be negative.", param)
    if unknown := price.countries - COUNTRIES:
        yield Problem(f"{min(unknown)!r} is not a country of ISO 3166-1.", "countries")
    if price.max_quantity is not None and price.max_quantity < max(1, price.min_quantity):
        yield Problem("max_quantity cannot be below min_quantity, or below 1.", "max_quantity")


def _problems_of_usage(price: Price) -> Iterator[Problem]:
    if price.usage is Usage.LICENSED:
        if price.meter_id is not None:
            yield Problem("Only a metered price has a meter.", "meter_id")
        return
    if price.timing is Timing.ADVANCE:
        yield Problem(
            "Metered usage is known only at the end of a period: bill in arrears.", "timing"
        )
    if price.meter_id is None:
        yield Problem("Say which meter counts the usage.", "meter_id")
    if price.min_quantity or price.max_quantity is not None:
        yield Problem("What is metered has no limits to its quantity.", "min_quantity")


def _problems_of_type(price: Price) -> Iterator[Problem]:
    if price.type is PriceType.RECURRING:
        if price.interval is None:
            yield Problem("Say how often a recurring price is owed.", "interval")
        if price.trial_amount_minor and not price.trial_days:
            yield Problem("A paid trial lasts some days.", "trial_amount")
        return
    if price.interval is not None:
        yield Problem("A one-time price has no interval.", "interval")
    if price.usage is Usage.METERED:
        yield Problem("Metered usage recurs: it needs an interval.", "usage_type")
    if price.timing is Timing.ARREARS:
        yield Problem("A one-time price is due at once.", "timing")
    if price.trial_days or price.trial_amount_minor:
        yield Problem("A one-time price has no trial.", "trial_days")


def _problems_of_model(price: Price) -> Iterator[Problem]:
    if price.model in TIERED:
        if price.unit_amount_scaled:
            yield Problem(f"A {price.model} price has its amounts in its tiers.", "unit_amount")
        yield from _problems_of_tiers(price.tiers)
        if price.model is PriceModel.STAIRSTEP:
            yield from _problems_of_stairs(price.tiers)
    elif price.tiers:
        yield Problem(f"A {price.model} price has no tiers.", "tiers")
    if price.model is PriceModel.PACKAGE and price.package_size < 1:
        yield Problem("A package holds at least one unit.", "package_size")
    if price.model is not PriceModel.PACKAGE and price.package_size != 1:
        yield Problem("Only a package price has a package_size.", "package_size")
    yield from _problems_of_percentage(price)


def _problems_of_percentage(price: Price) -> Iterator[Problem]:
    if price.model is PriceModel.PERCENTAGE:
        if price.percentage_ppm > WHOLE_PPM:
            yield Problem("A percentage is 100 at most.", "percentage")
        if price.unit_amount_scaled:
            yield Problem("A percentage price has no unit amount.", "unit_amount")
        if price.usage is not Usage.METERED:
            yield Problem("A percentage is taken of a metered amount.", "usage_type")
        return
    for param, value in (
        ("percentage", price.percentage_ppm),
        ("event_amount", price.event_amount_minor),
        ("free_events", price.free_events),
        ("free_amount", price.free_amount_minor),
    ):
        if value:
            yield Problem(f"Only a percentage price has {param}.", param)


def _problems_of_stairs(tiers: tuple[Tier, ...]) -> Iterator[Problem]:
    for place, tier in enumerate(tiers):
        if tier.unit_amount_scaled:
            yield Problem(
                "The units of a stairstep price cost nothing: use flat_amount.",
                f"tiers[{place}].unit_amount",
            )


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
