"""The dunning of one invoice: where it stands, what is due next, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from app.domain import dunning_policy as policies
from app.domain.dunning_policy import FinalAction, Limit, Policy, Step
from app.domain.errors import Conflict
from app.domain.invoice import Collection
from app.domain.outcome import DeclineCategory


class Status(StrEnum):
    """Where the dunning of an invoice stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    STOPPED = "stopped"
    RECOVERED = "recovered"
    EXHAUSTED = "exhausted"


class Happening(StrEnum):
    """What can happen to it."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    PAY = "pay"
    EXHAUST = "exhaust"


S, H = Status, Happening
# Read as: from this status, on this happening, go to that status. Anything absent is illegal.
TRANSITIONS: Final[Mapping[tuple[Status, Happening], Status]] = {
    (S.ACTIVE, H.PAUSE): S.PAUSED,
    (S.ACTIVE, H.STOP): S.STOPPED,
    (S.ACTIVE, H.PAY): S.RECOVERED,
    (S.ACTIVE, H.EXHAUST): S.EXHAUSTED,
    (S.PAUSED, H.RESUME): S.ACTIVE,
    (S.PAUSED, H.STOP): S.STOPPED,
    (S.PAUSED, H.PAY): S.RECOVERED,
}
LIVE: Final = frozenset({S.ACTIVE, S.PAUSED})


class Waiting(StrEnum):
    """What it waits for, where time alone does not help."""

    METHOD = "payment_method"
    """There is none, or it will not work again: another one, or an update of it."""
    CUSTOMER = "customer"
    """The customer must act on the attempt that is under way."""


class EndReason(StrEnum):
    """Why it ended."""

    PAID = "paid"
    EXHAUSTED = "exhausted"
    CONFIGURATION = "configuration"
    """The last refusal was the merchant's fault: nothing was done to the subscription."""
    CREDITED = "credited"
    VOIDED = "voided"
    WRITTEN_OFF = "written_off"
    SUBSCRIPTION_ENDED = "subscription_ended"
    BY_HAND = "by_hand"


@dataclass(frozen=True, slots=True)
class Method:
    """A payment method that could be charged, and what its scheme has seen of this amount."""

    id: UUID
    limits: tuple[Limit, ...] = policies.OTHERS
    is_refused: bool = False
    """It said that it will not work again, and has not changed since."""
    presented: tuple[datetime, ...] = ()
    """When the same amount was asked of it."""


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt at the invoice."""

    method_id: UUID
    at: datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """What a decision about the next attempt looks at."""

    usual: Method | None = None
    """What would be charged today: the subscription's own method, else the customer's."""
    others: tuple[Method, ...] = ()
    """What may be charged in its place at once, in this order."""
    tries: tuple[Try, ...] = ()
    """The attempts at the invoice, whoever asked for them."""
    is_contested: bool = False
    """Whether money came for an attempt at it that was closed, and waits for somebody to look."""


@dataclass(frozen=True, slots=True)
class Dunning:
    """One invoice's; amounts in minor units. `policy` is as it was when it began."""

    id: UUID
    merchant_id: UUID
    invoice_id: UUID
    customer_id: UUID
    collection: Collection
    currency: str
    amount: int
    """What was to be paid when it began."""
    paid_before: int
    """What was paid of the invoice by then."""
    policy: Policy
    zone: str
    status: Status
    failed_at: datetime
    """What its days are counted from: the first failure, or when the invoice was due; moved on by
    the time it was paused."""
    created_at: datetime
    step: int = 0
    """How many steps have come."""
    attempts: int = 0
    """How many attempts were declined."""
    next_attempt_at: datetime | None = None
    next_action_at: datetime | None = None
    """When the clock has to look at it; the attempts are due by themselves."""
    waiting_for: Waiting | None = None
    first_category: DeclineCategory | None = None
    """Of the decline it began with; None: there was nothing to charge."""
    last_category: DeclineCategory | None = None
    last_code: str | None = None
    blocked_method_id: UUID | None = None
    """The method that is not tried again until it changes."""
    changed_method_id: UUID | None = None
    """A payment method of the customer's that came or changed, and that nobody has looked at."""
    method_changed_at: datetime | None = None
    """When that was."""
    paused_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    final_action: FinalAction | None = None
    """What was done to the subscription."""
    amount_recovered: int = 0
    recovered_by_attempt: int | None = None
    """The number of the attempt that succeeded; None: it was paid in another way."""
    test_clock_id: UUID | None = None
    version: int = 1

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is done, in order."""
        sent = self.collection is Collection.SEND_INVOICE
        return self.policy.reminders if sent else self.policy.steps

    @property
    def wanted_action(self) -> FinalAction:
        """What the policy wants done in the end."""
        sent = self.collection is Collection.SEND_INVOICE
        return self.policy.overdue_action if sent else self.policy.final_action

    @property
    def moments(self) -> tuple[datetime, ...]:
        """When each step is due."""
        return tuple(step.moment(self.failed_at, self.zone) for step in self.steps)

    @property
    def channels(self) -> tuple[str, ...]:
        """Who is told of the step that came last; before the first: of the failure."""
        own = self.steps[self.step - 1].channels if 0 < self.step <= len(self.steps) else None
        return self.policy.channels if own is None else own

    def snapshot(self) -> dict[str, object]:
        """Its public fields, ids as UUID."""
        return {
            "id": self.id,
            "invoice_id": self.invoice_id,
            "customer_id": self.customer_id,
            "policy_id": self.policy.id,
            "status": self.status,
            "collection_method": self.collection,
            "currency": self.currency,
            "amount": self.amount,
            "failed_at": self.failed_at,
            "zone": self.zone,
            "step": self.step,
            "steps": [policies.step_document(step) for step in self.steps],
            "channels": list(self.channels),
            "attempts": self.attempts,
            "next_attempt_at": self.next_attempt_at,
            "next_action_at": self.next_action_at,
            "waiting_for": self.waiting_for,
            "first_category": self.first_category,
            "last_category": self.last_category,
            "last_code": self.last_code,
            "paused_at": self.paused_at,
            "ended_at": self.ended_at,
            "end_reason": self.end_reason,
            "planned_action": self.wanted_action,
            "final_action": self.final_action,
            "amount_recovered": self.amount_recovered,
            "recovered_by_attempt": self.recovered_by_attempt,
            "test_clock_id": self.test_clock_id,
            "created_at": self.created_at,
            "version": self.version,
        }


def after(status: Status, happening: Happening) -> Status:
    """The status that follows. Raises Conflict where the table has none."""
    following = TRANSITIONS.get((status, happening))
    if following is None:
        raise Conflict(
            f"Dunning that is {status} cannot {happening.value}.", code=f"dunning_run_{status}"
        )
    return following
