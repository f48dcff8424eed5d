"""Coupons, and what they take off the lines of an invoice. Nothing ever goes below zero.

Who may have a coupon, and how often, is `app.domain.redemption`; here it has been given already.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum, StrEnum
from itertools import groupby
from typing import Final, NamedTuple
from uuid import UUID

from app.domain.errors import Problem
from app.domain.money import (
    WHOLE_PPM,
    CurrencyMismatch,
    Money,
    Rounding,
    apportion,
    divide,
    spread,
)

NO_IDS: Final[frozenset[UUID]] = frozenset()
PERIODS_MAX: Final = 1_200
"""A hundred years of months; "forever" is the word for more."""


class Duration(StrEnum):
    """For how many paid periods a coupon counts; trial periods are not paid ones."""

    ONCE = "once"
    REPEATING = "repeating"
    FOREVER = "forever"


class Stacking(StrEnum):
    """In which order several discounts are taken, each from what the ones before it left."""

    PERCENT_FIRST = "percent_first"
    """Fixed prices, then percentages, then amounts."""
    IN_ORDER = "in_order"


class AppliesTo(StrEnum):
    """Which kind of lines a coupon is for."""

    EVERYTHING = "everything"
    PLANS = "plans"
    ADDONS = "addons"


class Kind(IntEnum):
    """What a coupon does to a line, in the order in which `percent_first` takes them."""

    FIXED_PRICE = 0
    """A unit costs something else: an introductory price."""
    PERCENT = 1
    AMOUNT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupon:
    """The promise of a discount: a percentage, a fixed amount, or a fixed price; exactly one.

    `percent_off_ppm` is in millionths: 12.5 % is 125,000. `currency_options` says in minor units
    what the amount or the price is in further currencies. Restricted to plans or prices, it takes
    from their lines only; under the minimum, reckoned on those lines before discounts, from none.
    """

    id: UUID
    name: str
    percent_off_ppm: int | None = None
    amount_off: Money | None = None
    fixed_price: Money | None = None
    currency_options: Mapping[str, int] = field(default_factory=dict)
    duration: Duration = Duration.ONCE
    duration_periods: int | None = None
    applies_to: AppliesTo = AppliesTo.EVERYTHING
    plan_ids: frozenset[UUID] = NO_IDS
    price_ids: frozenset[UUID] = NO_IDS
    minimum_amounts: Mapping[str, int] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """What it does to a line."""
        if self.percent_off_ppm is not None:
            return Kind.PERCENT
        return Kind.AMOUNT if self.fixed_price is None else Kind.FIXED_PRICE

    @property
    def amounts(self) -> dict[str, int]:
        """The amount off, or the fixed price, by currency, in minor units; none of a percentage."""
        own = self.amount_off if self.fixed_price is None else self.fixed_price
        return {} if own is None else {own.currency: own.minor, **self.currency_options}

    @property
    def is_plain(self) -> bool:
        """Whether it takes from every line alike, so that nothing need be known of them."""
        return (
            self.applies_to is AppliesTo.EVERYTHING
            and self.fixed_price is None
            and not (self.plan_ids or self.price_ids or self.minimum_amounts)
        )


@dataclass(frozen=True, slots=True)
class Discount:
    """A coupon in use; `periods_remaining` paid periods are still discounted (None: for ever).

    It is on one item where `item_id` is set, on all of a customer's subscriptions where
    `customer_id` is, and on one subscription otherwise. It counts in `[start_at, end_at)`.
    """

    id: UUID
    coupon: Coupon
    periods_remaining: int | None
    item_id: UUID | None = None
    customer_id: UUID | None = None
    promotion_code_id: UUID | None = None
    offer_id: UUID | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None

    @property
    def reach(self) -> int:
        """How far it reaches; the nearest are taken first: item, subscription, customer."""
        return 0 if self.item_id is not None else 1 if self.customer_id is None else 2

    @property
    def is_plain(self) -> bool:
        """Whether it takes from every line alike."""
        return self.item_id is None and self.coupon.is_plain


class Facts(NamedTuple):
    """What discounts want to know of a line; `amount` in minor units, before any of them.

    `share` is which part of the price's full period it is for: (part, whole).
    """

    amount: int
    quantity: int = 1
    plan_id: UUID | None = None
    price_id: UUID | None = None
    item_id: UUID | None = None
    share: tuple[int, int] = (1, 1)
    is_recurring: bool = True
    is_addon: bool = False


def redeem(  # noqa: PLR0913  where a discount comes from, and what it is on
    coupon: Coupon,
    discount_id: UUID,
    *,
    item_id: UUID | None = None,
    customer_id: UUID | None = None,
    promotion_code_id: UUID | None = None,
    offer_id: UUID | None = None,
    start_at: datetime | None = None,
    end_at: datetime | None = None,
) -> Discount:
    """The discount that `coupon` gives from now on."""
    return Discount(
        discount_id,
        coupon,
        periods(coupon),
        item_id,
        customer_id,
        promotion_code_id,
        offer_id,
        start_at,
        end_at,
    )


def periods(coupon: Coupon) -> int | None:
    """How many paid periods `coupon` discounts; None: for ever."""
    match coupon.duration:
        case Duration.ONCE:
            return 1
        case Duration.REPEATING:
            return coupon.duration_periods
        case Duration.FOREVER:
            return None


def after_period(discount: Discount) -> Discount | None:
    """What is left of `discount` once a paid period has been billed with it; None when used up."""
    if discount.periods_remaining is None:
        return discount
    if discount.periods_remaining <= 1:
        return None
    return replace(discount, periods_remaining=discount.periods_remaining - 1)


def prorated(discount: Discount, part: int, whole: int) -> Discount:
    """The discount as it is for `part`/`whole` of a period: of a fixed amount that much."""
    coupon = discount.coupon
    if coupon.amount_off is None:
        return discount
    scaled = replace(
        coupon,
        amount_off=coupon.amount_off.share(part, whole),
        currency_options={
            currency: divide(amount * part, whole)
            for currency, amount in coupon.currency_options.items()
        },
    )
    return replace(discount, coupon=scaled)


def at(discounts: Iterable[Discount], moment: datetime) -> tuple[Discount, ...]:
    """The discounts that count at `moment`."""
    return tuple(
        d
        for d in discounts
        if (d.start_at is None or d.start_at <= moment) and (d.end_at is None or moment < d.end_at)
    )


def need_facts(discounts: Iterable[Discount]) -> bool:
    """Whether anything must be known of the lines but their amounts; mostly nothing."""
    return not all(discount.is_plain for discount in discounts)


def applicable(
    discounts: Sequence[Discount], lines: Sequence[Facts], currency: str
) -> list[list[bool]] | None:
    """Which lines each discount may take from: a row per discount; None: all from all of them.

    A coupon with minimums takes nothing in a currency that has none among them.
    """
    if not need_facts(discounts):
        return None
    return [_eligible(discount, lines, currency) for discount in discounts]


def _eligible(discount: Discount, lines: Sequence[Facts], currency: str) -> list[bool]:
    coupon = discount.coupon
    row = [_covers(discount, line) for line in lines]
    if coupon.minimum_amounts:
        minimum = coupon.minimum_amounts.get(currency)
        covered = sum(max(line.amount, 0) for line, is_in in zip(lines, row, strict=True) if is_in)
        if minimum is None or covered < minimum:
            return [False] * len(lines)
    return row


def _covers(discount: Discount, line: Facts) -> bool:
    coupon = discount.coupon
    if discount.item_id is not None and line.item_id != discount.item_id:
        return False
    if coupon.applies_to is not AppliesTo.EVERYTHING and line.is_addon is not (
        coupon.applies_to is AppliesTo.ADDONS
    ):
        return False
    if coupon.fixed_price is not None and not line.is_recurring:
        return False
    if not (coupon.plan_ids or coupon.price_ids):
        return True
    return line.plan_id in coupon.plan_ids or line.price_id in coupon.price_ids


def apply(  # noqa: PLR0913  what is taken from what, by whose rules
    discounts: Sequence[Discount],
    amounts: Sequence[int],
    currency: str,
    stacking: Stacking = Stacking.PERCENT_FIRST,
    rounding: Rounding = Rounding.HALF_AWAY,
    eligible: Sequence[Sequence[bool]] | None = None,
    lines: Sequence[Facts] | None = None,
) -> list[list[int]]:
    """What each discount takes off each line: one row per discount, one column per line.

    `amounts` are the lines in minor units of `currency`. Lines at or below zero are left alone:
    a credit already carries the discount of the line it reverses. A percentage is summed exactly
    over what is left of the lines and rounded once, and several in a row are rounded together, so
    that their order does not change what they take; an amount is spread in proportion. A fixed
    price is times the quantity that `lines` say, by default one. `eligible` is what `applicable`
    answered. Within one class of `stacking`, items' discounts are taken before subscriptions',
    and these before customers'. Raises CurrencyMismatch, but for a customer's discount, which
    takes nothing in a currency it has no amount in.
    """
    left = [max(amount, 0) for amount in amounts]
    if len(discounts) == 1 and eligible is None and lines is None:
        return [_take(discounts[0], left, left, currency, rounding)]
    rows: list[list[int]] = [[] for _ in discounts]
    kinds = [discount.coupon.kind for discount in discounts]
    order = _order(discounts, kinds, stacking)
    for kind, group in groupby(order, key=kinds.__getitem__):
        run = list(group)
        masks = [None if eligible is None else eligible[i] for i in run]
        if kind is Kind.PERCENT and len(run) > 1:
            shares = [discounts[i].coupon.percent_off_ppm or 0 for i in run]
            for i, row in zip(run, _percentages(shares, left, masks, rounding), strict=True):
                rows[i] = row
                left = _less(left, row)
            continue
        for i, mask in zip(run, masks, strict=True):
            open_to = left if mask is None else _only(left, mask)
            rows[i] = _take(discounts[i], open_to, amounts, currency, rounding, lines)
            left = _less(left, rows[i])
    return rows


def _order(
    discounts: Sequence[Discount], kinds: Sequence[Kind], stacking: Stacking
) -> Sequence[int]:
    """The places of the discounts as they are taken; equals stay in the order given."""
    reach = [discount.reach for discount in discounts]
    order = sorted(range(len(discounts)), key=reach.__getitem__)
    if stacking is Stacking.PERCENT_FIRST:
        order.sort(key=kinds.__getitem__)
    return order


def _only(left: Sequence[int], mask: Sequence[bool]) -> list[int]:
    return [rest if may else 0 for rest, may in zip(left, mask, strict=True)]


def _less(left: Sequence[int], row: Sequence[int]) -> list[int]:
    return [rest - part for rest, part in zip(left, row, strict=True)]


def _take(
    discount: Discount,
    left: list[int],
    amounts: Sequence[int],
    currency: str,
    rounding: Rounding,
    lines: Sequence[Facts] | None = None,
) -> list[int]:
    """What one discount takes from what is left of the lines it may take from."""
    available, coupon = sum(left), discount.coupon
    if available == 0:
        return [0] * len(left)
    if coupon.percent_off_ppm is not None:
        return apportion([rest * coupon.percent_off_ppm for rest in left], WHOLE_PPM, rounding)
    amount = _amount(coupon, currency)
    if amount is None:
        if discount.customer_id is not None:
            return [0] * len(left)
        raise CurrencyMismatch(
            f"Coupon {coupon.name!r} has no amount in {currency}, the currency of this invoice.",
            param="coupon",
        )
    if coupon.fixed_price is None:
        return spread(min(amount, available), left)
    known = lines if lines is not None else [Facts(whole) for whole in amounts]
    return [
        max(0, rest - _priced(amount, line, rounding))
        for rest, line in zip(left, known, strict=True)
    ]


def _amount(coupon: Coupon, currency: str) -> int | None:
    own = coupon.amount_off if coupon.fixed_price is None else coupon.fixed_price
    assert own is not None
    return own.minor if own.currency == currency else coupon.currency_options.get(currency)


def _priced(unit: int, line: Facts, rounding: Rounding) -> int:
    """What a line costs at `unit` a unit: the share of its period, rounded once."""
    part, whole = line.share
    return divide(unit * line.quantity * part, whole, rounding)


def _percentages(
    shares: Sequence[int],
    left: Sequence[int],
    masks: Sequence[Sequence[bool] | None],
    rounding: Rounding,
) -> Iterator[list[int]]:
    """What percentages take one after the other, from exact rests: each total is rounded once."""
    exact, scale, taken, rest = list(left), 1, 0, list(left)
    everywhere = [True] * len(left)
    for ppm, given in zip(shares, masks, strict=True):
        mask = everywhere if given is None else given
        exact = [
            part * (WHOLE_PPM - ppm if may else WHOLE_PPM)
            for part, may in zip(exact, mask, strict=True)
        ]
        scale *= WHOLE_PPM
        open_to = _only(rest, mask)
        gone = divide(sum(left) * scale - sum(exact), scale, rounding) - taken
        total = min(gone, sum(open_to))
        row = spread(total, open_to) if total else [0] * len(rest)
        taken += total
        rest = _less(rest, row)
        yield row


def problems(coupon: Coupon) -> Iterator[Problem]:
    """Everything that keeps `coupon` from being offered; none when it is sound."""
    kinds = (coupon.percent_off_ppm, coupon.amount_off, coupon.fixed_price)
    if sum(kind is not None for kind in kinds) != 1:
        yield Problem(
            "A coupon takes off a percentage or an amount, or has a fixed price.", "percent_off"
        )
    if coupon.percent_off_ppm is not None and not 0 < coupon.percent_off_ppm <= WHOLE_PPM:
        yield Problem("percent_off must be above 0 and at most 100.", "percent_off")
    if coupon.amount_off is not None and coupon.amount_off.minor <= 0:
        yield Problem("amount_off must be above zero.", "amount_off")
    if coupon.fixed_price is not None and coupon.fixed_price.minor < 0:
        yield Problem("fixed_price cannot be below zero.", "fixed_price")
    yield from _problems_of_currencies(coupon)
    if coupon.duration is not Duration.REPEATING:
        if coupon.duration_periods is not None:
            yield Problem("Only a repeating coupon has duration_periods.", "duration_periods")
    elif coupon.duration_periods is None or not 1 <= coupon.duration_periods <= PERIODS_MAX:
        yield Problem(
            f"A repeating coupon lasts from 1 to {PERIODS_MAX} periods.", "duration_periods"
        )


def _problems_of_currencies(coupon: Coupon) -> Iterator[Problem]:
    own = coupon.amount_off if coupon.fixed_price is None else coupon.fixed_price
    options = coupon.currency_options
    if own is None and options:
        yield Problem("A percentage is the same in every currency.", "currency_options")
    if own is not None and own.currency in options:
        yield Problem("The coupon's own currency is not a further one.", "currency_options")
    lowest = 0 if coupon.fixed_price is not None else 1
    if any(amount < lowest for amount in options.values()):
        yield Problem(f"Each amount is at least {lowest}.", "currency_options")
    if any(amount <= 0 for amount in coupon.minimum_amounts.values()):
        yield Problem("A minimum is above zero.", "minimum_amounts")
