"""Every start day of ten years, every interval, every zone: boundaries ascend and keep the anchor.

`python -m pytest -m campaign tests/campaigns/test_calendar_sweep.py -s` says how many there were.
"""

# ruff: noqa: DTZ001, T201  a wall clock has no zone; a campaign says how far it went

from calendar import monthrange
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from app.domain.calendar import Interval, Unit

FIRST, DAYS, PERIODS = datetime(2024, 1, 1), 3653, 60
"""2024-01-01 to 2033-12-31, with three leap days."""
INTERVALS = [Interval(unit, count) for unit in Unit for count in (1, 2, 3, 6)]
ZONES = sorted(available_timezones())
HARD = (
    "America/Santiago",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Europe/Rome",
)
"""Clocks that skip midnight, move by half an hour, or move in Ramadan; and a plain one."""
MONTH_ENDS = [
    *(datetime(2024, month, monthrange(2024, month)[1]) for month in range(1, 13)),
    *(datetime(2025, month, 30) for month in (1, 3, 8, 12)),
    datetime(2028, 2, 29),
    datetime(2032, 2, 29, 23, 59, 59),
]
SKIPPED = {
    "Pacific/Apia": datetime(2011, 12, 30),
    "Pacific/Fakaofo": datetime(2011, 12, 30),
    "Pacific/Kwajalein": datetime(1993, 8, 21),
    "Pacific/Kiritimati": datetime(1994, 12, 31),
    "Pacific/Enderbury": datetime(1994, 12, 31),
}
"""Days that were never: who stood at the date line and went over."""


def expected(wall: datetime, interval: Interval, steps: int) -> datetime:
    """What a calendar on the wall says, written anew."""
    count = steps * interval.count
    match interval.unit:
        case Unit.DAY:
            return wall + timedelta(days=count)
        case Unit.WEEK:
            return wall + timedelta(weeks=count)
        case Unit.YEAR:
            count *= 12
        case Unit.MONTH:
            pass
    year, month = divmod(wall.year * 12 + wall.month - 1 + count, 12)
    return wall.replace(
        year=year, month=month + 1, day=min(wall.day, monthrange(year, month + 1)[1])
    )


def sweep(walls: Iterable[datetime], zone: str, periods: int = PERIODS) -> int:
    """Check the boundaries of every interval from each of these wall times; how many they were."""
    place, checked = ZoneInfo(zone), 0
    for wall in walls:
        anchor = wall.replace(tzinfo=place).astimezone(UTC)
        for interval in INTERVALS:
            at = interval.after(anchor, 0, zone)
            assert at == anchor
            start = anchor.astimezone(place).replace(tzinfo=None, fold=0)
            for n in range(1, periods + 1):
                following = interval.after(anchor, n, zone)
                meant = expected(start, interval, n).replace(tzinfo=place).astimezone(UTC)
                assert following == meant, (zone, wall, interval, n)
                assert following > at, (zone, wall, interval, n)
                at = following
            for n in (1, periods // 2, periods):  # the way back: which period is it?
                edge = interval.after(anchor, n, zone)
                assert interval.index(anchor, edge, zone) == n
                assert interval.index(anchor, edge - timedelta(seconds=1), zone) == n - 1
                whole = interval.period(anchor, n, zone)
                assert (whole.start, whole.end) == (edge, interval.after(anchor, n + 1, zone))
            checked += periods
    return checked


def days(step: int = 1) -> Iterator[datetime]:
    for day in range(0, DAYS, step):
        yield FIRST + timedelta(days=day)


def test_a_sample_of_all_boundaries_ascends_and_keeps_the_anchor() -> None:
    checked = sweep(days(97), "UTC")
    for place, zone in enumerate(ZONES):
        checked += sweep([MONTH_ENDS[place % len(MONTH_ENDS)]], zone, periods=14)
    for zone in HARD:
        checked += sweep(MONTH_ENDS[:4], zone)
    assert checked > 100_000


@pytest.mark.parametrize("zone", SKIPPED)
def test_a_day_that_was_never_falls_on_the_next_one(zone: str) -> None:
    never = SKIPPED[zone]
    anchor = (never - timedelta(days=20)).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    edges = [Interval(Unit.DAY).after(anchor, n, zone) for n in range(60)]
    assert edges == sorted(edges)
    assert len(set(edges)) == len(edges) - 1
    for unit in (Unit.WEEK, Unit.MONTH, Unit.YEAR):
        wider = [Interval(unit).after(anchor, n, zone) for n in range(60)]
        assert len(set(wider)) == len(wider)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_every_start_day_of_ten_years_and_every_zone(capsys: pytest.CaptureFixture[str]) -> None:
    checked = sweep(days(), "UTC")
    for zone in HARD:
        checked += sweep(days(7), zone)
    for zone in ZONES:
        checked += sweep(MONTH_ENDS, zone)
    with capsys.disabled():
        print(f"\ncalendar sweep: {checked:,} boundaries in {len(ZONES)} zones")
