"""What an event is worth to its meter, whether it is taken, and how time is cut into steps."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.calendar import wall_clock
from app.domain.errors import InvalidRequest
from app.domain.metering import (
    BUCKETS_MAX,
    PROMPT,
    VALUE_MAX,
    Aggregation,
    Customer,
    Filter,
    Granularity,
    Known,
    Meter,
    Refusal,
    Reported,
    UsageEvent,
    buckets,
    is_same,
    measure,
    month_start,
    problems,
    take,
)

ID = UUID(int=7)
NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
WINDOW = timedelta(days=30)
examples = settings(max_examples=200, deadline=None)
scalars = st.one_of(st.booleans(), st.integers(), st.text(max_size=5))
properties = st.dictionaries(st.sampled_from(["value", "user", "region"]), scalars)
kinds = st.sampled_from(Aggregation)
zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "America/Havana"]
)
instants = st.integers(0, 30 * 366 * 24 * 60).map(
    lambda minutes: datetime(2005, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


def meter(kind: Aggregation, **options) -> Meter:
    unique = "user" if kind is Aggregation.UNIQUE else None
    return Meter(id=ID, event_name="request", aggregation=kind, unique_key=unique, **options)


def known(*meters: Meter, window: timedelta = WINDOW) -> Known:
    return Known(
        window=window,
        meters={one.event_name: one for one in meters},
        customers={ID: Customer(ID, NOW)},
        subscriptions={},
        events={},
    )


def told(**options) -> Reported:
    return Reported(**{"id": "e", "event_name": "request", "customer_id": ID} | options)


@examples
@given(kinds, properties)
def test_what_is_taken_is_whole_and_within_bounds(kind: Aggregation, said: dict) -> None:
    found = measure(meter(kind), said)
    if isinstance(found, Refusal):
        assert found.param in {"properties.value", "properties.user"}
        return
    value, unique = found
    assert type(value) is int
    assert abs(value) <= VALUE_MAX
    assert value >= 0 or kind is Aggregation.SUM
    assert (unique is not None) == (kind is Aggregation.UNIQUE)
    if kind in {Aggregation.SUM, Aggregation.MAX, Aggregation.LAST}:
        assert value == said["value"]


@examples
@given(kinds, properties, st.lists(scalars, min_size=1, max_size=3))
def test_what_filters_leave_out_counts_nothing_whatever_it_says(
    kind: Aggregation, said: dict, values: list
) -> None:
    kept = Filter("region", tuple(values))
    found = measure(meter(kind, filters=(kept,)), said)
    same_kind = [v for v in values if type(v) is type(said.get("region")) and v == said["region"]]
    if same_kind:
        assert found == measure(meter(kind), said)
    else:
        assert found == (None, None)


@given(st.integers(), st.booleans())
def test_numbers_and_truths_are_told_apart(number: int, fact: bool) -> None:
    assert not Filter("a", (number,)).passes({"a": fact})
    assert not Filter("a", (fact,)).passes({"a": number})


@examples
@given(st.timedeltas(timedelta(days=-60), timedelta(hours=1)))
def test_an_event_is_taken_within_its_window_and_not_beyond(away: timedelta) -> None:
    judged = take(told(timestamp=NOW + away), known(meter(Aggregation.COUNT)), NOW, lambda: ID)
    if -WINDOW <= away <= timedelta(minutes=5):
        assert isinstance(judged, UsageEvent)
        assert judged.happened_at == NOW + away
        assert judged.delayed == (away < -PROMPT)
    else:
        assert isinstance(judged, Refusal)
        assert judged.param == "timestamp"


def test_the_narrowest_window_bears_the_time_it_takes_to_tell() -> None:
    narrow = known(meter(Aggregation.COUNT), window=timedelta(0))
    assert isinstance(take(told(timestamp=NOW - PROMPT), narrow, NOW, lambda: ID), UsageEvent)
    late = told(timestamp=NOW - PROMPT - timedelta(seconds=1))
    assert isinstance(take(late, narrow, NOW, lambda: ID), Refusal)


@given(properties, properties)
def test_the_same_is_told_again_only_with_the_same_content(one: dict, two: dict) -> None:
    kept = told(properties=one, timestamp=NOW)
    assert is_same(told(properties=one), kept, None)
    same = is_same(told(properties=two, timestamp=NOW), kept, None)
    assert same == (one == two)


def test_a_meter_of_things_says_which_and_no_other_does() -> None:
    assert not [*problems(meter(Aggregation.UNIQUE))]
    for wrong in (
        Meter(id=ID, event_name="a", aggregation=Aggregation.UNIQUE),
        Meter(id=ID, event_name="a", aggregation=Aggregation.SUM, unique_key="user"),
    ):
        assert [problem.param for problem in problems(wrong)] == ["unique_key"]


@examples
@given(
    instants,
    st.timedeltas(timedelta(seconds=1), timedelta(days=40)),
    zones,
    st.sampled_from(Granularity),
)
def test_steps_adjoin_and_are_cut_on_the_clocks_of_the_zone(
    start: datetime, length: timedelta, zone: str, granularity: Granularity
) -> None:
    steps = buckets(start, start + length, granularity, zone)
    assert (steps[0].start, steps[-1].end) == (start, start + length)
    assert all(a.end == b.start for a, b in pairwise(steps))
    for step in steps[1:]:
        wall = wall_clock(step.start, zone)
        assert (wall.minute, wall.second, wall.microsecond) == (0, 0, 0)
        if granularity is not Granularity.HOUR:
            # Midnight, or the first moment after one that the clocks skipped.
            assert wall.hour <= 1
        if granularity is Granularity.MONTH:
            assert wall.day == 1


def test_the_day_the_clocks_change_has_23_or_25_hours() -> None:
    # Berlin, 29 March 2026: two o'clock is three; midnight is 23:00 UTC before, 22:00 after.
    start, end = datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)
    assert len(buckets(start, end, Granularity.HOUR, "Europe/Berlin")) == 23
    assert len(buckets(start, end, Granularity.DAY, "Europe/Berlin")) == 1


def test_steps_are_limited_and_go_forward() -> None:
    hours = timedelta(hours=BUCKETS_MAX)
    assert len(buckets(NOW, NOW + hours, Granularity.HOUR, "UTC")) == BUCKETS_MAX
    with pytest.raises(InvalidRequest, match="steps"):
        buckets(NOW, NOW + hours + timedelta(seconds=1), Granularity.HOUR, "UTC")
    with pytest.raises(InvalidRequest, match="before"):
        buckets(NOW, NOW, Granularity.DAY, "UTC")


def test_at_midnight_of_the_first_the_month_is_the_one_that_has_passed() -> None:
    first = datetime(2026, 2, 1, tzinfo=UTC)
    assert month_start(first, "UTC") == datetime(2026, 1, 1, tzinfo=UTC)
    assert month_start(first + timedelta(microseconds=1), "UTC") == first
    assert month_start(first, "Asia/Tokyo") == datetime(2026, 1, 31, 15, tzinfo=UTC)
