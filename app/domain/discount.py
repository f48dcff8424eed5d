"""Coupons, and what they take off the lines of an invoice. Nothing ever goes below zero."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final
from uuid import UUID

from app.domain.errors import Problem
from app.domain.money import WHOLE_PPM, CurrencyMismatch, Money, Rounding, apportion, spread


class Duration(StrEnum):
    """For how many paid periods a coupon counts; trial periods are not paid ones."""

    ONCE = "once"
    REPEATING = "repeating"
    FOREVER = "forever"


class Stacking(StrEnum):
    """In which order several discounts are taken, each from what the ones before it left."""

    PERCENT_FIRST = "percent_first"
    IN_ORDER = "in_order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupon:
    """The promise of a discount: a percentage or a fixed amount, never both.

    `percent_off_ppm` is in millionths: 12.5 % is 125,000.
    """

    id: UUID
    name: str
    percent_off_ppm: int | None = None
    amount_off: Money | None = None
    duration: Duration = Duration.ONCE
    duration_periods: int | None = None


@dataclass(frozen=True, slots=True)
class Discount:
    """A coupon in use; `periods_remaining` paid periods are still discounted (None: for ever)."""

    id: UUID
    coupon: Coupon
    periods_remaining: int | None


PERIODS_MAX: Final = 1_200
"""A hundred years of months; "forever" is the word for more."""


def redeem(coupon: Coupon, discount_id: UUID) -> Discount:
    """The discount that `coupon` gives from now on."""
    match coupon.duration:
        case Duration.ONCE:
            return Discount(discount_id, coupon, 1)
        case Duration.REPEATING:
            return Discount(discount_id, coupon, coupon.duration_periods)
        case Duration.FOREVER:
            return Discount(discount_id, coupon, None)


def after_period(discount: Discount) -> Discount | None:
    """What is left of `discount` once a paid period has been billed with it; None when used up."""
    if discount.periods_remaining is None:
        return discount
    if discount.periods_remaining <= 1:
        return None
    return replace(discount, periods_remaining=discount.periods_remaining - 1)


def apply(
    discounts: Sequence[Discount],
    amounts: Sequence[int],
    currency: str,
    stacking: Stacking = Stacking.PERCENT_FIRST,
    rounding: Rounding = Rounding.HALF_AWAY,
) -> list[list[int]]:
    """What each discount takes off each line: one row per discount, one column per line.

    `amounts` are the lines in minor units of `currency`. Lines at or below zero are left alone:
    a credit already carries the discount of the line it reverses. A percentage is summed exactly
    over what is left of the lines and rounded once; a fixed amount is spread in proportion.
    Raises CurrencyMismatch.
    """
    left = [max(amount, 0) for amount in amounts]
    rows: list[list[int]] = [[] for _ in discounts]
    order = list(range(len(discounts)))
    if stacking is Stacking.PERCENT_FIRST:  # a stable sort: otherwise in the order given
        order.sort(key=lambda i: discounts[i].coupon.percent_off_ppm is None)
    for i in order:
        taken = _take(discounts[i].coupon, left, currency, rounding)
        rows[i] = taken
        left = [rest - part for rest, part in zip(left, taken, strict=True)]
    return rows


def _take(coupon: Coupon, left: list[int], currency: str, rounding: Rounding) -> list[int]:
    available = sum(left)
    if available == 0:
        return [0] * len(left)
    if coupon.percent_off_ppm is not None:
        return apportion([rest * coupon.percent_off_ppm for rest in left], WHOLE_PPM, rounding)
    assert coupon.amount_off is not None
    if coupon.amount_off.currency != currency:
        raise CurrencyMismatch(
            f"Coupon {coupon.name!r} takes off {coupon.amount_off.currency}, "
            f"and this invoice is in {currency}.",
            param="coupon",
        )
    return spread(min(coupon.amount_off.minor, available), left)


def problems(coupon: Coupon) -> Iterator[Problem]:
    """Everything that keeps `coupon` from being offered; none when it is sound."""
    if (coupon.percent_off_ppm is None) == (coupon.amount_off is None):
        yield Problem("A coupon takes off either a percentage or an amount.", "percent_off")
    if coupon.percent_off_ppm is not None and not 0 < coupon.percent_off_ppm <= WHOLE_PPM:
        yield Problem("percent_off must be above 0 and at most 100.", "percent_off")
    if coupon.amount_off is not None and coupon.amount_off.minor <= 0:
        yield Problem("amount_off must be above zero.", "amount_off")
    if coupon.duration is not Duration.REPEATING:
        if coupon.duration_periods is not None:
            yield Problem("Only a repeating coupon has duration_periods.", "duration_periods")
    elif coupon.duration_periods is None or not 1 <= coupon.duration_periods <= PERIODS_MAX:
        yield Problem(
            f"A repeating coupon lasts from 1 to {PERIODS_MAX} periods.", "duration_periods"
        )
