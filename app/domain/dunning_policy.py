"""Dunning policies: when a payment that failed is tried again, who is told, and how it ends.

What is counted here is time and attempts: steps in the customer's time zone, and the limits of the
merchant and of the card schemes, whichever is stricter.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from app.domain.calendar import Interval, Unit, instant, wall_clock
from app.domain.errors import Problem

STEPS_MAX: Final = 30
DAYS_MAX: Final = 365
CHANNELS_MAX: Final = 10
ATTEMPTS_MAX: Final = 15
"""Of one invoice in 30 days, unless a policy says less: the strictest scheme's number."""
MONTH: Final = timedelta(days=30)
HOURS_A_DAY: Final = 24


class FinalAction(StrEnum):
    """What becomes of the subscription when dunning ends without success."""

    CANCEL = "cancel"
    UNPAID = "unpaid"
    PAUSE = "pause"
    KEEP = "keep"


class UnpaidInvoice(StrEnum):
    """What becomes of the invoice then."""

    KEEP_OPEN = "keep_open"
    """It stays open, and can be paid by hand."""
    MARK_UNCOLLECTIBLE = "mark_uncollectible"
    """The rest is written off as bad debt; it can still be paid."""


class Failover(StrEnum):
    """After which declines a customer's back-up methods are tried at once."""

    ANY = "any"
    HARD = "hard"
    """Only where the usual method is left alone until it changes."""
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Step:
    """So many days and hours after the first failure; with `at`, at that time of the day there.

    A step that is no attempt is a reminder. For invoices that are sent, days count from when they
    are due.
    """

    days: int
    hours: int = 0
    at: time | None = None
    is_attempt: bool = True
    channels: tuple[str, ...] | None = None
    """Who is told, in the merchant's words; None: as the policy says."""

    def moment(self, since: datetime, zone: str) -> datetime:
        """When it is due: days on the clocks of `zone`, hours as they pass."""
        if self.at is None:
            return Interval(Unit.DAY).after(since, self.days, zone) + timedelta(hours=self.hours)
        day = wall_clock(since, zone).date() + timedelta(days=self.days)
        return instant(datetime.combine(day, self.at), zone)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many attempts within any stretch of that length."""

    attempts: int
    within: timedelta


SCHEMES: Final[Mapping[str, tuple[Limit, ...]]] = {
    "visa": (Limit(15, MONTH),),
    "mastercard": (Limit(10, timedelta(days=1)), Limit(35, MONTH)),
}
"""What card schemes bear of one card and amount. Visa's rules of April 2026 allow 20 in 30 days,
those before 15; Mastercard's Transaction Processing Excellence counts 10 in a day, 35 in 30."""
OTHERS: Final = (Limit(15, MONTH),)
ACH: Final = (Limit(3, timedelta(days=180)),)
"""Nacha: a debit that came back may be presented twice more, within 180 days."""


def scheme_limits(type_: str, brand: str | None, currency: str) -> tuple[Limit, ...]:
    """What the scheme behind a payment method allows."""
    if type_ == "bank_account" and currency == "USD":
        return ACH
    return SCHEMES.get((brand or "").lower(), OTHERS)


def allowed_from(wanted: datetime, tries: Iterable[datetime], limits: Iterable[Limit]) -> datetime:
    """The first instant from `wanted` on at which one more attempt passes no limit."""
    times, limits = sorted(tries), tuple(limits)
    at = wanted
    for _ in range(len(times) * len(limits) + 1):
        later = at
        for limit in limits:
            within = [tried for tried in times if at - limit.within < tried <= at]
            if len(within) >= limit.attempts:
                later = max(later, within[-limit.attempts] + limit.within)
        if later == at:
            return at
        at = later
    return at


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How one merchant, plan or segment goes about it; the defaults are ours."""

    id: UUID | None = None
    steps: tuple[Step, ...] = (Step(1), Step(3), Step(5), Step(7))
    channels: tuple[str, ...] = ("email",)
    final_action: FinalAction = FinalAction.CANCEL
    unpaid_invoice: UnpaidInvoice = UnpaidInvoice.KEEP_OPEN
    attempts_max: int = ATTEMPTS_MAX
    """Attempts at one invoice in 30 days, by whatever method, the first one among them."""
    reminders: tuple[Step, ...] = (Step(1, is_attempt=False), Step(7, is_attempt=False))
    """For invoices that are sent: days from when they are due."""
    overdue_action: FinalAction = FinalAction.KEEP
    """How it ends for those: people who pay by transfer are late more often than gone."""
    failover: Failover = Failover.ANY

    @property
    def is_silent(self) -> bool:
        """Whether it does nothing about payments that fail."""
        return not self.steps and self.final_action is FinalAction.KEEP

    @property
    def is_patient(self) -> bool:
        """Whether it does nothing about invoices that were sent and are overdue."""
        return not self.reminders and self.overdue_action is FinalAction.KEEP

    @property
    def limit(self) -> Limit:
        """The merchant's own, on attempts at one invoice."""
        return Limit(self.attempts_max, MONTH)


DEFAULT: Final = Policy()


def document(policy: Policy) -> dict[str, Any]:
    """The policy as it is written down with what it decides."""
    return {
        "policy_id": None if policy.id is None else str(policy.id),
        "steps": [step_document(step) for step in policy.steps],
        "channels": list(policy.channels),
        "final_action": policy.final_action.value,
        "unpaid_invoice": policy.unpaid_invoice.value,
        "attempts_max": policy.attempts_max,
        "reminders": [step_document(step) for step in policy.reminders],
        "overdue_action": policy.overdue_action.value,
        "failover": policy.failover.value,
    }


def of_document(given: Mapping[str, Any]) -> Policy:
    """The policy that was written down so."""
    return Policy(
        id=None if given["policy_id"] is None else UUID(given["policy_id"]),
        steps=tuple(step_of(step) for step in given["steps"]),
        channels=tuple(given["channels"]),
        final_action=FinalAction(given["final_action"]),
        unpaid_invoice=UnpaidInvoice(given["unpaid_invoice"]),
        attempts_max=given["attempts_max"],
        reminders=tuple(step_of(step) for step in given["reminders"]),
        overdue_action=FinalAction(given["overdue_action"]),
        failover=Failover(given.get("failover", Failover.ANY)),
    )


def step_document(step: Step) -> dict[str, Any]:
    """A step as callers and the database see it."""
    return {
        "days": step.days,
        "hours": step.hours,
        "at": None if step.at is None else step.at.strftime("%H:%M"),
        "attempt": step.is_attempt,
        "channels": None if step.channels is None else list(step.channels),
    }


def step_of(given: Mapping[str, Any]) -> Step:
    """The step that is written so."""
    at, channels = given.get("at"), given.get("channels")
    return Step(
        given["days"],
        given.get("hours", 0),
        None if at is None else time.fromisoformat(at),
        given.get("attempt", True),
        None if channels is None else tuple(channels),
    )


def problems(policy: Policy) -> Iterator[Problem]:
    """What is wrong with a policy."""
    for place, step in enumerate(policy.steps):
        param = f"steps[{place}]"
        if step.days < 0 or (step.days == 0 and step.hours == 0):
            yield Problem("A step comes after the failure: at least an hour.", param)
        yield from _step_problems(step, param)
    for place, step in enumerate(policy.reminders):
        param = f"reminders[{place}]"
        if step.is_attempt:
            yield Problem("Nobody charges an invoice that is sent: say attempt false.", param)
        if step.days < 0:
            yield Problem("Reminders begin when the invoice is due.", param)
        yield from _step_problems(step, param)
    yield from _order_problems(policy.steps, "steps")
    yield from _order_problems(policy.reminders, "reminders")


def _step_problems(step: Step, param: str) -> Iterator[Problem]:
    if step.at is not None and (step.hours or step.days == 0):
        yield Problem("A time of day goes with whole days, from the next day on.", param)


def _order_problems(steps: Sequence[Step], param: str) -> Iterator[Problem]:
    for place, (before, after) in enumerate(pairwise(steps), 1):
        apart = _hours(after) - _hours(before)
        timed = before.at is not None or after.at is not None
        if apart <= 0 or (timed and after.days == before.days):
            yield Problem("Each step comes after the one before.", f"{param}[{place}]")


def _hours(step: Step) -> int:
    return step.days * HOURS_A_DAY + step.hours
