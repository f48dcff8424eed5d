"""Money is an integer count of minor units in one currency. Division happens here and only here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from app.domain.errors import InvalidRequest

WHOLE_PPM: Final = 1_000_000
"""Percentages are integers in parts per million: 8.875 % is 88,750 and all of it a million."""


class CurrencyMismatch(InvalidRequest):
    """Two amounts of different currencies met in one calculation."""

    code = "currency_mismatch"


class Rounding(StrEnum):
    """What becomes of exactly half a minor unit."""

    HALF_AWAY = "half_away"
    """2.5 becomes 3 and -2.5 becomes -3: what invoices do almost everywhere."""
    HALF_EVEN = "half_even"
    """2.5 becomes 2 and 3.5 becomes 4: bankers' rounding."""


def divide(numerator: int, denominator: int, rounding: Rounding = Rounding.HALF_AWAY) -> int:
    """`numerator / denominator` to the nearest integer, exactly; the denominator is positive."""
    assert denominator > 0
    if rounding is Rounding.HALF_AWAY:
        if numerator >= 0:
            return (2 * numerator + denominator) // (2 * denominator)
        return -((denominator - 2 * numerator) // (2 * denominator))
    floor, rest = divmod(numerator, denominator)
    return floor + (2 * rest > denominator or (2 * rest == denominator and floor % 2 == 1))


def apportion(
    numerators: Sequence[int], denominator: int, rounding: Rounding = Rounding.HALF_AWAY
) -> list[int]:
    """Each numerator over `denominator`, so that the parts add up to the exact sum rounded once.

    Every part is its exact value rounded down or up (largest remainder, the earlier of equals);
    a part that is exact stays. Signs may be mixed; all-negative parts mirror the positive ones.
    """
    if len(numerators) == 1:
        return [divide(numerators[0], denominator, rounding)]
    exact = sum(numerators)
    if exact < 0:
        mirrored = apportion([-numerator for numerator in numerators], denominator, rounding)
        return [-part for part in mirrored]
    parts = [numerator // denominator for numerator in numerators]
    left = divide(exact, denominator, rounding) - sum(parts)
    if left:
        by_remainder = sorted(
            range(len(parts)), key=lambda i: numerators[i] % denominator, reverse=True
        )  # stable also when reversed: equals keep their order
        for i in by_remainder[:left]:
            parts[i] += 1
    return parts


def spread(total: int, weights: Sequence[int]) -> list[int]:
    """Parts of `total` in proportion to `weights` that add up to it; some weight is above zero."""
    whole = sum(weights)
    assert whole > 0
    assert min(weights) >= 0
    return apportion([total * weight for weight in weights], whole)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of one currency, in its ISO 4217 minor unit: Money(1234, "EUR") is 12.34 euros."""

    minor: int
    currency: str

    @classmethod
    def zero(cls, currency: str) -> Self:
        """Nothing, in `currency`."""
        return cls(0, currency)

    @classmethod
    def sum(cls, amounts: Iterable[Self], currency: str) -> Self:
        """The sum of `amounts`, all in `currency`; zero when there are none."""
        minor = 0
        for amount in amounts:
            if amount.currency != currency:
                raise _mismatch(currency, amount.currency)
            minor += amount.minor
        return cls(minor, currency)

    def __add__(self, other: Self) -> Self:
        if self.currency != other.currency:
            raise _mismatch(self.currency, other.currency)
        return type(self)(self.minor + other.minor, self.currency)

    def __sub__(self, other: Self) -> Self:
        if self.currency != other.currency:
            raise _mismatch(self.currency, other.currency)
        return type(self)(self.minor - other.minor, self.currency)

    def __neg__(self) -> Self:
        return type(self)(-self.minor, self.currency)

    def __abs__(self) -> Self:
        return type(self)(abs(self.minor), self.currency)

    def __mul__(self, times: int) -> Self:
        return type(self)(self.minor * times, self.currency)

    def __bool__(self) -> bool:
        return self.minor != 0

    def __lt__(self, other: Self) -> bool:
        if self.currency != other.currency:
            raise _mismatch(self.currency, other.currency)
        return self.minor < other.minor

    def __le__(self, other: Self) -> bool:
        return not other < self

    def __gt__(self, other: Self) -> bool:
        return other < self

    def __ge__(self, other: Self) -> bool:
        return not self < other

    def share(self, part: int, whole: int, rounding: Rounding = Rounding.HALF_AWAY) -> Self:
        """`part`/`whole` of this amount, rounded once; `part` may exceed it (31 of 30 days)."""
        assert part >= 0
        return type(self)(divide(self.minor * part, whole, rounding), self.currency)

    def split(self, weights: Sequence[int]) -> list[Self]:
        """Parts proportional to `weights` that always add up to this amount (largest remainder)."""
        return [type(self)(part, self.currency) for part in spread(self.minor, weights)]


def _mismatch(one: str, other: str) -> CurrencyMismatch:
    return CurrencyMismatch(f"Amounts in {one} and {other} cannot be combined.")
