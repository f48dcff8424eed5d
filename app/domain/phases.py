"""Schedules: the phases a subscription goes through, planned as whole changes. Pure decisions.

A schedule is worked out once, from the anchor on: each phase becomes a scheduled change that is due
at its start. What applies them is what applies every scheduled change, at a boundary together with
the renewal, inside a period as its settlement says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from app.domain import billing, changing, items, lifecycle
from app.domain import policy as policies
from app.domain.billing import Account
from app.domain.calendar import Interval
from app.domain.changing import RESETS
from app.domain.decision import Decision, ScheduledState
from app.domain.discount import Discount
from app.domain.errors import Conflict, InvalidRequest
from app.domain.event import Event, Type
from app.domain.ids import NewId
from app.domain.invoice import Collection
from app.domain.policy import Policy, Settlement, When
from app.domain.pricing import Price
from app.domain.subscription import (
    ENDED,
    Change,
    ItemChange,
    Scheduled,
    ScheduledStatus,
    Status,
    Subscription,
)

PHASES_MAX: Final = 60
"""Five years of monthly phases: as many as changes may wait."""
CYCLES_MAX: Final = 1_200
YEARS_MAX: Final = 100
"""What lies further ahead is a slip of the pen, and beyond what calendars can count."""


class EndBehaviour(StrEnum):
    """What happens when the last phase is over."""

    RELEASE = "release"
    """It goes on as the last phase left it."""
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What a subscription is for a while: for `cycles` full periods, or until `ends_at`.

    Without either it lasts until the next one starts. What is None stays as it is.
    """

    items: tuple[tuple[Price, int], ...]
    start: datetime | When | None = None
    """Of the first: a moment, or the end of the present period; None: now."""
    cycles: int | None = None
    ends_at: datetime | None = None
    discounts: tuple[Discount, ...] | None = None
    settlement: Settlement | None = None
    collection: Collection | None = None
    net_days: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Phases with their moments: what each changes, when it starts, and when the last one ends."""

    starts: tuple[datetime, ...]
    changes: tuple[Change, ...]
    ends_at: datetime | None
    end: EndBehaviour

    @property
    def cancel_at(self) -> datetime | None:
        """When the subscription ends with its last phase."""
        return self.ends_at if self.end is EndBehaviour.CANCEL else None

    def ends(self) -> list[datetime | None]:
        """When each phase ends; the last may be open."""
        return [*self.starts[1:], self.ends_at]

    def scheduled(self, first: int, now: datetime, new_id: NewId) -> list[Scheduled]:
        """The phases from `first` on (counted from 0) as changes that wait."""
        return [
            Scheduled(new_id(), start, change, phase=place + 1, created_at=now)
            for place, (start, change) in enumerate(zip(self.starts, self.changes, strict=True))
            if place >= first
        ]


@dataclass(frozen=True, slots=True)
class _Grid:
    """The boundaries that periods have from some moment on."""

    anchor: datetime
    interval: Interval
    zone: str

    def after_cycles(self, at: datetime, cycles: int) -> datetime:
        """The end of so many full periods from `at` on; a part of one before them is not one."""
        index = self.interval.index(self.anchor, at, self.zone)
        if self.interval.after(self.anchor, index, self.zone) < at:
            index += 1
        return self.interval.after(self.anchor, max(index, 0) + cycles, self.zone)

    def has(self, at: datetime) -> bool:
        """Whether a period begins at `at`."""
        index = self.interval.index(self.anchor, at, self.zone)
        return self.interval.after(self.anchor, index, self.zone) == at


# ── planning ──────────────────────────────────────────────────────────────────────────────────────


def plan(  # noqa: PLR0913  what is planned, for what, from when on
    sub: Subscription,
    phases: Sequence[Phase],
    end: EndBehaviour,
    policy: Policy,
    start: datetime,
    now: datetime,
    new_id: NewId,
) -> Plan:
    """The moments and changes of the phases from `start` on, all checked as they will be made.

    Raises InvalidRequest, with the phase at fault.
    """
    if not 0 < len(phases) <= PHASES_MAX:
        raise InvalidRequest(f"A schedule has 1 to {PHASES_MAX} phases.", param="phases")
    grid = _Grid(sub.anchor, sub.interval, sub.zone)
    starts: list[datetime] = []
    changes: list[Change] = []
    ends_at: datetime | None = None
    for place, phase in enumerate(phases):
        param = f"phases[{place}]"
        if place:
            start = _start_after(ends_at, phase, starts[-1], param)
        change = _change(phase, sub, policy)
        try:
            recast = items.recast(sub, change, start, new_id)
        except InvalidRequest as error:
            error.param = f"{param}.{error.param or 'items'}"
            raise
        grid = _moved(grid, sub, recast.interval, change, start)
        starts.append(start)
        changes.append(change)
        sub = recast
        ends_at = _end(grid, phase, start, now, param)
    if end is EndBehaviour.CANCEL and ends_at is None:
        raise InvalidRequest(
            "The last phase needs an end for the subscription to end with it.",
            param=f"phases[{len(phases) - 1}]",
        )
    return Plan(tuple(starts), tuple(changes), ends_at, end)


def first_start(sub: Subscription, phase: Phase, now: datetime) -> datetime:
    """When the first phase of a subscription's schedule starts. Raises InvalidRequest."""
    if sub.period is None:
        if phase.start is not None:
            raise InvalidRequest(
                "The first phase starts with the subscription.", param="phases[0].start_at"
            )
        return sub.start_at
    match phase.start:
        case None | When.NOW:
            return now
        case When.PERIOD_END:
            return sub.period.end
        case at if at >= now:
            return at
        case _:
            raise InvalidRequest("A phase starts now or later.", param="phases[0].start_at")


def _start_after(
    previous_end: datetime | None, phase: Phase, previous_start: datetime, param: str
) -> datetime:
    if isinstance(phase.start, When):
        raise InvalidRequest("Only the first phase starts like that.", param=f"{param}.when")
    start = phase.start or previous_end
    if start is None:
        raise InvalidRequest(
            "Say when the phase before ends, or when this one starts.", param=f"{param}.start_at"
        )
    if previous_end is not None and start != previous_end:
        raise InvalidRequest(
            "A phase starts where the one before it ends.", param=f"{param}.start_at"
        )
    if start <= previous_start:
        raise InvalidRequest("A phase starts after the one before it.", param=f"{param}.start_at")
    return start


def _change(phase: Phase, sub: Subscription, policy: Policy) -> Change:
    """The change that its start makes; how it is settled is decided now."""
    narrowed = policies.narrowed(policy, [price for price, _ in phase.items], sub.settings)
    return Change(
        items=tuple(ItemChange(price=price, quantity=n) for price, n in phase.items),
        is_whole=True,
        settlement=phase.settlement or narrowed.settlement,
        discounts=phase.discounts,
        collection=phase.collection,
        net_days=phase.net_days,
    )


def _moved(
    grid: _Grid, sub: Subscription, interval: Interval, change: Change, start: datetime
) -> _Grid:
    """The boundaries from `start` on: another interval counts from there, as a reset does."""
    began = sub.trial_end or sub.start_at
    if start < began:
        return replace(grid, interval=interval)  # it only changes; its first bill is to come
    if interval != grid.interval:
        return _Grid(start, interval, grid.zone)
    if change.settlement in RESETS and start != began and not grid.has(start):
        return replace(grid, anchor=start)
    return grid


def _end(grid: _Grid, phase: Phase, start: datetime, now: datetime, param: str) -> datetime | None:
    if phase.cycles is not None and phase.ends_at is not None:
        raise InvalidRequest("A phase has cycles or an end, not both.", param=f"{param}.cycles")
    latest = now.replace(day=1, year=now.year + YEARS_MAX)
    end = phase.ends_at
    if phase.cycles is not None:
        try:
            end = grid.after_cycles(start, phase.cycles)
        except (ValueError, OverflowError):  # beyond the last year that calendars know
            end = latest
    if end is not None and end >= latest:
        raise InvalidRequest(f"This lies {YEARS_MAX} years ahead.", param=param)
    if end is not None and end <= start:
        raise InvalidRequest("A phase ends after it starts.", param=f"{param}.ends_at")
    return end


# ── decisions ─────────────────────────────────────────────────────────────────────────────────────


def begin(decision: Decision, planned: Plan, now: datetime, new_id: NewId) -> Decision:
    """The decision that creates a subscription, with the phases after the first one planned."""
    sub = decision.subscriptions[0]
    if planned.cancel_at is not None and sub.cancel_at is not None:
        raise InvalidRequest(
            "It ends with its last phase, or at cancel_at; not both.", param="cancel_at"
        )
    return _with(decision, (), planned.scheduled(1, now, new_id), planned.cancel_at, now)


def put(account: Account, planned: Plan, now: datetime, new_id: NewId) -> Decision:
    """The subscription in these phases from now on; other changes that waited give way to them.

    Raises Conflict, InvalidRequest.
    """
    sub = account.subscription
    check_schedulable(sub)
    replaced = tuple(s for s in sub.scheduled if s.pause is None)
    left = replace(sub, scheduled=tuple(s for s in sub.scheduled if s.pause is not None))
    first, change = planned.starts[0], planned.changes[0]
    is_later = first > now
    prices = [item.price for item in change.items if item.price is not None]
    if is_later or not _differs(left, change, now, new_id):
        decision = billing.updated(replace(left, version=sub.version + 1), {}, new_id)
    else:
        policy = policies.narrowed(account.policy, prices, sub.settings)
        changed = replace(account, subscription=left, policy=policy)
        decision = changing.change(changed, change, now, now, new_id)
    new = planned.scheduled(0 if is_later else 1, now, new_id)
    decision = _with(decision, replaced, new, planned.cancel_at, now, sub)
    return lifecycle.unpayable(decision, new_id)


def _differs(sub: Subscription, change: Change, now: datetime, new_id: NewId) -> bool:
    """Whether the change would change anything: a phase may begin with what there is."""
    recast = items.recast(sub, change, now, new_id)
    return bool(
        items.touched(sub, recast)
        or (recast.collection, recast.net_days) != (sub.collection, sub.net_days)
        or {d.id for d in recast.discounts} != {d.id for d in sub.discounts}
    )


def release(sub: Subscription, ends_at: datetime | None, now: datetime, new_id: NewId) -> Decision:
    """The subscription without its remaining phases, and without an end that they had planned."""
    left, states = without_phases(sub, ends_at, now)
    before = {"scheduled_changes": sub.snapshot()["scheduled_changes"], "cancel_at": sub.cancel_at}
    changed = replace(left, version=sub.version + 1)
    return replace(billing.updated(changed, before, new_id), scheduled=states)


def without_phases(
    sub: Subscription, ends_at: datetime | None, now: datetime
) -> tuple[Subscription, tuple[ScheduledState, ...]]:
    """The subscription as if nothing of its schedule were left, and what is written of that."""
    gone = [s for s in sub.scheduled if s.phase is not None]
    left = replace(
        sub,
        scheduled=tuple(s for s in sub.scheduled if s.phase is None),
        cancel_at=None if ends_at is not None and sub.cancel_at == ends_at else sub.cancel_at,
    )
    return left, _states(sub, gone, ScheduledStatus.CANCELED, now)


def check_schedulable(sub: Subscription) -> None:
    """Refuse phases for what has ended, waits for its first payment, or is paused."""
    if sub.status in ENDED or sub.status in (Status.INCOMPLETE, Status.PAUSED):
        raise Conflict(
            f"A subscription that is {sub.status} cannot be scheduled.",
            code=f"subscription_{sub.status}",
        )


def check_none_left(sub: Subscription) -> None:
    """Refuse a change by hand while phases are to come. Raises Conflict."""
    if any(planned.phase is not None for planned in sub.scheduled):
        raise Conflict(
            "Phases of a schedule are to come; release it first.",
            code="subscription_scheduled_phases",
        )


def _with(
    decision: Decision,
    replaced: Sequence[Scheduled],
    new: Sequence[Scheduled],
    cancel_at: datetime | None,
    now: datetime,
    before: Subscription | None = None,
) -> Decision:
    """The decision about a subscription, which has these changes waiting too."""
    sub = decision.subscriptions[0]
    waiting = sorted([*sub.scheduled, *new], key=lambda planned: planned.due_at)
    planned = replace(sub, scheduled=tuple(waiting), cancel_at=cancel_at or sub.cancel_at)
    states = _states(sub, replaced, ScheduledStatus.CANCELED, now)
    states += _states(sub, new, ScheduledStatus.PENDING, now)
    return replace(
        decision,
        subscriptions=(planned,),
        scheduled=(*decision.scheduled, *states),
        events=tuple(_about(event, sub, planned, before) for event in decision.events),
    )


def _about(
    event: Event, old: Subscription, new: Subscription, before: Subscription | None
) -> Event:
    if event.subject is not old:
        return event
    previous = event.previous
    if before is not None and event.type is Type.SUBSCRIPTION_UPDATED:
        was = {"scheduled_changes": before.snapshot()["scheduled_changes"]}
        if before.cancel_at != new.cancel_at:
            was["cancel_at"] = before.cancel_at
        previous = {**(previous or {}), **was}
    return replace(event, subject=new, previous=previous)


def _states(
    sub: Subscription, planned: Sequence[Scheduled], status: ScheduledStatus, now: datetime
) -> tuple[ScheduledState, ...]:
    return tuple(ScheduledState(sub.merchant_id, sub.id, s, status, now) for s in planned)
