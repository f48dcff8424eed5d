"""Tax by given rates, on top of a line's amount or inside it, rounded once per rate or per line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import lcm
from operator import attrgetter
from typing import TypeAlias
from uuid import UUID

from app.domain.errors import Problem
from app.domain.money import WHOLE_PPM, Rounding, apportion, divide
from app.domain.pricing import TaxBehaviour


class TaxRounding(StrEnum):
    """Where the one rounding happens."""

    PER_INVOICE = "per_invoice"
    """The exact tax of each rate over all lines, rounded once and spread over those lines."""
    PER_LINE = "per_line"
    """The tax of each rate on each line, rounded there."""


@dataclass(frozen=True, slots=True)
class TaxRate:
    """One tax of one jurisdiction; `rate_ppm` is in millionths: 8.875 % is 88,750.

    An inclusive rate is contained in the amounts it applies to. `reason` says why a rate is zero
    on a line where it would usually not be: `reverse_charge`.
    """

    id: UUID
    rate_ppm: int
    inclusive: bool
    jurisdiction: str
    display_name: str
    reason: str | None = None


Key: TypeAlias = tuple[UUID, int, bool]
"""What tells rates apart: one rate may be inside one line's amount and on top of another's."""


def _key(rate: TaxRate) -> Key:
    return rate.id, rate.rate_ppm, rate.inclusive


Share = tuple[TaxRate, Sequence[int], list[int]]
"""A rate, the lines it applies to, and its tax on each of them."""


@dataclass(frozen=True, slots=True)
class TaxPart:
    """The tax of one rate on one line (by its place), and the net amount it was taken from."""

    line: int
    rate: TaxRate
    taxable: int
    amount: int


@dataclass(frozen=True, slots=True)
class TaxTotal:
    """The tax of one rate over all its lines, as an invoice states it."""

    rate: TaxRate
    taxable: int
    amount: int


@dataclass(frozen=True, slots=True)
class Taxes:
    """All taxes of an invoice: each line's amount without tax, and every part by line and rate."""

    nets: tuple[int, ...]
    parts: tuple[TaxPart, ...]

    @property
    def amount(self) -> int:
        """All tax, whether on top or inside. Nets plus this is what is to pay."""
        return sum(part.amount for part in self.parts)

    @property
    def on_top(self) -> int:
        """What exclusive rates add to the amounts."""
        return sum(part.amount for part in self.parts if not part.rate.inclusive)

    def of_lines(self) -> list[int]:
        """All tax on each line."""
        amounts = [0] * len(self.nets)
        for part in self.parts:
            amounts[part.line] += part.amount
        return amounts

    def totals(self) -> list[TaxTotal]:
        """Each rate once, in order of first use; inside and on top are two."""
        totals: dict[Key, TaxTotal] = {}
        for part in self.parts:
            key = _key(part.rate)
            known = totals.get(key)
            taxable, amount = (known.taxable, known.amount) if known else (0, 0)
            totals[key] = TaxTotal(part.rate, taxable + part.taxable, amount + part.amount)
        return list(totals.values())


def taxes(
    amounts: Sequence[int],
    rates: Sequence[Sequence[TaxRate]],
    tax_rounding: TaxRounding = TaxRounding.PER_INVOICE,
    rounding: Rounding = Rounding.HALF_AWAY,
) -> Taxes:
    """The tax on each line of `amounts` (minor units, after discounts) by the rates given for it.

    A line with inclusive rates of sum R holds net = amount / (1 + R), and each of its taxes is
    rate * net, exactly, until its one rounding. The net is what inclusive taxes leave of the
    amount, so the two add up to it.
    """
    assert len(rates) == len(amounts)
    if not any(rates):
        return Taxes(tuple(amounts), ())
    shares = []
    for rate, lines, exact, whole in _fractions(amounts, rates):
        match tax_rounding:
            case TaxRounding.PER_INVOICE:
                shares.append((rate, lines, apportion(exact, whole, rounding)))
            case TaxRounding.PER_LINE:
                shares.append((rate, lines, [divide(part, whole, rounding) for part in exact]))
    nets = _nets(amounts, shares)
    parts = [
        TaxPart(line, rate, nets[line], amount)
        for rate, lines, of_rate in shares
        for line, amount in zip(lines, of_rate, strict=True)
    ]
    if len(shares) > 1:
        parts.sort(key=attrgetter("line"))
    return Taxes(nets, tuple(parts))


def with_behaviour(rates: Sequence[TaxRate], behaviour: TaxBehaviour | None) -> tuple[TaxRate, ...]:
    """The rates as inside a price or on top of it, as the price says; None: as each rate says."""
    match behaviour:
        case TaxBehaviour.INCLUSIVE:
            inclusive = True
        case TaxBehaviour.EXCLUSIVE:
            inclusive = False
        case _:
            return tuple(rates)
    return tuple(
        rate if rate.inclusive is inclusive else replace(rate, inclusive=inclusive)
        for rate in rates
    )


def problems(rate: TaxRate) -> Iterator[Problem]:
    """Everything that keeps `rate` from being used; none when it is sound."""
    if not 0 <= rate.rate_ppm <= WHOLE_PPM:
        yield Problem("A tax percentage is from 0 to 100.", "percentage")
    if not rate.display_name.strip():
        yield Problem("A tax rate needs a name to show on invoices.", "display_name")


def _fractions(
    amounts: Sequence[int], rates: Sequence[Sequence[TaxRate]]
) -> Iterator[tuple[TaxRate, Sequence[int], list[int], int]]:
    """Each rate, its lines, and its exact tax on them: numerators over one denominator."""
    common = rates[0]
    if rates.count(common) == len(rates):  # nearly every invoice: all lines taxed alike
        whole = WHOLE_PPM + _inside(common)
        for rate in common:
            yield rate, range(len(amounts)), [amount * rate.rate_ppm for amount in amounts], whole
        return
    by_rate: dict[Key, tuple[TaxRate, list[int]]] = {}
    for line, of_line in enumerate(rates):
        for rate in of_line:
            by_rate.setdefault(_key(rate), (rate, []))[1].append(line)
    for rate, lines in by_rate.values():
        wholes = [WHOLE_PPM + _inside(rates[line]) for line in lines]
        whole = lcm(*wholes)
        exact = [
            amounts[line] * rate.rate_ppm * (whole // own)
            for line, own in zip(lines, wholes, strict=True)
        ]
        yield rate, lines, exact, whole


def _inside(rates: Sequence[TaxRate]) -> int:
    """The sum of the inclusive rates, in parts per million of the net."""
    ppm = 0
    for rate in rates:
        if rate.inclusive:
            ppm += rate.rate_ppm
    return ppm


def _nets(amounts: Sequence[int], shares: Sequence[Share]) -> tuple[int, ...]:
    """Each amount less the inclusive taxes in it, which together never exceed it.

    Two inclusive rates may both give their odd unit to the same line of a penny or two: then one
    unit moves to a line of that rate that has room, so totals stay and no net turns negative.
    """
    nets = list(amounts)
    inside = [(lines, parts) for rate, lines, parts in shares if rate.inclusive]
    for lines, parts in inside:
        for line, part in zip(lines, parts, strict=True):
            nets[line] -= part
    if len(inside) > 1:
        for lines, parts in inside:
            _move_odd_units(amounts, nets, lines, parts)
    return tuple(nets)


def _move_odd_units(
    amounts: Sequence[int], nets: list[int], lines: Sequence[int], parts: list[int]
) -> None:
    for giver, line in enumerate(lines):
        unit = 1 if amounts[line] > 0 else -1
        if nets[line] * unit >= 0 or parts[giver] * unit < 1:
            continue
        for taker, other in enumerate(lines):
            if nets[other] * unit > 0 and amounts[other] * unit > 0:
                parts[giver] -= unit
                nets[line] += unit
                parts[taker] += unit
                nets[other] -= unit
                break
