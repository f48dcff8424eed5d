"""Billing periods: half-open stretches of time counted from a fixed anchor, so days never drift."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from app.domain.errors import InvalidRequest

SECOND: Final = timedelta(seconds=1)
DAY: Final = timedelta(days=1)
SHORTEST_MONTH: Final = 28
FEBRUARY: Final = 1  # months count from zero here
MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Unit(StrEnum):
    """What an interval is counted in."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


@lru_cache(maxsize=1024)
def time_zone(name: str) -> tzinfo:
    """The IANA time zone called `name`. Raises InvalidRequest."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a key at all, or a folder's name
        raise InvalidRequest(
            f"{name!r} is not an IANA time zone.", code="unknown_time_zone", param="time_zone"
        ) from None


def instant(wall: datetime, zone: str) -> datetime:
    """The UTC instant at which the clocks of `zone` show `wall`, a datetime without a zone.

    A time the clocks skip moves forward by what they skip, one they show twice is the first:
    that is what fold=0 means (PEP 495), and what RFC 5545 and java.time do.
    """
    return wall.replace(tzinfo=time_zone(zone), fold=0).astimezone(UTC)


def wall_clock(at: datetime, zone: str) -> datetime:
    """What the clocks of `zone` show at `at`, as a datetime without a zone."""
    return at.astimezone(time_zone(zone)).replace(tzinfo=None, fold=0)


@dataclass(frozen=True, slots=True)
class Period:
    """The time from `start` up to, and not including, `end`."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        assert self.start < self.end, "a period is longer than nothing"

    def __contains__(self, at: datetime) -> bool:
        return self.start <= at < self.end

    @property
    def seconds(self) -> int:
        """Its length in whole seconds."""
        return (self.end - self.start) // SECOND

    def seconds_left(self, at: datetime) -> int:
        """Whole seconds from `at` to the end; none after it, all of them before the start."""
        if at <= self.start:
            return self.seconds
        return (self.end - at) // SECOND if at < self.end else 0

    def days(self, zone: str) -> int:
        """Its length in calendar days of `zone`: midnights passed, whatever the clocks did."""
        return (wall_clock(self.end, zone).date() - wall_clock(self.start, zone).date()).days


@dataclass(frozen=True, slots=True)
class Interval:
    """How often something recurs: `count` units, at least one."""

    unit: Unit
    count: int = 1

    def __post_init__(self) -> None:
        assert self.count >= 1

    def after(self, anchor: datetime, steps: int, zone: str = "UTC") -> datetime:
        """The boundary `steps` intervals from `anchor` (before it when negative), in UTC.

        Always counted from the anchor, on the clocks of `zone`; a day the month lacks becomes
        its last. Boundaries ascend strictly, but for the few whole days that zones have skipped
        (Apia, 30 December 2011): a daily boundary there falls on the next one.
        """
        if steps == 0:  # the anchor itself, even at the second of two equal wall times
            return anchor if anchor.tzinfo is UTC else anchor.astimezone(UTC)
        if zone == "UTC":
            if anchor.tzinfo is not UTC:
                anchor = anchor.astimezone(UTC)
            return self._step(anchor, steps)
        wall = anchor.astimezone(time_zone(zone))
        if wall.fold:  # the anchor was the second of two equal times; boundaries are the first
            wall = wall.replace(fold=0)
        return self._step(wall, steps).astimezone(UTC)

    def period(self, anchor: datetime, index: int, zone: str = "UTC") -> Period:
        """The period between boundary `index` and the next."""
        return Period(self.after(anchor, index, zone), self.after(anchor, index + 1, zone))

    def index(self, anchor: datetime, at: datetime, zone: str = "UTC") -> int:
        """Which period contains `at`: the last whose start is not after it (negative before 0)."""
        n = self._estimate(wall_clock(anchor, zone), wall_clock(at, zone))
        while self.after(anchor, n, zone) > at:  # the estimate is off by two at the very most
            n -= 1
        while self.after(anchor, n + 1, zone) <= at:
            n += 1
        return n

    def _step(self, anchor: datetime, steps: int) -> datetime:
        """Arithmetic on the anchor's own clock, whatever that clock does in between."""
        total = self.count * steps
        match self.unit:
            case Unit.MONTH:
                return _add_months(anchor, total)
            case Unit.YEAR:
                return _add_months(anchor, 12 * total)
            case Unit.WEEK:
                return anchor + timedelta(weeks=total)
            case Unit.DAY:
                return anchor + timedelta(days=total)

    def _estimate(self, anchor: datetime, at: datetime) -> int:
        months = 12 * (at.year - anchor.year) + at.month - anchor.month
        match self.unit:
            case Unit.DAY:
                return (at - anchor) // DAY // self.count
            case Unit.WEEK:
                return (at - anchor) // DAY // (7 * self.count)
            case Unit.MONTH:
                return months // self.count
            case Unit.YEAR:
                return months // (12 * self.count)


def next_aligned(at: datetime, interval: Interval, zone: str) -> datetime:
    """The first start of a day, week (Monday), month or year of `zone` that is not before `at`.

    Where midnight does not exist the day begins when the clocks say so.
    """
    wall = wall_clock(at, zone)
    day = wall.replace(hour=0, minute=0, second=0, microsecond=0)
    first = day
    match interval.unit:
        case Unit.DAY:
            pass
        case Unit.WEEK:
            first = day - timedelta(days=day.weekday())
        case Unit.MONTH:
            first = day.replace(day=1)
        case Unit.YEAR:
            first = day.replace(month=1, day=1)
    found = instant(first, zone)
    return found if found >= at else instant(Interval(interval.unit)._step(first, 1), zone)  # noqa: SLF001


def _add_months(anchor: datetime, months: int) -> datetime:
    month0 = anchor.month - 1 + months
    year, month0 = anchor.year + month0 // 12, month0 % 12
    day = anchor.day
    if day > SHORTEST_MONTH and day > (last := _last_day(year, month0)):
        day = last
    return anchor.replace(year, month0 + 1, day)  # by position: three times as fast as by name


def _last_day(year: int, month0: int) -> int:
    if month0 == FEBRUARY and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0):
        return 29
    return MONTH_DAYS[month0]
