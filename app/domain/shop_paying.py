"""Paying in a shop in memory: payments succeed, unless declines were ordered."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from app.domain import collection, dunning_following
from app.domain.collection import Bill
from app.domain.decision import Decision
from app.domain.dunning_following import Known
from app.domain.ids import NewId
from app.domain.outcome import (
    DeclineAdvice,
    DeclineCategory,
    Declined,
    DeclineInfo,
    DeclineReason,
    Outcome,
    Succeeded,
)
from app.domain.payment import Attempt, Payment

GATEWAY: Final = UUID(int=0)
"""The gateway account of all payments in memory: no money moves."""
SOFT: Final = Declined(
    DeclineInfo(
        DeclineCategory.SOFT,
        DeclineReason.INSUFFICIENT_FUNDS,
        "simulated",
        DeclineAdvice.RETRY_LATER,
    )
)
HARD: Final = Declined(
    DeclineInfo(
        DeclineCategory.HARD,
        DeclineReason.LOST_OR_STOLEN,
        "simulated",
        DeclineAdvice.DO_NOT_RETRY,
    )
)


@dataclass(frozen=True, slots=True)
class Ordered:
    """So many of the next attempts are declined so: those of one payment method, or of any."""

    times: int
    outcome: Declined = SOFT
    method_id: UUID | None = None


@dataclass(slots=True)
class Bank:
    """Which attempts are declined, in the order they were ordered in."""

    ordered: list[Ordered] = field(default_factory=list)

    def fork(self) -> "Bank":
        """Another that is like this one now."""
        return Bank(self.ordered.copy())

    def answer(self, attempt: Attempt) -> Outcome:
        """What becomes of an attempt."""
        for place, order in enumerate(self.ordered):
            if order.method_id not in (None, attempt.payment_method_id):
                continue
            self.ordered[place : place + 1] = (
                [replace(order, times=order.times - 1)] if order.times > 1 else []
            )
            return order.outcome
        return Succeeded(str(attempt.id), attempt.amount, attempt.currency)


def begin(known: Known, payment: Payment, at: datetime, new_id: NewId) -> Decision:
    """An attempt at a payment that is due; or that it is held back, as it is for real."""
    method_id = payment.payment_method_id
    assert method_id is not None
    planned = dunning_following.is_planned(known)
    if planned and dunning_following.is_held_back(known, method_id, at):
        return collection.hold_back(payment)
    bill = Bill(known.invoice, payment)
    return collection.begin(bill, (method_id, GATEWAY), at, new_id, str)
