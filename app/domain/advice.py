"""Advice: what a subscription's past would have cost on other prices.

List prices, without discounts and taxes, so that only the prices are compared.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from uuid import UUID

from app.domain import pricing
from app.domain.calendar import Interval, Period
from app.domain.changing import SECONDS
from app.domain.money import Rounding, divide
from app.domain.pricing import SCALE, Price, PriceType, Usage


class Direction(StrEnum):
    """How the other plan ranks."""

    UP = "up"
    DOWN = "down"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Past:
    """What an item had, or used, in one period; `events` where that is metered."""

    period: Period
    quantity: int
    events: int | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """What each period would have cost on a price, in minor units, and what that saves in all.

    `gained` and `lost` are the keys of the features in which the plans differ.
    """

    price: Price
    costs: tuple[int, ...]
    total: int
    saving: int
    direction: Direction
    gained: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Advice:
    """An item's past, what it costs now, and what it would cost elsewhere, the cheapest first."""

    item_id: UUID
    past: tuple[Past, ...]
    current: Option
    options: tuple[Option, ...]

    @property
    def best(self) -> Option | None:
        """The cheapest, where anything is saved."""
        first = self.options[0] if self.options else None
        return first if first is not None and first.saving > 0 else None


def is_comparable(current: Price, other: Price) -> bool:
    """Whether `other` could take the place of `current`, by its currency and by what it counts.

    Plans of one family compare with each other only. What is metered must be counted by the same
    meter over the same interval: what a year of it comes to, a month does not say.
    """
    if other.id == current.id or not other.active or other.type is not PriceType.RECURRING:
        return False
    if (other.currency, other.plan_kind) != (current.currency, current.plan_kind):
        return False
    if other.plan_family != current.plan_family or other.usage is not current.usage:
        return False
    if current.usage is Usage.METERED:
        return (other.meter_id, other.interval) == (current.meter_id, current.interval)
    return True


def sells(price: Price, past: Sequence[Past]) -> bool:
    """Whether the price is sold in all of these quantities."""
    if price.usage is Usage.METERED:
        return True
    most = price.max_quantity
    return all(
        price.min_quantity <= each.quantity and (most is None or each.quantity <= most)
        for each in past
    )


def cost(price: Price, past: Past, span: Interval, rounding: Rounding) -> int:
    """What a period of `span` costs on the price; another interval's price is taken in proportion
    to the mean lengths of the two.
    """
    exact = Fraction(pricing.amount_scaled(price, past.quantity, past.events), SCALE)
    if price.every != span:
        exact *= Fraction(_seconds(span), _seconds(price.every))
    return divide(exact.numerator, exact.denominator, rounding)


def advise(
    item_id: UUID,
    current: Price,
    past: Sequence[Past],
    others: Iterable[Price],
    features: dict[UUID, frozenset[str]],
    rounding: Rounding = Rounding.HALF_AWAY,
) -> Advice:
    """Reprice the past on every comparable price. `features` are the keys that plans give."""
    now = _option(current, current, past, 0, features, rounding)
    options = [
        _option(current, price, past, now.total, features, rounding)
        for price in others
        if is_comparable(current, price) and sells(price, past)
    ]
    options.sort(key=lambda option: (option.total, -option.price.plan_rank, option.price.id))
    return Advice(item_id, tuple(past), now, tuple(options))


def _option(
    current: Price,
    price: Price,
    past: Sequence[Past],
    paid: int,
    features: dict[UUID, frozenset[str]],
    rounding: Rounding,
) -> Option:
    costs = tuple(cost(price, each, current.every, rounding) for each in past)
    has = features.get(current.plan_id, frozenset())
    would = features.get(price.plan_id, frozenset())
    total = sum(costs)
    saving = 0 if price.id == current.id else paid - total
    lost, gained = tuple(sorted(has - would)), tuple(sorted(would - has))
    return Option(price, costs, total, saving, _direction(current, price), gained, lost)


def _direction(current: Price, price: Price) -> Direction:
    if price.plan_rank == current.plan_rank:
        return Direction.SAME
    return Direction.UP if price.plan_rank > current.plan_rank else Direction.DOWN


def _seconds(interval: Interval) -> int:
    return SECONDS[interval.unit] * interval.count
