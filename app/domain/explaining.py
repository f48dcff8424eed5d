"""The words of explanations: one step each, with its formula as exact fractions.

"1000 × 1209600/2419200 = 500": amounts are minor units, nothing is rounded but where it says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from app.domain import decimals, pricing
from app.domain.calendar import Period
from app.domain.crediting import Charged
from app.domain.discount import Discount, Kind
from app.domain.invoice import Charge, Line
from app.domain.invoicing import Credit
from app.domain.money import WHOLE_PPM, Rounding
from app.domain.pricing import SCALE, Price, PriceModel
from app.domain.proration import Share
from app.domain.tax import TaxRate, TaxRounding

PERCENT_PLACES: Final = 4


class About(StrEnum):
    """What a step is about."""

    PRICE = "price"
    SHARE = "share"
    ROUNDING = "rounding"
    CREDIT = "credit"
    DISCOUNT = "discount"
    TAX = "tax"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: a sentence, the formula behind it, and what it comes to where that is whole."""

    about: About
    text: str
    formula: str
    amount: int | None


@dataclass(frozen=True, slots=True)
class Spread:
    """Exact parts over some lines, what they became, and which of them is the line's."""

    place: int
    exact: Sequence[Fraction]
    parts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Taking:
    """A discount, what was open to it on each line, and what it took; `place` is the line's."""

    discount: Discount
    place: int
    open_to: Sequence[int]
    row: Sequence[int]
    currency: str
    several: bool
    """Whether there are further percentages, which are rounded together."""


@dataclass(frozen=True, slots=True)
class Taxing:
    """A rate, the amount of the line it is on, and the denominator of its share in it."""

    rate: TaxRate
    amount: int
    whole: int


def show(value: Fraction) -> str:
    """A number, exactly: "1000", or "1000/3"."""
    return str(value)


def _step(about: About, text: str, formula: str, value: Fraction | int) -> Step:
    exact = Fraction(value)
    return Step(about, text, formula, exact.numerator if exact.denominator == 1 else None)


def _words(rounding_: Rounding) -> str:
    return "half away from zero" if rounding_ is Rounding.HALF_AWAY else "half to even"


def _percent(ppm: int) -> str:
    return f"{decimals.show(ppm, PERCENT_PLACES)} %"


def given(amount: int) -> Step:
    """An amount that nothing was reckoned for."""
    return Step(About.PRICE, "The amount was given as it is.", str(amount), amount)


def fee(amount: int, what: str) -> Step:
    """What is due once."""
    return Step(About.PRICE, f"The price has a {what} of {amount}, due once.", str(amount), amount)


def price(of: Price, quantity: int, events: int | None) -> list[Step]:
    """How the quantity is priced, stretch by stretch, and their sum where there are several."""
    stretches = pricing.steps(of, quantity, events)
    steps = [_stretch(of, quantity, stretch) for stretch in stretches]
    if not steps:
        steps = [Step(About.PRICE, "Nothing was used.", "0", 0)]
    if len(steps) > 1:
        amounts = [Fraction(stretch.amount_scaled, SCALE) for stretch in stretches]
        formula = f"{' + '.join(map(show, amounts))} = {show(sum(amounts, Fraction(0)))}"
        text = "Together that is the price of the quantity."
        steps.append(_step(About.PRICE, text, formula, sum(amounts, Fraction(0))))
    return steps


def _stretch(of: Price, quantity: int, stretch: pricing.Step) -> Step:
    unit, exact = (
        Fraction(stretch.unit_amount_scaled, SCALE),
        Fraction(stretch.amount_scaled, SCALE),
    )
    formula = f"{stretch.units} × {show(unit)}"
    if stretch.flat_amount and stretch.units:
        formula += f" + {stretch.flat_amount}"
    elif stretch.flat_amount:
        formula = str(stretch.flat_amount)
    return _step(About.PRICE, _sentence(of, quantity, stretch), f"{formula} = {show(exact)}", exact)


def _sentence(of: Price, quantity: int, stretch: pricing.Step) -> str:
    unit = show(Fraction(stretch.unit_amount_scaled, SCALE))
    match of.model:
        case PriceModel.FLAT:
            return f"The price is {unit} flat, whatever the quantity."
        case PriceModel.PER_UNIT:
            return f"{quantity} at {unit} each."
        case PriceModel.PACKAGE:
            size = of.package_size
            return f"{quantity} take {stretch.units} packages of {size} at {unit} each."
        case PriceModel.GRADUATED:
            units = f"Units {stretch.first_unit} to {stretch.last_unit}"
            which = units if quantity else "A quantity of 0"
            return f"{which}: the tier of {unit} each{_plus(stretch)}."
        case PriceModel.VOLUME:
            return f"All {quantity} fall into the tier of {unit} each{_plus(stretch)}."
        case PriceModel.STAIRSTEP:
            return f"{quantity} stand on the stair that costs {stretch.flat_amount}."
        case PriceModel.PERCENTAGE:
            return _percentage(of, stretch)


def _percentage(of: Price, stretch: pricing.Step) -> str:
    if stretch.events:
        return f"{stretch.events} events are due {of.event_amount_minor} each."
    if stretch.unit_amount_scaled:
        return f"{_percent(of.percentage_ppm)} of the {stretch.units} that are not free."
    return f"The first {stretch.units} are free."


def _plus(stretch: pricing.Step) -> str:
    return f", and {stretch.flat_amount} for the tier" if stretch.flat_amount else ""


def share(exact: Fraction, of: Share, measure: str, full: Period | None) -> Step:
    """The part of a full period that the line is for."""
    text = f"The line is for {of.part} of the {of.whole} {measure} of a full period"
    if full is not None:
        text += f" ({full.start.isoformat()} to {full.end.isoformat()})"
    part = exact * Fraction(*of)
    return _step(
        About.SHARE, f"{text}.", f"{show(exact)} × {of.part}/{of.whole} = {show(part)}", part
    )


def rounding(exact: Fraction, amount: int, how: Rounding) -> Step:
    """The one rounding."""
    text = f"It is rounded once, {_words(how)}."
    return Step(About.ROUNDING, text, f"{show(exact)} → {amount}", amount)


def late(whole: int, before: tuple[int, int], amount: int) -> Step:
    """Usage that came late: what it costs now, less what it was billed with."""
    text = f"Of that, {before[0]} were billed with {before[1]} before this usage arrived."
    return Step(About.PRICE, text, f"{whole} - {before[1]} = {amount}", amount)


def cut(whole: int, unused_: int, meant: int, off: int) -> Step:
    """A charge that was cut short while it waited."""
    text = f"It was cut short before it was billed: {unused_} of its {meant} units were not used."
    formula = f"{whole} - {whole} × {unused_}/{meant} → {whole - off}"
    return Step(About.SHARE, text, formula, whole - off)


def discount(taking: Taking, charge: Charge, how: Rounding) -> Step:
    """What one coupon takes off the line."""
    coupon, place, row = taking.discount.coupon, taking.place, taking.row
    rest, taken, available = taking.open_to[place], sum(row), sum(taking.open_to)
    name = f"Coupon “{coupon.name}”"
    if coupon.kind is Kind.FIXED_PRICE:
        unit = coupon.amounts.get(taking.currency, 0)
        part, whole = charge.share
        costs = f"{unit} × {charge.quantity} × {part}/{whole}"
        text = f"{name} makes a unit cost {unit}."
        return Step(About.DISCOUNT, text, f"{rest} - {costs} → {row[place]}", row[place])
    ppm = coupon.percent_off_ppm or 0
    if coupon.kind is Kind.PERCENT and not taking.several:
        exact = [Fraction(amount * ppm, WHOLE_PPM) for amount in taking.open_to]
        text = f"{name} takes {_percent(ppm)} of {rest}."
        formula = f"{rest} × {Fraction(ppm, WHOLE_PPM)} = {show(exact[place])}"
    else:
        exact = [Fraction(taken * amount, available) for amount in taking.open_to]
        text = f"{name} takes {taken} off {available}, in proportion."
        if coupon.kind is Kind.PERCENT:
            text = (
                f"{name} takes {_percent(ppm)}. Several percentages are rounded together: it takes"
                f" {taken} off {available}."
            )
        formula = f"{taken} × {rest}/{available} = {show(exact[place])}"
    odd = _odd(Spread(place, exact, row), how)
    return Step(About.DISCOUNT, text + odd, _arrow(formula, exact[place], row[place]), row[place])


def tax(of: Taxing, spread: Spread, where: TaxRounding, how: Rounding) -> Step:
    """One tax on the line."""
    rate, exact = of.rate, spread.exact[spread.place]
    part = spread.parts[spread.place]
    inside = "is inside" if rate.inclusive else "is on top of"
    text = f"{rate.display_name} of {_percent(rate.rate_ppm)} {inside} {of.amount}."
    if rate.reason:
        text += f" The rate is zero: {rate.reason}."
    formula = f"{of.amount} × {rate.rate_ppm}/{of.whole} = {show(exact)}"
    if where is TaxRounding.PER_INVOICE:
        text += _odd(spread, how)
    elif exact.denominator != 1:
        text += f" It is rounded on each line, {_words(how)}."
    return Step(About.TAX, text, _arrow(formula, exact, part), part)


def _arrow(formula: str, exact: Fraction, amount: int) -> str:
    return formula if exact == amount else f"{formula} → {amount}"


def _odd(spread: Spread, how: Rounding) -> str:
    """Where the odd units went when exact parts became whole ones."""
    exact, part = spread.exact[spread.place], spread.parts[spread.place]
    if exact.denominator == 1 and exact == part:
        return ""
    if len(spread.exact) == 1:
        return f" It is rounded {_words(how)}."
    whole, total = sum(spread.exact, Fraction(0)), sum(spread.parts)
    odd = total - sum(each.numerator // each.denominator for each in spread.exact)
    text = f" Over {len(spread.exact)} lines it is {show(whole)}, rounded once to {total};"
    rest = exact - exact.numerator // exact.denominator
    rest_ = show(rest)
    if not odd:
        return f"{text} no odd unit was left for this line's remainder {rest_}."
    which = "the odd unit" if odd == 1 else f"{odd} odd units"
    if part > exact:
        one = which if odd == 1 else f"one of {which}"
        return f"{text} {one} went to this line for its remainder {rest_}."
    return f"{text} {which} went to larger remainders than this line's {rest_}."


def reversed_line(line: Line) -> Step:
    """What the credit takes back of."""
    amount = line.charge.amount
    period = line.charge.period
    text = (
        f"It takes back of what was charged for {period.start.isoformat()} to"
        f" {period.end.isoformat()}: {amount}, less {line.discount_amount} of discounts, with"
        f" {line.tax_amount} of tax."
    )
    return Step(About.CREDIT, text, str(amount), amount)


def returned(charged: Charged) -> Step:
    """What had come back before."""
    amount, before = charged.line.charge.amount, charged.returned.amount
    text = f"{before} of it had been given back before; no more than the rest can be."
    return Step(About.CREDIT, text, f"{amount} - {before} = {charged.left}", charged.left)


def all_that_is_left(charged: Charged) -> Step:
    """The last credit of a line takes the remainder, whatever rounding would say."""
    text = "All that is left of it comes back, so that its credits add up to it."
    return Step(About.CREDIT, text, f"-{charged.left}", -charged.left)


def unused(line: Line, rest: Share, gone: Share, measure: str, amount: int) -> Step:
    """The unused part: from the credit's beginning to the line's end, less what ended before."""
    whole = line.charge.amount
    formula = f"{whole} × {rest.part}/{rest.whole}"
    text = f"{rest.part} of its {rest.whole} {measure} were not used."
    if gone.part:
        formula += f" - {whole} × {gone.part}/{gone.whole}"
        text += f" {gone.part} of these had come back before."
    return Step(About.CREDIT, text, f"-({formula}) → {amount}", amount)


def mirrored(credit: Credit) -> list[Step]:
    """The line's discounts and taxes come back in the same share."""
    steps = []
    for off in credit.discounts:
        text = "Its discount comes back in the same share."
        steps.append(Step(About.DISCOUNT, text, str(off.amount), off.amount))
    for part in credit.taxes:
        name = f"{part.rate.display_name} of {_percent(part.rate.rate_ppm)}"
        text = f"{name} comes back in the same share."
        steps.append(Step(About.TAX, text, str(part.amount), part.amount))
    return steps


def total(amount: int, off: int, on_top: int, whole: int) -> Step:
    """What the line comes to."""
    formula = f"{amount} - {off} + {on_top} = {whole}"
    return Step(About.TOTAL, "The amount, less discounts, with the tax on top.", formula, whole)
