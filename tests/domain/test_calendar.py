"""Periods: anchored, contiguous, none twice, in every zone and through every clock change."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.calendar import Interval, Period, Unit, instant, time_zone, wall_clock
from app.domain.errors import InvalidRequest

examples = settings(max_examples=300, deadline=None)
DAY, WEEK, MONTH, YEAR = (Interval(unit) for unit in (Unit.DAY, Unit.WEEK, Unit.MONTH, Unit.YEAR))
QUARTER = Interval(Unit.MONTH, 3)

# Zones whose clocks do something awkward: no midnight, midnight twice, half-hour or two-hour
# changes, daylight saving in winter, changes of the standard offset, a whole day skipped.
AWKWARD = (
    "America/Asuncion",
    "Africa/Cairo",
    "Asia/Beirut",
    "America/Havana",
    "America/Santiago",
    "America/Sao_Paulo",
    "Asia/Tehran",
    "Asia/Gaza",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "Europe/Dublin",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "America/St_Johns",
)


def wall(*parts):
    """What a clock on the wall shows: a datetime without a zone."""
    return datetime(*parts)  # noqa: DTZ001


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


zones = st.sampled_from(("UTC", "Europe/Berlin", "America/New_York", *AWKWARD))
intervals = st.builds(Interval, st.sampled_from(Unit), st.integers(1, 24))
instants = st.datetimes(wall(1990, 1, 1), wall(2040, 1, 1), timezones=st.just(UTC))


def days(interval, anchor, count, zone="UTC"):
    return [wall_clock(interval.after(anchor, n, zone), zone).date() for n in range(count)]


def test_the_31st_comes_back_after_every_short_month():
    assert days(MONTH, utc(2026, 1, 31, 9), 6) == [
        date(2026, 1, 31),
        date(2026, 2, 28),
        date(2026, 3, 31),
        date(2026, 4, 30),
        date(2026, 5, 31),
        date(2026, 6, 30),
    ]


def test_a_leap_day_returns_in_leap_years():
    assert days(YEAR, utc(2024, 2, 29), 5) == [
        date(2024, 2, 29),
        date(2025, 2, 28),
        date(2026, 2, 28),
        date(2027, 2, 28),
        date(2028, 2, 29),
    ]
    # 1900 and 2100 are no leap years, 2000 is one.
    assert YEAR.after(utc(2096, 2, 29), 4) == utc(2100, 2, 28)
    assert YEAR.after(utc(1996, 2, 29), 4) == utc(2000, 2, 29)


def test_quarters_from_the_30th_of_november():
    assert days(QUARTER, utc(2025, 11, 30), 4) == [
        date(2025, 11, 30),
        date(2026, 2, 28),
        date(2026, 5, 30),
        date(2026, 8, 30),
    ]


def test_boundaries_before_the_anchor():
    assert MONTH.after(utc(2026, 3, 31), -1) == utc(2026, 2, 28)
    assert MONTH.after(utc(2026, 1, 31), -2) == utc(2025, 11, 30)
    assert WEEK.after(utc(2026, 1, 8), -2) == utc(2025, 12, 25)


def test_a_renewal_stays_at_nine_in_berlin_all_year():
    anchor = instant(wall(2026, 1, 15, 9), "Europe/Berlin")
    assert anchor == utc(2026, 1, 15, 8)
    assert MONTH.after(anchor, 6, "Europe/Berlin") == utc(2026, 7, 15, 7)  # summer time
    assert MONTH.after(anchor, 6) == utc(2026, 7, 15, 8)  # UTC knows none


def test_a_time_the_clocks_skip_moves_forward_past_the_gap():
    # New York, 8 March 2026: 02:00 to 03:00 does not exist; 02:30 becomes 03:30 EDT = 07:30 UTC.
    anchor = instant(wall(2026, 3, 7, 2, 30), "America/New_York")
    assert DAY.after(anchor, 1, "America/New_York") == utc(2026, 3, 8, 7, 30)
    assert DAY.after(anchor, 2, "America/New_York") == utc(2026, 3, 9, 6, 30)


def test_a_time_shown_twice_is_the_first():
    # New York, 1 November 2026: 01:30 is 05:30 UTC (EDT) and again 06:30 UTC (EST).
    anchor = instant(wall(2026, 10, 31, 1, 30), "America/New_York")
    assert DAY.after(anchor, 1, "America/New_York") == utc(2026, 11, 1, 5, 30)


def test_an_anchor_at_the_second_of_two_equal_times_is_kept_and_not_inherited():
    anchor = utc(2026, 11, 1, 6, 30)  # the second 01:30 of that day in New York
    assert DAY.after(anchor, 0, "America/New_York") == anchor
    # 7 November 2027 and 1 November 2037 have two 01:30 again, 1 November 2027 has one.
    assert YEAR.after(anchor, 1, "America/New_York") == utc(2027, 11, 1, 5, 30)
    assert YEAR.after(anchor, 11, "America/New_York") == utc(2037, 11, 1, 5, 30)
    assert DAY.after(anchor, 371, "America/New_York") == utc(2027, 11, 7, 5, 30)


@pytest.mark.parametrize(
    ("zone", "midnightless"),
    [
        ("America/Asuncion", date(2023, 10, 1)),
        ("Africa/Cairo", date(2026, 4, 24)),
        ("Asia/Beirut", date(2026, 3, 29)),
        ("America/Santiago", date(2026, 9, 6)),
        ("America/Havana", date(2026, 3, 8)),
    ],
)
def test_a_day_without_midnight_begins_at_one(zone, midnightless):
    anchor = instant(wall(2023, 1, 1), zone)
    boundary = DAY.after(anchor, (midnightless - date(2023, 1, 1)).days, zone)
    assert wall_clock(boundary, zone) == datetime.combine(
        midnightless, datetime.min.time()
    ).replace(hour=1)


def test_a_day_with_two_midnights_begins_at_the_first():
    # Beirut, 25 October 2026: at 24:00 the clocks go back to 23:00 of the 24th; Azores, the same
    # day, go back from 01:00 to 00:00, so midnight is shown at 00:00 UTC and at 01:00 UTC.
    anchor = instant(wall(2026, 10, 24), "Atlantic/Azores")
    assert DAY.after(anchor, 1, "Atlantic/Azores") == utc(2026, 10, 25, 0)
    assert DAY.after(anchor, 2, "Atlantic/Azores") == utc(2026, 10, 26, 1)


def test_the_day_apia_skipped_has_no_period_of_its_own():
    # Samoa jumped over 30 December 2011: the daily boundary of the 30th is that of the 31st.
    zone = "Pacific/Apia"
    anchor = instant(wall(2011, 12, 28, 10), zone)
    boundaries = [DAY.after(anchor, n, zone) for n in range(6)]
    assert boundaries[2] == boundaries[3]
    assert boundaries[1] < boundaries[2] < boundaries[4]
    assert DAY.index(anchor, boundaries[2], zone) == 3


def check_boundaries(interval, anchor, zone, steps):
    first = wall_clock(anchor, zone)
    boundaries = [interval.after(anchor, n, zone) for n in steps]
    for one, other in pairwise(boundaries):
        assert one < other, (interval, anchor, zone)
    for n, boundary in zip(steps, boundaries, strict=True):
        assert boundary.tzinfo is UTC
        if n:
            expected = expected_wall(first, interval, n)
            skipped = wall_clock(boundary, zone) - expected
            assert timedelta(0) <= skipped <= timedelta(hours=2)
            assert wall_clock(boundary - timedelta(hours=1), zone) != expected, "not the first"
            if skipped:  # only because no clock showed the expected time: it does not come back
                assert wall_clock(instant(expected, zone), zone) != expected


def expected_wall(first, interval, n):
    """The oracle: walk to the month day by day backwards until the day exists."""
    if interval.unit in (Unit.DAY, Unit.WEEK):
        return first + timedelta(days=n * interval.count * (7 if interval.unit is Unit.WEEK else 1))
    months = n * interval.count * (12 if interval.unit is Unit.YEAR else 1)
    year, month0 = divmod(first.year * 12 + first.month - 1 + months, 12)
    for day in range(first.day, first.day - 4, -1):
        try:
            return first.replace(year=year, month=month0 + 1, day=day)
        except ValueError:
            continue
    raise AssertionError(first)


@pytest.mark.parametrize("zone", ("UTC", "Europe/Berlin", *AWKWARD))
def test_boundaries_ascend_and_keep_the_anchors_wall_time(zone):
    walls = [
        wall(2024, month, day, hour, minute)
        for month, day in ((1, 31), (2, 29), (10, 27), (12, 30))
        for hour, minute in ((0, 0), (1, 30), (2, 30), (23, 30))
    ]
    for interval, steps in (
        (DAY, range(-30, 420)),
        (WEEK, range(-8, 60)),
        (Interval(Unit.WEEK, 2), range(30)),
        (MONTH, range(-14, 61)),
        (QUARTER, range(-5, 21)),
        (YEAR, range(-5, 13)),
    ):
        for shown in walls:
            check_boundaries(interval, instant(shown, zone), zone, steps)


@pytest.mark.parametrize("letter", "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
def test_every_zone_has_every_day_of_two_years_once(letter):
    for zone in sorted(z for z in available_timezones() if z[0] == letter):
        anchor = instant(wall(2025, 1, 1), zone)
        boundaries = [DAY.after(anchor, n, zone) for n in range(732)]
        for one, other in pairwise(boundaries):
            assert timedelta(hours=22) <= other - one <= timedelta(hours=26), (zone, one)


@examples
@given(instants, intervals, zones, st.integers(-24, 24))
def test_periods_are_contiguous_and_counted_from_the_anchor(anchor, interval, zone, n):
    boundary = interval.after(anchor, n, zone)
    if interval.unit in (Unit.MONTH, Unit.YEAR):
        months = interval.count * n * (12 if interval.unit is Unit.YEAR else 1)
        assert boundary == MONTH.after(anchor, months, zone)
    assert interval.after(anchor, n + 1, zone) >= boundary
    assert interval.after(anchor, 0, zone) == anchor


@examples
@given(instants, intervals, zones, instants)
@example(utc(2026, 11, 1, 6, 30), DAY, "America/New_York", utc(2026, 11, 1, 6, 15))
@example(utc(2026, 11, 1, 5, 30), DAY, "America/New_York", utc(2026, 11, 1, 6, 15))
@example(utc(2026, 1, 31), MONTH, "UTC", utc(2026, 2, 28))
@example(utc(2011, 12, 28), DAY, "Pacific/Apia", utc(2011, 12, 31, 12))
def test_the_index_names_the_period_that_contains_an_instant(anchor, interval, zone, at):
    n = interval.index(anchor, at, zone)
    assert at in interval.period(anchor, n, zone)


@examples
@given(instants, intervals, zones, st.integers(-60, 60))
def test_every_period_begins_and_ends_in_itself(anchor, interval, zone, n):
    start, end = interval.after(anchor, n, zone), interval.after(anchor, n + 1, zone)
    if start < end:
        assert interval.index(anchor, start, zone) == n
        assert interval.index(anchor, end - timedelta(microseconds=1), zone) == n


def test_an_anchor_in_any_offset_is_the_same_instant():
    anchor = utc(2026, 1, 31, 23, 30)
    elsewhere = anchor.astimezone(timezone(timedelta(hours=5, minutes=30)))
    for n in (0, 1, 2):
        assert MONTH.after(elsewhere, n) == MONTH.after(anchor, n)
        assert MONTH.after(elsewhere, n).tzinfo is UTC
        assert MONTH.after(elsewhere, n, "Asia/Kolkata") == MONTH.after(anchor, n, "Asia/Kolkata")


def test_a_period_holds_its_start_and_not_its_end():
    period = Period(utc(2026, 1, 1), utc(2026, 2, 1))
    assert period.start in period
    assert period.end not in period
    assert period.seconds == 31 * 86_400
    assert period.seconds_left(utc(2026, 1, 31)) == 86_400
    assert period.seconds_left(period.start) == period.seconds
    assert period.seconds_left(utc(2025, 12, 31, 23)) == period.seconds
    assert period.seconds_left(utc(2027, 1, 1)) == 0
    with pytest.raises(AssertionError):
        Period(period.start, period.start)


def test_days_are_counted_by_the_calendar_not_by_the_hour():
    # March 2026 in New York is 31 days, though one of them has 23 hours.
    period = MONTH.period(instant(wall(2026, 3, 1), "America/New_York"), 0, "America/New_York")
    assert period.seconds == 31 * 86_400 - 3_600
    assert period.days("America/New_York") == 31


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "", "America", "europe\0"])
def test_an_unknown_time_zone_is_refused(name):
    with pytest.raises(InvalidRequest) as caught:
        time_zone(name)
    assert (caught.value.code, caught.value.param) == ("unknown_time_zone", "time_zone")
