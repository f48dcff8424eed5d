"""What part of a period a stretch of time is: whole seconds or whole days, never a float."""

from datetime import datetime, time
from typing import Final, NamedTuple

from app.domain.calendar import DAY, SECOND, Interval, Period, Unit, instant, wall_clock
from app.domain.policy import Basis, LastDay, Policy, StubReference

MONTH_DAYS: Final = 30
YEAR_DAYS: Final = 360


class Share(NamedTuple):
    """`part` of `whole` units; both are counted, never measured."""

    part: int
    whole: int


FULL: Final = Share(1, 1)
NOTHING: Final = Share(0, 1)


def units(start: datetime, end: datetime, basis: Basis, zone: str) -> int:
    """How many seconds, or days on the calendar of `zone`, lie between two instants."""
    if basis is Basis.DAY:
        return (wall_clock(end, zone).date() - wall_clock(start, zone).date()).days
    return (end - start) // SECOND


def share(part: Period, whole: Period, policy: Policy, zone: str) -> Share:
    """`part` as a share of `whole`. Under basis `none` a part is nothing."""
    if part == whole:
        return FULL
    basis = policy.proration_basis
    if basis is Basis.NONE:
        return NOTHING
    of = units(whole.start, whole.end, basis, zone)
    return _counted(units(part.start, part.end, basis, zone), of) if of else NOTHING


def _counted(part: int, whole: int) -> Share:
    """The share; all of it is `FULL`, also where a day's late beginning counts as the whole day."""
    return FULL if part == whole else Share(part, whole)


def reference(
    part: Period, stub: Period, aligned: Period, interval: Interval, policy: Policy, zone: str
) -> Share:
    """`part` of a stub, as a share of the full period that the merchant compares stubs with."""
    match policy.proration_stub_reference:
        case StubReference.ALIGNED_PERIOD:
            return share(part, aligned, policy, zone)
        case StubReference.FROM_START:
            return share(part, interval.period(stub.start, 0, zone), policy, zone)
        case StubReference.FIXED_30:
            basis = policy.proration_basis
            if basis is Basis.NONE:
                return NOTHING
            days = _fixed_days(interval)
            whole = days if basis is Basis.DAY else days * (DAY // SECOND)
            return _counted(min(whole, units(part.start, part.end, basis, zone)), whole)


def _fixed_days(interval: Interval) -> int:
    match interval.unit:
        case Unit.DAY:
            return interval.count
        case Unit.WEEK:
            return 7 * interval.count
        case Unit.MONTH:
            return MONTH_DAYS * interval.count
        case Unit.YEAR:
            return YEAR_DAYS * interval.count


def used_until(at: datetime, policy: Policy, zone: str) -> datetime:
    """Up to when a period canceled at `at` counts as used: to the end of that day, if so set."""
    if policy.proration_basis is not Basis.DAY or policy.proration_last_day is LastDay.NOT_BILLED:
        return at
    tomorrow = wall_clock(at, zone).date() + DAY
    return instant(datetime.combine(tomorrow, time()), zone)
