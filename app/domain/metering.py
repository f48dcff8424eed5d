"""What usage events say to meters: which are taken, what each is worth, and to whom it counts.

Usage is a whole number of the smallest thing worth counting (bytes, seconds, thousandths of a
token): fractions are a matter of the unit, so that sums are exact. An event never changes. It is
corrected by a counter-event, which takes the whole of it back, or, where a meter sums, by a
negative value.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

from app.domain.calendar import Interval, Period, Unit, instant, wall_clock
from app.domain.errors import InvalidRequest, Problem
from app.domain.ids import NewId

VALUE_MAX: Final = 10**15
"""Thousands of such events still add up within the database's 64-bit integers."""
UNIQUE_CHARS_MAX: Final = 200
"""What is counted once is an identifier, and it stands in an index."""
FUTURE_MAX: Final = timedelta(minutes=5)
"""How far a sender's clock may run ahead of ours."""
PROMPT: Final = timedelta(hours=1)
"""An event that arrives later than this after it happened is marked, so that those which come
after their period was billed are found without reading all others."""
DOUBT: Final = timedelta(minutes=15)
"""An event may become visible this long after the moment it says it was received: longer than a
transaction may last, and the clocks of two machines differ."""
FILTERS_MAX: Final = 10
BUCKETS_MAX: Final = 1_000
"""Six weeks by the hour, or almost three years by the day, in one answer."""

Scalar: TypeAlias = str | int | bool
Properties: TypeAlias = Mapping[str, Scalar]


class Aggregation(StrEnum):
    """How the events of a period become its quantity."""

    SUM = "sum"
    """Their values, added; a sum below zero bills nothing."""
    COUNT = "count"
    """How many there are."""
    MAX = "max"
    """The greatest value."""
    LAST = "last"
    """The value of the latest; of several at one instant, that of the greatest id."""
    UNIQUE = "unique"
    """How many different things they name."""


class Granularity(StrEnum):
    """How wide the steps of a series are."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Filter:
    """Counts only events whose `property` is one of `values`."""

    property: str
    values: tuple[Scalar, ...]

    def passes(self, properties: Properties) -> bool:
        """Whether the property is there and is, in value and in kind, one of them."""
        found = properties.get(self.property)
        return any(type(found) is type(value) and found == value for value in self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """What is measured. How it measures never changes, for what it measured was billed."""

    id: UUID
    event_name: str
    aggregation: Aggregation
    value_key: str = "value"
    unique_key: str | None = None
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """An event as a merchant tells it; `id` is the merchant's own. A counter-event says no more
    than `reverses`, the id of the event it takes back.
    """

    id: str
    event_name: str | None = None
    customer_id: UUID | None = None
    customer_external_id: str | None = None
    subscription_id: UUID | None = None
    timestamp: datetime | None = None
    properties: Properties = field(default_factory=dict)
    reverses: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageEvent:
    """An event as it is kept. `value` is None where it does not count: the meter's filters leave
    it out, or it is itself a counter-event.
    """

    id: UUID
    event_id: str
    meter_id: UUID
    customer_id: UUID
    subscription_id: UUID | None
    happened_at: datetime
    value: int | None
    unique_value: str | None
    properties: Properties
    reverses_id: UUID | None
    received_at: datetime

    @property
    def delayed(self) -> bool:
        """Whether it came so long after it happened that its period may be billed by now; what
        takes another back is always about the past.
        """
        return self.reverses_id is not None or self.received_at - self.happened_at > PROMPT


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An event that is on record, in the words it was told in, for comparison and reversal."""

    id: UUID
    told: Reported
    meter_id: UUID
    customer_id: UUID
    customer_now: datetime
    reversed_by: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event is not taken."""

    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """Whose usage it is, and what time it is there: a customer may be on a test clock."""

    id: UUID
    now: datetime


@dataclass(frozen=True, slots=True)
class Target:
    """A subscription that usage may be told for."""

    customer_id: UUID
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that judging a batch needs: what its events name, as far as it exists."""

    window: timedelta
    meters: Mapping[str, Meter]
    customers: Mapping[UUID | str, Customer]
    subscriptions: Mapping[UUID, Target]
    events: Mapping[str, Kept]


def problems(meter: Meter) -> Iterator[Problem]:
    """What is wrong with how a meter measures."""
    if (meter.aggregation is Aggregation.UNIQUE) != (meter.unique_key is not None):
        yield Problem(
            "unique_key goes with the aggregation unique, and with no other.", "unique_key"
        )
    if len({f.property for f in meter.filters}) < len(meter.filters):
        yield Problem("Filter a property once; an event passes all filters.", "filters")


def take(told: Reported, known: Known, now: datetime, new_id: NewId) -> UsageEvent | Refusal:
    """The event to keep, received at `now`, or why not."""
    if told.reverses is not None:
        return _reverse(told.id, told.reverses, known, now, new_id)
    meter = known.meters.get(told.event_name or "")
    if meter is None:
        return Refusal("meter_not_found", "No active meter has this event_name.", "event_name")
    customer = _customer(told, known)
    if isinstance(customer, Refusal):
        return customer
    happened_at = told.timestamp or customer.now
    refused = _timing(happened_at, customer.now, known.window) or _targeting(
        told, customer, happened_at, known
    )
    if refused is not None:
        return refused
    measured = measure(meter, told.properties)
    if isinstance(measured, Refusal):
        return measured
    value, unique_value = measured
    return UsageEvent(
        id=new_id(),
        event_id=told.id,
        meter_id=meter.id,
        customer_id=customer.id,
        subscription_id=told.subscription_id,
        happened_at=happened_at,
        value=value,
        unique_value=unique_value,
        properties=told.properties,
        reverses_id=None,
        received_at=now,
    )


def measure(meter: Meter, properties: Properties) -> tuple[int | None, str | None] | Refusal:
    """What an event is worth to its meter: its value, and what it counts once, if that is asked.

    (None, None) where the filters leave it out.
    """
    if not all(kept.passes(properties) for kept in meter.filters):
        return None, None
    match meter.aggregation:
        case Aggregation.COUNT:
            return 1, None
        case Aggregation.UNIQUE:
            return _unique(meter, properties)
        case Aggregation.SUM | Aggregation.MAX | Aggregation.LAST:
            return _value(meter, properties)


def is_same(told: Reported, kept: Reported, external_id: str | None) -> bool:
    """Whether `told` says what is on record, so that it is a repetition and no contradiction.

    A customer may be named in either way, `external_id` being the present one; a time that is
    left out is whatever it was.
    """
    if told.reverses is not None or kept.reverses is not None:
        return told.reverses == kept.reverses
    if told.customer_id is None:
        same_customer = told.customer_external_id == external_id
    else:
        same_customer = told.customer_id == kept.customer_id
    return (
        same_customer
        and told.event_name == kept.event_name
        and told.subscription_id == kept.subscription_id
        and told.timestamp in (None, kept.timestamp)
        and dict(told.properties) == dict(kept.properties)
    )


def buckets(
    start: datetime, end: datetime, granularity: Granularity, zone: str
) -> tuple[Period, ...]:
    """The steps between two instants, cut at the hours, days or months of `zone`.

    Raises InvalidRequest beyond BUCKETS_MAX, and where nothing lies between.
    """
    if start >= end:
        raise InvalidRequest("`start` lies before `end`.", param="start")
    cuts = [start]
    for cut in _cuts(start, granularity, zone):
        if cut >= end:
            break
        if len(cuts) == BUCKETS_MAX:
            raise InvalidRequest(
                f"More than {BUCKETS_MAX} steps: ask for a shorter time or a coarser granularity.",
                code="too_many_steps",
                param="granularity",
            )
        cuts.append(cut)
    return tuple(Period(a, b) for a, b in zip(cuts, [*cuts[1:], end], strict=True))


def month_start(at: datetime, zone: str) -> datetime:
    """When the month that contains the moment before `at` began in `zone`."""
    wall = wall_clock(at - timedelta(microseconds=1), zone)
    return instant(wall.replace(day=1, hour=0, minute=0, second=0, microsecond=0), zone)


def _cuts(start: datetime, granularity: Granularity, zone: str) -> Iterator[datetime]:
    """The boundaries after `start`, one after the other: more of them than anybody may ask for."""
    wall = wall_clock(start, zone)
    hour = wall.replace(minute=0, second=0, microsecond=0)
    if granularity is Granularity.HOUR:
        # Hours pass evenly, whatever the clocks on the wall are set to.
        first = start - (wall - hour)
        yield from (first + timedelta(hours=n) for n in range(1, BUCKETS_MAX + 1))
        return
    day = hour.replace(hour=0)
    anchor = day if granularity is Granularity.DAY else day.replace(day=1)
    interval = Interval(Unit(granularity))
    midnight = instant(anchor, zone)
    found = (interval.after(midnight, n, zone) for n in range(1, BUCKETS_MAX + 1))
    yield from (cut for cut in found if cut > start)


def _customer(told: Reported, known: Known) -> Customer | Refusal:
    name: UUID | str | None = told.customer_id or told.customer_external_id
    if (told.customer_id is None) == (told.customer_external_id is None) or name is None:
        return Refusal(
            "customer_required",
            "Name the customer by one of customer_id and customer_external_id.",
            "customer_id",
        )
    found = known.customers.get(name)
    param = "customer_external_id" if told.customer_id is None else "customer_id"
    return found or Refusal("customer_not_found", "There is no such customer.", param)


def _timing(happened_at: datetime, now: datetime, window: timedelta) -> Refusal | None:
    if happened_at > now + FUTURE_MAX:
        return Refusal(
            "timestamp_in_future",
            f"It lies more than {FUTURE_MAX // timedelta(minutes=1)} minutes in the future.",
            "timestamp",
        )
    if happened_at < now - max(window, PROMPT):
        return Refusal(
            "timestamp_too_old",
            f"It lies further back than the {window.days} days for which late usage is taken.",
            "timestamp",
        )
    return None


def _targeting(
    told: Reported, customer: Customer, happened_at: datetime, known: Known
) -> Refusal | None:
    if told.subscription_id is None:
        return None
    target = known.subscriptions.get(told.subscription_id)
    if target is None or target.customer_id != customer.id:
        return Refusal(
            "subscription_not_found", "The customer has no such subscription.", "subscription_id"
        )
    if target.ended_at is not None and happened_at >= target.ended_at:
        return Refusal(
            "subscription_ended", "The subscription had ended when it happened.", "subscription_id"
        )
    return None


def _reverse(
    event_id: str, reverses: str, known: Known, now: datetime, new_id: NewId
) -> UsageEvent | Refusal:
    """A counter-event: it stands where the other stands, so that it changes the same period."""
    target = known.events.get(reverses)
    if target is None:
        return Refusal("event_not_found", "There is no such event to reverse.", "reverses")
    if target.told.reverses is not None:
        return Refusal(
            "event_not_reversible", "A counter-event stands; send the usage anew.", "reverses"
        )
    if target.reversed_by is not None:
        return Refusal("already_reversed", "The event is reversed already.", "reverses")
    happened_at = target.told.timestamp
    assert happened_at is not None, "what is kept has a time"
    refused = _timing(happened_at, target.customer_now, known.window)
    if refused is not None:
        return Refusal(refused.code, refused.message, "reverses")
    return UsageEvent(
        id=new_id(),
        event_id=event_id,
        meter_id=target.meter_id,
        customer_id=target.customer_id,
        subscription_id=target.told.subscription_id,
        happened_at=happened_at,
        value=None,
        unique_value=None,
        properties={},
        reverses_id=target.id,
        received_at=now,
    )


def _value(meter: Meter, properties: Properties) -> tuple[int, None] | Refusal:
    param = f"properties.{meter.value_key}"
    value = properties.get(meter.value_key)
    if value is None:
        return Refusal("value_missing", f"The property {meter.value_key!r} is its value.", param)
    if not isinstance(value, int) or isinstance(value, bool):
        return Refusal(
            "value_not_whole",
            "A value is a whole number: measure in a unit small enough that it is.",
            param,
        )
    if value < 0 and meter.aggregation is not Aggregation.SUM:
        return Refusal("value_negative", "Only where a meter sums may a value correct.", param)
    if abs(value) > VALUE_MAX:
        return Refusal("value_too_large", f"A value is at most {VALUE_MAX}.", param)
    return value, None


def _unique(meter: Meter, properties: Properties) -> tuple[int, str] | Refusal:
    assert meter.unique_key is not None
    param = f"properties.{meter.unique_key}"
    found = properties.get(meter.unique_key)
    if found is None or found == "":
        return Refusal(
            "value_missing", f"The property {meter.unique_key!r} is what is counted once.", param
        )
    text = str(found).lower() if isinstance(found, bool) else str(found)
    if len(text) > UNIQUE_CHARS_MAX:
        return Refusal(
            "value_too_large", f"What is counted has at most {UNIQUE_CHARS_MAX} characters.", param
        )
    return 1, text
